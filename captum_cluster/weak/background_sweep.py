"""Which background makes the best pseudo masks, by images whose true segmentation is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from captum_cluster._checks import expected
from captum_cluster.functional.metrics import Sums
from captum_cluster.functional.metrics.segmentation import check_masks, confusion
from captum_cluster.functional.metrics.sweep import best_threshold
from captum_cluster.functional.weak.uncertain import uncertain_number
from captum_cluster.weak.cases import Case, Features, cases
from captum_cluster.weak.pseudo_masks import (
    Background,
    Refinement,
    Step,
    foreground_of,
    labels_of,
    refined_scores,
    refinements,
    through,
)
from captum_cluster.weak.refinement import RandomWalk

BACKGROUNDS = tuple(step / 20 for step in range(1, 20))
"""The background scores that are tried unless others are named."""


def best_background(
    images: Tensor | Sequence[Tensor],
    maps: Tensor | Sequence[Tensor],
    present: Tensor,
    masks: Tensor | Sequence[Tensor],
    *,
    backgrounds: Sequence[float] | None = None,
    powers: Sequence[float] | None = None,
    refine: Sequence[Step] | Step = (),
    features: Features | None = None,
    ignore_index: int | None = None,
    average: str = "present",
) -> tuple[float, float]:
    """Return the background score, or the power, of the masks with the highest mIoU, and that mIoU.

    Of equal ones the first. Without refinement a power says nothing that a score does not: the
    label of a pixel is above ``(1 - max) ** alpha`` where it is above the one score t with
    ``t = (1 - t) ** alpha``.

    Args:
        images: As in ``pseudo_masks``.
        maps: As in ``pseudo_masks``.
        present: As in ``pseudo_masks``.
        masks: (N,H,W) integers or N times (H,W), the true segmentations: 0 for background, label l
            as l + 1.
        backgrounds: The background scores that are tried, from 0 to 1; None: 0.05 to 0.95 in steps
            of 0.05.
        powers: The powers that are tried instead, above 0.
        refine: As in ``pseudo_masks``: the masks are compared after it.
        features: As in ``pseudo_masks``.
        ignore_index: Pixels of ``masks`` with this value, which may be a class, count nowhere.
            None: 255, or -1 from 255 labels on, where 255 is a label's.
        average: "present" or "all", as in ``mean_iou_compute``.

    Returns:
        What to give to ``pseudo_masks`` as ``background`` or ``power``, and the mIoU.

    Raises:
        TypeError: As in ``pseudo_masks``, or ``masks`` holds no integers.
        ValueError: As in ``pseudo_masks``; scores and powers are given both, or are empty; there is
            no true pixel, or a number in ``masks`` is no class.

    Example:
        >>> images, maps = torch.rand(1, 3, 1, 3), torch.tensor([[[[0.0, 4.0, 10.0]]]])
        >>> truth = torch.tensor([[[0, 0, 1]]])
        >>> best_background(images, maps, torch.tensor([[True]]), truth, backgrounds=[0.2, 0.5])
        (0.5, 1.0)
    """
    levels = BACKGROUNDS if backgrounds is None and powers is None else backgrounds
    sums = background_counts(
        images,
        maps,
        present,
        masks,
        backgrounds=levels,
        powers=powers,
        refine=refine,
        features=features,
        ignore_index=ignore_index,
    )
    return best_threshold(sums, levels or powers or (), average=average)


def background_counts(
    images: Tensor | Sequence[Tensor],
    maps: Tensor | Sequence[Tensor],
    present: Tensor,
    masks: Tensor | Sequence[Tensor],
    *,
    backgrounds: Sequence[float] | None = None,
    powers: Sequence[float] | None = None,
    refine: Sequence[Step] | Step = (),
    features: Features | None = None,
    ignore_index: int | None = None,
) -> Sums:
    """Return the counts of the masks with each of S backgrounds, (S,L+1) each.

    Those of several batches are added, key by key, and given to ``best_threshold`` or
    ``mean_iou_compute`` of ``captum_cluster.functional.metrics``.

    Args:
        images: As in ``best_background``, as is all that follows.
        maps: (N,L,h,w).
        present: (N,L).
        masks: (N,H,W).
        backgrounds: The S scores; or
        powers: the S powers.
        refine: The refinements.
        features: For the refinements.
        ignore_index: Of pixels that do not count.

    Raises:
        TypeError: As in ``best_background``.
        ValueError: As in ``best_background``.

    Example:
        >>> images, maps = torch.rand(1, 3, 1, 3), torch.tensor([[[[0.0, 4.0, 10.0]]]])
        >>> present, truth = torch.tensor([[True]]), torch.tensor([[[0, 0, 1]]])
        >>> sums = background_counts(images, maps, present, truth, backgrounds=[0.2, 0.5])
        >>> sums["predicted"]
        tensor([[1, 2],
                [2, 1]])
    """
    levels, steps = _levels(backgrounds, powers), refinements(refine)
    done = cases(images, maps, present, features, with_features=bool(steps))
    truths = _listed(masks, present)
    ignored = uncertain_number(None, present.shape[1]) if ignore_index is None else ignore_index
    sums: dict[str, Tensor] = {}
    for case, truth in zip(done, truths, strict=True):
        counts = _counts(case, truth, levels, steps, ignored)
        sums = {name: sums.get(name, 0) + count for name, count in counts.items()}
    return sums


def _levels(
    backgrounds: Sequence[float] | None, powers: Sequence[float] | None
) -> list[Background]:
    """Return the backgrounds that are tried."""
    if (backgrounds is None) == (powers is None):
        got = "neither" if backgrounds is None else "both"
        raise ValueError(expected("the backgrounds tried", "either scores or powers", got))
    if backgrounds is not None:
        levels = [Background(score) for score in backgrounds]
    else:
        levels = [Background(power=power) for power in powers or ()]
    if not levels:
        name = "powers" if backgrounds is None else "backgrounds"
        raise ValueError(expected(name, "at least one number", "none"))
    return levels


def _listed(masks: Tensor | Sequence[Tensor], present: Tensor) -> list[Tensor]:
    """Return the true segmentation of each image."""
    if len(masks) != len(present):
        what = f"one for each of the {len(present)} images"
        raise ValueError(expected("masks", what, len(masks)))
    return list(masks)


def _counts(
    case: Case,
    mask: Tensor,
    levels: Sequence[Background],
    steps: Sequence[Refinement],
    ignored: int,
) -> Sums:
    """Return the counts (S,L+1) of one image."""
    truth, known = check_masks(mask[None], 1, case.n_labels, ignored)
    if truth.shape[1:] != case.size:
        what = f"of the image's size {case.size}"
        raise ValueError(expected("masks", what, tuple(truth.shape[1:])))
    classes = case.n_labels + 1
    counts = [
        confusion(found[None].to(truth.device), truth, known, classes)
        for found in swept_masks(case, levels, steps)
    ]
    return {name: torch.stack([count[name] for count in counts]) for name in counts[0]}


def swept_masks(
    case: Case, levels: Sequence[Background], steps: Sequence[Refinement]
) -> Iterator[Tensor]:
    """Yield the mask (H,W) with each background."""
    foreground = foreground_of(case)
    if not all(isinstance(step, RandomWalk) for step in steps):
        for level in levels:
            yield labels_of(case, refined_scores(case, foreground, level, steps))
        return
    # A walk takes each channel by itself: the labels and all backgrounds go together, once.
    rivals = torch.cat([level.scores(foreground) for level in levels])
    scores = through(case, torch.cat([rivals, foreground]), steps)
    for number in range(len(levels)):
        own = scores[number : number + 1]
        yield labels_of(case, torch.cat([own, scores[len(levels) :]]))
