"""The head first, then the last layers of the body."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import BaseFinetuning
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from captum_cluster._checks import check_integer, check_number, expected
from captum_cluster.training.callbacks.restore_best import RestoreBest


class HeadFirst(BaseFinetuning):
    """Trains the heads alone for some epochs, then also the last layers of the body.

    What is not trained needs no gradient and runs in evaluation mode, so that its running
    statistics stay as they are. When the second part begins the optimizers and schedules are set
    up anew (``configure_optimizers`` should take the parameters with ``requires_grad``), and
    ``RestoreBest`` begins anew after it has put the best weights back.

    The networks are ``pl_module.networks()`` where it has that method, else the module itself; the
    head of each is its ``parent_head``, its body all the rest.

    Args:
        head_epochs: Epochs for the heads alone, at least 0.
        top_share: Share of the body's layers (modules with a matrix of weights, in the order in
            which they are registered) trained after them, from 0 to 1; rounded up.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range.

    Example:
        >>> trainer = pl.Trainer(callbacks=[HeadFirst(30, top_share=0.6)], barebones=True)

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", section 5 (training procedure).
    """

    def __init__(self, head_epochs: int = 0, *, top_share: float = 1.0) -> None:
        super().__init__()
        self.head_epochs = check_integer("head_epochs", head_epochs, 0)
        self.top_share = check_number("top_share", top_share, 0.0, 1.0)
        self.head_alone = True
        self._module: pl.LightningModule | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Freeze before a training; leave validation, test and prediction alone."""
        if stage == "fit":
            super().setup(trainer, pl_module, stage)

    def freeze_before_training(self, pl_module: pl.LightningModule) -> None:
        """Freeze what is not trained at first."""
        self._module = pl_module
        self.head_alone = self.head_epochs > 0
        self._freeze(pl_module)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do nothing: the optimizers are already those of the part that is resumed."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the second part where it is time, and put frozen layers into evaluation mode."""
        if self.head_alone and trainer.current_epoch >= self.head_epochs:
            self._begin_rest(trainer, pl_module)
        for layer in self._frozen(pl_module):
            layer.eval()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold."""
        return {"head_alone": self.head_alone}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what a checkpoint held, before the optimizers are made."""
        self.head_alone = state_dict["head_alone"]
        if self._module is not None:
            self._freeze(self._module)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forget the module."""
        del trainer, pl_module, stage
        self._module = None

    def _begin_rest(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, RestoreBest):
                callback.begin_stage(pl_module)
        for layer in self._frozen(pl_module):
            layer.train()
        self.head_alone = False
        self._freeze(pl_module)
        _wrap_again(trainer)
        trainer.strategy.setup_optimizers(trainer)

    def _freeze(self, pl_module: pl.LightningModule) -> None:
        frozen = {id(layer) for layer in self._frozen(pl_module)}
        for network in _networks(pl_module):
            for layer in _layers(network):
                for parameter in layer.parameters(recurse=False):
                    parameter.requires_grad_(id(layer) not in frozen)

    def _frozen(self, pl_module: pl.LightningModule) -> Iterator[nn.Module]:
        """Yield the modules with parameters of their own that are not trained now."""
        share = 0.0 if self.head_alone else self.top_share
        for network in _networks(pl_module):
            layers = _layers(network)
            yield from layers[: _cut(layers, share)]


def _networks(pl_module: pl.LightningModule) -> list[nn.Module]:
    own: Any = getattr(pl_module, "networks", None)
    networks: list[nn.Module] = own() if callable(own) else [pl_module]
    for network in networks:
        if not isinstance(getattr(network, "parent_head", None), nn.Module):
            what = "to have a module parent_head"
            raise TypeError(expected("the network", what, f"a {type(network).__name__} without"))
    return networks


def _layers(network: nn.Module) -> list[nn.Module]:
    """Return the body's modules with parameters of their own, in their order."""
    heads = [getattr(network, name, None) for name in ("parent_head", "sub_category_head")]
    within = {id(part) for head in heads if isinstance(head, nn.Module) for part in head.modules()}
    return [
        module
        for module in network.modules()
        if id(module) not in within and next(module.parameters(recurse=False), None) is not None
    ]


def _cut(layers: list[nn.Module], share: float) -> int:
    """Return the place of the first module of the last ``share`` of the layers."""
    matrices = [
        place
        for place, layer in enumerate(layers)
        if any(parameter.ndim > 1 for parameter in layer.parameters(recurse=False))
    ]
    kept = math.ceil(share * len(matrices) - 1e-9)
    if kept == len(matrices):
        return 0
    return len(layers) if kept == 0 else matrices[-kept]


def _wrap_again(trainer: pl.Trainer) -> None:
    """Let the processes exchange the gradients of what is trained now."""
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        # DistributedDataParallel exchanges what needed a gradient when it was made.
        strategy.model = strategy.lightning_module
        gc.collect()  # the old one holds hooks at the parameters until it is gone
        strategy.configure_ddp()
