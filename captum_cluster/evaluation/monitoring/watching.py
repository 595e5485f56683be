"""When maps are watched during a training, on which network, and by which process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from captum_cluster._checks import check_choice, check_integer, describe, expected, warn
from captum_cluster.data import Preparation, Scene, SceneDataset
from captum_cluster.evaluation.running.entries import LayerNames
from captum_cluster.evaluation.running.map_making import PROBABILITIES
from captum_cluster.hooks import modes_kept
from captum_cluster.training.callbacks.strategies import check_whole_network

Scenes = SceneDataset | Sequence[Scene]
Network = str | Callable[[pl.LightningModule], nn.Module] | None
_Found = TypeVar("_Found")


class Monitor(Callback):
    """What the callbacks have in common: when they work, on which network, on which scenes.

    Args:
        dataset: Gives a ``Scene`` for each index.
        layer: As for ``evaluate``.
        limit: Number of scenes.
        every_n_epochs: From the first epoch on, counted from 1, those that it divides.
        preparation: How scenes become what the network takes.
        probability: "sigmoid", "probability" (softmax), or None: as the module's labels are read.
        prefix: First part of the names under which things are logged.
        network: What is watched: the name of a module of the LightningModule ("" for itself), or a
            function of it; None: its ``network`` where it has one, else itself.

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
        probability: str | None,
        prefix: str,
        network: Network,
    ) -> None:
        self.dataset = _checked(dataset)
        self.layer = layer
        self.limit = check_integer("limit", limit, 1)
        self.every_n_epochs = check_integer("every_n_epochs", every_n_epochs, 1)
        if preparation is not None and not isinstance(preparation, Preparation):
            raise TypeError(expected("preparation", "a Preparation", describe(preparation)))
        self.preparation = preparation
        if probability is not None:
            check_choice("probability", probability, PROBABILITIES)
        self.probability = probability
        if not isinstance(prefix, str) or not prefix:
            raise TypeError(expected("prefix", "a name", describe(prefix)))
        self.prefix = prefix
        if isinstance(network, nn.Module) or not (
            network is None or isinstance(network, str) or callable(network)
        ):
            what = "a name, a function of the module or None"
            raise TypeError(expected("network", what, describe(network)))
        self.network = network

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse a strategy that leaves each process a part of the network only."""
        del pl_module, stage
        # The first process runs the network alone.
        check_whole_network(trainer, "where maps are watched")

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

    def _network(self, pl_module: pl.LightningModule) -> nn.Module:
        """Return the network that is watched, which may be the module itself.

        Raises:
            ValueError: ``network`` finds none.
        """
        found: Any = None
        if self.network is None:
            own = getattr(pl_module, "network", None)
            return own if isinstance(own, nn.Module) else pl_module
        if not isinstance(self.network, str):
            found = self.network(pl_module)
        else:
            with contextlib.suppress(AttributeError):
                found = pl_module.get_submodule(self.network)
        if not isinstance(found, nn.Module):
            owner = type(pl_module).__name__
            what = f"a module of the {owner}, its name, or a function that gives it"
            raise ValueError(expected("network", what, describe(self.network)))
        return found

    def _checked_network(
        self,
        pl_module: pl.LightningModule,
        preparation: Preparation,
        *,
        others: bool = False,
    ) -> nn.Module:
        """Return the network that is watched, if it gives logits of the scenes' labels.

        Args:
            pl_module: The module that is trained.
            preparation: How scenes become what the network takes.
            others: The labels may be others than those of the scenes.

        Raises:
            ValueError: It gives something else.
        """
        network = self._network(pl_module)
        scene = preparation.prepare(self.dataset[0])
        labels = len(scene.labels)
        got = _output_of(network, preparation.normalize(scene.image)[None])
        right = isinstance(got, Tensor) and got.ndim == 2 and len(got) == 1
        if right and (others or got.shape[1] == labels):
            return network
        name = "network" if self.network is None else self.network
        which = f"the module's attribute {name!r}" if isinstance(name, str) and name else "network"
        which = "the module" if network is pl_module else which
        what = f"to give logits (N,{labels}), one for each label of the scenes"
        advice = " The option network= names another, or gives it by a function of the module."
        raise ValueError(expected(which, what, _told(got)) + advice)

    def _read(self, pl_module: pl.LightningModule) -> str:
        """Return how probabilities are read of the logits."""
        single = getattr(pl_module, "multi_label", None) is False
        return self.probability or ("probability" if single else "sigmoid")

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


def _output_of(network: nn.Module, image: Tensor) -> Any:
    """Return what a network gives for an image (1,c,H,W), or the error that it raises."""
    like = next((one for one in network.parameters() if one.is_floating_point()), image)
    with modes_kept(network), torch.no_grad():
        network.eval()
        try:
            return network(image.to(like.device, like.dtype))
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            return error


def _told(got: object) -> str:
    if isinstance(got, Exception):
        return f"an error ({(str(got).splitlines() or [type(got).__name__])[0]})"
    return describe(got)


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
