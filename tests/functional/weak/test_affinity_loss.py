"""The loss against the formula by loops; sets of pairs; edges that must stay finite; messages."""

import re

import pytest
import torch

from captum_cluster.functional.weak.affinity import pair_affinities, pixel_pairs
from captum_cluster.functional.weak.affinity_loss import (
    PairSets,
    affinity_labels,
    affinity_loss,
    affinity_terms,
    labels_on_grid,
)
from tests.helpers import refinement_references as ref


def case(h=5, w=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    features = 2 * torch.rand(2, 3, h, w, generator=generator, dtype=torch.float64)
    numbers = torch.tensor([0, 0, 1, 4, 255])
    return features.to(dtype), numbers[torch.randint(5, (2, h, w), generator=generator)]


def loss_of(features, labels, radius=3):
    pairs = pixel_pairs(*labels.shape[1:], radius=radius)
    return affinity_loss(pair_affinities(features, pairs), affinity_labels(labels, pairs))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("radius", [1.2, 5])
def test_the_loss_is_that_of_the_formula(radius, seed):
    features, labels = case(seed=seed)
    pairs = pixel_pairs(5, 6, radius=radius)
    near, sets = pair_affinities(features, pairs), affinity_labels(labels, pairs)
    means, loss = ref.affinity_loss(features.numpy(), labels.numpy(), radius)
    assert min(means) > 0
    # What is added before the logarithms changes the fourth digit at most.
    assert affinity_terms(near, sets).tolist() == pytest.approx(means, rel=1e-3)
    assert float(affinity_loss(near, sets)) == pytest.approx(loss, rel=1e-3)


def test_the_means_are_over_the_sets_of_the_batch():
    """An image with one pair counts as much as one pair of the other, not as much as all."""
    features, labels = case()
    labels[0] = 255
    labels[0, 0, :2] = 1
    whole, other = loss_of(features, labels), loss_of(features[1:], labels[1:])
    mean = (loss_of(features[:1], labels[:1]) + other) / 2
    assert not torch.isclose(whole, mean, rtol=0.01)
    pairs = pixel_pairs(5, 6, radius=3)
    count = int(affinity_labels(labels, pairs).foreground.sum())
    gap = (features[0, :, 0, 0] - features[0, :, 0, 1]).abs().mean()
    terms = affinity_terms(pair_affinities(features[1:], pairs), affinity_labels(labels[1:], pairs))
    expected = (terms[1] * (count - 1) + gap) / count
    together = affinity_terms(pair_affinities(features, pairs), affinity_labels(labels, pairs))
    torch.testing.assert_close(together[1], expected, rtol=1e-3, atol=0)


def test_each_pair_is_in_one_set_or_none():
    _, labels = case()
    pairs = pixel_pairs(5, 6)
    sets = affinity_labels(labels, pairs)
    ends = labels.flatten(1)[:, pairs]
    uncertain = (ends == 255).any(dim=1)
    assert torch.equal(sum(part.long() for part in sets), (~uncertain).long())
    assert torch.equal(sets.negative, (ends[:, 0] != ends[:, 1]) & ~uncertain)
    assert torch.equal(sets.background, (ends == 0).all(dim=1))


def test_another_number_of_uncertain_pixels():
    _, labels = case()
    pairs = pixel_pairs(5, 6)
    moved = labels.masked_fill(labels == 255, -1)
    for found, expected in zip(
        affinity_labels(moved, pairs, ignore_index=-1), affinity_labels(labels, pairs), strict=True
    ):
        assert torch.equal(found, expected)


def test_gradients():
    features, labels = case(3, 3)
    assert torch.autograd.gradcheck(lambda f: loss_of(f, labels), (features.requires_grad_(),))


def test_the_loss_can_be_made_small():
    labels = torch.tensor([[[0, 0, 1, 1], [0, 0, 2, 2]]])
    apart = torch.where(labels == 0, 0.0, 60.0 * labels)[:, None]
    assert float(loss_of(apart, labels)) == pytest.approx(0.0, abs=1e-6)
    assert float(loss_of(torch.zeros(1, 1, 2, 4), labels)) > 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_identical_features_have_a_finite_gradient(dtype):
    """One negative pair with an affinity of 1: the largest gradient that there is."""
    near = torch.ones(1, 1, dtype=dtype, requires_grad=True)
    none, one = torch.zeros(1, 1, dtype=torch.bool), torch.ones(1, 1, dtype=torch.bool)
    loss = affinity_loss(near, PairSets(none, none, one))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(11.5129 / 2, abs=1e-4)  # -log(1e-5) / 2
    assert torch.isfinite(near.grad).all()
    assert (near.grad > 0).all()
    features = torch.zeros(1, 2, 1, 2, dtype=dtype, requires_grad=True)
    loss_of(features, torch.tensor([[[0, 1]]])).backward()
    assert torch.isfinite(features.grad).all()


def test_affinities_of_0_have_a_finite_gradient():
    features = torch.tensor([[[[0.0, 2000.0]]]], requires_grad=True)
    loss = loss_of(features, torch.tensor([[[1, 1]]]))
    loss.backward()
    assert loss.item() == pytest.approx(11.5129 / 4, abs=1e-4)
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    features, labels = case(dtype=dtype)
    expected = loss_of(features.double(), labels)
    # The affinities themselves are rounded: those near 1 move the most.
    torch.testing.assert_close(loss_of(features, labels).double(), expected, rtol=0.02, atol=0)


@pytest.mark.parametrize(
    ("labels", "places"),
    [
        (torch.full((1, 3, 3), 255), ()),
        (torch.zeros(1, 3, 3, dtype=torch.long), (0,)),
        (torch.full((1, 3, 3), 7), (1,)),
        (torch.tensor([[[0, 255, 1]]]), (2,)),
    ],
    ids=["uncertain", "background", "one label", "two labels"],
)
def test_empty_sets_count_0(labels, places):
    features = torch.rand(1, 2, *labels.shape[1:], generator=torch.Generator().manual_seed(0))
    features.requires_grad_()
    pairs = pixel_pairs(*labels.shape[1:])
    terms = affinity_terms(pair_affinities(features, pairs), affinity_labels(labels, pairs))
    assert [place for place in range(3) if terms[place] != 0] == [*places]
    loss_of(features, labels).backward()
    assert torch.isfinite(features.grad).all()
    assert bool((features.grad != 0).any()) == bool(places)


def test_a_grid_of_one_pixel_has_no_pairs():
    features = torch.ones(2, 3, 1, 1, requires_grad=True)
    loss = loss_of(features, torch.tensor([[[0]], [[1]]]))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(features.grad, torch.zeros(2, 3, 1, 1))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 2), (7, 9), (14, 18), (8, 4)])
def test_labels_on_a_grid_are_those_at_the_centres(size, dtype):
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(256, (2, 7, 9), generator=generator).to(dtype)
    found = labels_on_grid(labels, size)
    expected = torch.nn.functional.interpolate(
        labels[:, None].double(), size=size, mode="nearest-exact"
    )
    assert found.dtype == dtype
    assert torch.equal(found.double(), expected[:, 0])


def test_inputs_are_not_modified():
    features, labels = case()
    kept = features.clone(), labels.clone()
    labels_on_grid(labels, (2, 2))
    loss_of(features, labels)
    assert torch.equal(features, kept[0])
    assert torch.equal(labels, kept[1])


LABELS, PAIRS = torch.zeros(1, 2, 2, dtype=torch.long), torch.tensor([[0], [1]])
SETS = affinity_labels(LABELS, PAIRS)
BAD = {
    "labels are floats": (
        lambda: affinity_labels(LABELS.float(), PAIRS),
        TypeError,
        "Expected labels to be a tensor of integers (N,h,w), but got a tensor of shape (1, 2, 2)",
    ),
    "labels are booleans": (
        lambda: labels_on_grid(LABELS.bool(), (1, 1)),
        TypeError,
        "Expected labels to be a tensor of integers (...,H,W), but got a tensor of shape (1, 2, 2)",
    ),
    "labels of one image": (
        lambda: affinity_labels(LABELS[0], PAIRS),
        ValueError,
        "Expected labels to be a tensor of integers (N,h,w), but got a tensor of shape (2, 2)",
    ),
    "labels without pixels": (
        lambda: labels_on_grid(LABELS[:, :0], (1, 1)),
        ValueError,
        "Expected labels to be a tensor of integers (...,H,W), but got a tensor of shape (1, 0, 2)",
    ),
    "a grid without cells": (
        lambda: labels_on_grid(LABELS, (1, 0)),
        ValueError,
        "Expected size to be an integer of at least 1, but got 0.",
    ),
    "pairs are floats": (
        lambda: affinity_labels(LABELS, PAIRS.float()),
        TypeError,
        "Expected pairs to be a LongTensor (2,P), but got a tensor of shape (2, 1) and dtype",
    ),
    "pairs the other way round": (
        lambda: affinity_labels(LABELS, torch.zeros(3, 2, dtype=torch.long)),
        ValueError,
        "Expected pairs to be a LongTensor (2,P), but got a tensor of shape (3, 2) and dtype",
    ),
    "the background is uncertain": (
        lambda: affinity_labels(LABELS, PAIRS, ignore_index=0),
        ValueError,
        "Expected ignore_index to be another number than the background's, but got 0.",
    ),
    "affinities are integers": (
        lambda: affinity_loss(torch.ones(1, 1, dtype=torch.long), SETS),
        TypeError,
        "Expected affinities to be a floating-point tensor of shape (1, 1), as the sets, but got",
    ),
    "another number of pairs": (
        lambda: affinity_loss(torch.ones(1, 3), SETS),
        ValueError,
        "Expected affinities to be a floating-point tensor of shape (1, 1), as the sets, but got a "
        "tensor of shape (1, 3)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_messages(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=re.escape(message)):
        call()
