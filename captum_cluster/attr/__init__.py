"""The Captum face: ``LayerAttribution`` classes."""

from captum_cluster.attr.cluster_cam import LayerClusterCam
from captum_cluster.attr.rise import LayerRise
from captum_cluster.attr.score_cam import LayerScoreCam

__all__ = ["LayerClusterCam", "LayerRise", "LayerScoreCam"]
