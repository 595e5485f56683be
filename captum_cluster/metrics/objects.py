"""How what a map marks, cut at a threshold, overlaps the object."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from captum_cluster._checks import check_integer, check_number
from captum_cluster.functional.metrics import (
    Sums,
    object_iou_compute,
    object_iou_update,
    object_precision_compute,
    object_precision_update,
    object_recall_compute,
    object_recall_update,
)
from captum_cluster.metrics._base import LocalizationMetric


class _ObjectOverlap(LocalizationMetric):
    """The mean over classes of the mean of a number of each pair: the subclass says which."""

    higher_is_better = True
    _quantity: ClassVar[str]
    _sums_of: ClassVar[staticmethod[..., Sums]]
    _value_of: ClassVar[staticmethod[[Sums], Tensor]]

    def __init__(self, num_classes: int, threshold: float = 0.15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = check_integer("num_classes", num_classes, 1)
        self.threshold = check_number("threshold", threshold, 0.0, 1.0, open_low=True)
        self._add_states((num_classes,), sums=self._quantity, counts="pairs")
        self._add_states(counts="skipped")

    def _sums(self, maps: Tensor, target: Any, boxes: Any, masks: Any) -> Sums:
        return self._sums_of(
            maps,
            target,
            num_classes=self.num_classes,
            boxes=boxes,
            masks=masks,
            threshold=self.threshold,
        )

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return the mean over classes (B,) of sums (B,L)."""
        return self._value_of(sums)


class ObjectIoU(_ObjectOverlap):
    """The mean over classes of the mean IoU of a class's map with the class's mask.

    The map at ``threshold`` of its maximum, against the mask (or the union of the boxes). From 0
    to 1, the larger, the better; 0 for an all-zero map. ``ObjectRecall`` and ``ObjectPrecision``
    say whether a low one is of maps that cover too little or too much.

    Args:
        num_classes: Number of classes L.
        threshold: Above 0 and at most 1.
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range.

    Example:
        >>> import torch
        >>> metric = ObjectIoU(num_classes=2)
        >>> mask = torch.tensor([[[True, True, False, False]]])
        >>> metric.update(torch.tensor([[[0.0, 4.0, 5.0, 3.0]]]), torch.tensor([1]), masks=mask)
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)

    References:
        Multi-level class grouping (000), section IV.A.3.
    """

    _quantity = "iou"
    _sums_of = staticmethod(object_iou_update)
    _value_of = staticmethod(object_iou_compute)


class ObjectRecall(_ObjectOverlap):
    """The mean over classes of the mean share of the object that a map covers.

    The share of the pixels of the mask (or of the union of the boxes) where the map reaches
    ``threshold`` of its maximum: whether maps cover the objects. From 0 to 1, the larger, the
    better; 0 for an all-zero map. A map that marks nearly the whole image has 1: read it beside
    ``ObjectPrecision``.

    Args:
        num_classes: Number of classes L.
        threshold: Above 0 and at most 1.
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range.

    Example:
        >>> import torch
        >>> metric = ObjectRecall(num_classes=2)
        >>> mask = torch.tensor([[[True, True, False, False]]])
        >>> metric.update(torch.tensor([[[0.0, 4.0, 5.0, 3.0]]]), torch.tensor([1]), masks=mask)
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    _quantity = "recall"
    _sums_of = staticmethod(object_recall_update)
    _value_of = staticmethod(object_recall_compute)


class ObjectPrecision(_ObjectOverlap):
    """The mean over classes of the mean share of what a map marks that is the object's.

    Of the pixels where the map reaches ``threshold`` of its maximum the share inside the mask (or
    the union of the boxes): whether maps stay on the objects. From 0 to 1, the larger, the better;
    0 for an all-zero map. A map that marks one pixel of the object has 1: read it beside
    ``ObjectRecall``.

    Args:
        num_classes: Number of classes L.
        threshold: Above 0 and at most 1.
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range.

    Example:
        >>> import torch
        >>> metric = ObjectPrecision(num_classes=2)
        >>> mask = torch.tensor([[[True, True, False, False]]])
        >>> metric.update(torch.tensor([[[0.0, 4.0, 5.0, 3.0]]]), torch.tensor([1]), masks=mask)
        >>> metric.compute()
        tensor(0.3333, dtype=torch.float64)
    """

    _quantity = "precision"
    _sums_of = staticmethod(object_precision_update)
    _value_of = staticmethod(object_precision_compute)
