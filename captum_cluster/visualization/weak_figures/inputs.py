"""Checks of what the figures of masks and of boxes have in common: pictures, maps, names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captum_cluster._checks import describe, expected
from captum_cluster.functional.metrics.segmentation import strongest_labels
from captum_cluster.visualization.figures import Panel
from captum_cluster.visualization.overlays import Picture, overlay, to_rgb

Pictures: TypeAlias = Tensor | Sequence[Picture]
"""N pictures, not normalised."""

Maps: TypeAlias = Tensor | Sequence[Tensor]
"""N maps (h,w), or N times the maps (L,h,w) of the labels."""


def pictures_of(images: Any) -> list[NDArray[np.float32]]:
    """Return pictures (H,W,3) in [0,1].

    Raises:
        TypeError: They are no sequence of pictures.
        ValueError: There is none, or one is no picture.

    Example:
        >>> [picture.shape for picture in pictures_of(torch.rand(2, 3, 4, 5))]
        [(4, 5, 3), (4, 5, 3)]
    """
    what = "a sequence of at least one picture"
    if isinstance(images, (str, bytes)) or not isinstance(images, (Tensor, np.ndarray, Sequence)):
        raise TypeError(expected("images", what, describe(images)))
    if not len(images):
        raise ValueError(expected("images", what, "none"))
    return [to_rgb(image, "a picture") for image in images]


def one_each(name: str, values: Any, count: int) -> list[Any]:
    """Return one value for each picture.

    Raises:
        TypeError: There is no sequence.
        ValueError: There are more or fewer.

    Example:
        >>> one_each("maps", torch.zeros(2, 3, 3), 2)[1].shape
        torch.Size([3, 3])
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, (Tensor, np.ndarray, Sequence)):
        raise TypeError(expected(name, "a sequence", describe(values)))
    if len(values) != count:
        raise ValueError(expected(name, f"one for each of the {count} pictures", len(values)))
    return list(values)


def steps_of(steps: Any, count: int) -> dict[str, list[Any]]:
    """Return for the name of each step what it made of each picture.

    Raises:
        TypeError: They are no mapping, or one is no sequence.
        ValueError: One is not as long as there are pictures.

    Example:
        >>> steps_of({"alone": [1, 2]}, 2)
        {'alone': [1, 2]}
    """
    if not isinstance(steps, Mapping):
        raise TypeError(expected("steps", "a mapping from names to sequences", describe(steps)))
    return {str(name): one_each(f"steps[{name!r}]", made, count) for name, made in steps.items()}


def map_panel(picture: NDArray[np.float32], maps: Any, present: Any) -> Panel:
    """Return the picture under a map (h,w), or under the highest of the present labels' (L,h,w).

    Raises:
        TypeError: The map is no float tensor.
        ValueError: Its shape is another, or not of as many labels as ``present``.

    Example:
        >>> here = torch.tensor([True, False])
        >>> map_panel(np.zeros((4, 4, 3)), torch.rand(2, 2, 2), here).image.shape
        (4, 4, 3)
    """
    if not isinstance(maps, Tensor) or not maps.is_floating_point():
        raise TypeError(expected("maps", "float tensors (h,w) or (L,h,w)", describe(maps)))
    if maps.ndim not in (2, 3):
        raise ValueError(expected("maps", "of shape (h,w) or (L,h,w)", f"{tuple(maps.shape)}"))
    if maps.ndim == 3:
        maps = maps.detach().cpu().float()
        here = torch.ones(len(maps), dtype=torch.bool) if present is None else present.cpu()
        maps = strongest_labels(maps[None], here[None], picture.shape[:2])[0][0]
    return Panel(overlay(picture, maps))


def headed(lines: Sequence[Sequence[Panel]]) -> list[list[Panel]]:
    """Return rows of panels of which only the first keeps its titles.

    Example:
        >>> panel = Panel(np.zeros((2, 2)), "map")
        >>> [row[0].title for row in headed([[panel], [panel]])]
        ['map', '']
    """
    rest = [[replace(panel, title="") for panel in line] for line in lines[1:]]
    return [list(lines[0]), *rest]


def row_names(rows: Any, count: int) -> list[str]:
    """Return a name for each row, empty ones for None.

    Raises:
        TypeError: They are no sequence.
        ValueError: There are more or fewer than rows.

    Example:
        >>> row_names(None, 2)
        ['', '']
    """
    return [""] * count if rows is None else [str(row) for row in one_each("rows", rows, count)]
