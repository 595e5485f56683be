"""Multi-branch CAM: the mean of the Grad-CAMs of several layers, of the branches of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from captum_cluster._types import CamResult
from captum_cluster.functional.attribution.merging import merge_branches
from captum_cluster.functional.attribution.weights import fuse
from captum_cluster.methods.algorithm import Algorithm
from captum_cluster.methods.collection_cam import MapsAndGradients


@dataclass(frozen=True)
class MultiBranchCamConfig:
    """Options of Multi-branch CAM: there are none."""


@dataclass(frozen=True, eq=False)
class MultiBranchCamResult(CamResult):
    """Multi-branch CAM's result.

    Attributes:
        layers: The Grad-CAM of each layer, (N,T,h,w) on the layer's own grid, signed.
    """

    layers: tuple[Tensor, ...]


def multi_branch_cam(
    layers: Sequence[MapsAndGradients], config: MultiBranchCamConfig
) -> MultiBranchCamResult:
    """Return Multi-branch CAM's result: the mean of the layers' Grad-CAMs, from 0 to 1.

    Each is rectified and divided by its maximum first, so that no branch outweighs another; those
    of smaller grids are enlarged to the largest.

    Args:
        layers: One for each branch, in any order.
        config: No options.

    References:
        Huang et al., "Class Activation Map generation by Multiple Level Class Grouping and
        Orthogonal Constraint", section II-D.
    """
    cams = tuple(fuse(layer.gradients.flatten(3).mean(dim=3), layer.maps) for layer in layers)
    merged = merge_branches(cams, dims=cams[0].ndim - 2)
    return MultiBranchCamResult("multi-branch-cam", merged, None, cams)


MULTI_BRANCH_CAM = Algorithm(
    "multi-branch-cam",
    MultiBranchCamConfig,
    multi_branch_cam,
    paper="Huang et al.",
    passes="1",
    linear=False,
    gradient=True,
    several_layers=True,
)
