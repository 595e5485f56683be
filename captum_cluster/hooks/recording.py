"""Record a forward pass up to a layer: what it gives, and what came before it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from captum_cluster.hooks.keeping import (
    is_plain,
    modules_of,
    on_forward_hook,
    on_forward_pre_hook,
    owner_of,
)
from captum_cluster.hooks.observing import bytes_per_row
from captum_cluster.hooks.uncompiling import uncompiled


@dataclass(frozen=True)
class Step:
    """One call of a module that finished before the layer's last call.

    Attributes:
        module: The module.
        output: A copy of what its ``forward`` gave.
    """

    module: nn.Module
    output: Any


@dataclass
class Record:
    """A forward pass up to a layer's last call.

    Attributes:
        layer: The layer.
        of_input: Whether what the layer takes counts, instead of what it gives.
        replayable: Whether the modules of the model are known and their ``forward`` can be
            exchanged. Not those behind a function, compiled, scripted or data-parallel ones.
        calls: How often the layer was called.
        value: A copy of what the layer gave (or took, as a tuple) in its last call.
        steps: The outermost calls that finished before the layer's last call began, in their
            order: a module that finished stands for all that it called.
        running: The modules that had begun then, and not finished.
        widest: Bytes of the largest tensor for one image that a module gave (or the layer took)
            since that call began.
    """

    layer: nn.Module
    of_input: bool = False
    replayable: bool = False
    calls: int = 0
    value: Any = None
    steps: list[Step] = field(default_factory=list)
    running: list[nn.Module] = field(default_factory=list)
    widest: int = 0


@contextmanager
def record(
    model: object, layer: nn.Module, *, of_input: bool = False, steps: bool = True
) -> Iterator[Record]:
    """Record the forward pass made inside the context, so that ``replayed`` can shorten others.

    Args:
        model: A module, a bound method of one, or another callable; of the last only what the
            layer gives is recorded.
        layer: The layer.
        of_input: Record what the layer takes instead of what it gives.
        steps: Record what comes before the layer too.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten())
        >>> with torch.no_grad(), record(net, net[1]) as recorded:
        ...     _ = net(torch.zeros(1, 1, 4, 4))
        >>> [type(step.module).__name__ for step in recorded.steps], recorded.value.shape
        (['Conv2d'], torch.Size([1, 2, 4, 4]))
    """
    owner = owner_of(model)
    known = steps and owner is not None and is_plain(owner)
    recorded = Record(layer, of_input, replayable=known)
    with ExitStack() as stack:
        stack.enter_context(uncompiled())
        watcher = _Watcher(recorded, owner if known else None)
        for handle in watcher.handles():
            stack.callback(handle.remove)
        yield recorded


class _Watcher:
    """The hooks of ``record``.

    Attributes:
        frames: For each module that is running, and for the pass itself, the steps finished in it.
        running: These modules.
        holders: The modules that hold the layer; what others call themselves is not recorded, as
            the step of the outermost of them stands for it.
    """

    def __init__(self, recorded: Record, owner: nn.Module | None) -> None:
        self.recorded = recorded
        self.owner = owner
        self.thread = threading.get_ident()
        self.frames: list[list[Step]] = [[]]
        self.running: list[nn.Module] = []
        self.holders = set() if owner is None else _holders(owner, recorded.layer)

    def handles(self) -> Iterator[Any]:
        """Register the hooks, one after the other."""
        for module in [] if self.owner is None else modules_of(self.owner):
            yield on_forward_pre_hook(module, self._begin)
            # First of all: hooks of the user see, and may change, what is given again too.
            yield on_forward_hook(module, self._end, prepend=True)
        layer = self.recorded.layer
        yield on_forward_pre_hook(layer, self._enter, with_kwargs=True)
        yield on_forward_hook(layer, self._leave)

    def _begin(self, module: nn.Module, _: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        if module is self.recorded.layer:
            self.recorded.steps = [step for frame in self.frames for step in frame]
            self.recorded.running = list(self.running)
        self.running.append(module)
        self.frames.append([])

    def _end(self, module: nn.Module, _: Any, output: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        while self.running.pop() is not module:  # one that raised, and was caught
            self.frames.pop()
        self.frames.pop()
        self._note(output)
        if all(one in self.holders for one in self.running):
            self.frames[-1].append(Step(module, tree_map(_copied, output)))

    def _enter(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if threading.get_ident() != self.thread:
            return
        self.recorded.calls += 1
        self.recorded.widest = 0
        if self.recorded.of_input:
            self.recorded.value = tree_map(_copied, (*args, *kwargs.values()))
            self._note(self.recorded.value)

    def _leave(self, _: nn.Module, __: Any, output: Any) -> None:
        if threading.get_ident() == self.thread and not self.recorded.of_input:
            self.recorded.value = tree_map(_copied, output)
            self._note(output)

    def _note(self, output: Any) -> None:
        self.recorded.widest = max(self.recorded.widest, bytes_per_row(output))


def _holders(owner: nn.Module, layer: nn.Module) -> set[nn.Module]:
    """Return the modules of a model that hold a layer, under any of its names."""
    parents: dict[nn.Module, list[nn.Module]] = {}
    for module in modules_of(owner):
        for child in module.children():
            parents.setdefault(child, []).append(module)
    found: set[nn.Module] = set()
    waiting = [layer]
    while waiting:
        above = [parent for parent in parents.get(waiting.pop(), []) if parent not in found]
        found.update(above)
        waiting.extend(above)
    return found


def _copied(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf
