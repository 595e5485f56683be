"""The slow walks, lattices and random fields against numbers from paper."""

import numpy as np
import pytest

from tests.helpers import refinement_references as ref


def test_affinities():
    features = np.array([[[0.0, 1.0, 1.0]], [[0.0, 3.0, 3.0]]])
    far = np.exp(-2.0)
    found = ref.affinities(features, radius=2)
    np.testing.assert_allclose(found, [[1, far, 0], [far, 1, 1], [0, 1, 1]])


def test_a_walk_of_two_steps():
    scores = np.array([[[1.0, 0.0]]])
    found = ref.walk(scores, np.zeros((1, 1, 2)), radius=5, power=1, log_steps=1)
    np.testing.assert_allclose(found, [[[0.5, 0.5]]])


def test_the_loss_of_four_pixels():
    features, labels = np.array([[[[0.0, 1.0, 3.0, 9.0]]]]), np.array([[[0, 0, 2, 255]]])
    means, loss = ref.affinity_loss(features, labels, radius=2)
    far = -np.log(1 - np.exp(-2.0))
    assert means == pytest.approx([1.0, 0.0, far])
    assert loss == pytest.approx(1 / 4 + far / 2)
    assert ref.affinity_loss(features, np.full((1, 1, 4), 2), 2)[0] == pytest.approx([0, 3, 0])


def test_a_point_of_one_dimension_lies_between_two_corners():
    # One unit is 2 * sqrt(2 / 3) / sqrt(2) = 1.1547 steps along (1, -1).
    corners, shares = ref.simplex(np.array([0.5]))
    assert corners == [(0, 0), (1, -1)]
    assert shares == pytest.approx([1 - 0.57735, 0.57735], abs=1e-5)


def test_the_lattice_of_one_point():
    # Alone at a corner: blurred twice without neighbours but one, which is empty.
    found = ref.lattice_filter(np.zeros((1, 1)), np.ones((1, 1)))
    assert found == pytest.approx((1 + 2 * 0.25 / 2) * 2 / 3)


def test_mean_field_of_one_pixel():
    found = ref.mean_field(np.array([[[0.8]], [[0.2]]]), [(1.0, np.ones((1, 1)))], 1)
    expected = 0.8 * np.exp(0.8) / (0.8 * np.exp(0.8) + 0.2 * np.exp(0.2))
    assert found[0, 0, 0] == pytest.approx(expected)


def test_normalized_kernels():
    kernel = ref.normalized(ref.gaussian(np.zeros((4, 2))))
    np.testing.assert_allclose(kernel, 0.25)
