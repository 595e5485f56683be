"""What the classes refuse, and with which words."""

import pytest
import torch

from captum_cluster import metrics

MAPS, TARGET = torch.rand(1, 4, 4), torch.tensor([0])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: metrics.AverageDrop(signed=1),
            TypeError,
            "Expected signed to be True or False, but got 1.",
        ),
        (
            lambda: metrics.MultiLabelConfidence(0),
            ValueError,
            "Expected num_labels to be an integer of at least 1, but got 0.",
        ),
        (
            lambda: metrics.MultiLabelConfidence(3, average="weighted"),
            ValueError,
            "Expected average to be one of 'macro', 'micro', but got 'weighted'.",
        ),
        (
            lambda: metrics.MultiLabelConfidence(3, single_label="one"),
            ValueError,
            "Expected single_label to be one of 'zero', 'exclude', but got 'one'.",
        ),
        (
            lambda: metrics.PointingGame(tolerance=-1),
            ValueError,
            "Expected tolerance to be a number of at least 0, but got -1.",
        ),
        (
            lambda: metrics.LocalizationError(2, iou=0),
            ValueError,
            "Expected iou to be a number above 0 and at most 1, but got 0.",
        ),
        (
            lambda: metrics.ObjectIoU(2.0),
            TypeError,
            "Expected num_classes to be an integer of at least 1, but got 2.0.",
        ),
        (
            lambda: metrics.ObjectIoU(2, threshold=1.5),
            ValueError,
            "Expected threshold to be a number above 0 and at most 1, but got 1.5.",
        ),
        (
            lambda: metrics.ObjectRecall(2, threshold=0),
            ValueError,
            "Expected threshold to be a number above 0 and at most 1, but got 0.",
        ),
        (
            lambda: metrics.ObjectPrecision(0),
            ValueError,
            "Expected num_classes to be an integer of at least 1, but got 0.",
        ),
        (
            lambda: metrics.MeanIoU(2, background=-0.1),
            ValueError,
            "Expected background to be a number from 0 to 1, but got -0.1.",
        ),
        (
            lambda: metrics.PixelFScore(2, average="macro"),
            ValueError,
            "Expected average to be one of 'present', 'all', 'none', but got 'macro'.",
        ),
    ],
)
def test_wrong_options(make, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        make()
    assert str(raised.value) == text


def test_options_of_torchmetrics_are_passed_on():
    assert metrics.AverageDrop(sync_on_compute=False).sync_on_compute is False
    with pytest.raises(ValueError, match="Unexpected keyword arguments: `beta`"):
        metrics.MeanIoU(2, beta=1)


@pytest.mark.parametrize(
    ("metric", "arguments", "text"),
    [
        (
            metrics.MultiLabelConfidence(3),
            (torch.rand(1, 2), torch.rand(1, 2), torch.rand(1, 2), TARGET),
            "Expected original to be of shape (P,L) with L = 3, but got (1, 2).",
        ),
        (
            metrics.MeanIoU(3),
            (torch.rand(1, 2, 4, 4), torch.ones(1, 2) > 0, torch.zeros(1, 4, 4).long()),
            "Expected maps to be of shape (N,L,H,W) with L = 3, but got (1, 2, 4, 4).",
        ),
        (
            metrics.EnergyProportion(),
            (MAPS, TARGET),
            "Expected the ground truth to be either boxes or masks, but got neither.",
        ),
        (
            metrics.IncreaseInConfidence(),
            (torch.rand(2), torch.rand(3)),
            "Expected original and masked to be of one shape (P,), but got (2,) and (3,).",
        ),
    ],
)
def test_a_wrong_batch_leaves_the_sums(metric, arguments, text):
    with pytest.raises(ValueError, match="^Expected") as raised:
        metric.update(*arguments)
    assert str(raised.value) == text
    assert not any(state.any() for state in metric.metric_state.values())


def test_classes_are_needed_where_the_mean_is_over_classes():
    overlaps = (metrics.ObjectIoU(2), metrics.ObjectRecall(2), metrics.ObjectPrecision(2))
    for metric in (metrics.LocalizationError(2), *overlaps):
        with pytest.raises(TypeError, match="^Expected target") as raised:
            metric.update(MAPS, masks=MAPS > 0.5)
        assert str(raised.value) == (
            "Expected target to be integers of shape (P,), but got None (NoneType)."
        )
        with pytest.raises(ValueError, match="^Expected target to be labels below 2, but got 2"):
            metric.update(MAPS, TARGET + 2, masks=MAPS > 0.5)


@pytest.mark.parametrize(
    "metric",
    [
        metrics.EnergyProportion(),
        metrics.PointingGame(),
        metrics.LocalizationError(2),
        metrics.ObjectIoU(2),
        metrics.ObjectRecall(2),
        metrics.ObjectPrecision(2),
    ],
)
def test_all_zero_and_nan_maps_and_missing_ground_truth(metric):
    zero = torch.zeros(2, 4, 4)
    boxes = [[(0, 0, 2, 2), (-9, 0, 0, 9)], [(90, 0, 99, 4)]]
    metric.reset()
    metric.update(zero, torch.tensor([0, 1]), boxes=boxes)
    assert float(metric.compute()) == (0.0 if metric.higher_is_better else 1.0)
    assert int(metric.skipped) == 1
    before = {name: state.clone() for name, state in metric.metric_state.items()}
    with pytest.raises(ValueError, match="^Expected maps to be finite, but got NaN at index"):
        metric.update(zero + float("nan"), torch.tensor([0, 1]), boxes=boxes)
    for name, state in metric.metric_state.items():
        assert torch.equal(state, before[name])


def test_sums_of_another_metric_are_refused():
    metric = metrics.ObjectIoU(2)
    with pytest.raises(ValueError, match="^Expected sums") as raised:
        metric.load_sums(metrics.AverageDrop().metric_state)
    assert str(raised.value) == "Expected sums to be iou, pairs, skipped, but got drop, pairs."
    with pytest.raises(ValueError, match="^Expected sums to be iou, pairs, skipped, but got none"):
        metric.load_sums({})
    with pytest.raises(ValueError, match="^Expected iou") as raised:
        metric.load_sums(metrics.ObjectIoU(3).metric_state)
    assert str(raised.value) == "Expected iou to be of shape (2,), but got (3,)."


def test_the_threshold_of_what_a_map_marks():
    maps, mask = (
        torch.tensor([[[0.0, 4.0, 5.0, 10.0]]]),
        torch.tensor([[[True, False, True, True]]]),
    )
    for threshold, (iou, recall, precision) in {
        0.15: (2 / 4, 2 / 3, 2 / 3),
        0.5: (2 / 3, 2 / 3, 1.0),
        0.6: (1 / 3, 1 / 3, 1.0),
    }.items():
        for make, expected in (
            (metrics.ObjectIoU, iou),
            (metrics.ObjectRecall, recall),
            (metrics.ObjectPrecision, precision),
        ):
            metric = make(1, threshold)
            metric.update(maps, torch.tensor([0]), masks=mask)
            assert metric.compute().item() == pytest.approx(expected)


def test_each_class_by_itself():
    truth = torch.tensor([[[0, 1, 1]]])
    maps = torch.tensor([[[[0.0, 0, 9]], [[1.0, 1, 1]]]])
    for metric, first in (
        (metrics.MeanIoU(2, average="none"), 1 / 2),
        (metrics.PixelFScore(2, average="none"), 2 / 3),
    ):
        metric.update(maps, torch.tensor([[True, False]]), truth)
        each = metric.compute()
        assert each[:2].tolist() == pytest.approx([first, first])
        assert each[2].isnan()


@pytest.mark.parametrize("ignored", [255, 7])
def test_ignored_pixels(ignored):
    metric = metrics.MeanIoU(1, ignore_index=ignored)
    truth = torch.tensor([[[0, 1, ignored]]])
    metric.update(torch.tensor([[[[0.0, 5, 5]]]]), torch.tensor([[True]]), truth)
    assert metric.true.tolist() == [1, 1]
    assert metric.compute() == 1
