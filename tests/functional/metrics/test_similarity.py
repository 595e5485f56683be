"""Spearman's correlation and SSIM of two maps, by hand and against slow derivations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.metrics import spearman, ssim
from tests.helpers import localization_references as ref


def maps(seed, count=2, size=(8, 7), levels=0):
    """Maps in [0,1]; with ``levels`` of few values, so that many are equal."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.rand(count, *size, generator=generator, dtype=torch.float64)
    return (found * levels).floor() / levels if levels else found


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 999), st.sampled_from([0, 3]))
def test_spearman_is_the_reference(seed, levels):
    one, other = maps(seed, levels=levels), maps(seed + 1000)
    expected = [ref.spearman(a, b) for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(spearman(one, other), expected, atol=1e-12)
    np.testing.assert_allclose(spearman(other, one), expected, atol=1e-12)


def test_spearman_by_hand():
    one = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert spearman(one, one.exp()).item() == pytest.approx(1)
    assert spearman(one, -one).item() == pytest.approx(-1)
    assert spearman(one, torch.tensor([[[2.0, 9.0, 5.0]]])).item() == pytest.approx(0.5)
    # ranks 1 2 3 and 1.5 1.5 3
    tied = spearman(one, torch.tensor([[[4.0, 4.0, 7.0]]]))
    assert tied.item() == pytest.approx(1.5 / math.sqrt(2 * 1.5))


@pytest.mark.filterwarnings("error")
def test_a_flat_map_has_no_order():
    one, flat = maps(0, count=2), torch.zeros(2, 8, 7)
    assert spearman(one, flat).isnan().all()
    assert spearman(flat, flat).isnan().all()


@pytest.mark.parametrize("seed", range(3))
def test_ssim_is_the_reference(seed):
    one, other = maps(seed), maps(seed + 10)
    expected = [ref.ssim(a, b) for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(ssim(one, other), expected, atol=2e-5)


def test_ssim_of_equal_and_of_opposite_maps():
    one = maps(0, size=(20, 20))
    np.testing.assert_allclose(ssim(one, one), 1, atol=1e-6)
    assert (ssim(one, 1 - one) < -0.5).all()
    flat = torch.zeros(1, 6, 6)
    # only the mean differs: c1 / (1 + c1)
    assert ssim(flat, flat + 1).item() == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-3)


def test_a_pair_does_not_depend_on_the_others():
    one, other = maps(0), maps(1)
    for function in (spearman, ssim):
        alone = torch.cat([function(one[n : n + 1], other[n : n + 1]) for n in range(2)])
        torch.testing.assert_close(function(one, other), alone)
        assert function(one[:0], other[:0]).shape == (0,)


@pytest.mark.parametrize("function", [spearman, ssim])
@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        (
            torch.zeros(1, 8, 8),
            torch.zeros(1, 8, 9),
            "Expected one and other to be of one shape (P,H,W), but got (1, 8, 8) and (1, 8, 9).",
        ),
        (
            torch.zeros(8, 8),
            torch.zeros(8, 8),
            "Expected one and other to be of one shape (P,H,W), but got (8, 8) and (8, 8).",
        ),
        (
            torch.zeros(1, 8, 8),
            torch.full((1, 8, 8), math.nan),
            "Expected other to be finite, but got NaN at index [0, 0, 0].",
        ),
    ],
)
def test_wrong_maps(function, one, other, text):
    with pytest.raises(ValueError, match="^Expected") as raised:
        function(one, other)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (
            torch.zeros(1, 5, 9),
            "Expected one and other to be maps of at least 6x6 pixels, but got 5x9.",
        ),
        (torch.zeros(1, 6, 6) - 1, "Expected one to be saliency maps in [0,1], but got others."),
    ],
)
def test_maps_that_have_no_ssim(one, text):
    with pytest.raises(ValueError, match="^Expected one") as raised:
        ssim(one, torch.zeros_like(one))
    assert str(raised.value) == text
