"""The maths of the metrics: values of single maps, and sums that add up over a data set."""

from captum_cluster.functional.metrics.areas import (
    area_compute,
    area_update,
    overall_compute,
    overall_update,
    perturbation_area,
)
from captum_cluster.functional.metrics.box_errors import (
    localization_compute,
    localization_errors,
    localization_update,
)
from captum_cluster.functional.metrics.faithfulness import (
    average_drop,
    average_drop_compute,
    average_drop_update,
    average_increase,
    increase_compute,
    increase_update,
)
from captum_cluster.functional.metrics.localization import (
    energy_compute,
    energy_inside,
    energy_update,
    pointing_compute,
    pointing_hits,
    pointing_update,
)
from captum_cluster.functional.metrics.multi_label import (
    multi_label_confidence_compute,
    multi_label_confidence_update,
)
from captum_cluster.functional.metrics.objects import (
    ObjectMatch,
    above_threshold,
    best_object,
    object_iou_compute,
    object_iou_update,
    object_precision_compute,
    object_precision_update,
    object_recall_compute,
    object_recall_update,
)
from captum_cluster.functional.metrics.perturbation import curves_of, deletion_insertion
from captum_cluster.functional.metrics.perturbed_images import (
    perturb,
    perturbation_plan,
    perturbation_steps,
    saliency_ranks,
)
from captum_cluster.functional.metrics.proposals import (
    best_overlap_compute,
    best_overlaps,
    box_iou,
    corloc,
    corloc_compute,
    proposal_recall,
    proposal_recall_compute,
    proposals_update,
)
from captum_cluster.functional.metrics.regions import (
    box_region,
    clip_boxes,
    intersection_over_union,
    largest_component,
    tight_box,
)
from captum_cluster.functional.metrics.segmentation import (
    class_f_score,
    class_iou,
    label_maps,
    mean_iou_compute,
    pixel_f_score_compute,
    segmentation_update,
)
from captum_cluster.functional.metrics.similarity import spearman, ssim
from captum_cluster.functional.metrics.sums import Sums
from captum_cluster.functional.metrics.sweep import background_sweep_update, best_threshold

__all__ = [
    "ObjectMatch",
    "Sums",
    "above_threshold",
    "area_compute",
    "area_update",
    "average_drop",
    "average_drop_compute",
    "average_drop_update",
    "average_increase",
    "background_sweep_update",
    "best_object",
    "best_overlap_compute",
    "best_overlaps",
    "best_threshold",
    "box_iou",
    "box_region",
    "class_f_score",
    "class_iou",
    "clip_boxes",
    "corloc",
    "corloc_compute",
    "curves_of",
    "deletion_insertion",
    "energy_compute",
    "energy_inside",
    "energy_update",
    "increase_compute",
    "increase_update",
    "intersection_over_union",
    "label_maps",
    "largest_component",
    "localization_compute",
    "localization_errors",
    "localization_update",
    "mean_iou_compute",
    "multi_label_confidence_compute",
    "multi_label_confidence_update",
    "object_iou_compute",
    "object_iou_update",
    "object_precision_compute",
    "object_precision_update",
    "object_recall_compute",
    "object_recall_update",
    "overall_compute",
    "overall_update",
    "perturb",
    "perturbation_area",
    "perturbation_plan",
    "perturbation_steps",
    "pixel_f_score_compute",
    "pointing_compute",
    "pointing_hits",
    "pointing_update",
    "proposal_recall",
    "proposal_recall_compute",
    "proposals_update",
    "saliency_ranks",
    "segmentation_update",
    "spearman",
    "ssim",
    "tight_box",
]
