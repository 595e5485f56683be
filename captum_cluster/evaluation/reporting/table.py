"""The table of a report as text, and the sentences that belong to it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from captum_cluster.evaluation.running.measures import Value

if TYPE_CHECKING:
    from captum_cluster.evaluation.reporting.report import Report

_WIDTH = 100
_FEW = 20
_LONGEST = 200
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


def interval_text(low: float, high: float, *, sign: str = "-") -> str:
    """Return an interval as the page shows it; ``sign="+"`` shows both signs.

    Example:
        >>> interval_text(0.1, 0.25), interval_text(-0.1, 0.25, sign="+")
        ('0.100 to 0.250', '-0.100 to +0.250')
        >>> interval_text(math.nan, math.nan)
        '-'
    """
    return "-" if math.isnan(low) else f"{low:{sign}.3f} to {high:{sign}.3f}"


def images_text(count: int) -> str:
    """Return a number of images in words.

    Example:
        >>> images_text(1), images_text(1500)
        ('1 image', '1,500 images')
    """
    return f"{count:,} image" + ("" if count == 1 else "s")


def counts(report: Report) -> str:
    """Return how many images the numbers are of: "150 images", "37 of 150 images (...)"."""
    totals = report.totals
    left = {
        "skipped": len(totals.skipped),
        "without a label": len(totals.unlabelled),
        "failed": totals.done - totals.judged - len(totals.skipped) - len(totals.unlabelled),
        "not done": report.planned - totals.done,
    }
    parts = ", ".join(f"{count:,} {why}" for why, count in left.items() if count > 0)
    judged, planned = totals.judged, images_text(report.planned)
    return f"{judged:,} of {planned} ({parts})" if parts else images_text(judged)


def notes(report: Report) -> list[str]:
    """Return the sentences below the table: how it was counted, and what is missing."""
    return [*_methodology(report), *_missing(report), *_failures(report), *_maps(report)]


def _methodology(report: Report) -> Iterator[str]:
    """Yield how the numbers came about, and how far they may be trusted."""
    if any(not math.isnan(one.low) for one in report.estimates.values()):
        drawn = f"{report.resamples:,} resamples"
        yield f"Ranges are 95 % bootstrap intervals over the images, {drawn}."
    if report.values and len(report.methods) > 1:
        yield (
            f"* p < 0.05, ** p < 0.01: differs from {report.reference}, paired bootstrap over the "
            "images, two-sided, Holm-corrected over the methods for each value."
        )
    few = _few(report)
    if few:
        which = "" if len(few) == len(report.values) else f" ({', '.join(few)})"
        yield f"Intervals of fewer than {_FEW} images are rough{which}; one image gives none."


def _few(report: Report) -> list[str]:
    """Return the titles of the values that some method has from too few images."""
    found = []
    for value in report.values:
        given = [report.estimates.get((method, value.name)) for method in report.methods]
        if any(one is not None and 0 < one.images < _FEW for one in given):
            found.append(value.title)
    return found


def _missing(report: Report) -> Iterator[str]:
    """Yield which images gave no numbers, and why."""
    totals = report.totals
    if totals.skipped:
        image, (name, error) = next(iter(totals.skipped.items()))
        skipped = images_text(len(totals.skipped)) + (", first" if len(totals.skipped) > 1 else ",")
        yield f"Skipped, as they could not be examined: {skipped} {reason(image, name, error)}."
    if totals.unlabelled:
        yield f"Without a label to explain: {images_text(len(totals.unlabelled))}."
    missing = report.without_truth
    for lacking in dict.fromkeys(missing.values()):
        names = ", ".join(name for name in missing if missing[name] == lacking)
        yield f"Without the ground truth for {names}: {images_text(lacking)}."


def _failures(report: Report) -> Iterator[str]:
    """Yield where methods failed."""
    for method, failed in report.totals.failed.items():
        if failed:
            first = "; ".join(reason(*one) for one in report.totals.first_errors(method))
            count = images_text(len(failed))
            yield f"{method} failed on {count}, which its numbers leave out: {first}."


def _maps(report: Report) -> Iterator[str]:
    """Yield how many maps mark nothing."""
    for method, one in report.totals.methods.items():
        if one.unmarked:
            yield f"{method}: {one.unmarked} of {one.maps} maps have no positive part."
        if one.not_finite:
            text = "a map that is not finite, taken as empty"
            yield f"{method}: {images_text(one.not_finite)} with {text}."


def reason(image: int, name: str, error: str) -> str:
    r"""Return why there is no number of an image, on one line that any terminal can print.

    Example:
        >>> reason(3, "", "RuntimeError: no\nconvergence."), reason(3, "\x1bx.png", "gone")
        ('image 3: RuntimeError: no convergence', '\\x1bx.png: gone')
    """
    text = " ".join(f"{name or f'image {image}'}: {error}".split()).rstrip(".")
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _column(report: Report, value: Value) -> list[str]:
    """Return the title of a value and its cells."""
    cells = [f"{value.title} {arrow(value)}"]
    for method in report.methods:
        one = report.estimates.get((method, value.name))
        if one is None or math.isnan(one.estimate):
            cells.append("-")
            continue
        ends = "" if math.isnan(one.low) else f"[{number(one.low)}, {number(one.high)}]"
        parts = (number(one.estimate), ends, report.mark(method, value.name))
        cells.append(" ".join(part for part in parts if part))
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
