"""A segmentation network, as a Lightning module."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric

from captum_cluster._checks import describe, expected, is_integer
from captum_cluster.functional.metrics.segmentation import confusion, mean_iou_compute
from captum_cluster.training.masked_scenes import UNCERTAIN
from captum_cluster.training.modules.settings_module import SettingsModule
from captum_cluster.training.settings import TrainingSettings


class LitSegmentation(SettingsModule):
    """Trains a segmentation network with masks, such as pseudo masks, by cross-entropy.

    Each certain pixel of a batch counts the same; a batch without any has the loss 0. Logs
    ``train_loss``, ``val_loss`` and ``val_miou``: over the certain pixels of all validation images,
    the mean IoU of background and the labels that the masks have. Optimizer, schedule and what is
    trained when are the settings', as for ``LitCamClassifier``.

    The masks of each batch are checked before the network sees it. On a GPU that makes the process
    wait once a batch for what the GPU still does; a number of no label would leave it without the
    GPU.

    Args:
        network: From images to logits (N,L+1,H,W), background first, with ``num_labels`` (L): a
            ``SegmentationNetwork``, or one of your own. Settings that train the head first, or a
            part of the layers, need its ``parent_head``.
        settings: None: ``TrainingSettings()``.

    Raises:
        TypeError: An argument is of another type, or the network is without ``num_labels``.
        ValueError: The network has more than 254 labels, of which 255 would be one.

    Shape:
        Batches (images (N,c,H,W), masks (N,H,W) int64), or with an index (N,) as third part: 0 for
        background, label l as l + 1, 255 for uncertain pixels. ``MaskData`` gives them.

    Example:
        >>> from captum_cluster.training import segmentation_network
        >>> module = LitSegmentation(segmentation_network(nn.Conv2d(3, 8, 3), 4, channels=8))
        >>> module(torch.rand(2, 3, 16, 16)).shape
        torch.Size([2, 5, 16, 16])
    """

    head_names = ("parent_head",)
    trains_parts = True

    def __init__(self, network: nn.Module, settings: TrainingSettings | None = None) -> None:
        labels = getattr(network, "num_labels", None)
        if not isinstance(network, nn.Module) or not is_integer(labels):
            what = "a module with a number of labels num_labels"
            raise TypeError(expected("network", what, f"a {type(network).__name__} without"))
        if int(labels) >= UNCERTAIN:  # type: ignore[arg-type]
            what = f"of at most {UNCERTAIN - 1} labels, as {UNCERTAIN} is for uncertain pixels"
            raise ValueError(expected("network", what, labels))
        super().__init__(network, settings)
        self.val_scores = PixelScores(int(labels) + 1)  # type: ignore[arg-type]

    def networks(self) -> list[nn.Module]:
        """Return the network, whose ``parent_head`` can be trained first."""
        return [self.network]

    def loss_of(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of the certain pixels of a batch, 0 without any.

        Raises:
            ValueError: The masks are not of the images' size, or hold a number that is no label's.
        """
        masks = self._masks(images, labels)
        return segmentation_loss(self(images), masks)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log the loss of a batch, and keep what the scores need."""
        del batch_idx
        images, masks = batch[0], self._masks(batch[0], batch[1])
        logits = self(images).float()
        self.log_mean("loss", segmentation_loss(logits, masks), images)
        self.val_scores.update(logits.argmax(dim=1), masks)

    def on_validation_epoch_end(self) -> None:
        """Log the mean IoU of all validation images."""
        self.log("val_miou", self.val_scores.compute())
        self.val_scores.reset()

    def _masks(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the masks (N,H,W) of images as int64."""
        kind = labels.dtype
        if labels.ndim != 3 or kind.is_floating_point or kind.is_complex or kind == torch.bool:
            raise ValueError(expected("masks", "integers (N,H,W)", describe(labels)))
        size = (len(images), *images.shape[-2:])
        if labels.shape != size:
            what = f"of the images' size {size}"
            raise ValueError(expected("masks", what, tuple(labels.shape)))
        masks, most = labels.long(), self.val_scores.classes - 1
        strange = masks[((masks < 0) | (masks > most)) & (masks != UNCERTAIN)]
        if len(strange):
            what = f"numbers from 0 to the number of labels ({most}), or {UNCERTAIN}"
            raise ValueError(expected("masks", what, int(strange[0])))
        return masks


class PixelScores(Metric):
    """The mean IoU of masks, over the classes that the true masks have.

    Args:
        classes: Number of classes with background, L + 1.
        **options: Those of every ``torchmetrics.Metric``.

    Example:
        >>> scores = PixelScores(2)
        >>> scores.update(torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 0, 255]]]))
        >>> scores.compute()
        tensor(0.5000)
    """

    full_state_update = False
    higher_is_better = True
    intersection: Tensor
    predicted: Tensor
    true: Tensor

    def __init__(self, classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.classes = classes
        for name in ("intersection", "predicted", "true"):
            zeros = torch.zeros(classes, dtype=torch.int64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def update(self, found: Tensor, masks: Tensor) -> None:
        """Add images: predicted masks (N,H,W), and true ones, 255 where uncertain."""
        for name, count in confusion(found, masks, masks != UNCERTAIN, self.classes).items():
            setattr(self, name, getattr(self, name) + count)

    def compute(self) -> Tensor:
        """Return the mean IoU, a scalar from 0 to 1; NaN without a certain pixel."""
        sums = {name: getattr(self, name) for name in ("intersection", "predicted", "true")}
        return mean_iou_compute(sums).float()


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean cross-entropy of the certain pixels, 0 (and no gradient) without any.

    Args:
        logits: (N,L+1,H,W), background first.
        masks: (N,H,W) int64: 0 for background, label l as l + 1, 255 where uncertain.

    Example:
        >>> logits = torch.zeros(1, 2, 1, 2)
        >>> segmentation_loss(logits, torch.tensor([[[1, 255]]]))
        tensor(0.6931)
        >>> segmentation_loss(logits, torch.tensor([[[255, 255]]]))
        tensor(0.)
    """
    total = F.cross_entropy(logits, masks, ignore_index=UNCERTAIN, reduction="sum")
    return total / (masks != UNCERTAIN).sum().clamp(min=1)
