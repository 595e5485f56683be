"""Copies of a module's weights, in memory or in files, and the same weights on all processes."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from captum_cluster._checks import expected
from captum_cluster._files import write_whole

State = dict[str, Any]


def state_copy(module: nn.Module) -> State:
    """Return a copy of a module's state dict on the CPU.

    Example:
        >>> state_copy(nn.Linear(2, 1))["bias"].shape
        torch.Size([1])
    """
    return {
        name: value.detach().to("cpu", copy=True)
        if isinstance(value, Tensor)
        else copy.deepcopy(value)
        for name, value in module.state_dict().items()
    }


def share_buffers(trainer: pl.Trainer, module: nn.Module) -> None:
    """Give each process the first one's buffers (running statistics); parameters are equal."""
    if trainer.world_size == 1:
        return
    first = {name: buffer.cpu() for name, buffer in module.named_buffers()}
    first = trainer.strategy.broadcast(first)
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(first[name])


class WeightStore:
    """Weights by name, in memory or as files of a directory.

    Args:
        directory: Where to keep them; None: in memory, and so in ``state_dict``.

    Example:
        >>> store = WeightStore()
        >>> store.put("first", {"bias": torch.zeros(1)})
        >>> "first" in store, store.get("first")
        (True, {'bias': tensor([0.])})
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self.directory = None if directory is None else Path(directory)
        self._states: dict[str, State | None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._states

    def clear(self) -> None:
        """Forget all; files stay, until they are replaced."""
        self._states.clear()

    def put(self, name: str, state: State, *, write: bool = True) -> None:
        """Keep weights; of several processes with a directory only one has to ``write``."""
        self._states[name] = state if self.directory is None else None
        if self.directory is None or not write:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        # Never half a file under the final name: a training may be killed at any time.
        write_whole(self.directory / f"{name}.pt", lambda draft: torch.save(state, draft))

    def get(self, name: str) -> State:
        """Return weights, from memory or the file.

        Raises:
            FileNotFoundError: The file is gone.
        """
        found = self._states[name]
        if found is not None:
            return found
        path = Path(str(self.directory)) / f"{name}.pt"
        if not path.is_file():
            what = "to hold the weights of the rounds"
            raise FileNotFoundError(expected("directory", what, f"no {path.name} in it"))
        state: State = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold."""
        return dict(self._states)

    def load_state_dict(self, states: Mapping[str, Any]) -> None:
        """Take over what a checkpoint held.

        Raises:
            ValueError: It was made with a directory, and now there is none.
        """
        if self.directory is None and any(state is None for state in states.values()):
            what = "the one of the training that is resumed"
            raise ValueError(expected("directory", what, "None"))
        for name, state in states.items():
            if state is None or self.directory is None:
                self._states[name] = state
            else:
                self.put(name, state)
