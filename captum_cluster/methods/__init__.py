"""The algorithms: one config and one function each, knowing no host library."""

from captum_cluster.methods.algorithm import Algorithm, option_parameters, with_options
from captum_cluster.methods.batch import check_baselines, check_images, check_outputs, feature_maps
from captum_cluster.methods.cluster_cam import (
    CLUSTER_CAM,
    ClusterCamConfig,
    ClusterCamResult,
    cluster_cam,
)
from captum_cluster.methods.rise import RISE, RiseConfig, rise
from captum_cluster.methods.score_cam import SCORE_CAM, ScoreCamConfig, score_cam

__all__ = [
    "CLUSTER_CAM",
    "RISE",
    "SCORE_CAM",
    "Algorithm",
    "ClusterCamConfig",
    "ClusterCamResult",
    "RiseConfig",
    "ScoreCamConfig",
    "check_baselines",
    "check_images",
    "check_outputs",
    "cluster_cam",
    "feature_maps",
    "option_parameters",
    "rise",
    "score_cam",
    "with_options",
]
