"""Peaks of maps against one pixel at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.weak.peaks import peaks
from tests.helpers import proposal_references as ref

SIZES = st.tuples(st.integers(1, 7), st.integers(1, 8))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    SIZES, st.integers(1, 4), st.integers(0, 999), st.integers(1, 3), st.sampled_from([0, 0.5, 1])
)
def test_any_map_is_the_reference(size, levels, seed, distance, share):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-1, levels, size, generator=generator).float()
    found = peaks(values, distance=distance, threshold_relative=share)
    assert found == ref.peaks(values, distance, share)


def test_two_bumps_strongest_first():
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    low = 0.7 * torch.exp(-((y - 10) ** 2 + (x - 12) ** 2) / 30)
    high = torch.exp(-((y - 28) ** 2 + (x - 35) ** 2) / 30)
    assert peaks(low + high, distance=5) == [(28, 35), (10, 12)]
    assert peaks(low + high, distance=5, threshold_relative=0.8) == [(28, 35)]


def test_a_plateau_is_one_peak_in_its_middle():
    values = torch.zeros(9, 9)
    values[2:7, 3:8] = 4.0
    assert peaks(values) == [(4, 5)]
    ring = values.clone()
    ring[3:6, 4:7] = 0.0
    assert len(peaks(ring)) == 1
    assert ring[peaks(ring)[0]] == 4.0  # on the plateau, not in the hole


def test_a_shoulder_is_no_peak():
    # The far end of the flat part has nothing higher near it, but its other end has.
    assert peaks(torch.tensor([[1.0, 4.0, 4.0, 4.0, 4.0, 5.0]]), threshold_relative=0) == [(0, 5)]


def test_one_pixel_and_borders():
    values = torch.zeros(5, 6)
    values[0, 5] = values[4, 0] = 1.0
    assert peaks(values) == [(0, 5), (4, 0)]
    assert peaks(torch.ones(1, 1), distance=30) == [(0, 0)]


@pytest.mark.parametrize(
    "values",
    [torch.zeros(4, 4), -torch.ones(4, 4), torch.zeros(0, 3)],
    ids=["zero", "negative", "empty"],
)
def test_nothing_above_zero_has_no_peak(values):
    assert peaks(values) == []


def test_precision_and_input():
    values = torch.rand(12, 12, generator=torch.Generator().manual_seed(0)).half()
    before = values.clone()
    assert peaks(values, distance=2) == peaks(values.double().requires_grad_(), distance=2)
    assert torch.equal(values, before)


@pytest.mark.parametrize(
    ("values", "options", "error", "text"),
    [
        (
            torch.zeros(1, 4, 4),
            {},
            ValueError,
            "Expected saliency_map to be of shape (H,W), but got (1, 4, 4).",
        ),
        (
            torch.tensor([[1.0, torch.nan]]),
            {},
            ValueError,
            "Expected saliency_map to be finite, but got NaN at index [0, 1].",
        ),
        (
            torch.ones(2, 2),
            {"distance": 0},
            ValueError,
            "Expected distance to be an integer of at least 1, but got 0.",
        ),
        (
            torch.ones(2, 2),
            {"distance": 1.5},
            TypeError,
            "Expected distance to be an integer of at least 1, but got 1.5.",
        ),
        (
            torch.ones(2, 2),
            {"threshold_relative": 1.5},
            ValueError,
            "Expected threshold_relative to be a number from 0 to 1, but got 1.5.",
        ),
    ],
    ids=["axes", "nan", "distance", "fraction", "share"],
)
def test_what_is_refused(values, options, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        peaks(values, **options)
    assert str(raised.value) == text
