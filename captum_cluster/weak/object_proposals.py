"""Boxes of the objects that an image is known to show: from its maps, without a box to learn from.

``object_proposals`` takes of the candidate boxes around a map's peaks those whose crops score
highest; ``component_boxes`` takes the box around what a map marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_cluster._checks import (
    check_finite,
    check_integer,
    check_number,
    describe,
    expected,
)
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics.regions import Box, largest_component, tight_box
from captum_cluster.functional.weak.boxes import contains_pixel, crop_boxes, pixel_boxes
from captum_cluster.functional.weak.peaks import peaks
from captum_cluster.weak.candidates import candidate_boxes, check_image
from captum_cluster.weak.crop_scores import ScoreCrops, scorer

# The default distance between peaks, as a share of the image's shorter side.
_PEAK_DISTANCE = 1 / 16


@dataclass(frozen=True)
class Proposal:
    """A box that is said to hold an object of a label.

    Attributes:
        label: The label.
        box: x0, y0, x1, y1 in whole pixels, inside the image, of at least one pixel.
        score: The higher, the surer.
        peak: The pixel (y, x) of the map's peak that it is for; None without a map.
    """

    label: int
    box: tuple[int, int, int, int]
    score: float
    peak: tuple[int, int] | None = None


def object_proposals(
    image: Tensor,
    maps: Tensor | None,
    labels: Sequence[int] | Tensor,
    *,
    score_crops: nn.Module | ScoreCrops,
    candidates: Sequence[Box] | Tensor | None = None,
    distance: int | None = None,
    threshold_relative: float = 0.5,
) -> list[Proposal]:
    """Return for each peak of each label's map the box around it whose crop scores highest.

    1. A label's map becomes a saliency map of the image's size: ReLU, upsampling, min-max.
    2. Its peaks are found; an all-zero or flat map has none.
    3. Of the candidates that hold a peak, that whose crop scores highest for the label is proposed;
       of equal scores the first. A peak outside all candidates has no proposal.

    Without maps (selective search only) the candidate that scores highest is each label's one
    proposal, wherever it lies.

    Args:
        image: (3,H,W) float in [0,1], not normalised.
        maps: (T,h,w) float, any range, at any resolution; one for each of ``labels`` where these
            are numbers, one for each label L where these are bool. None: without maps.
        labels: The T labels of the image: numbers, each once, or (L,) bool.
        score_crops: The classifier, which sees crops as ``classifier_scores(model)`` shows them:
            of 224 x 224 pixels, normalised as for ImageNet, scored by the softmax (for others give
            ``classifier_scores(model, ...)``). Or a function of K crops (3,h,w), views of the
            image, and the T labels as numbers that returns (K,T), or (K,) where one score serves
            all labels; called once at most, with the candidates that hold any peak.
        candidates: K boxes x0, y0, x1, y1 in pixels; None for ``candidate_boxes(image)``.
        distance: Of peaks, in pixels; see ``peaks``. None: a 16th of the shorter side.
        threshold_relative: Of peaks, as a share of the map's maximum; see ``peaks``.

    Returns:
        The proposals: label by label in the order of ``labels``, within a label the highest score
        first. Peaks that choose the same box share one.

    Raises:
        ImportError: There are no ``candidates``, and scikit-image is not installed.
        TypeError: An argument has a wrong type.
        ValueError: The shapes do not belong together, or a value is outside its range.

    Example:
        >>> image = torch.zeros(3, 8, 8)
        >>> image[:, 2:5, 1:4] = 1.0
        >>> boxes = [(0, 0, 8, 8), (1, 2, 4, 5), (5, 5, 8, 8)]
        >>> def brightness(crops, labels):
        ...     return torch.stack([crop.mean() for crop in crops])
        >>> object_proposals(image, image[:1], [7], score_crops=brightness, candidates=boxes)
        [Proposal(label=7, box=(1, 2, 4, 5), score=1.0, peak=(3, 2))]

    References:
        Ha and Youn, "Collection-CAM", section IV-F.
    """
    size = check_image(image)
    score = scorer(score_crops)
    numbers = _numbers(labels)
    own = None if maps is None else _own_maps(maps, labels)
    boxes = pixel_boxes(candidate_boxes(image) if candidates is None else candidates, size)
    if own is None:
        places: list[tuple[int, tuple[int, int] | None]] = [(t, None) for t in range(len(numbers))]
    else:
        near = max(1, round(min(size) * _PEAK_DISTANCE)) if distance is None else distance
        places = [
            (t, peak)
            for t, one in enumerate(own)
            for peak in peaks(
                saliency(one, size), distance=near, threshold_relative=threshold_relative
            )
        ]
    return _best(image, boxes, places, numbers, score)


def _best(
    image: Tensor,
    boxes: Tensor,
    places: list[tuple[int, tuple[int, int] | None]],
    labels: list[int],
    score_crops: ScoreCrops,
) -> list[Proposal]:
    """Return the proposals of the places (number of the label, peak)."""
    everywhere = torch.ones(len(boxes), dtype=torch.bool)
    holding = [everywhere if at is None else contains_pixel(boxes, at) for _, at in places]
    scored = torch.stack([torch.zeros_like(everywhere), *holding]).any(dim=0)
    if not bool(scored.any()):
        return []
    scores = torch.full((len(boxes), len(labels)), -torch.inf, dtype=torch.float64)
    scores[scored] = _scores(score_crops, crop_boxes(image, boxes[scored]), labels)
    found: dict[tuple[int, int], Proposal] = {}
    for (t, peak), held in zip(places, holding, strict=True):
        if bool(held.any()):
            best = int(torch.where(held, scores[:, t], -torch.inf).argmax())
            x0, y0, x1, y1 = boxes[best].tolist()
            proposal = Proposal(labels[t], (x0, y0, x1, y1), float(scores[best, t]), peak)
            found.setdefault((t, best), proposal)  # the stronger peak came first
    ranked = sorted(found.items(), key=lambda item: (item[0][0], -item[1].score))
    return [proposal for _, proposal in ranked]


def _scores(score_crops: ScoreCrops, crops: list[Tensor], labels: list[int]) -> Tensor:
    """Return the scores (K,T) of the crops, float64 on the CPU."""
    scores = score_crops(crops, labels)
    if not isinstance(scores, Tensor):
        raise TypeError(expected("score_crops", "to give a tensor", describe(scores)))
    count = len(crops)
    if scores.shape not in ((count,), (count, len(labels))):
        what = f"to give scores of shape ({count},) or ({count},{len(labels)})"
        raise ValueError(expected("score_crops", what, f"{tuple(scores.shape)}"))
    found = check_finite("the scores of the crops", scores.detach()).double().cpu()
    return found if found.ndim == 2 else found[:, None].expand(-1, len(labels))


def component_boxes(
    maps: Tensor,
    labels: Sequence[int] | Tensor,
    *,
    threshold: float = 0.15,
    size: Sequence[int] | None = None,
) -> list[Proposal]:
    """Return for each label the box around the largest connected part of what its map marks.

    The map becomes a saliency map first (ReLU, upsampling, min-max); marked is where that is at
    least ``threshold``. An all-zero or flat map has no box.

    Args:
        maps: As in ``object_proposals``.
        labels: As in ``object_proposals``.
        threshold: Above 0 and at most 1.
        size: Height and width of the image; None for the maps' own.

    Returns:
        One proposal at most for each label, in their order. The score is the part's mean saliency,
        the peak its highest pixel.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: The shapes do not belong together, or a value is outside its range.

    Example:
        >>> maps = torch.tensor([[[0.0, 4.0, 2.0, 0.0, 3.0]]])
        >>> component_boxes(maps, [7])
        [Proposal(label=7, box=(1, 0, 3, 1), score=0.75, peak=(0, 1))]

    References:
        Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", section 3.2.
    """
    level = check_number("threshold", threshold, 0.0, 1.0, open_low=True)
    numbers = _numbers(labels)
    own = _own_maps(maps, labels)
    shape = own.shape[-2:] if size is None else _sides(size)
    found = []
    for label, one in zip(numbers, own, strict=True):
        energy = saliency(one, shape)
        part = largest_component(energy >= level)
        box = tight_box(part)
        if box is not None:
            peak = int(torch.where(part, energy, -1.0).argmax())
            place = (peak // shape[1], peak % shape[1])
            found.append(Proposal(label, box, float(energy[part].mean()), place))
    return found


def boxes_of(proposals: Sequence[Proposal], label: int) -> Tensor:
    """Return the boxes (K,4) proposed for a label, the highest score first: LongTensor.

    Example:
        >>> found = [Proposal(3, (0, 0, 2, 2), 0.5), Proposal(3, (1, 0, 2, 2), 0.9)]
        >>> boxes_of(found, 3), boxes_of(found, 4).shape
        (tensor([[1, 0, 2, 2],
                [0, 0, 2, 2]]), torch.Size([0, 4]))
    """
    own = sorted((one for one in proposals if one.label == label), key=lambda one: -one.score)
    return torch.tensor([one.box for one in own], dtype=torch.long).reshape(-1, 4)


def _sides(size: Any) -> tuple[int, int]:
    """Return height and width from a size."""
    if not isinstance(size, Sequence) or isinstance(size, (str, bytes)):
        raise TypeError(expected("size", "a height and a width", describe(size)))
    sides = [check_integer("size", side, 1) for side in size]
    if len(sides) != 2:
        raise ValueError(expected("size", "a height and a width", tuple(sides)))
    return sides[0], sides[1]


def _numbers(labels: Any) -> list[int]:
    """Return the image's labels as numbers, each once."""
    what = "numbers, or a tensor (T,) or (L,)"
    if isinstance(labels, Tensor):
        if labels.ndim != 1:
            raise ValueError(expected("labels", what, describe(labels)))
        flags = labels.dtype == torch.bool
        labels = (labels.nonzero().flatten() if flags else labels).tolist()
    if isinstance(labels, (str, bytes)) or not isinstance(labels, (Sequence, np.ndarray)):
        raise TypeError(expected("labels", what, describe(labels)))
    numbers = [check_integer("labels", label, 0) for label in labels]
    if len(set(numbers)) < len(numbers):
        raise ValueError(expected("labels", "different numbers", numbers))
    return numbers


def _own_maps(maps: Any, labels: Sequence[int] | Tensor) -> Tensor:
    """Return the map of each label that the image has, finite."""
    flags = isinstance(labels, Tensor) and labels.dtype == torch.bool
    count = "L" if flags else "T"
    if not isinstance(maps, Tensor) or not maps.is_floating_point():
        raise TypeError(expected("maps", f"a float tensor ({count},h,w)", describe(maps)))
    if maps.ndim != 3 or len(maps) != len(labels) or 0 in maps.shape[1:]:
        what = f"of shape ({count},h,w) with {count} = {len(labels)}"
        raise ValueError(expected("maps", what, f"{tuple(maps.shape)}"))
    own = maps[labels.to(maps.device)] if isinstance(labels, Tensor) and flags else maps
    return check_finite("maps", own.detach())
