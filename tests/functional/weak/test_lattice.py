"""The lattice: the paper's steps with a dictionary, near the exact Gaussian, messages."""

import re

import numpy as np
import pytest
import torch

from captum_cluster.functional.weak.dense_crf import normalized_filter
from captum_cluster.functional.weak.lattice import permutohedral_lattice
from tests.helpers import refinement_references as ref


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
@pytest.mark.parametrize("width", [0.2, 1.0, 20.0])
def test_the_papers_steps(dimensions, width):
    points, values = draw(60, dimensions) / width, draw(60, 2, seed=1)
    found = permutohedral_lattice(points).filter(values)
    expected = ref.lattice_filter(points.numpy(), values.numpy())
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


# What the lattice is known to be off by, measured: greatest difference from the exact filter of
# values from 0 to 1, and mean difference in parts of the mean.
ERRORS = {
    "positions": (ref.crf_points(np.zeros((1, 24, 24)), 3.0), 0.03, 0.012),
    "narrow": (ref.crf_points(np.zeros((1, 24, 24)), 1.0), 0.06, 0.02),
    "one axis": (draw(300, 1).numpy(), 0.02, 0.008),
    "three axes": (draw(300, 3).numpy(), 0.06, 0.02),
    "five axes": (draw(300, 5).numpy(), 0.35, 0.07),
}


@pytest.mark.parametrize("case", ERRORS)
def test_near_the_exact_gaussian(case):
    points, most, mean = ERRORS[case]
    values = torch.rand(len(points), 2, generator=torch.Generator().manual_seed(0)).double()
    found = normalized_filter(torch.from_numpy(points))(values).numpy()
    exact = ref.normalized(ref.gaussian(points)) @ values.numpy()
    assert abs(found - exact).max() < most
    assert abs(found - exact).mean() < mean * exact.mean()


def test_barycentric_coordinates():
    lattice = permutohedral_lattice(draw(200, 4))
    torch.testing.assert_close(lattice.weights.sum(dim=1), torch.ones(200).double())
    assert lattice.weights.min() > -1e-12
    assert all(len(set(corners)) == 5 for corners in lattice.corners.tolist())


def test_neighbours_are_mutual():
    before, behind = permutohedral_lattice(draw(200, 3)).neighbours.unbind(dim=1)
    count = before.shape[1]
    for there, back in ((before, behind), (behind, before)):
        used = there < count
        assert used.any()
        axis, corner = used.nonzero(as_tuple=True)
        assert torch.equal(back[axis, there[axis, corner]], corner)


def test_points_far_from_each_other_do_not_mix():
    found = permutohedral_lattice(torch.tensor([[0.0, 0.0], [50.0, 0.0]])).filter(torch.eye(2))
    assert found[0, 1] == found[1, 0] == 0
    assert found[0, 0] > 0


def test_single_precision():
    points, values = draw(100, 5), draw(100, 3, seed=1)
    found = permutohedral_lattice(points.float()).filter(values.float())
    assert found.dtype == torch.float32
    expected = permutohedral_lattice(points).filter(values)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    points, values = draw(500, 5), draw(500, 3, seed=1)
    first, second = (permutohedral_lattice(points.cuda()).filter(values.cuda()) for _ in range(2))
    assert torch.equal(first, second)  # no sums in a random order
    torch.testing.assert_close(first.cpu(), permutohedral_lattice(points).filter(values))


BAD = {
    "points of an image": (
        torch.ones(2, 3, 4),
        "Expected features to be of shape (P,d), but got (2, 3, 4).",
    ),
    "no point": (torch.ones(0, 3), "Expected features to be of shape (P,d), but got (0, 3)."),
    "a point of NaN": (
        torch.full((1, 2), torch.nan),
        "Expected features to be finite, but got NaN at index [0, 0].",
    ),
    "spread too wide": (
        torch.tensor([[0.0] * 5, [1e5] * 5], dtype=torch.float64),
        "Expected the filter's widths to be larger, but got a lattice of ",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case):
    features, message = BAD[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        permutohedral_lattice(features)
