"""Whether the box around what a map marks is that of the object."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import check_number
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics.objects import above_threshold
from captum_cluster.functional.metrics.probabilities import check_target
from captum_cluster.functional.metrics.regions import (
    Box,
    box_tensor,
    clip_boxes,
    ground_truth_regions,
    largest_component,
    pairwise_iou,
    tight_box,
)
from captum_cluster.functional.metrics.sums import Sums, mean_of_classes, sums_by_class


def localization_errors(
    maps: Tensor,
    boxes: Sequence[Sequence[Box] | Tensor],
    *,
    threshold: float = 0.15,
    iou: float = 0.5,
) -> Tensor:
    """Return for each map whether its box overlaps none of the boxes well enough: (P,) bool.

    The map's box is the tight box of the largest connected component (8 neighbours) of
    ``above_threshold``; it is right if its IoU with one of the boxes is at least ``iou``. An
    all-zero map has no box: an error.

    Args:
        maps: (P,H,W) float, at the image's resolution.
        boxes: For each pair its boxes x0, y0, x1, y1 in pixels, cut to the image.
        threshold: Above 0 and at most 1.
        iou: Above 0 and at most 1.

    Raises:
        TypeError: ``threshold`` or ``iou`` is no number.
        ValueError: It is outside its range, or a box is none.

    Example:
        >>> maps = torch.tensor([[[0.0, 4.0, 5.0]]])
        >>> localization_errors(maps, [[(1, 0, 3, 1)]]), localization_errors(maps, [[(0, 0, 1, 1)]])
        (tensor([False]), tensor([True]))

    References:
        Multi-level class grouping (000), mLEV: the paper gives no formula, this is the standard
        localisation error (Russakovsky et al. 2015, "ImageNet", section 4.2) with its threshold.
    """
    least = check_number("iou", iou, 0.0, 1.0, open_low=True)
    size = maps.shape[-2:]
    marked = above_threshold(maps, size, threshold=threshold)
    found = [tight_box(largest_component(mask)) for mask in marked]
    errors = [
        box is None
        or not bool((pairwise_iou(box_tensor("box", [box]), clip_boxes(some, size)) >= least).any())
        for box, some in zip(found, boxes, strict=True)
    ]
    return torch.tensor(errors, dtype=torch.bool, device=maps.device)


def localization_update(
    maps: Tensor,
    target: Tensor | Sequence[int],
    boxes: Sequence[Sequence[Box]] | None = None,
    masks: Tensor | None = None,
    *,
    num_classes: int,
    threshold: float = 0.15,
    iou: float = 0.5,
) -> Sums:
    """Return the sums of ``localization_errors``: ``errors`` and ``pairs`` (L,), and ``skipped``.

    A pair without ground truth, or with none inside the image, is skipped and counted.

    Args:
        maps: (P,H,W) float, any range; with boxes at the image's resolution.
        target: (P,) int, the pairs' classes.
        boxes: For each pair its boxes x0, y0, x1, y1 in pixels, cut to the image.
        masks: (P,H,W) bool, instead of the boxes; the tight box of each is taken.
        num_classes: Number of classes L.
        threshold: As in ``localization_errors``.
        iou: As in ``localization_errors``.

    Raises:
        TypeError: The masks are not boolean, or another argument has a wrong type.
        ValueError: The shapes do not belong together, or a value is outside its range.

    Example:
        >>> sums = localization_update(
        ...     torch.tensor([[[0.0, 4.0, 5.0]]]), [1], [[(1, 0, 3, 1)]], num_classes=2
        ... )
        >>> localization_compute(sums)
        tensor(0., dtype=torch.float64)
    """
    labels = check_target(target, len(maps), num_classes).to(maps.device)
    regions = ground_truth_regions(maps, boxes, masks)
    counted = regions.any(dim=(1, 2))
    if boxes is None:
        boxes = [[box] if (box := tight_box(region)) else [] for region in regions]
        maps = saliency(maps, regions.shape[-2:])
    errors = localization_errors(maps, boxes, threshold=threshold, iou=iou)
    return sums_by_class("errors", errors, counted, labels, num_classes)


def localization_compute(sums: Sums) -> Tensor:
    """Return mLEV (B,), the mean over classes of the share of errors, of sums (B,L)."""
    return mean_of_classes(sums["errors"], sums["pairs"])
