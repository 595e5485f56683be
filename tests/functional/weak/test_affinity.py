"""Pairs, affinities and walks against the paper by loops; what every walk keeps; messages."""

import math
import re

import numpy as np
import pytest
import torch

from captum_cluster.functional.weak import affinity
from captum_cluster.functional.weak.affinity import (
    pair_affinities,
    pixel_affinities,
    pixel_pairs,
    random_walk,
    transition,
)
from tests.helpers import refinement_references as ref


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 1), (4, 5), (9, 11)])
@pytest.mark.parametrize("radius", [0.5, 1, 1.2, 2, 3.7, 5])
def test_the_pairs_are_those_nearer_than_the_radius(size, radius):
    h, w = size
    found = [tuple(pair) for pair in pixel_pairs(h, w, radius=radius).T.tolist()]
    expected = {
        (i, j)
        for i in range(h * w)
        for j in range(i + 1, h * w)
        if math.dist(divmod(i, w), divmod(j, w)) < radius
    }
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_a_pixel_far_from_the_border_has_68_neighbours():
    assert (pixel_pairs(11, 11) == 60).sum() == 68  # the paper's radius of 5, strictly


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_affinities(radius):
    features = 3 * draw(4, 5, 6)
    found = pixel_affinities(features, radius=radius)
    assert found.is_sparse
    expected = ref.affinities(features.numpy(), radius)
    np.testing.assert_allclose(found.to_dense().numpy(), expected, rtol=1e-12)


def test_affinities_in_small_parts(monkeypatch):
    features = draw(4, 5, 6)
    expected = pixel_affinities(features).to_dense()
    monkeypatch.setattr(affinity, "CHUNK", 9)
    assert torch.equal(pixel_affinities(features).to_dense(), expected)


def test_affinities_of_a_batch_can_be_learned():
    features = draw(2, 3, 4, 4).requires_grad_()
    pairs = pixel_pairs(4, 4, radius=2)
    found = pair_affinities(features, pairs)
    assert found.shape == (2, pairs.shape[1])
    torch.testing.assert_close(found[1], pair_affinities(features[1], pairs))
    assert torch.autograd.gradcheck(lambda f: pair_affinities(f, pairs[:, :5]), (features,))


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("power", [0, 1, 8])
def test_columns_of_the_transition_matrix_sum_to_1(layout, power):
    near = pixel_affinities(draw(2, 4, 5), radius=3)
    matrix = transition(near if layout == "sparse" else near.to_dense(), power=power)
    assert matrix.is_sparse == (layout == "sparse")
    dense = matrix.to_dense()
    torch.testing.assert_close(dense.sum(dim=0), torch.ones(20, dtype=dense.dtype))
    # A sparse 0 stays 0, also to the power of 0: nothing goes beyond the radius.
    if layout == "sparse":
        assert torch.equal(dense > 0, near.to_dense() > 0)


@pytest.mark.parametrize("log_steps", [0, 1, 3, 8])
@pytest.mark.parametrize("way", ["_by_squaring", "_step_by_step"])
@pytest.mark.parametrize("layout", ["dense", "sparse", "features"])
def test_walks_against_dense_matrix_powers(log_steps, way, layout, monkeypatch):
    scores, features = draw(3, 5, 6), draw(4, 5, 6, seed=1)
    options = {"radius": 3, "power": 4}
    expected = ref.walk(scores.numpy(), features.numpy(), log_steps=log_steps, **options)
    matrix = transition(pixel_affinities(features, radius=3), power=4)
    cheaper = way == "_by_squaring"
    monkeypatch.setattr(affinity, "_squaring_is_cheaper", lambda *_: cheaper)
    forms = {"dense": matrix.to_dense(), "sparse": matrix, "features": features}
    found = random_walk(scores, forms[layout], log_steps=log_steps, **options)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("way", ["_by_squaring", "_step_by_step"])
def test_single_precision_is_enough(way, monkeypatch):
    scores, features = draw(3, 9, 10), draw(4, 9, 10, seed=1)
    expected = ref.walk(scores.numpy(), features.numpy(), radius=5, power=8, log_steps=8)
    monkeypatch.setattr(affinity, "_squaring_is_cheaper", lambda *_: way == "_by_squaring")
    found = random_walk(scores.float(), features.float())
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_the_cheaper_way_is_chosen():
    sparse = transition(pixel_affinities(torch.zeros(1, 20, 20)))
    few, many = torch.zeros(2, 400), torch.zeros(2000, 400)
    assert not affinity._squaring_is_cheaper(few, sparse, 8)
    assert affinity._squaring_is_cheaper(many, sparse, 8)
    assert affinity._squaring_is_cheaper(few, sparse, 20)
    assert not affinity._squaring_is_cheaper(few, sparse.to_dense(), 8)


@pytest.mark.parametrize("log_steps", [0, 8, 12])
def test_a_constant_map_stays_as_it_is(log_steps):
    scores = torch.stack([torch.full((7, 8), value) for value in (0.0, 0.3, 1.0)])
    found = random_walk(scores, 5 * draw(3, 7, 8, dtype=torch.float32), log_steps=log_steps)
    assert torch.equal(found, scores)


def test_scores_stay_in_their_channels_range():
    scores = draw(4, 9, 9, dtype=torch.float32) * torch.tensor([1.0, 2.0, -3.0, 0.1])[:, None, None]
    found = random_walk(scores, draw(2, 9, 9, seed=1, dtype=torch.float32), log_steps=3)
    assert (found.amin(dim=(1, 2)) >= scores.amin(dim=(1, 2))).all()
    assert (found.amax(dim=(1, 2)) <= scores.amax(dim=(1, 2))).all()
    assert (found.amax(dim=(1, 2)) < scores.amax(dim=(1, 2))).all()  # and it moved


def test_the_mass_weighted_by_the_degrees_is_kept():
    scores, features = draw(3, 6, 7), draw(2, 6, 7, seed=1)
    degrees = (pixel_affinities(features).to_dense() ** 8).sum(dim=0).reshape(6, 7)
    found = random_walk(scores, features, log_steps=5)
    torch.testing.assert_close((found * degrees).sum((1, 2)), (scores * degrees).sum((1, 2)))
    assert not torch.allclose(found.sum((1, 2)), scores.sum((1, 2)))


def test_nothing_crosses_a_wall():
    features = torch.zeros(1, 6, 12, dtype=torch.float64)
    features[..., 6:] = 100.0
    scores = torch.zeros(1, 6, 12, dtype=torch.float64)
    scores[0, 3, 2] = 1.0
    found = random_walk(scores, features)
    assert found[..., 6:].max() < 1e-12
    torch.testing.assert_close(found[..., :6].amax(), found[..., :6].amin(), rtol=0.01, atol=0)


def test_features_of_half_precision_and_scores_of_another_type():
    features, scores = draw(2, 5, 5), draw(2, 5, 5, seed=1)
    found = random_walk(scores.half(), features.half())
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.double(), random_walk(scores, features), atol=2e-3, rtol=0)


def test_inputs_are_not_modified():
    scores, features = draw(2, 5, 5), draw(2, 5, 5, seed=1)
    kept = scores.clone(), features.clone()
    random_walk(scores, features)
    assert torch.equal(scores, kept[0])
    assert torch.equal(features, kept[1])


ONE = torch.ones(1, 2, 2)
BAD = {
    "no pixel": (
        lambda: pixel_pairs(0, 3),
        ValueError,
        "Expected h to be an integer of at least 1, but got 0.",
    ),
    "radius 0": (
        lambda: pixel_pairs(2, 3, radius=0),
        ValueError,
        "Expected radius to be a number above 0, but got 0.",
    ),
    "radius is a text": (
        lambda: pixel_affinities(ONE, radius="5"),
        TypeError,
        "Expected radius to be a number above 0, but got '5' (str).",
    ),
    "features of a batch": (
        lambda: pixel_affinities(ONE[None]),
        ValueError,
        "Expected features to be of shape (D,h,w), but got (1, 1, 2, 2).",
    ),
    "features of NaN": (
        lambda: random_walk(ONE, ONE * torch.nan),
        ValueError,
        "Expected features to be finite, but got NaN at index [0, 0, 0].",
    ),
    "negative power": (
        lambda: transition(torch.eye(2), power=-1),
        ValueError,
        "Expected power to be a number of at least 0, but got -1.",
    ),
    "not square": (
        lambda: transition(torch.ones(2, 3)),
        ValueError,
        "Expected affinities to be a square matrix, but got a tensor of shape (2, 3).",
    ),
    "another number of pixels": (
        lambda: random_walk(ONE, torch.eye(3)),
        ValueError,
        "Expected the transition matrix to be of shape (4,4), but got a tensor of shape (3, 3).",
    ),
    "columns of another sum": (
        lambda: random_walk(ONE, 2 * torch.eye(4)),
        ValueError,
        "Expected the transition matrix to have columns of sum 1, but got 2.",
    ),
    "sparse columns of another sum": (
        lambda: random_walk(ONE, torch.eye(4).to_sparse() * 0.5),
        ValueError,
        "Expected the transition matrix to have columns of sum 1, but got 0.5.",
    ),
    "negative log_steps": (
        lambda: random_walk(ONE, ONE, log_steps=-1),
        ValueError,
        "Expected log_steps to be an integer from 0 to 62, but got -1.",
    ),
    "scores of a batch": (
        lambda: random_walk(ONE[None], ONE),
        ValueError,
        "Expected scores to be of shape (C,h,w), but got (1, 1, 2, 2).",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=re.escape(message)):
        call()
