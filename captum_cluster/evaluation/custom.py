"""Methods that have no name here: classes of the two hosts, and functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_cluster._checks import describe, expected
from captum_cluster.attr import stock as captum_stock
from captum_cluster.grad_cam import stock as grad_cam_stock


def custom_map(
    method: Callable[..., Any],
    model: nn.Module,
    layers: Sequence[nn.Module],
    image: Tensor,
    target: int,
    *,
    labels: Sequence[int] | None = None,
    **options: Any,
) -> Tensor:
    """Return the map (1,h,w) that a method of somebody else gives for one image and label.

    Args:
        method: A class of Captum's (a ``LayerAttribution``, or an ``Attribution`` of the input,
            whose channels are summed), a class of pytorch-grad-cam's (a ``BaseCAM``), or a
            function ``method(model, layer, image, target)`` that returns a map (h,w), with axes
            of size one in front of it or not, as a tensor or a NumPy array. A function with a
            parameter ``labels`` is told the labels present.
        model: The model.
        layers: The layers to explain, shallow to final. A Captum class and a function take one of
            them, or the list where there are several; a ``BaseCAM`` takes the list.
        image: (1,c,H,W).
        target: The label explained.
        labels: The labels present.
        **options: Passed on: to ``attribute`` (``reshape_transform``: to the constructor), to the
            constructor of a ``BaseCAM``, or to the function.

    Raises:
        TypeError: It is no such thing.
        ValueError: It gives something else than one map.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        >>> def mean(model, layer, image, target):
        ...     return layer(image).mean(dim=1)
        >>> custom_map(mean, net, [net[0]], torch.rand(1, 3, 8, 8), 2).shape
        torch.Size([1, 6, 6])
    """
    layer = layers[0] if len(layers) == 1 else list(layers)
    contrasts = getattr(getattr(method, "algorithm", None), "contrasts_labels", False)
    if captum_stock.is_attribution(method):
        if contrasts and labels is not None:
            options = {"labels": [list(labels)], **options}
        found: Any = captum_stock.attribution(method, model, layer, image, target, **options)
    elif grad_cam_stock.is_cam(method):
        told = labels if contrasts else None
        found = grad_cam_stock.cam_map(method, model, layers, image, target, labels=told, **options)
    else:
        if labels is not None and _takes_labels(method):
            options = {"labels": list(labels), **options}
        found = method(model, layer, image, target, **options)
    return _one_map(found, method)


def takes_reshape_transform(method: Any) -> bool:
    """Return whether a method can be given a ``reshape_transform``: those with a name all can.

    Of those without one, the classes whose constructor has such a parameter: pytorch-grad-cam's,
    and ours.

    Example:
        >>> takes_reshape_transform("grad-cam"), takes_reshape_transform(torch.relu)
        (True, False)
    """
    if isinstance(method, str):
        return True
    return isinstance(method, type) and "reshape_transform" in _parameters(method)


def custom_name(method: Callable[..., Any]) -> str:
    """Return what a method without a name is called in a report.

    Example:
        >>> custom_name(torch.relu)
        'relu'
    """
    return str(getattr(method, "__name__", type(method).__name__))


def _takes_labels(method: Callable[..., Any]) -> bool:
    return "labels" in _parameters(method)


def _parameters(method: Callable[..., Any]) -> Collection[str]:
    try:
        return inspect.signature(method).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return ()


def _one_map(found: Any, method: Callable[..., Any]) -> Tensor:
    """Return what a method gave as a float tensor (1,h,w)."""
    maps = found
    if isinstance(found, np.ndarray) and found.dtype.kind in "biuf":
        # A copy: mirrored views and arrays that may not be written to cannot be shared.
        maps = torch.from_numpy(np.array(found, dtype=np.float32))
    if not isinstance(maps, Tensor) or maps.is_complex() or maps.ndim < 2:
        raise ValueError(expected(custom_name(method), "to give a map (h,w)", describe(found)))
    if maps.numel() != maps.shape[-2] * maps.shape[-1] or not maps.numel():
        raise ValueError(expected(custom_name(method), "to give one map (h,w)", describe(found)))
    return maps.detach().float().reshape(1, *maps.shape[-2:])
