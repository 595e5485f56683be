"""Maps of several layers or views as one map: each counts by its shape, not by its size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import expected
from captum_cluster.functional.attribution.grids import axes, upsample


def unit_positive(maps: Tensor, *, dims: int = 2) -> Tensor:
    """Return maps (..., *grid) rectified and divided by their maximum, ``ReLU(M) / max ReLU(M)``.

    Unlike min-max this keeps the share of each value in the largest. A map without a positive
    value gives 0.

    Args:
        maps: Maps, on a grid of ``dims`` dimensions.
        dims: 1 for signals, 2 for images, 3 for volumes.

    Example:
        >>> unit_positive(torch.tensor([[[2.0, 4.0]], [[-3.0, 0.0]]]))
        tensor([[[0.5000, 1.0000]],
        <BLANKLINE>
                [[0.0000, 0.0000]]])
    """
    positive = maps.relu()
    high = positive.amax(dim=axes(dims), keepdim=True)
    return positive / torch.where(high > 0, high, torch.ones_like(high))


def to_largest_grid(maps: Sequence[Tensor], *, dims: int = 2) -> list[Tensor]:
    """Return maps (..., *grid) of several grids on the largest of them, resized linearly.

    Args:
        maps: At least one; their grids may differ.
        dims: Dimensions of the grids.

    Returns:
        As many, with the greatest length among them in each dimension, on the device of the
        first.

    Raises:
        ValueError: There are none.

    Example:
        >>> [part.tolist() for part in to_largest_grid([torch.ones(1, 2), torch.ones(1, 1)])]
        [[[1.0, 1.0]], [[1.0, 1.0]]]
    """
    if not maps:
        raise ValueError(expected("maps", "those of at least one layer", "none"))
    size = tuple(max(part.shape[axis] for part in maps) for axis in axes(dims))
    alike = [part if part.shape[-dims:] == size else upsample(part, size) for part in maps]
    return [part.to(maps[0].device) for part in alike]


def merge_branches(maps: Sequence[Tensor], *, dims: int = 2) -> Tensor:
    """Return the mean over the branches of each one's map, rectified and divided by its maximum.

    Maps of different grids are rectified and brought to the largest grid before the division.

    Args:
        maps: Of each branch (..., *grid), signed.
        dims: Dimensions of the grids.

    Returns:
        (..., *grid) from 0 to 1, on the largest grid.

    Raises:
        ValueError: There are none.

    Example:
        >>> merge_branches([torch.tensor([[4.0, -1.0]]), torch.tensor([[1.0, 2.0]])])
        tensor([[0.7500, 0.5000]])

    References:
        Huang et al., "Class Activation Map generation by Multiple Level Class Grouping and
        Orthogonal Constraint", section II-D: M = (M_1 + M_2) / 2. That each is divided by its
        maximum first, so that neither outweighs the other, is our reading.
    """
    aligned = to_largest_grid([part.relu() for part in maps], dims=dims)
    return torch.stack([unit_positive(part, dims=dims) for part in aligned]).mean(dim=0)
