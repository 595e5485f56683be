"""An image at several sizes and mirrored: how it is seen, and how the maps come together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_cluster._checks import check_flag, check_number, describe, expected
from captum_cluster.functional.attribution.grids import upsample
from captum_cluster.functional.attribution.merging import unit_positive


@dataclass(frozen=True)
class View:
    """One way to see an image.

    Attributes:
        size: Height and width at which it is seen; of signals the length, of volumes the sides.
        mirrored: Left and right are exchanged.
    """

    size: tuple[int, ...]
    mirrored: bool = False

    def of(self, images: Tensor) -> Tensor:
        """Return images (N,c,H,W) as they are seen, (N,c,*size); those of this size unchanged.

        Bilinear; a smaller view averages what it leaves out (antialias), as PIL does.
        """
        seen = images if tuple(images.shape[2:]) == self.size else _resized(images, self.size)
        return seen.flip(-1) if self.mirrored else seen

    def back(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        """Return the view's maps (...,h,w) as those of the image: rectified, (...,*size)."""
        positive = maps.relu()
        positive = positive.flip(-1) if self.mirrored else positive
        return positive if positive.shape[-2:] == tuple(size) else upsample(positive, size)


@dataclass(frozen=True)
class Views:
    """Views of an image: each scale, as it is and mirrored.

    Attributes:
        scales: Of height and width, each above 0.
        flip: See each of them mirrored too.

    Raises:
        TypeError: ``scales`` is no list of numbers, or ``flip`` no bool.
        ValueError: There is no scale, or one that is not above 0.

    Example:
        >>> views = Views([0.5, 1.0])
        >>> [(view.size, view.mirrored) for view in views.at((8, 12))]
        [((4, 6), False), ((4, 6), True), ((8, 12), False), ((8, 12), True)]

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        the authors' code.
    """

    scales: Sequence[float] = (0.5, 1.0, 1.5, 2.0)
    flip: bool = True

    def __post_init__(self) -> None:
        given = self.scales
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
            raise TypeError(expected("scales", "a list of numbers", describe(given)))
        if not len(given):
            raise ValueError(expected("scales", "a list of at least one number", "an empty one"))
        checked = tuple(check_number("each of scales", one, 0.0, open_low=True) for one in given)
        object.__setattr__(self, "scales", checked)
        check_flag("flip", self.flip)

    def at(self, size: Sequence[int]) -> list[View]:
        """Return the views of images of a size, (H,W): rounded, at least one pixel each way."""
        sides = (False, True) if self.flip else (False,)
        return [
            View(tuple(max(1, round(scale * length)) for length in size), mirrored)
            for scale in self.scales
            for mirrored in sides
        ]


def _resized(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return images (N,c,*grid) resized linearly to (N,c,*size), averaging what is left out."""
    smaller = any(now < before for now, before in zip(size, images.shape[2:], strict=True))
    # The averaging kernels know no half precision.
    wide = images.to(torch.promote_types(images.dtype, torch.float32))
    if len(size) == 2:
        seen = F.interpolate(wide, size, mode="bilinear", align_corners=False, antialias=smaller)
    else:  # there is no antialias for signals and volumes
        seen = F.interpolate(wide, size, mode="area") if smaller else upsample(wide, size)
    return seen.to(images.dtype)


def sum_views(maps: Sequence[Tensor]) -> Tensor:
    """Return the sum of the views' maps (...,H,W), each ``View.back``, divided by its maximum.

    Args:
        maps: One for each view, at least one.

    Returns:
        (...,H,W) from 0 to 1; 0 where all are 0.

    Raises:
        ValueError: There are none, or their shapes differ.

    Example:
        >>> sum_views([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0]])])
        tensor([[1.0000, 0.5000]])
    """
    shapes = {tuple(part.shape) for part in maps}
    if len(shapes) != 1:
        got = ", ".join(map(str, sorted(shapes))) or "none"
        raise ValueError(expected("maps", "of one shape, and at least one", got))
    return unit_positive(torch.stack(list(maps)).sum(dim=0))
