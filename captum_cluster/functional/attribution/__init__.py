"""The maths of attribution: clustering, masks, scoring, weights, targets."""

from captum_cluster.functional.attribution.clustering import (
    cluster_means,
    kmeans_labels,
    spectral_embedding,
    spectral_labels,
)
from captum_cluster.functional.attribution.masks import (
    GridMasks,
    MapMasks,
    minmax,
    quantile_denoise,
    random_grids,
    saliency,
    unit_masks,
    upsample,
)
from captum_cluster.functional.attribution.scoring import MaskedScorer, read_scores
from captum_cluster.functional.attribution.targets import (
    TargetSelector,
    select_each,
    select_shared,
)
from captum_cluster.functional.attribution.weights import (
    base_and_scissors,
    base_scissors_weights,
    fuse,
    softmax_weights,
    spread_over_members,
)

__all__ = [
    "GridMasks",
    "MapMasks",
    "MaskedScorer",
    "TargetSelector",
    "base_and_scissors",
    "base_scissors_weights",
    "cluster_means",
    "fuse",
    "kmeans_labels",
    "minmax",
    "quantile_denoise",
    "random_grids",
    "read_scores",
    "saliency",
    "select_each",
    "select_shared",
    "softmax_weights",
    "spectral_embedding",
    "spectral_labels",
    "spread_over_members",
    "unit_masks",
    "upsample",
]
