"""How much of a saliency map lies where the object is, and whether its box is the object's."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from captum_cluster._checks import check_integer, check_number
from captum_cluster.functional.metrics import (
    Sums,
    energy_compute,
    energy_update,
    localization_compute,
    localization_update,
    pointing_compute,
    pointing_update,
)
from captum_cluster.metrics._base import LocalizationMetric


class EnergyProportion(LocalizationMetric):
    """The mean share of a map's energy inside the boxes or the mask (Proportion).

    The energy-based pointing game. From 0 to 1, the larger, the better; 0 for an all-zero map.

    Args:
        kwargs: As for any torchmetrics metric.

    Example:
        >>> import torch
        >>> metric = EnergyProportion()
        >>> metric.update(torch.tensor([[[3.0, 0.0], [1.0, 0.0]]]), boxes=[[(0, 0, 1, 1)]])
        >>> metric.compute()
        tensor(0.7500, dtype=torch.float64)

    References:
        Wang et al. 2020, "Score-CAM", section 4.2; Ha and Youn, "Collection-CAM", equation 29.
    """

    higher_is_better = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._add_states(sums="energy", counts="pairs skipped")

    def _sums(self, maps: Tensor, target: Any, boxes: Any, masks: Any) -> Sums:
        return energy_update(maps, boxes=boxes, masks=masks)

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return the mean share of energy inside (B,) of sums (B,)."""
        return energy_compute(sums)


class PointingGame(LocalizationMetric):
    """The share of maps whose maximum lies inside the boxes or the mask.

    From 0 to 1, the larger, the better; an all-zero map misses.

    Args:
        tolerance: Distance in pixels that the maximum may be outside; 15 in the original.
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: ``tolerance`` is no number.
        ValueError: ``tolerance`` is below 0.

    Example:
        >>> import torch
        >>> metric = PointingGame()
        >>> metric.update(torch.tensor([[[3.0, 0.0], [1.0, 0.0]]]), boxes=[[(0, 0, 1, 1)]])
        >>> metric.compute()
        tensor(1., dtype=torch.float64)

    References:
        Zhang et al. 2018, "Top-down Neural Attention by Excitation Backprop", section 4.1.
    """

    higher_is_better = True

    def __init__(self, tolerance: float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tolerance = check_number("tolerance", tolerance, 0.0)
        self._add_states(counts="hits pairs skipped")

    def _sums(self, maps: Tensor, target: Any, boxes: Any, masks: Any) -> Sums:
        return pointing_update(maps, boxes=boxes, masks=masks, tolerance=self.tolerance)

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return the share of hits (B,) of sums (B,)."""
        return pointing_compute(sums)


class LocalizationError(LocalizationMetric):
    """The mean over classes of the share of maps whose box is wrong (mLEV).

    A map's box is the tight box of the largest connected component (8 neighbours) of the map at
    ``threshold`` of its maximum; it is wrong if its IoU with every ground-truth box is below
    ``iou``. From 0 to 1, the smaller, the better; an all-zero map is wrong.

    Args:
        num_classes: Number of classes L.
        threshold: Above 0 and at most 1.
        iou: Above 0 and at most 1.
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range.

    Example:
        >>> import torch
        >>> metric = LocalizationError(num_classes=2)
        >>> maps = torch.tensor([[[0.0, 4.0, 5.0]]])
        >>> metric.update(maps, torch.tensor([1]), boxes=[[(1, 0, 3, 1)]])
        >>> metric.compute()
        tensor(0., dtype=torch.float64)

    References:
        Multi-level class grouping (000), section IV.A.3; it gives no formula, this is the standard
        localisation error with its threshold.
    """

    higher_is_better = False

    def __init__(
        self, num_classes: int, threshold: float = 0.15, iou: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = check_integer("num_classes", num_classes, 1)
        self.threshold = check_number("threshold", threshold, 0.0, 1.0, open_low=True)
        self.iou = check_number("iou", iou, 0.0, 1.0, open_low=True)
        self._add_states((num_classes,), counts="errors pairs")
        self._add_states(counts="skipped")

    def _sums(self, maps: Tensor, target: Any, boxes: Any, masks: Any) -> Sums:
        return localization_update(
            maps,
            target,
            num_classes=self.num_classes,
            boxes=boxes,
            masks=masks,
            threshold=self.threshold,
            iou=self.iou,
        )

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return mLEV (B,) of sums (B,L)."""
        return localization_compute(sums)
