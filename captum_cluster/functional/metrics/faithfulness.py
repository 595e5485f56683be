"""How much of a model's answer is left behind a saliency map: one label of each image."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_cluster._checks import check_flag, expected
from captum_cluster.functional.metrics.probabilities import check_pairs
from captum_cluster.functional.metrics.sums import Sums, ratio, total


def relative_drop(original: Tensor, masked: Tensor, *, signed: bool = False) -> Tensor:
    """Return the share of each probability that is lost: ``max(0, Y - O) / Y``, 0 where Y is 0.

    Args:
        original: (...) in [0,1], the probabilities Y.
        masked: (...) in [0,1], the probabilities O.
        signed: Without the maximum.

    Example:
        >>> relative_drop(torch.tensor([0.8, 0.5, 0.0]), torch.tensor([0.6, 0.9, 0.3]))
        tensor([0.2500, 0.0000, 0.0000])
    """
    lost = original - masked
    lost = lost if signed else lost.clamp(min=0)
    return torch.where(original > 0, lost / torch.where(original > 0, original, 1.0), 0.0)


def average_drop(original: Tensor, masked: Tensor, *, signed: bool = False) -> Tensor:
    """Return the mean share of the target's probability that is lost behind the saliency map.

    ``mean max(0, Y - O) / Y``, and 0 where Y is 0. The smaller, the better.

    Args:
        original: (P,), the target's probability Y for each whole image.
        masked: (P,), its probability O for the image times its saliency map.
        signed: Without the maximum: gains count as negative drops (Cluster-CAM's confidence drop).

    Returns:
        A scalar.

    Raises:
        ValueError: The shapes differ, there is no image, or a value is outside [0,1].

    Example:
        >>> average_drop(torch.tensor([0.8, 0.5]), torch.tensor([0.6, 0.9]))
        tensor(0.1250)

    References:
        Chattopadhay et al. 2018, "Grad-CAM++"; Ha and Youn, "Collection-CAM", section IV; Feng et
        al. 2023, "Cluster-CAM", section 4 (signed).
    """
    original, masked = _some(original, masked)
    return relative_drop(original, masked, signed=check_flag("signed", signed)).mean()


def average_drop_update(original: Tensor, masked: Tensor, *, signed: bool = False) -> Sums:
    """Return the sums of ``average_drop``: ``drop`` and ``pairs``; there may be no pair.

    Args:
        original: (P,), as in ``average_drop``.
        masked: (P,), as in ``average_drop``.
        signed: As in ``average_drop``.

    Raises:
        ValueError: The shapes differ, or a value is outside [0,1].

    Example:
        >>> sums = average_drop_update(torch.tensor([0.8, 0.5]), torch.tensor([0.4, 0.9]))
        >>> average_drop_compute(sums)
        tensor(0.2500, dtype=torch.float64)
    """
    original, masked = check_pairs(original, masked)
    drops = relative_drop(original.double(), masked.double(), signed=check_flag("signed", signed))
    return {"drop": total(drops), "pairs": _count(drops)}


def average_drop_compute(sums: Sums) -> Tensor:
    """Return the Average Drop (B,) of sums ``drop`` and ``pairs`` (B,)."""
    return ratio(sums["drop"], sums["pairs"])


def average_increase(original: Tensor, masked: Tensor) -> Tensor:
    """Return the share of images whose target becomes more probable behind the saliency map.

    ``mean [O > Y]``, strict. The larger, the better.

    Args:
        original: (P,), the target's probability Y for each whole image.
        masked: (P,), its probability O for the image times its saliency map.

    Returns:
        A scalar.

    Raises:
        ValueError: The shapes differ, there is no image, or a value is outside [0,1].

    Example:
        >>> average_increase(torch.tensor([0.8, 0.5]), torch.tensor([0.6, 0.9]))
        tensor(0.5000)

    References:
        As for ``average_drop``.
    """
    original, masked = _some(original, masked)
    return (masked > original).to(original.dtype).mean()


def increase_update(original: Tensor, masked: Tensor) -> Sums:
    """Return the sums of ``average_increase``: ``increase`` and ``pairs``; there may be no pair.

    Args:
        original: (P,), as in ``average_increase``.
        masked: (P,), as in ``average_increase``.

    Raises:
        ValueError: The shapes differ, or a value is outside [0,1].

    Example:
        >>> sums = increase_update(torch.tensor([0.8, 0.5]), torch.tensor([0.6, 0.9]))
        >>> increase_compute(sums)
        tensor(0.5000, dtype=torch.float64)
    """
    original, masked = check_pairs(original, masked)
    return {"increase": total(masked > original), "pairs": _count(original)}


def increase_compute(sums: Sums) -> Tensor:
    """Return the Increase in Confidence (B,) of sums ``increase`` and ``pairs`` (B,)."""
    return ratio(sums["increase"], sums["pairs"])


def _count(pairs: Tensor) -> Tensor:
    """Return the number of pairs (P,) as a scalar beside them."""
    return torch.tensor(len(pairs), device=pairs.device)


def _some(original: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
    """Return both, checked, with at least one pair."""
    if original.ndim != 1 or original.shape != masked.shape or len(original) == 0:
        got = f"{tuple(original.shape)} and {tuple(masked.shape)}"
        what = "of one shape (P,), P at least 1"
        raise ValueError(expected("original and masked", what, got))
    return check_pairs(original, masked)
