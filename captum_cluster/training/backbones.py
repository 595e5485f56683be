"""The part of a classifier that gives the maps: of torchvision's networks, or any module."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torchvision import models

from captum_cluster._checks import describe, expected
from captum_cluster.hooks import modes_kept

Seen = TypeVar("Seen")

# Networks whose convolutional part is one module, and its name.
_ONE_MODULE: dict[type[nn.Module], str] = {
    models.AlexNet: "features",
    models.ConvNeXt: "features",
    models.DenseNet: "features",
    models.EfficientNet: "features",
    models.MNASNet: "layers",
    models.MobileNetV2: "features",
    models.MobileNetV3: "features",
    models.SqueezeNet: "features",
    models.VGG: "features",
}
# Networks whose parts run one after the other until the pooling or the classifier.
_IN_A_ROW = (
    models.GoogLeNet,
    models.Inception3,
    models.RegNet,
    models.ResNet,
    models.ShuffleNetV2,
)
_ENDS = ("avgpool", "dropout", "fc")
_AUXILIARY = ("aux1", "aux2", "AuxLogits")
SUPPORTED = (
    "AlexNet, ConvNeXt, DenseNet, EfficientNet, GoogLeNet, Inception, MNASNet, MobileNet, RegNet, "
    "ResNet, ResNeXt, ShuffleNet, SqueezeNet, VGG or wide ResNet"
)


class InputScaling(nn.Module):
    """Images (N,3,H,W) normalised as for ImageNet, as GoogLeNet and Inception want them.

    What ``transform_input`` does inside of these networks: from the usual mean and deviation of
    each colour to 1/2 for both.

    Example:
        >>> mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        >>> grey = ((0.5 - mean) / std)[None, :, None, None]
        >>> bool(InputScaling()(grey).abs().max() < 1e-6)
        True
    """

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("scale", (std / 0.5)[:, None, None], persistent=False)
        self.register_buffer("shift", ((mean - 0.5) / 0.5)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the images (N,3,H,W), rescaled."""
        return images * self.scale + self.shift


def is_known(model: nn.Module) -> bool:
    """Return whether ``classifier_body`` knows where a network's maps come from.

    Example:
        >>> is_known(models.squeezenet1_1()), is_known(nn.Conv2d(3, 8, 3))
        (True, False)
    """
    return isinstance(model, (*_ONE_MODULE, *_IN_A_ROW))


def classifier_body(model: nn.Module) -> nn.Sequential:
    """Return the part of a torchvision classifier that gives the maps before the pooling.

    The names of its modules, and the modules themselves, are the network's. A max pooling at the
    end (VGG, AlexNet) is left out, which gives maps of twice the height and width: VGG16-GAP. A
    DenseNet ends in the ReLU that torchvision applies outside of its modules.

    Args:
        model: A torchvision classifier, or one of a class derived from it.

    Raises:
        ValueError: It is none of the networks that this function knows.

    Example:
        >>> body = classifier_body(models.resnet18())
        >>> [name for name, _ in body.named_children()][-2:]
        ['layer3', 'layer4']
        >>> body(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 512, 2, 2])

    References:
        Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", section 3: the
        networks without the layers after the last convolution.
    """
    if isinstance(model, _IN_A_ROW):
        return _parts_in_a_row(model)
    for kind, name in _ONE_MODULE.items():
        if isinstance(model, kind):
            return _finished(model, list(getattr(model, name).named_children()))
    raise ValueError(expected("backbone", f"a network of {SUPPORTED}", type(model).__name__))


def count_channels(body: nn.Module) -> int:
    """Return the number of maps C that a module gives, found by a pass with a black image.

    The module runs in evaluation mode, without gradients, and is left as it was.

    Args:
        body: From images (N,c,H,W) to maps (N,C,h,w). The number of colours c is that of its first
            convolution, else 3.

    Raises:
        ValueError: It takes no images of 64 or 224 pixels, or gives no maps.

    Example:
        >>> count_channels(nn.Conv2d(1, 8, 3))
        8
    """
    maps: object = seen_in_black(body, body, "backbone")
    if not isinstance(maps, Tensor) or maps.ndim != 4 or not maps.is_floating_point():
        got = describe(maps)
        raise ValueError(expected("backbone", "a module that gives maps (N,C,h,w)", got))
    return maps.shape[1]


def seen_in_black(model: nn.Module, look: Callable[[Tensor], Seen], name: str) -> Seen:
    """Return what a function of a black image makes of one that a model takes.

    Of 64 pixels, or of 224 if that is too small. The model runs in evaluation mode, without
    gradients, and is left as it was.

    Args:
        model: From images (N,c,H,W). The number of colours c is that of its first convolution, else
            3.
        look: Calls the model.
        name: The model's, for the message.

    Raises:
        ValueError: It takes neither.

    Example:
        >>> net = nn.Conv2d(3, 8, 100)
        >>> seen_in_black(net, lambda image: net(image).shape, "net")
        torch.Size([1, 8, 125, 125])
    """
    with modes_kept(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
        model.eval()
        try:
            return look(black_image(model, 64))
        except (RuntimeError, ValueError, TypeError):  # too small, or no such module
            return _seen_in_large(look, black_image(model, 224), name)


def black_image(model: nn.Module, side: int) -> Tensor:
    """Return a black image (1,c,side,side) with as many colours as the first convolution takes.

    Example:
        >>> black_image(nn.Conv2d(1, 8, 3), 64).shape
        torch.Size([1, 1, 64, 64])
    """
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    convolutions = (module for module in model.modules() if isinstance(module, nn.Conv2d))
    colours = next((module.in_channels for module in convolutions), 3)
    return like.new_zeros(1, colours, side, side)


def _seen_in_large(look: Callable[[Tensor], Seen], image: Tensor, name: str) -> Seen:
    try:
        return look(image)
    except (RuntimeError, ValueError, TypeError) as error:
        what = "a module that gives maps (N,C,h,w) of images of 64 or 224 pixels"
        reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
        raise ValueError(expected(name, what, f"an error ({reason})")) from error


def _parts_in_a_row(model: nn.Module) -> nn.Sequential:
    parts: list[tuple[str, nn.Module]] = []
    if getattr(model, "transform_input", False):
        parts.append(("transform_input", InputScaling()))
    for name, module in model.named_children():
        if name in _ENDS:
            break
        if name not in _AUXILIARY:
            parts.append((name, module))
    return nn.Sequential(OrderedDict(parts))


def _finished(model: nn.Module, parts: list[tuple[str, nn.Module]]) -> nn.Sequential:
    """Return the parts, less a max pooling at the end, and with the ReLU of a DenseNet."""
    if isinstance(parts[-1][1], nn.MaxPool2d):
        parts = parts[:-1]
    if isinstance(model, models.DenseNet):
        parts = [*parts, ("relu", nn.ReLU())]
    return nn.Sequential(OrderedDict(parts))
