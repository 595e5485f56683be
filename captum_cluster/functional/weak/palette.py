"""The colours of PASCAL VOC's palette, by which masks of classes are drawn everywhere."""

from __future__ import annotations

import torch
from torch import Tensor


def voc_palette() -> Tensor:
    """Return PASCAL VOC's colour of each number, (256,3) uint8: red, green, blue.

    The bits of a number are dealt out to red, green and blue in turn, the lowest three to the
    highest bit of each: 0, the background, is black, 1 dark red, and 255, uncertain, ivory.

    Example:
        >>> voc_palette()[[0, 1, 15, 255]].tolist()
        [[0, 0, 0], [128, 0, 0], [192, 128, 128], [224, 224, 192]]

    References:
        Everingham et al., "PASCAL VOC", the development kit's ``VOClabelcolormap``.
    """
    numbers = torch.arange(256)
    colours = torch.zeros(256, 3, dtype=torch.long)
    for place in range(8):
        for channel in range(3):
            bit = numbers >> (3 * place + channel) & 1
            colours[:, channel] |= bit << (7 - place)
    return colours.to(torch.uint8)
