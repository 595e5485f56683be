"""The metrics of confidence for several labels, by hand and against one pair at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.metrics import (
    average_drop,
    average_increase,
    multi_label_confidence_compute,
    multi_label_confidence_update,
)
from tests.helpers import metric_references as ref

NAMES = ("ic", "ad", "ado", "ar", "aro", "f1_minus", "f1_plus")
MODES = [(a, s) for a in ("macro", "micro") for s in ("zero", "exclude")]


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def values(update, average, single_label):
    found = multi_label_confidence_compute(update, average=average, single_label=single_label)
    assert tuple(found) == NAMES
    return {name: float(value) for name, value in found.items()}


# Three labels. Image A has 0 and 1, image B has 0 alone, image C has 0 and 2; label 1 of C is only
# a low probability. Rows: A for 0, A for 1, B for 0, C for 2.
WHOLE = table([0.8, 0.6, 0.1], [0.8, 0.6, 0.1], [0.5, 0.2, 0.1], [0.9, 0.1, 0.8])
MASKED = table([0.6, 0.3, 0.1], [0.2, 0.9, 0.1], [0.4, 0.1, 0.1], [0.9, 0.0, 0.6])
COMPLEMENT = table([0.2, 0.6, 0.1], [0.6, 0.0, 0.1], [0.0, 0.2, 0.1], [0.45, 0.1, 0.4])
TARGET = torch.tensor([0, 1, 0, 2])
PRESENT = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1]], dtype=torch.bool)
# pair     ic  ad   ado  ar   aro
# A, 0     0   1/4  1/2  3/4  0
# A, 1     1   0    3/4  1    1/4
# B, 0     0   1/5  -    1    -
# C, 2     0   1/4  0    1/2  1/2
HAND = {
    ("micro", "zero"): {
        "ic": 1 / 4, "ad": 0.7 / 4, "ado": 1.25 / 4, "ar": 3.25 / 4, "aro": 0.75 / 4,
        "f1_minus": 2 * 0.175 * 0.1875 / 0.3625, "f1_plus": 2 * 0.8125 * 0.3125 / 1.125,
    },
    ("micro", "exclude"): {
        "ic": 1 / 4, "ad": 0.7 / 4, "ado": 1.25 / 3, "ar": 3.25 / 4, "aro": 0.75 / 3,
        "f1_minus": 2 * 0.175 * 0.25 / 0.425,
        "f1_plus": 2 * (3.25 / 4) * (1.25 / 3) / (3.25 / 4 + 1.25 / 3),
    },
    # class 0: ad 0.225, ado 1/4, ar 7/8, aro 0; class 1 and class 2 have one pair
    ("macro", "zero"): {
        "ic": 1 / 3, "ad": (0.225 + 0 + 0.25) / 3, "ado": (0.25 + 0.75 + 0) / 3,
        "ar": (0.875 + 1 + 0.5) / 3, "aro": (0 + 0.25 + 0.5) / 3,
        "f1_minus": (0 + 0 + 2 * 0.25 * 0.5 / 0.75) / 3,
        "f1_plus": (2 * 0.875 * 0.25 / 1.125 + 2 * 1 * 0.75 / 1.75 + 0) / 3,
    },
    # class 0: ado 1/2 and aro 0 of the one pair that has another label
    ("macro", "exclude"): {
        "ic": 1 / 3, "ad": (0.225 + 0 + 0.25) / 3, "ado": (0.5 + 0.75 + 0) / 3,
        "ar": (0.875 + 1 + 0.5) / 3, "aro": (0 + 0.25 + 0.5) / 3,
        "f1_minus": (0 + 0 + 2 * 0.25 * 0.5 / 0.75) / 3,
        "f1_plus": (2 * 0.875 * 0.5 / 1.375 + 2 * 1 * 0.75 / 1.75 + 0) / 3,
    },
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_by_hand(mode):
    sums = multi_label_confidence_update(WHOLE, MASKED, COMPLEMENT, TARGET, PRESENT)
    assert sums["pairs"].tolist() == [2, 1, 1]
    assert sums["shared"].tolist() == [1, 1, 1]
    assert int(sums["skipped"]) == 0
    assert values(sums, *mode) == pytest.approx(HAND[mode], abs=1e-12)


def rows(count, labels, seed, *, predicted=False):
    """Random rows with zeros and equal probabilities among them."""
    generator = torch.Generator().manual_seed(seed)

    def draw():
        return (torch.rand(count, labels, generator=generator, dtype=torch.float64) * 6).floor() / 5

    target = torch.randint(0, labels, (count,), generator=generator)
    whole, present = draw(), torch.rand(count, labels, generator=generator) < 0.5
    return whole, draw(), draw(), target, None if predicted else present


def slow(whole, masked, complement, target, present, average, single_label):
    present = whole > 0.5 if present is None else present
    listed = [
        (y.tolist(), o.tolist(), c.tolist(), int(t), p.nonzero().flatten().tolist())
        for y, o, c, t, p in zip(whole, masked, complement, target, present, strict=True)
    ]
    return ref.multi_label(listed, average, single_label)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 999), st.booleans())
def test_is_the_reference(count, labels, seed, predicted):
    case = rows(count, labels, seed, predicted=predicted)
    sums = multi_label_confidence_update(*case)
    for mode in MODES:
        expected = slow(*case, *mode)
        found = values(sums, *mode)
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert all(np.isnan(value) or 0 <= value <= 1 for value in found.values())


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_sums_add_up(mode):
    case = rows(12, 3, 5)
    parts = [
        multi_label_confidence_update(*(part[cut] for part in case))
        for cut in (slice(0, 5), slice(5, 5), slice(5, 12))
    ]
    sums = {name: sum(part[name] for part in parts) for name in parts[0]}
    assert values(sums, *mode) == pytest.approx(slow(*case, *mode), abs=1e-12)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_many_resamples_are_one_call(mode):
    several = [multi_label_confidence_update(*rows(6, 3, seed)) for seed in range(4)]
    stacked = {name: torch.stack([sums[name] for sums in several]) for name in several[0]}
    found = multi_label_confidence_compute(stacked, average=mode[0], single_label=mode[1])
    for b, sums in enumerate(several):
        one = {name: float(value[b]) for name, value in found.items()}
        assert one == pytest.approx(values(sums, *mode), nan_ok=True)


def test_with_one_label_each_it_is_the_usual_average_drop():
    generator = torch.Generator().manual_seed(0)
    whole, masked, other = torch.rand(3, 7, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (7,), generator=generator)
    present = torch.nn.functional.one_hot(target, 4).bool()
    sums = multi_label_confidence_update(whole, masked, other, target, present)
    found = values(sums, "micro", "zero")
    before, after = whole[range(7), target], masked[range(7), target]
    assert found["ad"] == pytest.approx(float(average_drop(before, after)))
    assert found["ic"] == pytest.approx(float(average_increase(before, after)))
    assert found["ado"] == found["aro"] == found["f1_minus"] == 0
    assert np.isnan(values(sums, "micro", "exclude")["ado"])


def test_a_perfect_and_a_worst_explanation():
    whole = table([0.9, 0.8])
    target, present = torch.tensor([0]), torch.ones(1, 2, dtype=torch.bool)
    # the map keeps label 0 and hides label 1, the complement the other way round
    keep, lose = table([0.9, 0.0]), table([0.0, 0.8])
    good = multi_label_confidence_update(whole, keep, lose, target, present)
    best = {"ic": 0, "ad": 0, "ado": 1, "ar": 1, "aro": 0, "f1_minus": 0, "f1_plus": 1}
    assert values(good, "macro", "zero") == best
    bad = multi_label_confidence_update(whole, lose, keep, target, present)
    worst = {"ic": 0, "ad": 1, "ado": 0, "ar": 0, "aro": 1, "f1_minus": 1, "f1_plus": 0}
    assert values(bad, "macro", "zero") == worst


def test_a_probability_of_zero_cannot_drop():
    whole, other = table([0.0, 0.0]), table([0.3, 0.0])
    present = torch.ones(1, 2, dtype=torch.bool)
    sums = multi_label_confidence_update(whole, other, other, torch.tensor([0]), present)
    found = values(sums, "macro", "zero")
    assert found == {**dict.fromkeys(NAMES, 0.0), "ic": 1.0}


def test_the_labels_present_are_those_predicted_by_default():
    predicted = multi_label_confidence_update(WHOLE, MASKED, COMPLEMENT, TARGET)
    # B's label has probability 1/2: not above it
    assert predicted["pairs"].tolist() == [1, 1, 1]
    assert int(predicted["skipped"]) == 1
    given = multi_label_confidence_update(WHOLE, MASKED, COMPLEMENT, TARGET, WHOLE > 0.5)
    for name, value in given.items():
        assert torch.equal(value, predicted[name])


def test_a_label_that_is_not_present_is_counted_only():
    absent = multi_label_confidence_update(
        WHOLE, MASKED, COMPLEMENT, torch.tensor([2, 1, 2, 1]), PRESENT
    )
    alone = multi_label_confidence_update(
        WHOLE[1:2], MASKED[1:2], COMPLEMENT[1:2], TARGET[1:2], PRESENT[1:2]
    )
    assert int(absent["skipped"]) == 3
    for name in ("ic", "ad", "ado", "ar", "aro", "pairs", "shared"):
        assert torch.equal(absent[name], alone[name])


def test_nothing_counted_is_nan():
    sums = multi_label_confidence_update(*(part[:0] for part in rows(2, 3, 0)))
    for mode in MODES:
        assert all(np.isnan(value) for value in values(sums, *mode).values())


GOOD = (WHOLE, MASKED, COMPLEMENT, TARGET, PRESENT)


@pytest.mark.parametrize(
    ("place", "value", "error", "text"),
    [
        (
            1,
            MASKED[:2],
            ValueError,
            "Expected original, masked and complement to be of one shape (P,L), but got (4, 3), "
            "(2, 3) and (4, 3).",
        ),
        (
            2,
            COMPLEMENT - 1,
            ValueError,
            "Expected complement to be probabilities in [0,1], but got others.",
        ),
        (3, TARGET + 1, ValueError, "Expected target to be labels below 3, but got 3."),
        (
            3,
            TARGET[:2],
            ValueError,
            "Expected target to be of shape (P,) with P = 4, but got (2,).",
        ),
        (
            4,
            PRESENT.long(),
            TypeError,
            "Expected present to be a boolean tensor, but got torch.int64.",
        ),
        (
            4,
            PRESENT[:, :2],
            ValueError,
            "Expected present to be of the probabilities' shape (4, 3), but got (4, 2).",
        ),
    ],
)
def test_wrong_rows(place, value, error, text):
    arguments = [*GOOD[:place], value, *GOOD[place + 1 :]]
    with pytest.raises(error, match="^Expected") as raised:
        multi_label_confidence_update(*arguments)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"average": "mean"}, "Expected average to be one of 'macro', 'micro', but got 'mean'."),
        (
            {"single_label": "drop"},
            "Expected single_label to be one of 'zero', 'exclude', but got 'drop'.",
        ),
    ],
)
def test_wrong_options(options, text):
    with pytest.raises(ValueError, match="^Expected") as raised:
        multi_label_confidence_compute(multi_label_confidence_update(*GOOD), **options)
    assert str(raised.value) == text
