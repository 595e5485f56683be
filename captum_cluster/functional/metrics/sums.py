"""From additive sums to means: what every metric does at the end.

A metric's ``*_update`` gives a mapping of sums and counts of what it was shown, its ``*_compute``
the value of such a mapping. Sums of several batches, images or processes are added, key by key.
``*_compute`` takes sums with leading axes (B,...) and gives (B,): a thousand resamples are one
call. Without a pair the value is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

Sums: TypeAlias = Mapping[str, Tensor]
"""Sums (float64) and counts (int64) by name, each with the same leading axes."""


def total(values: Tensor) -> Tensor:
    """Return the sum of values (P,) as a scalar: counts of booleans as int64, others as float64.

    Example:
        >>> total(torch.tensor([True, True, False])), total(torch.tensor([0.5, 1.0]))
        (tensor(2), tensor(1.5000, dtype=torch.float64))
    """
    return values.sum() if values.dtype == torch.bool else values.double().sum()


def by_class(values: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Return for each class the sum of the values (P,) whose target (P,) it is: (L,).

    Booleans are counted in int64, the others summed in float64.

    Example:
        >>> by_class(torch.tensor([0.5, 1.0, 2.0]), torch.tensor([2, 0, 2]), 3)
        tensor([1.0000, 0.0000, 2.5000], dtype=torch.float64)
    """
    dtype = torch.int64 if values.dtype == torch.bool else torch.float64
    zeros = torch.zeros(num_classes, dtype=dtype, device=values.device)
    return zeros.index_add(0, target.to(values.device), values.to(dtype))


def sums_by_class(
    name: str, values: Tensor, counted: Tensor, target: Tensor, num_classes: int
) -> Sums:
    """Return the sum of the values that count and their number by class, and how many do not.

    Args:
        name: Of the sum.
        values: (P,) float or bool, one of each pair.
        counted: (P,) bool, which pairs count; the others are those without ground truth.
        target: (P,) int, the pairs' classes.
        num_classes: Number of classes L.

    Returns:
        The sum (L,) by its name, ``pairs`` (L,), and ``skipped``.

    Example:
        >>> counted = torch.tensor([True, False])
        >>> sums = sums_by_class("iou", torch.tensor([0.5, 0.0]), counted, torch.tensor([1, 1]), 2)
        >>> sums["iou"], sums["pairs"], sums["skipped"]
        (tensor([0.0000, 0.5000], dtype=torch.float64), tensor([0, 1]), tensor(1))
    """
    return {
        name: by_class(values[counted], target[counted], num_classes),
        "pairs": by_class(counted, target, num_classes),
        "skipped": (~counted).sum(),
    }


def ratio(sums: Tensor, counts: Tensor) -> Tensor:
    """Return sums / counts in float64; NaN where the count is 0.

    Example:
        >>> ratio(torch.tensor([3.0, 0.0]), torch.tensor([4, 0]))
        tensor([0.7500,    nan], dtype=torch.float64)
    """
    return sums.double() / counts.double()


def mean_of_classes(sums: Tensor, counts: Tensor) -> Tensor:
    """Return the mean over classes of the class means: (...,L) and (...,L) to (...).

    Classes with a count of 0 are left out; NaN where no class is left.

    Example:
        >>> mean_of_classes(torch.tensor([[3.0, 1.0, 0.0]]), torch.tensor([[4, 1, 0]]))
        tensor([0.8750], dtype=torch.float64)
    """
    return ratio(sums, counts).nanmean(dim=-1)
