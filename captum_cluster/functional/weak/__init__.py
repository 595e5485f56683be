"""The maths after the maps: scores, affinities, walks, the connected CRF, boxes, peaks, formats."""

from captum_cluster.functional.weak.affinity import (
    pair_affinities,
    pixel_affinities,
    pixel_pairs,
    random_walk,
    transition,
)
from captum_cluster.functional.weak.affinity_loss import (
    PairSets,
    affinity_labels,
    affinity_loss,
    affinity_terms,
    labels_on_grid,
)
from captum_cluster.functional.weak.boxes import (
    contains_pixel,
    crop_boxes,
    pixel_boxes,
    unique_boxes,
)
from captum_cluster.functional.weak.dense_crf import dense_crf, normalized_filter
from captum_cluster.functional.weak.lattice import PermutohedralLattice, permutohedral_lattice
from captum_cluster.functional.weak.palette import voc_palette
from captum_cluster.functional.weak.peaks import peaks
from captum_cluster.functional.weak.pixel_features import (
    image_features,
    joined_features,
    layer_features,
    on_grid,
)
from captum_cluster.functional.weak.region_grouping import (
    Regions,
    describe_regions,
    group_regions,
)
from captum_cluster.functional.weak.run_lengths import run_lengths, run_text
from captum_cluster.functional.weak.scores import (
    background_scores,
    confident_labels,
    foreground_scores,
    score_labels,
    with_background,
)

__all__ = [
    "PairSets",
    "PermutohedralLattice",
    "Regions",
    "affinity_labels",
    "affinity_loss",
    "affinity_terms",
    "background_scores",
    "confident_labels",
    "contains_pixel",
    "crop_boxes",
    "dense_crf",
    "describe_regions",
    "foreground_scores",
    "group_regions",
    "image_features",
    "joined_features",
    "labels_on_grid",
    "layer_features",
    "normalized_filter",
    "on_grid",
    "pair_affinities",
    "peaks",
    "permutohedral_lattice",
    "pixel_affinities",
    "pixel_boxes",
    "pixel_pairs",
    "random_walk",
    "run_lengths",
    "run_text",
    "score_labels",
    "transition",
    "unique_boxes",
    "voc_palette",
    "with_background",
]
