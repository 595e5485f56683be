"""What the benchmarks run on: torchvision's networks with random weights, and noise as images.

Time depends on neither, but for k-means, which stops when it stops: noise is no easy case for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor, nn

SIZE = 224
TARGET = 217
LABELS = [217, 3, 7, 281, 999]

_LAYERS = {
    "resnet18": ["layer1", "layer2", "layer3", "layer4"],
    "resnet50": ["layer1", "layer2", "layer3", "layer4"],
    "vgg16": ["features.15", "features.22", "features.29"],
    "mobilenet_v2": ["features.6", "features.13", "features.18"],
}
NETWORKS = tuple(_LAYERS)


@dataclass(frozen=True)
class Subject:
    """A network, its layers from shallow to final, and images (N,3,H,W)."""

    name: str
    model: nn.Module
    layers: list[nn.Module]
    images: Tensor

    @property
    def layer(self) -> nn.Module:
        """The final layer."""
        return self.layers[-1]

    @property
    def channels(self) -> int:
        """Number of maps of the final layer."""
        return {"resnet18": 512, "resnet50": 2048, "vgg16": 512, "mobilenet_v2": 1280}[self.name]


def subject(name: str, size: int = SIZE, images: int = 16) -> Subject:
    """Return a network of torchvision with what is explained of it."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)().eval()
    layers = [model.get_submodule(layer) for layer in _LAYERS[name]]
    return Subject(name, model, layers, torch.randn(images, 3, size, size))
