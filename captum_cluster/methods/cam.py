"""CAM, the original class activation map: the classifier's weights of the feature maps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from captum_cluster._types import CamResult
from captum_cluster.functional.attribution.weights import fuse
from captum_cluster.methods.algorithm import Algorithm


@dataclass(frozen=True)
class CamConfig:
    """Options of CAM: there are none."""


def cam(maps: Tensor, weight: Tensor, targets: Tensor, config: CamConfig) -> CamResult:
    """Return CAM's result, ``sum_k W_ck A_k``, signed.

    Args:
        maps: (N,C,h,w), the layer's maps.
        weight: (L,C), the weights of the linear classifier.
        targets: LongTensor (N,T).
        config: No options.

    References:
        Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", equation 2.
    """
    weights = weight[targets.to(weight.device)]
    return CamResult("cam", fuse(weights, maps), weights)


CAM = Algorithm("cam", CamConfig, cam, paper="Zhou et al. 2016", passes="1")
