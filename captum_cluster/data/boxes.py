"""Boxes in pixels, clipped to an image.

A box is (x0, y0, x1, y1) in pixels, where pixel ``i`` reaches from ``i`` to ``i + 1``: the whole
image is (0, 0, W, H), and ``image[:, y0:y1, x0:x1]`` is the crop of a box of whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Box: TypeAlias = tuple[float, float, float, float]
"""(x0, y0, x1, y1)."""

LabelledBox: TypeAlias = tuple[int, float, float, float, float]
"""(label, x0, y0, x1, y1)."""


def clip_boxes(boxes: Iterable[LabelledBox], size: Sequence[int]) -> tuple[LabelledBox, ...]:
    """Return the parts of the boxes that lie in an image of (H,W) pixels.

    Boxes without any part there are left out, as are those without width or height and those with
    a corner that is no finite number.

    Args:
        boxes: (label, x0, y0, x1, y1) in pixels.
        size: Height and width of the image.

    Example:
        >>> clip_boxes([(3, -2.0, 1.0, 2.5, 9.0), (3, 4.0, 0.0, 6.0, 2.0)], (4, 4))
        ((3, 0.0, 1.0, 2.5, 4.0),)
    """
    height, width = size
    clipped = []
    for label, x0, y0, x1, y1 in boxes:
        if not all(map(math.isfinite, (x0, y0, x1, y1))):
            continue
        left, right = max(0.0, float(x0)), min(float(width), float(x1))
        top, bottom = max(0.0, float(y0)), min(float(height), float(y1))
        if left < right and top < bottom:
            clipped.append((label, left, top, right, bottom))
    return tuple(clipped)
