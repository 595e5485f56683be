"""Run only the part of a model behind a layer: what was recorded before it is given again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from captum_cluster._checks import LayerError, expected
from captum_cluster.hooks.keeping import on_forward_hook, on_forward_pre_hook
from captum_cluster.hooks.recording import Record
from captum_cluster.hooks.uncompiling import uncompiled

# One at a time: a module's exchanged `forward` is seen by every thread.
_EXCHANGE = threading.RLock()


class ReplayError(RuntimeError):
    """A replayed pass that does not call the recorded modules in their order."""


@contextmanager
def replayed(recorded: Record, outputs: Sequence[Any], value: Any) -> Iterator[None]:
    """Make one forward pass inside the context begin at the layer.

    The recorded modules give ``outputs`` instead of running, the layer gives ``value`` (or takes
    it, and runs); everything behind it runs. Each module's own ``forward``, that of an instance
    too, is back afterwards. Passes that other threads make meanwhile run as always.

    Args:
        recorded: Of a pass with the same calls.
        outputs: What the modules of ``recorded.steps`` give, step by step.
        value: In the form of ``recorded.value``.

    Raises:
        ReplayError: The pass calls other modules than the recorded one, or never gets to the
            layer.

    Example:
        >>> import torch
        >>> from captum_cluster.hooks import record
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten())
        >>> with torch.no_grad(), record(net, net[1]) as recorded:
        ...     _ = net(torch.zeros(1, 1, 2, 2))
        >>> outputs = [step.output for step in recorded.steps]
        >>> with torch.no_grad(), replayed(recorded, outputs, torch.ones(5, 2, 1, 1)):
        ...     net(torch.zeros(1, 1, 2, 2)).shape
        torch.Size([5, 2])
    """
    player = _Player(recorded, outputs, value)
    modules = {step.module for step in recorded.steps}
    if not recorded.of_input:
        modules.add(recorded.layer)
    with ExitStack() as stack:
        stack.enter_context(_EXCHANGE)
        for module in modules:
            stack.enter_context(_forward_exchanged(module, player.forward_of(module)))
        handle = _give_last(recorded.layer, recorded.of_input, player.at_the_layer)
        stack.callback(handle.remove)
        yield
    if not player.arrived:
        raise ReplayError(expected("the pass", "to call the layer again", "one that does not"))


class _Player:
    """Gives what was recorded, step by step, and then the layer's value."""

    def __init__(self, recorded: Record, outputs: Sequence[Any], value: Any) -> None:
        self.recorded = recorded
        self.outputs = outputs
        self.value = value
        self.step = 0
        # A step of the layer itself is an earlier call of it.
        self.calls_left = sum(step.module is recorded.layer for step in recorded.steps)
        self.arrived = False
        self.thread = threading.get_ident()

    def forward_of(self, module: nn.Module) -> Callable[..., Any]:
        """Return what takes the place of a module's ``forward``."""
        original = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            mine = not self.arrived and threading.get_ident() == self.thread
            found = self._next(module) if mine else None
            return original(*args, **kwargs) if found is None else found[0]

        return forward

    def _next(self, module: nn.Module) -> tuple[Any] | None:
        """Return what a module gives now, or None if it runs."""
        if self.step < len(self.outputs) and self.recorded.steps[self.step].module is module:
            self.step += 1
            return (self.outputs[self.step - 1],)
        if module in self.recorded.running:  # this call of it holds the layer's last one
            return None
        self._check(self.step == len(self.outputs) and module is self.recorded.layer, module)
        return (self.value,)

    @staticmethod
    def _check(same: bool, module: nn.Module) -> None:
        if not same:
            what = "to call the recorded modules in their order"
            raise ReplayError(expected("the pass", what, f"another call of {type(module)}"))

    def at_the_layer(self, _: Any) -> Any:
        """Return the layer's value in its last call, and else nothing."""
        if self.arrived or threading.get_ident() != self.thread:
            return None
        self.calls_left -= 1
        if self.calls_left >= 0:
            return None
        self._check(self.step == len(self.outputs), self.recorded.layer)
        self.arrived = True
        return self.value


@contextmanager
def _forward_exchanged(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Exchange a module's ``forward``, and put back what was there."""
    own = vars(module)
    before = own.get("forward")
    own["forward"] = forward
    try:
        yield
    finally:
        if before is None:
            del own["forward"]
        else:
            own["forward"] = before


@contextmanager
def given(recorded: Record, change: Callable[[Any], Any]) -> Iterator[None]:
    """Change what the layer gives (or takes) in its last call, in a forward pass that runs whole.

    Args:
        recorded: Of a pass that calls the layer as often.
        change: A function of a value in the form of ``recorded.value``, which gives another one.

    Raises:
        LayerError: The pass calls the layer less often.

    Example:
        >>> import torch
        >>> from captum_cluster.hooks import record
        >>> net = nn.Sequential(nn.ReLU(), nn.Flatten())
        >>> with record(net, net[0]) as recorded:
        ...     _ = net(torch.ones(1, 2))
        >>> with given(recorded, torch.neg):
        ...     net(torch.ones(1, 2))
        tensor([[-1., -1.]])
    """
    thread, calls = threading.get_ident(), 0

    def changed(value: Any) -> Any:
        nonlocal calls
        if threading.get_ident() != thread:
            return None
        calls += 1
        return change(value) if calls == recorded.calls else None

    handle = _give_last(recorded.layer, recorded.of_input, changed)
    try:
        with uncompiled():
            yield
    finally:
        handle.remove()
    if calls < recorded.calls:
        what = f"to call the layer {recorded.calls} times, as for the whole image"
        raise LayerError(expected("the model", what, calls))


def _give_last(layer: nn.Module, of_input: bool, give: Callable[[Any], Any]) -> Any:
    """Register a hook, behind all others, that exchanges what a layer gives or takes."""
    if not of_input:
        return on_forward_hook(layer, lambda _, __, output: give(output))

    def exchange(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value = give((*args, *kwargs.values()))
        if value is None:
            return None
        return value[: len(args)], dict(zip(kwargs, value[len(args) :], strict=True))

    return on_forward_pre_hook(layer, exchange, with_kwargs=True)
