"""Where a scene's picture lies, and the way from the scene back to the pixels stored there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from captum_cluster.data.boxes import Box

_ORIENTATION = 0x0112  # the number of EXIF's tag


@dataclass(frozen=True)
class Turn:
    """How an upright picture becomes the stored one: mirrored, then rows and columns swapped.

    Args:
        left_right: Whether columns are mirrored.
        top_bottom: Whether rows are mirrored.
        swapped: Whether rows become columns.

    Example:
        >>> import torch
        >>> quarter = Turn(left_right=True, swapped=True)
        >>> quarter.pixels(torch.tensor([[1, 2, 3], [4, 5, 6]]))
        tensor([[3, 6],
                [2, 5],
                [1, 4]])
        >>> quarter.box((2, 0, 3, 1), (2, 3))
        (0, 0, 1, 1)
    """

    left_right: bool = False
    top_bottom: bool = False
    swapped: bool = False

    def pixels(self, values: Tensor) -> Tensor:
        """Return values (...,H,W) of the upright picture's pixels as the stored ones lie."""
        axes = [axis for axis, on in ((-2, self.top_bottom), (-1, self.left_right)) if on]
        values = values.flip(axes) if axes else values
        return values.transpose(-2, -1).contiguous() if self.swapped else values

    def box(self, box: Box, size: tuple[int, int]) -> Box:
        """Return a box of the upright picture of (H,W) pixels in the stored one."""
        x0, y0, x1, y1 = box
        if self.left_right:
            x0, x1 = size[1] - x1, size[1] - x0
        if self.top_bottom:
            y0, y1 = size[0] - y1, size[0] - y0
        return (y0, x0, y1, x1) if self.swapped else (x0, y0, x1, y1)


_TURNS = {
    2: Turn(left_right=True),
    3: Turn(left_right=True, top_bottom=True),
    4: Turn(top_bottom=True),
    5: Turn(swapped=True),
    6: Turn(left_right=True, swapped=True),
    7: Turn(left_right=True, top_bottom=True, swapped=True),
    8: Turn(top_bottom=True, swapped=True),
}


@dataclass(frozen=True)
class PictureFile:
    """The picture of a scene.

    Args:
        path: The file.
        root: The folder that its dataset has it from.
        upright: Whether the scene shows it as its EXIF orientation says, not as it is stored.
    """

    path: Path
    root: Path
    upright: bool = False

    @property
    def name(self) -> str:
        """The path below the folder."""
        return self.path.relative_to(self.root).as_posix()

    def turn(self) -> Turn:
        """Return how the scene becomes what other tools read of the file.

        Pillow, torchvision and pycocotools do not turn pictures: masks and boxes for them are
        those of the stored pixels.
        """
        if not self.upright:
            return Turn()
        try:
            with Image.open(self.path) as image:
                return _TURNS.get(image.getexif().get(_ORIENTATION, 1), Turn())
        except Exception:  # a damaged EXIF block turns nothing; see `as_rgb`
            return Turn()
