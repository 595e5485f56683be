"""Collections of feature maps: partitions of a Ward hierarchy, their validity, their maps.

SciPy is imported where it clusters, so that importing this module stays quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_cluster._checks import expected
from captum_cluster.functional.attribution.grids import over_grid

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Partition:
    """The partition of one image's channels that the validity index chose.

    Attributes:
        labels: LongTensor (C,), the collection of each channel, from 0 to k - 1. Collections are
            numbered by their first channel.
        validity: For each partition size that was tried the index DSRA.
    """

    labels: Tensor
    validity: dict[int, float]

    @property
    def size(self) -> int:
        """Number of collections k."""
        return int(self.labels.max()) + 1


def map_statistics(maps: Tensor, gradients: Tensor, *, standardize: bool = False) -> Tensor:
    """Return what a feature map is clustered by: mean and deviation of itself and its gradient.

    Args:
        maps: (C,h,w) float, the maps A of one image.
        gradients: (C,h,w) float, dS_c/dA.
        standardize: Move and scale each of the four to mean 0 and deviation 1 over the channels
            (one that is the same for all channels becomes 0). The paper does not: the maps, whose
            values are far larger, then decide alone.

    Returns:
        (C,4) float64: mean A, deviation A, mean G, deviation G over the grid (population).

    Example:
        >>> maps = torch.tensor([[[1.0, 3.0]]])
        >>> map_statistics(maps, -maps)
        tensor([[ 2.,  1., -2.,  1.]], dtype=torch.float64)

    References:
        Ha and Youn, "Collection-CAM", equation 5.
    """
    parts = []
    for values in (maps, gradients):
        flat = values.detach().flatten(1).double()
        # Rounding must not give a flat map a deviation, which standardizing would blow up.
        constant = flat.amax(dim=1) == flat.amin(dim=1)
        parts.append(torch.where(constant, flat[:, 0], flat.mean(dim=1)))
        centred = flat - flat.mean(dim=1, keepdim=True)
        deviation = torch.linalg.vector_norm(centred, dim=1) / flat.shape[1] ** 0.5
        parts.append(torch.where(constant, 0.0, deviation))
    points = torch.stack(parts, dim=1)
    if standardize:
        spread = points.std(dim=0, correction=0)
        same = (points.amax(dim=0) == points.amin(dim=0)) | (spread == 0)
        points = (points - points.mean(dim=0)) / torch.where(same, torch.inf, spread)
    return points


def ward_partitions(points: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
    """Return the partition of every size that one Ward hierarchy gives.

    Clusters are merged where the sum of squared errors grows least. The points are put into
    lexicographic order first, so the order of the channels does not matter.

    Args:
        points: (C,F) float64.
        sizes: Numbers of collections; those above the number of distinct points are left out.

    Returns:
        For each size k that is left LongTensor (C,) from 0 to k - 1, numbered by first member.

    Example:
        >>> points = torch.tensor([[0.0], [5.0], [0.1], [9.0]])
        >>> {size: labels.tolist() for size, labels in ward_partitions(points, [2, 3]).items()}
        {2: [0, 1, 0, 1], 3: [0, 1, 0, 2]}

    References:
        Ha and Youn, "Collection-CAM", equations 6 to 11; Ward 1963.
    """
    values: Array = points.detach().cpu().double().numpy() + 0.0
    order = np.lexsort(values.T[::-1])
    ordered = values[order]
    distinct = 1 + int((ordered[1:] != ordered[:-1]).any(axis=1).sum())
    left = [size for size in sizes if size <= distinct]
    if not left:
        return {}
    seats = np.argsort(order, kind="stable")
    cuts = _cuts(ordered, set(left))
    return {size: torch.from_numpy(_by_first_member(cuts[size][seats])) for size in left}


def dispersion_separation(points: Tensor, labels: Tensor) -> float:
    """Return the validity index DSRA of a partition, from -1 to 1; the larger, the better.

    The mean over the collections of ``(SIC - DIC) / (SIC + DIC)``: DIC is the mean squared
    distance to the centroid, SIC the squared distance from there to the nearest other centroid
    (0 for a single collection), and 0/0 counts as 0.

    Args:
        points: (C,F) float64.
        labels: LongTensor (C,) from 0 to k - 1, none empty.

    Example:
        >>> points = torch.tensor([[0.0], [2.0], [6.0]])
        >>> dispersion_separation(points, torch.tensor([0, 0, 1]))  # ((25 - 1) / 26 + 1) / 2
        0.9615384615384616

    References:
        Ha and Youn, "Collection-CAM", equations 12 to 15.
    """
    points = points.detach().cpu().double()
    members = torch.nn.functional.one_hot(labels.cpu()).to(points)
    counts = members.sum(dim=0)
    centroids = (members.T @ points) / counts[:, None]
    distances = (points - centroids[labels.cpu()]).square().sum(dim=1)
    within = (members.T @ distances) / counts
    between = (centroids[:, None] - centroids[None]).square().sum(dim=2)
    between.fill_diagonal_(torch.inf)
    apart = between.amin(dim=1) if len(centroids) > 1 else torch.zeros_like(within)
    total = apart + within
    ratio = torch.where(total > 0, (apart - within) / torch.where(total > 0, total, 1.0), 0.0)
    return float(ratio.mean())


def choose_partition(points: Tensor, sizes: Sequence[int]) -> Partition:
    """Return the partition of the largest validity index, and the index of every size.

    Args:
        points: (C,F) float64.
        sizes: Numbers of collections to try, each at least 1. Ties go to the smallest.

    Raises:
        ValueError: Every size is above the number of distinct points.

    Example:
        >>> points = torch.tensor([[0.0], [0.1], [5.0], [5.1], [9.0]])
        >>> choose_partition(points, [2, 3]).labels
        tensor([0, 0, 1, 1, 2])

    References:
        Ha and Youn, "Collection-CAM", equation 16.
    """
    partitions = ward_partitions(points, sorted(set(sizes)))
    if not partitions:
        distinct = len(torch.unique(points, dim=0))
        what = f"to hold a size that a layer with {distinct} distinct feature maps can have"
        raise ValueError(expected("partition_sizes", what, ", ".join(map(str, sorted(sizes)))))
    validity = {size: dispersion_separation(points, labels) for size, labels in partitions.items()}
    best = max(validity, key=lambda size: (validity[size], -size))
    return Partition(partitions[best], validity)


def collection_maps(maps: Tensor, gradients: Tensor, labels: Tensor, *, final: bool) -> Tensor:
    """Return the map of each collection, before its ReLU.

    Args:
        maps: (C,*grid), the maps A of one image.
        gradients: (C,*grid), dS_c/dA.
        labels: LongTensor (C,) from 0 to k - 1.
        final: Final layer: ``sum w_k A_k`` with ``w_k`` the spatial mean of the gradient. Else
            the sum of A where the gradient is positive.

    Returns:
        (k,*grid).

    Example:
        >>> maps = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
        >>> gradients = torch.tensor([[[1.0, -1.0]], [[1.0, 1.0]]])
        >>> collection_maps(maps, gradients, torch.tensor([0, 0]), final=False)
        tensor([[[4., 4.]]])
        >>> collection_maps(maps, gradients, torch.tensor([0, 0]), final=True)
        tensor([[[3., 4.]]])

    References:
        Ha and Youn, "Collection-CAM", equations 17 to 20.
    """
    if final:
        parts = over_grid(gradients.flatten(1).mean(dim=1), maps.ndim - 1) * maps
    else:
        parts = torch.where(gradients > 0, maps, torch.zeros_like(maps))
    sums = maps.new_zeros(int(labels.max()) + 1, *maps.shape[1:])
    return sums.index_add_(0, labels.to(maps.device), parts)


def _cuts(points: Array, sizes: set[int]) -> dict[int, IntArray]:
    """Return the labels (C,) of the partitions of these sizes, from one linkage."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    count = len(points)
    if count == 1:
        return {1: np.arange(1)} if 1 in sizes else {}
    # SciPy would take four equal points for a matrix of distances, hence pdist.
    merges = linkage(pdist(points), "ward")[:, :2].astype(np.intp)
    return {size: _roots(merges, count, size) for size in sizes}


def _roots(merges: IntArray, count: int, size: int) -> IntArray:
    """Return of each point (C,) the node under which it lies when ``size`` clusters are left."""
    steps = count - size
    roots = np.arange(count + steps)
    roots[merges[:steps]] = np.arange(count, count + steps)[:, None]
    while True:  # each round doubles the way up, so there are few
        above = roots[roots]
        if np.array_equal(above, roots):
            return roots[:count]
        roots = above


def _by_first_member(labels: IntArray) -> npt.NDArray[np.int64]:
    """Return labels numbered from 0 in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[inverse].astype(np.int64)
