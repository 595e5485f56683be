"""When maps are watched during a training, on which network, and by which process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn

from captum_cluster._checks import check_choice, check_integer, describe, expected, warn
from captum_cluster.data import Preparation, Scene, SceneDataset
from captum_cluster.evaluation.runner import PROBABILITIES
from captum_cluster.evaluation.running.entries import LayerNames

Scenes = SceneDataset | Sequence[Scene]
_Found = TypeVar("_Found")

# Where each process holds a part of the network only, the first one cannot run it alone.
_SHARDED = {"FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy"}


class Monitor(Callback):
    """What the callbacks have in common: when they work, on which network, on which scenes.

    Args:
        dataset: Gives a ``Scene`` for each index.
        layer: As for ``evaluate``.
        limit: Number of scenes.
        every_n_epochs: From the first epoch on, counted from 1, those that it divides.
        preparation: How scenes become what the network takes.
        probability: "sigmoid" or "probability" (softmax).
        prefix: First part of the names under which things are logged.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        dataset: Scenes,
        *,
        layer: LayerNames | None,
        limit: int,
        every_n_epochs: int,
        preparation: Preparation | None,
        probability: str,
        prefix: str,
    ) -> None:
        self.dataset = _checked(dataset)
        self.layer = layer
        self.limit = check_integer("limit", limit, 1)
        self.every_n_epochs = check_integer("every_n_epochs", every_n_epochs, 1)
        if preparation is not None and not isinstance(preparation, Preparation):
            raise TypeError(expected("preparation", "a Preparation", describe(preparation)))
        self.preparation = preparation
        self.probability = check_choice("probability", probability, PROBABILITIES)
        if not isinstance(prefix, str) or not prefix:
            raise TypeError(expected("prefix", "a name", describe(prefix)))
        self.prefix = prefix

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse a strategy that leaves each process a part of the network only."""
        del pl_module, stage
        kinds = {kind.__name__ for kind in type(trainer.strategy).__mro__}
        if kinds & _SHARDED:
            what = "one that keeps the network whole (ddp) where maps are watched"
            raise ValueError(expected("strategy", what, type(trainer.strategy).__name__))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Warn where there is no validation, at the end of which this would work."""
        del pl_module
        if not trainer.enable_validation:
            warn(f"{type(self).__name__} works after validation, of which there is none.")

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the maps, where it is time to."""
        training = trainer.state.fn == "fit"
        if training and (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        if not trainer.sanity_checking:
            self._watch(trainer, pl_module)

    def _watch(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        raise NotImplementedError

    def _prepared(self, trainer: pl.Trainer) -> Preparation:
        """Return the preparation asked for, that of the validation scenes, or the default."""
        of_scenes = getattr(getattr(trainer, "datamodule", None), "val", None)
        found = self.preparation or getattr(of_scenes, "preparation", None)
        return found if isinstance(found, Preparation) else Preparation()


def _checked(dataset: Any) -> Any:
    """Return a dataset that has at least one scene."""
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        what = "a dataset with a length that gives a Scene for each index"
        raise TypeError(expected("dataset", what, describe(dataset)))
    if not len(dataset):
        raise ValueError(expected("dataset", "one of at least one scene", "an empty one"))
    return dataset


def network_of(pl_module: pl.LightningModule) -> nn.Module:
    """Return the network that a module trains, which may be the module itself."""
    network = getattr(pl_module, "network", None)
    return network if isinstance(network, nn.Module) else pl_module


@contextlib.contextmanager
def explaining() -> Iterator[None]:
    """Allow gradients, which validation forbids, and put back all random states."""
    # Methods fork the states of the devices they use; loggers and datasets may draw others.
    with isolate_rng(), torch.inference_mode(False), torch.enable_grad():
        yield


def by_the_first(trainer: pl.Trainer, work: Callable[[], _Found]) -> _Found:
    """Return in every process what the first one finds; raise its error in all.

    An error of one process alone would leave the others waiting for it.
    """
    found: Any = None
    failed: Exception | None = None
    if trainer.is_global_zero:
        try:
            found = work()
        except Exception as error:
            failed = error
    told = None if failed is None else f"{type(failed).__name__}: {failed}"
    found, told = trainer.strategy.broadcast((found, told))
    if failed is not None:
        raise failed
    if told is not None:
        raise RuntimeError(expected("the first process", "to succeed", told))
    return found  # type: ignore[no-any-return]
