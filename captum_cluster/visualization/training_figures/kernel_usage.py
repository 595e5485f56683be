"""How the labels of a head use the last layer's kernels, before and after a regularisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from captum_cluster._checks import check_integer
from captum_cluster.functional.training import (
    label_correlation,
    negative_shares,
    shared_kernels,
)
from captum_cluster.visualization.figures import Chart, panel_grid
from captum_cluster.visualization.training_figures.checking import Weights, class_names, heads

_CELL, _SMALLEST = 0.19, 2.6  # inches of a label in a table, and of a table
_MOST_NAMES = 100  # labels; more have no name in a table
_MOST_COLUMNS = 6  # charts beside each other; more continue below
_NEGATIVE, _POSITIVE = "#D55E00", "#0072B2"  # Okabe and Ito's, for all kinds of colour vision


def plot_weight_histograms(
    weights: Weights, *, classes: Sequence[str] | None = None, bins: int = 40, title: str = ""
) -> Figure:
    """Return a figure with the histogram of each label's weights, negative ones in red.

    First the weights of all labels together, then those of each; below each the share that is
    negative, and their share of the sum of absolute weights: a regularised head may have many
    negative weights that hardly count. The heads stand below each other. Each has a range of its
    own, with 0 in it and all but one in a thousand of its weights at either end, which count in the
    outermost bins.

    Args:
        weights: (L,C) float, of a head, or a mapping from names to the weights of several heads
            of L labels ("before", "after"). Of a regularised head the effective weights.
        classes: The names of the L labels; None to number them.
        bins: Number of bins, at least 2.
        title: Above all.

    Returns:
        The figure, for ``save_figure`` or ``figure_image``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Sizes do not belong together, or weights are not finite.

    Example:
        >>> figure = plot_weight_histograms(torch.tensor([[-1.0, 1, 2, 3], [1, 2, 3, 4]]))
        >>> [axes.get_xlabel() for axes in figure.axes]
        ['12% negative, 6% of |w|', '25% negative, 14% of |w|', '0% negative, 0% of |w|']

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", section 6.2 (a).
    """
    found = heads(weights)
    names = class_names(classes, len(next(iter(found.values()))))
    count = check_integer("bins", bins, 2)
    rows: list[list[Chart]] = []
    titles: list[str] = []
    for head, weight in found.items():
        charts = _histograms(weight, names, count)
        lines = [charts[n : n + _MOST_COLUMNS] for n in range(0, len(charts), _MOST_COLUMNS)]
        rows += lines
        titles += [head, *[""] * (len(lines) - 1)]
    return panel_grid(rows, labels=titles, title=title)


def plot_label_correlation(
    weights: Weights, *, classes: Sequence[str] | None = None, title: str = ""
) -> Figure:
    """Return a figure of the correlations between the labels' weights, a table for each head.

    The diagonal, always 1, is left blank, and the tables share the range of their colours. Above
    each the mean of the absolute correlations.

    Args:
        weights: (L,C) float, of a head, or a mapping from names to the weights of several heads
            of L labels ("before", "after"). Of a regularised head the effective weights.
        classes: The names of the L labels; None to number them.
        title: Above all.

    Returns:
        The figure, for ``save_figure`` or ``figure_image``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Sizes do not belong together, or weights are not finite.

    Example:
        >>> figure = plot_label_correlation(torch.tensor([[1.0, 2, 3], [3, 2, 1]]))
        >>> figure.axes[0].get_title()
        'mean |r| 1.00'

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", section 6.2 (b).
    """
    found = heads(weights)
    tables = {head: _off_diagonal(label_correlation(weight)) for head, weight in found.items()}
    heading = {
        head: f"mean |r| {_mean(table.abs()):.2f}" if len(table) > 1 else "one label"
        for head, table in tables.items()
    }
    names = class_names(classes, len(next(iter(tables.values()))))
    bar = "correlation r of the weights"
    return _tables(tables, heading, names, colours="RdBu_r", signed=True, bar=bar, title=title)


def plot_shared_kernels(
    weights: Weights, *, top: int = 10, classes: Sequence[str] | None = None, title: str = ""
) -> Figure:
    """Return a figure of the share of their strongest kernels that labels have in common.

    A table for each head; the diagonal, always 1, is left blank, and the tables share the range
    of their colours. Above each the mean share.

    Args:
        weights: (L,C) float, of a head, or a mapping from names to the weights of several heads
            of L labels ("before", "after"). Of a regularised head the effective weights.
        top: Number of kernels of each label that count, from 1 to C.
        classes: The names of the L labels; None to number them.
        title: Above all.

    Returns:
        The figure, for ``save_figure`` or ``figure_image``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Sizes do not belong together, or weights are not finite.

    Example:
        >>> weight = torch.tensor([[3.0, 2, 1, 0], [3.0, 0, 1, 2]])
        >>> plot_shared_kernels(weight, top=2).axes[0].get_title()
        'mean share 0.50'

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", section 6.2 (c).
    """
    found = heads(weights)
    tables = {
        head: _off_diagonal(shared_kernels(weight, top=top)) for head, weight in found.items()
    }
    heading = {
        head: f"mean share {_mean(table):.2f}" if len(table) > 1 else "one label"
        for head, table in tables.items()
    }
    names = class_names(classes, len(next(iter(tables.values()))))
    bar = f"share of the top {top} kernels in common"
    return _tables(tables, heading, names, colours="viridis", signed=False, bar=bar, title=title)


def _histograms(weight: Tensor, names: Sequence[str], bins: int) -> list[Chart]:
    """Return the chart of all weights of a head, and that of each label's."""
    low, high = np.quantile(weight.numpy(), [0.001, 0.999]).tolist()
    low, high = min(low, 0.0), max(high, 0.0)
    # 0 is the edge of a bin, so that no bar is of both colours.
    step = (high - low) / bins if high > low else 1.0
    first, last = math.floor(low / step), math.ceil(high / step)
    edges = np.arange(first, max(last, first + 1) + 1, dtype=np.float64) * step
    each = [_histogram(row, edges, name) for row, name in zip(weight, names, strict=True)]
    return [_histogram(weight.flatten(), edges, "all labels"), *each]


def _histogram(values: Tensor, edges: NDArray[np.float64], name: str) -> Chart:
    """Return the chart of one histogram."""
    clipped = values.numpy().clip(edges[0], edges[-1])
    counts, _ = np.histogram(clipped, edges)
    colours = [_NEGATIVE if edge < 0 else _POSITIVE for edge in edges[:-1]]

    def draw(axes: Axes) -> None:
        axes.spines[["top", "right"]].set_visible(False)
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colours)
        axes.axvline(0.0, color="black", linewidth=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))

    share, weight = negative_shares(values)
    return Chart(draw, name, f"{share:.0%} negative, {weight:.0%} of |w|")


def _off_diagonal(table: Tensor) -> Tensor:
    """Return a table (L,L) with NaN on its diagonal."""
    return table.masked_fill(torch.eye(len(table), dtype=torch.bool), torch.nan)


def _mean(table: Tensor) -> float:
    """Return the mean of a table without its diagonal."""
    return float(table.nanmean())


def _tables(
    tables: Mapping[str, Tensor],
    heading: Mapping[str, str],
    names: Sequence[str],
    *,
    colours: str,
    signed: bool,
    bar: str,
    title: str,
) -> Figure:
    """Return a figure of tables (L,L) beside each other."""
    high = max(float(table.nan_to_num().abs().max()) for table in tables.values()) or 1.0
    side = max(_SMALLEST, _CELL * min(len(names), _MOST_NAMES))
    size = ((side + 0.3) * len(tables) + 2.4, side + 1.9)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(1, len(tables), squeeze=False)[0]
    drawn = []
    for number, (head, table) in enumerate(tables.items()):
        axes = places[number]
        axes.set_facecolor("0.9")
        drawn.append(
            axes.imshow(table.numpy(), cmap=colours, vmin=-high if signed else 0.0, vmax=high)
        )
        words = f"{head}\n{heading[head]}" if head else heading[head]
        axes.set_title(words, fontsize=10, parse_math=False)
        _name_axes(axes, names if len(names) <= _MOST_NAMES else [], first=number == 0)
    shown = figure.colorbar(drawn[0], ax=list(places), shrink=0.8, label=bar)
    shown.ax.tick_params(labelsize=9)
    if title:
        figure.suptitle(title, fontsize=12, parse_math=False)
    return figure


def _name_axes(axes: Axes, names: Sequence[str], *, first: bool) -> None:
    """Write the labels' names at a table: below, and at the left of the first."""
    write: list[Callable[..., object]] = [axes.set_xticks, axes.set_yticks]
    for number, ticks in enumerate(write):
        shown = names if number == 0 or first else [""] * len(names)
        ticks(range(len(names)), shown, fontsize=9, parse_math=False)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", rotation=90)
