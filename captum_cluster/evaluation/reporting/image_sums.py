"""The sums of a metric image by image, and its values for any weights of the images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from captum_cluster.evaluation.running.measures import Metric

# Numbers held at once, so that memory does not grow with the images.
_ROOM = 2**19


@dataclass(frozen=True, eq=False)
class State:
    """One sum of a metric, image by image.

    Attributes:
        matrix: (S,N), sparse; only rows that some image has.
        scalar: Whether it is one number for each image, without an axis of classes.
        count: Whether it counts, and so is int64.
    """

    matrix: Any
    scalar: bool
    count: bool

    def added(self, weights: Any) -> Tensor:
        """Return the sums (B,S), or (B,) of scalars, with images weighted by (N,B)."""
        product = self.matrix @ weights
        dense = product.toarray() if sparse.issparse(product) else product
        sums = torch.from_numpy(np.asarray(dense, dtype=np.float64)).T
        sums = sums.round().long() if self.count else sums
        return sums[:, 0] if self.scalar else sums


@dataclass(frozen=True, eq=False)
class MetricSums:
    """The sums of one metric for one method.

    Attributes:
        metric: The metric.
        states: Its sums by name.
        given: (N,) bool, the images that have them.
    """

    metric: Metric
    states: Mapping[str, State]
    given: NDArray[np.bool_]

    @property
    def width(self) -> int:
        """The number of rows of all sums."""
        return sum(int(state.matrix.shape[0]) for state in self.states.values())

    def values(self, weights: Any) -> NDArray[np.float64]:
        """Return the metric's values (V,B) with images weighted by (N,B)."""
        sums = {name: state.added(weights) for name, state in self.states.items()}
        return torch.stack([value.double() for value in self.metric.compute(sums)]).numpy()

    def of_images(self) -> NDArray[np.float64]:
        """Return the metric's values (V,N) of each image alone; NaN where it has none."""
        images = len(self.given)
        one_by_one = sparse.identity(images, format="csc")
        starts = np.cumsum([0, *chunks(images, self.width)])
        parts = [
            self.values(one_by_one[:, start:stop]) for start, stop in itertools.pairwise(starts)
        ]
        return np.concatenate(parts, axis=1)


def chunks(rows: int, width: int) -> Iterator[int]:
    """Yield numbers of rows of that width to hold at once; together they are ``rows``.

    Example:
        >>> list(chunks(5, 2**18))
        [2, 2, 1]
    """
    step = max(1, _ROOM // max(1, width))
    for start in range(0, rows, step):
        yield min(step, rows - start)
