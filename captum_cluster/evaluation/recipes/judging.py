"""The maps of several networks on the same images, compared pair by pair in one report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from captum_cluster import __version__
from captum_cluster.evaluation.output import staged
from captum_cluster.evaluation.recipes.sources import Sources
from captum_cluster.evaluation.reporting.report import Report, build_report
from captum_cluster.evaluation.runner import evaluate
from captum_cluster.evaluation.running.fingerprint import (
    describe_dataset,
    plain,
    saved_facts,
    state_digest,
)
from captum_cluster.evaluation.running.records import read_records

_JUDGED = "judged.json"


@dataclass(frozen=True)
class Judged:
    """A network and the methods that explain it.

    Attributes:
        name: What it is called in the report.
        network: With ``explained_layers``, the layers to explain.
        methods: As for ``evaluate``.
    """

    name: str
    network: nn.Module
    methods: tuple[Any, ...]


def judge(
    networks: Sequence[Judged],
    sources: Sources,
    directory: Path,
    *,
    metrics: Any,
    progress: bool = True,
) -> Report:
    """Judge networks on the test images, and return one report with all of them.

    Each network is a run of ``evaluate`` in a directory of its own, which goes on where it was
    broken off, and begins anew where what is judged has changed (the network, the images, the
    methods or the metrics): unlike networks, maps are soon made again. As all are judged on the
    same images, they are compared on the same resamples: the reference is the first network's
    first method.

    Args:
        networks: With different names.
        sources: Whose test images are taken.
        directory: Of the report; below it each network's own.
        metrics: As for ``evaluate``.
        progress: Show bars.

    Returns:
        The report, whose methods are called "network: method"; also written to ``directory``.

    Raises:
        ValueError: As ``evaluate``.
    """
    places = {one.name: directory / one.name.replace(" ", "-") for one in networks}
    for one in networks:
        _take(places[one.name], _facts(one, sources, metrics))
        evaluate(
            one.network,
            list(one.network.explained_layers),  # type: ignore[arg-type]
            sources.test,
            list(one.methods),
            metrics,
            output=places[one.name],
            probability="sigmoid" if sources.several else "probability",
            preparation=sources.preparation,
            progress=progress,
        )
    _merge(places, directory)
    report = build_report(directory)
    report.save(directory, pictures=lambda position: _picture(sources, position))
    return report


def called(network: str, method: str) -> str:
    """Return what a method of a network is called in the report.

    Example:
        >>> called("round 1", "cam")
        'round 1: cam'
    """
    return f"{network}: {method}"


def _facts(one: Judged, sources: Sources, metrics: Any) -> dict[str, Any]:
    """Return all that the maps of a network and their numbers depend on."""
    facts = {
        "captum_cluster": __version__,
        "network": [type(one.network).__name__, state_digest(one.network)],
        "methods": one.methods,
        "metrics": metrics,
        "images": describe_dataset(sources.test),
        "several": sources.several,
        "preparation": vars(sources.preparation),
    }
    found: dict[str, Any] = json.loads(json.dumps(plain(facts)))
    return found


def _take(place: Path, facts: Mapping[str, Any]) -> None:
    """Take a network's directory, without what is of another network, images or metrics."""
    try:
        known = json.loads((place / _JUDGED).read_text())
    except (FileNotFoundError, ValueError):
        known = None
    if known == facts:
        return
    if place.is_dir():
        shutil.rmtree(place)
    with staged(place) as stage:
        (stage / _JUDGED).write_text(json.dumps(facts, indent=2) + "\n")


def _merge(places: Mapping[str, Path], directory: Path) -> None:
    """Write one run that holds the records of several, over that of an earlier time."""
    facts = {name: saved_facts(place) for name, place in places.items()}
    merged = {
        **next(iter(facts.values())),
        "model": {name: one["model"]["class"] for name, one in facts.items()},
        "layer": {name: one["layer"] for name, one in facts.items()},
        "methods": [
            {**method, "name": called(name, method["name"])}
            for name, one in facts.items()
            for method in one["methods"]
        ],
    }
    with staged(directory) as stage:
        (stage / "run.json").write_text(json.dumps(merged, indent=2) + "\n")
        with (stage / "records-0.jsonl").open("w") as file:
            file.writelines(json.dumps(record) + "\n" for record in _records(places))


def _records(places: Mapping[str, Path]) -> Iterator[dict[str, Any]]:
    for name, place in places.items():
        for record in read_records(place):
            if "method" in record:
                record = {**record, "method": called(name, record["method"])}
            yield record


def _picture(sources: Sources, position: int) -> Tensor | None:
    try:
        return sources.preparation.prepare(sources.test[position]).image
    except (OSError, ValueError):
        return None
