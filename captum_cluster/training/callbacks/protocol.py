"""What a module and a trainer must have for a training in rounds."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import BaseFinetuning, EarlyStopping
from torch import Tensor, nn

from captum_cluster._checks import expected
from captum_cluster.training.callbacks.restore_best import RestoreBest
from captum_cluster.training.callbacks.strategies import check_whole_network
from captum_cluster.training.sub_category_head import SubCategoryHead

HEAD = "sub_category_head"


def parent_head_of(pl_module: pl.LightningModule) -> Any:
    """Return the head of the labels of a module of the protocol.

    Raises:
        TypeError: The module is without ``features`` or ``parent_head``.
    """
    head = getattr(pl_module, "parent_head", None)
    weight = getattr(head, "weight", None)
    got = f"a {type(pl_module).__name__} without"
    if not callable(getattr(pl_module, "features", None)):
        raise TypeError(expected("the module", "to have a method features(x) -> (N,D)", got))
    if not isinstance(head, nn.Module) or not isinstance(weight, Tensor) or weight.ndim < 2:
        what = "to have a module parent_head with a weight (L,D)"
        raise TypeError(expected("the module", what, got))
    return head


def sub_head_of(pl_module: pl.LightningModule) -> SubCategoryHead:
    """Return the head of the sub-categories that the module was given."""
    head = pl_module.sub_category_head
    assert isinstance(head, SubCategoryHead)
    return head


def add_sub_category_head(
    pl_module: pl.LightningModule, n_sub_categories: int, seed: int | None = None
) -> SubCategoryHead:
    """Give a module a head of the sub-categories, of the same kind as that of the labels.

    What ``SubCategoryDiscovery`` does before a training; by hand it is needed to have the trained
    head again in a module that was loaded from a checkpoint. One that is there already stays.

    Args:
        pl_module: With ``features(x) -> (N,D)`` and ``parent_head``.
        n_sub_categories: K, at least 1.
        seed: Of the head's weights; None: those of one that is there stay.

    Returns:
        The head, which is the module's ``sub_category_head``.

    Raises:
        TypeError: The module is not of the protocol, or a number no integer.
        ValueError: It has a ``sub_category_head`` of another kind, or a number is out of range.

    Example:
        >>> from captum_cluster.training import LitCamClassifier, gap_classifier
        >>> module = LitCamClassifier(gap_classifier("squeezenet1_1", 20))
        >>> head = add_sub_category_head(module, 10)
        >>> head.load_state_dict(head.state_dict())  # torch.load(checkpoint)["sub_category_head"]
        <All keys matched successfully>
    """
    head = SubCategoryHead.beside(parent_head_of(pl_module), n_sub_categories)
    there = getattr(pl_module, HEAD, None)
    if there is None:
        setattr(pl_module, HEAD, head)
        head.reset(seed or 0)
    elif repr(there) != repr(head):
        what = f"to have no sub_category_head other than {head}"
        advice = f" Take that one away first: del module.{HEAD}."
        raise ValueError(expected("the module", what, there) + advice)
    elif seed is not None:
        there.reset(seed)
    return sub_head_of(pl_module)


def features_of_step(
    pl_module: pl.LightningModule, taken: list[Tensor], images: Tensor, count: int
) -> Tensor:
    """Return the features (N,D) of a step.

    Args:
        pl_module: Of the protocol, with both heads.
        taken: What ``parent_head`` took in the step.
        images: What ``features`` takes.
        count: N.
    """
    wanted = count * sub_head_of(pl_module).in_features
    given = [one for one in taken if len(one) == count and one.numel() == wanted]
    # Where parent_head was not called as a module, another pass gives what it would take.
    features: Tensor = given[-1] if given else pl_module.features(images)  # type: ignore[operator]
    return features.flatten(1)


def fast_dev_run(trainer: pl.Trainer) -> bool:
    """Return whether a trainer only tries its loops, and so is to write nothing.

    Example:
        >>> fast_dev_run(pl.Trainer(fast_dev_run=True, accelerator="cpu", logger=False))
        True
    """
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def check_rounds(
    trainer: pl.Trainer, pl_module: pl.LightningModule, rounds: int, epochs_per_round: int
) -> None:
    """Check that a training leaves each round its epochs and its weights.

    The trainer's ``fast_dev_run``, one short epoch, is let through.

    Raises:
        ValueError: It does not; the message says why.
    """
    check_whole_network(trainer, "where sub-categories are found")
    epochs = (rounds + 1) * epochs_per_round
    length = (trainer.max_epochs, trainer.max_steps)
    if length != (epochs, -1) and not fast_dev_run(trainer):
        what = f"{epochs}, rounds + 1 times epochs_per_round, without max_steps"
        got = f"{trainer.max_epochs}, with max_steps {trainer.max_steps}"
        raise ValueError(expected("max_epochs of the trainer", what, got))
    if not pl_module.automatic_optimization:
        raise ValueError(expected("automatic_optimization of the module", "True", False))
    callbacks: Any = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        changes = isinstance(callback, EarlyStopping | RestoreBest | BaseFinetuning)
        if changes and getattr(callback, "head_epochs", 1) > 0:
            what = "to leave each round its epochs and its weights"
            raise ValueError(expected("the callbacks", what, type(callback).__name__))
