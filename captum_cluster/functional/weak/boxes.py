"""Boxes of whole pixels: cut to the image, without duplicates, around a point, cut out of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import expected
from captum_cluster.functional.metrics.regions import Box, clip_boxes


def pixel_boxes(boxes: Sequence[Box] | Tensor, size: Sequence[int]) -> Tensor:
    """Return the boxes of the pixels whose centres lie in boxes (K,4): LongTensor (up to K,4).

    Each holds at least one pixel, and all lie in the image; boxes without a pixel are left out.

    Args:
        boxes: K boxes x0, y0, x1, y1 in pixels; the upper left pixel reaches from 0 to 1.
        size: Height and width of the image.

    Raises:
        TypeError: They are no numbers.
        ValueError: They are no groups of four, or not finite.

    Example:
        >>> pixel_boxes([(-5, 0.7, 2.2, 9), (30, 30, 40, 40)], (4, 4))
        tensor([[0, 1, 2, 4]])
    """
    # The same edges as in `box_region`: from the first centre inside to the last.
    return (clip_boxes(boxes, size) - 0.5).ceil().clamp(min=0).long()


def unique_boxes(boxes: Tensor) -> Tensor:
    """Return the boxes (K,4) without those that came before, in their order.

    Example:
        >>> unique_boxes(torch.tensor([[2, 0, 3, 1], [0, 0, 1, 1], [2, 0, 3, 1]]))
        tensor([[2, 0, 3, 1],
                [0, 0, 1, 1]])
    """
    _, inverse = torch.unique(boxes, dim=0, return_inverse=True)
    order = inverse.argsort(stable=True)
    new = inverse[order].diff(prepend=inverse.new_tensor([-1])) > 0
    return boxes[order[new].sort().values]


def contains_pixel(boxes: Tensor, pixel: tuple[int, int]) -> Tensor:
    """Return which of the boxes (K,4) of whole pixels hold a pixel (y, x): (K,) bool.

    Example:
        >>> contains_pixel(torch.tensor([[0, 0, 2, 1], [0, 0, 1, 1]]), (0, 1))
        tensor([ True, False])
    """
    y, x = pixel
    x0, y0, x1, y1 = boxes.unbind(dim=1)
    return (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)


def crop_boxes(image: Tensor, boxes: Tensor) -> list[Tensor]:
    """Return what each of the boxes (K,4) shows of an image (C,H,W), as views of it.

    Args:
        image: (C,H,W).
        boxes: (K,4) int, inside the image; see ``pixel_boxes``.

    Raises:
        ValueError: The image has no three axes.

    Example:
        >>> crop_boxes(torch.arange(6.0).reshape(1, 2, 3), torch.tensor([[1, 0, 3, 1]]))
        [tensor([[[1., 2.]]])]
    """
    if image.ndim != 3:
        raise ValueError(expected("image", "of shape (C,H,W)", f"{tuple(image.shape)}"))
    return [image[:, y0:y1, x0:x1] for x0, y0, x1, y1 in boxes.tolist()]
