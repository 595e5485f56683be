"""The head of the sub-categories in checkpoints, apart from the module's own weights."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from captum_cluster.training.callbacks.protocol import HEAD
from captum_cluster.training.callbacks.wrapping import Wrapping


def take_head_out(checkpoint: dict[str, Any]) -> None:
    """Move the head's weights into a part of their own, where they are in the module's.

    The module's class, which has no such head, then loads the checkpoint.
    """
    state = checkpoint["state_dict"]
    names = [name for name in state if name.startswith(f"{HEAD}.")]
    if names:
        checkpoint[HEAD] = {name.removeprefix(f"{HEAD}."): state.pop(name) for name in names}


def put_head_in(checkpoint: dict[str, Any]) -> None:
    """Move the head's weights back among the module's, for a module that has the head."""
    held = checkpoint.pop(HEAD, {})
    checkpoint["state_dict"].update({f"{HEAD}.{name}": value for name, value in held.items()})


def wrap_checkpoints(wrapping: Wrapping, pl_module: pl.LightningModule) -> None:
    """Let a module that has the head write and read checkpoints with the head apart.

    Lightning calls these methods of the module before it reads the weights, and for checkpoints of
    weights alone, which the methods of callbacks are not called for.
    """
    wrapping.wrap(pl_module, "on_load_checkpoint", _loaded)
    wrapping.wrap(pl_module, "on_save_checkpoint", _saved)


def _loaded(_: pl.LightningModule, original: Any, checkpoint: dict[str, Any]) -> None:
    put_head_in(checkpoint)
    original(checkpoint)


def _saved(_: pl.LightningModule, original: Any, checkpoint: dict[str, Any]) -> None:
    take_head_out(checkpoint)
    original(checkpoint)
