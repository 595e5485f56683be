"""Average drop and average increase, by hand and against the slow derivation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.attribution.masks import saliency as prepare
from captum_cluster.functional.metrics import (
    average_drop,
    average_drop_compute,
    average_drop_update,
    average_increase,
    increase_compute,
    increase_update,
)
from tests.helpers import metric_references as ref
from tests.helpers.metric_cases import NETS, maps_for, probabilities

# Average drop and increase


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("baseline", [None, 0.7])
def test_drop_and_increase_are_the_reference(name, baseline):
    net, images, targets = NETS[name]
    net = net.double().eval()
    maps = maps_for(images)
    masks = prepare(maps, images.shape[2:])[:, None]
    hidden = images * masks + (0.0 if baseline is None else baseline) * (1 - masks)
    before, after = (probabilities(net, x, targets) for x in (images, hidden))
    for signed in (False, True):
        expected = ref.average_drop(net, images, maps, targets, baseline=baseline, signed=signed)
        found = average_drop(before, after, signed=signed)
        assert float(found) == pytest.approx(expected, abs=1e-12)
    expected = ref.average_increase(net, images, maps, targets, baseline=baseline)
    assert float(average_increase(before, after)) == expected


def test_the_networks_above_rise_and_fall():
    values = []
    for net, images, targets in NETS.values():
        maps = maps_for(images)
        values.append(ref.average_increase(net.double().eval(), images, maps, targets))
    assert min(values) < 1
    assert max(values) > 0


def test_drop_and_increase_by_hand():
    before = torch.tensor([0.8, 0.5, 0.4, 0.1], dtype=torch.float64)
    after = torch.tensor([0.6, 0.9, 0.4, 0.0], dtype=torch.float64)
    # drops 1/4, 0 (a gain of 4/5), 0, 1
    assert float(average_drop(before, after)) == pytest.approx(1.25 / 4, abs=1e-15)
    assert float(average_drop(before, after, signed=True)) == pytest.approx(0.45 / 4, abs=1e-15)
    # an equal probability is no increase
    assert float(average_increase(before, after)) == 0.25


def test_a_probability_of_zero_cannot_drop():
    before, after = torch.tensor([0.0, 0.5, 0.0]), torch.tensor([0.3, 0.25, 0.0])
    for signed in (False, True):
        assert float(average_drop(before, after, signed=signed)) == pytest.approx(0.5 / 3)
    assert float(average_increase(before, after)) == pytest.approx(1 / 3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_drop_of_any_probabilities(pairs):
    before, after = torch.tensor(pairs, dtype=torch.float64).unbind(dim=1)
    drop = float(average_drop(before, after))
    signed = float(average_drop(before, after, signed=True))
    assert 0 <= drop <= 1
    assert signed <= drop
    gains = sum(max(0.0, o - y) / y for y, o in pairs) / len(pairs)
    assert drop - signed == pytest.approx(gains, abs=1e-9)
    falls = sum(o <= y for y, o in pairs) / len(pairs)
    assert float(average_increase(before, after)) == pytest.approx(1 - falls)


SHAPES = "Expected original and masked to be of one shape (P,), P at least 1, but got "


@pytest.mark.parametrize("function", [average_drop, average_increase])
@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ([0.5, 0.5], [0.5], SHAPES + "(2,) and (1,)."),
        ([[0.5]], [[0.5]], SHAPES + "(1, 1) and (1, 1)."),
        ([], [], SHAPES + "(0,) and (0,)."),
        ([1.5], [0.5], "Expected original to be probabilities in [0,1], but got others."),
        ([0.5], [-0.1], "Expected masked to be probabilities in [0,1], but got others."),
        ([0.5], [np.nan], "Expected masked to be probabilities in [0,1], but got others."),
        ([np.nan], [0.5], "Expected original to be probabilities in [0,1], but got others."),
    ],
)
def test_wrong_probabilities(function, before, after, text):
    with pytest.raises(ValueError, match="Expected") as raised:
        function(torch.tensor(before), torch.tensor(after))
    assert str(raised.value) == text


def test_signed_is_a_flag():
    with pytest.raises(TypeError, match="^Expected signed to be True or False, but got 1"):
        average_drop(torch.ones(1), torch.ones(1), signed=1)


# Sums


def pairs(count, seed=0):
    """Probabilities of some pairs, zeros among them."""
    generator = torch.Generator().manual_seed(seed)
    original = torch.rand(count, generator=generator, dtype=torch.float64)
    return original * (original > 0.2), torch.rand(count, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("signed", [False, True])
def test_sums_of_drops_add_up(signed):
    original, masked = pairs(9)
    parts = [
        average_drop_update(original[rows], masked[rows], signed=signed)
        for rows in (slice(0, 4), slice(4, 4), slice(4, 9))
    ]
    sums = {name: sum(part[name] for part in parts) for name in parts[0]}
    assert int(sums["pairs"]) == 9
    expected = float(average_drop(original, masked, signed=signed))
    assert float(average_drop_compute(sums)) == pytest.approx(expected, abs=1e-15)


def test_sums_of_increases_add_up():
    original, masked = pairs(9)
    parts = [increase_update(original[rows], masked[rows]) for rows in (slice(0, 4), slice(4, 9))]
    sums = {name: sum(part[name] for part in parts) for name in parts[0]}
    assert int(sums["increase"]) == int((masked > original).sum()) > 0
    assert float(increase_compute(sums)) == float(average_increase(original, masked))


def test_sums_of_many_resamples_at_once():
    sums = {"drop": torch.tensor([1.0, 3.0, 0.0]), "pairs": torch.tensor([4, 4, 0])}
    np.testing.assert_equal(average_drop_compute(sums).numpy(), [0.25, 0.75, np.nan])
    counts = {"increase": torch.tensor([[1, 2]]), "pairs": torch.tensor([[4, 2]])}
    assert increase_compute(counts).tolist() == [[0.25, 1.0]]


def test_sums_are_exact_in_half_precision():
    # 0.1 in half precision, a thousand times: a sum in half precision would stop growing
    original = torch.ones(3000, dtype=torch.float16)
    masked = torch.full((3000,), 0.9, dtype=torch.float16)
    drop = 1 - float(masked[0])
    assert float(average_drop_compute(average_drop_update(original, masked))) == pytest.approx(drop)


@pytest.mark.parametrize("function", [average_drop_update, increase_update])
@pytest.mark.parametrize(
    ("original", "masked", "error", "text"),
    [
        (
            torch.ones(2),
            torch.ones(1),
            ValueError,
            "Expected original and masked to be of one shape (P,), but got (2,) and (1,).",
        ),
        (
            torch.ones(1),
            torch.tensor([1.1]),
            ValueError,
            "Expected masked to be probabilities in [0,1], but got others.",
        ),
        (
            torch.ones(1, dtype=torch.long),
            torch.ones(1),
            TypeError,
            "Expected original to be a tensor of floating point numbers, but got a tensor of shape "
            "(1,) and dtype torch.int64.",
        ),
    ],
)
def test_sums_of_wrong_probabilities(function, original, masked, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        function(original, masked)
    assert str(raised.value) == text
