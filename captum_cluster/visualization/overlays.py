"""Saliency on pictures."""

from __future__ import annotations

import difflib
from typing import Any, TypeAlias

import matplotlib
import numpy as np
import torch
from matplotlib.colors import Colormap
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from captum_cluster._checks import check_finite, check_number, describe, expected
from captum_cluster.functional.attribution.masks import saliency as _saliency

Picture: TypeAlias = Tensor | NDArray[Any] | Image.Image
"""A PIL image, or an array (3,H,W), (H,W,3) or (H,W): float in [0,1], or uint8."""


def overlay(
    image: Picture, saliency: Tensor | NDArray[Any], *, alpha: float = 0.5, colormap: str = "jet"
) -> NDArray[np.uint8]:
    """Return the picture with a saliency map in colour over it.

    ``(1 - alpha) * image + alpha * colormap(saliency)``, with the map rectified (ReLU), upsampled
    bilinearly to the picture and min-max scaled. A map that is the same everywhere after that, one
    of zeros or negative values only included, has nothing to show: the picture comes back as is.

    Args:
        image: A PIL image, or an array or tensor (3,H,W), (H,W,3) or (H,W), float in [0,1] or
            uint8; (3,W,3) is read as (3,H,W).
        saliency: (h,w), any range and size.
        alpha: Share of the colours, from 0 (the picture) to 1 (the colours).
        colormap: The name of one of matplotlib's colormaps.

    Returns:
        (H,W,3) uint8.

    Raises:
        TypeError: ``image`` or ``saliency`` is of another type.
        ValueError: One has another shape, the picture other values, the map NaN or infinite
            values, ``alpha`` is outside [0,1], or the colormap is unknown.

    Example:
        >>> overlay(np.zeros((2, 2)), np.eye(2), alpha=1.0, colormap="gray")[:, :, 0]
        array([[255,   0],
               [  0, 255]], dtype=uint8)
    """
    check_number("alpha", alpha, 0.0, 1.0)
    colours = _colormap(colormap)
    picture = to_rgb(image)
    mask = _saliency(_map(saliency), picture.shape[:2]).numpy()
    if not mask.any():
        return to_uint8(picture)
    return to_uint8((1 - alpha) * picture + alpha * colours(mask)[..., :3])


def _map(saliency: Any) -> Tensor:
    """Return a saliency map (h,w) as a float tensor on the CPU."""
    if not isinstance(saliency, (Tensor, np.ndarray)):
        raise TypeError(expected("saliency", "a tensor or array (h, w)", describe(saliency)))
    if saliency.ndim != 2 or 0 in saliency.shape:
        shape = tuple(saliency.shape)
        raise ValueError(expected("saliency", "of shape (h, w)", f"shape {shape}"))
    if isinstance(saliency, np.ndarray):
        saliency = torch.from_numpy(np.array(saliency))  # a copy: torch takes no negative strides
    tensor = saliency.detach().cpu()
    return check_finite("saliency", tensor.to(torch.promote_types(tensor.dtype, torch.float32)))


def _colormap(name: object) -> Colormap:
    """Return matplotlib's colormap of that name."""
    if not isinstance(name, str):
        raise TypeError(expected("colormap", "the name of a matplotlib colormap", describe(name)))
    if name not in matplotlib.colormaps:
        close = difflib.get_close_matches(name, list(matplotlib.colormaps), n=3)
        hint = f" (close: {', '.join(map(repr, close))})" if close else " such as 'jet'"
        raise ValueError(expected("colormap", "a matplotlib colormap" + hint, repr(name)))
    return matplotlib.colormaps[name]


def to_rgb(image: Any, name: str = "image") -> NDArray[np.float32]:
    """Return a picture as (H,W,3) float in [0,1]; ``name`` is the argument's, for messages."""
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    elif isinstance(image, Tensor):
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
    elif not isinstance(image, np.ndarray):
        what = "a PIL image, a tensor or an array"
        raise TypeError(expected(name, what, describe(image)))
    values = _channels_last(image, name)
    if values.dtype == np.uint8:
        return values.astype(np.float32) / 255.0
    return _unit_range(values, name)


def _channels_last(image: NDArray[Any], name: str) -> NDArray[Any]:
    """Return an array (3,H,W), (H,W,3) or (H,W) as (H,W,3)."""
    if image.ndim == 3 and image.shape[0] == 3:
        image = image.transpose(1, 2, 0)
    elif image.ndim == 2:
        image = np.stack([image] * 3, axis=-1)
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        what = "of shape (3, H, W), (H, W, 3) or (H, W)"
        raise ValueError(expected(name, what, f"shape {tuple(image.shape)}"))
    return image


def _unit_range(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Return floats that lie in [0,1] but for rounding, clipped to it."""
    if values.dtype.kind != "f":
        raise TypeError(expected(name, "of floats or of dtype uint8", f"dtype {values.dtype}"))
    low, high = values.min(), values.max()
    if not (low >= -1e-4 and high <= 1 + 1e-4):  # NaN fails too
        what = "in [0, 1] (not normalized for a model)"
        raise ValueError(expected(name, what, f"values from {low:g} to {high:g}"))
    return values.clip(0, 1).astype(np.float32)


def to_uint8(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Return floats in [0,1] as uint8, rounded."""
    return np.rint(picture * 255.0).clip(0, 255).astype(np.uint8)
