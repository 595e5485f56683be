"""Areas under the curves of deletion and insertion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import expected
from captum_cluster.functional.metrics.probabilities import check_probabilities
from captum_cluster.functional.metrics.sums import Sums, ratio, total


def perturbation_area(probabilities: Tensor, steps: Sequence[int] | None = None) -> Tensor:
    """Return the area under the curves of probability against the share of changed pixels.

    By the trapezoid rule on [0,1]: the insertion score (the larger, the better) or the deletion
    score (the smaller, the better).

    Args:
        probabilities: (P,S), the target's probability at each step.
        steps: The S numbers of changed pixels, from ``perturbation_steps``; None where all steps
            have the same size.

    Returns:
        (P,).

    Raises:
        ValueError: The shapes do not belong together, or the numbers do not rise from 0.

    Example:
        >>> perturbation_area(torch.tensor([[1.0, 0.0, 0.0]]), [0, 5, 10])
        tensor([0.2500])

    References:
        Petsiuk, Das, Saenko 2018, "RISE", section 4.1; Ha and Youn, "Collection-CAM", section IV.
    """
    if probabilities.ndim != 2 or (steps is not None and probabilities.shape[1] != len(steps)):
        what = "of shape (P,S)" + ("" if steps is None else f" with S = {len(steps)} steps")
        raise ValueError(expected("probabilities", what, f"{tuple(probabilities.shape)}"))
    counts = list(range(probabilities.shape[1]) if steps is None else steps)
    shares = torch.tensor(counts, dtype=torch.float64)
    if len(counts) < 2 or counts[0] != 0 or bool((shares.diff() <= 0).any()):
        raise ValueError(expected("steps", "two numbers or more that rise from 0", counts))
    shares = (shares / shares[-1]).to(probabilities)
    return torch.trapezoid(probabilities, shares, dim=1)


def area_update(curves: Tensor, *, steps: Sequence[int]) -> Sums:
    """Return the sums of Deletion or Insertion: ``area`` and ``pairs``.

    Args:
        curves: (P,S) in [0,1], one of the curves of ``deletion_insertion``.
        steps: The S numbers of changed pixels, from ``perturbation_steps``.

    Raises:
        ValueError: As in ``perturbation_area``, or a value is outside [0,1].

    Example:
        >>> area_update(torch.tensor([[1.0, 0.0, 0.0]]), steps=[0, 5, 10])["area"]
        tensor(0.2500, dtype=torch.float64)
    """
    curves = check_probabilities("curves", curves)
    areas = perturbation_area(curves.double(), steps)
    return {"area": total(areas), "pairs": torch.tensor(len(areas), device=areas.device)}


def area_compute(sums: Sums) -> Tensor:
    """Return the mean area (B,) of sums ``area`` and ``pairs`` (B,)."""
    return ratio(sums["area"], sums["pairs"])


def overall_update(deletion: Tensor, insertion: Tensor, *, steps: Sequence[int]) -> Sums:
    """Return the sums of Overall, Insertion less Deletion: ``deletion``, ``insertion``, ``pairs``.

    Args:
        deletion: (P,S) in [0,1], the deletion curves.
        insertion: (P,S) in [0,1], the insertion curves.
        steps: The S numbers of changed pixels, from ``perturbation_steps``.

    Raises:
        ValueError: As in ``area_update``, or the shapes differ.

    Example:
        >>> deletion, insertion = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]])
        >>> overall_compute(overall_update(deletion, insertion, steps=[0, 5, 10]))
        tensor(0.5000, dtype=torch.float64)

    References:
        Ha and Youn, "Collection-CAM", equation 28.
    """
    if deletion.shape != insertion.shape:
        got = f"{tuple(deletion.shape)} and {tuple(insertion.shape)}"
        raise ValueError(expected("deletion and insertion", "of one shape (P,S)", got))
    removed, restored = (area_update(curves, steps=steps) for curves in (deletion, insertion))
    return {
        "deletion": removed["area"],
        "insertion": restored["area"].to(removed["area"].device),
        "pairs": removed["pairs"],
    }


def overall_compute(sums: Sums) -> Tensor:
    """Return the mean of Insertion less Deletion (B,) of sums (B,)."""
    return ratio(sums["insertion"] - sums["deletion"], sums["pairs"])
