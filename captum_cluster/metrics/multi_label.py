"""How much of a model's answer a map and its complement keep, where an image has several labels."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor

from captum_cluster._checks import check_choice, check_integer, expected
from captum_cluster.functional.metrics import (
    Sums,
    multi_label_confidence_compute,
    multi_label_confidence_update,
)
from captum_cluster.functional.metrics.multi_label import AVERAGES, SINGLE_LABEL
from captum_cluster.metrics._base import SumMetric


class MultiLabelConfidence(SumMetric):
    """Confidence of the explained label and of the image's other labels, behind a map.

    ``compute()`` gives a dict: ``ic`` (Increase in Confidence), ``ad`` (Average Drop), ``ado``
    (Average Drop of Others), ``ar`` (Average Retention), ``aro`` (Average Retention of Others),
    ``f1_minus`` (harmonic mean of ``ad`` and ``aro``) and ``f1_plus`` (of ``ar`` and ``ado``).
    Each from 0 to 1; ``directions`` says of which the larger is the better.

    Args:
        num_labels: Number of labels L.
        average: "macro": the mean over classes of the class means, classes without a pair left
            out, the harmonic means of each class first; "micro": over all pairs.
        single_label: A pair without other labels counts 0 in ``ado`` and ``aro`` ("zero", as the
            authors' code does), or is left out of them ("exclude").
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: ``num_labels`` is below 1, or one of the others is another string.

    Example:
        >>> import torch
        >>> metric = MultiLabelConfidence(3)
        >>> whole, masked = torch.tensor([[0.8, 0.6, 0.1]]), torch.tensor([[0.6, 0.3, 0.1]])
        >>> metric.update(whole, masked, torch.tensor([[0.2, 0.6, 0.1]]), torch.tensor([0]))
        >>> {name: round(float(value), 2) for name, value in metric.compute().items()}
        ... # doctest: +NORMALIZE_WHITESPACE
        {'ic': 0.0, 'ad': 0.25, 'ado': 0.5, 'ar': 0.75, 'aro': 0.0, 'f1_minus': 0.0,
         'f1_plus': 0.6}

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", section 4.3, equations 10 to 14.
    """

    higher_is_better = None
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    directions: ClassVar[Mapping[str, bool]] = MappingProxyType(
        {
            "ic": True,
            "ad": False,
            "ado": True,
            "ar": True,
            "aro": False,
            "f1_minus": False,
            "f1_plus": True,
        }
    )

    def __init__(
        self,
        num_labels: int,
        average: str = "macro",
        single_label: str = "zero",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_labels = check_integer("num_labels", num_labels, 1)
        self.average = check_choice("average", average, AVERAGES)
        self.single_label = check_choice("single_label", single_label, SINGLE_LABEL)
        self._add_states((num_labels,), sums="ic ad ado ar aro", counts="pairs shared")
        self._add_states(counts="skipped")

    def update(
        self,
        original: Tensor,
        masked: Tensor,
        complement: Tensor,
        target: Tensor,
        present: Tensor | None = None,
    ) -> None:
        """Add rows, each a pair (image, label); one whose label is not present is only counted.

        Args:
            original: (P,L) in [0,1], the probabilities of the whole images.
            masked: (P,L) in [0,1], of the images times the label's saliency map.
            complement: (P,L) in [0,1], of the images times one less the map.
            target: (P,) int, the pairs' label.
            present: (P,L) bool, the labels each row's image has; None for those predicted,
                probability above 0.5.

        Raises:
            TypeError: ``present`` is not boolean, or ``target`` holds no integers.
            ValueError: Shapes do not belong together, a value is outside [0,1], or a target
                outside the labels.
        """
        if original.ndim != 2 or original.shape[1] != self.num_labels:
            what = f"of shape (P,L) with L = {self.num_labels}"
            raise ValueError(expected("original", what, f"{tuple(original.shape)}"))
        self._add(multi_label_confidence_update(original, masked, complement, target, present))

    def compute_sums(self, sums: Sums) -> dict[str, Tensor]:
        """Return the seven values, (B,) each, of sums (B,L)."""
        return multi_label_confidence_compute(
            sums, average=self.average, single_label=self.single_label
        )
