"""What affinities are learned from: pairs of confident pixels, of one label or of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from captum_cluster._checks import check_integer, describe, expected

EPSILON = 1e-5  # added before each logarithm, as in the authors' code
_WEIGHTS = (1 / 4, 1 / 4, 1 / 2)


class PairSets(NamedTuple):
    """Which pairs of pixels are of one label, and which of two.

    Attributes:
        background: (N,P) bool: both pixels are background.
        foreground: (N,P) bool: both have the same label.
        negative: (N,P) bool: they have different labels, one of which may be the background.
    """

    background: Tensor
    foreground: Tensor
    negative: Tensor


def labels_on_grid(labels: Tensor, size: Sequence[int]) -> Tensor:
    """Return the label at the centre of each cell of a grid: nearest, so that no label is made.

    Where the grid is finer than the labels, each one fills several cells.

    Args:
        labels: (...,H,W) int.
        size: Height and width of the grid, at least 1 each.

    Returns:
        (...,h,w), as the labels.

    Raises:
        TypeError: The labels are no integers, or a size is none.
        ValueError: There is no pixel, or a size is below 1.

    Example:
        >>> labels_on_grid(torch.tensor([[[0, 3, 3, 255]]]), (1, 2))
        tensor([[[  3, 255]]])
    """
    _check_labels(labels, 2, "(...,H,W)")
    high, wide = (check_integer("size", side, 1) for side in size)
    rows = _centres(labels.shape[-2], high, labels.device)
    return labels[..., rows[:, None], _centres(labels.shape[-1], wide, labels.device)]


def _centres(length: int, cells: int, device: torch.device) -> Tensor:
    """Return the pixels (cells,) that the cells' centres lie in; of a border the later one."""
    return (2 * torch.arange(cells, device=device) + 1) * length // (2 * cells)


def affinity_labels(labels: Tensor, pairs: Tensor, *, ignore_index: int = 255) -> PairSets:
    """Return which pairs of pixels are both background, of the same label, of different labels.

    A pair with an uncertain pixel is in none of the three.

    Args:
        labels: (N,h,w) int: 0 for background, label l as l + 1, ``ignore_index`` where uncertain,
            as ``confident_labels`` has them.
        pairs: LongTensor (2,P), see ``pixel_pairs``.
        ignore_index: The number of uncertain pixels.

    Raises:
        TypeError: ``labels`` or ``pairs`` holds no integers, or ``ignore_index`` is none.
        ValueError: One of them has another shape, or ``ignore_index`` is 0, the background.

    Example:
        >>> labels = torch.tensor([[[0, 0, 2, 2, 255]]])
        >>> sets = affinity_labels(labels, torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]))
        >>> sets.background, sets.foreground
        (tensor([[ True, False, False, False]]), tensor([[False, False,  True, False]]))
        >>> sets.negative
        tensor([[False,  True, False, False]])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity".
    """
    _check_labels(labels, 3, "(N,h,w)")
    if check_integer("ignore_index", ignore_index, -(2**31), 2**31) == 0:
        raise ValueError(expected("ignore_index", "another number than the background's", 0))
    if not isinstance(pairs, Tensor) or pairs.dtype != torch.long:
        raise TypeError(expected("pairs", "a LongTensor (2,P)", describe(pairs)))
    if pairs.ndim != 2 or len(pairs) != 2:
        raise ValueError(expected("pairs", "a LongTensor (2,P)", describe(pairs)))
    ones, others = (labels.flatten(1)[:, ends] for ends in pairs.to(labels.device))
    confident = (ones != ignore_index) & (others != ignore_index)
    alike = confident & (ones == others)
    return PairSets(alike & (ones == 0), alike & (ones != 0), confident & (ones != others))


def affinity_terms(affinities: Tensor, sets: PairSets) -> Tensor:
    """Return the three terms of the loss: how far the affinities of each set are from 1, or from 0.

    The mean of ``-log a`` over the pairs of background and over those of one label, of
    ``-log(1 - a)`` over those of two labels: each over the set of the whole batch, and 0 where the
    set is empty. 1e-5 is added before each logarithm, as in the authors' code, and taken off again
    where there is nothing to lose: the terms are 0 at a = 1 and a = 0. So different pixels with
    equal features, whose affinity is 1, have a finite loss and gradient.

    Args:
        affinities: (N,P) float in [0,1], see ``pair_affinities``.
        sets: Of the same pairs, see ``affinity_labels``.

    Returns:
        (3,): background, foreground, negative, differentiable; float32 for half precision,
        otherwise of the affinities' dtype.

    Raises:
        TypeError: The affinities are no floating-point tensor.
        ValueError: They have another shape than the sets.

    Example:
        >>> sets = affinity_labels(torch.tensor([[[0, 0, 1]]]), torch.tensor([[0, 1], [1, 2]]))
        >>> affinity_terms(torch.tensor([[0.5, 0.75]]), sets).round(decimals=3)
        tensor([0.6930, 0.0000, 1.3860])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity".
    """
    _check_affinities(affinities, sets)
    precise = affinities.to(torch.promote_types(affinities.dtype, torch.float32))
    alike, unlike = _cost(precise), _cost(1 - precise)
    means = [
        (cost * members).sum() / members.sum().clamp(min=1)
        for cost, members in zip((alike, alike, unlike), sets, strict=True)
    ]
    return torch.stack(means)


def _cost(shares: Tensor) -> Tensor:
    """Return ``-log`` of numbers in [0,1], finite also at 0."""
    return -((shares + EPSILON) / (1 + EPSILON)).log()


def affinity_loss(affinities: Tensor, sets: PairSets) -> Tensor:
    """Return ``background / 4 + foreground / 4 + negative / 2``, the terms of ``affinity_terms``.

    So pairs that are alike weigh as much as those that are not, however many there are of each. No
    gradient is above 5e4, which half precision can hold.

    Args:
        affinities: (N,P) float in [0,1], see ``pair_affinities``.
        sets: Of the same pairs, see ``affinity_labels``.

    Returns:
        Scalar, at least 0, differentiable; of the dtype that ``affinity_terms`` has.

    Raises:
        TypeError: As in ``affinity_terms``.
        ValueError: As in ``affinity_terms``.

    Example:
        >>> sets = affinity_labels(torch.tensor([[[0, 0, 1]]]), torch.tensor([[0, 1], [1, 2]]))
        >>> affinity_loss(torch.tensor([[0.5, 0.75]]), sets).round(decimals=3)
        tensor(0.8660)

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity"; used by Chang et al. 2020,
        "Sub-category exploration", section 4.
    """
    return weighted_terms(affinity_terms(affinities, sets))


def weighted_terms(terms: Tensor) -> Tensor:
    """Return the loss of its three terms (3,), a scalar: the last counts twice, the sum is 1.

    Example:
        >>> weighted_terms(torch.tensor([4.0, 8.0, 2.0]))
        tensor(4.)
    """
    return (terms * terms.new_tensor(_WEIGHTS)).sum()


def _check_labels(labels: Tensor, axes: int, shape: str) -> None:
    """Check that labels are integers with at least two axes, or exactly so many, and pixels."""
    what = f"a tensor of integers {shape}"
    kind = labels.dtype if isinstance(labels, Tensor) else None
    if kind is None or kind.is_floating_point or kind.is_complex or kind == torch.bool:
        raise TypeError(expected("labels", what, describe(labels)))
    few = labels.ndim < axes if axes == 2 else labels.ndim != axes
    if few or 0 in labels.shape[-2:]:
        raise ValueError(expected("labels", what, describe(labels)))


def _check_affinities(affinities: Tensor, sets: PairSets) -> None:
    """Check that there is one affinity for each pair of each image."""
    shape = tuple(sets.negative.shape)
    what = f"a floating-point tensor of shape {shape}, as the sets"
    if not isinstance(affinities, Tensor) or not affinities.is_floating_point():
        raise TypeError(expected("affinities", what, describe(affinities)))
    if tuple(affinities.shape) != shape:
        raise ValueError(expected("affinities", what, describe(affinities)))
