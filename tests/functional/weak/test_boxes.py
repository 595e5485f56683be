"""Boxes of whole pixels against the pixels themselves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.metrics import box_region, tight_box
from captum_cluster.functional.weak.boxes import (
    contains_pixel,
    crop_boxes,
    pixel_boxes,
    unique_boxes,
)

EDGES = st.sampled_from([-30.0, -0.5, 0.0, 0.4, 0.5, 0.6, 1.5, 2.0, 3.7, 5.5, 6.0, 40.0])
BOXES = st.lists(st.tuples(EDGES, EDGES, EDGES, EDGES), max_size=5)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(BOXES, st.integers(1, 6), st.integers(1, 6))
def test_a_box_of_pixels_holds_the_pixels_of_its_box(boxes, h, w):
    expected = [tight_box(box_region([box], (h, w))) for box in boxes]
    found = pixel_boxes(boxes, (h, w))
    assert found.dtype == torch.int64
    assert [tuple(box) for box in found.tolist()] == [box for box in expected if box is not None]


def test_whole_boxes_stay():
    boxes = torch.tensor([[0, 0, 5, 4], [2, 1, 3, 2]])
    assert torch.equal(pixel_boxes(boxes, (4, 5)), boxes)
    assert pixel_boxes([], (4, 5)).shape == (0, 4)


def test_unique_boxes_keep_their_order():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.randint(0, 2, (40, 4), generator=generator)
    expected = list(dict.fromkeys(map(tuple, boxes.tolist())))
    assert [tuple(box) for box in unique_boxes(boxes).tolist()] == expected
    assert unique_boxes(boxes[:0]).shape == (0, 4)


def test_a_box_holds_the_pixels_of_its_crop():
    image = torch.arange(20).reshape(1, 4, 5)
    boxes = torch.tensor([[0, 0, 5, 4], [2, 1, 3, 2], [0, 3, 5, 4]])
    crops = crop_boxes(image, boxes)
    for y in range(4):
        for x in range(5):
            inside = [bool((crop == image[0, y, x]).any()) for crop in crops]
            assert contains_pixel(boxes, (y, x)).tolist() == inside
    assert crops[0].data_ptr() == image.data_ptr()  # a view
    assert crop_boxes(image, boxes[:0]) == []


def test_what_is_no_image():
    with pytest.raises(ValueError, match="^Expected image") as raised:
        crop_boxes(torch.zeros(4, 5), torch.tensor([[0, 0, 1, 1]]))
    assert str(raised.value) == "Expected image to be of shape (C,H,W), but got (4, 5)."
