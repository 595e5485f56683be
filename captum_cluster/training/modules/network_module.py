"""What the Lightning modules have in common: settings become optimizers, schedules, callbacks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim import lr_scheduler

from captum_cluster._checks import check_flag, describe, expected
from captum_cluster.training.callbacks.early_stopping import EarlyStoppingAfterHead
from captum_cluster.training.callbacks.fixed_statistics import FixedStatistics
from captum_cluster.training.callbacks.head_first import HeadFirst
from captum_cluster.training.callbacks.restore_best import RestoreBest
from captum_cluster.training.modules.scores import LabelScores
from captum_cluster.training.settings import TrainingSettings

HEADS = ("parent_head", "sub_category_head")


class NetworkModule(pl.LightningModule):
    """A network trained as ``TrainingSettings`` say; a subclass defines ``loss_of``.

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
        super().__init__()
        self.network = network
        self.num_labels = num_labels
        self.settings = TrainingSettings() if settings is None else settings
        if not isinstance(self.settings, TrainingSettings):
            raise TypeError(expected("settings", "TrainingSettings", describe(settings)))
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

    def loss_of(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch, to be made smaller."""
        raise NotImplementedError

    def classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of logits (N,L) and labels (N,L), binary if multi-label."""
        if not self.multi_label:
            return F.cross_entropy(logits, labels, self.class_weight)
        return F.binary_cross_entropy_with_logits(logits, labels, self.class_weight)

    def on_train_epoch_start(self) -> None:
        """Let the schedule of plateaus wait in an epoch without a validation."""
        batches, every = self.trainer.num_training_batches, self.trainer.check_val_every_n_epoch
        validated = every is None or (self.trainer.current_epoch + 1) % every == 0
        for config in self.trainer.lr_scheduler_configs:
            if config.reduce_on_plateau:
                # Lightning counts the batches of each epoch anew, so this many are never reached.
                config.frequency = batches if validated else batches + 1  # type: ignore[assignment]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch (images, labels[, index]), and log it."""
        del batch_idx
        images, labels = batch[0], self._labels(batch[1])
        loss = self.loss_of(images, labels)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, **_over(images))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log the loss of a batch, and keep what the scores need."""
        del batch_idx
        images, labels = batch[0], self._labels(batch[1])
        logits = self(images).float()
        loss = self.classification_loss(logits, labels)
        self.log("val_loss", loss, prog_bar=True, **_over(images))
        probabilities = logits.sigmoid() if self.multi_label else logits.softmax(dim=1)
        self.val_scores.update(probabilities, labels)

    def on_validation_epoch_end(self) -> None:
        """Log F1, F2 and mean average precision of all validation images."""
        scores = self.val_scores.compute()
        self.log_dict({f"val_{name}": value for name, value in scores.items()})
        self.val_scores.reset()

    def configure_callbacks(self) -> list[Callback]:
        """Return the callbacks that the settings ask for."""
        settings, callbacks = self.settings, list[Callback]()
        options = {"patience": settings.patience, "threshold": settings.threshold}
        if settings.restore_best:
            callbacks.append(RestoreBest("val_loss", **options))  # type: ignore[arg-type]
        if settings.freezes:
            callbacks.append(HeadFirst(settings.head_epochs, top_share=settings.top_share))
        if settings.early_stop is not None:
            stop = EarlyStoppingAfterHead(
                "val_loss", start=settings.head_epochs, patience=settings.early_stop
            )
            callbacks.append(stop)
        if settings.fixed_statistics:  # after what puts layers into training mode
            callbacks.append(FixedStatistics())
        return callbacks

    def configure_optimizers(self) -> Any:
        """Return the optimizer of what is trained now, and its schedule."""
        optimizer = self._optimizer()
        schedule = self._schedule(optimizer)
        return optimizer if schedule is None else ([optimizer], [schedule])

    def _labels(self, labels: Tensor) -> Tensor:
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

    def _optimizer(self) -> torch.optim.Optimizer:
        settings = self.settings
        groups = list(self._groups())
        if settings.optimizer == "sgd":
            momentum = {"momentum": settings.momentum, "nesterov": settings.nesterov}
            return torch.optim.SGD(groups, weight_decay=settings.weight_decay, **momentum)  # type: ignore[arg-type]
        kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
        return kind(groups, weight_decay=settings.weight_decay)

    def _groups(self) -> Iterator[dict[str, Any]]:
        """Yield the parameters that are trained now, by their learning rate."""
        settings = self.settings
        rate = settings.head_lr if self._head_alone() and settings.head_lr else settings.lr
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                *owners, last = name.split(".")
                factor = settings.head_lr_factor if set(HEADS) & set(owners) else 1.0
                factor *= settings.bias_lr_factor if last == "bias" else 1.0
                groups.setdefault(rate * factor, []).append(parameter)
        for lr, parameters in groups.items():
            yield {"params": parameters, "lr": lr}

    def _head_alone(self) -> bool:
        first = self._head_first()
        return first is not None and first.head_alone

    def _head_first(self) -> HeadFirst | None:
        """Return the callback that trains the head first, where the trainer has one."""
        callbacks = [] if self._trainer is None else self._trainer.callbacks  # type: ignore[attr-defined]
        return next((one for one in callbacks if isinstance(one, HeadFirst)), None)

    def _schedule(self, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        settings = self.settings
        if settings.schedule == "constant":
            return None
        if settings.schedule == "step":
            steps = lr_scheduler.StepLR(optimizer, settings.step_epochs, settings.factor)
            return {"scheduler": steps, "interval": "epoch"}
        per_epoch = self._steps_per_epoch()
        if settings.schedule == "plateau":
            return self._plateau(optimizer)
        total = self._epochs() * per_epoch
        scheduler: Any
        if settings.schedule == "one-cycle":
            rates = [group["lr"] for group in optimizer.param_groups]
            scheduler = lr_scheduler.OneCycleLR(optimizer, rates, total_steps=total)
        else:
            scheduler = lr_scheduler.PolynomialLR(optimizer, total, settings.power)
        return {"scheduler": scheduler, "interval": "step"}

    def _plateau(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        settings = self.settings
        _check_validation(self.trainer)
        scheduler = lr_scheduler.ReduceLROnPlateau(
            optimizer,
            factor=settings.factor,
            patience=settings.patience - 1,
            threshold=settings.threshold,
        )
        # After the last batch of an epoch and its validation. Lightning's own place at the end of
        # an epoch is behind the checkpoint, so that a resumed training would miss the last one.
        batches = self.trainer.num_training_batches
        return {
            "scheduler": scheduler, "monitor": "val_loss", "interval": "step", "frequency": batches,
        }  # fmt: skip

    def _steps_per_epoch(self) -> int:
        """Return the optimizer's steps of an epoch; asks the trainer to look at its data."""
        trainer = self.trainer
        if trainer.max_epochs is None or trainer.max_epochs < 1:
            what = "at least 1 for this schedule"
            raise ValueError(expected("max_epochs of the trainer", what, trainer.max_epochs))
        return math.ceil(trainer.estimated_stepping_batches / trainer.max_epochs)

    def _epochs(self) -> int:
        """Return the epochs of the part that begins: the head's alone, or all others."""
        epochs, first = self.trainer.max_epochs or 0, self._head_first()
        head = 0 if first is None else first.head_epochs
        return max(1, min(head, epochs) if self._head_alone() else epochs - head)


def _check_validation(trainer: pl.Trainer) -> None:
    """Check that epochs are validated, as the schedule of plateaus needs."""
    schedule = 'for the schedule "plateau"'
    if trainer.check_val_every_n_epoch is None:
        what = f"a number of epochs {schedule}"
        raise ValueError(expected("check_val_every_n_epoch of the trainer", what, None))
    if not trainer.enable_validation or not _validation_batches(trainer):
        raise ValueError(expected("the trainer", f"to have validation data {schedule}", "none"))


def _validation_batches(trainer: pl.Trainer) -> float:
    """Return the number of batches of a validation; asks the trainer to look at its data."""
    stage = trainer.state.stage
    # As Lightning does before the first epoch with a validation, which may be a later one.
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.setup_data()
    trainer.state.stage = stage
    return sum(trainer.num_val_batches)


def _over(images: Tensor) -> dict[str, Any]:
    """Return what makes a logged number the mean over all images of all processes."""
    return {"batch_size": len(images), "sync_dist": True}


def _checked_weight(weight: Tensor | None, num_labels: int) -> Tensor | None:
    if weight is None:
        return None
    what = f"a float tensor ({num_labels},), one number of at least 0 for each label"
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        raise TypeError(expected("class_weight", what, describe(weight)))
    if weight.shape != (num_labels,) or not bool((weight >= 0).all()):
        raise ValueError(expected("class_weight", what, describe(weight)))
    return weight.detach().clone()
