"""Pseudo masks and boxes in files that the standard tools read: palette PNGs and COCO's JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from captum_cluster._checks import describe, expected
from captum_cluster._files import write_whole
from captum_cluster.functional.weak.palette import voc_palette


def save_palette_png(mask: Tensor | NDArray[Any], path: str | os.PathLike[str]) -> Path:
    """Write a mask as an 8-bit PNG with PASCAL VOC's palette, and return the file's path.

    The pixels are the numbers themselves: Pillow and torchvision's ``VOCSegmentation`` read them
    back, and an image viewer shows VOC's colours. Written whole or not at all: an interruption
    leaves no half of a file, so a run can go on where files are missing.

    Args:
        mask: (H,W) integers from 0 to 255: 0 for background, label l as l + 1, 255 for uncertain
            pixels.
        path: Ends in .png; its folder exists.

    Raises:
        TypeError: ``mask`` holds no integers, or ``path`` is no path.
        ValueError: The shape or a number is another, or ``path`` ends otherwise.
        FileNotFoundError: The folder does not exist.
        IsADirectoryError: ``path`` is a directory.

    Example:
        >>> import tempfile
        >>> import torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = save_palette_png(torch.tensor([[0, 1, 255]]), f"{folder}/mask.png")
        ...     read = Image.open(file).copy()
        >>> read.mode, np.asarray(read).tolist(), read.convert("RGB").getpixel((1, 0))
        ('P', [[0, 1, 255]], (128, 0, 0))
    """
    numbers = _numbers(mask)
    file = _file(path, ".png")
    image = Image.fromarray(numbers.astype(np.uint8)).convert("L")
    image.putpalette(voc_palette().flatten().tolist())
    return write_whole(file, lambda draft: image.save(draft, optimize=True))


def save_coco(
    content: Mapping[str, Any] | Sequence[Mapping[str, Any]], path: str | os.PathLike[str]
) -> Path:
    """Write a data set, or results, in COCO's form as JSON, and return the file's path.

    Written whole or not at all.

    Args:
        content: From ``coco_dataset`` (what ``pycocotools.coco.COCO`` and torchvision's
            ``CocoDetection`` open) or ``coco_results`` (what ``COCO.loadRes`` opens).
        path: Ends in .json; its folder exists.

    Raises:
        TypeError: ``content`` is neither a mapping nor a list, or ``path`` is no path.
        ValueError: ``path`` ends otherwise, or a number in ``content`` is not finite.
        FileNotFoundError: The folder does not exist.
        IsADirectoryError: ``path`` is a directory.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_coco({"images": []}, f"{folder}/instances.json").read_text().strip()
        '{"images": []}'
    """
    if isinstance(content, (str, bytes)) or not isinstance(content, (Mapping, Sequence)):
        raise TypeError(expected("content", "a COCO data set or its results", describe(content)))
    file = _file(path, ".json")
    text = json.dumps(content, allow_nan=False) + "\n"
    return write_whole(file, lambda draft: draft.write_text(text, encoding="utf-8"))


def _numbers(mask: Any) -> NDArray[Any]:
    """Return a mask (H,W) of numbers from 0 to 255."""
    numbers = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else mask
    if not isinstance(numbers, np.ndarray) or numbers.dtype.kind not in "ui":
        got = describe(mask) if isinstance(mask, Tensor) else describe(numbers)
        raise TypeError(expected("mask", "a tensor or array of integers (H,W)", got))
    if numbers.ndim != 2 or not numbers.size:
        raise ValueError(expected("mask", "of shape (H,W)", f"{numbers.shape}"))
    if numbers.min() < 0 or numbers.max() > 255:
        what = "of numbers from 0 to 255 (of more labels COCO's form holds the masks)"
        got = f"numbers from {numbers.min()} to {numbers.max()}"
        raise ValueError(expected("mask", what, got))
    return numbers


def _file(path: object, suffix: str) -> Path:
    """Return the path of a file to be written."""
    what = f"a file name ending in {suffix}"
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(expected("path", what, describe(path)))
    file = Path(path)
    if file.suffix.lower() != suffix:
        raise ValueError(expected("path", what, repr(str(file))))
    if not file.parent.is_dir():
        raise FileNotFoundError(expected("path", "in an existing folder", repr(str(file))))
    if file.is_dir():
        raise IsADirectoryError(expected("path", "a file", f"the directory {str(file)!r}"))
    return file
