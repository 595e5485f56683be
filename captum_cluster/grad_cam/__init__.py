"""The pytorch-grad-cam face: ``BaseCAM`` classes, and a target for the host's own."""

from captum_cluster.grad_cam.ablation_cam import AblationCAM
from captum_cluster.grad_cam.cam import CAM
from captum_cluster.grad_cam.cluster_cam import ClusterCAM
from captum_cluster.grad_cam.collection_cam import CollectionCAM
from captum_cluster.grad_cam.minmax_cam import MinMaxCAM
from captum_cluster.grad_cam.minmax_grad_cam import MinMaxGradCAM
from captum_cluster.grad_cam.multi_branch_cam import MultiBranchCAM
from captum_cluster.grad_cam.multi_level_cam import MultiLevelCAM
from captum_cluster.grad_cam.multi_scale import MultiScaleCAM
from captum_cluster.grad_cam.rise import RISE
from captum_cluster.grad_cam.score_cam import ScoreCAM
from captum_cluster.grad_cam.sub_category_cam import SubCategoryCAM
from captum_cluster.grad_cam.targets import MinMaxTarget

__all__ = [
    "CAM",
    "RISE",
    "AblationCAM",
    "ClusterCAM",
    "CollectionCAM",
    "MinMaxCAM",
    "MinMaxGradCAM",
    "MinMaxTarget",
    "MultiBranchCAM",
    "MultiLevelCAM",
    "MultiScaleCAM",
    "ScoreCAM",
    "SubCategoryCAM",
]
