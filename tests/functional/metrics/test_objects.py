"""IoU, recall and precision of objects, and the best one, by hand and by slow derivations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.metrics import (
    ObjectMatch,
    above_threshold,
    best_object,
    object_iou_compute,
    object_iou_update,
    object_precision_compute,
    object_precision_update,
    object_recall_compute,
    object_recall_update,
)
from tests.helpers import localization_references as ref
from tests.helpers import metric_references
from tests.helpers.located_pairs import SIZE, located_pairs

# The map cut at a threshold


@pytest.mark.parametrize("threshold", [0.15, 0.5, 1.0])
def test_the_cut_is_the_reference(threshold):
    maps = torch.randn(4, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    maps[1] = -1
    found = above_threshold(maps, SIZE, threshold=threshold)
    for one, a in zip(found, maps, strict=True):
        np.testing.assert_array_equal(one, ref.cut(a, SIZE, threshold))
    assert not found[1].any()
    assert found[0].any()


def test_a_value_at_the_threshold_is_inside():
    maps = torch.tensor([[[0.0, 1.0, 2.0, 4.0]]])
    assert above_threshold(maps, (1, 4), threshold=0.5).tolist() == [[[False, False, True, True]]]


# What the cut maps mark, against the objects

UPDATES = {
    "iou": (object_iou_update, object_iou_compute, ref.object_iou),
    "recall": (object_recall_update, object_recall_compute, ref.object_recall),
    "precision": (object_precision_update, object_precision_compute, ref.object_precision),
}
EACH = pytest.mark.parametrize("name", UPDATES)


@EACH
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 999), threshold=st.sampled_from([0.15, 0.6]))
def test_overlaps_are_the_reference(name, seed, threshold):
    update, compute, reference = UPDATES[name]
    maps, boxes, masks, target = located_pairs(seed)
    unions = [metric_references.boxes_mask(some, SIZE) for some in boxes]
    for truth, given_as in ((masks, {"masks": masks}), (unions, {"boxes": boxes})):
        values = [
            reference(a, m, threshold) if m.any() else None
            for a, m in zip(maps, truth, strict=True)
        ]
        sums = update(maps, target, num_classes=3, threshold=threshold, **given_as)
        assert int(sums["skipped"]) == values.count(None) >= 1
        expected = ref.mean_of_classes(values, target.tolist())
        assert float(compute(sums)) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("iou", [1, 1, 1 / 2, 2 / 3, 0]),
        ("recall", [1, 1, 1 / 2, 1, 0]),
        ("precision", [1, 1, 1, 2 / 3, 0]),
    ],
)
def test_the_mean_of_each_class_comes_first(name, values):
    update, compute, _ = UPDATES[name]
    mask = torch.tensor([[[True, True, False, False]]]).expand(5, 1, 4)
    maps = torch.tensor([[9.0, 9, 0, 0], [9, 9, 0, 0], [9, 0, 0, 0], [9, 9, 9, 0], [0, 0, 9, 0]])
    # one too small and one too large of class 0; class 1 has none
    sums = update(maps[:, None], torch.tensor([0, 0, 0, 0, 2]), mask, num_classes=3)
    assert sums[name].tolist() == pytest.approx([sum(values[:4]), 0, 0])
    assert sums["pairs"].tolist() == [4, 0, 1]
    assert compute(sums).item() == pytest.approx(sum(values) / 4 / 2)


@pytest.mark.parametrize("seed", range(5))
def test_recall_and_precision_bound_the_iou(seed):
    """IoU is at most each of them, and follows from both: 1 / IoU = 1 / r + 1 / p - 1."""
    maps, _, masks, _ = located_pairs(seed)
    known = masks.flatten(1).any(dim=1)
    for a, m in zip(maps[known], masks[known], strict=True):
        iou, recall, precision = (
            float(update(a[None], [0], m[None], num_classes=1)[name][0])
            for name, (update, _, _) in UPDATES.items()
        )
        assert 0 < iou <= min(recall, precision) <= 1
        assert 1 / iou == pytest.approx(1 / recall + 1 / precision - 1)


def test_a_lower_threshold_covers_more():
    maps, _, masks, target = located_pairs(2)
    recalls = [
        float(
            object_recall_compute(
                object_recall_update(maps, target, masks, num_classes=3, threshold=threshold)
            )
        )
        for threshold in (0.05, 0.3, 0.9)
    ]
    assert recalls[0] > recalls[1] > recalls[2]


@EACH
@pytest.mark.parametrize("grid", [(2, 3), SIZE])
def test_maps_are_upsampled_to_the_masks(name, grid):
    update, _, reference = UPDATES[name]
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, *grid, dtype=torch.float64, generator=generator)
    masks = torch.rand(3, *SIZE, generator=generator) < 0.5
    sums = update(maps, [0, 0, 0], masks, num_classes=1)
    expected = [reference(a, m) for a, m in zip(maps, masks, strict=True)]
    assert sums[name].item() == pytest.approx(sum(expected), abs=1e-12)


@EACH
def test_perfect_worst_and_empty(name):
    update, compute, _ = UPDATES[name]
    _, _, masks, target = located_pairs(1)
    blocks = torch.zeros_like(masks)
    blocks[:, 2:5, 1:4] = True
    for maps, overlap in ((blocks, 1), (~blocks & masks.roll(4, 2), 0), (0 * blocks.int(), 0)):
        assert compute(update(maps.float(), target, blocks, num_classes=3)) == overlap


def test_a_part_of_the_object_and_more_than_it():
    thing = torch.zeros(1, *SIZE, dtype=torch.bool)
    thing[:, 2:5, 1:4] = True
    part, more = torch.zeros(1, *SIZE), torch.zeros(1, *SIZE)
    part[:, 3, 2], more[:, 1:6, 0:5] = 1, 1
    found = [
        [
            compute(update(a, [0], thing, num_classes=1)).item()
            for update, compute, _ in UPDATES.values()
        ]
        for a in (part, more)
    ]
    assert found == [[1 / 9, 1 / 9, 1], [9 / 25, 1, 9 / 25]]


@EACH
def test_many_resamples_at_once(name):
    sums = {name: torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "pairs": torch.tensor([[2, 1], [0, 0]])}
    np.testing.assert_equal(UPDATES[name][1](sums).numpy(), [0.25, math.nan])


@EACH
def test_maps_and_masks_are_left_as_they_are(name):
    maps, _, masks, target = located_pairs(3)
    before = maps.clone(), masks.clone()
    UPDATES[name][0](maps, target, masks, num_classes=3)
    assert torch.equal(maps, before[0])
    assert torch.equal(masks, before[1])


MAPS, TRUTH = torch.ones(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)


@EACH
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"target": [2]}, ValueError, "Expected target to be labels below 2, but got 2."),
        (
            {"target": [0, 1]},
            ValueError,
            "Expected target to be of shape (P,) with P = 1, but got (2,).",
        ),
        (
            {"threshold": 0},
            ValueError,
            "Expected threshold to be a number above 0 and at most 1, but got 0.",
        ),
        (
            {"threshold": "low"},
            TypeError,
            "Expected threshold to be a number above 0 and at most 1, but got 'low' (str).",
        ),
        (
            {"masks": TRUTH.int()},
            TypeError,
            "Expected masks to be a boolean tensor, but got torch.int32.",
        ),
        (
            {"masks": None},
            ValueError,
            "Expected the ground truth to be either boxes or masks, but got neither.",
        ),
        (
            {"maps": MAPS * math.inf},
            ValueError,
            "Expected maps to be finite, but got an infinite value at index [0, 0, 0].",
        ),
    ],
)
def test_wrong_arguments(name, change, error, text):
    arguments = {"maps": MAPS, "target": [0], "masks": TRUTH, "num_classes": 2, **change}
    with pytest.raises(error, match="^Expected") as raised:
        UPDATES[name][0](**arguments)
    assert str(raised.value) == text


# The object that a map overlaps most


def test_the_best_object_by_hand():
    objects = torch.tensor(
        [[[1, 1, 0, 0]], [[0, 0, 1, 0]], [[0, 0, 0, 0]], [[0, 1, 1, 1]]], dtype=torch.bool
    )
    # cut: the last two pixels. IoU 0, 1/2, 0, 2/3
    assert best_object(torch.tensor([[0.0, 0.0, 1.0, 3.0]]), objects) == ObjectMatch(3, 2 / 3, 1.0)
    # all zero: the first object there is
    assert best_object(torch.zeros(1, 4), objects) == ObjectMatch(0, 0.0, 0.0)
    # neither is cut, but one has energy
    faint = torch.tensor([[0.0, 0.0, 0.1, 0.0, 1.0]])
    pair = torch.tensor([[[1, 1, 0, 0, 0]], [[0, 0, 1, 0, 0]]], dtype=torch.bool)
    found = best_object(faint, pair)
    assert (found.index, found.iou) == (1, 0)
    assert found.energy == pytest.approx(0.1 / 1.1)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_object_is_the_reference(seed):
    maps, _, masks, _ = located_pairs(seed)
    for a in maps:
        found = best_object(a, masks)
        overlaps = [ref.object_iou(a, m) for m in masks]
        assert found.index == int(np.argmax(overlaps))
        assert found.iou == pytest.approx(max(overlaps), abs=1e-12)
        inside = metric_references.proportion(a, masks[found.index])
        assert found.energy == pytest.approx(inside, abs=1e-12)


def test_no_object():
    assert best_object(torch.rand(2, 2), torch.zeros(3, 4, 4, dtype=torch.bool)) is None
    assert best_object(torch.rand(2, 2), torch.zeros(0, 4, 4, dtype=torch.bool)) is None


@pytest.mark.parametrize(
    ("maps", "objects", "error", "text"),
    [
        (
            torch.ones(1, 2, 2),
            TRUTH,
            ValueError,
            "Expected saliency_map and objects to be of shapes (h,w) and (K,H,W), but got "
            "(1, 2, 2) and (1, 2, 2).",
        ),
        (
            torch.ones(2, 2) * math.nan,
            TRUTH,
            ValueError,
            "Expected saliency_map to be finite, but got NaN at index [0, 0].",
        ),
        (
            torch.ones(2, 2),
            TRUTH.int(),
            TypeError,
            "Expected objects to be a boolean tensor, but got torch.int32.",
        ),
    ],
)
def test_what_is_no_object(maps, objects, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        best_object(maps, objects)
    assert str(raised.value) == text
