"""Which images a report shows."""

import math

from captum_cluster.evaluation.reporting.aggregation import add_up
from captum_cluster.evaluation.reporting.gallery import make_gallery
from captum_cluster.evaluation.running.measures import METRICS, choose_metrics
from tests.helpers.runs import average_drop, overall, record

OVERALL = METRICS["overall"].values
DROP = METRICS["average-drop"].values


def gallery(records, values, methods=("one",), metrics=("average-drop", "overall")):
    totals = add_up(records, methods, choose_metrics(metrics))
    return make_gallery(records, totals, methods, values)


def test_best_and_worst_by_insertion_less_deletion():
    scores = [0.1, 0.9, 0.5, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6]
    records = [
        record(image, "one", {**overall(score, 0.0), **average_drop(1 - score)})
        for image, score in enumerate(scores)
    ]
    found = gallery(records, [*DROP, *OVERALL])
    assert found.value.name == "overall"
    assert found.best["one"] == (1, 6, 4, 8)
    assert found.worst["one"] == (0, 5, 3, 7)
    assert found.shown[1, "one"].value == 0.9


def test_a_smaller_value_may_be_the_better_one():
    records = [record(i, "one", average_drop(drop)) for i, drop in enumerate([0.3, 0.1, 0.2])]
    found = gallery(records, DROP)
    assert (found.best["one"], found.worst["one"]) == ((1, 2), (0,))


def test_no_image_is_both_best_and_worst():
    for count in range(1, 12):
        records = [record(i, "one", average_drop(i / 20)) for i in range(count)]
        found = gallery(records, DROP)
        assert not set(found.best["one"]) & set(found.worst["one"])
        assert len(found.best["one"]) + len(found.worst["one"]) == min(8, count)


def test_images_without_a_value_are_neither():
    records = [record(0, "one", {}), record(1, "one", average_drop(0.5))]
    found = gallery(records, DROP)
    assert (found.best["one"], found.worst["one"]) == ((1,), ())
    assert math.isnan(found.shown[0, "one"].value)


def test_images_are_evenly_chosen():
    records = [record(3 * image, "one", average_drop(0.5)) for image in range(45)]
    found = gallery(records, DROP)
    assert found.images == tuple(range(0, 133, 12))


def test_many_methods_show_fewer_images():
    names = [f"m{number}" for number in range(25)]
    records = [record(i, name, average_drop(0.5)) for i in range(20) for name in names]
    assert len(gallery(records, DROP, names).images) == 8
    two = [dict(one, labels=2) for one in records]
    assert len(gallery(two, DROP, names).images) == 4


def test_only_the_first_labels_are_shown():
    several = {"targets": [1, 2, 3], "thumbnails": ["a", "b", "c"], "labels": 3}
    found = gallery([record(0, "one", average_drop(0.5), **several)], DROP)
    assert found.shown[0, "one"].targets == (1, 2)
    assert found.shown[0, "one"].thumbnails == ("a", "b")


def test_of_two_records_the_first_is_shown():
    records = [record(0, "one", average_drop(0.5), thumbnails=[text]) for text in ("a", "b")]
    assert gallery(records, DROP).shown[0, "one"].thumbnails == ("a",)


def test_without_a_value_nothing_is_best():
    found = gallery([record(0, "one", {})], [])
    assert (found.value, found.images, found.best["one"]) == (None, (0,), ())


def test_an_empty_run():
    found = gallery([{"image": 1, "error": "x"}, {"image": 2, "empty": True}], [])
    assert (found.images, found.shown) == ((), {})
