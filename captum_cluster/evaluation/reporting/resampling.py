"""How sure the numbers of a report are: the bootstrap over images, and paired comparisons."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captum_cluster.evaluation.reporting.aggregation import Totals
from captum_cluster.evaluation.reporting.image_sums import MetricSums, chunks

_TAILS = (0.025, 0.975)
# Two ways to the same map differ by rounding, and may do so in one direction on every image.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Estimate:
    """One number of one method, and how sure it is.

    Attributes:
        estimate: Over all images.
        low: Lower end of its 95 % interval; NaN for fewer than two images.
        high: Upper end.
        images: Number of images with a value of their own.
        difference: From the reference method, over the images that both have; NaN for the
            reference itself, as what follows.
        difference_low: Lower end of its 95 % interval.
        difference_high: Upper end.
        p: Two-sided, of no difference.
    """

    estimate: float
    low: float
    high: float
    images: int
    difference: float = math.nan
    difference_low: float = math.nan
    difference_high: float = math.nan
    p: float = math.nan


def resample_counts(
    images: int, resamples: int, seed: int, width: int = 1
) -> Iterator[NDArray[np.float64]]:
    """Yield how often each image is drawn, (N,b) at a time, (N,resamples) in all.

    Each column is N draws with replacement out of N images.

    Args:
        images: N.
        resamples: Number of columns.
        seed: The columns do not depend on anything else.
        width: Numbers that will be held for each column, for the size b of the pieces.

    Example:
        >>> [counts.sum(axis=0) for counts in resample_counts(4, 3, 0)]
        [array([4., 4., 4.])]
    """
    generator = np.random.default_rng(seed)
    for columns in chunks(resamples, max(images, width)):
        drawn = generator.integers(images, size=(columns, images))
        places = (drawn * columns + np.arange(columns)[:, None]).ravel()
        counts = np.bincount(places, minlength=columns * images)
        yield counts.reshape(images, columns).astype(np.float64)


def interval(values: NDArray[np.float64], images: int) -> tuple[float, float]:
    """Return the ends of the 95 % percentile interval of resampled values; NaN without one.

    One image drawn again and again is always the same: it has no interval.

    Args:
        values: (B,); NaN values are left out.
        images: Number of images that were resampled.

    Example:
        >>> interval(np.linspace(0.0, 1.0, 201), 9), interval(np.ones(201), 1)
        ((0.025, 0.975), (nan, nan))
    """
    known = values[~np.isnan(values)]
    if not len(known) or images < 2:
        return math.nan, math.nan
    low, high = np.quantile(known, _TAILS)
    return float(low), float(high)


def two_sided(differences: NDArray[np.float64], images: int) -> float:
    """Return the two-sided p of no difference, from resampled differences.

    Twice the share of resamples on the rarer side of 0 (differences below 1e-6 are none, and on
    both), each side counted with one resample more than were drawn, so that p is never 0. A
    bootstrap of very few images finds too much: p is at least 2 / 2^images, the least that any
    test of the images' signs can give.

    Args:
        differences: (B,); NaN values are left out.
        images: Number of images that were resampled.

    Example:
        >>> two_sided(np.array([1.0, 2.0, 3.0]), 9), two_sided(np.zeros(3), 9)
        (0.5, 1.0)
    """
    known = differences[~np.isnan(differences)]
    if not len(known) or not images:
        return math.nan
    rarer = min(int((known <= _ROUNDING).sum()), int((known >= -_ROUNDING).sum()))
    return min(1.0, max(2 * (rarer + 1) / (len(known) + 1), 2.0 ** (1 - images)))


def holm(p: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's method; NaN stays and does not count.

    Example:
        >>> holm([0.01, math.nan, 0.04, 0.03])
        [0.03, nan, 0.06, 0.06]

    References:
        Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    known = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    corrected, largest = list(p), 0.0
    for rank, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        corrected[place] = largest
    return corrected


@dataclass(frozen=True, eq=False)
class _Subject:
    """One metric of one method, beside the reference's."""

    sums: MetricSums
    base: MetricSums | None

    @property
    def both(self) -> NDArray[np.bool_]:
        """The images (N,) that both have."""
        none = np.zeros_like(self.sums.given)
        return none if self.base is None else self.sums.given & self.base.given

    def values(
        self, weights: NDArray[np.float64], known: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return the values and the differences (2,V,B) with images weighted by (N,B).

        Args:
            weights: How often each image is drawn.
            known: The reference's values (V,B) with these weights, where they are at hand.
        """
        own = self.sums.values(weights)
        if self.base is None:
            return np.stack([own, np.full_like(own, np.nan)])
        both = self.both
        if bool((self.sums.given == both).all() and (self.base.given == both).all()):
            return np.stack([own, own - (self.base.values(weights) if known is None else known)])
        shared = weights * both[:, None]
        return np.stack([own, self.sums.values(shared) - self.base.values(shared)])

    def estimates(
        self, drawn: NDArray[np.float64], base: NDArray[np.bool_] | None
    ) -> list[Estimate]:
        """Return an estimate for each of the metric's values.

        Args:
            drawn: (2,V,B), the resampled values and differences.
            base: (V,N), the images of which the reference has a value.
        """
        found = self.values(np.ones((len(self.sums.given), 1)))[:, :, 0]
        known = _known(self.sums)
        images = known.sum(axis=1)
        both = np.zeros_like(images) if base is None else (known & base).sum(axis=1)
        return [
            Estimate(
                float(found[0, place]),
                *interval(drawn[0, place], int(images[place])),
                int(images[place]),
                float(found[1, place]),
                *interval(drawn[1, place], int(both[place])),
                two_sided(drawn[1, place], int(both[place])),
            )
            for place in range(found.shape[1])
        ]


@dataclass(frozen=True, eq=False)
class _Group:
    """One metric of all methods."""

    subjects: Mapping[str, _Subject]
    base: MetricSums | None

    @classmethod
    def of(cls, by_method: Mapping[str, MetricSums], reference: str) -> _Group:
        """Return the metric's sums, each beside the reference's."""
        base = by_method.get(reference)
        subjects = {
            method: _Subject(sums, None if method == reference else base)
            for method, sums in by_method.items()
        }
        return cls(subjects, base)

    @property
    def width(self) -> int:
        """The most numbers that one method needs for a resample."""
        return max(subject.sums.width for subject in self.subjects.values())

    def values(self, weights: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Yield each method with its values and differences (2,V,B)."""
        known = None if self.base is None else self.base.values(weights)
        for method, subject in self.subjects.items():
            yield method, subject.values(weights, known)


def estimate_all(
    totals: Totals, reference: str, *, resamples: int, seed: int
) -> dict[tuple[str, str], Estimate]:
    """Return an estimate for each method and value; the images drawn are the same for all.

    Args:
        totals: What the records add up to.
        reference: The method that the others are compared with.
        resamples: Number of resamples.
        seed: Of the draw.
    """
    groups = [_Group.of(by_method, reference) for by_method in totals.sums.values()]
    width = max((group.width for group in groups), default=1)
    drawn: list[dict[str, list[NDArray[np.float64]]]] = [
        {method: [] for method in group.subjects} for group in groups
    ]
    for weights in resample_counts(len(totals.images), resamples, seed, width) if groups else ():
        for group, parts in zip(groups, drawn, strict=True):
            for method, values in group.values(weights):
                parts[method].append(values)
    found = {}
    for group, parts in zip(groups, drawn, strict=True):
        base = None if group.base is None else _known(group.base)
        for method, subject in group.subjects.items():
            estimates = subject.estimates(np.concatenate(parts.pop(method), axis=2), base)
            for value, one in zip(subject.sums.metric.values, estimates, strict=True):
                found[method, value.name] = one
    return found


def _known(sums: MetricSums) -> NDArray[np.bool_]:
    """Return of which images there is a value (V,N)."""
    known: NDArray[np.bool_] = ~np.isnan(sums.of_images())
    return known
