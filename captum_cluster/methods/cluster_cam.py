"""Cluster-CAM: a few clusters of feature maps are scored instead of all maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_flag, check_integer, check_number
from captum_cluster._types import MaskedCamResult, Score, ScoreFunction
from captum_cluster.functional.attribution.clustering import (
    cluster_means,
    kmeans_labels,
    spectral_labels,
)
from captum_cluster.functional.attribution.masks import MapMasks
from captum_cluster.functional.attribution.scoring import check_score_function
from captum_cluster.functional.attribution.weights import (
    base_and_scissors,
    base_scissors_weights,
    fuse,
    softmax_weights,
    spread_over_members,
)
from captum_cluster.methods.algorithm import Algorithm


@dataclass(frozen=True)
class ClusterCamConfig:
    """Options of Cluster-CAM.

    Attributes:
        n_clusters: Clusters Q, from 1 to the number of channels.
        clustering: "kmeans" (k-means++) or "spectral".
        combine: "score" (beyond the paper: every cluster map, weighted by the softmax of the
            scores), or "base_scissors" (the letter of the paper: the clusters of highest and of
            lowest score alone).
        beta: Balance of base against scissors, from 0 to 1, for ``combine="base_scissors"``. The
            paper gives no value. Where the scissors outweigh the base everywhere the map has no
            positive part; a larger beta brings it back.
        map_scale: "none" (the letter of the paper); or "unit" (beyond it): divide each map by its
            L2 norm for the assignment only, so that shape counts and not strength.
        normalize_masks: Min-max each mask; False is the paper's equation 19 to the letter.
        n_init: Runs of k-means.
        score_function: "probability", "logit", "sigmoid" or a function of the model's output.
            None: "probability" for base and scissors, "logit" for ``combine="score"``.
        random_state: Seed of the clustering; each image starts from it anew.
        similarity: Spectral: "euclidean" or "ssim".
        distance_scale: Spectral: "median" or "none".
        adjacency: Spectral: "similarity" or "gaussian".
        sigma: Spectral: width of the adjacency, above 0.
        theta: Spectral: similarity at or below which maps are not connected.
        n_eigenvectors: Spectral: eigenvectors used; None for Q. At most C - 1 are there.

    ``combine="score"`` is the default because it measured best on a half of 150 photographs:
    see "Measured" in the README, where the other half and the letter of the paper stand.
    """

    n_clusters: int = 6
    clustering: str = "kmeans"
    beta: float = 0.5
    combine: str = "score"
    map_scale: str = "none"
    normalize_masks: bool = True
    n_init: int = 1
    score_function: ScoreFunction | None = None
    random_state: int = 0
    similarity: str = "euclidean"
    distance_scale: str = "median"
    adjacency: str = "similarity"
    sigma: float = 1.0
    theta: float = 0.0
    n_eigenvectors: int | None = None

    def __post_init__(self) -> None:
        check_integer("n_clusters", self.n_clusters, 1, note="the number of channels")
        check_choice("clustering", self.clustering, ("kmeans", "spectral"))
        check_number("beta", self.beta, 0.0, 1.0)
        check_choice("combine", self.combine, ("base_scissors", "score"))
        check_choice("map_scale", self.map_scale, ("unit", "none"))
        check_flag("normalize_masks", self.normalize_masks)
        check_integer("n_init", self.n_init, 1)
        if self.score_function is not None:
            check_score_function(self.score_function)
        check_integer("random_state", self.random_state, 0, 2**32 - 1)
        self._check_spectral()

    def _check_spectral(self) -> None:
        check_choice("similarity", self.similarity, ("euclidean", "ssim"))
        check_choice("distance_scale", self.distance_scale, ("median", "none"))
        check_choice("adjacency", self.adjacency, ("similarity", "gaussian"))
        check_number("sigma", self.sigma, 0.0, open_low=True)
        check_number("theta", self.theta)
        if self.n_eigenvectors is not None:
            check_integer("n_eigenvectors", self.n_eigenvectors, 1)

    @property
    def reads(self) -> ScoreFunction:
        """How the model's output is read."""
        if self.score_function is not None:
            return self.score_function
        return "probability" if self.combine == "base_scissors" else "logit"


@dataclass(frozen=True, eq=False)
class ClusterCamResult(MaskedCamResult):
    """Cluster-CAM's result.

    Attributes:
        labels: LongTensor (N,C), the cluster of each channel.
        cluster_maps: (N,K,h,w), the mean map of each cluster; K is the largest number of
            clusters of the batch, and an image with fewer has NaN scores for the rest.
        base: LongTensor (N,T), the cluster of the highest score.
        scissors: LongTensor (N,T), the cluster of the lowest score; -1 for a single cluster.
    """

    labels: Tensor
    cluster_maps: Tensor
    base: Tensor
    scissors: Tensor


def cluster_cam(maps: Tensor, score: Score, config: ClusterCamConfig) -> ClusterCamResult:
    """Return Cluster-CAM's result: the mean maps of the clusters, weighed by their scores.

    ``sum_q softmax(y)_q F_q``; with ``combine="base_scissors"`` the letter of the paper,
    ``beta F_base - (1 - beta) F_scissors``, signed. Clusters and masked passes do not depend on
    the target, so T targets of an image cost one set of passes.

    Args:
        maps: (N,C,h,w), the layer's maps.
        score: Scores masks.
        config: Options.

    Raises:
        ValueError: More clusters or eigenvectors than there are channels.

    References:
        Feng et al. 2023, "Cluster-CAM", equations 17 to 22.
    """
    _check_channels(config, maps.shape[1])
    labels = torch.stack([_labels(image, config) for image in maps]).to(maps.device)
    counts = labels.amax(dim=1) + 1
    clusters = int(counts.max())
    means = cluster_means(maps, labels, clusters)
    valid = torch.arange(clusters, device=maps.device) < counts[:, None]
    masks = MapMasks(means, valid, normalize=config.normalize_masks)
    # Of a model over several devices the scores may come from another one than the maps.
    scores = score(masks).to(maps.device)
    base, scissors = base_and_scissors(scores)
    if config.combine == "score":
        weights = softmax_weights(scores)
    else:
        weights = base_scissors_weights(base, scissors, config.beta, clusters, dtype=scores.dtype)
    return ClusterCamResult(
        "cluster-cam",
        fuse(weights.transpose(1, 2), means),
        spread_over_members(weights.to(maps.dtype), labels),
        masks,
        scores,
        labels,
        means,
        base,
        scissors,
    )


def _check_channels(config: ClusterCamConfig, channels: int) -> None:
    check_integer("n_clusters", config.n_clusters, 1, channels, "the number of channels")
    if config.n_eigenvectors is not None:
        note = "the number of channels less one"
        check_integer("n_eigenvectors", config.n_eigenvectors, 1, max(1, channels - 1), note)


def _labels(maps: Tensor, config: ClusterCamConfig) -> Tensor:
    """Return the cluster (C,) of each map (C,h,w) of one image."""
    common: dict[str, Any] = {
        "n_init": config.n_init,
        "random_state": config.random_state,
        "map_scale": config.map_scale,
    }
    if config.clustering == "kmeans":
        return kmeans_labels(maps, config.n_clusters, **common)
    return spectral_labels(
        maps,
        config.n_clusters,
        n_eigenvectors=config.n_eigenvectors,
        similarity=config.similarity,
        distance_scale=config.distance_scale,
        adjacency=config.adjacency,
        sigma=config.sigma,
        theta=config.theta,
        **common,
    )


CLUSTER_CAM = Algorithm(
    "cluster-cam", ClusterCamConfig, cluster_cam, paper="Feng et al. 2023", passes="1 + Q"
)
