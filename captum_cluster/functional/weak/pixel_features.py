"""What pixels are compared by: colour, position, a layer's features, all on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_cluster._checks import check_finite, check_number, expected
from captum_cluster.functional.attribution.grids import upsample

STRIDE, PHOTOGRAPH = 8, 224  # the stride from so many pixels of the shorter side on


def grid_stride(size: Sequence[int]) -> int:
    """Return how many pixels of an image, along each axis, a pixel of its grid stands for.

    8, as in AffinityNet, where the shorter side has 224 pixels or more; of smaller images in
    proportion less, down to 1. So their grids are about as fine as the 28 x 28 of an image of
    224 x 224 pixels: the shorter side has 41 pixels at most.

    Args:
        size: Height and width of the image.

    Example:
        >>> [grid_stride((side, side)) for side in (28, 64, 112, 224, 1000)]
        [1, 2, 4, 8, 8]
    """
    return min(STRIDE, max(1, round(STRIDE * min(size) / PHOTOGRAPH)))


def on_grid(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return maps (...,h,w) on a grid: means of its cells where they are larger, else bilinear.

    Args:
        maps: (...,h,w) float.
        size: Height and width of the grid.

    Example:
        >>> on_grid(torch.tensor([[0.0, 2.0, 4.0, 8.0]]), (1, 2))
        tensor([[1., 6.]])
    """
    h, w = maps.shape[-2:]
    if h < size[0] or w < size[1]:
        return upsample(maps, size)
    flat = F.adaptive_avg_pool2d(maps.reshape(-1, 1, h, w), (size[0], size[1]))
    return flat.reshape(*maps.shape[:-2], *size)


def joined_features(parts: Sequence[Tensor]) -> Tensor:
    """Return features whose mean difference is the sum of the parts' mean differences.

    So the affinity by all of them is the product of the affinities by each, whatever their
    numbers of channels.

    Args:
        parts: (D_k,h,w) each, at least one.

    Returns:
        (D,h,w), D the sum of all D_k.

    Raises:
        ValueError: There is no part, or the grids differ.

    Example:
        >>> one, three = torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[0.0, 2.0]]] * 3)
        >>> joined = joined_features([one, three])
        >>> (joined[..., 1] - joined[..., 0]).mean()  # 1 + 2
        tensor(3.0000)
    """
    if not parts or any(part.ndim != 3 or part.shape[1:] != parts[0].shape[1:] for part in parts):
        got = ", ".join(str(tuple(part.shape)) for part in parts) or "none"
        raise ValueError(expected("parts", "features (D,h,w) of one grid", got))
    channels = sum(len(part) for part in parts)
    return torch.cat([part * (channels / len(part)) for part in parts])


def image_features(
    image: Tensor, size: Sequence[int], *, colour: float = 30.0, position: float = 0.05
) -> Tensor:
    """Return features of an image's pixels on a grid: their colours and where they are.

    With them ``a_ij = exp(-colour * mean |c_i - c_j| - position * (|dy| + |dx|) / 2)``.

    Args:
        image: (3,H,W) or (1,H,W) float in [0,1].
        size: Height and width of the grid.
        colour: Weight of the mean difference of the colour channels, at least 0.
        position: Weight of the mean distance along both axes, in pixels of the grid, at least 0.

    Returns:
        (D,h,w): D = 5 for a colour image.

    Raises:
        TypeError: A weight is no number.
        ValueError: A weight is negative, or the image has another shape or is not finite.

    Example:
        >>> image_features(torch.zeros(3, 8, 8), (2, 2), position=0.4)[3:]
        tensor([[[0., 0.],
                 [1., 1.]],
        <BLANKLINE>
                [[0., 1.],
                 [0., 1.]]])
    """
    check_number("colour", colour, 0.0)
    check_number("position", position, 0.0)
    if image.ndim != 3 or len(image) not in (1, 3) or image.numel() == 0:
        raise ValueError(expected("image", "of shape (3,H,W)", f"{tuple(image.shape)}"))
    colours = on_grid(check_finite("image", image), size)
    lines = [torch.arange(n, dtype=image.dtype, device=image.device) for n in size]
    places = torch.stack(torch.meshgrid(*lines, indexing="ij"))
    return joined_features([colour * colours, position * places])


def layer_features(features: Tensor, size: Sequence[int], *, weight: float | None = 0.5) -> Tensor:
    """Return a layer's features on a grid, at a scale that does not depend on the network.

    Divided by their mean absolute deviation from each channel's mean, times ``weight``: pixels
    that differ as much as a pixel does from the mean have the affinity ``exp(-weight)``.

    Args:
        features: (D,h',w') float, a layer's output for one image.
        size: Height and width of the grid.
        weight: At least 0; None leaves the features' own scale, for learned ones (AffinityNet).

    Returns:
        (D,h,w).

    Raises:
        TypeError: ``weight`` is no number.
        ValueError: It is negative, or the features have another shape or are not finite.

    Example:
        >>> layer_features(torch.tensor([[[0.0, 0.0, 8.0, 8.0]]]), (1, 4), weight=1.0)
        tensor([[[0., 0., 2., 2.]]])
    """
    if features.ndim != 3 or features.numel() == 0:
        raise ValueError(expected("features", "of shape (D,h,w)", f"{tuple(features.shape)}"))
    resized = on_grid(check_finite("features", features), size)
    if weight is None:
        return resized
    check_number("weight", weight, 0.0)
    spread = (features - features.mean(dim=(1, 2), keepdim=True)).abs().mean()
    # Features that are the same everywhere say nothing, at any scale.
    return resized * (weight / torch.where(spread > 0, spread, torch.ones_like(spread)))
