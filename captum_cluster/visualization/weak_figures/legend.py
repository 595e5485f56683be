"""The colours of labels, and a legend of them below a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Patch

from captum_cluster.functional.weak.palette import voc_palette

_TYPE = 9.0  # points
_MARGIN = 0.12  # inches around the legend
UNCERTAIN = "uncertain"


def label_colour(label: int) -> tuple[float, float, float]:
    """Return the colour of a label in [0,1]: that of its number in VOC's palette.

    More labels than the palette holds take its colours in turn.

    Example:
        >>> [round(part, 2) for part in label_colour(14)]
        [0.75, 0.5, 0.5]
    """
    red, green, blue = (part / 255 for part in voc_palette()[label % 254 + 1].tolist())
    return red, green, blue


def add_legend(
    figure: Figure, labels: Iterable[int], names: Sequence[str], *, uncertain: bool = False
) -> None:
    """Make a figure higher and write below it which colour each label has.

    Args:
        figure: What is on it moves up.
        labels: Those in the legend.
        names: Of all labels.
        uncertain: Whether the colour of uncertain pixels is in it too.

    Example:
        >>> figure = Figure(figsize=(4, 3))
        >>> add_legend(figure, [1], ["cow", "cat"])
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['cat']
    """
    handles = [Patch(color=label_colour(label), label=_plain(names[label])) for label in labels]
    if uncertain:
        handles.append(Patch(facecolor="white", edgecolor="grey", hatch="/////", label=UNCERTAIN))
    if handles:
        _grow(figure, _legend(figure, handles) + 2 * _MARGIN)


def _plain(name: str) -> str:
    """Return a name in which a dollar sign starts no formula and no line begins hidden."""
    name = name.replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


def _legend(figure: Figure, handles: Sequence[Any]) -> float:
    """Add the legend in as many columns as fit, and return its height in inches."""
    width = figure.get_size_inches()[0] - 2 * _MARGIN
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles=handles,
            loc="lower center",
            ncols=columns,
            fontsize=_TYPE,
            frameon=False,
            handlelength=1.2,
            columnspacing=1.4,
            borderaxespad=0.3,
        )
        wide, high = _extent(figure, legend)
        if wide <= width or columns == 1:
            return high
        legend.remove()
    raise AssertionError


def _extent(figure: Figure, legend: Legend) -> tuple[float, float]:
    """Return width and height of the legend in inches."""
    canvas: Any = FigureCanvasAgg(figure)  # a bare figure's canvas draws nothing
    renderer: RendererAgg = canvas.get_renderer()
    box = legend.get_window_extent(renderer)
    return box.width / figure.dpi, box.height / figure.dpi


def _grow(figure: Figure, extra: float) -> None:
    """Make a figure higher by inches at its foot; what is on it keeps its size."""
    width, height = figure.get_size_inches()
    taller = height + extra
    for axes in figure.axes:
        box = axes.get_position()
        bottom = (box.y0 * height + extra) / taller
        axes.set_position((box.x0, bottom, box.width, box.height * height / taller))
    for text in figure.texts:
        text.set_y((text.get_position()[1] * height + extra) / taller)
    figure.set_size_inches(width, taller)
