"""Pictures side by side, and figures written to files.

Figures are made without pyplot: no global figure list, no change of the backend.
"""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray
from PIL import Image

from captum_cluster._checks import check_integer, check_number, describe, expected
from captum_cluster._files import write_whole
from captum_cluster.visualization.overlays import Picture, to_rgb, to_uint8

_FORMATS = (".png", ".pdf", ".svg")

# Inches, and points for the type: a figure is measured before it is drawn, so nothing overlaps.
_MARGIN = 0.12
_GAP = 0.15
_TITLE_SIZE, _CAPTION_SIZE, _HEADING_SIZE = 10.0, 9.0, 12.0
_LINE = 1.3 / 72.0  # inches of line height for each point of type
_LOWEST, _TALLEST = 0.3, 1.6  # height of a picture's place, in widths
_CHART_LOWEST = 0.7
_TICKS_LEFT, _TICKS_BELOW, _TICKS_ABOVE = 0.56, 0.22, 0.07  # inches of a chart's place
_FRAME = 3.0  # points


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a figure, with its words.

    Attributes:
        image: What ``overlay`` takes as a picture, and what it returns.
        title: Above the picture.
        caption: Below the picture ("0.12 s, 7 forward passes").
        frame: The colour of a frame around the picture and of the title, by matplotlib's name;
            None for no frame.
    """

    image: Picture
    title: str = ""
    caption: str = ""
    frame: str | None = None


@dataclass(frozen=True, eq=False)
class Chart:
    """A small chart in the place of a picture, as high as the pictures of its row.

    Attributes:
        draw: Draws on the axes, which have room for the labels of ticks but for no others.
        title: Above the chart.
        caption: Below the chart, where the name of the horizontal axis stands.
    """

    draw: Callable[[Axes], None]
    title: str = ""
    caption: str = ""


def side_by_side(
    panels: Sequence[Panel], *, title: str | None = None, rows: int | Sequence[str] = 1
) -> Figure:
    """Return a figure with the panels in a grid, row by row.

    Titles and captions wrap at the width of their picture, and a row is as high as its highest
    picture and its words need. Words are taken as they are: "$" starts no formula.

    Args:
        panels: At least one; of equal width in the figure, each in its own aspect ratio.
        title: Above all.
        rows: The number of rows, or a label for each row, written at its left. Each row but
            the last is full.

    Raises:
        TypeError: An argument is of another type.
        ValueError: There is no panel, there are more rows than panels, or a panel's image is no
            picture.

    Example:
        >>> figure = side_by_side([Panel(np.zeros((4, 4)), "black"), Panel(np.ones((4, 4)))])
        >>> len(figure.axes), figure.axes[0].get_title()
        (2, 'black')
    """
    panels = _check_panels(panels)
    labels = _row_labels(rows, len(panels))
    columns = -(-len(panels) // len(labels))
    starts = range(0, len(labels) * columns, columns)
    return panel_grid(
        [panels[start : start + columns] for start in starts], labels=labels, title=title or ""
    )


def panel_grid(
    rows: Sequence[Sequence[Panel | Chart | None]], *, labels: Sequence[str], title: str = ""
) -> Figure:
    """Return a figure of rows that may differ in length, with pictures, charts and blank places.

    Drawn as by ``side_by_side``.

    Args:
        rows: What stands in each row, from the left; None for a place left blank. At least one
            of them is not empty.
        labels: As many as rows, each written at the left of its row.
        title: Above all.

    Raises:
        TypeError: A panel's image is of another type.
        ValueError: A panel's image is no picture.

    Example:
        >>> picture = Panel(np.zeros((4, 4)), "black", frame="green")
        >>> chart = Chart(lambda axes: axes.set_ylim(0, 1), caption="sizes")
        >>> figure = panel_grid([[chart, picture], [None, picture, picture]], labels=["a", "b"])
        >>> [axes.get_title() for axes in figure.axes]
        ['', 'black', 'black', 'black']
    """
    width = min(3.2, max(1.7, 14.0 / max(len(row) for row in rows)))
    drawn = [
        _row(label, [_cell(panel, width) if panel else None for panel in row])
        for label, row in zip(labels, rows, strict=True)
    ]
    return _draw(drawn, title, width)


def _check_panels(panels: object) -> list[Panel]:
    """Return the panels as a list."""
    what = "a sequence of at least one Panel"
    if isinstance(panels, (str, bytes)) or not isinstance(panels, Sequence):
        raise TypeError(expected("panels", what, describe(panels)))
    if not panels:
        raise ValueError(expected("panels", what, "none"))
    for panel in panels:
        if not isinstance(panel, Panel):
            raise TypeError(expected("panels", what, describe(panel)))
    return list(panels)


def _row_labels(rows: object, n_panels: int) -> list[str]:
    """Return a label for each row, empty ones for a mere number."""
    if isinstance(rows, Sequence) and not isinstance(rows, (str, bytes)):
        labels = [str(label) for label in rows]
        check_integer("the number of rows", len(labels), 1, n_panels, "the number of panels")
        return labels
    return [""] * check_integer("rows", rows, 1, n_panels, "the number of panels")


@dataclass(frozen=True)
class _Cell:
    """A panel ready to be placed: what draws it, wrapped words, the height of its place."""

    draw: Callable[[Axes], None]
    title: str
    caption: str
    height: float
    is_chart: bool = False
    frame: str | None = None


@dataclass(frozen=True)
class _Row:
    """Cells beside each other, and the heights they need in inches: words, pictures, words."""

    label: str
    cells: list[_Cell | None]
    above: float
    height: float
    below: float


def _cell(panel: Panel | Chart, width: float) -> _Cell:
    """Return the panel for a column of that width in inches."""
    title = _wrap(panel.title, width, _TITLE_SIZE)
    caption = _wrap(panel.caption, width, _CAPTION_SIZE)
    if isinstance(panel, Chart):
        return _Cell(panel.draw, title, caption, width * _CHART_LOWEST, is_chart=True)
    pixels = to_uint8(to_rgb(panel.image))
    aspect = pixels.shape[0] / pixels.shape[1]
    height = width * min(max(aspect, _LOWEST), _TALLEST)
    return _Cell(_picture(pixels, panel.frame), title, caption, height, frame=panel.frame)


def _picture(pixels: NDArray[np.uint8], frame: str | None) -> Callable[[Axes], None]:
    """Return what draws a picture, and a frame around it."""

    def draw(axes: Axes) -> None:
        axes.imshow(pixels)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(frame is not None)
        axes.spines[:].set(edgecolor=frame, linewidth=_FRAME)

    return draw


def _row(label: str, cells: list[_Cell | None]) -> _Row:
    """Return the row of these cells, its label wrapped at the height along which it runs."""
    filled = [cell for cell in cells if cell]
    above = max((_words_height(cell.title, _TITLE_SIZE) for cell in filled), default=0.0)
    height = max((cell.height for cell in filled), default=0.0)
    # Charts grow to the height of the row.
    cells = [replace(cell, height=height) if cell and cell.is_chart else cell for cell in cells]
    # A caption hangs below its own picture, which may be lower than the highest.
    bottoms = [cell.height + _words_height(cell.caption, _CAPTION_SIZE) for cell in cells if cell]
    below = max(bottoms, default=0.0) - height
    return _Row(_wrap(label, height, _TITLE_SIZE), cells, above, height, max(below, 0.0))


def _words_height(words: str, size: float) -> float:
    """Return the inches that wrapped words take up, with a little air to the picture."""
    return (words.count("\n") + 1) * size * _LINE + 0.06 if words else 0.0


def _wrap(words: str, width: float, size: float) -> str:
    """Return words broken into lines of at most ``width`` inches."""
    return "\n".join(line for part in words.splitlines() for line in _lines(part, width, size))


def _lines(words: str, width: float, size: float) -> list[str]:
    """Return the lines of one paragraph; a word longer than a line is broken."""
    total = _words_width(words, size)
    # From a first guess by the average letter downwards: lines of narrow letters hold more.
    guess = len(words) if total <= width else int(1.4 * len(words) * width / total) + 1
    for length in range(guess, 1, -1):
        lines = textwrap.wrap(words, length)
        if all(_words_width(line, size) <= width for line in lines):
            return lines
    return textwrap.wrap(words, 1)


def _words_width(words: str, size: float) -> float:
    """Return the width of one line in inches, with room for the rounding of drawn letters."""
    font = FontProperties(size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(words, font, ismath=False)
    return 1.04 * width / 72.0


def _draw(grid: list[_Row], title: str, width: float) -> Figure:
    """Return the figure of the grid, its columns ``width`` inches wide."""
    columns = max(len(row.cells) for row in grid)
    left = _MARGIN + max(_words_height(row.label, _TITLE_SIZE) for row in grid)
    total = left + columns * (width + _GAP) - _GAP + _MARGIN
    heading = _wrap(title, total - 2 * _MARGIN, _HEADING_SIZE)
    top = _words_height(heading, _HEADING_SIZE) + _MARGIN
    height = top + sum(row.above + row.height + row.below + _GAP for row in grid) - _GAP + _MARGIN
    figure = Figure(figsize=(total, height))
    FigureCanvasAgg(figure)
    if heading:
        _write(figure, heading, total / 2, height - _MARGIN, _HEADING_SIZE, va="top")
    y = height - top
    for row in grid:
        _draw_row(figure, row, left, y, width)
        y -= row.above + row.height + row.below + _GAP
    return figure


def _write(figure: Figure, words: str, x: float, y: float, size: float, **options: Any) -> None:
    """Write words at a place given in inches, centred on ``x``."""
    width, height = figure.get_size_inches()
    figure.text(
        x / width, y / height, words, ha="center", fontsize=size, parse_math=False, **options
    )


def _draw_row(figure: Figure, row: _Row, left: float, top: float, width: float) -> None:
    """Draw a row whose upper edge is at ``top`` inches."""
    top -= row.above
    if row.label:
        x = _MARGIN + (left - _MARGIN) / 2
        _write(figure, row.label, x, top - row.height / 2, _TITLE_SIZE, va="center", rotation=90)
    for number, cell in enumerate(row.cells):
        x = left + number * (width + _GAP)
        if cell:
            _draw_cell(figure, cell, x, top, width)


def _draw_cell(figure: Figure, cell: _Cell, left: float, top: float, width: float) -> None:
    """Draw a panel whose place starts at ``left`` and ``top`` inches, with its words."""
    # The words stand in the middle of the place, which a chart shares with its ticks' labels.
    west, south, north = (_TICKS_LEFT, _TICKS_BELOW, _TICKS_ABOVE) if cell.is_chart else (0, 0, 0)
    w, h = figure.get_size_inches()
    inner, height = width - west, cell.height - south - north
    axes = figure.add_axes(
        ((left + west) / w, (top - cell.height + south) / h, inner / w, height / h)
    )
    axes.tick_params(labelsize=_CAPTION_SIZE)
    cell.draw(axes)
    options: dict[str, Any] = {"x": (width / 2 - west) / inner, "parse_math": False}
    color = cell.frame or "black"
    axes.set_title(cell.title, fontsize=_TITLE_SIZE, pad=4 + 72 * north, color=color, **options)
    axes.set_xlabel(cell.caption, fontsize=_CAPTION_SIZE, labelpad=3, **options)


def figure_image(figure: Figure, dpi: float = 100) -> Image.Image:
    """Return a figure as a PIL image, which a notebook shows.

    Args:
        figure: The figure.
        dpi: Dots per inch, above 0.

    Raises:
        ValueError: ``dpi`` is not above 0.

    Example:
        >>> figure_image(Figure(figsize=(2, 1)), dpi=50).size
        (100, 50)
    """
    check_number("dpi", dpi, 0.0, open_low=True)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return Image.open(stream)


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: float = 150) -> Path:
    """Write a figure to a file, whole or not at all, and return the file's path.

    Written beside its place first and moved there when complete: an error or an interruption
    leaves an older file as it was.

    Args:
        figure: The figure.
        path: Ends in .png, .pdf or .svg, which is the format; its folder exists.
        dpi: Dots per inch of a PNG, and of pictures inside the others.

    Raises:
        TypeError: An argument is of another type.
        ValueError: ``path`` ends otherwise, or ``dpi`` is not above 0.
        FileNotFoundError: The folder does not exist.
        IsADirectoryError: ``path`` is a directory.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_figure(Figure(), f"{folder}/empty.png").name
        'empty.png'
    """
    if not isinstance(figure, Figure):
        raise TypeError(expected("figure", "a matplotlib Figure", describe(figure)))
    check_number("dpi", dpi, 0.0, open_low=True)
    file = _check_file(path)
    kind = file.suffix[1:].lower()
    return write_whole(file, lambda draft: figure.savefig(draft, format=kind, dpi=dpi))


def _check_file(path: object) -> Path:
    """Return the path of a figure to be written."""
    what = f"a file name ending in {', '.join(_FORMATS)}"
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(expected("path", what, describe(path)))
    file = Path(path)
    if file.suffix.lower() not in _FORMATS:
        raise ValueError(expected("path", what, repr(str(file))))
    if not file.parent.is_dir():
        raise FileNotFoundError(expected("path", "in an existing folder", repr(str(file))))
    if file.is_dir():
        raise IsADirectoryError(expected("path", "a file", f"the directory {str(file)!r}"))
    return file
