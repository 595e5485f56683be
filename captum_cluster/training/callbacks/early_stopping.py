"""Early stopping that leaves the first epochs alone."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping

from captum_cluster._checks import check_integer


class EarlyStoppingAfterHead(EarlyStopping):
    """Lightning's ``EarlyStopping`` that begins to look at a later epoch.

    For a training whose first epochs train the head alone: those may not end the rest.

    Args:
        monitor: The name of what is watched.
        start: The first epoch that counts, at least 0.
        **options: Of ``EarlyStopping``.

    Example:
        >>> callback = EarlyStoppingAfterHead("val_loss", start=30, patience=20)
    """

    def __init__(self, monitor: str = "val_loss", *, start: int = 0, **options: Any) -> None:
        super().__init__(monitor, **options)
        self.start = check_integer("start", start, 0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look, if the epoch counts."""
        if trainer.current_epoch >= self.start:
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look, if the epoch counts."""
        if trainer.current_epoch >= self.start:
            super().on_validation_end(trainer, pl_module)
