"""Kernel usage regularisation: each feature divides its weight among the labels."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_cluster._checks import check_flag, describe, expected


def kernel_usage_weight(weight: Tensor, *, magnitude: bool = False) -> Tensor:
    """Return the regularised weights ``W * softmax(W)``, the softmax over the labels.

    ``W^r_lc = W_lc * exp(W_lc) / sum_j exp(W_jc)``, with ``j`` over the labels. For each input
    feature the softmax sums to 1 over the labels: a weight far above those of the other labels
    stays what it is, the others go towards 0, and so do strongly negative ones. Equal weights of
    L labels give ``W / L``. No weight grows or changes its sign.

    Args:
        weight: (L,C) or (L,C,1,1) floating point, the weights of L labels for C input features,
            as ``nn.Linear`` and the 1x1 ``nn.Conv2d`` hold them.
        magnitude: Put ``|W|`` inside the softmax, so that strongly negative weights stay too.

    Returns:
        A new tensor of the same shape and dtype, differentiable.

    Raises:
        TypeError: ``weight`` is no floating-point tensor, or ``magnitude`` no bool.
        ValueError: ``weight`` has another shape.

    Example:
        >>> kernel_usage_weight(torch.tensor([[5.0, 2.0], [0.0, 2.0]]))
        tensor([[4.9665, 1.0000],
                [0.0000, 1.0000]])

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", equation 15, where W is (C,L), the transpose.
        ``magnitude`` is not in the paper but in one of its authors' notebooks.
    """
    check_flag("magnitude", magnitude)
    what = "a floating-point tensor (L,C) or (L,C,1,1)"
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        raise TypeError(expected("weight", what, describe(weight)))
    if weight.ndim not in (2, 4) or weight.shape[2:].numel() != 1:
        raise ValueError(expected("weight", what, describe(weight)))
    return weight * torch.softmax(weight.abs() if magnitude else weight, dim=0)
