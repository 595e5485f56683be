"""How much of a saliency map lies where the object is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import check_number, expected
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics.regions import Box, ground_truth_regions
from captum_cluster.functional.metrics.sums import Sums, ratio, total


def energy_inside(maps: Tensor, regions: Tensor) -> Tensor:
    """Return the share of each map's energy inside its region, from 0 to 1 (Proportion).

    The map becomes a saliency map first: ReLU, upsampling to the region's size, min-max. An
    all-zero map has no energy inside: 0.

    Args:
        maps: (P,h,w) float, any range, at any resolution.
        regions: (P,H,W) bool, the pixels of the object or of the union of its boxes.

    Returns:
        (P,) in [0,1].

    Raises:
        ValueError: The shapes do not belong together.

    Example:
        >>> maps = torch.tensor([[[3.0, 0.0], [1.0, 0.0]]])
        >>> energy_inside(maps, torch.tensor([[[True, False], [False, False]]]))
        tensor([0.7500])

    References:
        Wang et al. 2020, "Score-CAM", section 4.2 (energy-based pointing game); Ha and Youn,
        "Collection-CAM", section IV (Proportion).
    """
    _check_regions(maps, regions)
    energy = saliency(maps, regions.shape[-2:])
    inside = (energy * regions).sum(dim=(1, 2))
    total = energy.sum(dim=(1, 2))
    return torch.where(total > 0, inside / total.clamp(min=torch.finfo(total.dtype).tiny), 0.0)


def pointing_hits(maps: Tensor, regions: Tensor, *, tolerance: float = 0.0) -> Tensor:
    """Return whether each map's maximum lies in its region, or no further away than ``tolerance``.

    The map becomes a saliency map first, as in ``energy_inside``. The first of equal maxima
    counts; an all-zero map misses.

    Args:
        maps: (P,h,w) float, any range, at any resolution.
        regions: (P,H,W) bool, the pixels of the object or of the union of its boxes.
        tolerance: Distance in pixels from the maximum's centre to the centre of the nearest
            pixel of the region; 15 in the original.

    Returns:
        (P,) bool.

    Raises:
        TypeError: ``tolerance`` is no number.
        ValueError: The shapes do not belong together, or ``tolerance`` is below 0.

    Example:
        >>> maps = torch.tensor([[[0.0, 1.0, 3.0]]])
        >>> region = torch.tensor([[[True, False, False]]])
        >>> pointing_hits(maps, region), pointing_hits(maps, region, tolerance=2)
        (tensor([False]), tensor([True]))

    References:
        Zhang et al. 2018, "Top-down Neural Attention by Excitation Backprop", section 4.1.
    """
    _check_regions(maps, regions)
    reach = check_number("tolerance", tolerance, 0.0) ** 2
    energy = saliency(maps, regions.shape[-2:]).flatten(1)
    width, device = regions.shape[-1], maps.device
    place = energy.argmax(dim=1) if energy.numel() else torch.zeros(0, dtype=torch.long)
    row = (place // width).reshape(-1, 1, 1).to(device)
    column = (place % width).reshape(-1, 1, 1).to(device)
    down = (torch.arange(regions.shape[-2], device=device).reshape(1, -1, 1) - row) ** 2
    near = down + (torch.arange(width, device=device) - column) ** 2 <= reach
    return (near & regions).any(dim=(1, 2)) & (energy > 0).any(dim=1)


def energy_update(
    maps: Tensor, *, boxes: Sequence[Sequence[Box]] | None = None, masks: Tensor | None = None
) -> Sums:
    """Return the sums of ``energy_inside``: ``energy``, ``pairs`` and ``skipped``.

    A pair without ground truth, or with none inside the image, is skipped and counted.

    Args:
        maps: (P,H,W) float, any range; with boxes at the image's resolution.
        boxes: For each pair its boxes x0, y0, x1, y1 in pixels, cut to the image.
        masks: (P,H,W) bool, instead of the boxes.

    Raises:
        TypeError: The masks are not boolean.
        ValueError: The shapes do not belong together, or a value is not finite.

    Example:
        >>> maps = torch.tensor([[[3.0, 0.0], [1.0, 0.0]]])
        >>> energy_compute(energy_update(maps, boxes=[[(0, 0, 1, 1)]]))
        tensor(0.7500, dtype=torch.float64)
    """
    regions = ground_truth_regions(maps, boxes, masks)
    return _count("energy", energy_inside(maps.double(), regions), regions)


def energy_compute(sums: Sums) -> Tensor:
    """Return the mean share of energy inside (B,) of sums (B,)."""
    return ratio(sums["energy"], sums["pairs"])


def pointing_update(
    maps: Tensor,
    *,
    boxes: Sequence[Sequence[Box]] | None = None,
    masks: Tensor | None = None,
    tolerance: float = 0.0,
) -> Sums:
    """Return the sums of ``pointing_hits``: ``hits``, ``pairs`` and ``skipped``.

    Args:
        maps: (P,H,W) float, any range; with boxes at the image's resolution.
        boxes: For each pair its boxes x0, y0, x1, y1 in pixels, cut to the image.
        masks: (P,H,W) bool, instead of the boxes.
        tolerance: As in ``pointing_hits``.

    Raises:
        TypeError: The masks are not boolean, or ``tolerance`` is no number.
        ValueError: The shapes do not belong together, a value is not finite, or ``tolerance`` is
            below 0.

    Example:
        >>> maps = torch.tensor([[[3.0, 0.0], [1.0, 0.0]]])
        >>> pointing_compute(pointing_update(maps, boxes=[[(0, 0, 1, 1)]]))
        tensor(1., dtype=torch.float64)
    """
    regions = ground_truth_regions(maps, boxes, masks)
    return _count("hits", pointing_hits(maps, regions, tolerance=tolerance), regions)


def pointing_compute(sums: Sums) -> Tensor:
    """Return the share of hits (B,) of sums (B,)."""
    return ratio(sums["hits"], sums["pairs"])


def _check_regions(maps: Tensor, regions: Tensor) -> None:
    """Check that there is one region for each map."""
    if maps.ndim != 3 or regions.ndim != 3 or len(maps) != len(regions):
        got = f"maps {tuple(maps.shape)} and regions {tuple(regions.shape)}"
        raise ValueError(expected("maps and regions", "of shapes (P,h,w) and (P,H,W)", got))


def _count(name: str, values: Tensor, regions: Tensor) -> Sums:
    """Return the sum of the values (P,) of pairs with ground truth, and how many have it."""
    counted = regions.any(dim=(1, 2))
    return {
        name: total(values[counted]),
        "pairs": counted.sum(),
        "skipped": (~counted).sum(),
    }
