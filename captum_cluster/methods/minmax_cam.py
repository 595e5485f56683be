"""MinMax-CAM: the closed form for pooling and a linear classifier, without a backward pass."""

from __future__ import annotations

from torch import Tensor

from captum_cluster.functional.attribution.weights import fuse
from captum_cluster.methods.algorithm import Algorithm
from captum_cluster.methods.minmax_grad_cam import (
    MinMaxCamConfig,
    MinMaxResult,
    contrast_weights,
)


def minmax_cam(
    maps: Tensor, weight: Tensor, targets: Tensor, present: Tensor, config: MinMaxCamConfig
) -> MinMaxResult:
    """Return MinMax-CAM's result, ``sum_k alpha_k A_k``, signed.

    ``alpha`` is the target's row of the classifier's weights less the mean row of the other
    labels present: MinMax-Grad-CAM times the number of cells of the grid.

    Args:
        maps: (N,C,h,w), the layer's maps.
        weight: (L,C), the weights of the linear classifier.
        targets: LongTensor (N,T).
        present: BoolTensor (N,L). A target counts as present, whether it is marked or not.
        config: Options.

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", equations 7 and 9.
    """

    def gradients(coefficients: Tensor) -> Tensor:
        return (coefficients.to(weight) @ weight)[:, :, None]

    weights = contrast_weights(gradients, targets, present, config)[..., 0]
    name = "d-minmax-cam" if config.decomposed else "minmax-cam"
    return MinMaxResult(name, fuse(weights, maps), weights, targets, present)


MINMAX_CAM = Algorithm(
    "minmax-cam",
    MinMaxCamConfig,
    minmax_cam,
    paper="David et al. 2022",
    passes="1",
    contrasts_labels=True,
)
