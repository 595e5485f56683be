"""The best weights, put back on a plateau and at the end."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from captum_cluster._checks import check_integer, check_number, expected
from captum_cluster.training.callbacks.weights import State, share_buffers, state_copy


class RestoreBest(Callback):
    """Puts the weights with the smallest loss back on a plateau, and when the training ends.

    A plateau are ``patience`` epochs in a row without a smaller loss, as for torch's
    ``ReduceLROnPlateau(patience=patience - 1, threshold=threshold)``, which then lowers the
    learning rate. The optimizer's state stays as it is. Epochs without a validation do not count,
    where others have one (``check_val_every_n_epoch``).

    Args:
        monitor: The name of the loss, logged in each epoch that counts.
        patience: At least 1.
        threshold: The loss must fall by more than this share of it to count as smaller, 0 to 1.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range.
        RuntimeError: During training, where nothing is logged under ``monitor``.

    Example:
        >>> trainer = pl.Trainer(callbacks=[RestoreBest(patience=3)], logger=False, barebones=True)

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", section 5 (training procedure).
    """

    def __init__(
        self, monitor: str = "val_loss", *, patience: int = 3, threshold: float = 0.0
    ) -> None:
        self.monitor = monitor
        self.patience = check_integer("patience", patience, 1)
        self.threshold = check_number("threshold", threshold, 0.0, 1.0)
        self._begin()

    def _begin(self) -> None:
        self.best = math.inf
        self.mark = math.inf  # the loss that the next one is compared with
        self.wait = 0
        self.weights: State | None = None
        self._validated = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forget an earlier training."""
        del trainer, pl_module
        if stage == "fit":
            self._begin()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that the epoch has a validation."""
        del pl_module
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the epoch's loss; on a plateau put the best weights back."""
        plateau = self._counts(trainer) and self._compared(trainer, pl_module)
        self._validated = False
        # Also before the checkpoint of the last epoch, which a finished training is resumed from.
        if plateau or trainer.current_epoch + 1 == trainer.max_epochs:
            self.put_back(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the best weights back."""
        del trainer
        self.put_back(pl_module)

    def put_back(self, pl_module: pl.LightningModule) -> None:
        """Put the best weights back, where there are some."""
        if self.weights is not None:
            pl_module.load_state_dict(self.weights)

    def begin_stage(self, pl_module: pl.LightningModule) -> None:
        """Put the best weights back, and compare from now on anew."""
        self.put_back(pl_module)
        self._begin()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold."""
        return {
            "best": self.best,
            "mark": self.mark,
            "wait": self.wait,
            "weights": self.weights,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what a checkpoint held."""
        vars(self).update(state_dict)

    def _counts(self, trainer: pl.Trainer) -> bool:
        """Return whether the loss is of this epoch, not of an earlier validation."""
        every = trainer.check_val_every_n_epoch
        due = every is not None and (trainer.current_epoch + 1) % every == 0
        return due or self._validated or not trainer.enable_validation

    def _compared(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> bool:
        """Keep the weights where they are the best; return whether this is a plateau."""
        loss = self._loss(trainer)
        if loss < self.best:
            share_buffers(trainer, pl_module)
            self.best, self.weights = loss, state_copy(pl_module)
        return self._on_plateau(loss)

    def _on_plateau(self, loss: float) -> bool:
        if loss < self.mark * (1 - self.threshold):
            self.mark, self.wait = loss, 0
            return False
        self.wait += 1
        if self.wait < self.patience:
            return False
        self.wait = 0
        return True

    def _loss(self, trainer: pl.Trainer) -> float:
        if self.monitor not in trainer.callback_metrics:
            names = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
            what = "the name of what is logged in each epoch"
            raise RuntimeError(expected("monitor", what, f"{self.monitor!r} where {names} is"))
        return float(trainer.callback_metrics[self.monitor])
