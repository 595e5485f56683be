"""Mean curves, each curve at the shares of pixels where it was taken."""

import math
import random

import numpy as np
import pytest

from captum_cluster.evaluation.reporting.aggregation import add_up
from captum_cluster.evaluation.reporting.curves import CurveSums
from captum_cluster.evaluation.reporting.report import build_report
from captum_cluster.functional.metrics import perturbation_steps
from tests.helpers.runs import overall, record, write_run


def shares_of(height, width):
    steps = perturbation_steps(height, width)
    return [step / steps[-1] for step in steps]


def curves(deletion, insertion=None, shares=None):
    found = {"deletion": deletion, "insertion": deletion[::-1] if insertion is None else insertion}
    return found if shares is None else {**found, "shares": shares}


def mean(*records):
    found = CurveSums()
    for one in records:
        found.add(one)
    return found.mean()


def test_mean_curves():
    records = [
        record(0, "one", {}, **curves([1.0, 0.5, 0.0], [0.0, 0.2, 1.0])),
        record(1, "one", {}, **curves([0.8, 0.1, 0.0], [0.0, 0.4, 0.6])),
        record(2, "one", {}, **curves([math.nan, 0.1, 0.0])),
        record(3, "one", {}),
    ]
    found = add_up(records, ["one"], {}).methods["one"]
    assert found.shares == (0.0, 0.5, 1.0)
    assert found.deletion == pytest.approx((0.9, 0.3, 0.0))
    assert found.insertion == pytest.approx((0.0, 0.3, 0.8))


def test_without_shares_steps_are_even():
    assert mean(curves([1.0, 0.0], shares=[0, 1]), curves([1.0, 1.0, 0.0]))[:2] == (
        (0.0, 0.5, 1.0),
        (1.0, 0.75, 0.0),
    )


def test_images_of_one_size_are_added_point_by_point():
    shares = shares_of(20, 10)  # the last step is half as large
    assert shares == [0, 0.4, 0.8, 1]
    generator = np.random.default_rng(0)
    rows = generator.random((9, 2, 4))
    found = mean(*(curves(*row.tolist(), shares=shares) for row in rows))
    assert found[0] == tuple(shares)
    np.testing.assert_allclose(found[1:], rows.mean(axis=0), atol=1e-12)


def test_images_of_two_sizes_meet_at_true_shares():
    # Probability falls in a straight line over the pixels, whatever the image's size: so the mean.
    falling = [
        curves([1 - share for share in shares], [*shares], shares=shares)
        for shares in (shares_of(20, 10), shares_of(30, 5), shares_of(30, 9))
    ]
    shares, deletion, insertion = mean(*falling)
    assert shares == tuple(shares_of(30, 5))
    np.testing.assert_allclose(deletion, 1 - np.array(shares), atol=1e-12)
    np.testing.assert_allclose(insertion, shares, atol=1e-12)


def test_two_sizes_by_hand():
    found = mean(
        curves([1.0, 0.5, 0.0], shares=[0, 0.8, 1]),
        curves([1.0, 0.0], shares=[0, 1]),
        curves([0.4, 0.4], shares=[0, 1]),
    )
    assert found[0] == (0.0, 0.8, 1.0)
    assert found[1] == pytest.approx((0.8, (0.5 + 0.2 + 0.4) / 3, 0.4 / 3))


def test_sizes_with_equally_many_steps_do_not_depend_on_the_order():
    draw = random.Random(0)
    records = [
        curves([draw.random() for _ in range(4)], shares=shares_of(height, 8))
        for height in (18, 20, 21, 22, 23, 24)
        for _ in range(5)
    ]
    first = mean(*records)
    assert first[0] == tuple(shares_of(18, 8))
    for _ in range(5):
        draw.shuffle(records)
        assert mean(*records) == first


def test_of_sizes_with_equally_many_steps_the_most_frequent_is_taken():
    often, once = shares_of(24, 8), shares_of(18, 8)
    given = [curves([1.0, 0.5, 0.2, 0.0], shares=shares) for shares in (often, once, often)]
    assert mean(*given)[0] == tuple(often)


def test_nothing_gives_no_curve():
    assert mean() == mean({}) == mean(curves([math.inf, 0.0])) == ((), (), ())


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (curves([1.0, 0.0], shares=[0, 0.5, 1]), "2 and 2 points, 3 shares"),
        (curves([1.0, 0.0], [0.0, 0.5, 1.0]), "2 and 3 points, 2 shares"),
    ],
)
def test_curves_that_do_not_fit_are_an_error(given, got):
    with pytest.raises(ValueError, match=f"to have curves and shares .* image 3, but got {got}"):
        mean({"image": 3, **given})


def test_shares_are_in_the_json(tmp_path):
    given = curves([0.9, 0.5, 0.1], shares=[0, 0.8, 1])
    records = [record(0, name, overall(0.5, 0.1), **given) for name in ("one", "two")]
    run = write_run(tmp_path, records, metrics=["overall"])
    one = build_report(run, resamples=10).to_dict()["methods"][0]
    assert one["shares"] == [0, 0.8, 1]
    assert one["deletion"] == pytest.approx([0.9, 0.5, 0.1])
