"""The networks of all levels of class grouping as one module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from captum_cluster._checks import LayerError, describe, expected
from captum_cluster.functional.training.class_groups import check_groups, count_groups
from captum_cluster.training.class_hierarchy import ClassHierarchy


class MultiLevelNetwork(nn.Module):
    """The ungrouped classifier and the classifier of each level's groups, as one module.

    Its output is that of the ungrouped classifier alone; multi-level CAM reads the others through
    ``networks``, ``groups`` and ``explained_layers``. The networks are trained one by one.

    Args:
        base: From images to logits (N,L) of the labels.
        levels: For each level a network from images to logits (N,G) of its groups.
        groups: A ``ClassHierarchy``, or for each level a LongTensor (L,), the group of each label.
            The levels need not be nested.

    Attributes:
        base: The ungrouped classifier.
        levels: The classifiers of the groups.

    Raises:
        TypeError: A network is no module, or ``groups`` holds no LongTensors.
        ValueError: There are more or fewer networks than levels of groups, or none, or a network
            with ``num_labels`` has another number than its labels or groups.

    Shape:
        Input (N,c,H,W), output (N,L): logits.

    Example:
        >>> import torch
        >>> from captum_cluster.training import gap_classifier
        >>> def network(labels):
        ...     return gap_classifier(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), labels)
        >>> groups = [torch.tensor([0, 1, 0, 1])]
        >>> net = MultiLevelNetwork(network(4), [network(2)], groups)
        >>> net(torch.rand(2, 3, 16, 16)).shape, len(net.explained_layers)
        (torch.Size([2, 4]), 2)

    References:
        Huang et al., "Class Activation Map Generation by Multiple Level Class Grouping and
        Orthogonal Constraint", section II and figure 2.
    """

    def __init__(
        self,
        base: nn.Module,
        levels: Sequence[nn.Module],
        groups: ClassHierarchy | Sequence[Tensor],
    ) -> None:
        super().__init__()
        tensors = _check_groups(groups)
        networks = _check_networks(base, levels)
        if len(networks) != len(tensors) + 1:
            what = f"{len(tensors)} networks, one for each level of groups"
            raise ValueError(expected("levels", what, len(networks) - 1))
        wanted = [len(tensors[0]), *map(count_groups, tensors)]
        for number, (network, size) in enumerate(zip(networks, wanted, strict=True)):
            _check_outputs(f"levels[{number - 1}]" if number else "base", network, size)
        self.base = base
        self.levels = nn.ModuleList(networks[1:])
        for number, level in enumerate(tensors):
            self.register_buffer(f"groups_{number}", level.detach().clone())

    @property
    def groups(self) -> list[Tensor]:
        """For each level LongTensor (L,), the group of each label, on the module's device."""
        return [self.get_buffer(f"groups_{number}") for number in range(len(self.levels))]

    @property
    def num_labels(self) -> int:
        """The number of labels L."""
        return len(self.groups[0])

    @property
    def networks(self) -> list[nn.Module]:
        """The classifiers of all levels, the ungrouped one first."""
        return [self.base, *self.levels]

    @property
    def explained_layers(self) -> list[nn.Module]:
        """The layers to explain: those of all networks, one after the other.

        Raises:
            LayerError: A network does not name its own.
        """
        return [layer for network in self.networks for layer in _layers_of(network)]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N,L) of the ungrouped classifier of images (N,c,H,W)."""
        logits: Tensor = self.base(images)
        return logits


def _check_groups(groups: Any) -> list[Tensor]:
    if isinstance(groups, ClassHierarchy):
        return groups.groups
    what = "a ClassHierarchy or a sequence of LongTensors (L,), at least one"
    if isinstance(groups, Tensor) or not isinstance(groups, Sequence):
        raise TypeError(expected("groups", what, describe(groups)))
    if not groups:
        raise ValueError(expected("groups", what, "none"))
    first = check_groups("groups[0]", groups[0])
    later = range(1, len(groups))
    return [first, *(check_groups(f"groups[{n}]", groups[n], len(first)) for n in later)]


def _check_networks(base: Any, levels: Any) -> list[nn.Module]:
    if not isinstance(base, nn.Module):
        raise TypeError(expected("base", "an nn.Module", describe(base)))
    what = "a sequence of nn.Modules"
    if not isinstance(levels, (Sequence, nn.ModuleList)) or isinstance(levels, str):
        raise TypeError(expected("levels", what, describe(levels)))
    for network in levels:
        if not isinstance(network, nn.Module):
            raise TypeError(expected("levels", what, f"one with {describe(network)}"))
    return [base, *levels]


def _check_outputs(name: str, network: nn.Module, size: int) -> None:
    """Refuse a network that is known to have another number of outputs."""
    found = getattr(network, "num_labels", size)
    if isinstance(found, int) and found != size:
        raise ValueError(expected(name, f"a network with {size} outputs", f"one with {found}"))


def _layers_of(network: nn.Module) -> list[nn.Module]:
    layers = getattr(network, "explained_layers", None)
    if layers is None:
        what = "to have explained_layers, as GapClassifier and TwoBranch have"
        raise LayerError(expected("each network", what, f"a {type(network).__name__} without"))
    return list(layers)
