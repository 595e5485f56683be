"""Boxes over pictures: the map with its peaks, the proposals of each step, the true boxes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from torch import Tensor

from captum_cluster._checks import check_integer, expected
from captum_cluster.functional.metrics.regions import box_tensor, pairwise_iou
from captum_cluster.visualization.figures import Panel, panel_grid
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

_LINE, _HALO = 2.0, 4.0  # points
_DASH = 4.0  # line widths, of the dashes of labels that share a box
_PEAK = 9.0  # points of a peak's cross


class Proposed(Protocol):
    """A box of a label with its score, and the peak that it came from, if it came from one."""

    @property
    def label(self) -> int:
        """The label, from 0."""

    @property
    def box(self) -> Sequence[float]:
        """x0, y0, x1, y1 in pixels."""

    @property
    def score(self) -> float | None:
        """How sure it is."""


TrueBoxes: TypeAlias = Sequence[tuple[int, float, float, float, float]]
"""The true boxes (label, x0, y0, x1, y1) of one image."""


def plot_proposals(
    images: Pictures,
    maps: Maps,
    steps: Mapping[str, Sequence[Sequence[Proposed]]],
    truth: Sequence[TrueBoxes] | None = None,
    *,
    present: Tensor | None = None,
    classes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    most: int = 4,
    title: str = "",
) -> Figure:
    """Return a figure with a row for each image: picture, map, the boxes of each step, the truth.

    Boxes have the colour of their label, with a legend below; where several labels have the same
    box, dashes of their colours alternate. Crosses on the map are the peaks of
    all proposals. Below the boxes stand the names, scores, and the IoU of each with the best true
    box of its label.

    Args:
        images: N pictures, not normalised.
        maps: (N,h,w) float, or the labels' maps (N,L,h,w), of which the highest saliency at each
            pixel is shown; or N such maps.
        steps: By name ("selective search", "with the map") the proposals of each image, with
            ``label``, ``box``, ``score`` and, where they have one, ``peak`` (y, x).
        truth: The true boxes (label, x0, y0, x1, y1) of each image (``Scene.boxes``); None without.
        present: (N,L) bool, the labels whose maps count; None: all.
        classes: The names of the L labels; None to number them.
        rows: A name for each row; None without.
        most: Most proposals shown of an image and step, the first ones; at least 1.
        title: Above all.

    Returns:
        The figure, for ``save_figure`` or ``figure_image``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: There is no picture, or numbers do not belong together.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> proposal = SimpleNamespace(label=0, box=(1, 1, 5, 5), score=0.9, peak=(2, 3))
        >>> truth = [[(0, 1.0, 1.0, 5.0, 3.0)]]
        >>> figure = plot_proposals(
        ...     torch.rand(1, 3, 8, 8),
        ...     torch.rand(1, 4, 4),
        ...     {"with the map": [[proposal]]},
        ...     truth,
        ...     classes=["cow"],
        ... )
        >>> figure.axes[2].get_xlabel()
        'cow 0.90, IoU 0.50'

    References:
        Ha and Youn, "Collection-CAM", section IV-F, figure 9.
    """
    pictures = pictures_of(images)
    count, limit = len(pictures), check_integer("most", most, 1)
    heat = one_each("maps", maps, count)
    here = [None] * count if present is None else one_each("present", present, count)
    shown = {
        name: [list(found)[:limit] for found in proposals]
        for name, proposals in steps_of(steps, count).items()
    }
    true = None if truth is None else one_each("truth", truth, count)
    labels = _labels(shown, true or ())
    names = _names(classes, labels)
    lines = []
    for number, picture in enumerate(pictures):
        heated = replace(map_panel(picture, heat[number], here[number]), title="map")
        boxes = None if true is None else true[number]
        made = {name: found[number] for name, found in shown.items()}
        lines.append([Panel(picture, "picture"), heated, *_panels(picture, made, boxes, names)])
    figure = panel_grid(headed(lines), labels=row_names(rows, count), title=title)
    for number in range(count):
        own = figure.axes[number * len(lines[0]) : (number + 1) * len(lines[0])]
        _draw(own[1:], [found[number] for found in shown.values()], true and true[number])
    add_legend(figure, labels, names)
    return figure


def _panels(
    picture: NDArray[np.float32],
    made: Mapping[str, Sequence[Any]],
    truth: TrueBoxes | None,
    names: Sequence[str],
) -> list[Panel]:
    """Return the picture once for the boxes of each step, and once for the true ones."""
    panels = [Panel(picture, name, _words(found, truth, names)) for name, found in made.items()]
    return panels if truth is None else [*panels, Panel(picture, "truth")]


def _draw(axes: Sequence[Axes], made: Sequence[Sequence[Any]], truth: TrueBoxes | None) -> None:
    """Draw the peaks on the first axes, the proposals of each step, the true boxes."""
    peaks = [proposal for found in made for proposal in found]
    for proposal in peaks:
        _cross(axes[0], getattr(proposal, "peak", None))
    for place, found in zip(axes[1:], made, strict=False):
        # The first, which is the best, on top.
        _rectangles(place, [(proposal.label, proposal.box) for proposal in reversed(found)])
    if truth:
        _rectangles(axes[-1], [(label, box) for label, *box in truth])


def _rectangles(axes: Axes, boxes: Sequence[tuple[int, Sequence[float]]]) -> None:
    """Draw boxes in their labels' colours, with dashes that alternate where labels share one."""
    sharing: dict[tuple[float, ...], list[int]] = {}
    for label, box in boxes:
        corners = tuple(map(float, box))
        labels = sharing.pop(corners, [])  # a box has the place of its last label
        sharing[corners] = labels if label in labels else [*labels, label]
    for corners, labels in sharing.items():
        for place, label in enumerate(labels):
            _rectangle(axes, label, corners, place, len(labels))


def _rectangle(
    axes: Axes, label: int, box: Sequence[float], place: int = 0, among: int = 1
) -> None:
    """Draw a box in its label's colour with a white rim, as one of several labels or alone."""
    x0, y0, x1, y1 = box
    # A pixel's centre is at a whole number in the axes, and at a half in a box.
    patch = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, linewidth=_LINE)
    patch.set_edgecolor(label_colour(label))
    if place == 0:
        patch.set_path_effects([withStroke(linewidth=_HALO, foreground="white")])
    else:  # over the line of the first, which shows in between
        patch.set_linestyle((_DASH * (among - place), (_DASH, _DASH * (among - 1))))
    axes.add_patch(patch)


def _cross(axes: Axes, peak: Sequence[float] | None) -> None:
    """Mark a peak (y, x)."""
    if peak is not None:
        y, x = peak
        (line,) = axes.plot([x], [y], "+", color="black", markersize=_PEAK, markeredgewidth=1.5)
        line.set_path_effects([withStroke(linewidth=_HALO, foreground="white")])


def _labels(made: Mapping[str, Sequence[Sequence[Any]]], truth: Sequence[Any]) -> list[int]:
    """Return the labels of all boxes shown, in ascending order."""
    proposed = {box.label for step in made.values() for found in step for box in found}
    return sorted(proposed | {box[0] for boxes in truth for box in boxes or ()})


def _names(classes: Sequence[str] | None, labels: Sequence[int]) -> list[str]:
    """Return the names of all labels up to the highest."""
    least = max(labels, default=-1) + 1
    names = class_names(classes, least if classes is None else len(classes))
    if len(names) < least:
        what = f"names of at least {least} labels, the highest of the boxes"
        raise ValueError(expected("classes", what, len(names)))
    return names


def _words(found: Sequence[Any], truth: TrueBoxes | None, names: Sequence[str]) -> str:
    """Return the name, score and IoU of each proposal, one to a line."""
    return "\n".join(_line(proposal, truth, names) for proposal in found) or "none"


def _line(proposal: Any, truth: TrueBoxes | None, names: Sequence[str]) -> str:
    """Return the name, score and IoU of a proposal."""
    words = str(names[proposal.label])
    score = proposal.score
    if score is not None and not math.isnan(score):
        words += f" {float(score):.2f}"
    if truth is None:
        return words
    own = [box[1:] for box in truth if box[0] == proposal.label]
    overlap = _best_iou(proposal.box, own)
    return f"{words}, IoU {overlap:.2f}"


def _best_iou(box: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """Return the IoU of a box with the nearest of others, 0 without."""
    if not others:
        return 0.0
    found = pairwise_iou(box_tensor("box", [list(map(float, box))]), box_tensor("truth", others))
    return float(found.max())
