"""Sub-category CAM: the maximum over the CAMs of a label's sub-categories (SC-CAM's sub_max)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from captum_cluster._types import CamResult
from captum_cluster.functional.attribution.weights import fuse
from captum_cluster.functional.training import sub_category_maximum
from captum_cluster.methods.algorithm import Algorithm


@dataclass(frozen=True)
class SubCategoryCamConfig:
    """Options of Sub-category CAM: there are none."""


@dataclass(frozen=True, eq=False)
class SubCategoryCamResult(CamResult):
    """Sub-category CAM's result.

    Attributes:
        parts: The CAM of each sub-category of each target, (N,T,K,h,w), after the ReLU.
    """

    parts: Tensor


def sub_category_cam(
    maps: Tensor, weight: Tensor, targets: Tensor, config: SubCategoryCamConfig
) -> SubCategoryCamResult:
    """Return Sub-category CAM's result, ``max_k ReLU(sum_c W_lkc A_c)``, at least 0.

    Args:
        maps: (N,C,h,w), the layer's maps.
        weight: (L,K,C), the weights of the head of the sub-categories.
        targets: LongTensor (N,T).
        config: No options.

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration":
        equation 1 for each sub-category; their maximum is "sub_max" of its authors' code.
    """
    number = weight.shape[1]
    rows = weight[targets.to(weight.device)].flatten(1, 2)
    cams = fuse(rows, maps).relu()
    parts = cams.reshape(*targets.shape, number, *maps.shape[2:])
    return SubCategoryCamResult("sub-category-cam", sub_category_maximum(cams, number), None, parts)


SUB_CATEGORY_CAM = Algorithm(
    "sub-category-cam",
    SubCategoryCamConfig,
    sub_category_cam,
    paper="Chang et al. 2020",
    passes="1",
    linear=False,
)
