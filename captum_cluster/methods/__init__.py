"""The algorithms: one config and one function each, knowing no host library."""

from captum_cluster.methods.algorithm import Algorithm, option_parameters, with_options
from captum_cluster.methods.batch import (
    check_baselines,
    check_images,
    check_labels,
    check_outputs,
    feature_gradients,
    feature_maps,
)
from captum_cluster.methods.cam import CAM, CamConfig, cam
from captum_cluster.methods.classifier import closed_form_weight, find_classifier
from captum_cluster.methods.cluster_cam import (
    CLUSTER_CAM,
    ClusterCamConfig,
    ClusterCamResult,
    cluster_cam,
)
from captum_cluster.methods.collection_cam import (
    COLLECTION_CAM,
    CollectionCamConfig,
    CollectionCamResult,
    LayerCollections,
    MapsAndGradients,
    collection_cam,
)
from captum_cluster.methods.minmax_cam import MINMAX_CAM, minmax_cam
from captum_cluster.methods.minmax_grad_cam import (
    MINMAX_GRAD_CAM,
    MinMaxCamConfig,
    MinMaxGradCamConfig,
    MinMaxResult,
    minmax_grad_cam,
    weighted_outputs,
)
from captum_cluster.methods.rise import RISE, RiseConfig, rise
from captum_cluster.methods.score_cam import SCORE_CAM, ScoreCamConfig, score_cam

__all__ = [
    "CAM",
    "CLUSTER_CAM",
    "COLLECTION_CAM",
    "MINMAX_CAM",
    "MINMAX_GRAD_CAM",
    "RISE",
    "SCORE_CAM",
    "Algorithm",
    "CamConfig",
    "ClusterCamConfig",
    "ClusterCamResult",
    "CollectionCamConfig",
    "CollectionCamResult",
    "LayerCollections",
    "MapsAndGradients",
    "MinMaxCamConfig",
    "MinMaxGradCamConfig",
    "MinMaxResult",
    "RiseConfig",
    "ScoreCamConfig",
    "cam",
    "check_baselines",
    "check_images",
    "check_labels",
    "check_outputs",
    "closed_form_weight",
    "cluster_cam",
    "collection_cam",
    "feature_gradients",
    "feature_maps",
    "find_classifier",
    "minmax_cam",
    "minmax_grad_cam",
    "option_parameters",
    "rise",
    "score_cam",
    "weighted_outputs",
    "with_options",
]
