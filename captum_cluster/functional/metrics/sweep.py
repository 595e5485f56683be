"""Which background score makes the best segmentation of the maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_number, expected
from captum_cluster.functional.metrics.segmentation import (
    check_maps,
    check_masks,
    confusion,
    mean_iou_compute,
    strongest_labels,
)
from captum_cluster.functional.metrics.sums import Sums


def background_sweep_update(
    maps: Tensor,
    present: Tensor,
    masks: Tensor,
    thresholds: Sequence[float],
    *,
    ignore_index: int = 255,
) -> Sums:
    """Return the counts of ``segmentation_update`` for several background scores, (S,L+1) each.

    Args:
        maps: As in ``segmentation_update``.
        present: As in ``segmentation_update``.
        masks: As in ``segmentation_update``.
        thresholds: The S background scores, from 0 to 1.
        ignore_index: As in ``segmentation_update``.

    Raises:
        TypeError: As in ``segmentation_update``.
        ValueError: As in ``segmentation_update``, or there is no threshold.

    Example:
        See ``best_threshold``.
    """
    levels = [check_number("thresholds", level, 0.0, 1.0) for level in thresholds]
    if not levels:
        raise ValueError(expected("thresholds", "at least one number from 0 to 1", "none"))
    check_maps(maps, present)
    truth, known = check_masks(masks, len(maps), maps.shape[1], ignore_index)
    scores, labels = (
        part.to(truth.device) for part in strongest_labels(maps, present, masks.shape[-2:])
    )
    counts = [
        confusion(torch.where(scores > level, labels, 0), truth, known, maps.shape[1] + 1)
        for level in levels
    ]
    return {name: torch.stack([count[name] for count in counts]) for name in counts[0]}


def best_threshold(
    sums: Sums, thresholds: Sequence[float], *, average: str = "present"
) -> tuple[float, float]:
    """Return the background score with the highest mIoU, and that mIoU; the first of equal ones.

    Args:
        sums: From ``background_sweep_update``, added over the images.
        thresholds: The S background scores.
        average: "present" or "all", as in ``mean_iou_compute``.

    Raises:
        ValueError: There is no true pixel, or ``average`` is another string.

    Example:
        >>> maps, here = torch.tensor([[[[0.0, 4.0, 10.0]]]]), torch.tensor([[True]])
        >>> sums = background_sweep_update(maps, here, torch.tensor([[[0, 0, 1]]]), [0.2, 0.5])
        >>> best_threshold(sums, [0.2, 0.5])
        (0.5, 1.0)
    """
    check_choice("average", average, ("present", "all"))
    values = mean_iou_compute(sums, average=average).tolist()
    if any(value != value for value in values):
        raise ValueError(expected("sums", "of images with a true pixel", "none"))
    best = max(range(len(values)), key=values.__getitem__)
    return float(thresholds[best]), values[best]
