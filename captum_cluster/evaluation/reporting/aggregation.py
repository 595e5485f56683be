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
from captum_cluster.evaluation.reporting.image_sums import MetricSums, State
from captum_cluster.evaluation.running.measures import METRICS

# Curves are added as integers, so that the order of the records does not change the last digit.
_UNIT = 2.0**40


@dataclass(frozen=True, eq=False)
class MethodTotals:
    """What one method cost and gave.

    Attributes:
        images: Number of images.
        forwards: Forward passes for one image, on average.
        seconds: Wall time for one image, on average.
        maps: Number of maps, one for each image and label.
        unmarked: How many of them have no positive part.
        not_finite: Number of images with a map that is not finite.
        deletion: The mean deletion curve (n+1,); empty without curves.
        insertion: The mean insertion curve (n+1,); empty without curves.
    """

    images: int
    forwards: float
    seconds: float
    maps: int
    unmarked: int
    not_finite: int
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Totals:
    """What all records of a run add up to.

    Attributes:
        images: (N,) the dataset's indices of the images with a result, ascending.
        done: Number of images with nothing left to do: with a result of every method, skipped, or
            without a label.
        sums: By metric and method; metrics that no image has are left out.
        methods: By method.
        most_labels: The largest number of labels present in an image.
        skipped: By index the images that could not be read, or examined: name and error.
        unlabelled: By index the images without a label to explain: their names.
    """

    images: NDArray[np.int64]
    done: int
    sums: dict[str, dict[str, MetricSums]]
    methods: dict[str, MethodTotals]
    most_labels: int
    skipped: dict[int, tuple[str, str]]
    unlabelled: dict[int, str]


def add_up(
    records: Iterable[Mapping[str, Any]], methods: Sequence[str], metrics: Sequence[str]
) -> Totals:
    """Return what the records add up to, whatever their order.

    Of two records of one image and method the first counts. Sums that are not finite are left out.

    Args:
        records: See ``captum_cluster.evaluation.running.examination``; read once, none is kept.
        methods: The names of the run's methods.
        metrics: The names of the run's metrics.

    Raises:
        ValueError: A record is of another method.

    Example:
        >>> sums = {"average-drop": {"drop": 0.5, "pairs": 2}}
        >>> record = {"image": 3, "method": "m", "seconds": 1.0, "forwards": 1, "labels": 2,
        ...           "finite": True, "marked": [True, False], "sums": sums}
        >>> totals = add_up([record, record], ["m"], ["average-drop"])
        >>> totals.images, totals.methods["m"].unmarked
        (array([3]), 1)
        >>> totals.sums["average-drop"]["m"].of_images()
        array([[0.25]])
    """
    reader = _Reader({name: _MethodReader() for name in methods})
    for record in records:
        reader.take(record)
    everywhere = [reader.methods[name].costs.keys() for name in methods]
    images = np.array(sorted(set().union(*everywhere)), dtype=np.int64)
    complete = set(images.tolist()).intersection(*everywhere)
    found = {
        metric: {
            name: one.sums(metric, images)
            for name, one in reader.methods.items()
            if metric in one.given
        }
        for metric in metrics
    }
    return Totals(
        images=images,
        done=len(complete.union(reader.skipped, reader.unlabelled)),
        sums={metric: by_method for metric, by_method in found.items() if by_method},
        methods={name: one.totals() for name, one in reader.methods.items()},
        most_labels=reader.most_labels,
        skipped=dict(sorted(reader.skipped.items())),
        unlabelled=dict(sorted(reader.unlabelled.items())),
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


@dataclass
class _Curve:
    """Curves added up, by their number of points: images of different sizes have more or fewer."""

    sums: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, curve: Sequence[float]) -> None:
        points, values = len(curve), np.asarray(curve, dtype=np.float64)
        if points and np.isfinite(values).all():
            units = np.rint(values * _UNIT).astype(np.int64)
            self.sums[points] = self.sums.get(points, 0) + units
            self.counts[points] = self.counts.get(points, 0) + 1

    def mean(self) -> tuple[float, ...]:
        """Return the mean over the images, at as many points as the longest has."""
        if not self.sums:
            return ()
        places = np.linspace(0.0, 1.0, max(self.sums))
        total = np.zeros(len(places))
        for points in sorted(self.sums):
            curve = self.sums[points] / _UNIT
            total += np.interp(places, np.linspace(0.0, 1.0, points), curve)
        return tuple((total / sum(self.counts.values())).tolist())


class _MethodReader:
    """The records of one method, as they come."""

    def __init__(self) -> None:
        self.costs: dict[int, tuple[float, float]] = {}
        self.given: dict[str, array[int]] = {}
        self.entries: dict[str, dict[str, _Entries]] = {}
        self.maps = self.unmarked = self.not_finite = 0
        self.deletion, self.insertion = _Curve(), _Curve()

    def take(self, record: Mapping[str, Any]) -> None:
        image = int(record["image"])
        self.costs[image] = float(record["forwards"]), float(record["seconds"])
        self.maps += len(record["marked"])
        self.unmarked += sum(not marked for marked in record["marked"])
        self.not_finite += not record["finite"]
        self.deletion.add(record.get("deletion", ()))
        self.insertion.add(record.get("insertion", ()))
        for metric, sums in record["sums"].items():
            if all(math.isfinite(value) for one in sums.values() for value in _decode(one)[1]):
                self._add(metric, image, sums)

    def _add(self, metric: str, image: int, sums: Mapping[str, Any]) -> None:
        self.given.setdefault(metric, array("q")).append(image)
        entries = self.entries.setdefault(metric, {})
        for name, encoded in sums.items():
            entries.setdefault(name, _Entries()).add(image, encoded)

    def sums(self, metric: str, images: NDArray[np.int64]) -> MetricSums:
        """Return the sums of a metric over all images (N,)."""
        entries = self.entries[metric]
        # Most models know many more classes than the images show: only those seen have a row, as
        # all means over classes leave the others out.
        seen = np.unique(
            np.concatenate([np.asarray(one.at) for one in entries.values() if not one.scalar])
            if any(not one.scalar for one in entries.values())
            else np.zeros(1, dtype=np.int64)
        )
        states = {name: _state(one, images, seen) for name, one in entries.items()}
        return MetricSums(METRICS[metric], states, np.isin(images, np.asarray(self.given[metric])))

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
            self.deletion.mean(),
            self.insertion.mean(),
        )


@dataclass
class _Reader:
    """All records, as they come."""

    methods: dict[str, _MethodReader]
    most_labels: int = 0
    skipped: dict[int, tuple[str, str]] = field(default_factory=dict)
    unlabelled: dict[int, str] = field(default_factory=dict)

    def take(self, record: Mapping[str, Any]) -> None:
        image, name = int(record["image"]), str(record.get("name", ""))
        if "error" in record:
            self.skipped.setdefault(image, (name, str(record["error"])))
        elif record.get("empty"):
            self.unlabelled.setdefault(image, name)
        else:
            reader = self.methods.get(record["method"])
            if reader is None:
                what = f"of the run's methods ({', '.join(self.methods)})"
                raise ValueError(expected("the records", what, repr(record["method"])))
            if image not in reader.costs:
                reader.take(record)
                self.most_labels = max(self.most_labels, record["labels"])


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
