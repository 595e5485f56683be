"""The networks of a class hierarchy inside one model, and which layer belongs to which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import LayerError, check_finite, describe, expected
from captum_cluster.hooks import network_of


@dataclass(frozen=True)
class Level:
    """One level of a class hierarchy.

    Attributes:
        network: Tells the level's groups apart: (N,G) of images (N,c,H,W).
        layers: Its layers that are explained, one for each branch.
        groups: LongTensor (L,), the group of each label.
    """

    network: nn.Module
    layers: tuple[nn.Module, ...]
    groups: Tensor


@dataclass(frozen=True)
class Networks:
    """The networks of a model.

    Attributes:
        base: The explained layers of the network that tells all labels apart.
        levels: The networks of the groups, finest first; none of a plain model.
    """

    base: tuple[nn.Module, ...]
    levels: tuple[Level, ...] = ()

    @property
    def groups(self) -> list[Tensor]:
        """The groups of each level."""
        return [level.groups for level in self.levels]


def networks_of(model: object) -> tuple[list[nn.Module], list[Any]]:
    """Return the networks of a multi-level model and the groups of its levels; of others none.

    Args:
        model: The model, or a bound method of it.

    Example:
        >>> networks_of(nn.ReLU())
        ([], [])
    """
    owner = network_of(model)
    networks, groups = getattr(owner, "networks", None), getattr(owner, "groups", None)
    return ([], []) if networks is None or groups is None else (list(networks), list(groups))


def split_networks(model: Callable[..., Any], layers: Sequence[nn.Module]) -> Networks:
    """Return the networks of a model, each with those of some layers that are in it.

    A multi-level model has the attributes ``networks`` (the one of all labels, which its forward
    pass runs, then one for each level) and ``groups`` (for each level LongTensor (L,), the group
    of each label), as ``captum_cluster.training.MultiLevelNetwork`` has. Any other model is one
    network without levels.

    Args:
        model: The model, or a bound method of it.
        layers: Of all its networks together. A network without any of them is explained at its
            own ``explained_layers``.

    Raises:
        ValueError: There are not as many groups as levels, or they are no LongTensors (L,).
        LayerError: A layer is in none of the networks, or a network is without layers.

    Example:
        >>> split_networks(nn.Sequential(nn.ReLU()), [nn.ReLU()])
        Networks(base=(ReLU(),), levels=())
    """
    networks, groups = networks_of(model)
    if not networks:
        return Networks(tuple(layers))
    groups = _check_groups(groups, len(networks) - 1)
    owned = [_layers_in(network, layers) for network in networks]
    for layer in layers:
        if all(layer is not one for part in owned for one in part):
            what = f"a module of one of the model's {len(networks)} networks"
            raise LayerError(expected("layer", what, f"a {type(layer).__name__} of none of them"))
    found = [
        part or _own_layers(network, number)
        for number, (network, part) in enumerate(zip(networks, owned, strict=True))
    ]
    levels = zip(networks[1:], found[1:], groups, strict=True)
    return Networks(found[0], tuple(Level(*level) for level in levels))


def check_level(outputs: Tensor, groups: Tensor, number: int) -> None:
    """Check what a level's network gives: finite, with an output for each group.

    Args:
        outputs: Of the network.
        groups: LongTensor (L,), the group of each label.
        number: Of the level, from 1, for the message.

    Raises:
        ValueError: It gives something else.

    Example:
        >>> check_level(torch.zeros(2, 3), torch.tensor([0, 1, 2, 1]), 1)
    """
    count = int(groups.max()) + 1
    if outputs.ndim != 2 or outputs.shape[1] < count:
        what = f"to give logits (N,{count}) for its {count} groups"
        raise ValueError(expected(f"the network of level {number}", what, describe(outputs)))
    check_finite(f"the outputs of level {number}", outputs.detach())


def check_groups_of(groups: Sequence[Tensor], n_labels: int) -> None:
    """Check that each level has the group of every label.

    Raises:
        ValueError: One has not.

    Example:
        >>> check_groups_of([torch.tensor([0, 1, 1])], 3)
    """
    for number, group in enumerate(groups, start=1):
        if len(group) != n_labels:
            what = f"to hold one group for each of the model's {n_labels} labels"
            raise ValueError(expected(f"the groups of level {number}", what, f"{len(group)}"))


def _check_groups(groups: list[Any], levels: int) -> list[Tensor]:
    """Return the groups of each level, checked."""
    if len(groups) != levels:
        what = f"one LongTensor (L,) for each of its {levels} networks of groups"
        raise ValueError(expected("the model's groups", what, f"{len(groups)} of them"))
    for group in groups:
        good = isinstance(group, Tensor) and group.ndim == 1 and group.dtype == torch.long
        if not good or not len(group) or int(group.min()) < 0:
            what = "LongTensors (L,) of numbers from 0"
            raise ValueError(expected("the model's groups", what, describe(group)))
    return groups


def _layers_in(network: nn.Module, layers: Sequence[nn.Module]) -> tuple[nn.Module, ...]:
    """Return those of some layers that are modules of a network, each once."""
    inside = {id(module) for module in network.modules()}
    # A body that several networks share stands in the list once for each of them.
    return tuple({id(layer): layer for layer in layers if id(layer) in inside}.values())


def _own_layers(network: nn.Module, number: int) -> tuple[nn.Module, ...]:
    """Return the layers that a network names itself."""
    named = tuple(getattr(network, "explained_layers", ()))
    if not named:
        what = "to hold a layer of each network of the model (or it to have explained_layers)"
        raise LayerError(expected("the layers", what, f"none of network {number}"))
    return named
