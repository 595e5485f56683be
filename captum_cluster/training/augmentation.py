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
        if self.flip and draws[0] < 0.5:
            image = image.flip(-1)
        return self._coloured(self._window(image, *draws[1:4]), draws[4:])

    def _window(self, image: Tensor, share: float, down: float, right: float) -> Tensor:
        low, high = self.scale
        height, width = image.shape[-2:]
        share = low + (high - low) * share
        rows, columns = (max(1, math.ceil(side * share)) for side in (height, width))
        if (rows, columns) == (height, width):
            return image
        top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
        cut = image[None, :, top : top + rows, left : left + columns]
        return F.interpolate(cut, (height, width), mode="bilinear", align_corners=False)[0]

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
