"""Label maps, IoU and F-score, by hand, against slow derivations and against torchmetrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_f1_score, multiclass_jaccard_index

from captum_cluster.functional.attribution.masks import saliency as prepare
from captum_cluster.functional.metrics import (
    class_f_score,
    class_iou,
    label_maps,
    mean_iou_compute,
    pixel_f_score_compute,
    segmentation_update,
)
from tests.helpers import localization_references as ref

SIZE = (6, 7)


def case(seed, images=3, labels=3, grid=SIZE):
    """Maps, presence and truth with ignored pixels; often without one of the classes."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(images, labels, *grid, dtype=torch.float64, generator=generator)
    present = torch.rand(images, labels, generator=generator) < 0.5
    truth = torch.randint(0, labels + 1, (images, *SIZE), generator=generator)
    truth[torch.rand(truth.shape, generator=generator) < 0.2] = 255
    return maps, present, truth.to(torch.uint8)


def slow_labels(maps, present, background=0.15):
    return [
        ref.label_map(maps[n], present[n].nonzero().flatten().tolist(), SIZE, background)
        for n in range(len(maps))
    ]


# Label maps


def test_label_maps_by_hand():
    maps = torch.tensor([[[[0.0, 5.0, 10.0, 1.0]], [[10.0, 5.0, 0.0, 1.0]], [[9.0, 9, 9, 9]]]])
    here = torch.tensor([[True, True, False]])
    # equal labels: the first; 0.1 is less than the background
    assert label_maps(maps, here).tolist() == [[[2, 1, 1, 0]]]
    # the background wins against an equal saliency
    assert label_maps(maps, here, background=0.5).tolist() == [[[2, 0, 1, 0]]]
    assert label_maps(maps, here & False).tolist() == [[[0, 0, 0, 0]]]


def test_a_label_that_is_not_present_is_not_read():
    maps, present, _ = case(0)
    present[:, 1] = False
    changed = maps.clone()
    changed[:, 1] = math.nan
    assert torch.equal(label_maps(changed, present), label_maps(maps, present))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 999), st.sampled_from([0.0, 0.15, 0.5]), st.sampled_from([(2, 3), SIZE]))
def test_label_maps_are_the_reference(seed, background, grid):
    maps, present, _ = case(seed, grid=grid)
    found = label_maps(maps, present, background=background, size=SIZE)
    # prepared already, as rounding decides among equal values at the border of enlarged maps
    maps = prepare(maps, SIZE)
    np.testing.assert_array_equal(found, np.stack(slow_labels(maps, present, background)))


# IoU and F-score


def test_scores_by_hand():
    # predicted 0 0 1 1 2, true 0 1 1 255 1: counts of 0: 1 of 2 and 1; of 1: 1 of 1 and 3
    maps = torch.tensor([[[[0.0, 0, 5, 5, 0]], [[0.0, 0, 0, 0, 5]], [[0.0, 0, 0, 0, 0]]]])
    truth = torch.tensor([[[0, 1, 1, 255, 1]]])
    sums = segmentation_update(maps, torch.tensor([[True, True, False]]), truth)
    assert sums["intersection"].tolist() == [1, 1, 0, 0]
    assert sums["predicted"].tolist() == [2, 1, 1, 0]
    assert sums["true"].tolist() == [1, 3, 0, 0]
    np.testing.assert_allclose(class_iou(sums), [1 / 2, 1 / 3, 0, math.nan])
    np.testing.assert_allclose(class_f_score(sums), [2 / 3, 1 / 2, 0, math.nan])
    assert float(mean_iou_compute(sums)) == pytest.approx(5 / 12)
    assert float(mean_iou_compute(sums, average="all")) == pytest.approx(5 / 6 / 4)
    np.testing.assert_array_equal(mean_iou_compute(sums, average="none"), class_iou(sums))
    assert float(pixel_f_score_compute(sums)) == pytest.approx(7 / 12)
    assert float(pixel_f_score_compute(sums, average="all")) == pytest.approx(7 / 6 / 4)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 999), st.integers(1, 3), st.integers(1, 4))
def test_scores_are_the_reference(seed, images, labels):
    maps, present, truth = case(seed, images, labels)
    parts = [
        segmentation_update(maps[rows], present[rows], truth[rows])
        for rows in (slice(0, 1), slice(1, None))
    ]
    sums = {name: parts[0][name] + parts[1][name] for name in parts[0]}
    counts = ref.class_counts(slow_labels(maps, present), truth, labels + 1)
    for average in ("present", "all"):
        expected = ref.mean_iou(counts, average)
        assert float(mean_iou_compute(sums, average=average)) == pytest.approx(expected, abs=1e-12)
    expected = ref.mean_f_score(counts)
    assert float(pixel_f_score_compute(sums)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_torchmetrics(seed):
    maps, present, truth = case(seed, images=4)
    sums = segmentation_update(maps, present, truth)
    assert (sums["true"] > 0).all()  # then "present" is the plain mean over all classes
    found, options = label_maps(maps, present), {"num_classes": 4, "ignore_index": 255}
    iou = multiclass_jaccard_index(found, truth.long(), average="macro", **options)
    assert float(mean_iou_compute(sums)) == pytest.approx(float(iou), abs=1e-6)
    f_score = multiclass_f1_score(found, truth.long(), average="macro", **options)
    assert float(pixel_f_score_compute(sums)) == pytest.approx(float(f_score), abs=1e-6)
    each = multiclass_jaccard_index(found, truth.long(), average="none", **options)
    np.testing.assert_allclose(class_iou(sums), each, atol=1e-6)


def test_perfect_and_worst():
    truth = torch.tensor([[[0, 1, 1], [2, 2, 255]]])
    maps = torch.stack([truth == 1, truth == 2], dim=1).float()
    here = torch.ones(1, 2, dtype=torch.bool)
    good = segmentation_update(maps, here, truth)
    bad = segmentation_update(maps.flip(1) + (truth == 0)[:, None], here, truth)
    for compute in (mean_iou_compute, pixel_f_score_compute):
        assert compute(good).item() == 1
        assert compute(bad).item() == 0


def test_an_image_without_labels_is_background():
    truth = torch.tensor([[[0, 0, 1]]])
    sums = segmentation_update(torch.rand(1, 2, 1, 3), torch.zeros(1, 2) > 0, truth)
    assert mean_iou_compute(sums).item() == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize("average", ["present", "all"])
def test_no_pixel_that_counts_is_nan(average):
    sums = segmentation_update(
        torch.rand(1, 2, 1, 3), torch.zeros(1, 2) > 0, torch.full((1, 1, 3), 255)
    )
    assert mean_iou_compute(sums, average=average).isnan()
    assert pixel_f_score_compute(sums, average=average).isnan()


def test_many_resamples_at_once():
    several = [segmentation_update(*case(seed)) for seed in range(3)]
    stacked = {name: torch.stack([sums[name] for sums in several]) for name in several[0]}
    for compute in (mean_iou_compute, pixel_f_score_compute):
        for average in ("present", "all", "none"):
            found = compute(stacked, average=average)
            for one, sums in zip(found, several, strict=True):
                np.testing.assert_array_equal(one, compute(sums, average=average))


def test_another_number_may_be_ignored():
    truth = torch.tensor([[[-1, 0, 1]]])
    sums = segmentation_update(
        torch.rand(1, 1, 1, 3), torch.zeros(1, 1) > 0, truth, ignore_index=-1
    )
    assert sums["true"].tolist() == [1, 1]


MAPS, HERE = torch.rand(1, 2, 3, 3), torch.ones(1, 2, dtype=torch.bool)
TRUTH = torch.zeros(1, 3, 3, dtype=torch.long)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (
            {"maps": MAPS[0]},
            ValueError,
            "Expected maps and present to be of shapes (N,L,h,w) and (N,L), but got maps "
            "(2, 3, 3) and present (1, 2).",
        ),
        (
            {"present": HERE[:, :1]},
            ValueError,
            "Expected maps and present to be of shapes (N,L,h,w) and (N,L), but got maps "
            "(1, 2, 3, 3) and present (1, 1).",
        ),
        (
            {"present": HERE.int()},
            TypeError,
            "Expected present to be a boolean tensor, but got torch.int32.",
        ),
        (
            {"maps": MAPS * math.nan},
            ValueError,
            "Expected maps to be finite, but got NaN at index [0, 0, 0].",
        ),
        (
            {"masks": TRUTH.float()},
            TypeError,
            "Expected masks to be a tensor of integers, but got a tensor of shape (1, 3, 3) and "
            "dtype torch.float32.",
        ),
        (
            {"masks": TRUTH[0]},
            ValueError,
            "Expected masks to be of shape (N,H,W) with N = 1, but got (3, 3).",
        ),
        (
            {"masks": TRUTH + 3},
            ValueError,
            "Expected masks to be numbers from 0 to the number of labels (2), or 255 for ignored "
            "pixels, but got 3.",
        ),
        (
            {"masks": TRUTH - 1},
            ValueError,
            "Expected masks to be numbers from 0 to the number of labels (2), or 255 for ignored "
            "pixels, but got -1.",
        ),
        (
            {"background": 1.5},
            ValueError,
            "Expected background to be a number from 0 to 1, but got 1.5.",
        ),
    ],
)
def test_wrong_arguments(change, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        segmentation_update(**{"maps": MAPS, "present": HERE, "masks": TRUTH, **change})
    assert str(raised.value) == text


def test_wrong_average():
    sums = segmentation_update(MAPS, HERE, TRUTH)
    for compute in (mean_iou_compute, pixel_f_score_compute):
        with pytest.raises(ValueError, match="^Expected average") as raised:
            compute(sums, average="macro")
        assert str(raised.value) == (
            "Expected average to be one of 'present', 'all', 'none', but got 'macro'."
        )
