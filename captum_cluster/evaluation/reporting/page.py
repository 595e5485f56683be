"""The report as one page that needs nothing but itself: no network, no other file."""

from __future__ import annotations

import base64
import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from captum_cluster.evaluation.reporting.meanings import MEANINGS
from captum_cluster.evaluation.reporting.plots import cost_plot, curve_plot
from captum_cluster.evaluation.reporting.table import NOTHING, arrow, counts, notes, number
from captum_cluster.evaluation.running.examination import decode_thumbnail
from captum_cluster.evaluation.running.measures import Value
from captum_cluster.visualization import overlay

if TYPE_CHECKING:
    from captum_cluster.evaluation.reporting.report import Report
    from captum_cluster.evaluation.reporting.resampling import Estimate

_SIDE = 160
_QUALITY = 78
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
_Picture = NDArray[np.uint8]
_Look = Callable[[int], _Picture | None]


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
    look = functools.lru_cache(maxsize=None)(functools.partial(_small_picture, pictures))
    value, skipped = report.gallery.value, list(report.totals.skipped.items())
    return _template().render(
        report=report,
        counts=counts(report),
        nothing="" if report.images else NOTHING,
        notes=notes(report),
        facts=_facts(report),
        options=_options(report),
        columns=[_column(report, value) for value in report.values],
        costs=[_cost(report, method) for method in report.methods],
        differences=_differences(report),
        # Made by matplotlib, which escapes the words in it.
        curves=Markup(curve_plot(report)),
        scatter=Markup(cost_plot(report)),
        gallery=_gallery(report, look),
        extremes=_extremes(report, look),
        ranked="" if value is None else f"{value.title} {arrow(value)}",
        skipped=skipped[:_LONGEST_LIST],
        left_off=len(skipped[_LONGEST_LIST:]),
    )


def _template() -> jinja2.Template:
    """Return the page's template."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("captum_cluster.evaluation.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.j2")


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
    best = (max if value.higher else min)(one.estimate for one in known)
    low = min(min(one.low, one.estimate) for one in known)
    high = max(max(one.high, one.estimate) for one in known)
    cells = [
        {
            "known": one,
            "text": number(one.estimate),
            "interval": f"{number(one.low)} to {number(one.high)}",
            "mark": report.mark(method, value.name),
            "best": one.estimate == best,
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
    places = {"left": one.low - low, "width": one.high - one.low, "dot": one.estimate - low}
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
                        "interval": f"{one.difference_low:+.3f} to {one.difference_high:+.3f}",
                        "p": "< 0.001" if p < 0.001 else f"{p:.3g}",
                        "mark": report.mark(method, value.name),
                    }
                )
        if cells:
            found.append({"title": value.title, "arrow": arrow(value), "cells": cells})
    return found


def _gallery(report: Report, look: _Look) -> list[dict[str, Any]]:
    """Return the rows of the gallery: an image and one of its labels, with all methods."""
    rows = []
    for image in report.gallery.images:
        known = [name for name in report.methods if (image, name) in report.gallery.shown]
        first = report.gallery.shown[image, known[0]]
        picture = look(image)
        for place, target in enumerate(first.targets):
            cells = [
                _cell(report, image, method, look, place) if method in known else None
                for method in report.methods
            ]
            rows.append(
                {
                    "picture": None if picture is None or place else _uri(picture),
                    "name": "" if place else first.name or f"image {image}",
                    "label": _label(report, target),
                    "cells": cells,
                }
            )
    return rows


def _extremes(report: Report, look: _Look) -> list[dict[str, Any]]:
    """Return the best and worst images of each method."""
    return [
        {
            "method": method,
            "kinds": [
                (kind, [_cell(report, image, method, look, 0) for image in chosen[method]])
                for kind, chosen in (("best", report.gallery.best), ("worst", report.gallery.worst))
                if chosen[method]
            ],
        }
        for method in report.methods
        if report.gallery.best.get(method)
    ]


def _cell(report: Report, image: int, method: str, look: _Look, place: int) -> dict[str, Any]:
    """Return the map of one of an image's labels over the picture, with its words."""
    shown = report.gallery.shown[image, method]
    name = shown.name or f"image {image}"
    label, uri, empty = "", "", False
    if place < len(shown.thumbnails):
        marks = decode_thumbnail(shown.thumbnails[place]).astype(np.float32)
        label, empty = _label(report, shown.targets[place]), not marks.any()
        uri = _uri(_over(look(image), marks))
    return {
        "uri": uri,
        "alt": f"{method} on {name}, {label}",
        "name": name,
        "label": label,
        # The value is the image's, not the label's: it stands once.
        "value": "" if place else number(shown.value),
        "empty": empty,
    }


def _label(report: Report, target: int) -> str:
    """Return what a label is called."""
    names: Sequence[str] = report.facts.get("categories") or ()
    return str(names[target]) if target < len(names) else f"label {target}"


def _small_picture(pictures: Callable[[int], Tensor | None] | None, image: int) -> _Picture | None:
    """Return the picture of an image at the size shown; None where there is none."""
    if pictures is None:
        return None
    try:
        found = pictures(image)
    except (OSError, ValueError):  # a file may be gone by now: the numbers need it no more
        return None
    if found is None:
        return None
    pixels = (found.detach().cpu().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    small = Image.fromarray(pixels.numpy())
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small)


def _over(picture: _Picture | None, marks: NDArray[np.float32]) -> _Picture:
    """Return a saliency map over the picture, or alone where there is none."""
    if picture is not None:
        return overlay(picture, marks)
    scale = _SIDE / max(marks.shape)
    size = [max(1, round(side * scale)) for side in marks.shape]
    return overlay(np.zeros((*size, 3), dtype=np.uint8), marks, alpha=1.0)


def _uri(pixels: _Picture) -> str:
    """Return a picture as a data URI."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
