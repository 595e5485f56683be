"""What maps are good for without pixel labels: pseudo masks, object proposals, their files."""

from captum_cluster.weak.background_sweep import background_counts, best_background
from captum_cluster.weak.candidates import candidate_boxes
from captum_cluster.weak.coco_format import CocoImage, coco_dataset, coco_results
from captum_cluster.weak.crop_scores import ScoreCrops, classifier_scores
from captum_cluster.weak.formats import save_coco, save_palette_png
from captum_cluster.weak.object_proposals import (
    Proposal,
    boxes_of,
    component_boxes,
    object_proposals,
)
from captum_cluster.weak.pseudo_masks import PseudoMasks, Refinement, pseudo_masks
from captum_cluster.weak.refinement import DenseCRF, RandomWalk, crf

__all__ = [
    "CocoImage",
    "DenseCRF",
    "Proposal",
    "PseudoMasks",
    "RandomWalk",
    "Refinement",
    "ScoreCrops",
    "background_counts",
    "best_background",
    "boxes_of",
    "candidate_boxes",
    "classifier_scores",
    "coco_dataset",
    "coco_results",
    "component_boxes",
    "crf",
    "object_proposals",
    "pseudo_masks",
    "save_coco",
    "save_palette_png",
]
