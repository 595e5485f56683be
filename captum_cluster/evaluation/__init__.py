"""Where models, methods, images and measurements meet.

Names that need Lightning are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from captum_cluster._extras import require
from captum_cluster.evaluation.ablation import STUDIES, Ablation, find_images, run_ablation
from captum_cluster.evaluation.comparison import Comparison, compare
from captum_cluster.evaluation.demo import DemoReport, run_demo
from captum_cluster.evaluation.explanation import Explanation, explain
from captum_cluster.evaluation.models import LoadedModel, load_model
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.registry import Method, check_method, method_names, methods
from captum_cluster.evaluation.reporting import Report, build_report
from captum_cluster.evaluation.run_config import RunConfig
from captum_cluster.evaluation.runner import evaluate
from captum_cluster.evaluation.running.measures import METRICS
from captum_cluster.evaluation.sanity_check import SanityCheck, sanity_check
from captum_cluster.evaluation.weak_outputs import (
    MaskRun,
    MasksConfig,
    ProposalRun,
    ProposalsConfig,
    SweepRun,
    WrittenMasks,
    make_masks,
    make_proposals,
    read_masks,
)
from captum_cluster.evaluation.weights_report import kernel_usage_statistics

if TYPE_CHECKING:
    from captum_cluster.evaluation.monitoring import CamImageCallback, CamMetricsCallback

_OF_LIGHTNING = {
    "CamImageCallback": "captum_cluster.evaluation.monitoring",
    "CamMetricsCallback": "captum_cluster.evaluation.monitoring",
}

__all__ = [
    "METRICS",
    "STUDIES",
    "Ablation",
    "CamImageCallback",
    "CamMetricsCallback",
    "Comparison",
    "DemoReport",
    "Explanation",
    "LoadedModel",
    "MaskRun",
    "MasksConfig",
    "Method",
    "ProposalRun",
    "ProposalsConfig",
    "Report",
    "RunConfig",
    "SanityCheck",
    "SweepRun",
    "WrittenMasks",
    "build_report",
    "check_directory",
    "check_method",
    "compare",
    "evaluate",
    "explain",
    "find_images",
    "kernel_usage_statistics",
    "load_model",
    "make_masks",
    "make_proposals",
    "method_names",
    "methods",
    "read_masks",
    "run_ablation",
    "run_demo",
    "sanity_check",
]


def __getattr__(name: str) -> object:
    if name not in _OF_LIGHTNING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("lightning.pytorch", "train")
    value = getattr(importlib.import_module(_OF_LIGHTNING[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
