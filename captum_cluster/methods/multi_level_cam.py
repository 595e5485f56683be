"""Multi-level CAM: a label's map, and its groups' maps, less the maps of the rest classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_integer, check_number
from captum_cluster._types import CamResult
from captum_cluster.functional.attribution.levels import (
    REST,
    fuse_levels,
    rest_labels,
    rest_maps,
)
from captum_cluster.functional.attribution.merging import (
    merge_branches,
    to_largest_grid,
    unit_positive,
)
from captum_cluster.functional.attribution.weights import fuse
from captum_cluster.methods.algorithm import Algorithm
from captum_cluster.methods.minmax_grad_cam import Gradients


@dataclass(frozen=True)
class MultiLevelCamConfig:
    """Options of Multi-level CAM.

    Attributes:
        rest: The rest classes, whose map is taken away: "present" (the other labels present in
            the image), "groupmates" (the labels that share a group with the target at some level)
            or "all" (every other label, one backward pass each). The paper does not define them.
        label_threshold: Of rest="present", where no labels are given: those with a probability
            above this, from 0 to 1, are present.
        max_predicted: Of rest="present", where no labels are given: more than this many cannot be
            a prediction of what is present.
    """

    rest: str = "present"
    label_threshold: float = 0.5
    max_predicted: int = 20

    def __post_init__(self) -> None:
        check_choice("rest", self.rest, REST)
        check_number("label_threshold", self.label_threshold, 0.0, 1.0)
        check_integer("max_predicted", self.max_predicted, 1)


@dataclass(frozen=True, eq=False)
class NetworkLayers:
    """What Multi-level CAM sees of one network.

    Attributes:
        n_outputs: Number of its outputs G.
        maps: Of each layer that is explained (one for each branch) (N,C,h,w).
        gradients: Of each layer: of coefficients (N,G) of the network's G outputs the gradient
            (N,C,h,w) of their weighted sum at its maps.
    """

    n_outputs: int
    maps: Sequence[Tensor]
    gradients: Sequence[Gradients]


@dataclass(frozen=True, eq=False)
class MultiLevelCamResult(CamResult):
    """Multi-level CAM's result.

    Attributes:
        targets: LongTensor (N,T), the labels explained.
        present: BoolTensor (N,L), the labels that count as present, besides the target; None
            where the rest classes do not depend on them and none were given.
        rest: BoolTensor (N,T,L), the rest classes of each target.
        ungrouped: (N,T,h,w) from 0 to 1, the map of each target itself (M_0).
        grouped: (N,T,k,h,w) from 0 to 1, the map of the target's group at each level (M_i).
        rest_maps: (N,T,h,w) from 0 to 1, the map of the rest classes (M_0').
    """

    targets: Tensor
    present: Tensor | None
    rest: Tensor
    ungrouped: Tensor
    grouped: Tensor
    rest_maps: Tensor


def multi_level_cam(
    base: NetworkLayers,
    levels: Iterable[NetworkLayers],
    targets: Tensor,
    present: Tensor | None,
    groups: Sequence[Tensor],
    config: MultiLevelCamConfig,
) -> MultiLevelCamResult:
    """Return Multi-level CAM's result, ``M_0 + (1/k) sum_i M_i - M_0'``, from 0 to 1.

    M_0 is the map of the label by the network that tells all labels apart, M_i that of the
    label's group by the network of level i, M_0' the maximum of the rest classes' maps by the
    first network; each a network's mean of Grad-CAMs over its branches, divided by its maximum.
    Maps of smaller grids are enlarged to the largest. One backward pass for each label and group
    that is needed.

    Args:
        base: The network that tells all L labels apart.
        levels: The networks of the groups, k of them, looked at one after the other.
        targets: LongTensor (N,T).
        present: BoolTensor (N,L); a target counts as present, whether it is marked or not. May be
            None where ``config.rest`` is not "present".
        groups: For each level LongTensor (L,), the group of each label.
        config: Options.

    References:
        Huang et al., "Class Activation Map generation by Multiple Level Class Grouping and
        Orthogonal Constraint", equation 5.
    """
    groups = [group.to(targets.device) for group in groups]
    rest = rest_labels(targets, base.n_outputs, rest=config.rest, present=present, groups=groups)
    wanted = rest.any(dim=1).scatter(1, targets, True)
    cams, ranks = _maps_of(base, wanted)
    ungrouped = _at(cams, ranks, targets)
    others = rest_maps(cams, _by_rank(rest, ranks, cams.shape[1]))
    grouped = [_of_groups(one, group[targets]) for one, group in zip(levels, groups, strict=True)]
    dims = ungrouped.ndim - 2
    alike = to_largest_grid([ungrouped, others, *grouped], dims=dims)
    ungrouped, others, *grouped = (unit_positive(part, dims=dims) for part in alike)
    stacked = torch.stack(grouped, dim=2) if grouped else ungrouped[:, :, None][:, :, :0]
    maps = fuse_levels(ungrouped, stacked, others)
    return MultiLevelCamResult(
        "multi-level-cam", maps, None, targets, present, rest, ungrouped, stacked, others
    )


def _of_groups(network: NetworkLayers, groups: Tensor) -> Tensor:
    """Return the maps (N,T,h,w) of groups (N,T) by their level's network."""
    wanted = torch.nn.functional.one_hot(groups, network.n_outputs).sum(dim=1).bool()
    cams, ranks = _maps_of(network, wanted)
    return _at(cams, ranks, groups)


def _maps_of(network: NetworkLayers, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps of some outputs of a network.

    Args:
        network: The network, with G outputs.
        wanted: BoolTensor (N,G), at least one for each image.

    Returns:
        maps: (N,R,h,w), R the greatest number of outputs that an image wants.
        ranks: LongTensor (N,G), the place of each output among them; -1 for those not wanted.
    """
    ranks = torch.where(wanted, wanted.cumsum(dim=1) - 1, -1)
    dtype = network.maps[0].dtype  # Apple's GPUs have no float64
    rows = [(ranks == rank).to(dtype) for rank in range(int(ranks.max()) + 1)]
    cams = []
    for maps, gradients in zip(network.maps, network.gradients, strict=True):
        weights = [gradients(row).flatten(2).mean(dim=2) for row in rows]
        cams.append(fuse(torch.stack(weights, dim=1), maps))
    return merge_branches(cams, dims=cams[0].ndim - 2), ranks


def _at(maps: Tensor, ranks: Tensor, chosen: Tensor) -> Tensor:
    """Return the maps (N,T,h,w) of outputs (N,T), of maps (N,R,h,w) in the order of ranks."""
    lines = torch.arange(len(maps), device=maps.device)[:, None]
    return maps[lines, ranks.gather(1, chosen).to(maps.device)]


def _by_rank(rest: Tensor, ranks: Tensor, count: int) -> Tensor:
    """Return rest classes (N,T,L) as places among the wanted ones: BoolTensor (N,T,R)."""
    seats = ranks.clamp(min=0)[:, None].expand_as(rest)
    found = rest.new_zeros(*rest.shape[:2], count, dtype=torch.long)
    return found.scatter_add_(2, seats, rest.long()).bool()


MULTI_LEVEL_CAM = Algorithm(
    "multi-level-cam",
    MultiLevelCamConfig,
    multi_level_cam,
    paper="Huang et al.",
    passes="1 + levels",
    linear=False,
    gradient=True,
    contrasts_labels=True,
    several_layers=True,
)
