"""Batch normalisation with the statistics that a network brings along."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch.nn.modules.batchnorm import _BatchNorm


class FixedStatistics(Callback):
    """Trains with the running statistics of batch normalisation as they are.

    The layers run in evaluation mode, so that an image's features do not depend on its batch;
    their weights and biases are trained all the same. For pretrained networks and few images: the
    statistics of small batches are rough, and networks whose statistics were folded into the
    weights (mean 0, variance 1) compute something else with those of a batch.

    Example:
        >>> trainer = pl.Trainer(callbacks=[FixedStatistics()], barebones=True)
    """

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put batch normalisation into evaluation mode."""
        del trainer
        for layer in pl_module.modules():
            if isinstance(layer, _BatchNorm):
                layer.eval()
