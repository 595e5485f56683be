"""What a training has found: the recipe's maps beside the baseline's, as a page and files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from captum_cluster.evaluation.recipes.pages import (
    Picture,
    embedded,
    head_lines,
    save_texts,
    shown,
    table_lines,
)
from captum_cluster.evaluation.recipes.scores import Scores
from captum_cluster.evaluation.recipes.verdicts import (
    FEWEST,
    Verdict,
    decimals,
    figure,
    span,
    verdicts,
)
from captum_cluster.evaluation.reporting.filling import filled
from captum_cluster.evaluation.reporting.meanings import GENERAL, MEANINGS
from captum_cluster.evaluation.reporting.report import Report
from captum_cluster.evaluation.reporting.table import arrow, notes
from captum_cluster.evaluation.running.measures import Value

TITLES = {
    "baseline": "A plain classifier",
    "sub-category": "Sub-categories",
    "class-grouping": "Class grouping and orthogonal branches",
    "kernel-usage": "Kernel usage regularisation",
}
SCORES = {"f1": "F1", "f2": "F2", "average_precision": "Average precision"}
ONE_TRAINING = (
    "Better or worse: p < 0.05, corrected for the number of methods as in the table of the maps; "
    f"nothing is said of fewer than {FEWEST} images. The intervals are not corrected. All is over "
    "the images judged, of networks that were trained once: another seed gives other networks. "
    "Judge a recipe by several seeds."
)


@dataclass(frozen=True)
class TrainingReport:
    """What a training has found.

    Attributes:
        recipe: Its name.
        facts: What was done, as pairs of words.
        scores: Of each network how well it tells labels.
        maps: Of each network's methods, called "network: method", what their maps reach; the first
            is the baseline's.
        main: The method of ``maps`` that the recipe is about.
        pictures: The figures.
        numbers: What else was found (groups, statistics of weights), as JSON holds it.
        config: The run, as JSON holds it.
    """

    recipe: str
    facts: Sequence[tuple[str, str]]
    scores: Mapping[str, Scores]
    maps: Report
    main: str
    pictures: Sequence[Picture] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdicts(self) -> list[Verdict]:
        """Of each value whether the recipe's maps are better than the baseline's."""
        return verdicts(self.maps, self.main)

    def table(self) -> str:
        """Return the numbers as text."""
        return "\n".join([*_score_lines(self), "", self.maps.table(), "", *map(str, self.verdicts)])

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON holds them."""
        return {
            "recipe": self.recipe,
            "config": dict(self.config),
            "classifiers": {name: one.to_dict() for name, one in self.scores.items()},
            "main": self.main,
            "verdicts": [str(one) for one in self.verdicts],
            "maps": self.maps.to_dict(),
            **self.numbers,
        }

    def save(self, directory: Path) -> Path:
        """Write ``report.json``, ``report.md`` and ``report.html``, and return the page's path.

        The page has the figures inside, which must be in the directory already.
        """
        texts = {
            "report.json": json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n",
            "report.md": _markdown(self),
            "report.html": _page(self, directory),
        }
        return save_texts(texts, directory)


def _score_lines(report: TrainingReport) -> list[str]:
    width = max(len("network"), *map(len, report.scores))
    lines = [f"{'network':<{width}}  " + "  ".join(SCORES.values())]
    for name, one in report.scores.items():
        cells = [f"{one.to_dict()[key]:>{len(title)}.3f}" for key, title in SCORES.items()]
        lines.append(f"{name:<{width}}  " + "  ".join(cells))
    return lines


def _cells(report: Report, value: Value) -> list[dict[str, Any] | None]:
    """Return the cells of a value: one for each method, None where it has none."""
    estimates = [report.estimates.get((method, value.name)) for method in report.methods]
    known = [one.estimate for one in estimates if one and not math.isnan(one.estimate)]
    best = (max if value.higher else min)(known, default=math.nan)
    return [
        {
            "text": figure(one.estimate, decimals(one.estimate, one.low, one.high)),
            "interval": span(one.low, one.high, decimals(one.estimate, one.low, one.high)),
            "mark": report.mark(method, value.name),
            "best": one.estimate == best,
        }
        if one and not math.isnan(one.estimate)
        else None
        for method, one in zip(report.methods, estimates, strict=True)
    ]


def _markdown(report: TrainingReport) -> str:
    lines = head_lines(TITLES[report.recipe], report.facts)
    if report.verdicts:
        lines += ["", f"## {report.main} against {report.maps.reference}", ""]
        lines += [f"- {one}" for one in report.verdicts] + ["", ONE_TRAINING]
    lines += [
        "",
        "## The classifiers",
        "",
        *table_lines(["network", *SCORES.values()], _scores(report)),
    ]
    head = ["", *report.maps.methods]
    values = [[_heading(value), *_texts(report.maps, value)] for value in report.maps.values]
    lines += [
        "",
        "## The maps",
        "",
        *table_lines(head, values),
        "",
        "[All about the maps](maps/report.html)",
    ]
    return "\n".join([*lines, *shown(report.pictures)]) + "\n"


def _heading(value: Value) -> str:
    return f"{value.title} {arrow(value)}"


def _scores(report: TrainingReport) -> list[list[str]]:
    return [
        [name, *(figure(one.to_dict()[key]) for key in SCORES)]
        for name, one in report.scores.items()
    ]


def _texts(report: Report, value: Value) -> list[str]:
    """Return the cells of a value as text."""
    found = []
    for cell in _cells(report, value):
        text = (
            "-" if cell is None else f"{cell['text']} ({cell['interval']}) {cell['mark']}".strip()
        )
        found.append(f"**{text}**" if cell and cell["best"] else text)
    return found


def _page(report: TrainingReport, directory: Path) -> str:
    return filled(
        "training.html.j2",
        title=TITLES[report.recipe],
        report=report,
        one_training=ONE_TRAINING,
        score_titles=list(SCORES.values()),
        scores=_scores(report),
        general=GENERAL,
        notes=notes(report.maps),
        values=[
            {
                "heading": _heading(value),
                "meaning": MEANINGS[value.name],
                "cells": _cells(report.maps, value),
            }
            for value in report.maps.values
        ],
        pictures=embedded(report.pictures, directory),
    )
