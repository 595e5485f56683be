"""Maps over pictures, and pictures side by side; the only room that imports matplotlib."""

from captum_cluster.visualization.figures import Panel, figure_image, save_figure, side_by_side
from captum_cluster.visualization.overlays import overlay

__all__ = ["Panel", "figure_image", "overlay", "save_figure", "side_by_side"]
