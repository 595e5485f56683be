"""The random walk over an image: the paper's, its grid, its features, options, messages."""

import re

import numpy as np
import pytest
import torch

from captum_cluster.functional.weak import image_features, layer_features, random_walk
from captum_cluster.weak import refinement
from captum_cluster.weak.refinement import RandomWalk
from tests.helpers import refinement_references as ref
from tests.helpers.refinement_cases import draw, picture, two_regions


def test_the_walk_is_that_of_the_paper():
    image, scores = draw(3, 4, 5).double(), draw(2, 4, 5, seed=1).double()
    config = RandomWalk(stride=1, radius=3, power=2, log_steps=2, colour=4.0, position=0.2)
    features = image_features(image, (4, 5), colour=4.0, position=0.2).numpy()
    expected = ref.walk(scores.numpy(), features, radius=3, power=2, log_steps=2)
    np.testing.assert_allclose(config.refine(image, scores).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 3, 8, 50])
@pytest.mark.parametrize("size", [(20, 26), (5, 7), (1, 1)])
def test_the_walk_gives_the_images_size(stride, size):
    image, scores = picture(20, 26), draw(3, *size)
    found = RandomWalk(stride=stride).refine(image, scores)
    assert found.shape == (3, 20, 26)
    for one, before in zip(found, scores, strict=True):
        assert before.min() - 1e-6 <= one.min()
        assert one.max() <= before.max() + 1e-6


@pytest.mark.parametrize(
    ("size", "stride"),
    [
        ((1, 1), 1),
        ((9, 9), 1),
        ((9, 500), 1),
        ((64, 64), 2),
        ((90, 70), 2),
        ((112, 120), 4),
        ((210, 300), 8),
        ((224, 224), 8),
        ((300, 224), 8),
        ((256, 600), 8),
    ],
)
def test_the_grid_of_a_small_image_is_as_fine_as_a_photographs(size, stride, monkeypatch):
    grids = []

    def walk(scores, features, **options):
        grids.append(tuple(scores.shape[1:]))
        return scores

    monkeypatch.setattr(refinement, "random_walk", walk)
    for config in (RandomWalk(), RandomWalk(stride=stride)):
        config.refine(torch.full((3, *size), 0.5), torch.ones(1, 3, 3))
    assert grids[0] == grids[1] == tuple(-(-side // stride) for side in size)
    # No fewer than 20 pixels of an image that has as many, no more than 41 of one that is small.
    assert min(20, *size) <= min(grids[0]) <= max(41, min(size) / 8)


@pytest.mark.parametrize("value", [0.0, 0.15, 1.0])
def test_a_constant_map_is_a_fixed_point(value):
    scores = torch.full((2, 20, 26), value)
    found = RandomWalk(stride=4).refine(picture(20, 26), scores)
    torch.testing.assert_close(found, scores)


def test_the_walk_recovers_the_edge():
    image, scores, truth = two_regions()
    found = RandomWalk(stride=1).refine(image, scores).argmax(dim=0)
    assert torch.equal(found, truth.long())


def test_the_walk_by_features_alone():
    image, scores, features = picture(8, 8), draw(2, 8, 8), 5 * draw(6, 8, 8, seed=2)
    config = RandomWalk(stride=1, colour=0, position=0, layer=None)
    assert torch.equal(config.refine(image, scores, features), random_walk(scores, features))
    scaled = layer_features(features, (8, 8), weight=2.0)
    config = RandomWalk(stride=1, colour=0, position=0, layer=2.0)
    torch.testing.assert_close(config.refine(image, scores, features), random_walk(scores, scaled))


def test_the_walk_reads_features_beside_the_colours():
    image, scores = torch.full((3, 8, 8), 0.5), torch.zeros(1, 8, 8)
    scores[0, 2, 1] = 1.0
    features = torch.zeros(1, 4, 4)
    features[..., 2:] = 100.0  # a wall that the colours do not show
    without = RandomWalk(stride=1).refine(image, scores)
    walled = RandomWalk(stride=1, layer=5.0).refine(image, scores, features)
    assert without[0, :, 6:].min() > 1e-3
    assert walled[0, :, 6:].max() < 1e-3


def test_inputs_of_the_walk_are_not_modified():
    image, scores, features = picture(8, 8), draw(2, 8, 8), draw(6, 8, 8, seed=2)
    kept = [one.clone() for one in (image, scores, features)]
    RandomWalk(stride=2).refine(image, scores, features)
    for one, before in zip((image, scores, features), kept, strict=True):
        assert torch.equal(one, before)


IMAGE, HALF = torch.full((3, 4, 4), 0.5), torch.full((2, 4, 4), 0.5)
BAD = {
    "stride 0": (
        lambda: RandomWalk(stride=0),
        ValueError,
        "Expected stride to be an integer of at least 1, but got 0.",
    ),
    "radius 0": (
        lambda: RandomWalk(radius=0),
        ValueError,
        "Expected radius to be a number above 0, but got 0.",
    ),
    "negative power": (
        lambda: RandomWalk(power=-1),
        ValueError,
        "Expected power to be a number of at least 0, but got -1.",
    ),
    "log_steps is no integer": (
        lambda: RandomWalk(log_steps=1.5),
        TypeError,
        "Expected log_steps to be an integer from 0 to 62, but got 1.5.",
    ),
    "negative colour": (
        lambda: RandomWalk(colour=-1),
        ValueError,
        "Expected colour to be a number of at least 0, but got -1.",
    ),
    "negative position": (
        lambda: RandomWalk(position=-1),
        ValueError,
        "Expected position to be a number of at least 0, but got -1.",
    ),
    "negative layer": (
        lambda: RandomWalk(layer=-1),
        ValueError,
        "Expected layer to be a number of at least 0, but got -1.",
    ),
    "a walk of a batch": (
        lambda: RandomWalk().refine(IMAGE, HALF[None]),
        ValueError,
        "Expected scores to be of shape (C,h,w), but got (1, 2, 4, 4).",
    ),
    "a walk of NaN": (
        lambda: RandomWalk().refine(IMAGE, HALF * torch.nan),
        ValueError,
        "Expected scores to be finite, but got NaN at index [0, 0, 0].",
    ),
    "an image without pixels": (
        lambda: RandomWalk().refine(IMAGE[:, :0], HALF),
        ValueError,
        "Expected image to be of shape (3,H,W), but got (3, 0, 4).",
    ),
    "an image of a batch": (
        lambda: RandomWalk().refine(IMAGE[None], HALF),
        ValueError,
        "Expected image to be of shape (3,H,W), but got (1, 3, 4, 4).",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=re.escape(message)):
        call()
