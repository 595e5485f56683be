"""Whether a map, cut at a threshold, outlines the object: by its pixels and by its box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, check_number, expected
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics.localization import energy_inside
from captum_cluster.functional.metrics.probabilities import check_target
from captum_cluster.functional.metrics.regions import (
    Box,
    clip_boxes,
    ground_truth_regions,
    intersection_over_union,
    largest_component,
    tight_box,
)
from captum_cluster.functional.metrics.sums import Sums, by_class, mean_of_classes


@dataclass(frozen=True)
class ObjectMatch:
    """The object that a map overlaps most.

    Attributes:
        index: Which of the objects.
        iou: Its IoU with the map cut at the threshold.
        energy: The share of the map's energy inside it.
    """

    index: int
    iou: float
    energy: float


def above_threshold(maps: Tensor, size: Sequence[int], *, threshold: float = 0.15) -> Tensor:
    """Return where a map is at least ``threshold`` times its maximum, (P,H,W) bool.

    The map becomes a saliency map first: ReLU, upsampling to ``size``, min-max. Nowhere in an
    all-zero map.

    Args:
        maps: (P,h,w) float, any range, at any resolution.
        size: Height and width of the result.
        threshold: Above 0 and at most 1.

    Raises:
        TypeError: ``threshold`` is no number.
        ValueError: ``threshold`` is outside its range.

    Example:
        >>> above_threshold(torch.tensor([[[0.0, 1.0, 5.0, 10.0]]]), (1, 4))
        tensor([[[False, False,  True,  True]]])

    References:
        Zhou et al. 2016, "Learning Deep Features", section 3.2 (there 0.2).
    """
    part = check_number("threshold", threshold, 0.0, 1.0, open_low=True)
    return saliency(maps, size) >= part  # the maximum is 1, or 0 in an all-zero map


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
        box is None or not bool((_box_iou(box, clip_boxes(some, size)) >= least).any())
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
    return _per_class("errors", errors, counted, labels, num_classes)


def localization_compute(sums: Sums) -> Tensor:
    """Return mLEV (B,), the mean over classes of the share of errors, of sums (B,L)."""
    return mean_of_classes(sums["errors"], sums["pairs"])


def object_iou_update(
    maps: Tensor,
    target: Tensor | Sequence[int],
    masks: Tensor | None = None,
    boxes: Sequence[Sequence[Box]] | None = None,
    *,
    num_classes: int,
    threshold: float = 0.15,
) -> Sums:
    """Return the sums of per-object IoU: ``iou`` and ``pairs`` (L,), and ``skipped``.

    The IoU of ``above_threshold`` with the class's mask (or the union of its boxes). A pair
    without ground truth, or with none inside the image, is skipped and counted.

    Args:
        maps: (P,H,W) float, any range; with boxes at the image's resolution.
        target: (P,) int, the pairs' classes.
        masks: (P,H,W) bool.
        boxes: Instead of the masks, for each pair its boxes x0, y0, x1, y1 in pixels, cut to the
            image.
        num_classes: Number of classes L.
        threshold: As in ``above_threshold``.

    Raises:
        TypeError: The masks are not boolean, or another argument has a wrong type.
        ValueError: The shapes do not belong together, or a value is outside its range.

    Example:
        >>> sums = object_iou_update(
        ...     torch.tensor([[[0.0, 4.0, 5.0]]]), [1], boxes=[[(0, 0, 2, 1)]], num_classes=2
        ... )
        >>> object_iou_compute(sums)
        tensor(0.3333, dtype=torch.float64)

    References:
        Multi-level class grouping (000), section IV.A.3.
    """
    labels = check_target(target, len(maps), num_classes).to(maps.device)
    regions = ground_truth_regions(maps, boxes, masks)
    marked = above_threshold(maps, regions.shape[-2:], threshold=threshold)
    values = intersection_over_union(marked, regions)
    return _per_class("iou", values, regions.any(dim=(1, 2)), labels, num_classes)


def object_iou_compute(sums: Sums) -> Tensor:
    """Return the mean over classes (B,) of each class's mean IoU, of sums (B,L)."""
    return mean_of_classes(sums["iou"], sums["pairs"])


def best_object(
    saliency_map: Tensor, objects: Tensor, *, threshold: float = 0.15
) -> ObjectMatch | None:
    """Return the annotated object that one map overlaps most, whatever its class.

    The object with the greatest IoU with ``above_threshold``; of equal ones that with the most
    energy inside, then the first. For photographs whose classes the model does not know.

    Args:
        saliency_map: (h,w) float, any range, at any resolution.
        objects: (K,H,W) bool, the objects' masks; one without a pixel is not considered.
        threshold: As in ``above_threshold``.

    Returns:
        The match; None where there is no object.

    Raises:
        TypeError: The masks are not boolean, or ``threshold`` is no number.
        ValueError: The shapes do not belong together, or a value is outside its range.

    Example:
        >>> objects = torch.tensor([[[True, False, False]], [[False, True, True]]])
        >>> best_object(torch.tensor([[0.0, 1.0, 4.0]]), objects)
        ObjectMatch(index=1, iou=1.0, energy=1.0)
    """
    if saliency_map.ndim != 2 or objects.ndim != 3:
        got = f"{tuple(saliency_map.shape)} and {tuple(objects.shape)}"
        what = "of shapes (h,w) and (K,H,W)"
        raise ValueError(expected("saliency_map and objects", what, got))
    check_finite("saliency_map", saliency_map)
    if objects.dtype != torch.bool:
        raise TypeError(expected("objects", "a boolean tensor", objects.dtype))
    maps = saliency_map[None].double().expand(len(objects), *saliency_map.shape)
    marked = above_threshold(maps, objects.shape[-2:], threshold=threshold)
    overlaps = intersection_over_union(marked, objects.to(maps.device)).tolist()
    energies = energy_inside(maps, objects.to(maps.device)).tolist()
    known = objects.any(dim=(1, 2)).nonzero().flatten().tolist()
    if not known:
        return None
    best = max(known, key=lambda index: (overlaps[index], energies[index]))
    return ObjectMatch(best, overlaps[best], energies[best])


def _box_iou(box: Box, others: Tensor) -> Tensor:
    """Return the IoU (K,) of one box with the boxes (K,4)."""
    one = torch.tensor(box, dtype=others.dtype)
    common = (one[2:].minimum(others[:, 2:]) - one[:2].maximum(others[:, :2])).clamp(min=0)
    area = common.prod(dim=1)
    areas = (others[:, 2:] - others[:, :2]).prod(dim=1)
    return area / ((one[2:] - one[:2]).prod() + areas - area)


def _per_class(
    name: str, values: Tensor, counted: Tensor, labels: Tensor, num_classes: int
) -> Sums:
    """Return the sum and the number of the pairs with ground truth for each class (L,)."""
    return {
        name: by_class(values[counted], labels[counted], num_classes),
        "pairs": by_class(counted, labels, num_classes),
        "skipped": (~counted).sum(),
    }
