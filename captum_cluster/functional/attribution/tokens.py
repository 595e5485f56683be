"""Feature maps of what transformers give: tokens, and maps with their channels last."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from captum_cluster._checks import LayerError, check_integer, describe, expected, is_integer

MOST_PREFIX_TOKENS = 8
"""A class token, one of a distillation, or registers: published models have up to this many."""


@dataclass(frozen=True)
class TokensToMaps:
    """Folds tokens (N,T,C) into feature maps (N,C,h,w): a ``reshape_transform``.

    The tokens of the patches are read row by row, after those that belong to no place: class,
    distillation and register tokens. What is not given is found from the number of tokens: the
    fewest tokens before the patches, up to 8, that leave a square grid; of a given grid those that
    are too many. ``find_reshape_transform`` looks at the model instead, and knows other grids.

    Args:
        grid: Rows and columns (h,w) of patches.
        prefix_tokens: How many tokens come before those of the patches.

    Raises:
        TypeError: ``grid`` is no pair of integers, or ``prefix_tokens`` no integer.
        ValueError: They are below 1 and 0. When called: the tokens are not of shape (N,T,C), or
            do not fit (a ``LayerError``).

    Example:
        >>> import torch
        >>> tokens = torch.rand(2, 197, 16)  # a class token and 14 x 14 patches
        >>> TokensToMaps()(tokens).shape
        torch.Size([2, 16, 14, 14])
        >>> TokensToMaps(grid=(7, 28))(tokens).shape
        torch.Size([2, 16, 7, 28])
    """

    grid: tuple[int, int] | None = None
    prefix_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.grid is not None:
            object.__setattr__(self, "grid", _pair(self.grid))
        if self.prefix_tokens is not None:
            prefix = check_integer("prefix_tokens", self.prefix_tokens, 0)
            object.__setattr__(self, "prefix_tokens", prefix)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return tokens (N,T,C), or gradients at them, as maps (N,C,h,w)."""
        if not isinstance(tokens, Tensor) or tokens.ndim != 3:
            raise LayerError(expected("tokens", "of shape (N,T,C)", describe(tokens)))
        prefix, grid = self._layout(tokens.shape[1])
        patches = tokens[:, prefix:].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], *grid)

    def _layout(self, count: int) -> tuple[int, tuple[int, int]]:
        """Return the number of tokens before the patches, and the grid."""
        if self.grid is not None:
            return self._before(count, self.grid), self.grid
        given = self.prefix_tokens
        for prefix in range(MOST_PREFIX_TOKENS + 1) if given is None else [given]:
            side = math.isqrt(max(count - prefix, 0))
            if side and side * side == count - prefix:
                return prefix, (side, side)
        before = f"0 to {MOST_PREFIX_TOKENS}" if given is None else f"{given}"
        what = f"{before} of class and registers, and a square number of patches (or pass grid=)"
        raise LayerError(expected("tokens", what, f"{count} tokens"))

    def _before(self, count: int, grid: tuple[int, int]) -> int:
        """Return how many tokens come before those of a grid."""
        patches, given = math.prod(grid), self.prefix_tokens
        most = MOST_PREFIX_TOKENS if given is None else given
        least = 0 if given is None else given
        if not least <= count - patches <= most:
            before = f"{least} to {most}" if given is None else f"{given}"
            what = f"{before} of class and registers, and {patches} of the patches {grid}"
            raise LayerError(expected("tokens", what, f"{count} tokens"))
        return count - patches


def channels_last_to_maps(features: Tensor) -> Tensor:
    """Return features (N,h,w,C), or gradients at them, as maps (N,C,h,w): a ``reshape_transform``.

    Swin transformers and their relatives compute with the channels last.

    Args:
        features: (N,h,w,C).

    Raises:
        LayerError: They have not four dimensions.

    Example:
        >>> import torch
        >>> channels_last_to_maps(torch.rand(2, 7, 5, 16)).shape
        torch.Size([2, 16, 7, 5])
    """
    if not isinstance(features, Tensor) or features.ndim != 4:
        raise LayerError(expected("features", "of shape (N,h,w,C)", describe(features)))
    return features.permute(0, 3, 1, 2)


def _pair(grid: object) -> tuple[int, int]:
    sides = list(grid) if isinstance(grid, (tuple, list)) else []
    what = "two integers (h,w) of at least 1"
    if len(sides) != 2 or not all(is_integer(side) for side in sides):
        raise TypeError(expected("grid", what, describe(grid)))
    if min(sides) < 1:
        raise ValueError(expected("grid", what, tuple(sides)))
    return int(sides[0]), int(sides[1])
