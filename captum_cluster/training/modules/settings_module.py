"""A network trained as settings say: they become optimizers, schedules, callbacks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim import lr_scheduler

from captum_cluster._checks import describe, expected
from captum_cluster.training.callbacks.early_stopping import EarlyStoppingAfterHead
from captum_cluster.training.callbacks.head_first import HeadFirst
from captum_cluster.training.callbacks.restore_best import RestoreBest
from captum_cluster.training.settings import TrainingSettings


class SettingsModule(pl.LightningModule):
    """A network trained as ``TrainingSettings`` say; a subclass defines ``loss_of``.

    Logs ``train_loss`` and ``val_loss``, each the mean over the images of an epoch. What the labels
    of a batch are is the subclass's matter: see ``checked_labels``.

    Args:
        network: From images (N,c,H,W) to what ``loss_of`` compares with the labels.
        settings: The default's are those of ``TrainingSettings()``.

    Raises:
        TypeError: ``settings`` is of another type.
        ValueError: The settings train a part of the network first or alone, and the subclass is
            not one for that.
    """

    head_names: tuple[str, ...] = ()
    """The submodules whose learning rate is multiplied by ``head_lr_factor``, wherever they are."""

    trains_parts = False
    """Whether ``head_epochs`` and ``top_share`` are for it: ``HeadFirst`` needs ``parent_head``."""

    def __init__(self, network: nn.Module, settings: TrainingSettings | None = None) -> None:
        super().__init__()
        self.network = network
        self.settings = TrainingSettings() if settings is None else settings
        if not isinstance(self.settings, TrainingSettings):
            raise TypeError(expected("settings", "TrainingSettings", describe(settings)))
        if self.settings.freezes and not self.trains_parts:
            what = "to train all from the first epoch on (head_epochs 0 and top_share 1)"
            got = f"head_epochs {self.settings.head_epochs}, top_share {self.settings.top_share:g}"
            raise ValueError(expected("settings", what, got))

    def forward(self, images: Tensor) -> Any:
        """Return what the network makes of images (N,c,H,W)."""
        return self.network(images)

    def loss_of(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch, to be made smaller; ``log_mean`` is for its parts."""
        raise NotImplementedError

    def checked_labels(self, labels: Tensor) -> Tensor:
        """Return a batch's labels as ``loss_of`` takes them: as they are, if not overridden."""
        return labels

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
        images, labels = batch[0], self.checked_labels(batch[1])
        loss = self.loss_of(images, labels)
        self.log_mean("loss", loss, images)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log the loss of a batch."""
        del batch_idx
        images, labels = batch[0], self.checked_labels(batch[1])
        self.log_mean("loss", self.loss_of(images, labels), images)

    def log_mean(self, name: str, value: Tensor, images: Tensor) -> None:
        """Log a batch's value as the epoch's mean over all images of all processes.

        Under ``train_<name>`` in training, under ``val_<name>`` in a validation; nowhere else, so
        that ``loss_of`` can be called by hand.
        """
        trainer = self._trainer
        if trainer is None or not (trainer.training or trainer.evaluating):
            return
        stage = "train" if trainer.training else "val"
        self.log(
            f"{stage}_{name}", value.detach(), on_step=False, on_epoch=True,
            prog_bar=(stage, name) == ("val", "loss"), batch_size=len(images), sync_dist=True,
        )  # fmt: skip

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
        return callbacks

    def configure_optimizers(self) -> Any:
        """Return the optimizer of what is trained now, and its schedule."""
        optimizer = self._optimizer()
        schedule = self._schedule(optimizer)
        return optimizer if schedule is None else ([optimizer], [schedule])

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
                factor = settings.head_lr_factor if set(self.head_names) & set(owners) else 1.0
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
