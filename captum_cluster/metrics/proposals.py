"""How well proposed boxes hold the objects of an image's labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from captum_cluster._checks import check_choice, check_integer, check_number
from captum_cluster.functional.metrics.multi_label import AVERAGES
from captum_cluster.functional.metrics.proposals import (
    best_overlap_compute,
    corloc_compute,
    proposal_recall_compute,
    proposals_update,
)
from captum_cluster.functional.metrics.regions import Box
from captum_cluster.functional.metrics.sums import Sums
from captum_cluster.metrics._base import SumMetric


class _Proposals(SumMetric):
    """A metric of proposed boxes of pairs (image, label) against the boxes of the objects."""

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(
        self, num_classes: int, iou: float = 0.5, average: str = "macro", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = check_integer("num_classes", num_classes, 1)
        self.iou = check_number("iou", iou, 0.0, 1.0, open_low=True)
        self.average = check_choice("average", average, AVERAGES)
        self._add_states((num_classes,), sums="overlap", counts="hits pairs found objects")
        self._add_states(counts="skipped")

    def update(
        self,
        proposals: Sequence[Sequence[Box] | Tensor],
        target: Tensor | Sequence[int],
        boxes: Sequence[Sequence[Box] | Tensor],
    ) -> None:
        """Add pairs; one without an object is skipped and counted.

        Args:
            proposals: For each pair the proposed boxes x0, y0, x1, y1 in pixels, best first.
            target: (P,) int, the pairs' labels.
            boxes: For each pair the boxes of the label's objects in the image.

        Raises:
            TypeError: The boxes are no numbers, or ``target`` holds no integers.
            ValueError: A box has no area or is not finite, a label is outside the classes, or
                there is another number of pairs.
        """
        self._add(
            proposals_update(proposals, target, boxes, num_classes=self.num_classes, iou=self.iou)
        )


class CorLoc(_Proposals):
    """The share of pairs (image, label) whose first proposal holds an object of the label.

    Its IoU with one of the objects' boxes is at least ``iou``. From 0 to 1, the larger, the
    better; a pair without a proposal is a miss.

    Args:
        num_classes: Number of labels L.
        iou: Above 0 and at most 1.
        average: "macro": the mean over classes of the class shares, classes without a pair left
            out; "micro": over all pairs.
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range.

    Example:
        >>> metric = CorLoc(num_classes=2)
        >>> metric.update([[(0, 0, 2, 2)], []], [1, 1], [[(0, 0, 2, 3)], [(0, 0, 1, 1)]])
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)

    References:
        Deselaers, Alexe, Ferrari 2012, "Weakly Supervised Localization and Learning with Generic
        Knowledge", section 6.
    """

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return CorLoc (B,) of sums (B,L)."""
        return corloc_compute(sums, average=self.average)


class ProposalRecall(_Proposals):
    """The share of objects with which some proposal of their label has an IoU of at least ``iou``.

    From 0 to 1, the larger, the better.

    Args:
        num_classes: Number of labels L.
        iou: Above 0 and at most 1.
        average: "macro": the mean over classes of the class shares, classes without an object left
            out; "micro": over all objects.
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range.

    Example:
        >>> metric = ProposalRecall(num_classes=1)
        >>> metric.update([[(0, 0, 2, 2)]], [0], [[(0, 0, 2, 3), (5, 5, 6, 6)]])
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return the share of objects found (B,) of sums (B,L)."""
        return proposal_recall_compute(sums, average=self.average)


class BestOverlap(_Proposals):
    """The mean over objects of the IoU with the best proposal of their label (ABO).

    From 0 to 1, the larger, the better.

    Args:
        num_classes: Number of labels L.
        iou: As in ``CorLoc``; it does not matter here, and makes the states those of the others.
        average: As in ``ProposalRecall``.
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range.

    Example:
        >>> metric = BestOverlap(num_classes=1)
        >>> metric.update([[(0, 0, 2, 2)]], [0], [[(0, 0, 2, 4), (5, 5, 6, 6)]])
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)

    References:
        Uijlings et al. 2013, "Selective Search for Object Recognition", equation 7.
    """

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return the mean best IoU (B,) of sums (B,L)."""
        return best_overlap_compute(sums, average=self.average)
