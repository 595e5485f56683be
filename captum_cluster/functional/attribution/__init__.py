"""The maths of attribution: clustering, masks, scoring, weights, targets."""

from captum_cluster.functional.attribution.clustering import (
    cluster_means,
    kmeans_labels,
    spectral_embedding,
    spectral_labels,
)
from captum_cluster.functional.attribution.collections import (
    Partition,
    choose_partition,
    collection_maps,
    dispersion_separation,
    map_statistics,
    ward_partitions,
)
from captum_cluster.functional.attribution.grids import grid_dimensions, upsample
from captum_cluster.functional.attribution.labels import (
    contrast_coefficients,
    decomposed_contrast,
    other_labels,
    present_labels,
    warn_of_probabilities,
)
from captum_cluster.functional.attribution.layout import FastLayout, fast_layout
from captum_cluster.functional.attribution.levels import fuse_levels, rest_labels, rest_maps
from captum_cluster.functional.attribution.masks import (
    GridMasks,
    JoinedMasks,
    KeptMasks,
    MapMasks,
    minmax,
    quantile_denoise,
    random_grids,
    saliency,
    unit_masks,
)
from captum_cluster.functional.attribution.merging import (
    merge_branches,
    to_largest_grid,
    unit_positive,
)
from captum_cluster.functional.attribution.scoring import MaskedScorer, read_scores
from captum_cluster.functional.attribution.sufficiency import PowerMasks, sharpest_sufficient
from captum_cluster.functional.attribution.targets import (
    TargetSelector,
    class_indices,
    select_each,
    select_shared,
)
from captum_cluster.functional.attribution.tokens import TokensToMaps, channels_last_to_maps
from captum_cluster.functional.attribution.views import View, Views, sum_views
from captum_cluster.functional.attribution.weights import (
    base_and_scissors,
    base_scissors_weights,
    fuse,
    softmax_weights,
    spread_over_members,
)

__all__ = [
    "FastLayout",
    "GridMasks",
    "JoinedMasks",
    "KeptMasks",
    "MapMasks",
    "MaskedScorer",
    "Partition",
    "PowerMasks",
    "TargetSelector",
    "TokensToMaps",
    "View",
    "Views",
    "base_and_scissors",
    "base_scissors_weights",
    "channels_last_to_maps",
    "choose_partition",
    "class_indices",
    "cluster_means",
    "collection_maps",
    "contrast_coefficients",
    "decomposed_contrast",
    "dispersion_separation",
    "fast_layout",
    "fuse",
    "fuse_levels",
    "grid_dimensions",
    "kmeans_labels",
    "map_statistics",
    "merge_branches",
    "minmax",
    "other_labels",
    "present_labels",
    "quantile_denoise",
    "random_grids",
    "read_scores",
    "rest_labels",
    "rest_maps",
    "saliency",
    "select_each",
    "select_shared",
    "sharpest_sufficient",
    "softmax_weights",
    "spectral_embedding",
    "spectral_labels",
    "spread_over_members",
    "sum_views",
    "to_largest_grid",
    "unit_masks",
    "unit_positive",
    "upsample",
    "ward_partitions",
    "warn_of_probabilities",
]
