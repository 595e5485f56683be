"""What pixels are compared by: the affinities that it makes, other sizes, scales, messages."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from captum_cluster.functional.weak.affinity import pixel_affinities
from captum_cluster.functional.weak.pixel_features import (
    image_features,
    joined_features,
    layer_features,
    on_grid,
)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_affinity_is_that_of_colour_times_that_of_place(channels):
    image = draw(channels, 3, 4)
    found = pixel_affinities(image_features(image, (3, 4), colour=2.0, position=0.3), radius=9)
    for i in range(12):
        for j in range(12):
            (y, x), (v, u) = divmod(i, 4), divmod(j, 4)
            colour = float((image[:, y, x] - image[:, v, u]).abs().mean())
            apart = (abs(y - v) + abs(x - u)) / 2
            expected = np.exp(-2.0 * colour - 0.3 * apart)
            assert float(found[i, j]) == pytest.approx(expected)


def test_parts_multiply_whatever_their_numbers_of_channels():
    parts = [draw(1, 3, 4), draw(7, 3, 4, seed=1), draw(2, 3, 4, seed=2)]
    expected = torch.stack([pixel_affinities(part).to_dense() for part in parts]).prod(dim=0)
    torch.testing.assert_close(pixel_affinities(joined_features(parts)).to_dense(), expected)


def test_larger_maps_become_means_of_cells_and_smaller_ones_are_interpolated():
    maps = draw(2, 8, 12)
    expected = maps.reshape(2, 4, 2, 3, 4).mean(dim=(2, 4))
    torch.testing.assert_close(on_grid(maps, (4, 3)), expected)
    expected = F.interpolate(maps[None], size=(9, 20), mode="bilinear")[0]
    torch.testing.assert_close(on_grid(maps, (9, 20)), expected)
    assert torch.equal(on_grid(maps, (8, 12)), maps)


def test_a_layers_features_do_not_depend_on_their_scale():
    features = draw(5, 4, 4)
    found = layer_features(features, (4, 4), weight=0.7)
    moved = 100 * features + draw(5, 1, 1, seed=1)
    torch.testing.assert_close(layer_features(moved, (4, 4), weight=0.7).diff(), found.diff())
    spread = (found - found.mean(dim=(1, 2), keepdim=True)).abs().mean()
    assert float(spread) == pytest.approx(0.7)
    assert torch.equal(layer_features(features, (4, 4), weight=None), features)


def test_features_that_are_the_same_everywhere_stay_finite():
    assert layer_features(torch.full((2, 3, 3), 5.0), (6, 6)).isfinite().all()


ONE = torch.ones(3, 2, 2)
BAD = {
    "two channels": (
        lambda: image_features(ONE[:2], (2, 2)),
        ValueError,
        "Expected image to be of shape (3,H,W), but got (2, 2, 2).",
    ),
    "an image of NaN": (
        lambda: image_features(ONE * torch.nan, (2, 2)),
        ValueError,
        "Expected image to be finite, but got NaN at index [0, 0, 0].",
    ),
    "negative colour": (
        lambda: image_features(ONE, (2, 2), colour=-1),
        ValueError,
        "Expected colour to be a number of at least 0, but got -1.",
    ),
    "position is a text": (
        lambda: image_features(ONE, (2, 2), position="1"),
        TypeError,
        "Expected position to be a number of at least 0, but got '1' (str).",
    ),
    "no features": (
        lambda: joined_features([]),
        ValueError,
        "Expected parts to be features (D,h,w) of one grid, but got none.",
    ),
    "two grids": (
        lambda: joined_features([ONE, ONE[:, :1]]),
        ValueError,
        "Expected parts to be features (D,h,w) of one grid, but got (3, 2, 2), (3, 1, 2).",
    ),
    "features of a batch": (
        lambda: layer_features(ONE[None], (2, 2)),
        ValueError,
        "Expected features to be of shape (D,h,w), but got (1, 3, 2, 2).",
    ),
    "negative weight": (
        lambda: layer_features(ONE, (2, 2), weight=-0.5),
        ValueError,
        "Expected weight to be a number of at least 0, but got -0.5.",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=re.escape(message)):
        call()
