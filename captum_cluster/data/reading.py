"""Scenes read from a picture and what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.functional import to_tensor

from captum_cluster._checks import expected
from captum_cluster.data.boxes import LabelledBox, clip_boxes
from captum_cluster.data.images import load_image
from captum_cluster.data.scene import Scene


def read_scene(
    file: Path,
    present: Iterable[int],
    num_labels: int,
    *,
    name: str,
    upright: bool = False,
    boxes: Iterable[LabelledBox] | None = None,
    annotated_size: tuple[int, int] | None = None,
    masks: Mapping[int, Tensor] | None = None,
    ignore: Tensor | None = None,
    objects: Tensor | None = None,
) -> Scene:
    """Return a picture as a scene.

    Args:
        file: The picture.
        present: The labels present, each below ``num_labels``.
        num_labels: L.
        name: The scene's.
        upright: Whether the EXIF orientation is applied; annotations refer to stored pixels.
        boxes: Clipped to the picture; those outside are left out.
        annotated_size: Height and width that the boxes refer to, if not the picture's own.
        masks: (H,W) bool of each label, of the picture's size.
        ignore: (H,W) bool.
        objects: (M,H,W) bool.

    Raises:
        ValueError: The picture is damaged, or the annotation does not fit; the message names it.
        OSError: The picture cannot be read.
    """
    image = to_tensor(load_image(file, upright=upright))
    size = image.shape[1], image.shape[2]
    labels = torch.zeros(num_labels, dtype=torch.bool)
    labels[list(present)] = True
    if boxes is not None:
        boxes = clip_boxes(_scaled(boxes, annotated_size or size, size), size)
    for mask in (*(masks or {}).values(), *(() if ignore is None else (ignore,))):
        if mask.shape != size:
            what = f"of the picture's height and width {size}"
            got = f"{tuple(mask.shape)} for {str(file)!r}"
            raise ValueError(expected("the annotated pixels", what, got))
    return Scene(image, labels, masks, name, boxes, ignore, objects)


def split_labels(index: NDArray[np.int64], label_of: Mapping[int, int]) -> dict[int, Tensor]:
    """Return the pixels (H,W) bool of each label in an index mask (H,W).

    Args:
        index: The numbers in the mask.
        label_of: The label of each number; others are left out.

    Example:
        >>> split_labels(np.array([[0, 7], [9, 7]]), {7: 0, 8: 1})
        {0: tensor([[False,  True],
                [False,  True]])}
    """
    found = [int(number) for number in np.unique(index)]
    return {
        label_of[number]: torch.from_numpy(index == number)
        for number in found
        if number in label_of
    }


def _scaled(
    boxes: Iterable[LabelledBox], annotated: tuple[int, int], size: tuple[int, int]
) -> Iterable[LabelledBox]:
    y, x = size[0] / annotated[0], size[1] / annotated[1]
    return ((label, x0 * x, y0 * y, x1 * x, y1 * y) for label, x0, y0, x1, y1 in boxes)
