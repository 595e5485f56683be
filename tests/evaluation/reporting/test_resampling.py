"""Intervals and p values, against slow loops and by hand."""

import math

import numpy as np
import pytest

from captum_cluster.evaluation.reporting.aggregation import add_up
from captum_cluster.evaluation.reporting.resampling import (
    estimate_all,
    holm,
    interval,
    resample_counts,
    two_sided,
)
from captum_cluster.evaluation.running.measures import choose_metrics
from tests.helpers.runs import average_drop, record, vector


def drops(images, seed):
    return np.random.default_rng(seed).random(images).tolist()


def totals_of(*methods):
    """Return the totals of methods named 0, 1, ... with these drops by image."""
    records = [
        record(image, str(number), average_drop(drop, 1 + image % 3))
        for number, some in enumerate(methods)
        for image, drop in enumerate(some)
        if drop is not None
    ]
    return add_up(
        records, [str(number) for number in range(len(methods))], choose_metrics(["average-drop"])
    )


def slow_interval(draws, value):
    """Return the interval of ``value(list of images)``, image by image."""
    found = [value([int(image) for image in drawn]) for drawn in draws]
    found = [one for one in found if not math.isnan(one)]
    return np.quantile(found, 0.025), np.quantile(found, 0.975)


def test_intervals_are_those_of_a_slow_loop():
    one, two = drops(11, 1), drops(11, 2)
    draws = np.random.default_rng(7).integers(11, size=(200, 11))

    def mean(some):
        return lambda drawn: sum(some[i] for i in drawn) / sum(1 + i % 3 for i in drawn)

    found = estimate_all(totals_of(one, two), "0", resamples=200, seed=7)
    for method, some in (("0", one), ("1", two)):
        estimate = found[method, "average-drop"]
        assert estimate.estimate == pytest.approx(mean(some)(range(11)))
        assert (estimate.low, estimate.high) == pytest.approx(slow_interval(draws, mean(some)))
        assert estimate.images == 11
    paired = found["1", "average-drop"]
    assert paired.difference == pytest.approx(mean(two)(range(11)) - mean(one)(range(11)))
    expected = slow_interval(draws, lambda drawn: mean(two)(drawn) - mean(one)(drawn))
    assert (paired.difference_low, paired.difference_high) == pytest.approx(expected)
    below = sum(mean(two)(drawn) <= mean(one)(drawn) for drawn in draws)
    assert paired.p == pytest.approx(min(1.0, 2 * (min(below, 200 - below) + 1) / 201))


def test_intervals_of_a_mean_over_classes_are_those_of_a_slow_loop():
    classes, errors = [0, 0, 1, 2, 1, 0], [1, 0, 1, 0, 0, 1]
    records = [
        record(
            image,
            "0",
            {
                "localization-error": {
                    "errors": vector(50, **{f"c{at}": wrong}),
                    "pairs": vector(50, **{f"c{at}": 1}),
                }
            },
        )
        for image, (at, wrong) in enumerate(zip(classes, errors, strict=True))
    ]
    totals = add_up(records, ["0"], choose_metrics(["localization-error"]))

    def mean(drawn):
        by_class = [[errors[i] for i in drawn if classes[i] == at] for at in range(3)]
        return np.mean([np.mean(some) for some in by_class if some])

    found = estimate_all(totals, "0", resamples=150, seed=3)["0", "localization-error"]
    draws = np.random.default_rng(3).integers(6, size=(150, 6))
    assert (found.low, found.high) == pytest.approx(slow_interval(draws, mean))
    assert found.estimate == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_the_draws_do_not_depend_on_the_pieces():
    whole = np.concatenate(list(resample_counts(7, 40, 5)), axis=1)
    pieces = np.concatenate(list(resample_counts(7, 40, 5, width=2**17)), axis=1)
    assert len(list(resample_counts(7, 40, 5, width=2**17))) == 10
    np.testing.assert_array_equal(whole, pieces)
    assert whole.shape == (7, 40)
    np.testing.assert_array_equal(whole.sum(axis=0), 7)


def test_the_same_method_twice_does_not_differ():
    same = drops(20, 1)
    found = estimate_all(totals_of(same, same), "0", resamples=100, seed=0)["1", "average-drop"]
    assert (found.difference, found.difference_low, found.difference_high) == (0.0, 0.0, 0.0)
    assert found.p == 1.0


def test_a_method_that_is_clearly_better():
    worse = drops(30, 1)
    better = [drop / 2 for drop in worse]
    found = estimate_all(totals_of(worse, better), "0", resamples=999, seed=0)["1", "average-drop"]
    assert found.p == pytest.approx(0.002)
    assert found.difference < found.difference_high < 0


def test_noise_is_seldom_significant():
    found = [
        estimate_all(totals_of(drops(25, seed), drops(25, 1000 + seed)), "0", resamples=99, seed=0)
        for seed in range(40)
    ]
    assert sum(one["1", "average-drop"].p < 0.05 for one in found) <= 7


@pytest.mark.parametrize(("images", "least"), [(1, 1.0), (2, 0.5), (3, 0.25), (6, 1 / 32)])
def test_few_images_prove_nothing(images, least):
    totals = totals_of([0.9] * images, [0.1] * images)
    found = estimate_all(totals, "0", resamples=999, seed=0)["1", "average-drop"]
    assert found.p == least


def test_one_image_gives_no_interval():
    for images, known in ((1, False), (2, True)):
        totals = totals_of([0.9, 0.8][:images], [0.1, 0.2][:images])
        found = estimate_all(totals, "0", resamples=50, seed=0)["1", "average-drop"]
        ends = (found.low, found.high, found.difference_low, found.difference_high)
        assert [not math.isnan(end) for end in ends] == [known] * 4
        assert not math.isnan(found.estimate)
        assert not math.isnan(found.difference)


def test_images_without_a_value_make_no_interval_and_no_proof():
    nothing = {"energy": {"energy": 0.0, "pairs": 0}}
    some = {"energy": {"energy": 0.5, "pairs": 1}}
    records = [record(i, name, nothing if i else some) for i in range(9) for name in ("0", "1")]
    totals = add_up(records, ["0", "1"], choose_metrics(["energy"]))
    found = estimate_all(totals, "0", resamples=50, seed=0)["1", "energy"]
    assert (found.images, found.estimate, found.p) == (1, 0.5, 1.0)
    assert math.isnan(found.low)
    assert math.isnan(found.difference_low)


def test_methods_are_compared_on_the_images_both_have():
    one, two = [0.9, 0.8, None, 0.4], [0.1, None, 0.7, 0.2]
    found = estimate_all(totals_of(one, two), "0", resamples=300, seed=0)
    paired = found["1", "average-drop"]
    assert paired.estimate == pytest.approx((0.1 + 0.7 + 0.2) / (1 + 3 + 1))
    assert paired.images == 3
    # Images 0 and 3, of one pair each.
    assert paired.difference == pytest.approx((0.1 + 0.2) / 2 - (0.9 + 0.4) / 2)
    assert paired.difference_low == pytest.approx(-0.8)
    assert paired.difference_high == pytest.approx(-0.2)
    assert paired.p == 0.5


def test_a_reference_without_the_metric():
    records = [record(0, "0", {}), record(0, "1", average_drop(0.5))]
    totals = add_up(records, ["0", "1"], choose_metrics(["average-drop"]))
    found = estimate_all(totals, "0", resamples=10, seed=0)
    assert list(found) == [("1", "average-drop")]
    assert found["1", "average-drop"].estimate == 0.5
    assert math.isnan(found["1", "average-drop"].p)


def test_the_reference_has_no_difference_from_itself():
    found = estimate_all(totals_of(drops(4, 1)), "0", resamples=10, seed=0)["0", "average-drop"]
    rest = (found.difference, found.difference_low, found.difference_high, found.p)
    assert all(map(math.isnan, rest))


def test_resamples_without_a_value_are_left_out():
    assert interval(np.array([math.nan, 1.0, math.nan, 1.0]), 9) == (1.0, 1.0)
    assert all(map(math.isnan, interval(np.array([math.nan]), 9)))
    assert two_sided(np.array([math.nan, 1.0, 1.0]), 20) == pytest.approx(2 / 3)
    assert math.isnan(two_sided(np.array([math.nan]), 20))
    assert math.isnan(two_sided(np.array([1.0]), 0))


def test_p_is_two_sided():
    differences = np.array([-1.0] * 3 + [1.0] * 96)
    assert two_sided(differences, 50) == two_sided(-differences, 50) == pytest.approx(0.08)


def test_holm_by_its_definition():
    generator = np.random.default_rng(0)
    for count in range(1, 7):
        p = (generator.random(count) ** 3).tolist()
        for place, found in enumerate(holm(p)):
            # The largest of what the smaller ones are multiplied to, and of one's own.
            ranks = sorted(range(count), key=lambda i: p[i])
            upto = ranks[: ranks.index(place) + 1]
            expected = max(min(1.0, (count - rank) * p[i]) for rank, i in enumerate(upto))
            assert found == pytest.approx(expected)
    assert holm([]) == []
