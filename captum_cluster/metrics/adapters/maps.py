"""Maps in the forms that the libraries give and take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_cluster._checks import check_choice, describe, expected
from captum_cluster.functional.attribution.grids import upsample
from captum_cluster.functional.attribution.masks import saliency

Channels = Literal["sum", "abs", "pairs"]
"""What to do with several channels (N,c,h,w): add them up, or their absolute values, or take each
as a map of its own."""

_FORMS = "maps (N,h,w), or (N,1,h,w), as a tensor or a NumPy array, or a list with one of them"


def maps_of(found: Any, *, channels: Channels | None = None) -> Tensor:
    """Return the maps (P,h,w) of whatever an explainer of any library gave.

    Args:
        found: Captum's attributions (N,1,h,w), or a tuple of one; pytorch-grad-cam's NumPy maps
            (N,H,W); torchcam's list of the maps (N,h,w) of one layer; Quantus' array (N,1,H,W).
        channels: For (N,c,h,w) with c above 1: "sum" or "abs" (sum of absolute values) for the
            attributions of an input, "pairs" for the maps of c targets of each image
            (``attribute_targets``), which become rows image by image. None: there is one channel.

    Returns:
        (P,h,w) floating-point, detached, as signed and as large as they came.

    Raises:
        TypeError: Neither a tensor nor an array of real numbers, nor a list of one; or
            ``channels`` is no string.
        ValueError: Another shape, several layers in a list, or several channels without
            ``channels``.

    Example:
        >>> maps_of(np.zeros((2, 8, 8))).shape
        torch.Size([2, 8, 8])
        >>> maps_of([torch.ones(2, 4, 4)]).shape
        torch.Size([2, 4, 4])
        >>> maps_of(torch.ones(2, 3, 4, 4), channels="pairs").shape
        torch.Size([6, 4, 4])
    """
    if channels is not None:
        check_choice("channels", channels, ("sum", "abs", "pairs"))
    tensor = _tensor_of(found)
    if tensor.ndim == 3:
        return tensor
    if tensor.ndim != 4:
        raise ValueError(expected("maps", _FORMS, describe(tensor)))
    if tensor.shape[1] == 1 or channels == "pairs":
        return tensor.flatten(0, 1)
    if channels is None:
        what = "of one channel (N,1,h,w), where channels= does not say what to do with several"
        raise ValueError(expected("maps", what, describe(tensor)))
    return (tensor.abs() if channels == "abs" else tensor).sum(dim=1)


def as_cams(
    found: Any, size: Sequence[int], *, channels: Channels | None = None
) -> npt.NDArray[np.float32]:
    """Return maps as pytorch-grad-cam's metrics take them: NumPy (P,H,W) in [0,1].

    Args:
        found: As for ``maps_of``.
        size: Height and width of the images.
        channels: As for ``maps_of``.

    Raises:
        TypeError: As for ``maps_of``.
        ValueError: As for ``maps_of``.

    Example:
        >>> as_cams(torch.tensor([[[-5.0, 2.0]]]), (1, 2))
        array([[[0., 1.]]], dtype=float32)
    """
    maps = saliency(maps_of(found, channels=channels), size)
    return maps.cpu().numpy().astype(np.float32)


def as_input_attributions(
    found: Any, inputs: Tensor | tuple[Tensor], *, channels: Channels | None = None
) -> Tensor:
    """Return attributions of the input's shape, as ``captum.metrics.infidelity`` takes them.

    Maps are enlarged bilinearly, with sign and scale kept, and every channel of a pixel is given
    the pixel's value. (A pixel then weighs c times in the sum over the input; infidelity's
    ``normalize=True`` takes such a factor out.)

    Args:
        found: As for ``maps_of``; attributions that have the input's shape stay as they are.
        inputs: The images (N,c,H,W), or a tuple of one.
        channels: As for ``maps_of``.

    Returns:
        (N,c,H,W), of the images' dtype and on their device.

    Raises:
        TypeError: As for ``maps_of``.
        ValueError: As for ``maps_of``, or not one map for each image, or several inputs.

    Example:
        >>> as_input_attributions(torch.ones(2, 1, 4, 4), torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """
    images = one_input(inputs)
    if channels is None and tuple(getattr(found, "shape", ())) == tuple(images.shape):
        return _tensor_of(found).to(images)
    maps = maps_of(found, channels=channels).to(images)
    if len(maps) != len(images):
        raise ValueError(expected("maps", f"one for each of {len(images)} images", len(maps)))
    return upsample(maps, images.shape[-2:])[:, None].expand(images.shape).clone()


def one_input(inputs: Any) -> Tensor:
    """Return the images (N,c,H,W), which a host may have wrapped in a tuple.

    Raises:
        ValueError: There are several inputs, or they are no images.

    Example:
        >>> one_input((torch.zeros(2, 3, 8, 8),)).shape
        torch.Size([2, 3, 8, 8])
    """
    images = inputs[0] if isinstance(inputs, tuple) and len(inputs) == 1 else inputs
    if not isinstance(images, Tensor) or images.ndim != 4:
        raise ValueError(expected("inputs", "one tensor of images (N,c,H,W)", describe(inputs)))
    return images


def _tensor_of(found: Any) -> Tensor:
    """Return what was found as a floating-point tensor without a graph."""
    if isinstance(found, (list, tuple)):
        if len(found) != 1:
            what = "those of one layer (torchcam's fuse_cams makes one of several)"
            raise ValueError(expected("maps", what, f"a {type(found).__name__} of {len(found)}"))
        found = found[0]
    # A copy: an array may be read-only, or run backwards.
    tensor = torch.from_numpy(found.copy()) if isinstance(found, np.ndarray) else found
    if not isinstance(tensor, Tensor) or tensor.is_complex():
        raise TypeError(expected("maps", _FORMS, describe(found)))
    tensor = tensor.detach()
    return tensor if tensor.is_floating_point() else tensor.float()
