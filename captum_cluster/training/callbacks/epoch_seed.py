"""Random numbers that depend on the epoch, not on what happened before it."""

from __future__ import annotations

import random
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader, RandomSampler

from captum_cluster._checks import check_integer
from captum_cluster.training.seeding import mixed_seed


class EpochSeed(Callback):
    """Seeds the global generators (Python, NumPy, torch) when an epoch begins.

    A training that is resumed at the end of an epoch then draws the same numbers (dropout, changes
    of images, the order of a ``DataLoader`` with ``shuffle=True``) as one that was not interrupted.
    Processes draw different numbers. Loaders with workers read ahead before Lightning's first hook:
    with those use ``SceneData``, whose order does not depend on the global generators.

    Args:
        seed: At least 0.

    Raises:
        TypeError: ``seed`` is no integer.
        ValueError: It is negative.

    Example:
        >>> trainer = pl.Trainer(callbacks=[EpochSeed(3)], logger=False, barebones=True)
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = check_integer("seed", seed, 0)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed, before the order of the epoch is drawn."""
        del pl_module
        epoch = trainer.current_epoch
        own = mixed_seed(self.seed, epoch, trainer.global_rank)
        # Not seed_everything, which leaves an environment variable behind.
        random.seed(own)
        np.random.seed(own)  # noqa: NPY002, what transforms draw from
        torch.manual_seed(own)
        loader: Any = trainer.train_dataloader
        if isinstance(loader, DataLoader) and isinstance(loader.sampler, RandomSampler):
            # A loader without a generator draws a number when it begins: in the first epoch and
            # after a resume that is before this hook, else after it.
            loader.sampler.generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch))
