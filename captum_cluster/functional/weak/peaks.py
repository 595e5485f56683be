"""Where a map is highest: its peaks, each once, the strongest first."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from captum_cluster._checks import check_finite, check_integer, check_number, expected


def peaks(
    saliency_map: Tensor, *, distance: int = 1, threshold_relative: float = 0.5
) -> list[tuple[int, int]]:
    """Return the pixels (y, x) of a map's local maxima, the strongest first.

    A peak is a plateau, pixels of one value that touch (8 neighbours), without a higher pixel in
    the square of ``2 * distance + 1`` pixels around any of its own; its place is that of its
    pixels which is nearest to their mean. Of peaks no more than ``distance`` rows and columns
    apart the stronger one stays, of equal ones the first in reading order.

    Args:
        saliency_map: (H,W) float, any range. Only values above 0 are peaks.
        distance: In pixels, at least 1.
        threshold_relative: A peak has at least this share of the map's maximum, from 0 to 1.

    Returns:
        (row, column) of each peak; none where no value is above 0.

    Raises:
        TypeError: An option has a wrong type.
        ValueError: The map has no two axes or is not finite, or an option is outside its range.

    Example:
        >>> peaks(torch.tensor([[0.0, 8.0, 0.0, 9.0, 9.0, 9.0, 0.0, 2.0]]))
        [(0, 4), (0, 1)]

    References:
        Ha and Youn, "Collection-CAM", section IV-F ("peak intensity pixel positions").
    """
    reach = check_integer("distance", distance, 1)
    share = check_number("threshold_relative", threshold_relative, 0.0, 1.0)
    if saliency_map.ndim != 2:
        got = f"{tuple(saliency_map.shape)}"
        raise ValueError(expected("saliency_map", "of shape (H,W)", got))
    # In float64 on the CPU: pooling knows no half precision there, and a few pixels come back.
    values = check_finite("saliency_map", saliency_map.detach()).double().cpu()
    if not values.numel() or values.max() <= 0:
        return []
    high = (values > 0) & (values >= share * values.max())
    places = _plateau_places(_tops(values, reach) & high, values)
    return _spaced(places, values, reach)


def _local_maximum(values: Tensor, reach: int) -> Tensor:
    """Return at each pixel (H,W) the maximum of the square around it: rows first, then columns."""
    grid = F.max_pool2d(values[None, None], (2 * reach + 1, 1), 1, (reach, 0))
    return F.max_pool2d(grid, (1, 2 * reach + 1), 1, (0, reach))[0, 0]


def _tops(values: Tensor, reach: int) -> Tensor:
    """Return the pixels (H,W) without a higher one in the square around them."""
    return values == _local_maximum(values, reach)


def _plateau_places(tops: Tensor, values: Tensor) -> list[tuple[int, int]]:
    """Return one pixel of each plateau that lies in ``tops`` whole, in reading order."""
    from scipy import ndimage

    # Pixels of one part have one value: neighbours of different values are not both tops.
    parts, count = ndimage.label(tops.numpy(), structure=np.ones((3, 3)))
    rows, columns = np.nonzero(parts)
    own = parts[rows, columns]
    # A part that touches a pixel of its own value that is no top is the shoulder of another.
    rest = _local_maximum(torch.where(tops, -torch.inf, values), 1)
    shoulders = np.unique(own[(rest == values).numpy()[rows, columns]])
    # Times the number of pixels, so that equal distances to the mean are equal numbers.
    size = np.bincount(own, minlength=count + 1)
    gaps = [at * size[own] - np.bincount(own, at, count + 1)[own] for at in (rows, columns)]
    nearest = np.lexsort((gaps[0] ** 2 + gaps[1] ** 2, own))
    names, firsts = np.unique(own[nearest], return_index=True)
    chosen = np.sort(nearest[firsts[~np.isin(names, shoulders)]])
    return list(zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True))


def _spaced(places: list[tuple[int, int]], values: Tensor, reach: int) -> list[tuple[int, int]]:
    """Return the places by falling value, without those too near to one before."""
    taken, kept = torch.zeros_like(values, dtype=torch.bool), []
    for y, x in sorted(places, key=lambda place: -float(values[place])):
        if not taken[y, x]:
            kept.append((y, x))
            taken[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = True
    return kept
