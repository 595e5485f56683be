"""Powers of a map as masks, and which of them is the sharpest that keeps the score."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.attribution.masks import minmax
from captum_cluster.functional.attribution.sufficiency import PowerMasks, sharpest_sufficient
from tests.helpers import nets
from tests.helpers import references as ref

MAPS = minmax(nets.images(3, 1, (3, 4))[:, 0])


def render_all(masks, size):
    """Every mask (N,K,H,W)."""
    pairs, index = masks.passes()
    return masks.render(pairs[:, 0], pairs[:, 1], size)[:, 0][index]


# Masks


def test_power_masks_are_powers():
    exponents = (2.0, 0.5, 1.0, 3.7)
    masks = PowerMasks(MAPS, exponents)
    assert masks.shape == (3, 4)
    found = render_all(masks, (3, 4))
    for n in range(3):
        for k, exponent in enumerate(exponents):
            np.testing.assert_allclose(found[n, k], MAPS[n].numpy() ** exponent, atol=1e-15)
    assert torch.equal(found[:, 2], MAPS)


def test_power_masks_by_hand():
    masks = PowerMasks(torch.tensor([[[0.0, 0.5, 1.0]]]), (3.0, 2.0, 0.0))
    assert render_all(masks, (1, 3))[0, :, 0].tolist() == [
        [0.0, 0.125, 1.0],
        [0.0, 0.25, 1.0],
        [1.0, 1.0, 1.0],  # 0 to the power of 0 too: the whole image
    ]


def test_power_masks_make_every_pass():
    pairs, index = PowerMasks(MAPS[:2], (1.0, 2.0, 0.0)).passes()
    assert pairs.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert index.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_power_masks_render_any_pairs():
    masks = PowerMasks(MAPS, (1.0, 2.0))
    found = masks.render(torch.tensor([2, 0, 2]), torch.tensor([1, 0, 0]), (3, 4))
    assert found.shape == (3, 1, 3, 4)
    assert torch.equal(found[:, 0], torch.stack([MAPS[2] ** 2, MAPS[0], MAPS[2]]))


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (2, 2)])
def test_power_masks_at_another_size_are_powers_of_the_resized_map(size):
    found = render_all(PowerMasks(MAPS, (2.0, 0.5, 0.0)), size)
    for n in range(3):
        large = ref.up(MAPS[n], size)
        for k, exponent in enumerate((2.0, 0.5, 0.0)):
            np.testing.assert_allclose(found[n, k], large**exponent, atol=1e-12)


@pytest.mark.parametrize("exponent", [0.1, 0.7, 1.5, 6.0])
def test_powers_keep_the_order_of_the_pixels_and_the_range(exponent):
    found = render_all(PowerMasks(MAPS, (exponent,)), (3, 4))[:, 0]
    assert torch.equal(found.flatten(1).argsort(dim=1), MAPS.flatten(1).argsort(dim=1))
    assert (found.flatten(1).amin(dim=1) == 0).all()
    assert (found.flatten(1).amax(dim=1) == 1).all()


def test_power_masks_of_a_map_of_zeros_are_finite():
    found = render_all(PowerMasks(torch.zeros(1, 2, 2), (3.0, 0.4, 0.0)), (4, 4))
    assert found[0, :2].abs().max() == 0
    assert (found[0, 2] == 1).all()


def test_power_masks_keep_the_precision():
    for dtype in (torch.float32, torch.float64):
        masks = PowerMasks(MAPS.to(dtype), (1.5, 2))
        assert render_all(masks, (3, 4)).dtype == dtype


# The choice


def choose(scores, whole, exponents):
    """The choice for one image and one target, score by score."""
    best = None
    for k, (score, exponent) in enumerate(zip(scores, exponents, strict=True)):
        if score >= whole and (best is None or exponent > exponents[best]):
            best = k
    if best is not None:
        return best
    for k, (score, exponent) in enumerate(zip(scores, exponents, strict=True)):
        if best is None or (score, exponent) > (scores[best], exponents[best]):
            best = k
    return best


def of_one(scores, whole, exponents):
    found = sharpest_sufficient(torch.tensor(scores)[None, :, None], torch.tensor([[[whole]]]),
                                exponents)  # fmt: skip
    assert found.shape == (1, 1)
    assert found.dtype == torch.int64
    return int(found)


@pytest.mark.parametrize(
    ("scores", "whole", "exponents", "expected"),
    [
        # the sharpest that keeps the score, not the best
        ([0.2, 0.8, 0.9], 0.8, (3.0, 1.0, 0.5), 1),
        ([0.9, 0.8, 0.2], 0.8, (0.5, 1.0, 3.0), 1),
        ([0.8, 0.9, 0.2], 0.7, (1.0, 0.5, 3.0), 0),
        # a weaker one that fails does not matter
        ([0.9, 0.1, 0.1], 0.5, (3.0, 1.0, 0.5), 0),
        ([0.1, 0.9, 0.1], 0.5, (0.5, 3.0, 1.0), 1),
        # none keeps it: the highest score
        ([0.2, 0.8, 0.9], 1.0, (3.0, 1.0, 0.5), 2),
        ([0.2, 0.9, 0.8], 1.0, (3.0, 0.5, 1.0), 1),
        # and among equals the sharpest
        ([0.7, 0.7, 0.1], 1.0, (1.0, 2.0, 3.0), 1),
        ([0.7, 0.7, 0.7], 1.0, (1.0, 3.0, 2.0), 1),
        ([0.7, 0.7, 0.7], 0.7, (1.0, 2.0, 3.0), 2),
        # an equal score is kept; logits may be negative
        ([-2.0, -1.0], -1.0, (2.0, 1.0), 1),
        ([-2.0, -3.0], -1.0, (2.0, 1.0), 0),
        ([0.3], 0.5, (1.0,), 0),
    ],
)
def test_choice_by_hand(scores, whole, exponents, expected):
    assert of_one(scores, whole, exponents) == expected
    assert choose(scores, whole, exponents) == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_choice_of_any_scores(data):
    # few different scores, so that ties are common; exponents in any order
    images, targets = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    exponents = data.draw(
        st.lists(st.sampled_from([0.3, 0.5, 1.0, 1.5, 2.0, 4.0]), min_size=1, unique=True)
    )
    k = len(exponents)
    numbers = st.integers(-2, 2)
    size = images * targets
    scores = torch.tensor(data.draw(st.lists(numbers, min_size=size * k, max_size=size * k)))
    scores = scores.double().reshape(images, k, targets)
    whole = torch.tensor(data.draw(st.lists(numbers, min_size=size, max_size=size)))
    whole = whole.double().reshape(images, 1, targets)
    found = sharpest_sufficient(scores, whole, exponents)
    for n in range(images):
        for t in range(targets):
            row = scores[n, :, t].tolist()
            assert int(found[n, t]) == choose(row, float(whole[n, 0, t]), exponents)


def test_choice_leaves_the_scores_alone():
    scores, whole = torch.rand(2, 3, 2), torch.rand(2, 1, 2)
    before = scores.clone()
    sharpest_sufficient(scores, whole, [1.0, 3.0, 2.0])
    assert torch.equal(scores, before)
