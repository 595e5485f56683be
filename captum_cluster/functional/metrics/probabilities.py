"""Checks of the probabilities and labels that metrics are given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import describe, expected

# A softmax in float32 may miss 1 by its rounding.
_ROUNDING = 1e-5


def check_probabilities(name: str, values: Tensor) -> Tensor:
    """Return ``values`` if all of them are in [0,1].

    Raises:
        TypeError: They are no floating point numbers.
        ValueError: One of them is outside, or NaN.

    Example:
        >>> check_probabilities("masked", torch.tensor([0.5, 1.0]))
        tensor([0.5000, 1.0000])
    """
    if not values.is_floating_point():
        raise TypeError(expected(name, "a tensor of floating point numbers", describe(values)))
    if not bool(((values >= 0) & (values <= 1 + _ROUNDING)).all()):  # NaN fails too
        raise ValueError(expected(name, "probabilities in [0,1]", "others"))
    return values


def check_pairs(
    original: Tensor, masked: Tensor, *, names: tuple[str, str] = ("original", "masked")
) -> tuple[Tensor, Tensor]:
    """Return both if they are probabilities of one shape (P,).

    Raises:
        TypeError: They are no floating point numbers.
        ValueError: The shapes differ, or a value is outside [0,1].
    """
    if original.ndim != 1 or original.shape != masked.shape:
        got = f"{tuple(original.shape)} and {tuple(masked.shape)}"
        raise ValueError(expected(" and ".join(names), "of one shape (P,)", got))
    return check_probabilities(names[0], original), check_probabilities(names[1], masked)


def check_target(
    target: Tensor | Sequence[int] | int, count: int, num_classes: int | None = None
) -> Tensor:
    """Return the labels as a LongTensor (P,); one number stands for all.

    Args:
        target: (P,) int, or one for all.
        count: Number of pairs P.
        num_classes: Number of labels L; None where it does not matter.

    Raises:
        TypeError: They are no integers.
        ValueError: There are not ``count`` of them, or one is outside the labels.

    Example:
        >>> check_target([2, 0], 2, 3), check_target(1, 2, 3)
        (tensor([2, 0]), tensor([1, 1]))
    """
    try:
        labels = torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(expected("target", "integers of shape (P,)", describe(target))) from None
    # An empty list becomes a tensor of floats; there is nothing wrong with it.
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if not whole and labels.numel():
        raise TypeError(expected("target", "integers of shape (P,)", describe(target)))
    labels = labels.long()
    labels = labels.expand(count) if labels.ndim == 0 else labels
    if labels.shape != (count,):
        what = f"of shape (P,) with P = {count}"
        raise ValueError(expected("target", what, f"{tuple(labels.shape)}"))
    outside = (labels < 0) if num_classes is None else (labels < 0) | (labels >= num_classes)
    if bool(outside.any()):
        what = "labels of at least 0" if num_classes is None else f"labels below {num_classes}"
        raise ValueError(expected("target", what, int(labels[outside][0])))
    return labels
