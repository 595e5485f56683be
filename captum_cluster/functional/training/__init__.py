"""The maths of training: regularised weights, sub-categories, groups, orthogonal branches."""

from captum_cluster.functional.training.class_groups import (
    group_classes,
    group_labels,
    group_rows,
)
from captum_cluster.functional.training.kernel_statistics import (
    label_correlation,
    negative_shares,
    shared_kernels,
)
from captum_cluster.functional.training.kernel_usage import kernel_usage_weight
from captum_cluster.functional.training.orthogonality import orthogonality_loss
from captum_cluster.functional.training.sub_categories import (
    sub_category_assignments,
    sub_category_labels,
    sub_category_loss,
    sub_category_maximum,
)

__all__ = [
    "group_classes",
    "group_labels",
    "group_rows",
    "kernel_usage_weight",
    "label_correlation",
    "negative_shares",
    "orthogonality_loss",
    "shared_kernels",
    "sub_category_assignments",
    "sub_category_labels",
    "sub_category_loss",
    "sub_category_maximum",
]
