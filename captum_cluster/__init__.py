"""Cluster-CAM and its relatives for Captum and pytorch-grad-cam.

Names are imported when they are used, so that ``import captum_cluster`` stays quick, and using
one host does not import the other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from captum_cluster._types import CamResult
    from captum_cluster.attr import (
        LayerAblationCam,
        LayerClassActivationMap,
        LayerClusterCam,
        LayerCollectionCam,
        LayerMinMaxCam,
        LayerMinMaxGradCam,
        LayerMultiBranchCam,
        LayerMultiLevelCam,
        LayerRise,
        LayerScoreCam,
        LayerSubCategoryCam,
        MultiScale,
    )
    from captum_cluster.evaluation import compare, evaluate, explain
    from captum_cluster.functional.attribution import TokensToMaps, channels_last_to_maps
    from captum_cluster.grad_cam import (
        CAM,
        RISE,
        AblationCAM,
        ClusterCAM,
        CollectionCAM,
        MinMaxCAM,
        MinMaxGradCAM,
        MinMaxTarget,
        MultiBranchCAM,
        MultiLevelCAM,
        MultiScaleCAM,
        ScoreCAM,
        SubCategoryCAM,
    )
    from captum_cluster.methods import find_layer, find_reshape_transform

__version__ = "0.1.0"

_EXPORTS = {
    "AblationCAM": "captum_cluster.grad_cam",
    "CAM": "captum_cluster.grad_cam",
    "CamResult": "captum_cluster._types",
    "ClusterCAM": "captum_cluster.grad_cam",
    "CollectionCAM": "captum_cluster.grad_cam",
    "LayerAblationCam": "captum_cluster.attr",
    "LayerClassActivationMap": "captum_cluster.attr",
    "LayerClusterCam": "captum_cluster.attr",
    "LayerCollectionCam": "captum_cluster.attr",
    "LayerMinMaxCam": "captum_cluster.attr",
    "LayerMinMaxGradCam": "captum_cluster.attr",
    "LayerMultiBranchCam": "captum_cluster.attr",
    "LayerMultiLevelCam": "captum_cluster.attr",
    "LayerRise": "captum_cluster.attr",
    "LayerScoreCam": "captum_cluster.attr",
    "LayerSubCategoryCam": "captum_cluster.attr",
    "MinMaxCAM": "captum_cluster.grad_cam",
    "MinMaxGradCAM": "captum_cluster.grad_cam",
    "MinMaxTarget": "captum_cluster.grad_cam",
    "MultiBranchCAM": "captum_cluster.grad_cam",
    "MultiLevelCAM": "captum_cluster.grad_cam",
    "MultiScale": "captum_cluster.attr",
    "MultiScaleCAM": "captum_cluster.grad_cam",
    "RISE": "captum_cluster.grad_cam",
    "ScoreCAM": "captum_cluster.grad_cam",
    "SubCategoryCAM": "captum_cluster.grad_cam",
    "TokensToMaps": "captum_cluster.functional.attribution",
    "channels_last_to_maps": "captum_cluster.functional.attribution",
    "compare": "captum_cluster.evaluation",
    "evaluate": "captum_cluster.evaluation",
    "explain": "captum_cluster.evaluation",
    "find_layer": "captum_cluster.methods",
    "find_reshape_transform": "captum_cluster.methods",
}

__all__ = [
    "CAM",
    "RISE",
    "AblationCAM",
    "CamResult",
    "ClusterCAM",
    "CollectionCAM",
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
    "MinMaxCAM",
    "MinMaxGradCAM",
    "MinMaxTarget",
    "MultiBranchCAM",
    "MultiLevelCAM",
    "MultiScale",
    "MultiScaleCAM",
    "ScoreCAM",
    "SubCategoryCAM",
    "TokensToMaps",
    "__version__",
    "channels_last_to_maps",
    "compare",
    "evaluate",
    "explain",
    "find_layer",
    "find_reshape_transform",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
