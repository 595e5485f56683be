"""How much of a model's answer is left behind a saliency map: one label of each image."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from captum_cluster._checks import check_flag
from captum_cluster.functional.metrics import (
    Sums,
    average_drop_compute,
    average_drop_update,
    increase_compute,
    increase_update,
)
from captum_cluster.metrics._base import SumMetric


class AverageDrop(SumMetric):
    """The mean share of the target's probability that is lost behind the saliency map.

    ``mean max(0, Y - O) / Y``, and 0 where Y is 0. From 0 to 1, the smaller, the better.

    Args:
        signed: Without the maximum: gains count as negative drops (Cluster-CAM's confidence drop).
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: ``signed`` is no bool.

    Example:
        >>> import torch
        >>> metric = AverageDrop()
        >>> metric.update(torch.tensor([0.8, 0.5]), torch.tensor([0.6, 0.9]))
        >>> metric.compute()
        tensor(0.1250, dtype=torch.float64)

    References:
        Chattopadhay et al. 2018, "Grad-CAM++"; Ha and Youn, "Collection-CAM", section IV; Feng et
        al. 2023, "Cluster-CAM", section 4 (signed).
    """

    higher_is_better = False
    plot_upper_bound = 1.0

    def __init__(self, signed: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.signed = check_flag("signed", signed)
        self._add_states(sums="drop", counts="pairs")

    def update(self, original: Tensor, masked: Tensor) -> None:
        """Add pairs.

        Args:
            original: (P,), the target's probability Y for each whole image.
            masked: (P,), its probability O for the image times its saliency map.

        Raises:
            TypeError: They are no floating point numbers.
            ValueError: The shapes differ, or a value is outside [0,1].
        """
        self._add(average_drop_update(original, masked, signed=self.signed))

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return the Average Drop (B,) of sums (B,)."""
        return average_drop_compute(sums)


class IncreaseInConfidence(SumMetric):
    """The share of images whose target becomes more probable behind the saliency map.

    ``mean [O > Y]``, strict. From 0 to 1, the larger, the better.

    Args:
        kwargs: As for any torchmetrics metric.

    Example:
        >>> import torch
        >>> metric = IncreaseInConfidence()
        >>> metric.update(torch.tensor([0.8, 0.5]), torch.tensor([0.6, 0.9]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)

    References:
        As for ``AverageDrop``.
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._add_states(counts="increase pairs")

    def update(self, original: Tensor, masked: Tensor) -> None:
        """Add pairs.

        Args:
            original: (P,), the target's probability Y for each whole image.
            masked: (P,), its probability O for the image times its saliency map.

        Raises:
            TypeError: They are no floating point numbers.
            ValueError: The shapes differ, or a value is outside [0,1].
        """
        self._add(increase_update(original, masked))

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return the Increase in Confidence (B,) of sums (B,)."""
        return increase_compute(sums)
