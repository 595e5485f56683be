"""The table of a report as text, and the sentences that belong to it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from captum_cluster.evaluation.running.measures import Value

if TYPE_CHECKING:
    from captum_cluster.evaluation.reporting.report import Report

_WIDTH = 100
NOTHING = "No image has a result yet: there is nothing to compare."


def text_table(report: Report) -> str:
    """Return the report's numbers as text: methods below each other, values beside each other."""
    lines = [counts(report)]
    if not report.images:
        lines.append(NOTHING)
    names = ["method", *report.methods]
    for group in _groups(names, [_column(report, value) for value in report.values]):
        lines += ["", *_beside([names, *group])]
    return "\n".join([*lines, "", *notes(report)])


def arrow(value: Value) -> str:
    """Return the direction that is better.

    Example:
        >>> arrow(Value("deletion", "Deletion", False))
        '↓'
    """
    return "↑" if value.higher else "↓"


def number(value: float) -> str:
    """Return a number as the tables show it.

    Example:
        >>> number(0.12345), number(float("nan"))
        ('0.123', '-')
    """
    return "-" if math.isnan(value) else f"{value:.3f}"


def counts(report: Report) -> str:
    """Return how far the run is: "150 images", or "images done 37 of 150"."""
    if report.totals.done < report.planned:
        return f"images done {report.totals.done} of {report.planned}"
    return _images(report.totals.done)


def notes(report: Report) -> list[str]:
    """Return the sentences below the table: how it was counted, and what is missing."""
    totals = report.totals
    found = []
    if report.values:
        found.append(
            f"Ranges are 95 % bootstrap intervals over the images, {report.resamples:,} resamples."
        )
    if report.values and len(report.methods) > 1:
        found.append(
            f"* p < 0.05, ** p < 0.01: differs from {report.reference}, paired bootstrap over the "
            "images, two-sided, Holm-corrected over the methods for each value."
        )
    if totals.skipped:
        found.append(f"Skipped, as they could not be examined: {_images(len(totals.skipped))}.")
    if totals.unlabelled:
        found.append(f"Without a label to explain: {_images(len(totals.unlabelled))}.")
    missing = report.without_truth
    for count in dict.fromkeys(missing.values()):
        names = ", ".join(name for name in missing if missing[name] == count)
        found.append(f"Without the ground truth for {names}: {_images(count)}.")
    for method, one in totals.methods.items():
        if one.unmarked:
            found.append(f"{method}: {one.unmarked} of {one.maps} maps have no positive part.")
        if one.not_finite:
            text = "a map that is not finite, taken as empty"
            found.append(f"{method}: {_images(one.not_finite)} with {text}.")
    return found


def _column(report: Report, value: Value) -> list[str]:
    """Return the title of a value and its cells."""
    cells = [f"{value.title} {arrow(value)}"]
    for method in report.methods:
        one = report.estimates.get((method, value.name))
        if one is None or math.isnan(one.estimate):
            cells.append("-")
            continue
        mark = report.mark(method, value.name)
        cells.append(
            f"{number(one.estimate)} [{number(one.low)}, {number(one.high)}] {mark}".rstrip()
        )
    return cells


def _groups(names: Sequence[str], columns: Iterable[list[str]]) -> list[list[list[str]]]:
    """Return the columns in groups that fit on a line beside the names."""
    groups: list[list[list[str]]] = []
    room = 0
    for column in columns:
        width = max(map(len, column)) + 2
        if not groups or width > room:
            groups.append([])
            room = _WIDTH - max(map(len, names))
        groups[-1].append(column)
        room -= width
    return groups


def _beside(columns: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of columns set beside each other."""
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for cells in zip(*columns, strict=True):
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(line.rstrip())
    return lines


def _images(count: int) -> str:
    """Return a number of images in words.

    Example:
        >>> _images(1), _images(1500)
        ('1 image', '1,500 images')
    """
    return f"{count:,} image" + ("" if count == 1 else "s")
