"""The report of a run: a table for reading, files for programs, a page for both."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from captum_cluster._checks import check_choice, check_integer, describe, expected
from captum_cluster.evaluation.output import staged
from captum_cluster.evaluation.reporting.aggregation import Totals, add_up
from captum_cluster.evaluation.reporting.files import as_csv, as_dict, as_json
from captum_cluster.evaluation.reporting.gallery import Gallery, make_gallery
from captum_cluster.evaluation.reporting.page import build_page
from captum_cluster.evaluation.reporting.resampling import Estimate, estimate_all, holm
from captum_cluster.evaluation.reporting.table import text_table
from captum_cluster.evaluation.running.fingerprint import saved_facts
from captum_cluster.evaluation.running.measures import METRICS, Metric, Value, choose_metrics
from captum_cluster.evaluation.running.records import read_records

Pictures = Callable[[int], Tensor | None]
"""Gives the image (3,H,W) in [0,1] of an index of the dataset, as the model saw it."""


@dataclass(frozen=True, eq=False)
class Report:
    """What a run has found.

    Attributes:
        facts: Of the run, from its ``run.json``.
        methods: The methods' names.
        reference: The method that the others are compared with.
        values: What the table holds: the values that some image gave.
        estimates: By method and value.
        corrected: By method and value the p of the difference from the reference, corrected by
            Holm's method for the number of methods.
        totals: Counts, costs and curves.
        gallery: The images shown.
        resamples: Number of bootstrap resamples.
        seed: Of the resamples.
    """

    facts: Mapping[str, Any]
    methods: tuple[str, ...]
    reference: str
    values: tuple[Value, ...]
    estimates: Mapping[tuple[str, str], Estimate]
    corrected: Mapping[tuple[str, str], float]
    totals: Totals
    gallery: Gallery
    resamples: int
    seed: int

    @property
    def images(self) -> int:
        """Number of images with a result."""
        return len(self.totals.images)

    @property
    def planned(self) -> int:
        """Number of images of the run."""
        return int(self.facts.get("images", self.totals.done))

    @property
    def without_truth(self) -> dict[str, int]:
        """Of each metric the images with a result that lack the ground truth for it."""
        counts = {}
        for name in _metrics(self.facts):
            given = [sums.given for sums in self.totals.sums.get(name, {}).values()]
            known = int(np.any(given, axis=0).sum()) if given else 0
            counts[name] = self.images - known
        return {name: count for name, count in counts.items() if count}

    def value(self, method: str, name: str) -> float:
        """Return one number; NaN where no image gave it.

        Args:
            method: One of ``methods``.
            name: The name of a value, such as "average-drop".

        Raises:
            ValueError: There is no such method or value.
        """
        check_choice("method", method, self.methods)
        known = [value.name for metric in METRICS.values() for value in metric.values]
        found = self.estimates.get((method, check_choice("the value", name, known)))
        return math.nan if found is None else found.estimate

    def mark(self, method: str, name: str) -> str:
        """Return how clearly a method differs from the reference: "**", "*" or "".

        ``**``: p < 0.01, ``*``: p < 0.05, corrected for the number of methods.
        """
        p = self.corrected.get((method, name), math.nan)
        return "**" if p < 0.01 else "*" if p < 0.05 else ""

    def table(self) -> str:
        """Return the numbers as text, with intervals, directions and marks."""
        return text_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Return all that the report says, as JSON holds it: numbers that are none as None."""
        return as_dict(self)

    def save(self, directory: str | os.PathLike[str], *, pictures: Pictures | None = None) -> Path:
        """Write ``report.json``, ``report.csv`` and ``report.html``, all or none.

        Args:
            directory: Made if it is not there.
            pictures: Gives the images that the page shows under the maps; None: the page shows
                the maps alone.

        Returns:
            The path of the page.

        Raises:
            NotADirectoryError: ``directory`` is a file.
            OSError: The disk is full, or cannot be written to.
        """
        texts = {
            "report.json": as_json(self),
            "report.csv": as_csv(self),
            "report.html": build_page(self, pictures),
        }
        with staged(directory) as stage:
            for name, text in texts.items():
                # File names may hold bytes that are no letters.
                (stage / name).write_bytes(text.encode("utf-8", "backslashreplace"))
        return Path(directory) / "report.html"


def build_report(
    directory: str | os.PathLike[str],
    *,
    reference: str | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Report:
    """Return the report of the run in a directory, finished or not.

    Intervals are percentile intervals of the bootstrap over images; methods are compared with the
    reference on the same resamples. The same records give the same report, whatever their order.

    Args:
        directory: With ``run.json`` and the records.
        reference: The method that the others are compared with; None: the first.
        resamples: Number of resamples. No p is below 2 / (resamples + 1).
        seed: Of the resamples.

    Raises:
        FileNotFoundError: There is no run in the directory.
        TypeError: An argument of a wrong type.
        ValueError: ``reference`` is no method of the run, a number is out of its range, or a file
            is damaged.
    """
    check_integer("resamples", resamples, 1)
    check_integer("seed", seed, 0)
    path = Path(directory)
    facts = saved_facts(path)
    methods, metrics = _methods(facts), _metrics(facts)
    chosen = methods[0] if reference is None else check_choice("reference", reference, methods)
    totals = add_up(read_records(path), methods, metrics)
    estimates = estimate_all(totals, chosen, resamples=resamples, seed=seed)
    values = _listed(metrics, totals, estimates)
    return Report(
        facts=facts,
        methods=methods,
        reference=chosen,
        values=values,
        estimates=estimates,
        corrected=_corrected(methods, values, estimates),
        totals=totals,
        gallery=make_gallery(read_records(path), totals, methods, values),
        resamples=resamples,
        seed=seed,
    )


def _methods(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a run's methods."""
    found = facts.get("methods")
    if not isinstance(found, list) or not found or not all("name" in one for one in found):
        raise ValueError(expected("the run", "to have methods with names", describe(found)))
    return tuple(one["name"] for one in found)


def _metrics(facts: Mapping[str, Any]) -> dict[str, Metric]:
    """Return a run's metrics by name."""
    found = facts.get("metrics")
    try:
        return choose_metrics(found)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        what = "to have metrics of this version"
        raise ValueError(expected("the run", what, describe(found))) from None


def _listed(
    metrics: Mapping[str, Metric], totals: Totals, estimates: Mapping[tuple[str, str], Estimate]
) -> tuple[Value, ...]:
    """Return the values that some image gave; those of several labels where an image has them."""
    given = {name for (_, name), one in estimates.items() if not math.isnan(one.estimate)}
    return tuple(
        value
        for name, metric in metrics.items()
        for value in metric.values
        if value.name in given and (name != "multi-label" or totals.most_labels > 1)
    )


def _corrected(
    methods: tuple[str, ...],
    values: tuple[Value, ...],
    estimates: Mapping[tuple[str, str], Estimate],
) -> dict[tuple[str, str], float]:
    """Return the corrected p of each method and value."""
    found: dict[tuple[str, str], float] = {}
    for value in values:
        keys = [(name, value.name) for name in methods if (name, value.name) in estimates]
        found.update(zip(keys, holm([estimates[key].p for key in keys]), strict=True))
    return found
