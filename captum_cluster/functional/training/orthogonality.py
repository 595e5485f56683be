"""The orthogonal constraint: two branches shall not answer at the same places and channels."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, describe, expected


def orthogonality_loss(first: Tensor, second: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the sum of the element-wise product of two branches' features.

    ``L_o = sum_{c,i,j} f1_cij * f2_cij``: 0 where the branches answer in different channels or
    places, and large where they are alike. The features must be those after the ReLU: with
    features of both signs the sum has no lower bound.

    Args:
        first: (N,C,h,w) floating point, at least 0: the last convolutional features of a branch.
        second: The same of the other branch, of the same shape.
        reduction: "mean" over the images, so that the batch size does not matter; "sum" over them
            is the paper to the letter.

    Returns:
        Scalar, differentiable in both; float32 for half precision, whose range the sum would leave,
        otherwise of the features' dtype.

    Raises:
        TypeError: Features are no floating-point tensors, or ``reduction`` no string.
        ValueError: Shapes are others or differ, there is no image, or ``reduction`` is unknown.

    Example:
        >>> ones = torch.ones(2, 3, 4, 4)
        >>> orthogonality_loss(ones, ones), orthogonality_loss(ones, torch.zeros_like(ones))
        (tensor(48.), tensor(0.))

    References:
        Huang et al., "Class Activation Map Generation by Multiple Level Class Grouping and
        Orthogonal Constraint", equation 3; its batch is one image, or a sum over images.
    """
    check_choice("reduction", reduction, ("mean", "sum"))
    _check_features("first", first)
    _check_features("second", second)
    if first.shape != second.shape:
        got = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(expected("first and second", "of one shape", got))
    dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    product = (first.to(dtype) * second.to(dtype)).sum()
    return product / len(first) if reduction == "mean" else product


def _check_features(name: str, features: Tensor) -> None:
    what = "a floating-point tensor (N,C,h,w)"
    if not isinstance(features, Tensor) or not features.is_floating_point():
        raise TypeError(expected(name, what, describe(features)))
    if features.ndim != 4 or not len(features):
        raise ValueError(expected(name, what, describe(features)))
