"""Classifiers that pool the maps of a backbone and classify the means: CAM's own form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from captum_cluster._checks import check_flag, check_integer, check_number, describe, expected
from captum_cluster.training.backbones import (
    SUPPORTED,
    classifier_body,
    count_channels,
    is_known,
)
from captum_cluster.training.heads import KernelUsageLinear
from captum_cluster.training.pretrained import (
    check_architecture,
    pretrained_classifier,
    untrained_classifier,
)


class GapClassifier(nn.Module):
    """A network from images to logits: maps, their means (global average pooling), a linear head.

    ``logits = pool(body(x)) W^T + b``, so CAM and MinMax-CAM have their closed form on ``body``.
    With ``features`` and ``parent_head`` it follows the protocol of the sub-category training.

    Args:
        body: From images (N,c,H,W) to maps (N,C,h,w); the layer to explain.
        parent_head: From features (N,C) to logits (N,L): ``nn.Linear`` or ``KernelUsageLinear``.
        dropout: Share of the features that are dropped in training, from 0 up to below 1. Of a
            mean dropped, the whole map is: this equals ``nn.Dropout2d`` before the pooling.

    Raises:
        TypeError: ``body`` is no module, ``parent_head`` no ``nn.Linear``, or ``dropout`` no
            number.
        ValueError: ``dropout`` is outside its range.

    Shape:
        Input (N,c,H,W), output (N,L): logits.

    Example:
        >>> import torch
        >>> body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        >>> net = GapClassifier(body, nn.Linear(8, 5))
        >>> images = torch.rand(2, 3, 16, 16)
        >>> net.maps(images).shape, net.features(images).shape, net(images).shape
        (torch.Size([2, 8, 14, 14]), torch.Size([2, 8]), torch.Size([2, 5]))

    References:
        Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", section 2.
    """

    def __init__(self, body: nn.Module, parent_head: nn.Linear, *, dropout: float = 0.0) -> None:
        super().__init__()
        if not isinstance(body, nn.Module):
            raise TypeError(expected("body", "an nn.Module that gives maps", describe(body)))
        if not isinstance(parent_head, nn.Linear):
            raise TypeError(expected("parent_head", "an nn.Linear", describe(parent_head)))
        # The head comes last: of a model around this one the closed forms take the last linear.
        self.body = body
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(_check_dropout(dropout))
        self.parent_head = parent_head

    @property
    def num_labels(self) -> int:
        """The number of labels L."""
        return self.parent_head.out_features

    @property
    def explained_layers(self) -> list[nn.Module]:
        """The layers to explain: the body alone."""
        return [self.body]

    def maps(self, images: Tensor) -> Tensor:
        """Return the maps (N,C,h,w) of images (N,c,H,W)."""
        maps: Tensor = self.body(images)
        return maps

    def features(self, images: Tensor) -> Tensor:
        """Return the mean of each map (N,C) of images (N,c,H,W), before the dropout."""
        return self._pooled(self.maps(images))

    def classify(self, maps: Tensor) -> Tensor:
        """Return the logits (N,L) of maps (N,C,h,w)."""
        logits: Tensor = self.parent_head(self.dropout(self._pooled(maps)))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N,L) of images (N,c,H,W)."""
        return self.classify(self.maps(images))

    def _pooled(self, maps: Tensor) -> Tensor:
        means: Tensor = self.pool(maps)
        return means.flatten(1)


def gap_classifier(
    backbone: str | nn.Module,
    num_labels: int,
    *,
    weights: str | os.PathLike[str] | Mapping[str, Tensor] | None = None,
    kernel_usage: bool = False,
    dropout: float = 0.0,
    bias: bool = True,
) -> GapClassifier:
    """Return a classifier: a backbone's maps, global average pooling and a fresh linear head.

    Of a torchvision classifier the layers between the last maps and the logits are replaced; of
    VGG and AlexNet also the last max pooling is left out, which gives VGG16-GAP and its
    relatives. ``kernel_usage`` heads start with logits L times smaller, and may want a larger
    learning rate.

    Args:
        backbone: The name of a torchvision classifier (AlexNet, ConvNeXt, DenseNet, EfficientNet,
            GoogLeNet, Inception, MNASNet, MobileNet, RegNet, ResNet, ResNeXt, ShuffleNet,
            SqueezeNet, VGG, wide ResNet); such a network; or a module from images (N,c,H,W) to
            maps (N,C,h,w). A module is used as it is, not copied. The maps are those after the
            ReLU where the network has one: EfficientNet and MobileNetV3 end in activations that
            can be slightly negative, ConvNeXt in none.
        num_labels: Number of labels L, at least 1.
        weights: For a name: None for fresh weights, "DEFAULT" for torchvision's, downloaded once,
            a file with a state dict of the torchvision network, or that state dict. Its own head
            is left out, whatever its number of classes.
        kernel_usage: Regularise the head's kernel usage (``KernelUsageLinear``).
        dropout: Share of the features that are dropped in training, from 0 up to below 1.
        bias: Whether the head has a bias.

    Returns:
        In training mode, on the CPU or the module's device.

    Raises:
        TypeError: An argument is of another type, or ``weights`` are given for a module.
        ValueError: The backbone is unknown, gives no maps (transformers), or an argument is
            outside its range, or the weights are not those of this network.
        OSError: The default weights cannot be downloaded, or there is no such file.

    Example:
        >>> import torch
        >>> net = gap_classifier("squeezenet1_1", 20, kernel_usage=True)
        >>> net(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 20])
        >>> net.parent_head
        KernelUsageLinear(in_features=512, out_features=20, bias=True, magnitude=False)

    References:
        Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", section 3;
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", section 5: VGG16-GAP.
    """
    labels = check_integer("num_labels", num_labels, 1)
    check_flag("kernel_usage", kernel_usage)
    check_flag("bias", bias)
    _check_dropout(dropout)
    body = backbone_body(backbone, weights)
    kind = KernelUsageLinear if kernel_usage else nn.Linear
    like = next((p for p in body.parameters() if p.is_floating_point()), None)
    place = {} if like is None else {"device": like.device, "dtype": like.dtype}
    head = kind(count_channels(body), labels, bias, **place)
    return GapClassifier(body, head, dropout=dropout)


def backbone_body(backbone: Any, weights: Any = None) -> nn.Module:
    """Return the part of a backbone that gives the maps; the arguments are ``gap_classifier``'s.

    Raises:
        TypeError: As ``gap_classifier``.
        ValueError: As ``gap_classifier``.
        OSError: As ``gap_classifier``.

    Example:
        >>> [name for name, _ in backbone_body("resnet18").named_children()][-1]
        'layer4'
    """
    if isinstance(backbone, str):
        return _body_by_name(backbone, weights)
    if not isinstance(backbone, nn.Module):
        what = "the name of a torchvision classifier, or an nn.Module that gives maps"
        raise TypeError(expected("backbone", what, describe(backbone)))
    if weights is not None:
        what = "None for a backbone that is a module, which has its own"
        raise TypeError(expected("weights", what, describe(weights)))
    return classifier_body(backbone) if is_known(backbone) else backbone


def _body_by_name(name: str, weights: Any) -> nn.Module:
    check_architecture(name, "backbone")
    if name.startswith(("vit_", "swin_", "maxvit_")):
        # Before the network is built or its weights are downloaded.
        what = f"a network of {SUPPORTED}"
        raise ValueError(expected("backbone", what, f"the transformer {name!r}"))
    if weights is None:
        return classifier_body(untrained_classifier(name))
    return classifier_body(pretrained_classifier(name, weights)[0])


def _check_dropout(dropout: float) -> float:
    number = check_number("dropout", dropout, 0, 1)
    if number == 1:
        raise ValueError(expected("dropout", "a number from 0 to below 1", 1))
    return number
