"""Capture what goes through layers: activations, and gradients without touching ``.grad``."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _modules

from captum_cluster._checks import LayerError, expected
from captum_cluster.hooks.keeping import modules_of, on_forward_hook, on_forward_pre_hook, owner_of
from captum_cluster.hooks.uncompiling import uncompiled

Result = TypeVar("Result")

# What is said of a tensor without a graph, or of the grad_fn that it does not have.
_OF_GRAPH = re.compile("grad|NoneType")


@dataclass
class Capture:
    """What went through some layers in the last forward pass.

    Attributes:
        gradients: Whether the passes keep their graph, for ``gradients_of``.
        outputs: For each layer a copy of what it gave (or took) in its last call.
        nodes: With ``gradients``, the tensors of the same call in the graph.
        thread: The thread whose passes are captured; those of others are let through.
        advice: What to do where a layer is not called.
    """

    gradients: bool = False
    outputs: dict[int, Any] = field(default_factory=dict)
    nodes: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)
    thread: int = field(default_factory=threading.get_ident)
    advice: str = ""

    def output(self, number: int) -> Any:
        """Return what layer ``number`` gave in its last call, whatever it is, detached.

        Raises:
            LayerError: The layer was not called.
        """
        if number not in self.outputs:
            what = "a module that the forward pass calls"
            raise LayerError(expected("layer", what, "one that it does not") + self.advice)
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

        Zeros where a tensor does not influence the values, which depend on something else.

        Args:
            values: Any shape, computed from the captured pass.
            number: The layer's place in the list given to ``capture``.
            retain_graph: Keep the graph for another call.

        Raises:
            LayerError: The layer was not called.
            RuntimeError: The pass was not captured with gradients, or the model lets none through.
        """
        return self.gradients_of_all(values, [number], retain_graph=retain_graph)[0]

    def gradients_of_all(
        self, values: Tensor, numbers: Sequence[int], *, retain_graph: bool = False
    ) -> list[tuple[Tensor, ...]]:
        """Return the gradients at several layers, from one backward pass; see ``gradients_of``."""
        if not self.gradients:
            raise RuntimeError(expected("gradients", "True for capture()", "False"))
        counts = [len(self.nodes[number]) for number in numbers if self.activations(number)]
        found = iter(self._gradients(values, numbers, retain_graph))
        return [tuple(itertools.islice(found, count)) for count in counts]

    def _gradients(
        self, values: Tensor, numbers: Sequence[int], retain_graph: bool
    ) -> list[Tensor]:
        """Return the gradients at the tensors of some layers, one after the other."""
        nodes = [node for number in numbers for node in self.nodes[number]]
        gradients: list[Tensor | None] = [None] * len(nodes)
        places = [place for place, node in enumerate(nodes) if node.requires_grad]
        if places and not values.requires_grad:
            what = "to let gradients through from its output to the layer"
            raise RuntimeError(expected("the model", what, "an output without (torch.no_grad()?)"))
        if places:
            with torch.enable_grad():
                total = values.sum()
            found = torch.autograd.grad(
                total, [nodes[place] for place in places], None, retain_graph, allow_unused=True
            )
            for place, gradient in zip(places, found, strict=True):
                gradients[place] = gradient
        return [
            torch.zeros_like(node) if gradient is None else gradient.contiguous()
            for node, gradient in zip(nodes, gradients, strict=True)
        ]


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
    with _capture(layers, of_input, gradients, late=False) as captured:
        yield captured


def run_captured(
    model: object,
    layers: Sequence[nn.Module],
    run: Callable[[], Result],
    *,
    of_input: bool = False,
    gradients: bool = False,
) -> tuple[Result, Capture]:
    """Return what one pass of a model gives, and what it captures; see ``capture``.

    What comes before the layers needs no graph for the gradients at them, and is made without one
    where that can be done: not where the model switches autograd itself, has backward hooks, or
    fails without a graph. There the pass is made with autograd on from its beginning.

    Args:
        model: What ``run`` runs: a module, a bound method of one, or another callable.
        layers: As for ``capture``.
        run: Makes one forward pass, the same again if it is called again.
        of_input: As for ``capture``.
        gradients: As for ``capture``.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten())
        >>> outputs, captured = run_captured(
        ...     net, [net[0]], lambda: net(torch.ones(1, 1, 1, 1)), gradients=True
        ... )
        >>> outputs.shape, captured.activations(0)[0].requires_grad
        (torch.Size([1, 2]), False)
    """
    if gradients and _without_backward_hooks(model):
        try:
            with _capture(layers, of_input, gradients, late=True) as captured:
                result = run()
                undisturbed = torch.is_grad_enabled()
            if undisturbed or not captured.outputs:
                captured.advice = _advice(model, layers)
                return result, captured
        except Exception as error:
            if not _OF_GRAPH.search(str(error)):
                raise
    with _capture(layers, of_input, gradients, late=False) as captured:
        result = run()
    captured.advice = _advice(model, layers)
    return result, captured


def _advice(model: object, layers: Sequence[nn.Module]) -> str:
    """Return what to do where a layer is not called, or not in a way that hooks see."""
    if any(isinstance(layer, torch.jit.ScriptModule) for layer in layers):
        return (
            " The parts of a torch.jit model run without Python, and no hook sees them: explain "
            "the model that it was made of, or script the parts of a model each on its own."
        )
    owner = owner_of(model)
    parts = [] if owner is None else modules_of(owner)
    if any(isinstance(part, nn.DataParallel) for part in parts):
        return " DataParallel runs copies of it on several devices: explain its module instead."
    return ""


def _without_backward_hooks(model: object) -> bool:
    """Return whether a model's modules are known, and none has hooks on gradients."""
    owner = owner_of(model)
    everywhere = (_modules._global_backward_hooks, _modules._global_backward_pre_hooks)
    if owner is None or any(everywhere):
        return False
    return not any(one._backward_hooks or one._backward_pre_hooks for one in modules_of(owner))


@contextmanager
def _capture(
    layers: Sequence[nn.Module], of_input: bool, gradients: bool, *, late: bool
) -> Iterator[Capture]:
    """See ``capture``; ``late`` switches autograd on at the first layer that is called."""
    captured = Capture(gradients)
    with ExitStack() as stack:
        stack.enter_context(uncompiled())
        for number, layer in enumerate(layers):
            hook = _capture_hook(captured, number, late)
            if of_input:
                handle = on_forward_pre_hook(layer, _input_hook(hook), with_kwargs=True)
            else:
                handle = on_forward_hook(layer, lambda _, __, out, hook=hook: hook(out))
            stack.callback(handle.remove)
        if gradients:
            stack.enter_context(torch.inference_mode(False))
            # This also puts back what a hook switches on.
            stack.enter_context(torch.set_grad_enabled(not late))
        yield captured


def _capture_hook(captured: Capture, number: int, late: bool) -> Callable[[Any], Any]:
    """Return a function that keeps what a layer gives, and gives what is passed on instead."""

    def keep(value: Any) -> Any:
        if threading.get_ident() != captured.thread:
            return None
        captured.outputs[number] = _copied(value)
        if not captured.gradients:
            return None
        if late:
            torch.set_grad_enabled(True)
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
        # In the default layout, whichever the model runs in: transforms may use view().
        return value.detach().clone(memory_format=torch.contiguous_format)
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
