"""The boxes of one image, from the maps of its labels, or without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captum_cluster._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    expected,
)
from captum_cluster.data import Scene
from captum_cluster.evaluation.weak_outputs.label_masks import LONGEST, limited, resized
from captum_cluster.functional.metrics import Sums, proposals_update
from captum_cluster.weak import (
    Proposal,
    ScoreCrops,
    boxes_of,
    component_boxes,
    object_proposals,
)

BOXES = ("selective-search", "component")


@dataclass(frozen=True)
class BoxSettings:
    """How maps become boxes; see ``make_proposals``.

    Raises:
        TypeError: A value of another type.
        ValueError: A value outside its range, or without effect.
    """

    boxes: str = BOXES[0]
    without_maps: bool = False
    threshold: float | None = None
    longest: int | None = None

    def __post_init__(self) -> None:
        check_choice("boxes", self.boxes, BOXES)
        marked = self.boxes == "component"
        if self.threshold is not None:
            check_number("threshold", self.threshold, 0.0, 1.0, open_low=marked)
        if check_flag("without_maps", self.without_maps) and marked:
            what = "False with boxes='component', which are those of the maps"
            raise ValueError(expected("without_maps", what, "True"))
        if self.without_maps and self.threshold is not None:
            what = "left out without maps, which have no peaks then"
            raise ValueError(expected("threshold", what, self.threshold))
        if self.longest is not None:
            check_integer("longest", self.longest, 1)

    @property
    def share(self) -> float:
        """The threshold, or its default."""
        if self.threshold is not None:
            return self.threshold
        return 0.15 if self.boxes == "component" else 0.5

    @property
    def side(self) -> int | None:
        """The longest side, or its default."""
        return self.longest or (LONGEST if self.boxes == "selective-search" else None)

    def facts(self) -> dict[str, Any]:
        """Return all that boxes depend on beside the maps."""
        return {
            "boxes": self.boxes,
            "without_maps": self.without_maps,
            "threshold": self.share,
            "longest": self.side,
        }


def label_boxes(
    scene: Scene,
    maps: Tensor | None,
    targets: Tensor,
    settings: BoxSettings,
    score_crops: ScoreCrops,
) -> list[Proposal]:
    """Return the proposals of a scene in its own pixels.

    Args:
        scene: The picture at its own size.
        maps: (P,h,w), of the whole picture; None: without.
        targets: LongTensor (P,), the maps' labels.
        settings: How.
        score_crops: As for ``object_proposals``.

    Example:
        >>> maps = torch.tensor([[[0.0, 1.0, 4.0]]])
        >>> scene = Scene(torch.zeros(3, 1, 3), torch.zeros(9, dtype=torch.bool))
        >>> same = lambda crops, labels: torch.ones(len(crops))
        >>> found = label_boxes(scene, maps, torch.tensor([7]), BoxSettings("component"), same)
        >>> [(one.label, one.box) for one in found]
        [(7, (1, 0, 3, 1))]
    """
    if not len(targets):
        return []
    size = scene.size if settings.side is None else limited(scene.size, settings.side)
    found = _proposed(scene, size, maps, targets.tolist(), settings, score_crops)
    return [enlarged(one, size, scene.size) for one in found]


def _proposed(
    scene: Scene,
    size: tuple[int, int],
    maps: Tensor | None,
    labels: list[int],
    settings: BoxSettings,
    score_crops: ScoreCrops,
) -> list[Proposal]:
    """Return the proposals in pixels of the picture at a size."""
    if settings.boxes == "component":
        assert maps is not None
        return component_boxes(maps, labels, threshold=settings.share, size=size)
    return object_proposals(
        resized(scene.image, size),
        maps,
        labels,
        score_crops=score_crops,
        threshold_relative=settings.share,
    )


def enlarged(one: Proposal, size: tuple[int, int], whole: tuple[int, int]) -> Proposal:
    """Return a proposal at one size, (H,W), in pixels of another: all that it touches there.

    Example:
        >>> enlarged(Proposal(0, (1, 0, 2, 3), 0.5), (4, 4), (8, 10)).box
        (2, 0, 5, 6)
    """
    if size == whole:
        return one
    y, x = whole[0] / size[0], whole[1] / size[1]
    x0, y0, x1, y1 = one.box
    box = (
        math.floor(x0 * x),
        math.floor(y0 * y),
        min(math.ceil(x1 * x), whole[1]),
        min(math.ceil(y1 * y), whole[0]),
    )
    peak = one.peak and (math.floor((one.peak[0] + 0.5) * y), math.floor((one.peak[1] + 0.5) * x))
    return Proposal(one.label, box, one.score, peak)


def box_sums(
    scene: Scene, targets: Tensor, proposals: Sequence[Proposal], n_labels: int
) -> Sums | None:
    """Return the sums of what the proposals find; None where no object's place is known.

    A label explained that the image does not have is wrong, whatever is proposed for it; one that
    it has, at a place that is not annotated, counts nowhere. For the objects of labels that are not
    explained nothing is proposed: they are not found.
    """
    if len(scene.labels) != n_labels or (scene.boxes is None and scene.masks is None):
        return None
    objects = {label: scene.boxes_of(label) for label in scene.present}
    if objects and not any(objects.values()):
        return None
    labels = targets.tolist()
    sums = proposals_update(
        [boxes_of(proposals, label) for label in labels],
        torch.tensor(labels, dtype=torch.int64),
        [objects.get(label, []) for label in labels],
        num_classes=n_labels,
        wrong=[label not in objects for label in labels],
    )
    missed = torch.zeros(n_labels, dtype=torch.int64)
    for label in objects.keys() - set(labels):
        missed[label] = len(objects[label])
    return {**sums, "objects": sums["objects"] + missed}
