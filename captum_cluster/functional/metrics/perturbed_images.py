"""Images whose most salient pixels are deleted, or alone are there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import check_integer, expected


def saliency_ranks(saliency: Tensor) -> Tensor:
    """Return each pixel's place in the order of falling saliency; ties go by position.

    Args:
        saliency: (P,H,W) float.

    Returns:
        LongTensor (P,H,W), from 0 for the most salient pixel to H*W - 1.

    Raises:
        ValueError: The shape is another.

    Example:
        >>> saliency_ranks(torch.tensor([[[0.1, 0.9], [0.9, 0.0]]]))
        tensor([[[2, 0],
                 [1, 3]]])

    References:
        Petsiuk, Das, Saenko 2018, "RISE", section 4.1.
    """
    if saliency.ndim != 3:
        raise ValueError(expected("saliency", "of shape (P,H,W)", f"{tuple(saliency.shape)}"))
    return _ranks(saliency_order(saliency)).reshape(saliency.shape)


def saliency_order(saliency: Tensor) -> Tensor:
    """Return the pixels (P,H*W) of maps (P,H,W) by falling saliency, equal ones by position.

    Example:
        >>> saliency_order(torch.tensor([[[0.1, 0.9], [0.9, 0.0]]]))
        tensor([[1, 2, 0, 3]])
    """
    return saliency.flatten(1).argsort(dim=1, descending=True, stable=True)


def _ranks(order: Tensor) -> Tensor:
    """Return the place of each pixel in orders (P,H*W)."""
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def perturbation_steps(height: int, width: int, step: int | None = None) -> list[int]:
    """Return how many pixels are changed at each step of insertion and deletion, 0 to n.

    From none to all; the last step is smaller where ``step`` does not divide. By default 8 rows'
    worth of pixels at a time: n = 28 at 224x224.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        step: Pixels per step; None for 8 * width.

    Raises:
        TypeError: ``step`` is no integer.
        ValueError: ``step`` is below 1.

    Example:
        >>> perturbation_steps(20, 10)
        [0, 80, 160, 200]
        >>> perturbation_steps(2, 3, step=4)
        [0, 4, 6]

    References:
        Ha and Youn, "Collection-CAM", section IV.
    """
    pixels = height * width
    size = 8 * width if step is None else check_integer("step", step, 1)
    return [min(number * size, pixels) for number in range(math.ceil(pixels / size) + 1)]


def perturb(
    images: Tensor,
    ranks: Tensor,
    count: int | Tensor,
    baselines: Tensor | float = 0.0,
    *,
    insert: bool | Tensor,
) -> Tensor:
    """Return images whose ``count`` most salient pixels are deleted, or alone are inserted.

    Args:
        images: (P,c,H,W), as the model takes them.
        ranks: (P,H,W), see ``saliency_ranks``.
        count: Number of pixels, one for all images or (P,).
        baselines: What takes the place of a deleted pixel: a number, or a tensor that broadcasts
            to the images.
        insert: Start from the baseline and insert, instead of deleting from the image; one for
            all images or (P,) bool.

    Returns:
        (P,c,H,W).

    Example:
        >>> ranks = saliency_ranks(torch.tensor([[[0.1, 0.9]]]))
        >>> perturb(torch.tensor([[[[5.0, 7.0]]]]), ranks, 1, insert=False)
        tensor([[[[5., 0.]]]])
    """
    counts = torch.as_tensor(count, device=ranks.device).reshape(-1, 1, 1)
    inserted = torch.as_tensor(insert, device=ranks.device).reshape(-1, 1, 1)
    kept = (ranks < counts) == inserted
    fill = torch.as_tensor(baselines, dtype=images.dtype, device=images.device)
    return torch.where(kept[:, None], images, fill)


def perturbation_plan(steps: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the perturbed images that both curves need, each of them once.

    The whole image is the start of deletion and the end of insertion, the bare baseline the other
    way round: n + 1 steps of two curves cost 2n passes. ``curves_of`` makes curves of the answers.

    Args:
        steps: The n + 1 numbers of changed pixels, from ``perturbation_steps``.

    Returns:
        counts: LongTensor (2n,), for ``perturb``.
        insert: (2n,) bool, for ``perturb``. First the whole image, then the bare baseline, then
            deletion, then insertion.

    Example:
        >>> perturbation_plan([0, 4, 6])
        (tensor([0, 0, 4, 4]), tensor([False,  True, False,  True]))
    """
    between = list(steps[1:-1])
    counts = torch.tensor([0, 0, *between, *between])
    insert = [False, True] + [False] * len(between) + [True] * len(between)
    return counts, torch.tensor(insert)


class PerturbedImages:
    """The images of ``perturbation_plan`` of one image, drawn when they are wanted.

    Args:
        image: (c,H,W).
        order: LongTensor (H*W,), see ``saliency_order``.
        fill: (c,H,W), what takes the place of a deleted pixel.
        steps: From ``perturbation_steps``.

    Example:
        >>> image, order = torch.tensor([[[5.0, 7.0, 6.0]]]), torch.tensor([1, 2, 0])
        >>> images = PerturbedImages(image, order, torch.zeros(1, 1, 3), [0, 2, 3])
        >>> rows = torch.empty(4, 1, 1, 3)
        >>> images.draw(rows, 0)
        >>> rows.flatten(1)
        tensor([[5., 7., 6.],
                [0., 0., 0.],
                [5., 0., 0.],
                [0., 7., 6.]])
    """

    def __init__(self, image: Tensor, order: Tensor, fill: Tensor, steps: Sequence[int]) -> None:
        self._image, self._fill, self._order = image, fill, order
        self._counts, self._insert = perturbation_plan(steps)
        self._plan = list(zip(self._counts.tolist(), self._insert.tolist(), strict=True))
        # What deletion, and what insertion puts in the place of a pixel: (H*W,c), whole rows.
        self._ends = tuple(one.permute(1, 2, 0).flatten(0, 1).contiguous() for one in (fill, image))
        self._latest: tuple[bool, int, Tensor] | None = None

    def draw(self, rows: Tensor, first: int) -> None:
        """Write the images first, first + 1, ... of the plan into rows (M,c,H,W)."""
        if rows.device.type != "cpu":
            self._draw_at_once(rows, first)
            return
        for row, (count, insert) in zip(rows, self._plan[first:], strict=False):
            row.copy_(self._step(count, insert))

    def _draw_at_once(self, rows: Tensor, first: int) -> None:
        """As ``draw``, in few operations on many pixels, of which some devices are fond."""
        chosen = slice(first, first + len(rows))
        ranks = _ranks(self._order[None]).reshape(1, *self._image.shape[1:])
        counts, insert = self._counts[chosen], self._insert[chosen]
        rows.copy_(perturb(self._image[None], ranks, counts, self._fill[None], insert=insert))

    def _step(self, count: int, insert: bool) -> Tensor:
        """Return one image (c,H,W), made of the latest by the pixels in which they differ."""
        before = self._latest
        if before is None or before[0] != insert or before[1] > count:
            before = insert, 0, self._ends[not insert].clone()
        changed, pixels = self._order[before[1] : count], before[2]
        pixels.index_copy_(0, changed, self._ends[insert].index_select(0, changed))
        self._latest = insert, count, pixels
        return pixels.reshape(*self._image.shape[1:], -1).permute(2, 0, 1)
