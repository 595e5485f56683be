"""Clusters of the feature maps of one image, through scikit-learn and SciPy.

scikit-learn is imported where it clusters, so that importing this module stays quick.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_cluster.functional.attribution.grids import over_grid

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


def kmeans_labels(
    maps: Tensor,
    n_clusters: int,
    *,
    n_init: int = 1,
    random_state: int = 0,
    map_scale: str = "none",
) -> Tensor:
    """Return the k-means cluster (k-means++) of each map of one image.

    The distinct maps are put into lexicographic order and weighted by how often they occur, so
    neither the order of the channels nor copies of a map can change what is found, and equal
    maps always share a cluster. Of fewer distinct maps than clusters each gets its own.

    Args:
        maps: (C,h,w) float.
        n_clusters: Clusters wanted, Q.
        n_init: Runs of k-means from different seeds; the best is kept.
        random_state: Seed.
        map_scale: "none", or "unit": divide each map by its L2 norm before the assignment.

    Returns:
        LongTensor (C,) from 0 to min(Q, distinct maps) - 1.

    Example:
        >>> maps = torch.tensor([[[0.0]], [[9.0]], [[1.0]], [[9.0]]])
        >>> labels = kmeans_labels(maps, 2).tolist()
        >>> labels[1] == labels[3] != labels[0] == labels[2]
        True

    References:
        Feng et al. 2023, "Cluster-CAM", section 3.1.
    """
    points = _as_points(maps, map_scale)
    distinct, inverse, counts = _distinct(points)
    labels = _kmeans(distinct, counts, n_clusters, n_init, random_state)
    return torch.from_numpy(labels[inverse].astype(np.int64))


def spectral_labels(
    maps: Tensor,
    n_clusters: int,
    *,
    n_eigenvectors: int | None = None,
    similarity: str = "euclidean",
    distance_scale: str = "median",
    adjacency: str = "similarity",
    sigma: float = 1.0,
    theta: float = 0.0,
    n_init: int = 1,
    random_state: int = 0,
    map_scale: str = "none",
) -> Tensor:
    """Return the spectral cluster of each map of one image: k-means on the graph's eigenvectors.

    Args:
        maps: (C,h,w) float.
        n_clusters: Clusters wanted, Q.
        n_eigenvectors: Eigenvectors used, m; None for Q. At most C - 1 are there.
        similarity: See ``spectral_embedding``, as for the next four.
        distance_scale: "median" or "none".
        adjacency: "similarity" or "gaussian".
        sigma: Width of the adjacency.
        theta: Similarity at or below which two maps are not connected.
        n_init: Runs of k-means.
        random_state: Seed.
        map_scale: "none" or "unit".

    Returns:
        LongTensor (C,) from 0 to min(Q, distinct maps) - 1.

    Example:
        >>> maps = torch.tensor([[[0.0]], [[9.0]], [[1.0]], [[9.0]]])
        >>> labels = spectral_labels(maps, 2, n_eigenvectors=1).tolist()
        >>> labels[1] == labels[3] != labels[0] == labels[2]
        True

    References:
        Feng et al. 2023, "Cluster-CAM", equations 10 to 17.
    """
    points = _as_points(maps, map_scale)
    distinct, inverse, counts = _distinct(points)
    if len(distinct) <= n_clusters:
        return torch.from_numpy(inverse.astype(np.int64))
    # The graph is built in lexicographic order too: its eigenvectors then do not depend on the
    # order of the channels, not even among equal eigenvalues.
    order = np.argsort(inverse, kind="stable")
    wanted = n_clusters if n_eigenvectors is None else n_eigenvectors
    embedding = spectral_embedding(
        points[order],
        n_eigenvectors=min(wanted, len(points) - 1),
        similarity=similarity,
        distance_scale=distance_scale,
        adjacency=adjacency,
        sigma=sigma,
        theta=theta,
    )
    # Equal maps have the same neighbours: their mean keeps rounding from parting them.
    sums = np.zeros((len(distinct), embedding.shape[1]))
    np.add.at(sums, inverse[order], embedding)
    # Maps without neighbours all lie at 0: as points for k-means they are one.
    places, seat, _ = _distinct(sums / counts[:, None])
    sizes = np.bincount(seat, weights=counts).astype(np.intp)
    labels = _kmeans(places, sizes, n_clusters, n_init, random_state)[seat]
    return torch.from_numpy(labels[inverse].astype(np.int64))


def spectral_embedding(
    points: Array,
    *,
    n_eigenvectors: int,
    similarity: str = "euclidean",
    distance_scale: str = "median",
    adjacency: str = "similarity",
    sigma: float = 1.0,
    theta: float = 0.0,
) -> Array:
    """Return the eigenvectors u_2 .. u_{m+1} of the maps' graph, one row for each map.

    The distance d is Euclidean; the similarity S is exp(-d) or SSIM; the adjacency A is
    exp(-(1 - S)/sigma) or exp(-d^2/sigma^2) where S > theta and 0 elsewhere and on the diagonal.
    The eigenvectors are those of the smallest eigenvalues of I - D^-1/2 A D^-1/2.

    Args:
        points: (C, h*w) float64, the maps, flattened.
        n_eigenvectors: Eigenvectors m, from 1 to C - 1.
        similarity: "euclidean" (equation 17) or "ssim" (one window over the whole map).
        distance_scale: "median" divides d by its median (by the median of the positive
            distances where that is 0), since raw distances make S vanish; "none" is the letter.
        adjacency: "similarity" (equation 11) or "gaussian" (equation 12).
        sigma: Width of the adjacency.
        theta: Threshold of the similarity.

    Returns:
        (C,m) float64. The row of a map without neighbours is 0.

    Example:
        >>> spectral_embedding(np.array([[0.0], [1.0], [9.0]]), n_eigenvectors=2).shape
        (3, 2)

    References:
        Feng et al. 2023, "Cluster-CAM", equations 10 to 17.
    """
    from scipy.linalg import eigh

    distances = _scaled_distances(points, distance_scale)
    alike = _ssim(points) if similarity == "ssim" else np.exp(-distances)
    near = np.exp(-((distances / sigma) ** 2))
    graph = near if adjacency == "gaussian" else np.exp(-(1.0 - alike) / sigma)
    graph = np.where(alike > theta, graph, 0.0)
    np.fill_diagonal(graph, 0.0)
    degrees = graph.sum(axis=1)
    connected = degrees > 0
    roots = np.where(connected, 1.0 / np.sqrt(np.where(connected, degrees, 1.0)), 0.0)
    laplacian = np.eye(len(points)) - roots[:, None] * graph * roots[None, :]
    _, vectors = eigh(laplacian, subset_by_index=[1, n_eigenvectors])
    embedding: Array = np.where(connected[:, None], vectors, 0.0)
    return embedding


def cluster_means(maps: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """Return the mean map of each cluster.

    Args:
        maps: (N,C,h,w).
        labels: LongTensor (N,C), from 0 to Q - 1.
        n_clusters: Q.

    Returns:
        (N,Q,h,w); 0 for a cluster without members.

    Example:
        >>> maps = torch.tensor([[[[1.0]], [[3.0]], [[8.0]]]])
        >>> cluster_means(maps, torch.tensor([[0, 0, 1]]), 2).flatten()
        tensor([2., 8.])

    References:
        Feng et al. 2023, "Cluster-CAM", equation 18.
    """
    sums = maps.new_zeros(len(maps), n_clusters, *maps.shape[2:])
    dims = maps.ndim - 2
    sums.scatter_add_(1, over_grid(labels, dims).expand_as(maps), maps)
    sizes = torch.nn.functional.one_hot(labels, n_clusters).sum(dim=1).clamp(min=1)
    return sums / over_grid(sizes, dims)


def _as_points(maps: Tensor, map_scale: str) -> Array:
    """Return maps (C,h,w) as float64 rows (C, h*w), of unit length if wanted."""
    points: Array = maps.detach().flatten(1).cpu().double().numpy()
    # Adding 0 turns -0 into 0, so that the two count as one value.
    points = points + 0.0
    if map_scale == "unit":
        norms = np.linalg.norm(points, axis=1, keepdims=True)
        # Rounded, so that maps of one shape and different strength are one and the same.
        digits = 12 if maps.dtype == torch.float64 else 6
        points = np.round(points / np.where(norms > 0, norms, 1.0), digits) + 0.0
    return points


def _distinct(points: Array) -> tuple[Array, IntArray, IntArray]:
    """Return the distinct rows in lexicographic order, each row's place there, and the counts."""
    rows, inverse, counts = torch.unique(
        torch.from_numpy(points), dim=0, return_inverse=True, return_counts=True
    )
    return rows.numpy(), inverse.numpy(), counts.numpy()


def _kmeans(
    points: Array, counts: IntArray, n_clusters: int, n_init: int, random_state: int
) -> IntArray:
    """Return the labels of distinct points that stand for ``counts`` points each."""
    if len(points) <= n_clusters:
        return np.arange(len(points))
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    # tol=0: until no point changes its cluster, as the paper says.
    model: Any = KMeans(n_clusters, n_init=n_init, tol=0.0, random_state=random_state)
    with warnings.catch_warnings():
        # Points that differ by rounding alone are one to k-means, which warns: fewer clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = model.fit(points, sample_weight=counts.astype(np.float64))
    # Where k-means leaves a cluster without points the remaining ones are numbered anew.
    labels: IntArray = np.unique(fitted.labels_, return_inverse=True)[1]
    return labels


def _scaled_distances(points: Array, distance_scale: str) -> Array:
    """Return the Euclidean distances (C,C), divided by their median if wanted."""
    from scipy.spatial.distance import pdist, squareform

    pairs = pdist(points)
    if distance_scale == "median":
        scale = np.median(pairs)
        if scale == 0 and pairs.any():
            scale = np.median(pairs[pairs > 0])
        pairs = pairs / (scale if scale > 0 else 1.0)
    distances: Array = squareform(pairs)
    return distances


def _ssim(points: Array) -> Array:
    """Return the structural similarity (C,C) of maps, with one window over the whole map."""
    spread = np.ptp(points)
    c1, c2 = (0.01 * (spread or 1.0)) ** 2, (0.03 * (spread or 1.0)) ** 2
    means = points.mean(axis=1)
    centred = points - means[:, None]
    covariance = centred @ centred.T / points.shape[1]
    variances = np.diag(covariance)
    luminance = (2 * np.outer(means, means) + c1) / np.add.outer(means**2, means**2 + c1)
    structure = (2 * covariance + c2) / np.add.outer(variances, variances + c2)
    ssim: Array = luminance * structure
    return ssim
