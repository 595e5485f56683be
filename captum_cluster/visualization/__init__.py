"""Maps over pictures, side by side, what training changed, masks and boxes, by matplotlib."""

from captum_cluster.visualization.explanations import plot_clusters, plot_collections
from captum_cluster.visualization.figures import (
    Chart,
    Panel,
    figure_image,
    panel_grid,
    save_figure,
    side_by_side,
)
from captum_cluster.visualization.overlays import overlay
from captum_cluster.visualization.training_figures import (
    plot_head_weights,
    plot_hierarchy,
    plot_label_correlation,
    plot_shared_kernels,
    plot_sub_categories,
    plot_weight_histograms,
)
from captum_cluster.visualization.weak_figures import plot_proposals, plot_pseudo_masks

__all__ = [
    "Chart",
    "Panel",
    "figure_image",
    "overlay",
    "panel_grid",
    "plot_clusters",
    "plot_collections",
    "plot_head_weights",
    "plot_hierarchy",
    "plot_label_correlation",
    "plot_proposals",
    "plot_pseudo_masks",
    "plot_shared_kernels",
    "plot_sub_categories",
    "plot_weight_histograms",
    "save_figure",
    "side_by_side",
]
