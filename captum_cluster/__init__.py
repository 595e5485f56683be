"""Cluster-CAM and its relatives for Captum and pytorch-grad-cam.

Names are imported when they are used, so that ``import captum_cluster`` stays quick, and using
one host does not import the other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from captum_cluster._types import CamResult
    from captum_cluster.attr import LayerClusterCam, LayerRise, LayerScoreCam
    from captum_cluster.evaluation import compare, explain
    from captum_cluster.grad_cam import RISE, ClusterCAM, ScoreCAM

__version__ = "0.1.0"

_EXPORTS = {
    "CamResult": "captum_cluster._types",
    "ClusterCAM": "captum_cluster.grad_cam",
    "LayerClusterCam": "captum_cluster.attr",
    "LayerRise": "captum_cluster.attr",
    "LayerScoreCam": "captum_cluster.attr",
    "RISE": "captum_cluster.grad_cam",
    "ScoreCAM": "captum_cluster.grad_cam",
    "compare": "captum_cluster.evaluation",
    "explain": "captum_cluster.evaluation",
}

__all__ = [
    "RISE",
    "CamResult",
    "ClusterCAM",
    "LayerClusterCam",
    "LayerRise",
    "LayerScoreCam",
    "ScoreCAM",
    "__version__",
    "compare",
    "explain",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
