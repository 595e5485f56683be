"""Pseudo masks over pictures: the map, each step of the refinement, the true segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from captum_cluster._checks import check_number, describe, expected
from captum_cluster.functional.metrics.segmentation import confusion, mean_iou_compute
from captum_cluster.functional.weak.uncertain import UNCERTAIN, uncertain_number
from captum_cluster.visualization.figures import Panel, panel_grid
from captum_cluster.visualization.overlays import to_uint8
from captum_cluster.visualization.training_figures.checking import class_names
from captum_cluster.visualization.weak_figures.inputs import (
    Maps,
    Pictures,
    headed,
    map_panel,
    one_each,
    pictures_of,
    row_names,
    steps_of,
)
from captum_cluster.visualization.weak_figures.legend import add_legend, label_colour

_FADED = 0.35  # of a background's colour that is left
_STRIPES, _GREY = 64, 0.5  # stripes of uncertain pixels along the shorter side, and their colour

Masks: TypeAlias = Tensor | Sequence[Tensor]
"""N masks (H,W) of integers."""


def plot_pseudo_masks(
    images: Pictures,
    maps: Maps | None,
    steps: Mapping[str, Masks],
    truth: Masks | None = None,
    *,
    present: Tensor | None = None,
    classes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    alpha: float = 0.7,
    ignore_index: int | None = None,
    title: str = "",
) -> Figure:
    """Return a figure with a row for each image: picture, map, the mask after each step, the truth.

    Masks are drawn over the picture, its background pale, in the colours of VOC's palette, with a
    legend below; uncertain pixels are striped. Below each mask stands its mIoU with the truth, over
    the image's own classes and the background: uncertain pixels of the truth do not count, those of
    a mask count as background.

    Args:
        images: N pictures, not normalised.
        maps: (N,h,w) float, or the labels' maps (N,L,h,w), of which the highest saliency at each
            pixel is shown; or N such maps; None without.
        steps: What is shown, by name: (N,H,W) integers or N masks (H,W) of the pictures' sizes, 0
            for background, label l as l + 1 (``PseudoMasks.labels``).
        truth: The true masks, of the same form; None without.
        present: (N,L) bool, the labels whose maps count; None: all.
        classes: The names of the L labels; None to number them.
        rows: A name for each row; None without.
        alpha: Share of the colour, from 0 to 1.
        ignore_index: The number of uncertain pixels, none of 0 to L. None: as ``pseudo_masks``
            makes them, 255, or -1 from 255 labels on. L is the number of ``classes``, without them
            that of the labels' maps, and without those the highest number of the masks.
        title: Above all.

    Returns:
        The figure, for ``save_figure`` or ``figure_image``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: There is no picture, or numbers or sizes do not belong together.

    Example:
        >>> images, maps = torch.rand(2, 3, 8, 8), torch.rand(2, 4, 4)
        >>> masks = torch.zeros(2, 8, 8, dtype=torch.long)
        >>> masks[:, 2:5, 2:5] = 1
        >>> figure = plot_pseudo_masks(images, maps, {"+ CRF": masks}, masks, classes=["cow"])
        >>> [axes.get_title() for axes in figure.axes[:4]], figure.axes[2].get_xlabel()
        (['picture', 'map', '+ CRF', 'truth'], 'mIoU 1.00')
    """
    pictures = pictures_of(images)
    count = len(pictures)
    heat = [None] * count if maps is None else one_each("maps", maps, count)
    here = [None] * count if present is None else one_each("present", present, count)
    made = {
        name: _masks(f"the mask of {name!r}", masks, pictures)
        for name, masks in steps_of(steps, count).items()
    }
    true = [] if truth is None else _masks("truth", one_each("truth", truth, count), pictures)
    labels = _count_labels(classes, heat, [*chain(*made.values()), *true], ignore_index)
    unsure = uncertain_number(ignore_index, labels)
    drawing = _Drawing(check_number("alpha", alpha, 0.0, 1.0), unsure)
    lines = []
    for number, picture in enumerate(pictures):
        panels = [Panel(picture, "picture")]
        if maps is not None:
            panels.append(replace(map_panel(picture, heat[number], here[number]), title="map"))
        found = {name: masks[number] for name, masks in made.items()}
        lines.append([*panels, *drawing.panels(picture, found, true[number] if true else None)])
    figure = panel_grid(headed(lines), labels=row_names(rows, count), title=title)
    drawing.legend(figure, classes)
    return figure


class _Drawing:
    """Draws masks, and remembers which labels it drew."""

    def __init__(self, alpha: float, ignored: int) -> None:
        self.alpha = alpha
        self.ignored = ignored
        self.labels: set[int] = set()
        self.uncertain = False

    def panels(
        self, picture: NDArray[np.float32], found: Mapping[str, Tensor], truth: Tensor | None
    ) -> list[Panel]:
        """Return the panels of an image's masks, the true one last."""
        panels = []
        for name, mask in found.items():
            over = self._over(f"the mask of {name!r}", picture, mask)
            panels.append(Panel(over, name, self._agreement(mask, truth)))
        if truth is not None:
            panels.append(Panel(self._over("truth", picture, truth), "truth"))
        return panels

    def _over(self, name: str, picture: NDArray[np.float32], mask: Tensor) -> NDArray[np.uint8]:
        """Return the picture with the mask's labels in colour."""
        if bool(((mask < 0) & (mask != self.ignored)).any()):
            what = f"of numbers from 0, or {self.ignored}"
            raise ValueError(expected(name, what, int(mask.min())))
        drawn = 1 - _FADED * (1 - picture)  # the background pale
        for number in torch.unique(mask).tolist():
            if number == 0:
                continue
            where = (mask == number).numpy()
            if number == self.ignored:
                self.uncertain = True
                drawn[where] = _stripes(mask.shape)[where]
                continue
            self.labels.add(number - 1)
            colour = np.asarray(label_colour(number - 1))
            drawn[where] = (1 - self.alpha) * picture[where] + self.alpha * colour
        return to_uint8(drawn)

    def _agreement(self, mask: Tensor, truth: Tensor | None) -> str:
        """Return a mask's mIoU with the truth, in words; uncertain pixels are background."""
        known = None if truth is None else truth != self.ignored
        if truth is None or known is None or not bool(known.any()):
            return ""
        found = mask.masked_fill(mask == self.ignored, 0)
        classes = 1 + max(int(found.max()), int(truth[known].max()))
        return f"mIoU {float(mean_iou_compute(confusion(found, truth, known, classes))):.2f}"

    def legend(self, figure: Figure, classes: Sequence[str] | None) -> None:
        """Write below the figure which colour is what."""
        most = max(self.labels, default=-1) + 1
        names = class_names(classes, most if classes is None else len(classes))
        if len(names) < most:
            what = f"names of at least {most} labels, the highest of the masks"
            raise ValueError(expected("classes", what, len(names)))
        add_legend(figure, sorted(self.labels), names, uncertain=self.uncertain)


def _stripes(size: Sequence[int]) -> NDArray[np.float32]:
    """Return (H,W,1) white with grey stripes, which no label and no picture has."""
    y, x = np.indices(size)
    width = max(1, min(size) // _STRIPES)
    return np.where((x + y) // width % 3 == 0, _GREY, 1.0)[..., None].astype(np.float32)


def _count_labels(
    classes: Sequence[str] | None, maps: Sequence[Any], masks: Sequence[Tensor], ignored: int | None
) -> int:
    """Return how many labels there are, by their names, by the maps, or by the masks."""
    if classes is not None:
        return len(classes)
    known = [len(one) for one in maps if isinstance(one, Tensor) and one.ndim == 3]
    unsure = UNCERTAIN if ignored is None else ignored
    certain = [mask[mask != unsure] for mask in masks]
    return max(known or [int(numbers.max()) for numbers in certain if len(numbers)], default=0)


def _masks(
    name: str, masks: Sequence[Any], pictures: Sequence[NDArray[np.float32]]
) -> list[Tensor]:
    """Return masks of the pictures' sizes as int64 on the CPU."""
    return [
        _mask(name, mask, picture.shape[:2]) for mask, picture in zip(masks, pictures, strict=True)
    ]


def _mask(name: str, mask: Any, size: Sequence[int]) -> Tensor:
    """Return a mask (H,W) of the picture's size as int64 on the CPU."""
    if isinstance(mask, np.ndarray):
        mask = torch.from_numpy(mask)
    if not isinstance(mask, Tensor) or mask.is_floating_point() or mask.dtype == torch.bool:
        raise TypeError(expected(name, "an integer tensor (H,W)", describe(mask)))
    if mask.shape != tuple(size):
        what = f"of the picture's size {tuple(size)}"
        raise ValueError(expected(name, what, f"{tuple(mask.shape)}"))
    return mask.detach().cpu().long()
