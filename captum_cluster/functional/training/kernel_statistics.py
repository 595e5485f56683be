"""How the labels of a classifier share its kernels: what the regularisation changes."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, check_integer, describe, expected


def label_correlation(weight: Tensor) -> Tensor:
    """Return the correlation of each pair of labels' weights, over the kernels.

    Pearson's: of two labels that use the kernels alike 1, in opposite ways -1.

    Args:
        weight: (L,C) or (L,C,1,1) floating point, the weights that the classifier applies
            (``effective_weight`` where it has one), C at least 2.

    Returns:
        (L,L) from -1 to 1, symmetric, with 1 on the diagonal. A label whose weights are all equal
        correlates with none: 0.

    Raises:
        TypeError: ``weight`` is no floating-point tensor.
        ValueError: It has another shape, or is not finite.

    Example:
        >>> label_correlation(torch.tensor([[1.0, 2.0, 3.0], [6.0, 4.0, 2.0], [5.0, 5.0, 5.0]]))
        tensor([[ 1., -1.,  0.],
                [-1.,  1.,  0.],
                [ 0.,  0.,  1.]])

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", section 6.2 (b).
    """
    own = _check_weight(weight, 2)
    # Equal weights become 1 (or -1, or 0) and their mean is exact: rounding gives them no spread.
    scale = own.abs().amax(dim=1, keepdim=True)
    rows = own / torch.where(scale > 0, scale, 1)
    centred = rows - rows.mean(dim=1, keepdim=True)
    unit = torch.nn.functional.normalize(centred, dim=1, eps=1e-300)
    correlation = (unit @ unit.T).clamp(-1, 1)
    return correlation.fill_diagonal_(1.0).to(weight.dtype).to(weight.device)


def shared_kernels(weight: Tensor, top: int = 10) -> Tensor:
    """Return the share of each label's most contributing kernels that another one has as well.

    The most contributing kernels of a label are those of its ``top`` largest weights, with their
    sign; of equal weights the first count.

    Args:
        weight: (L,C) or (L,C,1,1) floating point, the weights that the classifier applies
            (``effective_weight`` where it has one).
        top: Kernels of each label, from 1 to C.

    Returns:
        (L,L) of the dtype of ``weight``, from 0 to 1, symmetric, with 1 on the diagonal.

    Raises:
        TypeError: ``weight`` is no floating-point tensor, or ``top`` no integer.
        ValueError: ``weight`` has another shape or is not finite, or ``top`` is outside its range.

    Example:
        >>> shared_kernels(torch.tensor([[3.0, 2.0, 0.0, -9.0], [0.0, 2.0, 3.0, 1.0]]), top=2)
        tensor([[1.0000, 0.5000],
                [0.5000, 1.0000]])

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", section 6.2 (c).
    """
    own = _check_weight(weight, 1)
    check_integer("top", top, 1, own.shape[1], "the number of kernels")
    order = own.argsort(dim=1, descending=True, stable=True)[:, :top]
    chosen = torch.zeros_like(own).scatter(1, order, 1.0)
    return (chosen @ chosen.T / top).to(weight.dtype).to(weight.device)


def negative_shares(weight: Tensor) -> tuple[float, float]:
    """Return the share of weights that are negative, and that of the absolute sum they make up.

    A regularised head may have many negative weights that hardly count.

    Args:
        weight: Floating point of any shape, the weights that the classifier applies.

    Returns:
        Two numbers from 0 to 1; of weights that are all 0, the second is 0.

    Example:
        >>> negative_shares(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
        (0.25, 0.25)

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", section 6.2 (a).
    """
    own = _exact(weight)
    total = float(own.abs().sum())
    share = float((own < 0).double().mean())
    return share, float(own.clamp(max=0).abs().sum()) / total if total else 0.0


def _check_weight(weight: Tensor, kernels: int) -> Tensor:
    """Return the weights as (L,C) float64 on the CPU, detached."""
    what = f"a floating-point tensor (L,C) or (L,C,1,1) with C of at least {kernels}"
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        raise TypeError(expected("weight", what, describe(weight)))
    if weight.ndim not in (2, 4) or weight.shape[2:].numel() != 1:
        raise ValueError(expected("weight", what, describe(weight)))
    if not len(weight) or weight.shape[1] < kernels:
        raise ValueError(expected("weight", what, describe(weight)))
    return check_finite("weight", _exact(weight.flatten(1)))


def _exact(weight: Tensor) -> Tensor:
    """Return weights as float64 on the CPU, which Apple's GPUs have not; detached."""
    return weight.detach().cpu().double()
