"""Mean curves of deletion and insertion, over images of any sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captum_cluster._checks import expected

# Curves are added as integers, so that the order of the records does not change the last digit.
_UNIT = 2.0**40


@dataclass
class CurveSums:
    """Curves added up, by the shares of pixels at which they stand: images differ in size.

    Attributes:
        sums: By shares (S,) the sums (2,S) of deletion and insertion, in units of 2^-40.
        counts: By shares the number of images.

    Example:
        >>> curves = CurveSums()
        >>> curves.add({"deletion": [1, 0, 0], "insertion": [0, 1, 1], "shares": [0, 0.75, 1]})
        >>> curves.add({"deletion": [1, 0], "insertion": [0, 1]})
        >>> curves.mean()
        ((0.0, 0.75, 1.0), (1.0, 0.125, 0.0), (0.0, 0.875, 1.0))
    """

    sums: dict[tuple[float, ...], NDArray[np.int64]] = field(default_factory=dict)
    counts: dict[tuple[float, ...], int] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add the curves of a record; one without both, or with a value not finite, adds nothing.

        Raises:
            ValueError: The curves and their shares are not of one length.
        """
        both = [record.get(kind, ()) for kind in ("deletion", "insertion")]
        if not all(both):
            return
        shares = _shares(record, len(both[0]))
        if any(len(curve) != len(shares) for curve in both):
            got = f"{len(both[0])} and {len(both[1])} points, {len(shares)} shares"
            what = f"to have curves and shares of one length for image {record.get('image')}"
            raise ValueError(expected("the records", what, got))
        values = np.asarray(both, dtype=np.float64)
        if np.isfinite(values).all():
            units = np.rint(values * _UNIT).astype(np.int64)
            self.sums[shares] = self.sums.get(shares, 0) + units
            self.counts[shares] = self.counts.get(shares, 0) + 1

    def mean(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """Return shares, mean deletion and mean insertion (S,); empty without curves.

        At the shares of the images with the most steps (of those, of the most images); the curves
        of images with others are interpolated between their own.
        """
        if not self.sums:
            return (), (), ()
        grid = max(self.sums, key=lambda shares: (len(shares), self.counts[shares], shares))
        total = np.zeros((2, len(grid)))
        for shares in sorted(self.sums):
            total += [np.interp(grid, shares, curve / _UNIT) for curve in self.sums[shares]]
        deletion, insertion = (total / sum(self.counts.values())).tolist()
        return grid, tuple(deletion), tuple(insertion)


def _shares(record: Mapping[str, Any], points: int) -> tuple[float, ...]:
    """Return the shares of changed pixels at each step; a record without them has even steps."""
    given: Sequence[float] | None = record.get("shares")
    if given is not None:
        return tuple(map(float, given))
    return tuple(number / max(1, points - 1) for number in range(points))
