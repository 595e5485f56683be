"""Boxes that may hold an object, whatever it is: selective search on Felzenszwalb's regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_cluster._checks import (
    check_choice,
    check_finite,
    check_integer,
    check_number,
    describe,
    expected,
)
from captum_cluster._extras import require
from captum_cluster.functional.weak.boxes import unique_boxes
from captum_cluster.functional.weak.region_grouping import (
    MEASURES,
    Array,
    describe_regions,
    group_regions,
)

COLOURS = ("rgb", "hsv", "lab", "grey")
# At least this many regions of the smallest size fit into an image, however small it is.
_LEAST_REGIONS = 400
# L is from 0 to 100, a and b are from -128 to 127.
_LAB_SHIFT, _LAB_RANGE = np.array([0, 128, 128]), np.array([100, 255, 255])
_ROUNDING = 1e-4  # by how much a picture may leave [0,1]


def candidate_boxes(
    image: Tensor,
    *,
    scale: float | Sequence[float] = (50.0, 100.0),
    sigma: float = 0.8,
    min_size: int | None = None,
    colours: Sequence[str] = ("hsv", "lab"),
    measures: Sequence[Sequence[str]] = (MEASURES, MEASURES[1:]),
    min_side: int = 1,
    limit: int | None = None,
) -> Tensor:
    """Return the boxes of all groups of an image's regions, those of the largest groups first.

    For each colour space and scale the image is cut into regions (Felzenszwalb and Huttenlocher,
    by scikit-image); for each set of measures neighbouring regions are merged, the most alike
    first, until one is left. The boxes of all regions and groups are the candidates, those made
    last first, each once. The defaults are the paper's "fast" version: two colour spaces, two
    scales, with and without the colours' likeness. Nothing is drawn at random: there the order has
    a random part, here it has none.

    Args:
        image: (3,H,W) float in [0,1], RGB.
        scale: Preference for large regions (k, for colours from 0 to 255), above 0; or several.
        sigma: Of the Gaussian that smooths the image first, in pixels, at least 0.
        min_size: Pixels that a region has at least. None: as many as its scale, as in the authors'
            code, but no more than a 400th of the image.
        colours: Some of "rgb", "hsv", "lab", "grey".
        measures: Sets of measures of ``group_regions``: "colour", "texture", "size", "fill".
        min_side: Pixels that the sides of a box have at least.
        limit: Most boxes; None for all.

    Returns:
        LongTensor (K,4), x0, y0, x1, y1 in pixels, inside the image; on the CPU.

    Raises:
        ImportError: scikit-image is not installed.
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range, or the image is none.

    Example:
        >>> image = torch.zeros(3, 40, 40)
        >>> image[:, 10:20, 5:30] = 1.0
        >>> boxes = candidate_boxes(image)
        >>> boxes[0].tolist(), [5, 10, 30, 20] in boxes.tolist()
        ([0, 0, 40, 40], True)

    References:
        Uijlings et al. 2013, "Selective Search for Object Recognition", sections 3 and 5.
    """
    check_image(image)
    scales = [
        check_number("scale", one, 0.0, open_low=True)
        for one in (scale if isinstance(scale, Sequence) else (scale,))
    ]
    check_number("sigma", sigma, 0.0)
    check_integer("min_side", min_side, 1)
    if limit is not None:
        check_integer("limit", limit, 1)
    _check_some(scale=scales, colours=colours, measures=measures)
    found = [
        groups
        for colour in colours
        for one in scales
        for groups in _hierarchies(
            _in_colours(image, colour), one, sigma, _least(min_size, one, image), measures
        )
    ]
    boxes = unique_boxes(_interleaved(found))
    large = ((boxes[:, 2:] - boxes[:, :2]) >= min_side).all(dim=1)
    return boxes[large][:limit]


def check_image(image: Any) -> tuple[int, int]:
    """Return the height and width of an image, if it is (3,H,W) float in [0,1].

    Raises:
        TypeError: It is no float tensor.
        ValueError: It has another shape or leaves [0,1] by more than rounding.

    Example:
        >>> check_image(torch.rand(3, 4, 5))
        (4, 5)
    """
    if not isinstance(image, Tensor) or not image.is_floating_point():
        raise TypeError(expected("image", "a float tensor (3,H,W)", describe(image)))
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise ValueError(expected("image", "of shape (3,H,W)", f"{tuple(image.shape)}"))
    low, high = torch.aminmax(check_finite("image", image))
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(expected("image", "in [0,1]", f"values from {low:g} to {high:g}"))
    return image.shape[1], image.shape[2]


def _check_some(**options: Sequence[object]) -> None:
    """Check that each option names at least one thing, and is no bare string."""
    for name, values in options.items():
        if isinstance(values, str) or not values:
            raise ValueError(expected(name, "a sequence of at least one", repr(values)))


def _least(min_size: int | None, scale: float, image: Tensor) -> int:
    """Return the pixels that a region has at least."""
    if min_size is not None:
        return check_integer("min_size", min_size, 1)
    return max(1, min(round(scale), image[0].numel() // _LEAST_REGIONS))


def _in_colours(image: Tensor, colours: str) -> Array:
    """Return the image (H,W,C) in a colour space, each channel from 0 to 1."""
    color = require("skimage.color", "weak")
    rgb = image.detach().cpu().double().clamp(0.0, 1.0).permute(1, 2, 0).numpy()
    spaces: dict[str, Callable[[], Any]] = {
        "rgb": lambda: rgb,
        "hsv": lambda: color.rgb2hsv(rgb),
        "lab": lambda: (color.rgb2lab(rgb) + _LAB_SHIFT) / _LAB_RANGE,
        "grey": lambda: color.rgb2gray(rgb)[..., None],
    }
    found: Array = np.ascontiguousarray(spaces[check_choice("colours", colours, COLOURS)]())
    return found


def _hierarchies(
    image: Array, scale: float, sigma: float, least: int, measures: Sequence[Sequence[str]]
) -> list[Tensor]:
    """Return the boxes of one segmentation's groups, merged by each set of measures."""
    segmentation = require("skimage.segmentation", "weak")
    segments = segmentation.felzenszwalb(image, scale=scale, sigma=sigma, min_size=least)
    channels = torch.from_numpy(image).permute(2, 0, 1)
    regions = describe_regions(torch.from_numpy(segments), channels)
    return [group_regions(regions, measures=chosen) for chosen in measures]


def _interleaved(hierarchies: Sequence[Tensor]) -> Tensor:
    """Return the boxes of all hierarchies, from their tops: all first ones, all second ones, ..."""
    ranks = torch.cat([torch.arange(len(boxes)).flip(0) for boxes in hierarchies])
    return torch.cat(list(hierarchies))[ranks.argsort(stable=True)]
