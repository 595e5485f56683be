"""What maps and inputs lie on: signals (L), images (H,W) and volumes (D,H,W)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

# Of each number of dimensions how torch.nn.functional.interpolate calls it.
_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}

FORMS = "images (N,c,H,W), signals (N,c,L) or volumes (N,c,D,H,W)"
"""The batches that can be explained, for messages."""


def grid_dimensions(inputs: Sequence[Tensor]) -> int:
    """Return the number of grid dimensions of a model's images; 0 where it has none.

    Inputs of four dimensions are images, whatever is beside them; without one those of five are
    volumes (or videos); without these those of three are signals.

    Example:
        >>> import torch
        >>> grid_dimensions((torch.zeros(1, 3, 8, 8), torch.zeros(1, 5, 2)))
        2
        >>> grid_dimensions((torch.zeros(1, 3, 100), torch.zeros(1, 5)))
        1
    """
    found = {tensor.ndim for tensor in inputs}
    return next((dims for dims in (2, 3, 1) if dims + 2 in found), 0)


def images_of(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return those inputs that are images, signals or volumes; see ``grid_dimensions``.

    Example:
        >>> import torch
        >>> len(images_of((torch.zeros(1, 3, 8, 8), torch.zeros(1, 5, 2))))
        1
    """
    dims = grid_dimensions(inputs)
    return [tensor for tensor in inputs if dims and tensor.ndim == dims + 2]


def axes(dims: int) -> tuple[int, ...]:
    """Return the last ``dims`` dimensions of a tensor.

    Example:
        >>> axes(2)
        (-2, -1)
    """
    return tuple(range(-dims, 0))


def over_grid(values: Tensor, dims: int) -> Tensor:
    """Return one value for each map (...) with ``dims`` dimensions of length 1 behind it.

    Example:
        >>> import torch
        >>> over_grid(torch.zeros(4, 5), 3).shape
        torch.Size([4, 5, 1, 1, 1])
    """
    return values.reshape(*values.shape, *(1,) * dims)


def upsample(maps: Tensor, size: Sequence[int], *, align_corners: bool = False) -> Tensor:
    """Return maps (..., *grid) resized (bi-, tri-)linearly to ``size``: (..., *size).

    Args:
        maps: Maps whose grid has as many dimensions as ``size``.
        size: One to three lengths.
        align_corners: As in ``torch.nn.functional.interpolate``.

    Example:
        >>> import torch
        >>> upsample(torch.tensor([[0.0, 1.0]]), (1, 4))
        tensor([[0.0000, 0.2500, 0.7500, 1.0000]])
        >>> upsample(torch.tensor([0.0, 1.0]), (4,))
        tensor([0.0000, 0.2500, 0.7500, 1.0000])
    """
    dims = len(size)
    flat = maps.reshape(-1, 1, *maps.shape[maps.ndim - dims :])
    flat = F.interpolate(flat, size=tuple(size), mode=_MODES[dims], align_corners=align_corners)
    return flat.reshape(*maps.shape[: maps.ndim - dims], *size)
