"""Networks that give each pixel a label: a classifier's body with the head of DeepLabV3."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from captum_cluster._checks import check_integer, describe, expected
from captum_cluster.training.backbones import count_channels
from captum_cluster.training.dilation import dilated
from captum_cluster.training.gap_classifier import backbone_body


class SegmentationNetwork(nn.Module):
    """A network from images to the logits of background and labels at each pixel.

    The body's maps, a head, and bilinear interpolation to the images' size, as torchvision's
    ``DeepLabV3``.

    Args:
        body: From images (N,c,H,W) to maps (N,C,h,w).
        parent_head: From maps (N,C,h,w) to logits (N,L+1,h,w), background first. (The name by
            which ``TrainingSettings`` and ``HeadFirst`` know heads.)

    Raises:
        TypeError: An argument is no module.

    Shape:
        Input (N,c,H,W), output (N,L+1,H,W): logits.

    Example:
        >>> import torch
        >>> net = SegmentationNetwork(nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 5, 1))
        >>> net(torch.rand(2, 3, 17, 21)).shape
        torch.Size([2, 5, 17, 21])

    References:
        Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation".
    """

    def __init__(self, body: nn.Module, parent_head: nn.Module) -> None:
        super().__init__()
        for name, module in (("body", body), ("parent_head", parent_head)):
            if not isinstance(module, nn.Module):
                raise TypeError(expected(name, "an nn.Module", describe(module)))
        self.body = body
        self.parent_head = parent_head

    @property
    def num_labels(self) -> int:
        """The number of labels L, without background."""
        last = [part for part in self.parent_head.modules() if isinstance(part, nn.Conv2d)][-1]
        return last.out_channels - 1

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N,L+1,H,W) of images (N,c,H,W).

        Raises:
            ValueError: There is one image alone in training, where the head's batch normalisation
                of the whole image's mean has nothing to compare it with.
        """
        if self.parent_head.training and len(images) == 1 and _normalises(self.parent_head):
            raise ValueError(expected("images", "at least 2 in training", 1))
        logits = self.parent_head(self.body(images))
        sized: Tensor = F.interpolate(
            logits, images.shape[-2:], mode="bilinear", align_corners=False
        )
        return sized

    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probabilities (N,L+1,H,W) of images (N,c,H,W), of sum 1 at each pixel.

        What ``captum_cluster.weak.crf`` refines.
        """
        return self(images).softmax(dim=1)  # type: ignore[no-any-return]


def segmentation_network(
    backbone: str | nn.Module,
    num_labels: int,
    *,
    weights: str | os.PathLike[str] | Mapping[str, Tensor] | None = None,
    output_stride: int | None = 8,
    atrous_rates: Sequence[int] = (12, 24, 36),
    channels: int = 256,
) -> SegmentationNetwork:
    """Return a segmentation network: a backbone's maps, dilated, and a fresh head of DeepLabV3.

    Args:
        backbone: As for ``gap_classifier``: the name of a torchvision classifier, such a network,
            or a module from images (N,c,H,W) to maps (N,C,h,w). A module is copied where
            ``output_stride`` is given.
        num_labels: Number of labels L, without background; at least 1.
        weights: As for ``gap_classifier``: None, "DEFAULT", a file or a state dict of the
            classifier, whose head is left out.
        output_stride: Pixels of the image per pixel of the maps, at most: strides beyond it become
            dilations. None leaves the backbone as it is (32 for most). Poolings cannot be dilated:
            VGG takes 16, DenseNet 32 or None.
        atrous_rates: The dilations of the head's parallel convolutions, in pixels of the maps;
            those of torchvision. The authors halve them at a stride of 16.
        channels: Of the head's layers, at least 1. With 256 it is torchvision's ``DeepLabHead``.

    Returns:
        In training mode, on the CPU or the module's device.

    Raises:
        TypeError: An argument is of another type.
        ValueError: The backbone is unknown, gives no maps or has strides that cannot be dilated,
            or an argument is outside its range, or the weights are not those of this network.
        OSError: The default weights cannot be downloaded, or there is no such file.

    Example:
        >>> import torch
        >>> net = segmentation_network("mobilenet_v3_small", 20, output_stride=16)
        >>> net.eval()(torch.rand(1, 3, 65, 97)).shape
        torch.Size([1, 21, 65, 97])

    References:
        Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation". Chang et
        al. 2020, "Sub-category exploration", section 3.3, train DeepLab-v2 with ResNet-101; here it
        is DeepLabV3.
    """
    classes = check_integer("num_labels", num_labels, 1) + 1
    width = check_integer("channels", channels, 1)
    rates = _checked_rates(atrous_rates)
    if output_stride is not None:
        check_integer("output_stride", output_stride, 1)
    body = backbone_body(backbone, weights)
    inputs = count_channels(body)
    if output_stride is not None:
        body = dilated(body, output_stride)
    like = next((p for p in body.parameters() if p.is_floating_point()), None)
    head = _head(inputs, classes, rates, width)
    return SegmentationNetwork(body, head if like is None else head.to(like.device, like.dtype))


def _head(inputs: int, classes: int, rates: Sequence[int], width: int) -> nn.Sequential:
    """Return torchvision's ``DeepLabHead``, whose 256 channels are ``width`` here."""
    return nn.Sequential(
        ASPP(inputs, rates, width),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, classes, 1),
    )


def _normalises(head: nn.Module) -> bool:
    """Return whether a head normalises the mean of the whole image over the batch."""
    return any(isinstance(module, ASPP) for module in head.modules())


def _checked_rates(rates: object) -> tuple[int, ...]:
    what = "a sequence of integers of at least 1"
    if not isinstance(rates, Sequence) or isinstance(rates, str):
        raise TypeError(expected("atrous_rates", what, describe(rates)))
    if not rates:
        raise ValueError(expected("atrous_rates", what, "none"))
    return tuple(check_integer("a rate", rate, 1) for rate in rates)
