import math

import pytest
import torch

from captum_cluster.data import clip_boxes
from captum_cluster.functional.metrics import box_region, tight_box


def slow_pixels(boxes, size):
    inside = torch.zeros(size, dtype=torch.bool)
    for row in range(size[0]):
        for column in range(size[1]):
            for x0, y0, x1, y1 in boxes:
                if x0 <= column + 0.5 < x1 and y0 <= row + 0.5 < y1:
                    inside[row, column] = True
    return inside


def test_pixels_are_those_whose_centre_is_inside():
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        corners = torch.rand(3, 2, 2, generator=generator, dtype=torch.float64).sort(1).values * 9
        boxes = corners.flatten(1).tolist()
        assert torch.equal(box_region(boxes, (8, 9)), slow_pixels(boxes, (8, 9)))


def test_boxes_of_whole_numbers_are_slices():
    inside = torch.zeros(6, 7, dtype=torch.bool)
    inside[1:4, 2:7] = True
    assert torch.equal(box_region([(2, 1, 7, 4)], (6, 7)), inside)
    assert tight_box(inside) == (2, 1, 7, 4)


def test_a_centre_on_the_border_is_inside_at_the_start_alone():
    assert box_region([(0.5, 1.5, 2.5, 2.5)], (4, 4)).nonzero().tolist() == [[1, 0], [1, 1]]


def test_no_box_has_no_pixels():
    assert not box_region([], (2, 3)).any()


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((0, 1, 1, 3, 2), [(0, 1, 1, 3, 2)]),
        ((0, -5, -5, 50, 50), [(0, 0, 0, 8, 6)]),
        ((0, 7.5, 5.5, 9, 9), [(0, 7.5, 5.5, 8, 6)]),
        ((0, 8, 0, 9, 6), []),  # begins where the image ends
        ((0, -3, 0, 0, 6), []),
        ((0, 2, 2, 2, 4), []),
        ((0, 3, 2, 2, 4), []),
        ((0, 0, 0, math.nan, 4), []),
        ((0, 0, 0, math.inf, 4), []),
    ],
)
def test_clipping(box, clipped):
    assert clip_boxes([box], (6, 8)) == tuple(clipped)
