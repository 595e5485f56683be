"""Copies of a model whose parameters are random, module by module."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from captum_cluster._checks import describe, expected

Mode = Literal["cascading", "independent"]


def module_names(model: nn.Module, modules: Sequence[str] | None = None) -> list[str]:
    """Return the names of the modules to randomise, in order.

    Args:
        model: The model.
        modules: The names; None: every module with parameters of its own, the one registered
            last first.

    Raises:
        TypeError: ``modules`` is no list of names.
        ValueError: A name is not that of a module with parameters, or there is none in the model.

    Example:
        >>> module_names(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)))
        ['2', '0']
    """
    if modules is None:
        own = [name for name, part in model.named_modules() if _parametrised(part, recurse=False)]
        if not own:
            raise ValueError(expected("model", "a module with parameters", "one without"))
        return own[::-1]
    if isinstance(modules, str) or not isinstance(modules, Sequence) or not modules:
        raise TypeError(expected("modules", "a list of names of modules", describe(modules)))
    known = dict(model.named_modules())
    for name in modules:
        if name not in known or not _parametrised(known[name], recurse=True):
            what = "names of modules of the model that have parameters"
            raise ValueError(expected("modules", what, describe(name)))
    return list(modules)


def randomised(
    model: nn.Module,
    layers: Sequence[nn.Module],
    names: Sequence[str],
    *,
    whole: bool = False,
    mode: Mode = "cascading",
    seed: int = 0,
) -> Iterator[tuple[str, nn.Module, list[nn.Module]]]:
    """Yield for each name a copy of the model with that module's parameters random.

    Args:
        model: The model, which stays as it is.
        layers: Some of its modules.
        names: Names of the modules to randomise, in order.
        whole: Randomise also the modules in each.
        mode: "cascading": what was randomised stays so; "independent": one module at a time.
        seed: What the parameters are drawn from; a module's do not depend on the mode.

    Yields:
        The name, the copy in eval mode (the same one at each step where it cascades), and the
        layers in the copy.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))
        >>> for name, other, _ in randomised(net, [], ["2", "0"], mode="independent"):
        ...     print(name, torch.equal(other[0].weight, net[0].weight))
        2 True
        0 False
    """
    generator = torch.Generator().manual_seed(seed)
    # Modules of one shape must not be given the same numbers.
    seeds = torch.randint(2**62, (len(names),), generator=generator).tolist()
    net, at = copied(model, layers)
    for number, (name, own) in enumerate(zip(names, seeds, strict=True)):
        if number and mode == "independent":
            net, at = copied(model, layers)
        module = net.get_submodule(name)
        with drawn_from(own, net):
            for part in module.modules() if whole else [module]:
                randomise(part)
        yield name, net, at


def copied(model: nn.Module, layers: Sequence[nn.Module]) -> tuple[nn.Module, list[nn.Module]]:
    """Return a copy of a model, in eval mode, and some of its layers in it.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3))
        >>> other, layers = copied(net, [net[0]])
        >>> other[0] is layers[0], layers[0] is net[0], other.training
        (True, False, False)
    """
    names = {id(part): name for name, part in model.named_modules()}
    with torch.inference_mode(False):
        net = copy.deepcopy(model).eval()
    return net, [net.get_submodule(names[id(layer)]) for layer in layers]


def randomise(module: nn.Module) -> None:
    """Draw a module's own parameters anew, in place: not buffers, nor those of modules in it.

    By its ``reset_parameters``; what that leaves alone, or where there is none, becomes normal
    with the same mean and standard deviation.

    Example:
        >>> norm = nn.BatchNorm2d(4)
        >>> _ = norm.weight.data.fill_(3.0), norm.running_mean.fill_(5.0)
        >>> randomise(norm)
        >>> norm.weight.tolist(), norm.running_mean.tolist()
        ([1.0, 1.0, 1.0, 1.0], [5.0, 5.0, 5.0, 5.0])
    """
    with torch.inference_mode(False), torch.no_grad():
        own = {name: one for name, one in module.named_parameters(recurse=False) if _real(one)}
        if not own:
            return
        before = {name: parameter.clone() for name, parameter in own.items()}
        kept = {name: tensor.clone() for name, tensor in _tensors(module) if name not in own}
        for parameter in own.values():
            parameter.fill_(math.nan)  # to see which the module's own way does not reach
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        for name, tensor in _tensors(module):
            if name in kept:
                tensor.copy_(kept[name])
            elif name in before and bool(tensor.isnan().any()):
                tensor.copy_(_alike(before[name]))


@contextmanager
def drawn_from(seed: int, model: nn.Module) -> Iterator[None]:
    """Draw what torch draws inside the context from a seed, and put the random state back.

    Example:
        >>> with drawn_from(0, nn.ReLU()):
        ...     first = torch.rand(3)
        >>> with drawn_from(0, nn.ReLU()):
        ...     torch.equal(torch.rand(3), first)
        True
    """
    devices = sorted({one.device.index for one in model.parameters() if one.is_cuda})
    with torch.random.fork_rng(devices=devices):
        # torch.manual_seed would also seed devices that are not put back.
        torch.default_generator.manual_seed(seed)
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(seed)
        yield


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _alike(values: Tensor) -> Tensor:
    """Return normal numbers of the mean and the standard deviation of others."""
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    return wide.mean() + wide.std(correction=0) * torch.randn_like(wide)


def _real(parameter: Tensor) -> bool:
    return parameter.is_floating_point()


def _parametrised(module: nn.Module, *, recurse: bool) -> bool:
    return any(_real(parameter) for parameter in module.parameters(recurse=recurse))
