"""Captum's own methods, under the names they have in this package."""

from __future__ import annotations

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

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
    with torch.inference_mode(False), torch.enable_grad():
        # The images take part in the graph, so that a frozen model is explained too.
        images = images.detach().clone().requires_grad_()
        maps: Tensor = STOCK[method](model, layer).attribute(images, target)
    return maps.detach()
