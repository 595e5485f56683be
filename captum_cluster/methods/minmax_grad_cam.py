"""MinMax-Grad-CAM: maximise a label's score and minimise those of the other labels present."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_flag, check_integer, check_number
from captum_cluster._types import CamResult
from captum_cluster.functional.attribution.grids import over_grid
from captum_cluster.functional.attribution.labels import (
    contrast_coefficients,
    decomposed_contrast,
    other_labels,
)
from captum_cluster.functional.attribution.weights import fuse
from captum_cluster.methods.algorithm import Algorithm

Gradients = Callable[[Tensor], Tensor]
"""Of coefficients (N,L) the gradient (N,C,h,w) of ``sum_l coefficient_l S_l`` at the maps."""


@dataclass(frozen=True)
class MinMaxCamConfig:
    """Options of MinMax-CAM.

    Attributes:
        decomposed: D-MinMax-CAM: contrast positive and negative contributions apart.
        contrast: Of D-MinMax: "positive_sum" (the paper and its authors' code: the positive part
            of the sum over the other labels) or "sum_positive" (the sum of the positive part of
            each).
        label_threshold: Where no labels are given: those with a probability above this, from 0
            to 1, are present.
        max_predicted: Where no labels are given: more than this many cannot be a prediction of
            what is present.
    """

    decomposed: bool = False
    contrast: str = "positive_sum"
    label_threshold: float = 0.5
    max_predicted: int = 20

    def __post_init__(self) -> None:
        check_flag("decomposed", self.decomposed)
        check_choice("contrast", self.contrast, ("positive_sum", "sum_positive"))
        check_number("label_threshold", self.label_threshold, 0.0, 1.0)
        check_integer("max_predicted", self.max_predicted, 1)


@dataclass(frozen=True)
class MinMaxGradCamConfig(MinMaxCamConfig):
    """Options of MinMax-Grad-CAM.

    Attributes:
        decomposed: As for ``MinMaxCamConfig``, and so for those not named here.
        contrast: See there. "sum_positive" takes one backward pass for each label present.
        label_threshold: See there.
        max_predicted: See there.
        reduction: A map's weight is the "mean" of the gradient over the grid (as Grad-CAM in
            both hosts) or its "sum" (the paper's equation 5).
    """

    reduction: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("reduction", self.reduction, ("mean", "sum"))


@dataclass(frozen=True, eq=False)
class MinMaxResult(CamResult):
    """The result of the MinMax family.

    Attributes:
        targets: LongTensor (N,T), the labels explained.
        present: BoolTensor (N,L), the labels that count as present, besides the target.
    """

    targets: Tensor
    present: Tensor


def minmax_grad_cam(
    maps: Tensor,
    gradients: Gradients,
    targets: Tensor,
    present: Tensor,
    config: MinMaxGradCamConfig,
) -> MinMaxResult:
    """Return MinMax-Grad-CAM's result, ``sum_k alpha_k A_k``, signed.

    ``alpha_k`` is the mean over the grid of ``dJ_c/dA_k``, where ``J_c`` is the target's score
    less the mean score of the other labels present. One backward pass for each target; decomposed,
    one for each target and one for the labels present.

    Args:
        maps: (N,C,h,w), the layer's maps.
        gradients: Of coefficients (N,L) of the outputs the gradient (N,C,h,w) at the maps.
        targets: LongTensor (N,T).
        present: BoolTensor (N,L). A target counts as present, whether it is marked or not.
        config: Options.

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", equations 3 to 6 and 8.
    """
    alphas = contrast_weights(gradients, targets, present, config)
    alphas = alphas.flatten(3)
    weights = alphas.mean(dim=3) if config.reduction == "mean" else alphas.sum(dim=3)
    name = "d-minmax-grad-cam" if config.decomposed else "minmax-grad-cam"
    return MinMaxResult(name, fuse(weights, maps), weights, targets, present)


def weighted_outputs(coefficients: Tensor, outputs: Tensor) -> Tensor:
    """Return outputs (N,L), or (N,), times coefficients (N,L): what the faces differentiate.

    Example:
        >>> weighted_outputs(torch.tensor([[2.0]]), torch.tensor([3.0]))
        tensor([6.])
    """
    return outputs * coefficients.to(outputs).reshape(outputs.shape)


def contrast_weights(
    gradients: Gradients, targets: Tensor, present: Tensor, config: MinMaxCamConfig
) -> Tensor:
    """Return the contrast of each target's gradient with the other labels': (N,T,C,h,w).

    Args:
        gradients: As for ``minmax_grad_cam``; for a linear classifier its weights (N,C,1).
        targets: LongTensor (N,T).
        present: BoolTensor (N,L).
        config: Options.
    """
    others = other_labels(present, targets)
    if not config.decomposed:
        rows = contrast_coefficients(targets, others)
        return torch.stack([gradients(row) for row in rows.unbind(dim=1)], dim=1)
    count = targets.shape[1]
    one_hot = torch.nn.functional.one_hot(targets, present.shape[1]).double()
    own = [gradients(one_hot[:, number]) for number in range(count)]
    marked = present.gather(1, targets)
    everything = gradients(present.double()) if bool(others.any()) else torch.zeros_like(own[0])
    contrasts = []
    for number in range(count):
        share = over_grid(marked[:, number], own[number].ndim - 1).to(own[number])
        rest = everything - share * own[number]
        positive = rest.clamp(min=0)
        if config.contrast == "sum_positive":
            positive = _sum_of_positive(gradients, others[:, number], like=rest)
        amount = others[:, number].sum(dim=1)
        contrasts.append(decomposed_contrast(own[number], rest, positive, amount))
    return torch.stack(contrasts, dim=1)


def _sum_of_positive(gradients: Gradients, others: Tensor, like: Tensor) -> Tensor:
    """Return the sum over the other labels (N,L) of the positive part of each one's gradient."""
    total = torch.zeros_like(like)
    ranks = others.cumsum(dim=1) * others
    for rank in range(1, int(ranks.max()) + 1):
        total += gradients((ranks == rank).double()).clamp(min=0)
    return total


MINMAX_GRAD_CAM = Algorithm(
    "minmax-grad-cam",
    MinMaxGradCamConfig,
    minmax_grad_cam,
    paper="David et al. 2022",
    passes="1",
    gradient=True,
    contrasts_labels=True,
)
