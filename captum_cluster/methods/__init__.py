"""The algorithms: one config and one function each, knowing no host library."""

from captum_cluster.methods.ablating import Ablate, Ablated, Ablator
from captum_cluster.methods.ablation_cam import (
    ABLATION_CAM,
    AblationCamConfig,
    AblationCamResult,
    ablation_cam,
)
from captum_cluster.methods.ablation_ways import WholePass
from captum_cluster.methods.algorithm import (
    Algorithm,
    option_parameters,
    split_options,
    with_options,
)
from captum_cluster.methods.batch import (
    check_baselines,
    check_finite_outputs,
    check_grid,
    check_images,
    check_labels,
    check_outputs,
    check_pictures,
    feature_gradients,
    feature_maps,
    form_explained,
)
from captum_cluster.methods.cam import CAM, CamConfig, cam
from captum_cluster.methods.classifier import (
    closed_form_weight,
    find_classifier,
    find_sub_category_head,
    sub_category_weight,
)
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
from captum_cluster.methods.layer_forms import find_reshape_transform, shared_transform
from captum_cluster.methods.layers import find_layer, find_layers, own_layers, stages
from captum_cluster.methods.minmax_cam import MINMAX_CAM, minmax_cam
from captum_cluster.methods.minmax_grad_cam import (
    MINMAX_GRAD_CAM,
    MinMaxCamConfig,
    MinMaxGradCamConfig,
    MinMaxResult,
    minmax_grad_cam,
    weighted_outputs,
)
from captum_cluster.methods.multi_branch_cam import (
    MULTI_BRANCH_CAM,
    MultiBranchCamConfig,
    MultiBranchCamResult,
    multi_branch_cam,
)
from captum_cluster.methods.multi_level_cam import (
    MULTI_LEVEL_CAM,
    MultiLevelCamConfig,
    MultiLevelCamResult,
    NetworkLayers,
    multi_level_cam,
)
from captum_cluster.methods.networks import (
    Level,
    Networks,
    check_groups_of,
    check_level,
    networks_of,
    split_networks,
)
from captum_cluster.methods.passes import ModelCompiler, PassOptions, hastened
from captum_cluster.methods.rise import RISE, RiseConfig, rise
from captum_cluster.methods.score_cam import SCORE_CAM, ScoreCamConfig, score_cam
from captum_cluster.methods.sub_category_cam import (
    SUB_CATEGORY_CAM,
    SubCategoryCamConfig,
    SubCategoryCamResult,
    sub_category_cam,
)

__all__ = [
    "ABLATION_CAM",
    "CAM",
    "CLUSTER_CAM",
    "COLLECTION_CAM",
    "MINMAX_CAM",
    "MINMAX_GRAD_CAM",
    "MULTI_BRANCH_CAM",
    "MULTI_LEVEL_CAM",
    "RISE",
    "SCORE_CAM",
    "SUB_CATEGORY_CAM",
    "Ablate",
    "Ablated",
    "AblationCamConfig",
    "AblationCamResult",
    "Ablator",
    "Algorithm",
    "CamConfig",
    "ClusterCamConfig",
    "ClusterCamResult",
    "CollectionCamConfig",
    "CollectionCamResult",
    "LayerCollections",
    "Level",
    "MapsAndGradients",
    "MinMaxCamConfig",
    "MinMaxGradCamConfig",
    "MinMaxResult",
    "ModelCompiler",
    "MultiBranchCamConfig",
    "MultiBranchCamResult",
    "MultiLevelCamConfig",
    "MultiLevelCamResult",
    "NetworkLayers",
    "Networks",
    "PassOptions",
    "RiseConfig",
    "ScoreCamConfig",
    "SubCategoryCamConfig",
    "SubCategoryCamResult",
    "WholePass",
    "ablation_cam",
    "cam",
    "check_baselines",
    "check_finite_outputs",
    "check_grid",
    "check_groups_of",
    "check_images",
    "check_labels",
    "check_level",
    "check_outputs",
    "check_pictures",
    "closed_form_weight",
    "cluster_cam",
    "collection_cam",
    "feature_gradients",
    "feature_maps",
    "find_classifier",
    "find_layer",
    "find_layers",
    "find_reshape_transform",
    "find_sub_category_head",
    "form_explained",
    "hastened",
    "minmax_cam",
    "minmax_grad_cam",
    "multi_branch_cam",
    "multi_level_cam",
    "networks_of",
    "option_parameters",
    "own_layers",
    "rise",
    "score_cam",
    "shared_transform",
    "split_networks",
    "split_options",
    "stages",
    "sub_category_cam",
    "sub_category_weight",
    "weighted_outputs",
    "with_options",
]
