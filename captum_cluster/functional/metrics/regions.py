"""Boxes, masks and connected components: where the object is, and where a map says it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from captum_cluster._checks import check_finite, describe, expected

Box: TypeAlias = Sequence[float]
"""x0, y0, x1, y1 in pixels, from the upper left corner of the image."""


def clip_boxes(boxes: Sequence[Box] | Tensor, size: Sequence[int]) -> Tensor:
    """Return the boxes (K,4) cut to the image, without those that hold no pixel's centre.

    Args:
        boxes: K boxes x0, y0, x1, y1 in pixels; the upper left pixel reaches from 0 to 1.
        size: Height and width of the image.

    Returns:
        (up to K,4), float64.

    Raises:
        TypeError: They are no numbers.
        ValueError: They are no groups of four, or not finite.

    Example:
        >>> clip_boxes([(-5, 1, 2, 9), (30, 30, 40, 40)], (4, 4))
        tensor([[0., 1., 2., 4.]], dtype=torch.float64)
    """
    found = box_tensor("boxes", boxes)
    width, height = float(size[1]), float(size[0])
    high = torch.tensor([width, height, width, height], dtype=found.dtype)
    found = found.clamp(min=0).minimum(high)
    # The first and the last pixel whose centre lies between the edges.
    first, last = (found[:, :2] - 0.5).ceil(), (found[:, 2:] - 0.5).ceil() - 1
    return found[(first <= last).all(dim=1)]


def box_tensor(name: str, boxes: Sequence[Box] | Tensor) -> Tensor:
    """Return boxes as a tensor (K,4), float64 on the CPU.

    Raises:
        TypeError: They are no numbers.
        ValueError: They are no groups of four, or not finite.

    Example:
        >>> box_tensor("boxes", [(0, 0, 2, 2)])
        tensor([[0., 0., 2., 2.]], dtype=torch.float64)
    """
    try:
        found = torch.as_tensor(boxes, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(expected(name, "numbers x0, y0, x1, y1", describe(boxes))) from None
    found = found.reshape(0, 4) if found.numel() == 0 else found
    if found.ndim != 2 or found.shape[1] != 4:
        raise ValueError(expected(name, "of shape (K,4)", f"{tuple(found.shape)}"))
    return check_finite(name, found).cpu()


def pairwise_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the IoU (K,M) of boxes (K,4) with boxes (M,4).

    Example:
        >>> pairwise_iou(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2]]))
        tensor([[0.3333]])
    """
    ones, twos = boxes[:, None], others[None]
    shared = ones[..., 2:].minimum(twos[..., 2:]) - ones[..., :2].maximum(twos[..., :2])
    common = shared.clamp(min=0).prod(dim=-1)
    areas = [(some[..., 2:] - some[..., :2]).prod(dim=-1) for some in (ones, twos)]
    return common / (areas[0] + areas[1] - common)


def box_region(boxes: Sequence[Box] | Tensor, size: Sequence[int]) -> Tensor:
    """Return the pixels (H,W) whose centre lies in one of the boxes.

    Args:
        boxes: K boxes x0, y0, x1, y1 in pixels.
        size: Height and width of the image.

    Raises:
        TypeError: As in ``clip_boxes``.
        ValueError: As in ``clip_boxes``.

    Example:
        >>> box_region([(0.4, 0, 1.5, 1)], (1, 3))
        tensor([[ True, False, False]])
    """
    region = torch.zeros(int(size[0]), int(size[1]), dtype=torch.bool)
    edges = (clip_boxes(boxes, size) - 0.5).ceil().long()
    for left, top, right, bottom in edges.tolist():
        region[max(0, top) : bottom, max(0, left) : right] = True
    return region


def tight_box(mask: Tensor) -> tuple[int, int, int, int] | None:
    """Return x0, y0, x1, y1 of the smallest box around the pixels of a mask (H,W).

    None where there is no pixel. One pixel makes a box of width and height 1.

    Example:
        >>> tight_box(torch.tensor([[False, False, False], [False, True, True]]))
        (1, 1, 3, 2)
    """
    rows, columns = (mask.any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
    return (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if rows else None


def largest_component(mask: Tensor) -> Tensor:
    """Return the largest connected part (H,W) of a mask (H,W); the first of equal ones.

    Pixels that touch at a corner are connected (8 neighbours), as in OpenCV, on which the
    usual code of weakly supervised localisation is built.

    Example:
        >>> largest_component(torch.tensor([[True, False, True], [False, False, True]]))
        tensor([[False, False,  True],
                [False, False,  True]])
    """
    from scipy import ndimage

    parts, _ = ndimage.label(mask.cpu().numpy(), structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0  # the pixels of no part
    return torch.from_numpy((parts == sizes.argmax()) & (parts > 0)).to(mask.device)


def intersection_over_union(one: Tensor, other: Tensor) -> Tensor:
    """Return the IoU (P,) of masks (P,H,W) and (P,H,W) in float64; 0 where both are empty.

    Example:
        >>> one = torch.tensor([[[True, True, False]]])
        >>> intersection_over_union(one, torch.tensor([[[False, True, True]]]))
        tensor([0.3333], dtype=torch.float64)
    """
    common = (one & other).sum(dim=(1, 2))
    return common.double() / (one | other).sum(dim=(1, 2)).clamp(min=1)


def ground_truth_regions(
    maps: Tensor, boxes: Sequence[Sequence[Box]] | None, masks: Tensor | None
) -> Tensor:
    """Return where the objects are, (P,H,W) bool: the masks, or the union of each pair's boxes.

    Args:
        maps: (P,H,W), the maps that are judged. With boxes H and W are the image's.
        boxes: For each pair its boxes x0, y0, x1, y1 in pixels; or None.
        masks: (P,H,W) bool, at any resolution; or None.

    Raises:
        TypeError: The masks are not boolean.
        ValueError: Neither or both are given, there is not one for each map, or a value of a map
            or box is not finite.

    Example:
        >>> ground_truth_regions(torch.ones(1, 1, 3), [[(1, 0, 3, 1)]], None)
        tensor([[[False,  True,  True]]])
    """
    if maps.ndim != 3:
        raise ValueError(expected("maps", "of shape (P,H,W)", f"{tuple(maps.shape)}"))
    check_finite("maps", maps)
    if (boxes is None) == (masks is None):
        got = "neither" if boxes is None else "both"
        raise ValueError(expected("the ground truth", "either boxes or masks", got))
    truth = masks if masks is not None else boxes
    assert truth is not None
    if len(truth) != len(maps):
        what = f"one for each of the {len(maps)} maps"
        raise ValueError(expected("boxes" if masks is None else "masks", what, len(truth)))
    if masks is None:
        return _union(truth, maps)
    if masks.dtype != torch.bool:
        raise TypeError(expected("masks", "a boolean tensor", masks.dtype))
    if masks.ndim != 3:
        raise ValueError(expected("masks", "of shape (P,H,W)", f"{tuple(masks.shape)}"))
    return masks.to(maps.device)


def _union(boxes: Sequence[Sequence[Box]] | Tensor, maps: Tensor) -> Tensor:
    """Return the union (P,H,W) of each pair's boxes, beside the maps."""
    size = maps.shape[-2:]
    regions = [box_region(some, size) for some in boxes]
    empty = torch.zeros(0, *size, dtype=torch.bool)
    return (torch.stack(regions) if regions else empty).to(maps.device)
