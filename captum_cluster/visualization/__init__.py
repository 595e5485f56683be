"""Maps over pictures, and pictures side by side, drawn with matplotlib."""

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

__all__ = [
    "Chart",
    "Panel",
    "figure_image",
    "overlay",
    "panel_grid",
    "plot_clusters",
    "plot_collections",
    "save_figure",
    "side_by_side",
]
