"""Look into a model while it runs, and leave it as it was found.

The only file that registers hooks. Every context manager here takes back what it did when it is
left, also when the model raises: hooks, the training flag of each submodule, random state.
Gradients come from ``torch.autograd.grad``, so nobody's ``.grad`` is written.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import LayerError, expected


@dataclass
class Capture:
    """What went through some layers in the last forward pass.

    Attributes:
        gradients: Whether the passes keep their graph, for ``gradients_of``.
        outputs: For each layer a copy of what it gave (or took) in its last call.
        nodes: With ``gradients``, the tensors of the same call in the graph.
        thread: The thread whose passes are captured; those of others are let through.
    """

    gradients: bool = False
    outputs: dict[int, Any] = field(default_factory=dict)
    nodes: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)
    thread: int = field(default_factory=threading.get_ident)

    def output(self, number: int) -> Any:
        """Return what layer ``number`` gave in its last call, whatever it is, detached.

        Raises:
            LayerError: The layer was not called.
        """
        if number not in self.outputs:
            raise LayerError(
                expected("layer", "a module that the forward pass calls", "one that it does not")
            )
        return self.outputs[number]

    def activations(self, number: int) -> tuple[Tensor, ...]:
        """Return the tensors that layer ``number`` gave (or took), detached.

        A layer that was called several times gives those of its last call.

        Raises:
            LayerError: The layer was not called, or gave no tensors.
        """
        found = self.output(number)
        tensors = tuple(part for part in _parts(found) if isinstance(part, Tensor))
        if not tensors:
            what = "a module that gives a tensor or a tuple of tensors"
            got = f"one that gives {type(found).__name__}"
            advice = " Pass reshape_transform=, a function of it that returns the maps (N,C,h,w)."
            raise LayerError(expected("layer", what, got) + advice)
        return tensors

    def gradients_of(
        self, values: Tensor, number: int, *, retain_graph: bool = False
    ) -> tuple[Tensor, ...]:
        """Return the gradient of the sum of ``values`` at each tensor of layer ``number``.

        Zeros where a tensor does not influence the values.

        Args:
            values: Any shape, computed from the captured pass.
            number: The layer's place in the list given to ``capture``.
            retain_graph: Keep the graph for another call.

        Raises:
            LayerError: The layer was not called.
            RuntimeError: The pass was not captured with gradients.
        """
        if not self.gradients:
            raise RuntimeError(expected("gradients", "True for capture()", "False"))
        self.activations(number)
        nodes = self.nodes[number]
        gradients = [torch.zeros_like(node) for node in nodes]
        places = [place for place, node in enumerate(nodes) if node.requires_grad]
        if values.requires_grad and places:
            with torch.enable_grad():
                total = values.sum()
            found = torch.autograd.grad(
                total, [nodes[place] for place in places], None, retain_graph, allow_unused=True
            )
            for place, gradient in zip(places, found, strict=True):
                gradients[place] = gradients[place] if gradient is None else gradient
        return tuple(gradients)


@contextmanager
def capture(
    layers: Sequence[nn.Module], *, of_input: bool = False, gradients: bool = False
) -> Iterator[Capture]:
    """Capture what some layers give in the forward passes made inside the context.

    The activations are copies, so an in-place operation behind the layer (a ReLU) does not
    change them. With ``gradients`` the passes are made with autograd on, the rest of the network
    works on a copy (so that operation does not break the graph either), and frozen parameters
    are no hindrance: where nothing before the layer needs a gradient the graph starts at it.
    Passes that other threads make with the same model are not captured.

    Args:
        layers: Modules of the model.
        of_input: Capture what the layers take instead of what they give.
        gradients: Keep the graph.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True))
        >>> with torch.no_grad(), capture([net[0]]) as captured:
        ...     _ = net(torch.zeros(1, 1, 4, 4))
        >>> captured.activations(0)[0].shape
        torch.Size([1, 2, 4, 4])
    """
    captured = Capture(gradients)
    with ExitStack() as stack:
        for number, layer in enumerate(layers):
            hook = _capture_hook(captured, number)
            if of_input:
                handle = layer.register_forward_pre_hook(_input_hook(hook), with_kwargs=True)
            else:
                handle = layer.register_forward_hook(lambda _, __, out, hook=hook: hook(out))
            stack.callback(handle.remove)
        if gradients:
            stack.enter_context(torch.enable_grad())
        yield captured


def _capture_hook(captured: Capture, number: int) -> Callable[[Any], Any]:
    """Return a function that keeps what a layer gives, and gives what is passed on instead."""

    def keep(value: Any) -> Any:
        if threading.get_ident() != captured.thread:
            return None
        captured.outputs[number] = _copied(value)
        if not captured.gradients:
            return None
        kept = [_in_graph(part) for part in _parts(value)]
        captured.nodes[number] = tuple(part for part in kept if isinstance(part, Tensor))
        if not kept:
            return None
        passed = [part.clone() if isinstance(part, Tensor) else part for part in kept]
        return passed[0] if isinstance(value, Tensor) else _like(value, passed)

    return keep


def _parts(value: Any) -> tuple[Any, ...]:
    """Return the parts of a tuple or list, the one part of a tensor, none of anything else."""
    if isinstance(value, Tensor):
        return (value,)
    return tuple(value) if isinstance(value, (tuple, list)) else ()


def _like(value: Any, parts: list[Any]) -> Any:
    """Return other parts in the container that ``value`` is."""
    # A named tuple is built from its fields, other containers from one iterable.
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def _copied(value: Any) -> Any:
    """Return a copy with all tensors detached, however deep in tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    parts = _parts(value)
    return _like(value, [_copied(part) for part in parts]) if parts else value


def _input_hook(keep: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a hook that keeps a layer's positional and keyword inputs, in that order."""

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        passed = keep((*args, *kwargs.values()))
        if passed is None:
            return None
        return passed[: len(args)], dict(zip(kwargs, passed[len(args) :], strict=True))

    return hook


def _in_graph(part: Any) -> Any:
    """Return a floating-point tensor that needs a gradient; anything else as it is."""
    if not isinstance(part, Tensor) or part.requires_grad or not part.is_floating_point():
        return part
    return part.detach().requires_grad_()


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Put back the training flag of each submodule, whatever is done to it inside the context.

    Example:
        >>> net = nn.Sequential(nn.Dropout().eval(), nn.Linear(2, 2))
        >>> with modes_kept(net):
        ...     _ = net.eval()
        >>> net.training, net[0].training
        (True, False)
    """
    before = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        # Flags are set one by one: `train()` may be overridden to freeze parts of a model.
        for module, mode in before:
            module.training = mode


@contextmanager
def grads_kept(model: nn.Module) -> Iterator[None]:
    """Put back the ``.grad`` of each parameter: for stock methods that call ``backward()``.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> with grads_kept(net):
        ...     net(torch.ones(1, 2)).sum().backward()
        >>> net.weight.grad is None
        True
    """
    before = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        for parameter, _ in before:
            parameter.grad = None
        yield
    finally:
        for parameter, grad in before:
            parameter.grad = grad


@contextmanager
def structure_kept(model: nn.Module) -> Iterator[None]:
    """Put back submodules and forward hooks: for stock methods that replace or add some.

    Example:
        >>> net = nn.Sequential(nn.ReLU())
        >>> with structure_kept(net):
        ...     net[0] = nn.Sigmoid()
        >>> type(net[0]).__name__
        'ReLU'
    """
    kinds = ("_modules", "_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    before = [
        (vars(module)[kind], dict(vars(module)[kind]))
        for module in model.modules()
        for kind in kinds
    ]
    try:
        yield
    finally:
        for now, then in before:
            now.clear()
            now.update(then)


@contextmanager
def untouched(model: object, layer: nn.Module | None = None) -> Iterator[None]:
    """Run a model in eval mode, and leave modes and random state as they were.

    A model that was in training mode is explained in eval mode, with a warning: batch
    statistics and dropout would make each image's map depend on the others and on chance.

    Args:
        model: A module, a bound method of one (``model.forward``), or another callable. The
            modules behind the last cannot be known; they run in the mode they are in.
        layer: A module of the model: where the model itself is not known, there is a warning if
            this one is in training mode.

    Example:
        >>> net = nn.Sequential(nn.Dropout(), nn.Linear(2, 2)).eval()
        >>> _ = net[0].train()
        >>> with untouched(net):
        ...     net[0].training
        False
        >>> net.training, net[0].training
        (False, True)
    """
    owner = _owner(model)
    modules = [] if owner is None else list(owner.modules())
    if modules and modules[0].training:
        _warn("The model is in training mode. It is explained in eval mode, and put back after.")
    elif owner is None and layer is not None and layer.training:
        _warn(
            "The layer is in training mode, and the model behind forward_func cannot be put into "
            "eval mode: call its eval() first, or pass the model itself."
        )
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=_cuda_devices(owner)))
        if owner is not None:
            stack.enter_context(modes_kept(owner))
        for module in modules:
            module.training = False
        yield


def _warn(message: str) -> None:
    """Warn at the first caller outside this package and its hosts."""
    ours = {"captum_cluster", "captum", "pytorch_grad_cam", "contextlib"}
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in ours:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level + 1)


def _owner(model: object) -> nn.Module | None:
    """Return the module behind a model or a bound method of one; None for other callables."""
    owner = model if isinstance(model, nn.Module) else getattr(model, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


def _cuda_devices(model: nn.Module | None) -> list[int]:
    """Return the numbers of the GPUs that the parameters are on."""
    if model is None or not torch.cuda.is_available():
        return []
    devices = {parameter.device for parameter in model.parameters()}
    return sorted(device.index for device in devices if device.type == "cuda")


def check_layer(model: object, layer: object, name: str = "layer") -> None:
    """Check that a layer is a module, and inside the model where the model's modules are known.

    Args:
        model: The model, or a function of its inputs.
        layer: The layer.
        name: The face's name for it, for the messages.

    Raises:
        TypeError: The layer is no module.
        LayerError: It is not one of the model's modules.

    Example:
        >>> check_layer(nn.Linear(2, 2), nn.Linear(2, 2))
        Traceback (most recent call last):
        captum_cluster._checks.LayerError: Expected layer to be a module of the model (Linear), \
but got a Linear that is not in it.
    """
    if not isinstance(layer, nn.Module):
        what = "an nn.Module of the model"
        raise TypeError(expected(name, what, type(layer).__name__))
    owner = _owner(model)
    if owner is not None and all(layer is not module for module in owner.modules()):
        what = f"a module of the model ({type(owner).__name__})"
        raise LayerError(expected(name, what, f"a {type(layer).__name__} that is not in it"))


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

    handle = model.register_forward_pre_hook(tally, with_kwargs=True)
    try:
        yield count
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
        for name, module in model.named_modules():
            handle = module.register_forward_hook(
                lambda module, _, output, name=name: note(name, module, output)
            )
            stack.callback(handle.remove)
        model(inputs)
    return [(name, module, shape) for name, (module, shape) in finished.items()]
