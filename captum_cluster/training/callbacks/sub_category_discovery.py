"""Sub-categories found during a training, round by round, for any Lightning module."""

from __future__ import annotations

import os
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import Dataset

from captum_cluster._checks import check_flag, check_integer, check_number, expected
from captum_cluster.functional.training import sub_category_assignments, sub_category_labels
from captum_cluster.hooks import inputs_of
from captum_cluster.training.callbacks.assignments import compact, save_assignments
from captum_cluster.training.callbacks.checkpoints import take_head_out, wrap_checkpoints
from captum_cluster.training.callbacks.extraction import Parts, extract_features, parts_of
from captum_cluster.training.callbacks.protocol import (
    add_sub_category_head,
    check_rounds,
    fast_dev_run,
    features_of_step,
    parent_head_of,
    sub_head_of,
)
from captum_cluster.training.callbacks.weights import State, WeightStore, share_buffers, state_copy
from captum_cluster.training.callbacks.wrapping import Wrapping


class SubCategoryDiscovery(Callback):
    """Trains in rounds, with sub-categories of the labels as further labels (SC-CAM).

    Round 0 are the first ``epochs_per_round`` epochs, with the module's own loss alone. At the
    start of each later round the features of all training images are clustered label by label, and
    the round trains with ``L_p + weight * L_s``: ``L_p`` is what the module's ``training_step``
    returns, ``L_s`` the multi-label soft-margin loss of a ``SubCategoryHead`` on the features that
    ``parent_head`` takes in that step. The head's weights are drawn anew, optimizers and schedules
    are set up anew, and with ``restart`` all other weights are put back to those before training.

    For any ``LightningModule`` with automatic optimization that has a method
    ``features(x) -> (N,D)`` (what ``parent_head`` takes) and a module ``parent_head`` with a
    ``weight``, the linear layer of the labels. The module gets a further one of its
    kind, ``sub_category_head``, before its optimizers are made, and keeps it. In a checkpoint the
    head's weights are a part of their own, ``torch.load(path)["sub_category_head"]``, so that the
    module's class loads it (``load_from_checkpoint``); ``add_sub_category_head`` gives the module
    the head again. A trainer that loads it into a module with the head needs this callback.

    Batches carry the index of each sample (see ``IndexedDataset``). Within ``configure_optimizers``
    the trainer's ``max_epochs`` is that of one round: a schedule over all of them spans a round.

    A training that is resumed at the end of an epoch equals one that was not interrupted, if the
    order of the images and what is drawn at random depend on the epoch (``SceneData``,
    ``EpochSeed``). Several processes (strategy "ddp") extract the features together and train with
    the same clusters. ``fast_dev_run`` tries round 0 alone, and writes nothing.

    Args:
        n_sub_categories: Sub-categories of a label, K, at least 1.
        weight: Lambda, at least 0.
        rounds: After round 0, at least 1. The trainer has to run (rounds + 1) * epochs_per_round
            epochs.
        epochs_per_round: At least 1.
        restart: Begin each round with the weights before training; otherwise with the last ones.
        seed: Of the clustering and the head's weights, at least 0.
        images: The training images without augmentation, in the order of their index, as samples
            for the trainer's ``collate_fn``; None: those of the trainer's loader, which with
            ``SceneData`` are not changed here.
        batch_parts: Gives (images, labels, index) of a batch; None: the batch itself. Labels are
            (N,L), or numbers (N,).
        directory: Where to write the weights of the rounds, one that all processes see; None: they
            are kept in memory and in each checkpoint.

    Attributes:
        round: Number of the round that began last.
        assignments: LongTensor (M,L), the sub-category of each training image in each label of
            that round, -1 where the label is absent; None in round 0.

    Raises:
        TypeError: An argument is of another type; at the start of training, the module is without
            ``features`` or ``parent_head``.
        ValueError: An argument is outside its range; at the start of training, the trainer runs
            another number of epochs, splits the network or has a callback that ends rounds early.

    Example:
        >>> discovery = SubCategoryDiscovery(rounds=3, epochs_per_round=5)
        >>> trainer = pl.Trainer(max_epochs=20, callbacks=[discovery], barebones=True)
        >>> trainer.fit(module, data)  # doctest: +SKIP

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        section 3.2, equations 2 and 3; ``restart`` as in its authors' code.
    """

    def __init__(
        self,
        n_sub_categories: int = 10,
        *,
        weight: float = 5.0,
        rounds: int = 3,
        epochs_per_round: int,
        restart: bool = True,
        seed: int = 0,
        images: Dataset[Any] | None = None,
        batch_parts: Parts | None = None,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        self.n_sub_categories = check_integer("n_sub_categories", n_sub_categories, 1)
        self.weight = check_number("weight", weight, 0.0)
        self.rounds = check_integer("rounds", rounds, 1)
        self.epochs_per_round = check_integer("epochs_per_round", epochs_per_round, 1)
        self.restart = check_flag("restart", restart)
        self.seed = check_integer("seed", seed, 0, 2**32 - 1)
        self.images = images
        self.batch_parts = parts_of if batch_parts is None else batch_parts
        self._weights = WeightStore(directory)
        self._wrapping = Wrapping()
        self._forget()

    def _forget(self) -> None:
        self.round = 0
        self._found: dict[int, Tensor] = {}
        self._weights.clear()

    @property
    def assignments(self) -> Tensor | None:
        """The sub-categories (M,L) of the round that began last; None in round 0."""
        return self.round_assignments(self.round) if self.round in self._found else None

    def round_assignments(self, number: int) -> Tensor:
        """Return the sub-categories (M,L) that a round trained with, -1 where a label is absent.

        Raises:
            ValueError: There is none: round 0 has none, and later ones may not have begun.
        """
        check_integer("number", number, 1, self.rounds, "the number of rounds")
        if number not in self._found:
            raise ValueError(expected("number", f"a round up to {self.round}", number))
        return self._found[number].long()

    def round_state(self, number: int) -> State:
        """Return the module's state dict at the end of a round.

        Args:
            number: From 0 (the module's own loss alone) to ``rounds``.

        Raises:
            ValueError: The round has not ended.
            FileNotFoundError: Its file is gone.
        """
        check_integer("number", number, 0, self.rounds, "the number of rounds")
        if f"round-{number}" not in self._weights:
            raise ValueError(expected("number", "a round that has ended", number))
        return self._weights.get(f"round-{number}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sub-categories of the last round: as arrays (.npz) or readable (.json).

        Raises:
            ValueError: There are none yet, or the name ends otherwise.
        """
        if self.assignments is None:
            raise ValueError(expected("the training", "to have begun round 1", "round 0"))
        save_assignments(path, self.assignments, self.n_sub_categories, self.round)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the module the further head, before weights are loaded and optimizers made."""
        fit = stage == "fit"
        if fit:
            check_rounds(trainer, pl_module, self.rounds, self.epochs_per_round)
            self._forget()
        add_sub_category_head(pl_module, self.n_sub_categories, self.seed if fit else None)
        wrap_checkpoints(self._wrapping, pl_module)
        if fit:
            self._wrapping.wrap(pl_module, "training_step", self._joint_step)
            self._wrapping.wrap(pl_module, "configure_optimizers", self._one_round)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights before training, and check that the further head is trained."""
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        trained = {id(parameter) for group in groups for parameter in group["params"]}
        if id(sub_head_of(pl_module).weight) not in trained:
            what = "to give an optimizer all of self.parameters()"
            got = "one without the parameters of sub_category_head"
            raise ValueError(expected("configure_optimizers", what, got))
        if self.restart and "initial" not in self._weights:
            self._keep(trainer, pl_module, "initial")

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a round where it is time."""
        number, within = divmod(trainer.current_epoch, self.epochs_per_round)
        if within == 0 and number > self.round:
            self._begin(trainer, pl_module, number)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights at the end of a round, before a checkpoint is written."""
        number, within = divmod(trainer.current_epoch + 1, self.epochs_per_round)
        if within == 0:
            share_buffers(trainer, pl_module)
            self._keep(trainer, pl_module, f"round-{number - 1}")

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold."""
        return {
            "round": self.round,
            "found": dict(self._found),
            "weights": self._weights.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what a checkpoint held."""
        self.round = state_dict["round"]
        self._found = dict(state_dict["found"])
        self._weights.load_state_dict(state_dict["weights"])

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the further head's weights apart, also in a checkpoint after the training."""
        del trainer, pl_module
        take_head_out(checkpoint)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the module's methods as they were; the further head stays."""
        del trainer, pl_module, stage
        self._wrapping.undo()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave the module's methods as they were."""
        del trainer, pl_module, exception
        self._wrapping.undo()

    def _begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule, number: int) -> None:
        """Cluster, and begin a round with new pseudo labels, a new head and new optimizers."""
        share_buffers(trainer, pl_module)
        n_labels = len(parent_head_of(pl_module).weight)
        features, labels = extract_features(
            trainer, pl_module, n_labels, images=self.images, parts=self.batch_parts
        )
        found = torch.empty(0)
        if trainer.is_global_zero:
            count = self.n_sub_categories
            found = sub_category_assignments(features, labels, count, seed=self.seed)
            found = compact(found, count)
        # From one process to all: rounding might differ between machines.
        self._found[number] = trainer.strategy.broadcast(found)
        if self.restart:
            pl_module.load_state_dict(self._weights.get("initial"))
        sub_head_of(pl_module).reset(self.seed + number)
        self.round = number
        trainer.strategy.setup_optimizers(trainer)

    def _keep(self, trainer: pl.Trainer, pl_module: pl.LightningModule, name: str) -> None:
        if fast_dev_run(trainer):  # not over the weights of a real training
            return
        self._weights.put(name, state_copy(pl_module), write=trainer.is_global_zero)
        trainer.strategy.barrier(name)

    def _one_round(self, pl_module: pl.LightningModule, original: Any) -> Any:
        """Call ``configure_optimizers`` for the epochs of one round."""
        loop = pl_module.trainer.fit_loop
        epochs, loop.max_epochs = loop.max_epochs, self.epochs_per_round
        try:
            return original()
        finally:
            loop.max_epochs = epochs

    def _joint_step(self, pl_module: pl.LightningModule, original: Any, *arguments: Any) -> Any:
        """Call ``training_step``, and add the loss of the sub-categories to what it returns."""
        with inputs_of(parent_head_of(pl_module)) as taken:
            output = original(*arguments)
        if output is None:
            return None
        if self.round == 0:
            # Nothing, but from all parameters: processes exchange the gradients of each.
            more = sum(one.sum() for one in sub_head_of(pl_module).parameters()) * 0.0
        else:
            more = self.weight * self._sub_category_loss(pl_module, taken, arguments[0])
        if isinstance(output, Tensor):
            return output + more
        return {**output, "loss": output["loss"] + more}

    def _sub_category_loss(
        self, pl_module: pl.LightningModule, taken: list[Tensor], batch: Any
    ) -> Tensor:
        images, _, index = self.batch_parts(batch)
        rows = self._found[self.round][index.cpu()].long()
        targets = sub_category_labels(rows, self.n_sub_categories)
        features = features_of_step(pl_module, taken, images, len(index))
        logits = sub_head_of(pl_module)(features).float()
        loss = F.multilabel_soft_margin_loss(logits, targets.to(logits.device))
        pl_module.log(
            "sub_category_loss", loss.detach(), on_step=False, on_epoch=True,
            batch_size=len(index), sync_dist=True,
        )  # fmt: skip
        return loss
