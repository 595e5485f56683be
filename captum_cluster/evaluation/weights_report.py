"""How the labels of a classifier use its kernels, before and after a regularisation, in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_cluster._checks import check_finite, check_integer, describe, expected
from captum_cluster.functional.training import label_correlation, negative_shares, shared_kernels


def kernel_usage_statistics(
    before: nn.Module | Tensor, after: nn.Module | Tensor, *, top: int = 10, bins: int = 40
) -> dict[str, dict[str, Any]]:
    """Return what a regularisation of the kernels' usage changed in the last layer, as numbers.

    The regularisation should leave fewer and smaller negative weights, labels that correlate less
    with each other, and labels that share fewer of their strongest kernels.

    Args:
        before: The head without the regularisation: a linear layer or a 1x1 convolution of L labels
            and C kernels, or its weights (L,C). Where it has ``effective_weight``, these count.
        after: The head with it, of the same number of labels.
        top: Number of kernels of each label that count as its strongest; fewer where there are
            fewer kernels.
        bins: Number of bins of the histograms, at least 1.

    Returns:
        Under "before" and "after", ready for JSON:

        - "labels", "kernels": L and C;
        - "correlation": mean absolute correlation of two labels' weights; None for one label;
        - "shared": mean share of the ``top`` kernels that two labels have in common, and "top";
          None for one label;
        - "negative": share of the weights that are negative;
        - "negative_weight": their share of the sum of absolute weights;
        - "skewness": of all weights; 0 where they lie symmetrically, above 0 with a tail of large
          ones; None where all are equal;
        - "histogram": "edges" (bins + 1) and "counts" (L lists of bins) of each label's weights.

    Raises:
        TypeError: A head has no weights, or a number is no integer.
        ValueError: The weights are of another shape or not finite, the heads have different labels,
            or a number is out of range.

    Example:
        >>> plain, sparse = nn.Linear(8, 3), torch.eye(3, 8)
        >>> found = kernel_usage_statistics(plain, sparse, top=1)
        >>> found["after"]["shared"], found["after"]["negative"]
        (0.0, 0.0)

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", section 6.2.
    """
    check_integer("top", top, 1)
    check_integer("bins", bins, 1)
    weights = {"before": _weight("before", before), "after": _weight("after", after)}
    sizes = [len(weight) for weight in weights.values()]
    if sizes[0] != sizes[1]:
        what = f"of the {sizes[0]} labels of the head before"
        raise ValueError(expected("after", what, f"{sizes[1]} labels"))
    return {name: _statistics(weight, top, bins) for name, weight in weights.items()}


def _weight(name: str, head: Any) -> Tensor:
    """Return the weights (L,C) that a head applies, as float64 on the CPU."""
    found = head
    if isinstance(head, nn.Module):
        found = getattr(head, "effective_weight", getattr(head, "weight", None))
    what = "a linear layer, a 1x1 convolution, or a float tensor (L,C)"
    if not isinstance(found, Tensor) or not found.is_floating_point():
        raise TypeError(expected(name, what, describe(head)))
    shaped = found.ndim in (2, 4) and found.shape[2:].numel() == 1
    if not shaped or not len(found) or found.shape[1] < 2:
        raise ValueError(expected(name, f"{what} with L >= 1 and C >= 2", describe(found)))
    return check_finite(name, found.detach().flatten(1).cpu().double())


def _statistics(weight: Tensor, top: int, bins: int) -> dict[str, Any]:
    """Return the numbers of one head."""
    count = min(top, weight.shape[1])
    negative, negative_weight = negative_shares(weight)
    edges = np.histogram_bin_edges(weight.numpy(), bins)
    counts = [np.histogram(row.numpy(), edges)[0].tolist() for row in weight]
    return {
        "labels": weight.shape[0],
        "kernels": weight.shape[1],
        "correlation": _mean_of_pairs(label_correlation(weight).abs()),
        "shared": _mean_of_pairs(shared_kernels(weight, top=count)),
        "top": count,
        "negative": negative,
        "negative_weight": negative_weight,
        "skewness": _skewness(weight),
        "histogram": {"edges": edges.tolist(), "counts": counts},
    }


def _mean_of_pairs(table: Tensor) -> float | None:
    """Return the mean of a table (L,L) without its diagonal, None where nothing is left."""
    pairs = ~torch.eye(len(table), dtype=torch.bool)
    return float(table[pairs].mean()) if bool(pairs.any()) else None


def _skewness(weight: Tensor) -> float | None:
    """Return the third standardised moment, None where all values are equal."""
    if bool((weight == weight.flatten()[0]).all()):
        return None
    centred = weight - weight.mean()
    return float((centred**3).mean() / (centred**2).mean() ** 1.5)
