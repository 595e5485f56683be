"""The Captum face: ``LayerAttribution`` classes."""

from captum_cluster.attr.ablation_cam import LayerAblationCam
from captum_cluster.attr.cam import LayerClassActivationMap
from captum_cluster.attr.cluster_cam import LayerClusterCam
from captum_cluster.attr.collection_cam import LayerCollectionCam
from captum_cluster.attr.minmax_cam import LayerMinMaxCam
from captum_cluster.attr.minmax_grad_cam import LayerMinMaxGradCam
from captum_cluster.attr.multi_branch_cam import LayerMultiBranchCam
from captum_cluster.attr.multi_level_cam import LayerMultiLevelCam
from captum_cluster.attr.multi_scale import MultiScale
from captum_cluster.attr.rise import LayerRise
from captum_cluster.attr.score_cam import LayerScoreCam
from captum_cluster.attr.sub_category_cam import LayerSubCategoryCam

__all__ = [
    "LayerAblationCam",
    "LayerClassActivationMap",
    "LayerClusterCam",
    "LayerCollectionCam",
    "LayerMinMaxCam",
    "LayerMinMaxGradCam",
    "LayerMultiBranchCam",
    "LayerMultiLevelCam",
    "LayerRise",
    "LayerScoreCam",
    "LayerSubCategoryCam",
    "MultiScale",
]
