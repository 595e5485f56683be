"""The images that a report shows: some of all, and each method's best and worst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captum_cluster.evaluation.reporting.aggregation import Totals
from captum_cluster.evaluation.running.measures import Value

_MOST_IMAGES, _LEAST_IMAGES = 12, 4
_CELLS = 200
_EXTREMES = 4
_LABELS = 2


@dataclass(frozen=True)
class Shown:
    """One method's maps of one image.

    Attributes:
        name: The image's name.
        targets: The labels explained of which there is a thumbnail.
        thumbnails: Their saliency maps, small grey PNGs in base64.
        value: What the method reached on the image, of ``Gallery.value``.
    """

    name: str
    targets: tuple[int, ...]
    thumbnails: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Gallery:
    """The images that a report shows.

    Attributes:
        value: The value by which images are best or worst; None where none has any.
        images: Those shown with all methods, evenly chosen.
        best: Of each method the images with the best values, the best first.
        worst: Of each method those with the worst, the worst first.
        shown: By image and method what is shown.
    """

    value: Value | None = None
    images: tuple[int, ...] = ()
    best: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    worst: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    shown: Mapping[tuple[int, str], Shown] = field(default_factory=dict)


def make_gallery(
    records: Iterable[Mapping[str, Any]],
    totals: Totals,
    methods: Sequence[str],
    values: Sequence[Value],
) -> Gallery:
    """Return the gallery of a run.

    Args:
        records: All records once more, for the thumbnails of the images chosen.
        totals: What they add up to.
        methods: The names of the run's methods.
        values: The values that the report has; images are ranked by Insertion - Deletion, or by
            the first value where that is none of them.
    """
    value = next((one for one in values if one.name == "overall"), next(iter(values), None))
    scores = _scores(totals, value)
    best, worst = {}, {}
    for method in methods:
        ranked = _ranked(totals.images, scores.get(method), value)
        best[method] = tuple(ranked[: min(_EXTREMES, (len(ranked) + 1) // 2)])
        worst[method] = tuple(ranked[::-1][: min(_EXTREMES, len(ranked) // 2)])
    images = _evenly(totals.images, len(methods) * min(_LABELS, max(1, totals.most_labels)))
    wanted = {(image, method) for image in images for method in methods}
    for chosen in (best, worst):
        wanted |= {(image, method) for method, some in chosen.items() for image in some}
    shown = _shown(records, wanted, totals.images, scores)
    return Gallery(value, images, best, worst, shown)


def _scores(totals: Totals, value: Value | None) -> dict[str, NDArray[np.float64]]:
    """Return of each method the images' own values (N,)."""
    for by_method in totals.sums.values():
        for method_sums in by_method.values():
            names = [one.name for one in method_sums.metric.values]
            if value is not None and value.name in names:
                place = names.index(value.name)
                return {name: sums.of_images()[place] for name, sums in by_method.items()}
    return {}


def _ranked(
    images: NDArray[np.int64], scores: NDArray[np.float64] | None, value: Value | None
) -> list[int]:
    """Return the images that have a value, the best first."""
    if scores is None or value is None:
        return []
    signed = -scores if value.higher else scores
    order = np.argsort(signed, kind="stable")  # NaN comes last
    return [int(images[place]) for place in order[: int((~np.isnan(scores)).sum())]]


def _evenly(images: NDArray[np.int64], cells: int) -> tuple[int, ...]:
    """Return images evenly chosen, fewer where each takes many cells of the page."""
    most = max(_LEAST_IMAGES, min(_MOST_IMAGES, _CELLS // cells))
    places = np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int)
    return tuple(int(images[place]) for place in places)


def _shown(
    records: Iterable[Mapping[str, Any]],
    wanted: set[tuple[int, str]],
    images: NDArray[np.int64],
    scores: Mapping[str, NDArray[np.float64]],
) -> dict[tuple[int, str], Shown]:
    """Return what is shown of the images and methods wanted."""
    found: dict[tuple[int, str], Shown] = {}
    for record in records:
        key = record["image"], record.get("method", "")
        if key not in wanted or key in found or "error" in record:
            continue
        image, method = key
        own = scores.get(method)
        place = int(np.searchsorted(images, image))
        thumbnails = tuple(record.get("thumbnails", ())[:_LABELS])
        found[key] = Shown(
            name=str(record.get("name", "")),
            targets=tuple(record["targets"][: len(thumbnails)]),
            thumbnails=thumbnails,
            value=float("nan") if own is None else float(own[place]),
        )
    return dict(sorted(found.items()))
