"""F1, F2 and mean average precision of a classifier, over all validation images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_average_precision
from torchmetrics.utilities import dim_zero_cat


class LabelScores(Metric):
    """F1, F2 and average precision, each the mean over the labels.

    Labels that no image has count in F1 and F2 where they are predicted, and do not in the average
    precision. For any number of labels, one among them. An image without any label makes the label
    said of it wrong.

    Args:
        multi_label: A label is predicted where its probability is above 0.5; otherwise the most
            probable one.
        **options: Those of every ``torchmetrics.Metric``.

    Example:
        >>> scores = LabelScores()
        >>> scores.update(torch.tensor([[0.9, 0.2], [0.8, 0.1]]), torch.tensor([[1, 0], [0, 0]]))
        >>> {name: round(float(value), 3) for name, value in scores.compute().items()}
        {'f1': 0.667, 'f2': 0.833, 'map': 1.0}
    """

    full_state_update = False
    probabilities: list[Tensor]
    labels: list[Tensor]

    def __init__(self, *, multi_label: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.multi_label = multi_label
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Add images: probabilities (N,L) and labels (N,L), 0 or 1."""
        self.probabilities.append(probabilities.detach())
        self.labels.append(labels.bool())

    def compute(self) -> dict[str, Tensor]:
        """Return "f1", "f2" and "map", scalars from 0 to 1; NaN where no label counts."""
        probabilities, labels = dim_zero_cat(self.probabilities), dim_zero_cat(self.labels)
        predicted = probabilities > 0.5
        if not self.multi_label:
            numbers = torch.arange(labels.shape[1], device=labels.device)
            predicted = numbers == probabilities.argmax(dim=1, keepdim=True)
        precision = [
            binary_average_precision(probabilities[:, label], labels[:, label].long())
            for label in torch.nonzero(labels.any(dim=0)).flatten().tolist()
        ]
        found = torch.stack(precision) if precision else probabilities.new_zeros(0)
        return {
            "f1": _f_score(predicted, labels, 1.0),
            "f2": _f_score(predicted, labels, 2.0),
            "map": found.mean(),
        }


def _f_score(predicted: Tensor, labels: Tensor, beta: float) -> Tensor:
    hits, false = (predicted & labels).sum(0), (predicted & ~labels).sum(0)
    missed = (~predicted & labels).sum(0)
    counts = hits + false + missed > 0
    score = (1 + beta**2) * hits / ((1 + beta**2) * hits + beta**2 * missed + false).clamp(min=1)
    return score[counts].mean()
