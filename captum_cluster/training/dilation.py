"""Maps of a higher resolution from the same weights: strides that become dilations."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from captum_cluster._checks import check_integer, expected
from captum_cluster.hooks import modes_kept
from captum_cluster.training.backbones import black_image

_SIDE = 128  # of the black image that is passed through; large enough to tell strides apart


def dilated(body: nn.Module, output_stride: int) -> nn.Module:
    """Return a copy of a body that makes its maps no smaller than the image by ``output_stride``.

    Strides beyond it become 1, and what follows is dilated instead (the "atrous" algorithm): with
    the same weights each pixel that the body's own maps have comes out as before, and the pixels
    between are new. Squeeze-and-excitation, which looks at whole maps, is left as it is.

    Args:
        body: From images (N,c,H,W) to maps; modules in a row (``nn.Sequential``, nested or not),
            such as ``classifier_body`` gives. A body whose maps are large enough already may be
            any module, and is copied as it is.
        output_stride: Pixels of the image per pixel of the maps, along each axis, at most; at
            least 1.

    Raises:
        TypeError: ``output_stride`` is no integer.
        ValueError: It is below 1, or a stride beyond it is not that of a convolution of odd size.

    Example:
        >>> from captum_cluster.training.gap_classifier import backbone_body
        >>> body, images = backbone_body("resnet18").eval(), torch.rand(1, 3, 64, 64)
        >>> large = dilated(body, 8)
        >>> large(images).shape
        torch.Size([1, 512, 8, 8])
        >>> torch.allclose(large(images)[..., ::4, ::4], body(images), atol=1e-4)
        True

    References:
        Chen et al. 2016, "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous
        Convolution, and Fully Connected CRFs", section 3.1; torchvision's
        ``replace_stride_with_dilation``, for networks with blocks of any kind.
    """
    limit = check_integer("output_stride", output_stride, 1)
    body = copy.deepcopy(body)
    with modes_kept(body), torch.no_grad():
        body.eval()
        _dilate(body, limit, black_image(body, _SIDE))
    return body


def _dilate(body: nn.Module, limit: int, maps: Tensor) -> None:
    """Replace strides from where they would go beyond the limit, part by part."""
    stride, dilation = 1, 1
    for part in _parts(body):
        found: Tensor = part(maps)
        step = round(maps.shape[-1] / found.shape[-1])
        if stride * step > limit:
            _spread(part, step, dilation)
            found = part(maps)
            dilation *= step
            if found.shape[-1] != maps.shape[-1]:
                what = f"at least {stride * step} for this backbone, whose {type(part).__name__}"
                raise ValueError(expected("output_stride", f"{what} cannot be dilated", limit))
        else:
            _spread(part, 1, dilation)
            stride *= step
            found = part(maps) if dilation > 1 else found
        maps = found


def _spread(part: nn.Module, step: int, dilation: int) -> None:
    """Dilate the convolutions of a part, those behind a stride of ``step`` by it once more."""
    behind = False
    for module in part.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        strided = step > 1 and module.stride == (step, step)
        _widen(module, dilation * step if behind and not strided else dilation)
        if strided:
            module.stride, behind = (1, 1), True


def _widen(convolution: nn.Conv2d, factor: int) -> None:
    """Multiply dilation and padding, so that the maps keep their size."""
    if factor == 1:
        return
    high, wide = convolution.dilation
    convolution.dilation = high * factor, wide * factor
    if not isinstance(convolution.padding, str):
        top, left = convolution.padding
        convolution.padding = top * factor, left * factor


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules in a row that are no rows themselves."""
    if type(module).forward is not nn.Sequential.forward:
        yield module
        return
    for child in module.children():
        yield from _parts(child)
