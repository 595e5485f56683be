"""Scores of labels and background at each pixel, and the labels that win."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import (
    check_finite,
    check_integer,
    check_number,
    describe,
    expected,
)
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics.segmentation import check_maps

BACKGROUND = 0.15
"""The background's score where neither a score nor a power is named."""


def foreground_scores(maps: Tensor, present: Tensor, size: Sequence[int] | None = None) -> Tensor:
    """Return the saliency of each present label at each pixel, and 0 for the absent ones.

    Each map becomes a saliency map: ReLU, upsampling to ``size``, min-max. Label by label: beside
    the result no more than one label's maps exist at full size.

    Args:
        maps: (N,L,h,w) float, any range, at any resolution.
        present: (N,L) bool, the labels each image has.
        size: Height and width of the result; None for the maps' own.

    Returns:
        (N,L,H,W) in [0,1].

    Raises:
        TypeError: ``present`` is not boolean.
        ValueError: The shapes do not belong together, or a present label's map is not finite.

    Example:
        >>> maps = torch.tensor([[[[0.0, 1.0, 4.0]], [[7.0, 8.0, 9.0]]]])
        >>> foreground_scores(maps, torch.tensor([[True, False]]))
        tensor([[[[0.0000, 0.2500, 1.0000]],
        <BLANKLINE>
                 [[0.0000, 0.0000, 0.0000]]]])
    """
    check_maps(maps, present)
    shape = tuple(maps.shape[-2:] if size is None else size)
    scores = torch.zeros(*maps.shape[:2], *shape, dtype=maps.dtype, device=maps.device)
    present = present.to(maps.device)
    for label in present.any(dim=0).nonzero().flatten().tolist():
        rows = present[:, label]
        scores[rows, label] = saliency(check_finite("maps", maps[rows, label]), shape)
    return scores


def background_scores(
    scores: Tensor, *, score: float | None = None, power: float | None = None
) -> Tensor:
    """Return the background's score at each pixel: a constant, or ``(1 - max_l s_l) ** power``.

    Args:
        scores: (N,L,H,W) in [0,1], the labels' scores.
        score: The constant, from 0 to 1. None: 0.15 where there is no power.
        power: The alpha of AffinityNet, above 0: the larger it is, the less background (4 and 32
            for confident pixels, 16 before the random walk). None for the constant.

    Returns:
        (N,H,W) in [0,1].

    Raises:
        TypeError: ``score`` or ``power`` is no number.
        ValueError: Both are given, or one is outside its range, or the scores' shape or range is
            another.

    Example:
        >>> scores = torch.tensor([[[[0.0, 0.5]], [[0.25, 0.0]]]])
        >>> background_scores(scores, power=2.0)
        tensor([[[0.5625, 0.2500]]])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity".
    """
    if score is not None and power is not None:
        raise ValueError(expected("the background", "either a score or a power", "both"))
    level = check_number("score", BACKGROUND if score is None else score, 0.0, 1.0)
    if power is not None:
        check_number("power", power, 0.0, open_low=True)
    _check_scores(scores)
    strongest = scores.amax(dim=1)
    return torch.full_like(strongest, level) if power is None else (1 - strongest) ** power


def with_background(
    scores: Tensor, *, score: float | None = None, power: float | None = None
) -> Tensor:
    """Return the scores with the background's as the first channel, (N,L+1,H,W).

    Args:
        scores: (N,L,H,W) in [0,1], the labels' scores.
        score: As in ``background_scores``.
        power: As in ``background_scores``.

    Raises:
        TypeError: As in ``background_scores``.
        ValueError: As in ``background_scores``.

    Example:
        >>> with_background(torch.tensor([[[[0.0, 0.5]]]]))
        tensor([[[[0.1500, 0.1500]],
        <BLANKLINE>
                 [[0.0000, 0.5000]]]])
    """
    background = background_scores(scores, score=score, power=power)
    return torch.cat([background[:, None], scores], dim=1)


def score_labels(scores: Tensor) -> Tensor:
    """Return the label of the highest score at each pixel; of equal ones the first.

    So the background wins against an equal label.

    Args:
        scores: (N,L+1,H,W) float, background first.

    Returns:
        LongTensor (N,H,W): 0 for background, label l as l + 1.

    Raises:
        ValueError: The scores have another shape or are not finite.

    Example:
        >>> score_labels(torch.tensor([[[[0.5, 0.5]], [[0.5, 0.6]]]]))
        tensor([[[0, 1]]])
    """
    if scores.ndim != 4 or scores.shape[1] == 0:
        raise ValueError(expected("scores", "of shape (N,L+1,H,W)", f"{tuple(scores.shape)}"))
    # Through max and not argmax: it says which of equal scores it returns on every device.
    return check_finite("scores", scores).max(dim=1).indices


def confident_labels(low: Tensor, high: Tensor, *, ignore_index: int = 255) -> Tensor:
    """Return the labels where both label maps agree, and ``ignore_index`` elsewhere.

    AffinityNet's code has it as: the label of ``low`` where that is one, background where ``high``
    is background, else uncertain. That is the same as long as the labels' scores are equal in both,
    and the background of ``low`` nowhere below that of ``high``: then a label that wins in ``low``
    wins in ``high`` too. So it is for maps, and after a random walk, which takes each channel by
    itself and keeps the order of two. The CRF mixes channels. After it a pixel may be of a label in
    ``low`` and background, or another label, in ``high``: there the code has background, or the
    label of ``low``, and this function ``ignore_index``.

    Args:
        low: (N,H,W) int, the labels with much background (power 4).
        high: (N,H,W) int, the labels with little background (power 32).
        ignore_index: What uncertain pixels become.

    Returns:
        LongTensor (N,H,W).

    Raises:
        TypeError: The labels are no integers.
        ValueError: The shapes differ.

    Example:
        >>> confident_labels(torch.tensor([[[0, 0, 2]]]), torch.tensor([[[0, 2, 2]]]))
        tensor([[[  0, 255,   2]]])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity".
    """
    check_integer("ignore_index", ignore_index, -(2**31), 2**31)
    for name, labels in (("low", low), ("high", high)):
        if labels.is_floating_point() or labels.dtype == torch.bool:
            raise TypeError(expected(name, "a tensor of integers", describe(labels)))
    if low.shape != high.shape:
        got = f"{tuple(low.shape)} and {tuple(high.shape)}"
        raise ValueError(expected("low and high", "of one shape", got))
    return torch.where(low == high, low.long(), ignore_index)


def _check_scores(scores: Tensor) -> None:
    """Check that there are scores of at least one label, all from 0 to 1."""
    if scores.ndim != 4 or scores.shape[1] == 0:
        raise ValueError(expected("scores", "of shape (N,L,H,W)", f"{tuple(scores.shape)}"))
    check_finite("scores", scores)
    if scores.numel() and not (float(scores.min()) >= 0 and float(scores.max()) <= 1):
        got = f"{float(scores.min()):g} to {float(scores.max()):g}"
        raise ValueError(expected("scores", "numbers from 0 to 1", got))
