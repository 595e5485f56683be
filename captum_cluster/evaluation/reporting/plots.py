"""The charts of a report, as SVG that stands inside a page and takes its colours from it."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from captum_cluster.evaluation.reporting.table import arrow
from captum_cluster.evaluation.running.measures import Value

if TYPE_CHECKING:
    from captum_cluster.evaluation.reporting.report import Report
    from captum_cluster.evaluation.reporting.resampling import Estimate

# Okabe and Ito's colours for all kinds of colour vision, without black and yellow, which vanish on
# one of the two grounds; line and marker tell further methods apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_LINES = ("-", "--", ":", "-.")
_FINE_DECADES = 3
_LINE = 0.19  # inches of a name in a legend
_MARKERS = ("o", "s", "^", "D", "v", "P")
# Stand for the page's colour of text and of faint lines, and are replaced in the SVG.
_INK, _FAINT = "#010203", "#040506"
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _FAINT,
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    # A name is no formula, whatever signs are in it.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class _Look:
    """How one method is drawn, the same in every chart."""

    color: str
    line: str
    marker: str


def curve_plot(report: Report) -> str:
    """Return the chart of the mean deletion and insertion curves; empty without curves.

    Args:
        report: The report.

    Returns:
        An SVG element.
    """
    known = [one for one in report.totals.methods.values() if one.shares]
    return _svg(_curves(report), "curves") if known else ""


def cost_plot(report: Report) -> str:
    """Return the chart of cost against faithfulness; empty without either.

    Forward passes for one image against Insertion - Deletion, or against Average Drop where there
    are no curves.

    Args:
        report: The report.

    Returns:
        An SVG element.
    """
    listed = {value.name: value for value in report.values}
    value = listed.get("overall") or listed.get("average-drop")
    points = {} if value is None else _points(report, value)
    return "" if value is None or not points else _svg(_costs(report, value, points), "cost")


def _looks(report: Report) -> dict[str, _Look]:
    """Return how each method is drawn."""
    looks = {}
    for number, method in enumerate(report.methods):
        turn, place = divmod(number, len(_COLOURS))
        marker = _MARKERS[(place + turn) % len(_MARKERS)]
        looks[method] = _Look(_COLOURS[place], _LINES[turn % len(_LINES)], marker)
    return looks


def _curves(report: Report) -> Figure:
    """Return the charts of the mean curves beside each other."""
    figure, both = _axes(9.2, _room(3.3, report.methods), 2)
    lines = {}
    for axes, kind in zip(both, ("deletion", "insertion"), strict=True):
        for method, look in _looks(report).items():
            one = report.totals.methods[method]
            places, curve = one.shares, getattr(one, kind)
            lines[method] = axes.plot(places, curve, look.line, color=look.color, linewidth=1.6)[0]
        axes.set(xlim=(0, 1), ylim=(0, None))
    both[0].set(title="Deletion ↓", xlabel="share of the pixels removed", ylabel="probability")
    both[1].set(title="Insertion ↑", xlabel="share of the pixels restored")
    _legend(figure, lines)
    return figure


def _points(report: Report, value: Value) -> dict[str, tuple[float, Estimate]]:
    """Return cost and value of the methods that have both, and so a place on a logarithmic axis."""
    found = {}
    for method in report.methods:
        one = report.estimates.get((method, value.name))
        forwards = report.totals.methods[method].forwards
        if one is not None and not math.isnan(one.estimate) and forwards > 0:
            found[method] = forwards, one
    return found


def _costs(report: Report, value: Value, points: Mapping[str, tuple[float, Estimate]]) -> Figure:
    """Return the chart of forward passes against one value."""
    figure, (axes,) = _axes(7.0, _room(3.6, points), 1)
    looks, handles = _looks(report), {}
    for method, (forwards, one) in points.items():
        look = looks[method]
        axes.plot([forwards] * 2, [one.low, one.high], color=look.color, linewidth=1.2)
        handles[method] = axes.plot(
            [forwards], [one.estimate], look.marker, color=look.color, markersize=7
        )[0]
    axes.set_xscale("log")
    low, high, ticks = _log_axis([forwards for forwards, _ in points.values()])
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("forward passes for one image")
    axes.set_ylabel(f"{value.title} {arrow(value)}")
    _legend(figure, handles)
    return figure


def _log_axis(places: Sequence[float]) -> tuple[float, float, list[float]]:
    """Return the ends of a logarithmic axis and where its numbers stand.

    It is at least a decade long, so that there are numbers on it wherever it begins: 1, 2 and 5 of
    each decade, or of many decades the 1 alone.

    Example:
        >>> _log_axis([7, 7])[2], _log_axis([1, 4000])[2]
        ([5.0, 10.0, 20.0], [1.0, 10.0, 100.0, 1000.0])
    """
    low, high = math.log10(min(places) / 1.6), math.log10(max(places) * 1.6)
    short = max(0.0, 1.0 - (high - low)) / 2
    low, high = low - short, high + short
    steps = (1, 2, 5) if high - low < _FINE_DECADES else (1,)
    decades = range(math.floor(low), math.floor(high) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return 10**low, 10**high, [tick for tick in ticks if low <= math.log10(tick) <= high]


def _axes(width: float, height: float, count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of that size in inches with some pairs of axes beside each other."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        found = [figure.add_subplot(1, count, place + 1) for place in range(count)]
        for axes in found:
            axes.grid(visible=True)
            axes.set_axisbelow(True)
    return figure, found


def _room(height: float, names: Collection[str]) -> float:
    """Return a height in inches, more where the names would not fit below each other."""
    return max(height, 0.3 + _LINE * len(names))


def _legend(figure: Figure, handles: Mapping[str, Line2D]) -> None:
    """Write the methods' names beside the axes."""
    # matplotlib leaves out names that begin with an underscore.
    names = [" " + _short(name) for name in handles]
    with matplotlib.rc_context(_STYLE):
        figure.legend(list(handles.values()), names, loc="outside right center")


def _short(name: str) -> str:
    """Return a name that leaves room for the chart."""
    return name if len(name) <= 28 else name[:27] + "…"


def _svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element, the same for the same figure.

    Args:
        figure: The figure.
        name: Of the chart: the parts of charts in one page need different ids.
    """
    stream = io.StringIO()
    options: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # A sign that matplotlib has no glyph for is measured wrongly; the browser has one.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(stream, format="svg", metadata=options, transparent=True)
    text = stream.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>\s*", "", text, flags=re.DOTALL)  # would be the page's
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    return text.replace(_INK, "currentColor").replace(_FAINT, "var(--line)")
