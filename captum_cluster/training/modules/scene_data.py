"""Scenes for Lightning: the same order on one process or several, and after an interruption."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, Dataset

from captum_cluster._checks import check_flag, check_integer, expected
from captum_cluster.data import Preparation, Scene
from captum_cluster.training.augmentation import Augmentation
from captum_cluster.training.sampling import (
    EpochOrder,
    EvenBatches,
    SceneSamples,
    collate_samples,
)

VALIDATION_WORKERS = 2
"""The most of a validation: they stay beside those of the training, and have less to do."""


class SceneData(pl.LightningDataModule):
    """Batches (images, labels, index) of scenes, to train with and to validate.

    The order of the training scenes and their random changes depend on the seed and the epoch
    alone: neither on the number of processes, nor on the workers, nor on the global random state,
    nor on an interruption at the end of an epoch. Where there are fewer left than a batch they wait
    for another epoch. Validation shows each scene once, divided among the processes. Where the
    trainer is on a CUDA device the batches are in pinned memory.

    Args:
        train: Scenes to train with.
        val: Scenes to validate with, or None.
        preparation: What resizes and normalises them; the default leaves images as they are and
            normalises them with ImageNet's mean and standard deviation.
        augmentation: Random changes of the training images; none by default.
        batch_size: Of all processes together, a multiple of their number.
        seed: Of order and changes, at least 0.
        keep: Keep the images when they were asked for once: for small data sets whose scenes are
            made or read slowly. Needs ``num_workers=0``.
        num_workers: As in a ``DataLoader``; the validation has at most 2 of them.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range.

    Shape:
        images (N,3,H,W) float, normalised; labels (N,L) float, 0 or 1; index (N,) int64.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> data = SceneData(DigitScenes(8), batch_size=4)
        >>> [tuple(part.shape) for part in next(iter(data.train_dataloader()))]
        [(4, 3, 64, 64), (4, 10), (4,)]
    """

    _samples: ClassVar[type[SceneSamples]] = SceneSamples

    def __init__(
        self,
        train: Dataset[Scene],
        val: Dataset[Scene] | None = None,
        *,
        preparation: Preparation | None = None,
        augmentation: Augmentation | None = None,
        batch_size: int = 32,
        seed: int = 0,
        keep: bool = False,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.seed = check_integer("seed", seed, 0)
        self.num_workers = check_integer("num_workers", num_workers, 0)
        if check_flag("keep", keep) and num_workers:
            raise ValueError(expected("num_workers", "0 where images are kept", num_workers))
        preparation = preparation or Preparation(mode="none")
        self.train = self._samples(train, preparation, augmentation, seed=self.seed, keep=keep)
        self.val = None if val is None else self._samples(val, preparation, keep=keep)
        if len(self.train) == 0:
            raise ValueError(expected("train", "scenes", "none"))

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the training scenes in the order of the trainer's epoch."""
        rank, processes = self._place()
        share = self._share(processes)
        order = EpochOrder(self.train, self._epoch, rank, processes, self.seed)
        full = len(order) >= share
        return self._loader(self.train, share, self.num_workers, sampler=order, drop_last=full)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Return the validation scenes in order, each once; no loader where there are none."""
        if self.val is None:
            return []
        rank, processes = self._place()
        batches = EvenBatches(len(self.val), self._share(processes), rank, processes)
        # The sampler gives whole batches: one that Lightning knows as distributed is left alone.
        workers = min(self.num_workers, VALIDATION_WORKERS)
        return self._loader(self.val, None, workers, sampler=batches)

    def _loader(
        self, samples: SceneSamples, size: int | None, workers: int, **options: Any
    ) -> DataLoader[Any]:
        return _LateLoader(
            samples,
            size,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self._on_cuda(),
            collate_fn=_as_it_is if size is None else collate_samples,
            # One of its own: a loader without draws from the global random state when it begins.
            generator=torch.Generator(),
            **options,
        )

    def _share(self, processes: int) -> int:
        """Return the batch of one process."""
        if self.batch_size % processes:
            what = f"a multiple of the number of processes ({processes})"
            raise ValueError(expected("batch_size", what, self.batch_size))
        return self.batch_size // processes

    def _place(self) -> tuple[int, int]:
        """Return this process's number, and how many there are."""
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def _on_cuda(self) -> bool:
        trainer = self.trainer
        return trainer is not None and trainer.strategy.root_device.type == "cuda"

    def _epoch(self) -> int:
        # Lightning counts an epoch as completed only after the hooks at its end, `processed` is
        # right after a resume, too.
        if self.trainer is None:
            return 0
        progress: Any = self.trainer.fit_loop.epoch_progress.current
        return int(progress.processed)


class _LateLoader(DataLoader[Any]):
    """A loader that begins when its first batch is asked for.

    Lightning begins a loader before it knows the epoch that a training is resumed at; workers
    would read ahead from the order of another.
    """

    def __iter__(self) -> Any:
        return self._batches()

    def _batches(self) -> Iterator[Any]:
        yield from super().__iter__()


def _as_it_is(batch: Any) -> Any:
    return batch
