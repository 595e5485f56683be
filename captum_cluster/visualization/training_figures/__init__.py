"""Figures of what training changed: sub-categories, groups of labels, the use of kernels."""

from captum_cluster.visualization.training_figures.head_weights import plot_head_weights
from captum_cluster.visualization.training_figures.hierarchy import plot_hierarchy
from captum_cluster.visualization.training_figures.kernel_usage import (
    plot_label_correlation,
    plot_shared_kernels,
    plot_weight_histograms,
)
from captum_cluster.visualization.training_figures.sub_categories import plot_sub_categories

__all__ = [
    "plot_head_weights",
    "plot_hierarchy",
    "plot_label_correlation",
    "plot_shared_kernels",
    "plot_sub_categories",
    "plot_weight_histograms",
]
