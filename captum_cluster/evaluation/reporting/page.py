"""The report as one page that needs nothing but itself: no network, no other file."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from torch import Tensor

from captum_cluster.evaluation.reporting.filling import filled
from captum_cluster.evaluation.reporting.meanings import GENERAL, MEANINGS
from captum_cluster.evaluation.reporting.pictures import extreme_rows, gallery_rows, small_picture
from captum_cluster.evaluation.reporting.plots import cost_plot, curve_plot
from captum_cluster.evaluation.reporting.table import (
    NOTHING,
    arrow,
    counts,
    images_text,
    interval_text,
    notes,
    number,
)
from captum_cluster.evaluation.running.measures import Value

if TYPE_CHECKING:
    from captum_cluster.evaluation.reporting.report import Report
    from captum_cluster.evaluation.reporting.resampling import Estimate

_LONGEST_LIST = 200
_FACTS = {
    "model": "Model",
    "layer": "Layer",
    "dataset": "Images of",
    "explained": "Labels explained",
    "probability": "Probabilities",
    "captum_cluster": "captum_cluster",
}
_EXPLAINED = {
    "truth": "those that the image has",
    "predicted": "those with a probability above 0.5",
    "top": "the most probable one",
}


def build_page(report: Report, pictures: Callable[[int], Tensor | None] | None = None) -> str:
    """Return a report as an HTML page.

    Names of methods, classes and files are text, whatever signs are in them. The page has all its
    styles, scripts and pictures inside and forbids itself to load any other.

    Args:
        report: The report.
        pictures: Gives the image (3,H,W) in [0,1] of an index of the dataset, as the model saw it.
            Without it, or where it gives None or fails as a missing file does, maps are shown
            alone.
    """
    look = functools.lru_cache(maxsize=None)(functools.partial(small_picture, pictures))
    value, skipped = report.gallery.value, list(report.totals.skipped.items())
    return filled(
        "report.html.j2",
        report=report,
        counts=counts(report),
        nothing="" if report.images else NOTHING,
        notes=notes(report),
        facts=_facts(report),
        options=_options(report),
        general=GENERAL,
        columns=[_column(report, value) for value in report.values],
        costs=[_cost(report, method) for method in report.methods],
        differences=_differences(report),
        # Made by matplotlib, which escapes the words in it.
        curves=Markup(curve_plot(report)),
        scatter=Markup(cost_plot(report)),
        gallery=gallery_rows(report, look),
        extremes=extreme_rows(report, look),
        ranked="" if value is None else f"{value.title} {arrow(value)}",
        skipped=skipped[:_LONGEST_LIST],
        left_off=len(skipped[_LONGEST_LIST:]),
        failures=_failures(report),
    )


def _facts(report: Report) -> list[tuple[str, str]]:
    """Return what was run, as pairs of words."""
    known = {**report.facts, "explained": _EXPLAINED.get(str(report.facts.get("explained")))}
    rows = [(title, known.get(key)) for key, title in _FACTS.items()]
    return [
        ("Images", counts(report)),
        *((title, _words(value)) for title, value in rows if value is not None),
    ]


def _words(value: Any) -> str:
    """Return a fact as words.

    Example:
        >>> _words({"class": "ImageFolder", "length": 3, "sizes": [1, 2]})
        'class ImageFolder, length 3, sizes 1, 2'
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(one)}" for key, one in value.items() if one is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_words, value))
    return str(value)


def _options(report: Report) -> list[tuple[str, str]]:
    """Return the methods that are not run as they are, with what differs."""
    found = []
    for one in report.facts["methods"]:
        usual = {"name": one["name"], "method": one["name"]}
        rest = {key: value for key, value in one.items() if value and usual.get(key) != value}
        if rest:
            found.append((one["name"], _words(rest)))
    return found


def _column(report: Report, value: Value) -> dict[str, Any]:
    """Return a column of the table: its heading and a cell for each method."""
    estimates = [report.estimates.get((method, value.name)) for method in report.methods]
    known = [one for one in estimates if one is not None and not math.isnan(one.estimate)]
    # What reads the same is as good: two faces of one method differ by rounding.
    best = number((max if value.higher else min)(one.estimate for one in known))
    ends = [end for one in known for end in (one.low, one.estimate, one.high)]
    low, high = np.nanmin(ends), np.nanmax(ends)
    cells = [
        {
            "known": one,
            "text": number(one.estimate),
            "interval": interval_text(one.low, one.high),
            "images": images_text(one.images),
            "mark": report.mark(method, value.name),
            "best": number(one.estimate) == best,
            **_track(one, low, (high - low) or 1.0),
        }
        if one in known
        else None
        for method, one in zip(report.methods, estimates, strict=True)
    ]
    return {
        "title": value.title,
        "arrow": arrow(value),
        "higher": value.higher,
        "meaning": MEANINGS[value.name],
        "cells": cells,
    }


def _track(one: Estimate, low: float, room: float) -> dict[str, str]:
    """Return where an interval and its middle stand, in per cent of the column's range."""
    ends = (one.estimate,) * 2 if math.isnan(one.low) else (one.low, one.high)
    places = {"left": ends[0] - low, "width": ends[1] - ends[0], "dot": one.estimate - low}
    return {name: f"{100 * place / room:.1f}" for name, place in places.items()}


def _cost(report: Report, method: str) -> dict[str, Any]:
    """Return the cost of a method for one image."""
    one = report.totals.methods[method]
    return {
        "forwards": one.forwards,
        "forwards_text": "-" if math.isnan(one.forwards) else f"{one.forwards:,.4g}",
        "seconds": one.seconds,
        "seconds_text": "-" if math.isnan(one.seconds) else f"{one.seconds:.3g}",
    }


def _differences(report: Report) -> list[dict[str, Any]]:
    """Return for each value the differences of the methods from the reference."""
    found = []
    for value in report.values:
        cells = []
        for method in report.methods:
            one = report.estimates.get((method, value.name))
            if one is not None and not math.isnan(one.difference):
                p = report.corrected[method, value.name]
                cells.append(
                    {
                        "method": method,
                        "difference": f"{one.difference:+.3f}",
                        "interval": interval_text(
                            one.difference_low, one.difference_high, sign="+"
                        ),
                        "p": "< 0.001" if p < 0.001 else f"{p:.3g}",
                        "mark": report.mark(method, value.name),
                    }
                )
        if cells:
            found.append({"title": value.title, "arrow": arrow(value), "cells": cells})
    return found


def _failures(report: Report) -> list[dict[str, Any]]:
    """Return the methods that failed on some image, with the first messages."""
    return [
        {
            "method": method,
            "images": images_text(len(failed)),
            "errors": report.totals.first_errors(method),
        }
        for method, failed in report.totals.failed.items()
        if failed
    ]
