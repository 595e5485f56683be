"""Figures of what maps lead to: pseudo masks and boxes, beside the ground truth."""

from captum_cluster.visualization.weak_figures.boxes import plot_proposals
from captum_cluster.visualization.weak_figures.masks import plot_pseudo_masks

__all__ = ["plot_proposals", "plot_pseudo_masks"]
