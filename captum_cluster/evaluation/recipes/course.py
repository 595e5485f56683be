"""Networks trained one after another, each once, by Lightning."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from captum_cluster._checks import expected
from captum_cluster.data import SceneDataset
from captum_cluster.evaluation.recipes.config import TrainingConfig
from captum_cluster.evaluation.recipes.sources import Sources, is_digits
from captum_cluster.training import TrainingSettings

if TYPE_CHECKING:
    import lightning.pytorch as pl

MOST_WORKERS = 8
_CHECKPOINT = "last"


class Course:
    """Trains the networks of a run, and goes on where an earlier run was broken off.

    Each training has a directory with its checkpoint, written after each epoch, and with
    Lightning's log. What a training gives is the caller's to keep.

    Args:
        directory: Of the trainings.
        config: The run.
        settings: How networks are trained.
        sources: The images.
        progress: Show bars.
    """

    def __init__(
        self,
        directory: Path,
        config: TrainingConfig,
        settings: TrainingSettings,
        sources: Sources,
        *,
        progress: bool = True,
    ) -> None:
        self.directory = directory
        self.config = config
        self.settings = settings
        self.sources = sources
        self.progress = progress

    def fit(
        self,
        name: str,
        module: pl.LightningModule,
        *,
        relabel: Callable[[SceneDataset], SceneDataset] = lambda dataset: dataset,
        masks: bool = False,
        callbacks: Sequence[Any] = (),
        epochs: int | None = None,
    ) -> None:
        """Train a module, from its last checkpoint where there is one.

        Args:
            name: Of the training.
            module: What is trained, in place.
            relabel: What the images' labels become.
            masks: Whether it learns the pixels of the labels.
            callbacks: Lightning's, beside those of the settings.
            epochs: None: those of the settings.

        Raises:
            DivergedError: Weights or outputs are no longer finite; its checkpoints are gone.
            KeyboardInterrupt: The training was interrupted; the checkpoint of the last whole
                epoch is kept.
        """
        trainer = self._trainer(name, callbacks, epochs or self.settings.epochs)
        last = self.directory / name / f"{_CHECKPOINT}.ckpt"
        data = self._data(relabel, masks=masks)
        module.to(memory_format=torch.channels_last)  # a third faster on a CPU
        try:
            with random_state_kept(), interrupts_kept(), quiet():
                trainer.fit(module, datamodule=data, ckpt_path=last if last.is_file() else None)
        except DivergedError:
            if trainer.is_global_zero:  # so that it does not go on from what is lost already
                shutil.rmtree(self.directory / name, ignore_errors=True)
            raise
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):  # Lightning's end of one
                raise KeyboardInterrupt from None
            raise
        module.to(memory_format=torch.contiguous_format)
        if trainer.interrupted:  # older versions of Lightning end as if nothing had been
            raise KeyboardInterrupt

    def _data(
        self, relabel: Callable[[SceneDataset], SceneDataset], *, masks: bool
    ) -> pl.LightningDataModule:
        from captum_cluster.training import MaskData, SceneData

        watching = self.sources.watching
        kind = MaskData if masks else SceneData
        return kind(
            relabel(self.sources.train),
            relabel(watching) if len(watching) else None,
            preparation=self.sources.preparation,
            augmentation=self.settings.augmentation,
            batch_size=self.settings.batch_size,
            seed=self.config.seed,
            num_workers=_workers(self.config),
        )

    def _trainer(self, name: str, callbacks: Sequence[Any], epochs: int) -> pl.Trainer:
        import lightning.pytorch as pl
        from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint
        from lightning.pytorch.loggers import CSVLogger

        from captum_cluster.training import EpochSeed

        checkpoint = ModelCheckpoint(
            self.directory / name,
            filename=_CHECKPOINT,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        # Before what else looks at the weights of an epoch, or keeps them.
        finite = LambdaCallback(
            on_train_epoch_end=lambda trainer, module: self._check(name, trainer, module)
        )
        with quiet():
            return pl.Trainer(
                **place(self.config),
                max_epochs=epochs,
                callbacks=[finite, EpochSeed(self.config.seed), *callbacks, checkpoint],
                logger=CSVLogger(self.directory / "logs", name=name),
                log_every_n_steps=10,
                num_sanity_val_steps=0,
                enable_model_summary=False,
                enable_progress_bar=self.progress,
                use_distributed_sampler=False,
            )

    def _check(self, name: str, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # Finite weights may still be so large that the outputs are not finite.
        loss = torch.as_tensor(trainer.callback_metrics.get("val_loss", 0.0))
        if not all(
            bool(torch.isfinite(one).all()) for one in (loss, *module.state_dict().values())
        ):
            what = f"to keep weights and outputs finite (lower --lr, now {self.settings.lr:g})"
            got = "others: the training diverged"
            raise DivergedError(expected(f"the training {name!r}", what, got))


class DivergedError(RuntimeError):
    """A training of which weights or outputs are no longer finite."""


def place(config: TrainingConfig) -> dict[str, Any]:
    """Return the options of a trainer that say where it trains.

    Example:
        >>> place(TrainingConfig("baseline", devices=2))["strategy"]
        'ddp'
    """
    strategy = "ddp" if config.devices > 1 else "auto"
    return {"accelerator": config.accelerator, "devices": config.devices, "strategy": strategy}


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Let Ctrl+C do afterwards what it did before: Lightning ignores it from the first one on.

    Example:
        >>> before = signal.getsignal(signal.SIGINT)
        >>> with interrupts_kept():
        ...     _ = signal.signal(signal.SIGINT, signal.SIG_IGN)
        >>> signal.getsignal(signal.SIGINT) == before
        True
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        # Not in a thread that is not the main one, where it cannot have been changed.
        if before is not None and signal.getsignal(signal.SIGINT) != before:
            signal.signal(signal.SIGINT, before)


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Put back the random state of Python, NumPy and torch after a training.

    Example:
        >>> before = torch.get_rng_state()
        >>> with random_state_kept():
        ...     _ = torch.rand(1)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    # Lightning's isolate_rng does not put them back after an error.
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out Lightning's words about hardware and loaders, which say nothing of a run."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for text in _ABOUT_LIGHTNING:
                warnings.filterwarnings("ignore", message=text)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


_ABOUT_LIGHTNING = (
    ".*does not have many workers.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*is smaller than the logging interval.*",
    ".*Total length of `list` across ranks is zero.*",  # nothing watches
    ".*LeafSpec.*",
    ".*sync_dist=True.*",
    ".*all_gather is deprecated.*",
)


def _workers(config: TrainingConfig) -> int:
    if is_digits(config.data):  # they are kept once they are drawn
        return 0
    return max(0, min(MOST_WORKERS, (os.cpu_count() or 1) - 1))
