"""What is trained: classifiers that pool maps, heads, class groups, affinities; and how.

The names that need Lightning (the extra "train") are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from captum_cluster._extras import require
from captum_cluster.functional.training import (
    kernel_usage_weight,
    orthogonality_loss,
    sub_category_loss,
)
from captum_cluster.training.affinity import AffinityNet
from captum_cluster.training.augmentation import Augmentation
from captum_cluster.training.class_hierarchy import ClassHierarchy
from captum_cluster.training.gap_classifier import GapClassifier, gap_classifier
from captum_cluster.training.heads import KernelUsageConv2d, KernelUsageLinear
from captum_cluster.training.indexed_dataset import IndexedDataset
from captum_cluster.training.multi_level import MultiLevelNetwork
from captum_cluster.training.segmentation import SegmentationNetwork, segmentation_network
from captum_cluster.training.settings import PRESETS, TrainingSettings, preset
from captum_cluster.training.sub_category_head import SubCategoryHead
from captum_cluster.training.two_branch import TwoBranch

if TYPE_CHECKING:
    from captum_cluster.training.callbacks import (
        EpochSeed,
        FixedStatistics,
        HeadFirst,
        RestoreBest,
        SubCategoryDiscovery,
        add_sub_category_head,
    )
    from captum_cluster.training.modules import (
        LitAffinity,
        LitCamClassifier,
        LitSegmentation,
        LitTwoBranch,
        MaskData,
        SceneData,
    )

_NEED_LIGHTNING = {
    "EpochSeed": "callbacks",
    "FixedStatistics": "callbacks",
    "HeadFirst": "callbacks",
    "LitAffinity": "modules",
    "LitCamClassifier": "modules",
    "LitSegmentation": "modules",
    "LitTwoBranch": "modules",
    "MaskData": "modules",
    "RestoreBest": "callbacks",
    "SceneData": "modules",
    "SubCategoryDiscovery": "callbacks",
    "add_sub_category_head": "callbacks",
}

__all__ = [
    "PRESETS",
    "AffinityNet",
    "Augmentation",
    "ClassHierarchy",
    "EpochSeed",
    "FixedStatistics",
    "GapClassifier",
    "HeadFirst",
    "IndexedDataset",
    "KernelUsageConv2d",
    "KernelUsageLinear",
    "LitAffinity",
    "LitCamClassifier",
    "LitSegmentation",
    "LitTwoBranch",
    "MaskData",
    "MultiLevelNetwork",
    "RestoreBest",
    "SceneData",
    "SegmentationNetwork",
    "SubCategoryDiscovery",
    "SubCategoryHead",
    "TrainingSettings",
    "TwoBranch",
    "add_sub_category_head",
    "gap_classifier",
    "kernel_usage_weight",
    "orthogonality_loss",
    "preset",
    "segmentation_network",
    "sub_category_loss",
]


def __getattr__(name: str) -> object:
    if name not in _NEED_LIGHTNING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("lightning.pytorch", "train")
    value = getattr(importlib.import_module(f"{__name__}.{_NEED_LIGHTNING[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
