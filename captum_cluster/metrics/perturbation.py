"""Areas under the curves of deletion and insertion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from captum_cluster.functional.metrics import (
    Sums,
    area_compute,
    area_update,
    overall_compute,
    overall_update,
)
from captum_cluster.metrics._base import SumMetric


class _Area(SumMetric):
    """The mean area under curves of probability against the share of changed pixels."""

    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._add_states(sums="area", counts="pairs")

    def update(self, curves: Tensor, *, steps: Sequence[int]) -> None:
        """Add curves, from ``functional.metrics.perturbation.deletion_insertion``.

        Args:
            curves: (P,n+1) in [0,1], the target's probability at each step.
            steps: The n + 1 numbers of changed pixels, from ``perturbation_steps``.

        Raises:
            TypeError: The curves are no floating point numbers.
            ValueError: The shapes do not belong together, or a value is outside [0,1].
        """
        self._add(area_update(curves, steps=steps))

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return the mean area (B,) of sums (B,)."""
        return area_compute(sums)


class Deletion(_Area):
    """The mean area under the deletion curves, from 0 to 1; the smaller, the better.

    Args:
        kwargs: As for any torchmetrics metric.

    Example:
        >>> import torch
        >>> metric = Deletion()
        >>> metric.update(torch.tensor([[1.0, 0.0, 0.0]]), steps=[0, 5, 10])
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)

    References:
        Petsiuk, Das, Saenko 2018, "RISE", section 4.1; Ha and Youn, "Collection-CAM", section IV.
    """

    higher_is_better = False


class Insertion(_Area):
    """The mean area under the insertion curves, from 0 to 1; the larger, the better.

    Args:
        kwargs: As for any torchmetrics metric.

    Example:
        >>> import torch
        >>> metric = Insertion()
        >>> metric.update(torch.tensor([[0.0, 0.5, 1.0]]), steps=[0, 5, 10])
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)

    References:
        As for ``Deletion``.
    """

    higher_is_better = True


class Overall(SumMetric):
    """The mean of Insertion less Deletion, from -1 to 1; the larger, the better.

    Args:
        kwargs: As for any torchmetrics metric.

    Example:
        >>> import torch
        >>> metric = Overall()
        >>> deletion, insertion = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]])
        >>> metric.update(deletion, insertion, steps=[0, 5, 10])
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)

    References:
        Ha and Youn, "Collection-CAM", equation 28.
    """

    higher_is_better = True
    plot_lower_bound = -1.0
    plot_upper_bound = 1.0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._add_states(sums="deletion insertion", counts="pairs")

    def update(self, deletion: Tensor, insertion: Tensor, *, steps: Sequence[int]) -> None:
        """Add both curves of pairs, in the order in which ``deletion_insertion`` gives them.

        Args:
            deletion: (P,n+1) in [0,1], the deletion curves.
            insertion: (P,n+1) in [0,1], the insertion curves.
            steps: The n + 1 numbers of changed pixels, from ``perturbation_steps``.

        Raises:
            TypeError: The curves are no floating point numbers.
            ValueError: The shapes do not belong together, or a value is outside [0,1].
        """
        self._add(overall_update(deletion, insertion, steps=steps))

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return the mean of Insertion less Deletion (B,) of sums (B,)."""
        return overall_compute(sums)
