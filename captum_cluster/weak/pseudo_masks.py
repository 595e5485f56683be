"""Segmentations of images by the maps of their labels: pseudo masks to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from captum_cluster._checks import (
    check_flag,
    check_number,
    describe,
    expected,
)
from captum_cluster.functional.weak.scores import (
    BACKGROUND,
    background_scores,
    foreground_scores,
    score_labels,
)
from captum_cluster.functional.weak.uncertain import uncertain_number
from captum_cluster.weak.cases import Case, Features, cases
from captum_cluster.weak.refinement import DenseCRF, RandomWalk


@runtime_checkable
class Refinement(Protocol):
    """A step that makes better scores of an image's scores, its colours and its features."""

    def refine(self, image: Tensor, scores: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the scores (C,H,W) of an image (3,H,W) from scores (C,H,W), background first."""


REFINEMENTS = {"random-walk": RandomWalk, "crf": DenseCRF}
"""The refinements by name, with their defaults."""

Step: TypeAlias = str | Refinement
"""A refinement, or its name."""

REFINED_POWER = 2.0
"""The power of the background before refinements."""


@dataclass(frozen=True, eq=False)
class PseudoMasks:
    """Masks of N images, and the scores that they come from.

    Attributes:
        labels: (N,H,W) int64: 0 for background, label l as l + 1, ``ignore_index`` where
            uncertain. A list of N masks (H,W) where the images differ in size.
        scores: (N,L+1,H,W) float, after the refinement, background first, 0 for absent labels; a
            list where the images differ in size; None where they were not asked for.
    """

    labels: Tensor | list[Tensor]
    scores: Tensor | list[Tensor] | None = None


@dataclass(frozen=True)
class Background:
    """How the background scores: a constant, or what the labels leave over, to a power.

    Args:
        score: The constant, from 0 to 1; or
        power: alpha of ``(1 - max) ** alpha``, above 0.

    Raises:
        TypeError: An argument is no number.
        ValueError: It is outside its range, or both are given, or neither.

    Example:
        >>> Background(power=16)
        Background(score=None, power=16.0)
    """

    score: float | None = None
    power: float | None = None

    def __post_init__(self) -> None:
        if (self.score is None) == (self.power is None):
            got = "neither" if self.score is None else "both"
            raise ValueError(expected("the background", "either a score or a power", got))
        if self.score is not None:
            score = check_number("background", self.score, 0.0, 1.0)
            object.__setattr__(self, "score", score)
        if self.power is not None:
            power = check_number("power", self.power, 0.0, open_low=True)
            object.__setattr__(self, "power", power)

    def scores(self, foreground: Tensor) -> Tensor:
        """Return the background's scores (1,H,W) beside those of the labels (P,H,W)."""
        if not len(foreground):
            level = 1.0 if self.score is None else self.score
            return foreground.new_full((1, *foreground.shape[1:]), level)
        return background_scores(foreground[None], score=self.score, power=self.power)


def default_background(refine: Sequence[Step] | Step = ()) -> Background:
    """Return the background where none is named, before refinements; see ``pseudo_masks``.

    Example:
        >>> default_background(), default_background("random-walk")
        (Background(score=0.15, power=None), Background(score=None, power=2.0))
    """
    # Chosen on photographs of COCO (tests/benchmarks): a constant that is low enough for plain maps
    # lets refined ones flow over.
    return Background(power=REFINED_POWER) if refinements(refine) else Background(BACKGROUND)


def pseudo_masks(
    images: Tensor | Sequence[Tensor],
    maps: Tensor | Sequence[Tensor],
    present: Tensor,
    *,
    background: float | None = None,
    power: float | None = None,
    refine: Sequence[Step] | Step = (),
    features: Features | None = None,
    uncertain: float | None = None,
    ignore_index: int | None = None,
    scores: bool = False,
) -> PseudoMasks:
    """Return the segmentation of each image that the maps of its labels make.

    Each map becomes a saliency map at the image's size (ReLU, upsampling, min-max); the background
    gets a score of its own; the scores of background and present labels go through the refinements
    in turn; at each pixel the highest wins, the background against an equal one. Absent labels take
    no part, also not in the refinements. An image without a label is all background.

    Args:
        images: (N,3,H,W) float in [0,1], not normalised for a model, or N images (3,H,W) of any
            sizes. Grey ones may have one channel: refinements see three equal ones.
        maps: (N,L,h,w) float, any range, at any resolution, or N times (L,h,w): from any method of
            either face. Those of absent labels are not read.
        present: (N,L) bool, the labels each image has.
        background: The background's score, from 0 to 1; or
        power: alpha, above 0: the background scores ``(1 - max) ** alpha`` instead, where max is
            the highest score of a label. With neither: a score of 0.15 without refinements, a power
            of 2 before them (AffinityNet's authors take 16 before a random walk).
        refine: Names, "random-walk" or "crf", or objects with ``refine(image, scores, features)``
            such as ``RandomWalk(...)`` and ``DenseCRF(...)``, in order.
        features: For the refinements: N times (D,h',w') float, of a layer of the classifier for
            example, or a function that gives them of an image (3,H,W); None: colour and position.
        uncertain: A second background of the same kind, a score or a power: pixels whose label is
            not the same with both become ``ignore_index``; see ``confident_labels``.
        ignore_index: The number of uncertain pixels, none of 0 to L. None: 255, or -1 from 255
            labels on, where 255 is a label's.
        scores: Whether the scores are returned too, for all L labels.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A number is out of range, a background and a power are given both, numbers or
            shapes do not belong together, an image leaves [0,1], or a present label's map is not
            finite.

    Example:
        >>> images = torch.rand(1, 3, 1, 4)
        >>> maps = torch.tensor([[[[0.0, 1.0, 2.0, 9.0]], [[5.0, 0.0, 0.0, 0.0]]]])
        >>> present = torch.tensor([[True, True]])
        >>> pseudo_masks(images, maps, present).labels
        tensor([[[2, 0, 1, 1]]])
        >>> pseudo_masks(images, maps, present, uncertain=0.3).labels
        tensor([[[  2,   0, 255,   1]]])

    References:
        Chang et al. 2020, "Sub-category exploration", section 4; Ahn and Kwak 2018, "Learning
        pixel-level semantic affinity", for the power and the uncertain pixels.
    """
    steps = refinements(refine)
    named = background is not None or power is not None
    first = Background(background, power) if named else default_background(steps)
    levels = [first] if uncertain is None else [first, second_background(first, uncertain)]
    check_flag("scores", scores)
    done = cases(images, maps, present, features, with_features=bool(steps))
    unsure = uncertain_number(ignore_index, present.shape[1])
    labels, kept = [], []
    for case in done:
        foreground = foreground_of(case)
        refined = [refined_scores(case, foreground, level, steps) for level in levels]
        found = [labels_of(case, one) for one in refined]
        sure = found[0] == found[-1]
        labels.append(found[0].masked_fill(~sure, unsure))
        if scores:
            kept.append(_dense(case, refined[0]))
    return PseudoMasks(_together(labels), _together(kept) if scores else None)


def refinements(steps: Sequence[Step] | Step) -> list[Refinement]:
    """Return the refinements of these names and objects.

    Raises:
        TypeError: One is neither a name nor has a method ``refine``.
        ValueError: There is no refinement of that name.

    Example:
        >>> refinements(["random-walk"]) == [RandomWalk()]
        True
    """
    several = [steps] if isinstance(steps, (str, Refinement)) else steps
    if not isinstance(several, Sequence):
        raise TypeError(expected("refine", _WHAT, describe(steps)))
    return [_refinement(step) for step in several]


_WHAT = f"{' or '.join(map(repr, REFINEMENTS))}, or objects with a method refine"


def _refinement(step: object) -> Refinement:
    """Return the refinement of a name, or the object itself."""
    if isinstance(step, str):
        if step not in REFINEMENTS:
            raise ValueError(expected("refine", _WHAT, repr(step)))
        made: Refinement = REFINEMENTS[step]()
        return made
    if isinstance(step, type) or not isinstance(step, Refinement):
        raise TypeError(expected("refine", _WHAT, describe(step)))
    return step


def second_background(first: Background, uncertain: float) -> Background:
    """Return the background whose masks must agree with those of the first, of the same kind.

    Raises:
        TypeError: ``uncertain`` is no number.
        ValueError: It is outside the range of such a background.

    Example:
        >>> second_background(Background(power=4), 32)
        Background(score=None, power=32.0)
    """
    if first.power is None:
        return Background(check_number("uncertain", uncertain, 0.0, 1.0))
    return Background(power=check_number("uncertain", uncertain, 0.0, open_low=True))


def foreground_of(case: Case) -> Tensor:
    """Return the scores (P,H,W) in [0,1] of the present labels at the image's size."""
    if not len(case.labels):
        return case.maps.new_zeros(0, *case.size)
    everyone = torch.ones(1, len(case.labels), dtype=torch.bool, device=case.maps.device)
    return foreground_scores(case.maps[None], everyone, case.size)[0]


def refined_scores(
    case: Case, foreground: Tensor, level: Background, steps: Sequence[Refinement]
) -> Tensor:
    """Return the scores (P+1,H,W) after all refinements, background first."""
    return through(case, torch.cat([level.scores(foreground), foreground]), steps)


def through(case: Case, scores: Tensor, steps: Sequence[Refinement]) -> Tensor:
    """Return scores (C,H,W) after the refinements; of the background alone there is none.

    Raises:
        TypeError: A refinement gives no tensor.
        ValueError: It gives another shape.
    """
    for step in steps if len(case.labels) else ():
        found = step.refine(case.image, scores, case.features)
        name = f"the scores of {type(step).__name__}"
        if not isinstance(found, Tensor):
            raise TypeError(expected(name, "a tensor (C,H,W)", describe(found)))
        if found.shape != scores.shape:
            what = f"of shape {tuple(scores.shape)}"
            raise ValueError(expected(name, what, f"{tuple(found.shape)}"))
        scores = found
    return scores


def labels_of(case: Case, scores: Tensor) -> Tensor:
    """Return the mask (H,W) of scores (P+1,H,W): 0 for background, label l as l + 1."""
    numbers = torch.cat([case.labels.new_zeros(1), case.labels + 1])
    return numbers[score_labels(scores[None])[0]]


def _dense(case: Case, scores: Tensor) -> Tensor:
    """Return scores (L+1,H,W) of all labels, 0 for the absent ones."""
    dense = scores.new_zeros(case.n_labels + 1, *case.size)
    dense[0] = scores[0]
    dense[case.labels + 1] = scores[1:]
    return dense


def _together(tensors: list[Tensor]) -> Tensor | list[Tensor]:
    """Return tensors of one shape as one."""
    return torch.stack(tensors) if len({one.shape for one in tensors}) == 1 else tensors
