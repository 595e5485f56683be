"""What a model says of many images, each drawn only when its batch is read."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor

from captum_cluster.functional.attribution.layout import is_faster_channels_last, is_of_layout

Read: TypeAlias = Callable[[Tensor], Tensor]
"""Gives something of shape (M,...) for images (M,c,H,W)."""

Draw: TypeAlias = Callable[[Tensor, int], None]
"""``draw(rows, first)`` writes the images first, first + 1, ... into rows (M,c,H,W)."""


def in_turn(drawings: Callable[[int], Draw], each: int) -> Draw:
    """Return what draws the images of several drawings, one drawing after the other.

    Args:
        drawings: Gives drawing 0, 1, ...; only the latest is kept.
        each: Images of each.

    Example:
        >>> draw = in_turn(lambda number: lambda rows, first: rows.fill_(10 * number + first), 2)
        >>> rows = torch.empty(3, 1, 1, 1)
        >>> draw(rows, 1)
        >>> rows.flatten()
        tensor([ 1., 10., 10.])
    """
    latest = functools.lru_cache(maxsize=1)(drawings)

    def draw(rows: Tensor, first: int) -> None:
        done = 0
        while done < len(rows):
            number, place = divmod(first + done, each)
            part = rows[done : done + each - place]
            latest(number)(part, place)
            done += len(part)

    return draw


class Reader:
    """Reads drawn images batch by batch, in the memory layout in which models are fastest.

    On the CPU torch convolves float32 images whose channels lie together faster (channels last);
    the model itself is not touched. One that cannot take them (``view`` behind its last map) reads
    them, and all that follow, in the usual layout.

    Each batch is a tensor of its own: a model may keep its input, or change it.

    Args:
        read: Called without gradients.

    Example:
        >>> reader = Reader(lambda images: images.mean(dim=(2, 3)))
        >>> draw = lambda rows, first: rows.fill_(first)
        >>> list(reader(draw, torch.zeros(1, 1, 2, 2), 3, rows=2))
        [(0, tensor([[0.],
                [0.]])), (2, tensor([[2.]]))]
    """

    def __init__(self, read: Read) -> None:
        self._read, self._channels_last = read, True

    def __call__(
        self, draw: Draw, image: Tensor, count: int, rows: int
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield for each batch the number of its first image, and what is read of it.

        Args:
            draw: Draws the images, any of them again.
            image: (N,c,H,W), of the images' size, type and device.
            count: Number of images.
            rows: Images in one batch at most; the batches are of one size, as far as may be.
        """
        # A small rest would cost more than its share.
        size = math.ceil(count / max(1, math.ceil(count / rows)))
        for first in range(0, count, max(1, size)):
            shape = (min(size, count - first), *image.shape[1:])
            with torch.no_grad():
                found = self._batch(draw, first, image, shape)
            yield first, found

    def _batch(self, draw: Draw, first: int, image: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return what is read of one batch."""
        blank = functools.partial(torch.empty, shape, dtype=image.dtype, device=image.device)
        if self._channels_last and is_faster_channels_last(image):
            try:
                return self._read(_drawn(draw, first, blank(memory_format=torch.channels_last)))
            except Exception as error:
                if not is_of_layout(error):
                    raise
        # Drawn anew: the model may have changed its input before it failed.
        found = self._read(_drawn(draw, first, blank()))
        self._channels_last = False
        return found


def _drawn(draw: Draw, first: int, rows: Tensor) -> Tensor:
    """Return the rows with the images from the first on drawn into them."""
    draw(rows, first)
    return rows
