"""Leave a model as it was found: modes, gradients, submodules, hooks, random state."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from captum_cluster._checks import LayerError, expected, warn


@dataclass
class _Explained:
    """A module that is being explained: in how many contexts, and the mode it was found in."""

    contexts: int
    found: bool


_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)

# Of all threads: each would take the eval mode that another one has set for the model's own.
_EXPLAINED: dict[nn.Module, _Explained] = {}
_EXPLAINED_LOCK = threading.Lock()

# Modules of torch.jit.script refuse these methods, and yet run the hooks where Python calls them.
on_forward_hook = nn.Module.register_forward_hook
on_forward_pre_hook = nn.Module.register_forward_pre_hook


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
    modules = _with_modes(model)
    before = [module.training for module in modules]
    try:
        yield
    finally:
        for module, mode in zip(modules, before, strict=True):
            _set_mode(module, mode)


@contextmanager
def _in_eval_mode(modules: list[nn.Module]) -> Iterator[None]:
    """Put modules into eval mode, and back when the last context of any thread is left."""
    with _EXPLAINED_LOCK:
        for module in modules:
            _EXPLAINED.setdefault(module, _Explained(0, module.training)).contexts += 1
            _set_mode(module, False)
    try:
        yield
    finally:
        with _EXPLAINED_LOCK:
            for module in modules:
                explained = _EXPLAINED[module]
                explained.contexts -= 1
                if not explained.contexts:
                    _set_mode(module, _EXPLAINED.pop(module).found)


def _with_modes(model: nn.Module) -> list[nn.Module]:
    """Return the modules that have a mode: those frozen by ``torch.jit.freeze`` may have none."""
    return [module for module in modules_of(model) if hasattr(module, "training")]


def _set_mode(module: nn.Module, mode: bool) -> None:
    # One by one: `train()` may be overridden to freeze parts of a model. Where nothing is to be
    # done nothing is: setting an attribute of a module is slow.
    if module.training != mode:
        module.training = mode


def modules_of(model: nn.Module) -> list[nn.Module]:
    """Return what ``model.modules()`` does, without making their names."""
    found, waiting = {id(model): model}, [model]
    while waiting:
        for child in waiting.pop()._modules.values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                waiting.append(child)
    return list(found.values())


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
    statistics and dropout would make each image's map depend on the others and on chance. Where
    several threads explain one model, the last one to finish puts it back.

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
    owner = owner_of(model)
    modules = [] if owner is None else _with_modes(owner)
    if modules and modules[0].training:
        warn("The model is in training mode. It is explained in eval mode, and put back after.")
    elif owner is None and layer is not None and layer.training:
        warn(
            "The layer is in training mode, and the model behind forward_func cannot be put into "
            "eval mode: call its eval() first, or pass the model itself."
        )
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=_cuda_devices(owner)))
        stack.enter_context(_in_eval_mode(modules))
        yield


def owner_of(model: object) -> nn.Module | None:
    """Return the module behind a model or a bound method of one; None for other callables.

    Example:
        >>> net = nn.ReLU()
        >>> owner_of(net.forward) is net, owner_of(lambda x: net(x))
        (True, None)
    """
    owner = model if isinstance(model, nn.Module) else getattr(model, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


def network_of(model: object) -> nn.Module | None:
    """Return the module behind a model as ``owner_of`` does, and of data-parallel ones their own.

    Example:
        >>> net = nn.ReLU()
        >>> network_of(nn.DataParallel(net)) is net
        True
    """
    owner = owner_of(model)
    while isinstance(owner, _PARALLEL):
        owner = owner.module
    return owner


def on_one_device(model: Any) -> Any:
    """Return a model whose layers run in this thread, on the modules themselves.

    A ``DataParallel`` model over several devices runs copies of its module, in threads of their
    own. What is returned runs the module itself on the first of them. Any other model as it is.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> on_one_device(net) is net
        True
    """
    if not isinstance(model, nn.DataParallel) or len(model.device_ids) < 2:
        return model
    return nn.DataParallel(model.module, model.device_ids[:1], dim=model.dim)


def is_plain(model: nn.Module) -> bool:
    """Return whether each module runs its ``forward`` as Python, here and in this thread."""
    return not any(
        isinstance(module, (torch.jit.ScriptModule, *_PARALLEL))
        or hasattr(module, "_orig_mod")  # torch.compile(module)
        or getattr(module, "_compiled_call_impl", None) is not None  # module.compile()
        for module in modules_of(model)
    )


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
    owner = owner_of(model)
    if owner is not None and all(layer is not module for module in owner.modules()):
        what = f"a module of the model ({type(owner).__name__})"
        raise LayerError(expected(name, what, f"a {type(layer).__name__} that is not in it"))
