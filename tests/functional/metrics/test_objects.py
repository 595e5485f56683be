"""Localisation error, per-object IoU and the best object, by hand and against slow derivations."""

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
    localization_compute,
    localization_errors,
    localization_update,
    object_iou_compute,
    object_iou_update,
)
from tests.helpers import localization_references as ref
from tests.helpers import metric_references

SIZE = (7, 8)


def case(seed, count=6):
    """Maps with large and small parts, each pair's boxes, masks and classes; some without any."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(count, *SIZE, dtype=torch.float64, generator=generator)
    target = torch.randint(0, 3, (count,), generator=generator)
    corners = torch.randint(-2, 10, (count, 2, 4), generator=generator).double() / 1.25
    boxes = [[tuple(box) for box in some[: n % 3]] for n, some in enumerate(corners.tolist())]
    masks = torch.rand(count, *SIZE, generator=generator) < 0.5
    masks[count // 2] = False
    return maps, boxes, masks, target


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


# Localisation error


def test_the_error_by_hand():
    # the part of four pixels wins against the single greatest one; its box is 2x2
    maps = torch.tensor([[[0.3, 0.3, 0, 0], [0.3, 0.3, 0, 1.0]]])
    boxes = {
        "right": (0, 0, 2, 2),
        "half": (0, 0, 1, 2),
        "less": (0, 0, 0.9, 2),
        "far": (3, 1, 4, 2),
    }
    errors = {name: bool(localization_errors(maps, [[box]])) for name, box in boxes.items()}
    assert errors == {"right": False, "half": False, "less": True, "far": True}
    assert not localization_errors(maps, [[boxes["far"], boxes["right"]]])
    # a higher threshold leaves the single pixel alone
    assert not localization_errors(maps, [[boxes["far"]]], threshold=0.5)
    assert localization_errors(maps, [[boxes["half"]]], iou=0.51)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 999), st.sampled_from([0.15, 0.6]), st.sampled_from([0.1, 0.5]))
def test_errors_are_the_reference(seed, threshold, iou):
    maps, boxes, _, target = case(seed)
    values = [
        ref.localization_error(a, some, threshold, iou) for a, some in zip(maps, boxes, strict=True)
    ]
    sums = localization_update(maps, target, boxes, num_classes=3, threshold=threshold, iou=iou)
    assert int(sums["skipped"]) == sum(value is None for value in values) >= 2
    expected = ref.mean_of_classes(values, target.tolist())
    assert float(localization_compute(sums)) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_there_are_right_and_wrong_boxes_above():
    sums = [
        localization_update(maps, target, boxes, num_classes=3, iou=0.1)
        for maps, boxes, _, target in map(case, range(8))
    ]
    wrong = sum(int(one["errors"].sum()) for one in sums)
    assert 0 < wrong < sum(int(one["pairs"].sum()) for one in sums)


def test_a_mask_stands_for_its_tight_box():
    maps, _, masks, target = case(4)
    boxes = [[ref.box_around(np.argwhere(m.numpy()).tolist())] if m.any() else [] for m in masks]
    by_masks = localization_update(maps, target, masks=masks, num_classes=3)
    by_boxes = localization_update(maps, target, boxes, num_classes=3)
    assert int(by_masks["skipped"]) == 1
    for name, value in by_boxes.items():
        assert torch.equal(by_masks[name], value)


# Per-object IoU


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 999), st.sampled_from([0.15, 0.6]))
def test_object_iou_is_the_reference(seed, threshold):
    maps, boxes, masks, target = case(seed)
    unions = [metric_references.boxes_mask(some, SIZE) for some in boxes]
    for truth, given_as in ((masks, {"masks": masks}), (unions, {"boxes": boxes})):
        values = [
            ref.object_iou(a, m, threshold) if m.any() else None
            for a, m in zip(maps, truth, strict=True)
        ]
        sums = object_iou_update(maps, target, num_classes=3, threshold=threshold, **given_as)
        expected = ref.mean_of_classes(values, target.tolist())
        assert float(object_iou_compute(sums)) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_the_mean_of_each_class_comes_first():
    mask = torch.tensor([[[True, True, False, False]]])
    maps = torch.tensor([[[9.0, 9, 0, 0]], [[9.0, 9, 0, 0]], [[9.0, 0, 0, 0]], [[0.0, 0, 9, 0]]])
    # IoU 1, 1, 1/2 of class 0 and 0 of class 2; class 1 has none
    sums = object_iou_update(maps, torch.tensor([0, 0, 0, 2]), mask.expand(4, 1, 4), num_classes=3)
    assert sums["iou"].tolist() == [2.5, 0, 0]
    assert sums["pairs"].tolist() == [3, 0, 1]
    assert object_iou_compute(sums).item() == pytest.approx(2.5 / 3 / 2)


@pytest.mark.parametrize("grid", [(2, 3), SIZE])
def test_maps_are_upsampled_to_the_masks(grid):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, *grid, dtype=torch.float64, generator=generator)
    masks = torch.rand(3, *SIZE, generator=generator) < 0.5
    sums = object_iou_update(maps, [0, 0, 0], masks, num_classes=1)
    expected = [ref.object_iou(a, m) for a, m in zip(maps, masks, strict=True)]
    assert sums["iou"].item() == pytest.approx(sum(expected), abs=1e-12)


def test_perfect_worst_and_empty():
    _, _, masks, target = case(1)
    masks[:, 0, 0], masks[:, -1, -1] = True, False  # neither empty nor full
    blocks = torch.zeros_like(masks)
    blocks[:, 2:5, 1:4] = True
    for maps, error, overlap in ((blocks, 0, 1), (~blocks & masks.roll(4, 2), 1, 0)):
        found = localization_update(maps.float(), target, masks=blocks, num_classes=3, iou=0.999)
        assert localization_compute(found) == error
        found = object_iou_update(maps.float(), target, blocks, num_classes=3)
        assert object_iou_compute(found) == overlap
    zero = torch.zeros(6, *SIZE)
    found = localization_update(zero, target, masks=blocks, num_classes=3)
    assert localization_compute(found) == 1
    assert object_iou_compute(object_iou_update(zero, target, blocks, num_classes=3)) == 0


def test_many_resamples_at_once():
    sums = {"iou": torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "pairs": torch.tensor([[2, 1], [0, 0]])}
    np.testing.assert_equal(object_iou_compute(sums).numpy(), [0.25, math.nan])
    counts = {"errors": torch.tensor([[1, 0]]), "pairs": torch.tensor([[2, 0]])}
    assert localization_compute(counts).tolist() == [0.5]


MAPS, TRUTH = torch.ones(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)


@pytest.mark.parametrize("update", [localization_update, object_iou_update])
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
            {"maps": MAPS * math.inf},
            ValueError,
            "Expected maps to be finite, but got an infinite value at index [0, 0, 0].",
        ),
    ],
)
def test_wrong_arguments(update, change, error, text):
    arguments = {"maps": MAPS, "target": [0], "masks": TRUTH, "num_classes": 2, **change}
    with pytest.raises(error, match="^Expected") as raised:
        update(**arguments)
    assert str(raised.value) == text


def test_wrong_iou():
    with pytest.raises(ValueError, match="^Expected iou") as raised:
        localization_update(MAPS, [0], masks=TRUTH, num_classes=2, iou=1.5)
    assert str(raised.value) == "Expected iou to be a number above 0 and at most 1, but got 1.5."


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
    maps, _, masks, _ = case(seed)
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
