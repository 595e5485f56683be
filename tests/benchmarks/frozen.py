"""What the frozen layers of a network make of an image, computed once."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster.evaluation.recipes.networks import Builder

LAST = "layer3"


def keep_frozen(builder: Builder) -> None:
    """Let the ResNets that a builder makes remember what the layers up to layer3 give.

    These must stay as they are, in evaluation mode, with the same weights in all networks.
    """
    make, known = builder.classifier, dict[bytes, Tensor]()

    def classifier(*args: Any, **options: Any) -> Any:
        network = make(*args, **options)
        _remember(network, known)
        return network

    builder.classifier = classifier  # type: ignore[method-assign]


def _remember(network: nn.Module, known: dict[bytes, Tensor]) -> None:
    body = network.get_submodule("body")
    names = [name for name, _ in body.named_children()]
    frozen = [body.get_submodule(name) for name in names[: names.index(LAST) + 1]]
    originals = [module.forward for module in frozen]
    norms = [one for part in frozen for one in part.modules() if isinstance(one, nn.BatchNorm2d)]

    @torch.no_grad()
    def first(images: Tensor) -> Tensor:
        keys = [hashlib.sha1(one.numpy().tobytes()).digest() for one in images.contiguous()]
        new = [number for number, key in enumerate(keys) if key not in known]
        if new:
            maps = images[new]
            assert not any(norm.training for norm in norms)
            for forward in originals:
                maps = forward(maps)
            known.update({keys[number]: one for number, one in zip(new, maps, strict=True)})
        found = torch.stack([known[key] for key in keys])
        return found.contiguous(memory_format=torch.channels_last)

    frozen[0].forward = first  # type: ignore[method-assign]
    for module in frozen[1:]:
        module.forward = lambda maps: maps  # type: ignore[method-assign]
