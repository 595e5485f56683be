"""What the sub-categories of a label have in common: examples of each, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from captum_cluster._checks import check_finite, check_integer, describe, expected
from captum_cluster.visualization.figures import Panel, panel_grid
from captum_cluster.visualization.overlays import Picture, to_rgb, to_uint8
from captum_cluster.visualization.training_figures.checking import class_names

Pictures: TypeAlias = Sequence[Picture] | Callable[[int], Picture]
"""The pictures by number, or a function that gives the picture of a number."""

_SIDE, _GAP = 128, 4  # pixels of an example and between examples
_MOST_COLUMNS = 5  # sub-categories beside each other; more continue below


def plot_sub_categories(
    pictures: Pictures,
    assignments: Tensor,
    *,
    labels: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    sub_categories: int | None = 3,
    examples: int = 8,
    features: Tensor | None = None,
    title: str = "",
) -> Figure:
    r"""Return a figure with example images of the sub-categories of some labels.

    A row for each label, or several where there are more than five sub-categories; in it the
    largest sub-categories first, each with its number and its number of images.

    Args:
        pictures: The image of each number from 0 to N-1, not normalised, or a function that gives
            it (``lambda number: dataset[number].image``): only those shown are asked for.
        assignments: (N,L) integer, the sub-category of each image for each label, -1 where the
            label is absent; what ``sub_category_assignments`` returns.
        labels: The labels shown, in this order; None: all that have an image.
        classes: The names of all L labels; None to number them.
        sub_categories: Most sub-categories shown of a label, at least 1; None: all.
        examples: Most images shown of a sub-category, at least 1.
        features: (N,D) float, what was clustered: the images nearest to the mean of their
            sub-category are shown, the nearest first. None: images evenly spread over it, by
            number.
        title: Above all.

    Returns:
        The figure, for ``save_figure`` or ``figure_image``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A number is out of range, sizes do not belong together, no label shown has an
            image, or a picture is none.

    Example:
        >>> pictures = torch.rand(6, 3, 16, 16)
        >>> assignments = torch.tensor([[0], [0], [1], [-1], [0], [1]])
        >>> figure = plot_sub_categories(pictures, assignments, classes=["cow"])
        >>> [axes.get_title() for axes in figure.axes]
        ['sub-category 0\n3 images', 'sub-category 1\n2 images']

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        figure 5.
    """
    table = _table(assignments)
    names = class_names(classes, table.shape[1])
    most = None if sub_categories is None else check_integer("sub_categories", sub_categories, 1)
    source = _Source(
        _getter(pictures, len(table)),
        check_integer("examples", examples, 1),
        _features(features, len(table)),
    )
    rows: list[list[Panel | None]] = []
    titles: list[str] = []
    for label in _labels(labels, table):
        lines = _lines(_panels(source, table[:, label], most))
        rows += lines
        titles += [names[label], *[""] * (len(lines) - 1)]
    return panel_grid(rows, labels=titles, title=title)


@dataclass(frozen=True, eq=False)
class _Source:
    """Where examples come from, how many, and what tells the typical ones."""

    picture: Callable[[int], Picture]
    examples: int
    features: Tensor | None

    def choose(self, members: Tensor) -> list[int]:
        """Return the numbers of the examples of a sub-category's images (M,)."""
        count = min(self.examples, len(members))
        if self.features is None:
            spread = [place * len(members) // count for place in range(count)]
            return [int(number) for number in members[spread]]
        own = self.features[members]
        distance = (own - own.mean(dim=0)).norm(dim=1)
        return [int(number) for number in members[distance.argsort(stable=True)[:count]]]


def _table(assignments: Any) -> Tensor:
    """Return the assignments (N,L) on the CPU."""
    what = "an integer tensor (N,L)"
    if not isinstance(assignments, Tensor) or assignments.dtype in (torch.bool, torch.uint8):
        raise TypeError(expected("assignments", what, describe(assignments)))
    if assignments.is_floating_point() or assignments.is_complex():
        raise TypeError(expected("assignments", what, describe(assignments)))
    if assignments.ndim != 2 or not assignments.numel():
        raise ValueError(expected("assignments", what, describe(assignments)))
    return assignments.detach().cpu()


def _getter(pictures: Any, count: int) -> Callable[[int], Picture]:
    """Return the function that gives a picture by its number."""
    if isinstance(pictures, (Tensor, np.ndarray)) or (
        isinstance(pictures, Sequence) and not isinstance(pictures, (str, bytes))
    ):
        if len(pictures) != count:
            what = f"one picture for each of the {count} images assigned"
            raise ValueError(expected("pictures", what, len(pictures)))
        getter: Callable[[int], Picture] = pictures.__getitem__
        return getter
    if not callable(pictures):
        what = "a sequence of pictures, or a function of their number"
        raise TypeError(expected("pictures", what, describe(pictures)))
    return pictures  # type: ignore[no-any-return]


def _features(features: Any, count: int) -> Tensor | None:
    """Return the features (N,D) on the CPU."""
    if features is None:
        return None
    what = f"a float tensor ({count},D), a row for each image"
    if not isinstance(features, Tensor) or not features.is_floating_point():
        raise TypeError(expected("features", what, describe(features)))
    if features.ndim != 2 or len(features) != count:
        raise ValueError(expected("features", what, describe(features)))
    return check_finite("features", features.detach().cpu().double())


def _labels(labels: Any, table: Tensor) -> list[int]:
    """Return the labels that are shown: those asked for, of those that have an image."""
    what = "a list of labels"
    if labels is not None and (isinstance(labels, str) or not isinstance(labels, Sequence)):
        raise TypeError(expected("labels", what, describe(labels)))
    wanted = range(table.shape[1]) if labels is None else labels
    numbers = [check_integer("labels", one, 0, table.shape[1] - 1) for one in wanted]
    shown = [label for label in numbers if bool((table[:, label] >= 0).any())]
    if not shown:
        raise ValueError(expected("assignments", "those of an image with a label shown", "none"))
    return shown


def _panels(source: _Source, assigned: Tensor, most: int | None) -> list[Panel]:
    """Return a panel for each sub-category of one label, the largest first."""
    counts = assigned[assigned >= 0].bincount()
    order = counts.argsort(descending=True, stable=True)[: int(counts.count_nonzero())]
    return [_panel(source, assigned, int(number)) for number in order[:most]]


def _panel(source: _Source, assigned: Tensor, number: int) -> Panel:
    """Return the examples of one sub-category."""
    members = (assigned == number).nonzero().flatten()
    pictures = [_square(source.picture(one)) for one in source.choose(members)]
    count = "1 image" if len(members) == 1 else f"{len(members)} images"
    return Panel(_mosaic(pictures, source.examples), f"sub-category {number}\n{count}")


def _square(picture: Picture) -> NDArray[np.uint8]:
    """Return a picture as a square, whole, with white bars where it is not square."""
    image = Image.fromarray(to_uint8(to_rgb(picture, "a picture")))
    return np.asarray(ImageOps.pad(image, (_SIDE, _SIDE), color="white"))


def _mosaic(pictures: Sequence[NDArray[np.uint8]], places: int) -> NDArray[np.uint8]:
    """Return pictures in a grid about twice as wide as high, with white where there is none."""
    rows = max(1, round((places / 2) ** 0.5))
    columns = -(-places // rows)
    step = _SIDE + _GAP
    grid = np.full((rows * step - _GAP, columns * step - _GAP, 3), 255, dtype=np.uint8)
    for place, picture in enumerate(pictures):
        top, left = step * (place // columns), step * (place % columns)
        grid[top : top + _SIDE, left : left + _SIDE] = picture
    return grid


def _lines(panels: list[Panel]) -> list[list[Panel | None]]:
    """Return panels in lines of at most five."""
    starts = range(0, len(panels), _MOST_COLUMNS)
    return [[*panels[start : start + _MOST_COLUMNS]] for start in starts]
