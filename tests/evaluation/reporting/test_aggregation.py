"""Records add up to the same sums, costs and curves whatever their order."""

import itertools
import math
import random

import numpy as np
import pytest
import torch

from captum_cluster.evaluation.reporting.aggregation import add_up
from captum_cluster.evaluation.reporting.image_sums import chunks
from captum_cluster.evaluation.running.measures import METRICS, choose_metrics
from captum_cluster.evaluation.running.records import encode_sums
from captum_cluster.functional import metrics as maths
from tests.helpers.runs import average_drop, failure, record, vector


def values(totals, metric, method="one"):
    sums = totals.sums[metric][method]
    return sums.values(np.ones((len(sums.given), 1)))[:, 0].tolist()


def test_sums_are_added_before_the_ratio_is_taken():
    records = [record(4, "one", average_drop(0.5, 1)), record(2, "one", average_drop(1.0, 3))]
    totals = add_up(records, ["one"], choose_metrics(["average-drop"]))
    assert totals.images.tolist() == [2, 4]
    assert values(totals, "average-drop") == [1.5 / 4]
    assert totals.sums["average-drop"]["one"].of_images().tolist() == [[1 / 3, 0.5]]


def test_of_two_records_of_one_image_and_method_the_first_counts():
    twice = [record(0, "one", average_drop(0.5)), record(0, "one", average_drop(0.9), forwards=99)]
    totals = add_up(twice, ["one"], choose_metrics(["average-drop"]))
    assert values(totals, "average-drop") == [0.5]
    assert (totals.methods["one"].images, totals.methods["one"].forwards) == (1, 7)


def test_a_mean_over_classes():
    first = {"localization-error": {"errors": vector(9, c2=1), "pairs": vector(9, c2=1, c7=1)}}
    second = {"localization-error": {"errors": vector(9), "pairs": vector(9, c2=1)}}
    totals = add_up(
        [record(0, "one", first), record(1, "one", second)],
        ["one"],
        choose_metrics(["localization-error"]),
    )
    assert values(totals, "localization-error") == [0.25]  # class 2: 1 of 2, class 7: 0 of 1
    assert totals.sums["localization-error"]["one"].of_images().tolist() == [[0.5, 0.0]]


def random_sums(metric, classes, generator):
    """Return the sums of a random image with few of many classes."""
    targets = torch.randperm(classes, generator=generator)[:2]
    present = torch.zeros(2, classes, dtype=torch.bool)
    present[:, targets] = True
    if metric == "multi-label":
        rows = torch.rand(3, 2, classes, generator=generator)
        return maths.multi_label_confidence_update(*rows, targets, present)
    if metric.startswith("object-"):
        maps = torch.rand(2, 6, 6, generator=generator)
        masks = torch.rand(2, 6, 6, generator=generator) > 0.5
        update = getattr(maths, f"{metric.replace('-', '_')}_update")
        return update(maps, targets, masks, num_classes=classes)
    truth = torch.zeros(1, 6, 6, dtype=torch.int64)
    truth[0, :3], truth[0, 3] = targets[0] + 1, targets[1] + 1
    maps = torch.rand(1, classes, 6, 6, generator=generator)
    return maths.segmentation_update(maps, present[:1], truth)


@pytest.mark.parametrize(
    "metric", ["multi-label", "object-iou", "object-recall", "object-precision", "segmentation"]
)
def test_classes_that_no_image_has_change_nothing(metric):
    generator = torch.Generator().manual_seed(1)
    sums = [random_sums(metric, 40, generator) for _ in range(5)]
    records = [record(i, "one", {metric: encode_sums(one)}) for i, one in enumerate(sums)]
    totals = add_up(records, ["one"], choose_metrics([metric]))
    assert totals.sums[metric]["one"].width <= 11 * len(sums[0])
    added = {name: sum(one[name] for one in sums)[None] for name in sums[0]}
    expected = [float(value) for value in METRICS[metric].compute(added)]
    assert values(totals, metric) == pytest.approx(expected, nan_ok=True, abs=1e-12)
    assert not all(map(math.isnan, expected))
    alone = [METRICS[metric].compute({k: v[None] for k, v in one.items()}) for one in sums]
    found = totals.sums[metric]["one"].of_images().T
    for row, one in zip(found, alone, strict=True):
        assert row.tolist() == pytest.approx([float(value) for value in one], abs=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_sums_that_are_not_finite_are_left_out(bad):
    records = [record(0, "one", average_drop(bad)), record(1, "one", average_drop(0.5))]
    totals = add_up(records, ["one"], choose_metrics(["average-drop"]))
    assert totals.sums["average-drop"]["one"].given.tolist() == [False, True]
    assert values(totals, "average-drop") == [0.5]


def test_counts_of_maps_and_costs():
    records = [
        record(0, "one", {}, marked=[True, False], forwards=1, seconds=1.0, labels=2),
        record(1, "one", {}, marked=[False], finite=False, forwards=4, seconds=2.0),
    ]
    found = add_up(records, ["one"], {})
    one = found.methods["one"]
    assert (one.maps, one.unmarked, one.not_finite) == (3, 2, 1)
    assert (one.forwards, one.seconds, found.most_labels) == (2.5, 1.5, 2)


def test_images_without_a_result():
    records = [
        {"image": 5, "name": "b", "error": "broken"},
        {"image": 5, "name": "b", "error": "broken again"},
        {"image": 1, "name": "a", "empty": True},
        record(2, "one", {}),
        record(2, "two", {}),
        record(3, "two", {}),
    ]
    totals = add_up(records, ["one", "two"], {})
    assert totals.skipped == {5: ("b", "broken again")}
    assert totals.unlabelled == {1: "a"}
    assert totals.images.tolist() == [2, 3]
    assert (totals.done, totals.judged) == (3, 1)  # 1, 2 and 5: image 3 lacks a method


def broken(image, text="broken"):
    return {"image": image, "name": f"picture {image}", "error": text}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_an_image_that_could_be_read_later_is_not_skipped(order):
    records = [
        broken(0),
        record(0, "one", average_drop(0.5)),
        broken(1),
        {"image": 1, "name": "picture 1", "empty": True},
    ]
    totals = add_up([records[place] for place in order], ["one"], choose_metrics(["average-drop"]))
    assert totals.skipped == {}
    assert totals.unlabelled == {1: "picture 1"}
    assert (totals.done, totals.judged, totals.images.tolist()) == (2, 1, [0])


def test_an_image_that_a_method_fails_on_could_be_read():
    totals = add_up([broken(0), failure(0, "one"), failure(0, "two")], ["one", "two"], {})
    assert totals.skipped == {}
    assert (totals.done, totals.judged) == (1, 0)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_result_replaces_a_failure(order):
    records = [
        failure(0, "one", "first"),
        record(0, "one", average_drop(0.5)),
        failure(0, "two", "svd"),
    ]
    totals = add_up(
        [records[place] for place in order], ["one", "two"], choose_metrics(["average-drop"])
    )
    assert totals.failed == {"one": {}, "two": {0: ("picture 0", "svd")}}
    assert (totals.done, totals.judged) == (1, 1)
    assert [one.images for one in totals.methods.values()] == [1, 0]
    assert values(totals, "average-drop") == [0.5]


def test_failures_of_one_image_count_once_and_the_last_message_stays():
    records = [failure(4, "one", "a"), failure(2, "one", "b"), failure(4, "one", "c")]
    totals = add_up(records, ["one"], {})
    assert list(totals.failed["one"].items()) == [(2, ("picture 2", "b")), (4, ("picture 4", "c"))]
    assert len(totals.images) == 0


def test_an_image_is_done_when_each_method_has_a_result_or_a_failure():
    records = [failure(0, "one"), record(0, "two", {}), failure(1, "two"), record(2, "two", {})]
    totals = add_up(records, ["one", "two"], {})
    assert (totals.done, totals.judged) == (1, 1)


def test_the_first_image_of_each_message_is_told():
    texts = ["svd", "nan", "svd", "memory", "shape"]
    totals = add_up([failure(i, "one", text) for i, text in enumerate(texts)], ["one"], {})
    assert totals.first_errors("one") == [
        (0, "picture 0", "svd"),
        (1, "picture 1", "nan"),
        (3, "picture 3", "memory"),
    ]


def test_nothing_at_all():
    totals = add_up([], ["one"], choose_metrics(["average-drop"]))
    assert (len(totals.images), totals.done, totals.sums) == (0, 0, {})
    assert math.isnan(totals.methods["one"].seconds)


def test_another_method_is_an_error():
    for one in (record(0, "two", {}), failure(0, "two")):
        with pytest.raises(ValueError, match=r"to be of the run's methods \(one\), but got 'two'"):
            add_up([one], ["one"], {})


def test_the_order_of_the_records_does_not_change_the_last_digit():
    draw = random.Random(0)
    records = [
        record(
            image,
            "one",
            {
                **average_drop(draw.random()),
                "object-iou": {"iou": vector(4, c1=draw.random()), "pairs": vector(4, c1=1)},
            },
            seconds=10 ** draw.uniform(-8, 8),
            deletion=[draw.random() for _ in range(4)],
            insertion=[draw.random() for _ in range(4)],
            shares=[0, 0.3 + image % 7 / 70, 0.9, 1],
        )
        for image in range(60)
    ]
    first = add_up(records, ["one"], choose_metrics(["average-drop", "object-iou"]))
    draw.shuffle(records)
    again = add_up(records, ["one"], choose_metrics(["average-drop", "object-iou"]))
    assert first.methods["one"].deletion == again.methods["one"].deletion != ()
    assert first.methods["one"].seconds == again.methods["one"].seconds
    for metric in ("average-drop", "object-iou"):
        assert values(first, metric) == values(again, metric)


def test_pieces_cover_everything():
    assert list(chunks(7, 2**22)) == [1] * 7
    assert sum(chunks(1000, 10_000)) == 1000
    assert list(chunks(0, 5)) == []
