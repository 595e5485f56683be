"""Weights in the memory layout of many passes, for as long as these last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from captum_cluster.hooks.keeping import owner_of

# Fewer passes than this do not win back what moving the weights costs.
_FEW_PASSES = 4


@contextmanager
def weights_channels_last(model: object, passes: int) -> Iterator[None]:
    """Lay out a model's convolution weights channels-last for some passes, and put them back.

    Every pass over channels-last images brings the weights into that layout for itself, which
    takes a few per cent of it. The values are the same, the parameters the same objects, and after
    the context their storage is the same too. Nothing is done for few passes, on a GPU, for
    compiled models (which would be compiled again), and for weights that are part of another
    tensor.

    Args:
        model: A module, a bound method of one, or another callable, which is left alone.
        passes: How many forward passes are made inside the context.

    Example:
        >>> net = nn.Conv2d(4, 4, 3)
        >>> with weights_channels_last(net, passes=100):
        ...     net.weight.is_contiguous()
        False
        >>> net.weight.is_contiguous()
        True
    """
    owner = owner_of(model) if passes >= _FEW_PASSES else None
    moved: list[tuple[Tensor, Tensor]] = []
    try:
        for weight in [] if owner is None or _is_compiled(owner) else _movable(owner):
            before = weight.data
            weight.data = before.contiguous(memory_format=torch.channels_last)
            moved.append((weight, before))
        yield
    finally:
        for weight, before in moved:
            weight.data = before


def _movable(model: nn.Module) -> list[Tensor]:
    """Return the convolution weights that another layout suits better."""
    weights = {id(m._parameters["weight"]): m._parameters["weight"] for m in _convolutions(model)}
    return [weight for weight in weights.values() if weight is not None and _is_plain(weight)]


def _convolutions(model: nn.Module) -> list[nn.Conv2d]:
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    # A weight that is computed (weight norm) is no parameter of that name.
    return [module for module in convolutions if "weight" in module._parameters]


def _is_plain(weight: Tensor) -> bool:
    """Return whether a weight lies in the default layout, on the CPU, in a storage of its own."""
    return (
        not weight.is_inference()
        and type(weight.data) is Tensor
        and weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and weight.is_contiguous()
        and not weight.is_contiguous(memory_format=torch.channels_last)
        and weight.untyped_storage().nbytes() == weight.numel() * weight.element_size()
    )


def _is_compiled(model: nn.Module) -> bool:
    # The compiler is slow to import, so its class is known by name.
    return any(
        isinstance(module, torch.jit.ScriptModule) or type(module).__name__ == "OptimizedModule"
        for module in model.modules()
    )
