"""Tokens and channels-last features as maps."""

import pickle

import pytest
import torch

from captum_cluster._checks import LayerError
from captum_cluster.functional.attribution import TokensToMaps, channels_last_to_maps


def tokens_of(maps, prefix):
    """Fold maps (N,C,h,w) out into tokens, place by place, with tokens of -1 before them."""
    count, channels, height, width = maps.shape
    tokens = torch.full((count, prefix + height * width, channels), -1.0)
    for row in range(height):
        for column in range(width):
            tokens[:, prefix + row * width + column] = maps[:, :, row, column]
    return tokens


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
@pytest.mark.parametrize("grid", [(3, 3), (2, 5), (7, 1)])
def test_each_token_comes_to_its_place(grid, prefix):
    maps = torch.rand(2, 4, *grid)
    tokens = tokens_of(maps, prefix)
    for transform in (TokensToMaps(grid, prefix), TokensToMaps(grid)):
        assert torch.equal(transform(tokens), maps)


@pytest.mark.parametrize(("side", "prefix"), [(14, 1), (14, 2), (7, 1), (16, 5), (8, 0), (37, 5)])
def test_a_square_grid_and_the_fewest_tokens_before_it_are_found(side, prefix):
    maps = torch.rand(1, 2, side, side)
    tokens = tokens_of(maps, prefix)
    assert torch.equal(TokensToMaps()(tokens), maps)
    assert torch.equal(TokensToMaps(prefix_tokens=prefix)(tokens), maps)


def test_of_several_squares_the_one_after_the_fewest_tokens():
    # 12 = 3 + 9 = 8 + 4
    assert TokensToMaps()(torch.rand(1, 12, 2)).shape == (1, 2, 3, 3)
    assert TokensToMaps(prefix_tokens=8)(torch.rand(1, 12, 2)).shape == (1, 2, 2, 2)
    assert TokensToMaps(grid=(2, 2))(torch.rand(1, 12, 2)).shape == (1, 2, 2, 2)


@pytest.mark.parametrize(
    ("transform", "count", "message"),
    [
        (
            TokensToMaps(),
            220,
            "Expected tokens to be 0 to 8 of class and registers, and a square number of patches "
            "(or pass grid=), but got 220 tokens.",
        ),
        (
            TokensToMaps(prefix_tokens=2),
            197,
            "Expected tokens to be 2 of class and registers, and a square number of patches "
            "(or pass grid=), but got 197 tokens.",
        ),
        (
            TokensToMaps(grid=(7, 7)),
            197,
            "Expected tokens to be 0 to 8 of class and registers, and 49 of the patches (7, 7), "
            "but got 197 tokens.",
        ),
        (
            TokensToMaps(grid=(14, 14)),
            195,
            "Expected tokens to be 0 to 8 of class and registers, and 196 of the patches "
            "(14, 14), but got 195 tokens.",
        ),
        (
            TokensToMaps(grid=(14, 14), prefix_tokens=2),
            197,
            "Expected tokens to be 2 of class and registers, and 196 of the patches (14, 14), "
            "but got 197 tokens.",
        ),
    ],
)
def test_tokens_that_do_not_fit(transform, count, message):
    with pytest.raises(LayerError) as raised:
        transform(torch.rand(1, count, 3))
    assert str(raised.value) == message


def test_prefix_tokens_that_leave_none():
    with pytest.raises(LayerError, match="but got 3 tokens"):
        TokensToMaps(prefix_tokens=3)(torch.rand(1, 3, 2))


@pytest.mark.parametrize("wrong", [torch.rand(2, 3), torch.rand(1, 2, 3, 4), "tokens"])
def test_no_tokens(wrong):
    with pytest.raises(LayerError, match=r"Expected tokens to be of shape \(N,T,C\), but got"):
        TokensToMaps()(wrong)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"grid": 14}, TypeError, r"Expected grid to be two integers \(h,w\) of at least 1"),
        ({"grid": (14,)}, TypeError, "Expected grid to be two integers"),
        ({"grid": (14.0, 14)}, TypeError, "Expected grid to be two integers"),
        ({"grid": (0, 4)}, ValueError, r"Expected grid to be two integers .* but got \(0, 4\)"),
        ({"prefix_tokens": -1}, ValueError, "Expected prefix_tokens to be an integer of at least"),
        ({"prefix_tokens": "1"}, TypeError, "Expected prefix_tokens to be an integer of at least"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        TokensToMaps(**options)


def test_it_is_pickled_and_shown_and_compared():
    transform = TokensToMaps([14, 14], 1)
    assert pickle.loads(pickle.dumps(transform)) == transform == TokensToMaps((14, 14), 1)
    assert transform != TokensToMaps((14, 14))
    assert repr(transform) == "TokensToMaps(grid=(14, 14), prefix_tokens=1)"
    assert pickle.loads(pickle.dumps(channels_last_to_maps)) is channels_last_to_maps


def test_gradients_go_through():
    tokens = torch.rand(2, 10, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(TokensToMaps((3, 3), 1), tokens)
    features = torch.rand(2, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(channels_last_to_maps, features)


def test_channels_last():
    features = torch.rand(2, 3, 4, 5)
    maps = channels_last_to_maps(features)
    assert maps.shape == (2, 5, 3, 4)
    assert float(maps[1, 4, 2, 3]) == float(features[1, 2, 3, 4])
    with pytest.raises(LayerError, match=r"Expected features to be of shape \(N,h,w,C\), but got"):
        channels_last_to_maps(torch.rand(2, 3, 4))
