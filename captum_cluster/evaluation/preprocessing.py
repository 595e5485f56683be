"""The picture a model saw, from the tensor its transform made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, describe, expected


def denormalize(tensor: Tensor, transform: object = None) -> Tensor:
    """Return the picture (3,H,W) in [0,1] that ``transform`` turned into ``tensor``.

    ``tensor * std + mean``, where the transform tells mean and standard deviation: a preset of
    torchvision's weights, a ``Normalize``, or a ``Compose`` (of ``Compose``) with one; of several
    the last is undone. Otherwise the tensor itself where it lies in [0,1], and else the tensor
    min-max scaled as a whole, which keeps the colours' relation.

    Args:
        tensor: (3,H,W) float, an image as the model takes it.
        transform: What made the tensor; None if unknown.

    Returns:
        (3,H,W) float32 (float64 stays) in [0,1], detached, on the tensor's device.

    Raises:
        TypeError: ``tensor`` is no float tensor.
        ValueError: It has another shape, or holds NaN or infinite values.

    Example:
        >>> from torchvision.transforms import Compose, Normalize
        >>> transform = Compose([Normalize([0.5, 0.5, 0.5], [0.25, 0.25, 0.25])])
        >>> denormalize(torch.ones(3, 1, 1), transform).flatten()
        tensor([0.7500, 0.7500, 0.7500])
    """
    picture = _checked(tensor).detach()
    picture = picture.to(torch.promote_types(picture.dtype, torch.float32))
    constants = _mean_and_std(transform)
    if constants is not None:
        mean, std = (torch.as_tensor(value).to(picture).reshape(-1, 1, 1) for value in constants)
        return (picture * std + mean).clamp(0, 1)
    low, high = picture.amin(), picture.amax()
    if low >= 0 and high <= 1:
        return picture.clone()
    # Dividing by 1 where the tensor is flat keeps it at 0, without NaN.
    return (picture - low) / torch.where(high > low, high - low, 1)


def _checked(tensor: Any) -> Tensor:
    """Return ``tensor`` if it is one image of finite floats."""
    what = "a float tensor of shape (3, H, W)"
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        raise TypeError(expected("tensor", what, describe(tensor)))
    if tensor.dim() != 3 or tensor.shape[0] != 3 or not tensor.numel():
        raise ValueError(expected("tensor", what, describe(tensor)))
    return check_finite("tensor", tensor)


def _mean_and_std(transform: Any) -> tuple[Any, Any] | None:
    """Return the constants of the last normalisation in ``transform``, None where there is none."""
    mean, std = getattr(transform, "mean", None), getattr(transform, "std", None)
    if mean is not None and std is not None:
        return mean, std
    # A Compose holds its parts in ``transforms``.
    for part in reversed(list(getattr(transform, "transforms", ()))):
        found = _mean_and_std(part)
        if found is not None:
            return found
    return None
