"""Captum's own methods, under the names they have in this package."""

from __future__ import annotations

from typing import Any

import torch
from captum.attr import Attribution, LayerAttribution, LayerGradCam
from torch import Tensor, nn

from captum_cluster._checks import describe, expected

STOCK = {"grad-cam": LayerGradCam}
"""Of each id the class."""


def stock_map(
    method: str, model: nn.Module, layer: nn.Module, images: Tensor, target: int
) -> Tensor:
    """Return the map (N,1,h,w) of one of Captum's methods, signed.

    Args:
        method: One of ``STOCK``.
        model: The model.
        layer: Its layer, with feature maps (N,C,h,w).
        images: (N,c,H,W).
        target: The label explained.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> stock_map("grad-cam", net.eval(), net[0], torch.rand(1, 3, 8, 8), 2).shape
        torch.Size([1, 1, 6, 6])
    """
    return attribution(STOCK[method], model, layer, images, target)


def is_attribution(method: object) -> bool:
    """Return whether a method is a class of Captum's kind.

    Example:
        >>> is_attribution(LayerGradCam), is_attribution(torch.relu)
        (True, False)
    """
    return isinstance(method, type) and issubclass(method, Attribution)


def attribution(
    method: Any, model: nn.Module, layer: Any, images: Tensor, target: int, **options: Any
) -> Tensor:
    """Return what a class of Captum's kind attributes, (N,1,h,w).

    Args:
        method: The class. A ``LayerAttribution`` is given the layer; others attribute to the
            images, and their channels are summed.
        model: The model.
        layer: Its layer.
        images: (N,c,H,W).
        target: The label explained.
        **options: Of ``attribute``.

    Raises:
        TypeError: It gives several tensors.

    Example:
        >>> from captum.attr import Saliency
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> attribution(Saliency, net.eval(), net[0], torch.rand(1, 3, 8, 8), 2).shape
        torch.Size([1, 1, 8, 8])
    """
    built = method(model, layer) if issubclass(method, LayerAttribution) else method(model)
    with torch.inference_mode(False), torch.enable_grad():
        # The images take part in the graph, so that a frozen model is explained too.
        images = images.detach().clone().requires_grad_()
        maps = built.attribute(images, target=target, **options)
    if not isinstance(maps, Tensor):
        raise TypeError(expected(method.__name__, "to give one tensor", describe(maps)))
    return maps.detach().sum(dim=1, keepdim=True)
