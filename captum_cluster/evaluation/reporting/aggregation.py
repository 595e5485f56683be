"""What the records of a run add up to, read line by line: sums, costs and curves by method."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from captum_cluster._checks import expected
from captum_cluster.evaluation.reporting.curves import CurveSums
from captum_cluster.evaluation.reporting.image_sums import MetricSums, State
from captum_cluster.evaluation.running.measures import Metric

_ERRORS = 3


@dataclass(frozen=True, eq=False)
class MethodTotals:
    """What one method cost and gave.

    Attributes:
        images: Number of images with a result.
        forwards: Forward passes for one image, on average.
        seconds: Wall time for one image, on average.
        maps: Number of maps, one for each image and label.
        unmarked: How many of them have no positive part.
        not_finite: Number of images with a map that is not finite.
        shares: The shares of pixels (n+1,) at which the mean curves stand; empty without curves.
        deletion: The mean deletion curve (n+1,).
        insertion: The mean insertion curve (n+1,).
    """

    images: int
    forwards: float
    seconds: float
    maps: int
    unmarked: int
    not_finite: int
    shares: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Totals:
    """What all records of a run add up to.

    Attributes:
        images: (N,) the dataset's indices of the images with a result, ascending.
        done: Number of images with nothing left to do: with a result or a failure of every method,
            skipped, or without a label.
        judged: Number of those that have a result.
        sums: By metric and method; metrics that no image has are left out.
        methods: By method.
        most_labels: The largest number of labels present in an image.
        skipped: By index the images that could not be read, or examined: name and error.
        unlabelled: By index the images without a label to explain: their names.
        failed: By method, and index of the images where it failed: name and error.
    """

    images: NDArray[np.int64]
    done: int
    judged: int
    sums: dict[str, dict[str, MetricSums]]
    methods: dict[str, MethodTotals]
    most_labels: int
    skipped: dict[int, tuple[str, str]]
    unlabelled: dict[int, str]
    failed: dict[str, dict[int, tuple[str, str]]]

    def first_errors(self, method: str) -> list[tuple[int, str, str]]:
        """Return image, name and message of a method: of each message the first, at most three."""
        found: dict[str, tuple[int, str, str]] = {}
        for image, (name, error) in self.failed[method].items():
            found.setdefault(error, (image, name, error))
        return list(found.values())[:_ERRORS]


def add_up(
    records: Iterable[Mapping[str, Any]], methods: Sequence[str], metrics: Mapping[str, Metric]
) -> Totals:
    """Return what the records add up to, whatever their order.

    Of two results of one image and method the first counts, of two errors the last. A result
    replaces an error, and an image that could be examined after all is not skipped. Sums that are
    not finite are left out.

    Args:
        records: See ``captum_cluster.evaluation.running.examination``; read once, none is kept.
        methods: The names of the run's methods.
        metrics: The run's metrics by name; see ``choose_metrics``.

    Raises:
        ValueError: A record is of another method.

    Example:
        >>> from captum_cluster.evaluation.running.measures import METRICS
        >>> sums = {"average-drop": {"drop": 0.5, "pairs": 2}}
        >>> record = {"image": 3, "method": "m", "seconds": 1.0, "forwards": 1, "labels": 2,
        ...           "finite": True, "marked": [True, False], "sums": sums}
        >>> totals = add_up([record, record], ["m"], METRICS)
        >>> totals.images, totals.methods["m"].unmarked
        (array([3]), 1)
        >>> totals.sums["average-drop"]["m"].of_images()
        array([[0.25]])
    """
    reader = _Reader({name: _MethodReader() for name in methods})
    for record in records:
        reader.take(record)
    results = [one.costs.keys() for one in reader.methods.values()]
    images = np.array(sorted(set().union(*results)), dtype=np.int64)
    tried = [one.costs.keys() | one.errors.keys() for one in reader.methods.values()]
    complete, begun = set.intersection(*tried), set.union(*tried)
    unlabelled = {image: reader.unlabelled[image] for image in reader.unlabelled.keys() - begun}
    skipped = reader.unread.keys() - begun - reader.unlabelled.keys()
    return Totals(
        images=images,
        done=len(complete) + len(skipped) + len(unlabelled),
        judged=len(complete.intersection(images.tolist())),
        sums=reader.sums(metrics, images),
        methods={name: one.totals() for name, one in reader.methods.items()},
        most_labels=reader.most_labels,
        skipped={image: reader.unread[image] for image in sorted(skipped)},
        unlabelled=dict(sorted(unlabelled.items())),
        failed={name: one.failed() for name, one in reader.methods.items()},
    )


class _Entries:
    """The numbers of one sum, one after the other: image, column, value."""

    def __init__(self) -> None:
        self.images, self.at, self.values = array("q"), array("q"), array("d")
        self.scalar = self.count = True

    def add(self, image: int, encoded: Any) -> None:
        at, values = _decode(encoded)
        self.scalar = self.scalar and not isinstance(encoded, Mapping)
        self.count = self.count and all(isinstance(value, int) for value in values)
        self.images.extend([image] * len(at))
        self.at.extend(at)
        self.values.extend(values)


class _MethodReader:
    """The records of one method, as they come."""

    def __init__(self) -> None:
        self.costs: dict[int, tuple[float, float]] = {}
        self.given: dict[str, array[int]] = {}
        self.entries: dict[str, dict[str, _Entries]] = {}
        self.maps = self.unmarked = self.not_finite = 0
        self.errors: dict[int, tuple[str, str]] = {}
        self.curves = CurveSums()

    def take(self, record: Mapping[str, Any]) -> None:
        image = int(record["image"])
        self.costs[image] = float(record["forwards"]), float(record["seconds"])
        self.maps += len(record["marked"])
        self.unmarked += sum(not marked for marked in record["marked"])
        self.not_finite += not record["finite"]
        self.curves.add(record)
        for metric, sums in record["sums"].items():
            if all(math.isfinite(value) for one in sums.values() for value in _decode(one)[1]):
                self._add(metric, image, sums)

    def _add(self, metric: str, image: int, sums: Mapping[str, Any]) -> None:
        self.given.setdefault(metric, array("q")).append(image)
        entries = self.entries.setdefault(metric, {})
        for name, encoded in sums.items():
            entries.setdefault(name, _Entries()).add(image, encoded)

    def sums(self, name: str, metric: Metric, images: NDArray[np.int64]) -> MetricSums:
        """Return the sums of a metric over all images (N,)."""
        entries = self.entries[name]
        # Most models know many more classes than the images show: only those seen have a row, as
        # all means over classes leave the others out.
        seen = np.unique(
            np.concatenate([np.asarray(one.at) for one in entries.values() if not one.scalar])
            if any(not one.scalar for one in entries.values())
            else np.zeros(1, dtype=np.int64)
        )
        states = {state: _state(one, images, seen) for state, one in entries.items()}
        return MetricSums(metric, states, np.isin(images, np.asarray(self.given[name])))

    def totals(self) -> MethodTotals:
        """Return the means and counts."""
        ordered = np.array([self.costs[image] for image in sorted(self.costs)]).reshape(-1, 2)
        forwards, seconds = ordered.mean(axis=0) if len(ordered) else (math.nan, math.nan)
        return MethodTotals(
            len(ordered),
            float(forwards),
            float(seconds),
            self.maps,
            self.unmarked,
            self.not_finite,
            *self.curves.mean(),
        )

    def failed(self) -> dict[int, tuple[str, str]]:
        """Return the images where the method failed and has no result: name and error."""
        left = sorted(self.errors.keys() - self.costs.keys())
        return {image: self.errors[image] for image in left}


@dataclass
class _Reader:
    """All records, as they come."""

    methods: dict[str, _MethodReader]
    most_labels: int = 0
    unread: dict[int, tuple[str, str]] = field(default_factory=dict)
    unlabelled: dict[int, str] = field(default_factory=dict)

    def take(self, record: Mapping[str, Any]) -> None:
        image, name = int(record["image"]), str(record.get("name", ""))
        if record.get("empty"):
            self.unlabelled.setdefault(image, name)
        elif "error" not in record:
            reader = self._of(record["method"])
            if image not in reader.costs:
                reader.take(record)
                self.most_labels = max(self.most_labels, record["labels"])
        elif "method" in record:
            self._of(record["method"]).errors[image] = name, str(record["error"])
        else:
            self.unread[image] = name, str(record["error"])

    def sums(
        self, metrics: Mapping[str, Metric], images: NDArray[np.int64]
    ) -> dict[str, dict[str, MetricSums]]:
        """Return the sums by metric and method; metrics that no image has are left out."""
        found = {
            name: {
                method: one.sums(name, metric, images)
                for method, one in self.methods.items()
                if name in one.given
            }
            for name, metric in metrics.items()
        }
        return {name: by_method for name, by_method in found.items() if by_method}

    def _of(self, method: str) -> _MethodReader:
        """Return the reader of a method's records."""
        if method not in self.methods:
            what = f"of the run's methods ({', '.join(self.methods)})"
            raise ValueError(expected("the records", what, repr(method)))
        return self.methods[method]


def _decode(encoded: Any) -> tuple[Sequence[int], Sequence[float]]:
    """Return the columns and values of a sum as ``encode_sums`` writes it."""
    if isinstance(encoded, Mapping):
        return encoded["at"], encoded["values"]
    return (0,), (encoded,)


def _state(entries: _Entries, images: NDArray[np.int64], seen: NDArray[np.int64]) -> State:
    """Return one sum as a matrix of its rows by images."""
    rows = np.zeros(1, dtype=np.int64) if entries.scalar else seen
    places = np.searchsorted(rows, np.asarray(entries.at, dtype=np.int64))
    columns = np.searchsorted(images, np.asarray(entries.images, dtype=np.int64))
    shape = (max(1, len(rows)), len(images))
    matrix = sparse.csr_matrix((np.asarray(entries.values), (places, columns)), shape=shape)
    matrix.sort_indices()  # added in the order of the images, whatever that of the records
    return State(matrix, entries.scalar, entries.count)
