"""Maps as a segmentation of the image, against the true one."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from captum_cluster._checks import check_choice, check_integer, check_number, expected
from captum_cluster.functional.metrics import (
    Sums,
    mean_iou_compute,
    pixel_f_score_compute,
    segmentation_update,
)
from captum_cluster.functional.metrics.segmentation import AVERAGES
from captum_cluster.metrics._base import SumMetric


class _Segmentation(SumMetric):
    """A metric of the pixels that are predicted, true, and both, of each class."""

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(
        self,
        num_classes: int,
        background: float = 0.15,
        ignore_index: int = 255,
        average: str = "present",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = check_integer("num_classes", num_classes, 1)
        self.background = check_number("background", background, 0.0, 1.0)
        self.ignore_index = check_integer("ignore_index", ignore_index, -(2**31), 2**31)
        self.average = check_choice("average", average, AVERAGES)
        self._add_states((num_classes + 1,), counts="intersection predicted true")

    def update(self, maps: Tensor, present: Tensor, masks: Tensor) -> None:
        """Add images.

        Args:
            maps: (N,L,H,W) float, any range, at any resolution; each becomes a saliency map
                first. Those of labels that are not present are not read.
            present: (N,L) bool, the labels each image has.
            masks: (N,H,W) int, the true segmentation: 0 for background, label l as l + 1.

        Raises:
            TypeError: ``present`` is not boolean, or ``masks`` holds no integers.
            ValueError: The shapes do not belong together, a present label's map is not finite, or
                ``masks`` holds a number that is no class.
        """
        if maps.ndim != 4 or maps.shape[1] != self.num_classes:
            what = f"of shape (N,L,H,W) with L = {self.num_classes}"
            raise ValueError(expected("maps", what, f"{tuple(maps.shape)}"))
        options = {"background": self.background, "ignore_index": self.ignore_index}
        self._add(segmentation_update(maps, present, masks, **options))  # type: ignore[arg-type]


class MeanIoU(_Segmentation):
    """The mean over classes of the IoU of the segmentation that the maps make (mIoU).

    The segmentation is the argmax over a background score and the saliency maps of the present
    labels; pixels are counted over the whole data set. From 0 to 1, the larger, the better.

    Args:
        num_classes: Number of labels L, without background.
        background: The background's score, from 0 to 1.
        ignore_index: Pixels of the true segmentation with this value count nowhere.
        average: "present": over the classes with a true pixel, background among them; "all": over
            every class, where one that is neither true nor predicted counts 0; "none": (L+1,),
            each class, background first, NaN for one that is neither true nor predicted.
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range.

    Example:
        >>> import torch
        >>> metric = MeanIoU(num_classes=2)
        >>> maps = torch.tensor([[[[0.0, 1.0, 10.0]], [[9.0, 1.0, 0.0]]]])
        >>> metric.update(maps, torch.tensor([[True, True]]), torch.tensor([[[2, 1, 1]]]))
        >>> metric.compute()
        tensor(0.7500, dtype=torch.float64)

    References:
        Everingham et al. 2010, "PASCAL VOC", section 4.2; Chang et al. 2020, "Sub-category
        exploration", section 4.
    """

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return mIoU (B,), or the IoU of each class (B,L+1), of sums (B,L+1)."""
        return mean_iou_compute(sums, average=self.average)


class PixelFScore(_Segmentation):
    """The mean over classes of the F-score of the pixels of the segmentation that the maps make.

    As ``MeanIoU``, with the harmonic mean of precision and recall in the place of the IoU.

    Args:
        num_classes: Number of labels L, without background.
        background: As in ``MeanIoU``.
        ignore_index: As in ``MeanIoU``.
        average: As in ``MeanIoU``.
        kwargs: As for any torchmetrics metric.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range.

    Example:
        >>> import torch
        >>> metric = PixelFScore(num_classes=2)
        >>> maps = torch.tensor([[[[0.0, 1.0, 10.0]], [[9.0, 1.0, 0.0]]]])
        >>> metric.update(maps, torch.tensor([[True, True]]), torch.tensor([[[2, 1, 1]]]))
        >>> metric.compute()
        tensor(0.8333, dtype=torch.float64)

    References:
        Chang et al. 2020, "Sub-category exploration", table 2.
    """

    def compute_sums(self, sums: Sums) -> Tensor:
        """Return the mean F-score (B,), or that of each class (B,L+1), of sums (B,L+1)."""
        return pixel_f_score_compute(sums, average=self.average)
