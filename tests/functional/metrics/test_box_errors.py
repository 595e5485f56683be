"""Localisation error, by hand and against slow derivations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.metrics import (
    localization_compute,
    localization_errors,
    localization_update,
)
from tests.helpers import localization_references as ref
from tests.helpers.located_pairs import located_pairs


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
    maps, boxes, _, target = located_pairs(seed)
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
        for maps, boxes, _, target in map(located_pairs, range(8))
    ]
    wrong = sum(int(one["errors"].sum()) for one in sums)
    assert 0 < wrong < sum(int(one["pairs"].sum()) for one in sums)


def test_a_mask_stands_for_its_tight_box():
    maps, _, masks, target = located_pairs(4)
    boxes = [[ref.box_around(np.argwhere(m.numpy()).tolist())] if m.any() else [] for m in masks]
    by_masks = localization_update(maps, target, masks=masks, num_classes=3)
    by_boxes = localization_update(maps, target, boxes, num_classes=3)
    assert int(by_masks["skipped"]) == 1
    for name, value in by_boxes.items():
        assert torch.equal(by_masks[name], value)


def test_perfect_worst_and_empty():
    _, _, masks, target = located_pairs(1)
    blocks = torch.zeros_like(masks)
    blocks[:, 2:5, 1:4] = True
    for maps, error in ((blocks, 0), (~blocks & masks.roll(4, 2), 1), (0 * blocks.int(), 1)):
        found = localization_update(maps.float(), target, masks=blocks, num_classes=3, iou=0.999)
        assert localization_compute(found) == error


def test_many_resamples_at_once():
    counts = {"errors": torch.tensor([[1, 0], [0, 0]]), "pairs": torch.tensor([[2, 0], [0, 0]])}
    np.testing.assert_equal(localization_compute(counts).numpy(), [0.5, math.nan])


MAPS, TRUTH = torch.ones(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)


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
def test_wrong_arguments(change, error, text):
    arguments = {"maps": MAPS, "target": [0], "masks": TRUTH, "num_classes": 2, **change}
    with pytest.raises(error, match="^Expected") as raised:
        localization_update(**arguments)
    assert str(raised.value) == text


def test_wrong_iou():
    with pytest.raises(ValueError, match="^Expected iou") as raised:
        localization_update(MAPS, [0], masks=TRUTH, num_classes=2, iou=1.5)
    assert str(raised.value) == "Expected iou to be a number above 0 and at most 1, but got 1.5."
