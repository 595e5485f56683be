"""What the Lightning modules of classifiers have in common: labels, cross-entropy, scores."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from captum_cluster._checks import check_flag, describe, expected
from captum_cluster.training.modules.scores import LabelScores
from captum_cluster.training.modules.settings_module import SettingsModule
from captum_cluster.training.settings import TrainingSettings


class NetworkModule(SettingsModule):
    """A classifier trained as ``TrainingSettings`` say; a subclass defines ``loss_of``.

    Args:
        network: From images to logits (N,L).
        num_labels: L.
        settings: The default's are those of ``TrainingSettings()``.
        multi_label: Binary cross-entropy of each logit; otherwise cross-entropy.
        class_weight: (L,) float, at least 0: what the loss of each label is multiplied by.

    Raises:
        TypeError: An argument is of another type.
        ValueError: ``class_weight`` has another shape or a negative number.
    """

    head_names = ("parent_head", "sub_category_head")
    trains_parts = True
    class_weight: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        num_labels: int,
        settings: TrainingSettings | None = None,
        *,
        multi_label: bool = True,
        class_weight: Tensor | None = None,
    ) -> None:
        super().__init__(network, settings)
        self.num_labels = num_labels
        self.multi_label = check_flag("multi_label", multi_label)
        self.register_buffer("class_weight", _checked_weight(class_weight, num_labels), False)
        self.val_scores = LabelScores(multi_label=multi_label)

    def networks(self) -> list[nn.Module]:
        """Return the networks that have a ``parent_head`` each: those that are trained."""
        return [self.network]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N,L) of images (N,c,H,W)."""
        logits: Tensor = self.network(images)
        return logits

    def classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of logits (N,L) and labels (N,L), binary if multi-label."""
        if not self.multi_label:
            return F.cross_entropy(logits, labels, self.class_weight)
        return F.binary_cross_entropy_with_logits(logits, labels, self.class_weight)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log the loss of a batch, and keep what the scores need."""
        del batch_idx
        images, labels = batch[0], self.checked_labels(batch[1])
        logits = self(images).float()
        self.log_mean("loss", self.classification_loss(logits, labels), images)
        probabilities = logits.sigmoid() if self.multi_label else logits.softmax(dim=1)
        self.val_scores.update(probabilities, labels)

    def on_validation_epoch_end(self) -> None:
        """Log F1, F2 and mean average precision of all validation images."""
        scores = self.val_scores.compute()
        self.log_dict({f"val_{name}": value for name, value in scores.items()})
        self.val_scores.reset()

    def checked_labels(self, labels: Tensor) -> Tensor:
        """Return labels as (N,L) float; a single-label module also takes numbers (N,)."""
        if not self.multi_label and labels.ndim == 1 and not labels.is_floating_point():
            return F.one_hot(labels.long(), self.num_labels).float()
        if labels.ndim == 2 and labels.shape[1] == self.num_labels:
            return labels.float()
        what = f"(N,{self.num_labels}), one column for each label"
        what += "" if self.multi_label else ", or numbers of classes (N,)"
        numbers = self.multi_label and labels.ndim == 1
        advice = " Numbers of classes go with multi_label=False." if numbers else ""
        raise ValueError(expected("labels", what, describe(labels)) + advice)


def _checked_weight(weight: Tensor | None, num_labels: int) -> Tensor | None:
    if weight is None:
        return None
    what = f"a float tensor ({num_labels},), one number of at least 0 for each label"
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        raise TypeError(expected("class_weight", what, describe(weight)))
    if weight.shape != (num_labels,) or not bool((weight >= 0).all()):
        raise ValueError(expected("class_weight", what, describe(weight)))
    return weight.detach().clone()
