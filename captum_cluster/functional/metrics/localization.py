"""How much of a saliency map lies where the object is."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_cluster._checks import expected
from captum_cluster.functional.attribution.masks import saliency


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
    if maps.ndim != 3 or regions.ndim != 3 or len(maps) != len(regions):
        got = f"maps {tuple(maps.shape)} and regions {tuple(regions.shape)}"
        raise ValueError(expected("maps and regions", "of shapes (P,h,w) and (P,H,W)", got))
    energy = saliency(maps, regions.shape[-2:])
    inside = (energy * regions).sum(dim=(1, 2))
    total = energy.sum(dim=(1, 2))
    return torch.where(total > 0, inside / total.clamp(min=torch.finfo(total.dtype).tiny), 0.0)
