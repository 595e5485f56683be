"""Scores of labels and background: numbers from paper, ties, the label maps of old, messages."""

import re

import pytest
import torch

from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics.segmentation import label_maps
from captum_cluster.functional.weak.affinity import random_walk
from captum_cluster.functional.weak.dense_crf import dense_crf
from captum_cluster.functional.weak.scores import (
    background_scores,
    confident_labels,
    foreground_scores,
    score_labels,
    with_background,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


PRESENT = torch.tensor([[True, False, True], [False, False, False], [False, True, False]])


def test_present_labels_get_their_saliency_and_absent_ones_nothing():
    maps = draw(3, 3, 4, 5)
    scores = foreground_scores(maps, PRESENT, (8, 9))
    expected = saliency(maps, (8, 9)) * PRESENT[:, :, None, None]
    torch.testing.assert_close(scores, expected, rtol=0, atol=0)
    assert scores.amax(dim=(2, 3))[PRESENT].tolist() == [1.0, 1.0, 1.0]


def test_maps_of_absent_labels_are_not_read():
    maps = draw(3, 3, 4, 4)
    broken = maps.clone()
    broken[~PRESENT] = torch.nan
    torch.testing.assert_close(foreground_scores(broken, PRESENT), foreground_scores(maps, PRESENT))


@pytest.mark.parametrize("background", [0.0, 0.15, 0.6, 1.0])
def test_the_labels_are_those_of_label_maps(background):
    maps = draw(3, 3, 4, 5)
    scores = with_background(foreground_scores(maps, PRESENT, (8, 9)), score=background)
    expected = label_maps(maps, PRESENT, background=background, size=(8, 9))
    assert torch.equal(score_labels(scores), expected)


def test_the_background_to_a_power():
    scores = torch.tensor([[[[0.0, 0.5, 1.0]], [[0.75, 0.25, 0.0]]]])
    assert background_scores(scores, power=2).tolist() == [[[0.0625, 0.25, 0.0]]]
    roots = background_scores(scores, power=0.5)
    torch.testing.assert_close(roots, torch.tensor([[[0.5, 0.5**0.5, 0.0]]]))
    assert with_background(scores, power=2)[0, 0].tolist() == [[0.0625, 0.25, 0.0]]
    assert torch.equal(with_background(scores, power=2)[:, 1:], scores)


def test_a_greater_power_leaves_less_background():
    scores = foreground_scores(draw(3, 3, 6, 6), PRESENT)
    shares = [(score_labels(with_background(scores, power=p)) == 0).sum() for p in (4, 16, 32)]
    assert shares[0] > shares[1] > shares[2]


@pytest.mark.parametrize("where", range(3))
def test_the_first_of_equal_scores_wins(where):
    scores = torch.zeros(1, 4, 2, 2)
    scores[:, where:] = 0.5
    assert (score_labels(scores) == where).all()


def test_an_image_without_labels_is_background():
    scores = with_background(foreground_scores(draw(3, 3, 4, 4), PRESENT))
    assert not score_labels(scores)[1].any()
    # With a power nothing speaks against the background at all.
    powers = with_background(foreground_scores(draw(3, 3, 4, 4), PRESENT), power=16)
    assert (powers[1, 0] == 1).all()


def test_confident_labels():
    low, high = torch.tensor([[[0, 0, 3, 2]]]), torch.tensor([[[0, 3, 3, 1]]])
    assert confident_labels(low, high).tolist() == [[[0, 255, 3, 255]]]
    assert confident_labels(low, high, ignore_index=-1).tolist() == [[[0, -1, 3, -1]]]


def of_the_authors(low, high):
    """The labels of AffinityNet's code, as it has them."""
    labels = low.clone()
    labels[low == 0] = 255
    labels[high == 0] = 0
    return labels


@pytest.mark.parametrize("walked", [False, True])
def test_confident_labels_are_those_of_the_authors_without_the_crf(walked):
    scores = foreground_scores(draw(3, 3, 6, 7), PRESENT)
    found = []
    for power in (4, 32):
        channels = with_background(scores, power=power)
        if walked:
            likeness = draw(4, 6, 7, seed=1)
            walks = [random_walk(one, likeness, log_steps=2, radius=2) for one in channels]
            assert (torch.stack(walks) - channels).abs().max() > 0.3
            channels = torch.stack(walks)
        found.append(score_labels(channels))
    labels = confident_labels(*found)
    assert torch.equal(labels, of_the_authors(*found))
    assert {0, 255} < set(labels.unique().tolist())


def test_where_the_channels_are_mixed_the_authors_keep_labels_that_do_not_agree():
    low = torch.tensor([[[0, 0, 2, 2, 2]]])
    high = torch.tensor([[[0, 2, 2, 0, 3]]])
    assert of_the_authors(low, high).tolist() == [[[0, 255, 2, 0, 2]]]
    assert confident_labels(low, high).tolist() == [[[0, 255, 2, 255, 255]]]


def test_after_the_crf_uncertain_pixels_are_all_that_differs():
    maps, image = draw(1, 3, 4, 4, seed=9), draw(3, 16, 16).sigmoid()
    scores = foreground_scores(maps, torch.ones(1, 3, dtype=torch.bool), (16, 16))
    refined = [dense_crf(image, with_background(scores, power=power)[0]) for power in (4, 32)]
    low, high = (score_labels(one[None]) for one in refined)
    ours, theirs = confident_labels(low, high), of_the_authors(low, high)
    apart = ours != theirs
    assert apart.any()
    assert (ours[apart] == 255).all()
    assert torch.equal(apart, (low > 0) & (low != high))


ONE = torch.full((1, 1, 2, 2), 0.5)
LABELS = torch.zeros(1, 2, 2, dtype=torch.long)
BAD = {
    "present is no bool": (
        lambda: foreground_scores(ONE, torch.ones(1, 1)),
        TypeError,
        "Expected present to be a boolean tensor, but got torch.float32.",
    ),
    "too few labels": (
        lambda: foreground_scores(ONE, torch.ones(1, 2, dtype=torch.bool)),
        ValueError,
        "Expected maps and present to be of shapes (N,L,h,w) and (N,L), "
        "but got maps (1, 1, 2, 2) and present (1, 2).",
    ),
    "a map of NaN": (
        lambda: foreground_scores(ONE * torch.nan, torch.ones(1, 1, dtype=torch.bool)),
        ValueError,
        "Expected maps to be finite, but got NaN at index [0, 0, 0].",
    ),
    "score above 1": (
        lambda: background_scores(ONE, score=1.5),
        ValueError,
        "Expected score to be a number from 0 to 1, but got 1.5.",
    ),
    "power 0": (
        lambda: with_background(ONE, power=0),
        ValueError,
        "Expected power to be a number above 0, but got 0.",
    ),
    "a score and a power": (
        lambda: with_background(ONE, score=0.3, power=4),
        ValueError,
        "Expected the background to be either a score or a power, but got both.",
    ),
    "power is a text": (
        lambda: with_background(ONE, power="4"),
        TypeError,
        "Expected power to be a number above 0, but got '4' (str).",
    ),
    "scores above 1": (
        lambda: background_scores(3 * ONE),
        ValueError,
        "Expected scores to be numbers from 0 to 1, but got 1.5 to 1.5.",
    ),
    "no label": (
        lambda: with_background(ONE[:, :0]),
        ValueError,
        "Expected scores to be of shape (N,L,H,W), but got (1, 0, 2, 2).",
    ),
    "labels of one image": (
        lambda: score_labels(ONE[0]),
        ValueError,
        "Expected scores to be of shape (N,L+1,H,W), but got (1, 2, 2).",
    ),
    "labels of NaN": (
        lambda: score_labels(ONE * torch.nan),
        ValueError,
        "Expected scores to be finite, but got NaN at index [0, 0, 0, 0].",
    ),
    "other sizes": (
        lambda: confident_labels(LABELS, LABELS[..., :1]),
        ValueError,
        "Expected low and high to be of one shape, but got (1, 2, 2) and (1, 2, 1).",
    ),
    "labels of floats": (
        lambda: confident_labels(LABELS, LABELS.float()),
        TypeError,
        "Expected high to be a tensor of integers, "
        "but got a tensor of shape (1, 2, 2) and dtype torch.float32.",
    ),
    "ignore_index is no integer": (
        lambda: confident_labels(LABELS, LABELS, ignore_index=None),
        TypeError,
        "Expected ignore_index to be an integer from -2147483648 to 2147483648, "
        "but got None (NoneType).",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=re.escape(message)):
        call()
