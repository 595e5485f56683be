"""Captum's own methods, under the names they have in this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import Attribution, LayerAttribution, LayerGradCam
from torch import Tensor, nn

from captum_cluster._checks import describe, expected
from captum_cluster.hooks import run_captured
from captum_cluster.methods import feature_gradients, feature_maps

Transform = Callable[[Any], Tensor]

STOCK = {"grad-cam": LayerGradCam}
"""Of each id the class."""


def stock_map(
    method: str,
    model: nn.Module,
    layer: nn.Module,
    images: Tensor,
    target: int,
    reshape_transform: Transform | None = None,
) -> Tensor:
    """Return the map (N,1,h,w) of one of Captum's methods, signed.

    With a ``reshape_transform``, which Captum does not know, Grad-CAM's formula is computed here:
    the maps weighted by the means of their gradients. Captum's own gives the same for maps.

    Args:
        method: One of ``STOCK``.
        model: The model.
        layer: Its layer, with feature maps (N,C,h,w).
        images: (N,c,H,W).
        target: The label explained.
        reshape_transform: Turns what the layer gives into maps (N,C,h,w).

    Raises:
        LayerError: What is made of what the layer gives are no maps.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> stock_map("grad-cam", net.eval(), net[0], torch.rand(1, 3, 8, 8), 2).shape
        torch.Size([1, 1, 6, 6])
    """
    if reshape_transform is not None:
        return _grad_cam(model, layer, images, target, reshape_transform)
    return attribution(STOCK[method], model, layer, images, target)


def _grad_cam(
    model: nn.Module, layer: nn.Module, images: Tensor, target: int, transform: Transform
) -> Tensor:
    """Return Grad-CAM's map (N,1,h,w) at the maps that a transform makes of a layer's output."""
    with torch.inference_mode(False), torch.no_grad():
        images = images.clone()  # what was made in inference mode takes no part in a graph
        outputs, captured = run_captured(model, [layer], lambda: model(images), gradients=True)
        with torch.enable_grad():
            value = outputs[:, target].sum()
        found = captured.gradients_of(value, 0)
    maps = feature_maps(captured.output(0), len(images), transform)
    gradients = feature_gradients(found, captured.output(0), maps, transform)
    return (gradients.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True)


def is_attribution(method: object) -> bool:
    """Return whether a method is a class of Captum's kind.

    Example:
        >>> is_attribution(LayerGradCam), is_attribution(torch.relu)
        (True, False)
    """
    return isinstance(method, type) and issubclass(method, Attribution)


def attribution(
    method: Any,
    model: nn.Module,
    layer: Any,
    images: Tensor,
    target: int,
    *,
    reshape_transform: Transform | None = None,
    **options: Any,
) -> Tensor:
    """Return what a class of Captum's kind attributes, (N,1,h,w).

    Args:
        method: The class. A ``LayerAttribution`` is given the layer; others attribute to the
            images, and their channels are summed.
        model: The model.
        layer: Its layer.
        images: (N,c,H,W).
        target: The label explained.
        reshape_transform: Of the constructor, for classes that take one.
        **options: Of ``attribute``.

    Raises:
        TypeError: It gives several tensors.

    Example:
        >>> from captum.attr import Saliency
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> attribution(Saliency, net.eval(), net[0], torch.rand(1, 3, 8, 8), 2).shape
        torch.Size([1, 1, 8, 8])
    """
    given = [layer] if issubclass(method, LayerAttribution) else []
    own = {} if reshape_transform is None else {"reshape_transform": reshape_transform}
    built = method(model, *given, **own)
    with torch.inference_mode(False), torch.enable_grad():
        # The images take part in the graph, so that a frozen model is explained too.
        images = images.detach().clone().requires_grad_()
        maps = built.attribute(images, target=target, **options)
    if not isinstance(maps, Tensor):
        raise TypeError(expected(method.__name__, "to give one tensor", describe(maps)))
    return maps.detach().sum(dim=1, keepdim=True)
