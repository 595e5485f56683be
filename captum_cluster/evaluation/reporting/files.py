"""The report as programs read it: JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captum_cluster.evaluation.reporting.report import Report

FIELDS = (
    "method",
    "value",
    "title",
    "direction",
    "estimate",
    "low",
    "high",
    "images",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "p_holm",
)
"""The columns of ``report.csv``, and the keys of the rows of ``report.json``."""


def as_json(report: Report) -> str:
    """Return a report as strict JSON: numbers that are none are null."""
    return json.dumps(as_dict(report), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def as_csv(report: Report) -> str:
    """Return a report's numbers as CSV, a row for each value and method."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, FIELDS)
    writer.writeheader()
    writer.writerows(_strict(_rows(report)))
    return stream.getvalue()


def as_dict(report: Report) -> dict[str, Any]:
    """Return all that a report says, as JSON holds it."""
    totals = report.totals
    found = {
        "run": dict(report.facts),
        "images": {
            "planned": report.planned,
            "done": totals.done,
            "with_results": report.images,
            "skipped": [
                {"image": image, "name": name, "error": error}
                for image, (name, error) in totals.skipped.items()
            ],
            "without_label": [
                {"image": image, "name": name} for image, name in totals.unlabelled.items()
            ],
            "without_ground_truth": report.without_truth,
        },
        "failed": _failed(report),
        "bootstrap": {"resamples": report.resamples, "seed": report.seed, "level": 0.95},
        "reference": report.reference,
        "methods": [{"name": name, **asdict(totals.methods[name])} for name in report.methods],
        "values": _rows(report),
        "extremes": _extremes(report),
    }
    plain: dict[str, Any] = _strict(found)
    return plain


def _failed(report: Report) -> dict[str, Any]:
    """Return the methods that failed on some image: on how many, and the first messages."""
    totals = report.totals
    return {
        method: {
            "images": len(failed),
            "first": [
                {"image": image, "name": name, "error": error}
                for image, name, error in totals.first_errors(method)
            ],
        }
        for method, failed in totals.failed.items()
        if failed
    }


def _rows(report: Report) -> list[dict[str, Any]]:
    """Return a row of ``FIELDS`` for each value and method."""
    return [
        {
            "method": method,
            "value": value.name,
            "title": value.title,
            "direction": "higher" if value.higher else "lower",
            **asdict(report.estimates[method, value.name]),
            "p_holm": report.corrected[method, value.name],
        }
        for value in report.values
        for method in report.methods
        if (method, value.name) in report.estimates
    ]


def _extremes(report: Report) -> dict[str, Any]:
    """Return each method's best and worst images."""
    gallery = report.gallery
    if gallery.value is None:
        return {}
    found: dict[str, Any] = {"value": gallery.value.name}
    for kind, chosen in (("best", gallery.best), ("worst", gallery.worst)):
        found[kind] = {
            method: [
                {"image": image, "name": one.name, "value": one.value}
                for image in images
                if (one := gallery.shown.get((image, method)))
            ]
            for method, images in chosen.items()
        }
    return found


def _strict(value: Any) -> Any:
    """Return a value with None for each number that is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _strict(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(one) for one in value]
    return value
