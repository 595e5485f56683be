"""Copies of one image's layer output, each without one map: where the maps lie in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from captum_cluster._checks import LayerError, describe, expected
from captum_cluster.functional.attribution.grids import over_grid

_FORM = "to rearrange one tensor of the layer's output and change no value of it"


@dataclass(frozen=True)
class Places:
    """Where the maps (rows,C,*grid) lie in what a layer gives.

    Attributes:
        leaf: Number of the tensor, among all in what the layer gives.
        flat: LongTensor (rows,C,*grid), the place of each value in the flattened tensor; None
            where the tensor is the maps.
    """

    leaf: int
    flat: Tensor | None = None

    def in_rows(self, tensor: Tensor, channels: Tensor) -> tuple[Tensor, ...]:
        """Return the index of map ``channels[i]`` in row i of a tensor with len(channels) rows."""
        rows = torch.arange(len(channels), device=tensor.device)
        if self.flat is None:
            return rows, channels
        return torch.unravel_index(self.flat[rows, channels], tensor.shape)

    def in_copies(self, tensor: Tensor, channels: Tensor, image: int) -> tuple[Tensor, ...]:
        """Return the same in len(channels) copies of row ``image`` of ``tensor``."""
        rows = torch.arange(len(channels), device=tensor.device)
        if self.flat is None:
            return rows, channels
        own = self.flat[image, channels] - image * tensor[0].numel()
        lines = over_grid(rows, own.ndim - 1)
        return lines, *torch.unravel_index(own, tensor.shape[1:])

    def follow_rows(self, tensor: Tensor) -> bool:
        """Return whether the maps of image i lie in row i of the tensor, for each of them."""
        if self.flat is None:
            return True
        if not tensor.ndim or len(tensor) != len(self.flat):
            return False
        rows = over_grid(torch.arange(len(tensor), device=self.flat.device), self.flat.ndim - 1)
        return bool((self.flat // tensor[0].numel() == rows).all())


def find_places(value: Any, part: int, transform: Callable[[Any], Any] | None) -> Places:
    """Return where the maps lie in what a layer gives.

    Args:
        value: What the layer gives.
        part: Without ``transform``: which of its tensors is the maps.
        transform: Rearranges it into maps. Numbered values are sent through it.

    Raises:
        LayerError: ``transform`` does more than that.

    Example:
        >>> tokens = torch.rand(1, 4, 3)
        >>> find_places(tokens, 0, lambda x: x.mT.unflatten(2, (2, 2))).flat[0, 0]
        tensor([[0, 3],
                [6, 9]])
    """
    leaves, form = tree_flatten(value)
    if transform is None:
        outer = value if isinstance(value, (tuple, list)) else [value]
        chosen = [tensor for tensor in outer if isinstance(tensor, Tensor)][part]
        return Places(next(i for i, leaf in enumerate(leaves) if leaf is chosen))
    ends = torch.tensor([_size(leaf) for leaf in leaves]).cumsum(0)
    numbered = [
        _numbered(leaf, int(end) - _size(leaf)) for leaf, end in zip(leaves, ends, strict=True)
    ]
    moved = transform(tree_unflatten(numbered, form))
    if not isinstance(moved, Tensor) or moved.ndim not in (3, 4, 5):
        raise LayerError(expected("reshape_transform", _FORM, describe(moved)))
    flat = moved.round().long()
    low, high = int(flat.min()), int(flat.max())
    number = int(torch.searchsorted(ends, low, right=True))
    whole = bool((flat == moved).all()) and low >= 0 and high < int(ends[-1])
    if not whole or high >= int(ends[number]):
        raise LayerError(expected("reshape_transform", _FORM, "one that does more"))
    return Places(number, flat - int(ends[number]) + _size(leaves[number]))


def check_places(places: Places, value: Any, maps: Tensor) -> None:
    """Check that the maps (N,C,*grid) are what lies in their places.

    Raises:
        LayerError: They are something else.
    """
    if places.flat is None:
        return
    found = tree_leaves(value)[places.leaf].flatten()[places.flat]
    if found.shape != maps.shape or not bool((found.to(maps) == maps).all()):
        raise LayerError(expected("reshape_transform", _FORM, "one that does more"))


def _size(leaf: Any) -> int:
    return leaf.numel() if isinstance(leaf, Tensor) else 0


def _numbered(leaf: Any, first: int) -> Any:
    """Return consecutive numbers in the shape of a tensor, exact up to 2^53."""
    if not isinstance(leaf, Tensor):
        return leaf
    last = first + leaf.numel()
    numbers = torch.arange(first, last, dtype=torch.float64, device=leaf.device)
    return numbers.reshape(leaf.shape)


class Copies:
    """Copies of one row, in which maps are exchanged for a while.

    Args:
        row: (1,...).
        count: Number of copies.
    """

    def __init__(self, row: Tensor, count: int) -> None:
        self.row = row
        last = row.ndim == 4 and row.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        self.rows = row.expand(count, *row.shape[1:]).clone(memory_format=layout)

    @contextmanager
    def exchanged(self, index: tuple[Tensor, ...], value: Tensor) -> Iterator[Tensor]:
        """Give as many copies as the index has rows, with ``value`` at the index.

        Only that is put back afterwards, unless something else was written meanwhile.
        """
        rows = self.rows[: len(index[0])]
        rows[index] = value.to(rows)
        version = rows._version
        yield rows
        if rows._version == version:
            rows[index] = self.row.expand_as(rows)[index]
        else:
            rows.copy_(self.row.expand_as(rows))
