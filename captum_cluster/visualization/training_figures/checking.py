"""Checks of what the figures of training have in common: names of labels, rows of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor

from captum_cluster._checks import check_finite, describe, expected

Weights: TypeAlias = Tensor | Mapping[str, Tensor]
"""The weights (L,C) of a head, or those of several heads by name ("before", "after")."""


def class_names(classes: Any, count: int) -> list[str]:
    """Return a name for each of ``count`` labels: those given, or their numbers.

    Raises:
        TypeError: ``classes`` is no sequence of names.
        ValueError: There are more or fewer names than labels.

    Example:
        >>> class_names(None, 3)
        ['0', '1', '2']
    """
    if classes is None:
        return [str(label) for label in range(count)]
    what = f"a name for each of the {count} labels"
    if isinstance(classes, (str, bytes)) or not isinstance(classes, Sequence):
        raise TypeError(expected("classes", what, describe(classes)))
    if len(classes) != count:
        raise ValueError(expected("classes", what, f"{len(classes)}"))
    return [str(name) for name in classes]


def weight_rows(name: str, weight: Any) -> Tensor:
    """Return weights (L,C) or (L,C,1,1) as (L,C) float64 on the CPU, detached.

    Raises:
        TypeError: They are no float tensor.
        ValueError: They have another shape, or hold NaN or infinite values.

    Example:
        >>> import torch
        >>> weight_rows("weight", torch.ones(2, 3)).dtype
        torch.float64
    """
    what = "a float tensor (L,C) or (L,C,1,1)"
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        raise TypeError(expected(name, what, describe(weight)))
    if weight.ndim not in (2, 4) or weight.shape[2:].numel() != 1 or not weight.numel():
        raise ValueError(expected(name, what, describe(weight)))
    return check_finite(name, weight.detach().flatten(1).cpu().double())


def heads(weights: Weights) -> dict[str, Tensor]:
    """Return the weights (L,C) of each head by its name, "" for one alone.

    Raises:
        TypeError: There is something else than float tensors.
        ValueError: There is no head, the numbers of labels differ, or a head's weights are wrong.

    Example:
        >>> import torch
        >>> list(heads({"before": torch.ones(2, 3), "after": torch.ones(2, 5)}))
        ['before', 'after']
    """
    if isinstance(weights, Tensor):
        return {"": weight_rows("weights", weights)}
    if not isinstance(weights, Mapping):
        what = "a tensor (L,C), or a mapping from names to such tensors"
        raise TypeError(expected("weights", what, describe(weights)))
    if not weights:
        raise ValueError(expected("weights", "those of at least one head", "none"))
    rows = {str(name): weight_rows(f"weights[{name!r}]", one) for name, one in weights.items()}
    counts = sorted({len(one) for one in rows.values()})
    if len(counts) > 1:
        got = ", ".join(map(str, counts))
        raise ValueError(expected("weights", "of equally many labels in each head", got))
    return rows
