"""Boxes, masks and connected components against one pixel at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import masks_to_boxes

from captum_cluster.functional.metrics import (
    box_region,
    clip_boxes,
    intersection_over_union,
    largest_component,
    tight_box,
)
from captum_cluster.functional.metrics.regions import ground_truth_regions
from tests.helpers import localization_references as ref
from tests.helpers import metric_references

EDGES = st.sampled_from([-30.0, -1.5, -0.5, 0.0, 0.4, 0.5, 0.6, 1.5, 2.0, 3.7, 5.5, 6.0, 40.0])
BOXES = st.lists(st.tuples(EDGES, EDGES, EDGES, EDGES), max_size=4)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(BOXES, st.integers(1, 6), st.integers(1, 6))
def test_any_boxes_are_the_reference(boxes, h, w):
    np.testing.assert_array_equal(
        box_region(boxes, (h, w)), metric_references.boxes_mask(boxes, (h, w))
    )
    assert clip_boxes(boxes, (h, w)).tolist() == [list(box) for box in ref.clipped(boxes, (h, w))]


def test_a_pixel_is_inside_when_its_centre_is():
    region = box_region([(0.5, 0, 1.5, 1)], (2, 3))
    assert region.tolist() == [[True, False, False], [False, False, False]]
    assert not box_region([(0.6, 0, 1.4, 1)], (2, 3)).any()


def test_boxes_outside_the_image_are_cut_or_dropped():
    assert clip_boxes([(-3, -3, 99, 99)], (4, 5)).tolist() == [[0, 0, 5, 4]]
    for box in [(5, 0, 9, 4), (0, -9, 5, 0), (3, 3, 1, 1), (1, 1, 1, 4)]:
        assert clip_boxes([box], (4, 5)).shape == (0, 4)
    assert clip_boxes([], (4, 5)).shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "error", "text"),
    [
        ([(1, 2, 3)], ValueError, "Expected boxes to be of shape (K,4), but got (1, 3)."),
        ((1, 2, 3, 4), ValueError, "Expected boxes to be of shape (K,4), but got (4,)."),
        (
            [(0, 0, float("nan"), 1)],
            ValueError,
            "Expected boxes to be finite, but got NaN at index [0, 2].",
        ),
        (
            [("a", 0, 1, 1)],
            TypeError,
            "Expected boxes to be numbers x0, y0, x1, y1, but got [('a', 0, 1, 1)] (list).",
        ),
    ],
)
def test_what_is_no_box(boxes, error, text):
    with pytest.raises(error, match="^Expected boxes") as raised:
        box_region(boxes, (4, 4))
    assert str(raised.value) == text


MASKS = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 999), st.floats(0.1, 0.9))


def mask_of(h, w, seed, share):
    return torch.rand(h, w, generator=torch.Generator().manual_seed(seed)) < share


@settings(max_examples=100, deadline=None, derandomize=True)
@given(MASKS)
def test_the_largest_component_is_the_reference(case):
    mask = mask_of(*case)
    found = largest_component(mask)
    parts = ref.components(mask)
    if not parts:
        assert not found.any()
        assert tight_box(found) is None
        return
    largest = max(parts, key=len)
    assert [tuple(place) for place in found.nonzero().tolist()] == largest
    assert tight_box(found) == ref.box_around(largest)


def test_the_tight_box_is_torchvisions():
    mask = mask_of(9, 7, 3, 0.1)
    left, top, right, bottom = masks_to_boxes(mask[None])[0].tolist()  # the last pixel's index
    assert tight_box(mask) == (left, top, right + 1, bottom + 1)


def test_pixels_that_touch_at_a_corner_are_connected():
    mask = torch.eye(4, dtype=torch.bool)
    mask[3, 0] = True
    assert largest_component(mask).sum() == 4


def test_iou_by_hand():
    one = torch.tensor([[[1, 1, 0]], [[0, 0, 0]], [[1, 1, 1]], [[1, 0, 0]]], dtype=torch.bool)
    other = torch.tensor([[[0, 1, 1]], [[0, 0, 0]], [[1, 1, 1]], [[0, 1, 1]]], dtype=torch.bool)
    assert intersection_over_union(one, other).tolist() == [1 / 3, 0, 1, 0]


def test_the_union_of_each_pairs_boxes():
    maps = torch.zeros(2, 2, 3)
    found = ground_truth_regions(maps, [[(0, 0, 1, 1), (0, 0, 2, 1)], []], None)
    assert found.int().tolist() == [[[1, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]


MAPS, TRUTH = torch.zeros(2, 3, 3), torch.ones(2, 3, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("maps", "boxes", "masks", "error", "text"),
    [
        (
            MAPS,
            None,
            None,
            ValueError,
            "Expected the ground truth to be either boxes or masks, but got neither.",
        ),
        (
            MAPS,
            [[], []],
            TRUTH,
            ValueError,
            "Expected the ground truth to be either boxes or masks, but got both.",
        ),
        (MAPS[0], None, TRUTH, ValueError, "Expected maps to be of shape (P,H,W), but got (3, 3)."),
        (
            MAPS + float("nan"),
            None,
            TRUTH,
            ValueError,
            "Expected maps to be finite, but got NaN at index [0, 0, 0].",
        ),
        (
            MAPS,
            [[]],
            None,
            ValueError,
            "Expected boxes to be one for each of the 2 maps, but got 1.",
        ),
        (
            MAPS,
            None,
            TRUTH[:1],
            ValueError,
            "Expected masks to be one for each of the 2 maps, but got 1.",
        ),
        (
            MAPS,
            None,
            TRUTH.float(),
            TypeError,
            "Expected masks to be a boolean tensor, but got torch.float32.",
        ),
        (
            MAPS,
            None,
            TRUTH[:, 0],
            ValueError,
            "Expected masks to be of shape (P,H,W), but got (2, 3).",
        ),
    ],
)
def test_wrong_ground_truth(maps, boxes, masks, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        ground_truth_regions(maps, boxes, masks)
    assert str(raised.value) == text
