"""Watch a model run: how many images it takes, and what its modules give."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from captum_cluster.hooks.keeping import (
    is_plain,
    modules_of,
    on_forward_hook,
    owner_of,
    untouched,
)
from captum_cluster.hooks.uncompiling import uncompiled


@dataclass
class ForwardCount:
    """How many images a model has taken since counting began."""

    images: int = 0
    calls: int = 0


@contextmanager
def count_forwards(model: nn.Module) -> Iterator[ForwardCount]:
    """Count the images (and the calls) that go through a model inside the context.

    Example:
        >>> net = nn.Flatten()
        >>> with count_forwards(net) as count:
        ...     _ = net(torch.zeros(3, 2)), net(torch.zeros(1, 2))
        >>> count.images, count.calls
        (4, 2)
    """
    count = ForwardCount()

    def tally(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        first = next((x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), None)
        count.images += 1 if first is None or first.ndim == 0 else len(first)
        count.calls += 1

    # torch.compile would take the count for a constant, and compile again for each.
    tally._torchdynamo_disable = True  # type: ignore[attr-defined]
    handle = model.register_forward_pre_hook(tally, with_kwargs=True)
    try:
        yield count
    finally:
        handle.remove()


@dataclass
class Widest:
    """The largest tensor that a module has given, in bytes for one image; 0 where none is known."""

    bytes: int = 0


@contextmanager
def widest_output(model: object) -> Iterator[Widest]:
    """Note the largest tensor that the parts of a model give inside the context.

    Nothing is noted of models behind a function, compiled, scripted and data-parallel ones.

    Args:
        model: A module, a bound method of one, or another callable.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten())
        >>> with widest_output(net) as widest:
        ...     _ = net(torch.zeros(3, 1, 4, 4))
        >>> widest.bytes
        128
    """
    widest, owner, thread = Widest(), owner_of(model), threading.get_ident()

    def note(_: nn.Module, __: Any, output: Any) -> None:
        if threading.get_ident() == thread:
            widest.bytes = max(widest.bytes, bytes_per_row(output))

    known = owner is not None and is_plain(owner)
    with ExitStack() as stack:
        for module in modules_of(owner) if owner is not None and known else []:
            if not module._modules:
                stack.callback(module.register_forward_hook(note).remove)
        yield widest


def bytes_per_row(output: Any) -> int:
    """Return the bytes of the first row of the largest tensor in what a module gives.

    Example:
        >>> bytes_per_row((torch.zeros(2, 3), torch.zeros(2, 5, dtype=torch.float64)))
        40
    """
    sizes = [
        leaf[0].numel() * leaf.element_size()
        for leaf in tree_leaves(output)
        if isinstance(leaf, Tensor) and leaf.ndim and len(leaf)
    ]
    return max(sizes, default=0)


@contextmanager
def inputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Give the list of the tensors that a module takes inside the context, one for each call.

    They are the tensors themselves, so a loss computed from them reaches what comes before the
    module. Calls without a tensor are left out.

    Example:
        >>> head = nn.Linear(2, 1)
        >>> net = nn.Sequential(nn.Flatten(), head)
        >>> with inputs_of(head) as taken:
        ...     _ = net(torch.zeros(3, 2, 1))
        >>> [tensor.shape for tensor in taken]
        [torch.Size([3, 2])]
    """
    taken: list[Tensor] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        taken.extend([x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)][:1])

    handle = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield taken
    finally:
        handle.remove()


def trace_shapes(model: nn.Module, inputs: Tensor) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """Return name, module and output shape of each module, in the order in which they finish.

    Modules that give no single tensor are left out; one that is called twice counts at its last
    call. One forward pass, in eval mode.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()).eval()
        >>> [(name, shape) for name, _, shape in trace_shapes(net, torch.zeros(1, 1, 4, 4))]
        [('0', (1, 2, 2, 2)), ('1', (1, 8)), ('', (1, 8))]
    """
    finished: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}

    def note(name: str, module: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor):
            finished.pop(name, None)
            finished[name] = (module, tuple(output.shape))

    with ExitStack() as stack:
        stack.enter_context(untouched(model))
        stack.enter_context(torch.no_grad())
        stack.enter_context(uncompiled())
        for name, module in model.named_modules():
            handle = on_forward_hook(
                module, lambda module, _, output, name=name: note(name, module, output)
            )
            stack.callback(handle.remove)
        model(inputs)
    return [(name, module, shape) for name, (module, shape) in finished.items()]
