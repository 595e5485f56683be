"""How what a map marks, cut at a threshold, overlaps the object: IoU, recall and precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, check_number, expected
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics.localization import energy_inside
from captum_cluster.functional.metrics.probabilities import check_target
from captum_cluster.functional.metrics.regions import (
    Box,
    ground_truth_regions,
    intersection_over_union,
)
from captum_cluster.functional.metrics.sums import Sums, mean_of_classes, sums_by_class


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
    return _overlap_sums(
        "iou", intersection_over_union, maps, target, masks, boxes, num_classes, threshold
    )


def object_iou_compute(sums: Sums) -> Tensor:
    """Return the mean over classes (B,) of each class's mean IoU, of sums (B,L)."""
    return mean_of_classes(sums["iou"], sums["pairs"])


def object_recall_update(
    maps: Tensor,
    target: Tensor | Sequence[int],
    masks: Tensor | None = None,
    boxes: Sequence[Sequence[Box]] | None = None,
    *,
    num_classes: int,
    threshold: float = 0.15,
) -> Sums:
    """Return the sums of per-object recall: ``recall`` and ``pairs`` (L,), and ``skipped``.

    The share of the object's pixels that ``above_threshold`` marks: low where a map covers too
    little, whatever it covers beside the object. 0 for an all-zero map. A pair without ground
    truth, or with none inside the image, is skipped and counted.

    Args:
        maps: (P,H,W) float, any range; with boxes at the image's resolution.
        target: (P,) int, the pairs' classes.
        masks: (P,H,W) bool.
        boxes: Instead of the masks, as in ``object_iou_update``.
        num_classes: Number of classes L.
        threshold: As in ``above_threshold``.

    Raises:
        TypeError: The masks are not boolean, or another argument has a wrong type.
        ValueError: The shapes do not belong together, or a value is outside its range.

    Example:
        >>> maps = torch.tensor([[[0.0, 4.0, 5.0]]])
        >>> sums = object_recall_update(maps, [1], boxes=[[(0, 0, 2, 1)]], num_classes=2)
        >>> object_recall_compute(sums)
        tensor(0.5000, dtype=torch.float64)
    """
    return _overlap_sums("recall", _recall, maps, target, masks, boxes, num_classes, threshold)


def object_recall_compute(sums: Sums) -> Tensor:
    """Return the mean over classes (B,) of each class's mean recall, of sums (B,L)."""
    return mean_of_classes(sums["recall"], sums["pairs"])


def object_precision_update(
    maps: Tensor,
    target: Tensor | Sequence[int],
    masks: Tensor | None = None,
    boxes: Sequence[Sequence[Box]] | None = None,
    *,
    num_classes: int,
    threshold: float = 0.15,
) -> Sums:
    """Return the sums of per-object precision: ``precision`` and ``pairs`` (L,), and ``skipped``.

    The share of the pixels that ``above_threshold`` marks which are the object's: low where a map
    covers too much, however much of the object is left out. 0 for an all-zero map, which marks
    nothing. A pair without ground truth, or with none inside the image, is skipped and counted.

    Args:
        maps: (P,H,W) float, any range; with boxes at the image's resolution.
        target: (P,) int, the pairs' classes.
        masks: (P,H,W) bool.
        boxes: Instead of the masks, as in ``object_iou_update``.
        num_classes: Number of classes L.
        threshold: As in ``above_threshold``.

    Raises:
        TypeError: The masks are not boolean, or another argument has a wrong type.
        ValueError: The shapes do not belong together, or a value is outside its range.

    Example:
        >>> maps = torch.tensor([[[0.0, 4.0, 5.0, 3.0]]])
        >>> sums = object_precision_update(maps, [1], boxes=[[(0, 0, 2, 1)]], num_classes=2)
        >>> object_precision_compute(sums)
        tensor(0.3333, dtype=torch.float64)
    """
    return _overlap_sums(
        "precision", _precision, maps, target, masks, boxes, num_classes, threshold
    )


def object_precision_compute(sums: Sums) -> Tensor:
    """Return the mean over classes (B,) of each class's mean precision, of sums (B,L)."""
    return mean_of_classes(sums["precision"], sums["pairs"])


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


def _overlap_sums(
    name: str,
    measure: Callable[[Tensor, Tensor], Tensor],
    maps: Tensor,
    target: Tensor | Sequence[int],
    masks: Tensor | None,
    boxes: Sequence[Sequence[Box]] | None,
    num_classes: int,
    threshold: float,
) -> Sums:
    """Return the sums by class of a measure of what the maps mark and where the objects are."""
    labels = check_target(target, len(maps), num_classes).to(maps.device)
    regions = ground_truth_regions(maps, boxes, masks)
    marked = above_threshold(maps, regions.shape[-2:], threshold=threshold)
    known = regions.any(dim=(1, 2))
    return sums_by_class(name, measure(marked, regions), known, labels, num_classes)


def _recall(marked: Tensor, regions: Tensor) -> Tensor:
    """Return the share (P,) of each region's pixels that are marked."""
    return _share(regions, marked)


def _precision(marked: Tensor, regions: Tensor) -> Tensor:
    """Return the share (P,) of the marked pixels that are the region's."""
    return _share(marked, regions)


def _share(part: Tensor, other: Tensor) -> Tensor:
    """Return the share (P,) of a mask's pixels (P,H,W) in another's; 0 where it has none."""
    common = (part & other).sum(dim=(1, 2))
    return common.double() / part.sum(dim=(1, 2)).clamp(min=1)
