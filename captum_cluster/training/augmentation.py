"""Random changes of training images: a sample's own, whatever batch or process it is in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import functional as vision

from captum_cluster._checks import check_flag, check_number, expected


@dataclass(frozen=True)
class Augmentation:
    """Random flips, windows of random size and place, and changes of colour; all off by default.

    What is drawn for an image depends on the generator alone, so that a sample can have its own in
    each epoch, whatever the order and the number of processes. The labels stay as they are: a
    window may miss an object.

    Args:
        flip: Mirror every other image, left to right.
        scale: The window's height and width as a share of the image's, drawn between these two,
            from above 0 to 1; the window lies anywhere inside and is resized to the image's size.
        jitter: Brightness, contrast and saturation are each multiplied by 1 - jitter to
            1 + jitter, from 0 to 1.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range.

    Example:
        >>> image = torch.rand(3, 8, 8)
        >>> torch.equal(Augmentation()(image, torch.Generator()), image)
        True
        >>> changed = Augmentation(flip=True, scale=(0.5, 1), jitter=0.3)
        >>> changed(image, torch.Generator().manual_seed(0)).shape
        torch.Size([3, 8, 8])
    """

    flip: bool = False
    scale: tuple[float, float] = (1.0, 1.0)
    jitter: float = 0.0

    def __post_init__(self) -> None:
        check_flag("flip", self.flip)
        check_number("jitter", self.jitter, 0.0, 1.0)
        low, high = _pair(self.scale)
        check_number("scale[0]", low, 0.0, 1.0, open_low=True)
        check_number("scale[1]", high, 0.0, 1.0, open_low=True)
        if low > high:
            raise ValueError(expected("scale", "the smaller share first", f"({low:g}, {high:g})"))

    def __bool__(self) -> bool:
        """Return whether anything is changed at all."""
        return self.flip or self.jitter > 0 or min(self.scale) < 1

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the changed image.

        Args:
            image: (3,H,W) float in [0,1].
            generator: Source of all that is drawn; seven numbers for each image.

        Returns:
            A new tensor of the same shape in [0,1], or the image itself where nothing is changed.
        """
        if not self:
            return image
        draws = torch.rand(7, generator=generator).tolist()
        return self._coloured(self._moved(image, draws, "bilinear"), draws[4:])

    def with_mask(
        self, image: Tensor, mask: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the image changed as by a call, and a mask mirrored and cut as the image is.

        Args:
            image: (3,H,W) float in [0,1].
            mask: (H,W) integers, of which each pixel takes the nearest one's: no number is new.
            generator: As in a call, with the same draws.

        Raises:
            ValueError: The sizes differ.

        Example:
            >>> flip, mask = Augmentation(flip=True), torch.tensor([[1, 2]])
            >>> flip.with_mask(torch.rand(3, 1, 2), mask, torch.Generator().manual_seed(0))[1]
            tensor([[2, 1]])
        """
        if mask.shape != image.shape[-2:]:
            what = f"of the image's size {tuple(image.shape[-2:])}"
            raise ValueError(expected("mask", what, tuple(mask.shape)))
        if not self:
            return image, mask
        draws = torch.rand(7, generator=generator).tolist()
        # Whole numbers up to 2**53 survive as doubles, which all kinds of interpolation take.
        moved = self._moved(mask[None].double(), draws, "nearest-exact")[0].to(mask)
        return self._coloured(self._moved(image, draws, "bilinear"), draws[4:]), moved

    def _moved(self, image: Tensor, draws: list[float], mode: str) -> Tensor:
        """Return an image (C,H,W), mirrored and cut to its window as was drawn."""
        if self.flip and draws[0] < 0.5:
            image = image.flip(-1)
        return self._window(image, *draws[1:4], mode=mode)

    def _window(
        self, image: Tensor, share: float, down: float, right: float, *, mode: str
    ) -> Tensor:
        low, high = self.scale
        height, width = image.shape[-2:]
        share = low + (high - low) * share
        rows, columns = (max(1, math.ceil(side * share)) for side in (height, width))
        if (rows, columns) == (height, width):
            return image
        top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
        cut = image[None, :, top : top + rows, left : left + columns]
        corners = False if mode == "bilinear" else None
        return F.interpolate(cut, (height, width), mode=mode, align_corners=corners)[0]

    def _coloured(self, image: Tensor, draws: list[float]) -> Tensor:
        if not self.jitter:
            return image
        changes = (vision.adjust_brightness, vision.adjust_contrast, vision.adjust_saturation)
        for change, draw in zip(changes, draws, strict=True):
            image = change(image, 1 + self.jitter * (2 * draw - 1))
        return image


def _pair(scale: object) -> tuple[float, float]:
    if not isinstance(scale, tuple | list) or len(scale) != 2:
        raise TypeError(expected("scale", "two numbers", repr(scale)))
    return scale[0], scale[1]
