"""The slow derivations of where a map points, against numbers from paper."""

import math

import numpy as np
import pytest

from tests.helpers import localization_references as ref


def test_pointing():
    saliency = [[0, 3, 1], [0, 3, 0]]
    assert ref.pointing(saliency, [[0, 1, 0], [0, 0, 0]]) == 1
    assert ref.pointing(saliency, [[0, 0, 0], [0, 1, 0]]) == 0  # the second of equal maxima
    assert ref.pointing(saliency, [[0, 0, 0], [0, 1, 0]], tolerance=1) == 1
    assert ref.pointing(saliency, [[0, 0, 0], [1, 0, 0]], tolerance=1.4) == 0
    assert ref.pointing([[-1, 0, 0]], [[1, 1, 1]]) == 0


def test_components():
    mask = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert ref.components(mask) == [[(0, 0), (1, 1)], [(0, 3), (1, 3)], [(3, 0)]]
    assert ref.components([[0, 0]]) == []
    assert ref.box_around([(0, 3), (1, 3)]) == (3, 0, 4, 2)


def test_boxes():
    assert ref.clipped([(-1, -1, 2, 1), (5, 5, 7, 7), (0.6, 0, 1.4, 1)], (3, 4)) == [(0, 0, 2, 1)]
    assert ref.box_iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert ref.box_iou((0, 0, 1, 1), (1, 0, 2, 1)) == 0
    assert ref.box_iou((0, 0, 1, 2), (0, 0, 1, 2)) == 1


def test_localization_error():
    saliency = [[10, 10, 0, 0, 9], [10, 1, 0, 0, 9]]  # 1 is below 0.15 of 10; the left part: 2x2
    assert ref.localization_error(saliency, [(0, 0, 2, 2)]) == 0
    assert ref.localization_error(saliency, [(0, 0, 2, 1)]) == 0
    assert ref.localization_error(saliency, [(0, 0, 2, 1)], iou=0.51) == 1
    assert ref.localization_error(saliency, [(4, 0, 5, 2)]) == 1
    assert ref.localization_error(saliency, [(4, 0, 5, 2), (0, 0, 2, 2)]) == 0
    assert ref.localization_error([[0, -1]], [(0, 0, 2, 1)]) == 1
    assert ref.localization_error(saliency, [(9, 9, 10, 10)]) is None


def test_object_iou_and_the_mean_of_classes():
    assert ref.object_iou([[0, 1, 5, 10]], [[0, 1, 1, 0]]) == pytest.approx(1 / 3)
    assert ref.object_iou([[0, 0, 0, 0]], [[0, 1, 1, 0]]) == 0
    assert ref.mean_of_classes([1, 0, None, 1], [2, 2, 0, 1]) == 0.75
    assert math.isnan(ref.mean_of_classes([None], [0]))


def test_object_recall_and_precision():
    saliency, thing = [[0, 1, 5, 10], [0, 0, 0, 9]], [[0, 1, 1, 0], [1, 0, 0, 1]]
    assert ref.object_recall(saliency, thing) == 2 / 4  # 5 and 9; 1 is below 0.15 of 10
    assert ref.object_precision(saliency, thing) == 2 / 3
    assert ref.object_recall(saliency, thing, 0.1) == ref.object_precision(saliency, thing, 0.1)
    assert ref.object_recall(saliency, thing, 0.1) == 3 / 4
    for nothing in ([[0, 0]], [[-1, 0]]):
        assert ref.object_recall(nothing, [[1, 1]]) == ref.object_precision(nothing, [[1, 1]]) == 0
    assert ref.object_recall([[0, 1]], [[0, 0]]) == 0


def test_segmentation():
    maps = np.array([[[0, 1, 10]], [[10, 1, 0]], [[9, 9, 0]]])
    assert ref.label_map(maps, [0, 1], (1, 3)).tolist() == [[2, 0, 1]]
    assert ref.label_map(maps, [1, 2], (1, 3)).tolist() == [[2, 3, 0]]
    counts = ref.class_counts([[[2, 0, 1, 1]]], [[[2, 2, 1, 255]]], 4)
    assert counts == [[0, 1, 0], [1, 1, 1], [1, 1, 2], [0, 0, 0]]
    assert ref.mean_iou(counts) == (1 + 1 / 2) / 2
    assert ref.mean_iou(counts, "all") == (0 + 1 + 1 / 2 + 0) / 4
    assert ref.mean_f_score(counts) == pytest.approx((1 + 2 / 3) / 2)


def test_likeness():
    assert ref.ranks([3, 1, 3, 2]) == [3.5, 1, 3.5, 2]
    assert ref.spearman([1, 2, 3], [1, 9, 5]) == pytest.approx(0.5)
    bright = np.ones((6, 6))
    assert ref.ssim(bright, bright) == pytest.approx(1)
    assert ref.ssim(bright, 0 * bright) == pytest.approx(1e-4 / (1 + 1e-4))
