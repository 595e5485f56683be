"""The boxes of one image, from the maps of its labels, or without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_flag, check_number, expected
from captum_cluster.data import Scene
from captum_cluster.evaluation.running.map_making import MapMaker
from captum_cluster.evaluation.running.records import encode_sums
from captum_cluster.evaluation.weak_outputs.coco_files import coco_image
from captum_cluster.evaluation.weak_outputs.explaining import Explaining
from captum_cluster.evaluation.weak_outputs.label_masks import LONGEST, limited, resized
from captum_cluster.evaluation.weak_outputs.work import Item, Task
from captum_cluster.functional.metrics import Sums, proposals_update
from captum_cluster.weak import (
    Proposal,
    boxes_of,
    classifier_scores,
    component_boxes,
    object_proposals,
)

BOXES = ("selective-search", "component")


def check_boxes(boxes: str, without_maps: bool, threshold: float | None) -> None:
    """Check the options of the boxes.

    Raises:
        TypeError: One is of a wrong type.
        ValueError: One is outside its range, or without effect.
    """
    check_choice("boxes", boxes, BOXES)
    if threshold is not None:
        check_number("threshold", threshold, 0.0, 1.0, open_low=boxes == "component")
    if not check_flag("without_maps", without_maps):
        return
    if boxes == "component":
        what = "False with boxes='component', which are those of the maps"
        raise ValueError(expected("without_maps", what, "True"))
    if threshold is not None:
        what = "left out without maps, which have no peaks then"
        raise ValueError(expected("threshold", what, threshold))


class BoxTask(Task):
    """Proposes boxes of the labels of each image.

    Args:
        explaining: What is explained.
        directory: Of the results.
        boxes: As for ``make_proposals``, as are all that follow.
        without_maps: Whether maps take no part.
        threshold: None for the default of ``boxes``.
        longest: None for the default of ``boxes``.
    """

    kind = "object proposals"

    def __init__(
        self,
        explaining: Explaining,
        directory: Path,
        boxes: str,
        without_maps: bool,
        threshold: float | None,
        longest: int | None,
    ) -> None:
        super().__init__(explaining, directory)
        self.boxes, self.without_maps = boxes, without_maps
        default = 0.15 if boxes == "component" else 0.5
        self.threshold = default if threshold is None else threshold
        self.longest = longest or (LONGEST if boxes == "selective-search" else None)
        preparation, read = explaining.preparation, explaining.probability
        self.score_crops = classifier_scores(
            explaining.model,
            size=preparation.size,
            mean=preparation.mean,
            std=preparation.std,
            score_function="sigmoid" if read == "sigmoid" else "probability",
        )

    def options(self) -> dict[str, Any]:
        """Return all that the boxes depend on beside the maps."""
        return {
            "boxes": self.boxes,
            "without_maps": self.without_maps,
            "threshold": self.threshold,
            "longest": self.longest,
        }

    def compute(self, item: Item, maker: MapMaker) -> list[Proposal]:
        """Return the proposals in pixels of the upright picture."""
        targets = item.seen.targets
        if not len(targets):
            return []
        whole = item.scene.size
        size = whole if self.longest is None else limited(whole, self.longest)
        maps = None if self.without_maps else self.explaining.maps(maker, item.seen).cpu()
        found = self._propose(item.scene, size, maps, targets.tolist())
        return [enlarged(one, size, whole) for one in found]

    def _propose(
        self, scene: Scene, size: tuple[int, int], maps: Tensor | None, labels: list[int]
    ) -> list[Proposal]:
        """Return the proposals in pixels of the picture at a size."""
        if self.boxes == "component":
            assert maps is not None
            return component_boxes(maps, labels, threshold=self.threshold, size=size)
        return object_proposals(
            resized(scene.image, size),
            maps,
            labels,
            score_crops=self.score_crops,
            threshold_relative=self.threshold,
        )

    def keep(self, item: Item, computed: Any) -> dict[str, Any]:
        """Return what is recorded of an image: its proposals in pixels of the stored picture."""
        image = coco_image(item, self.explaining)
        turn = None if item.picture is None else item.picture.turn()
        found = [
            [one.label, list(turn.box(one.box, item.scene.size) if turn else one.box), one.score]
            for one in computed
        ]
        record: dict[str, Any] = {
            "coco": [image.file_name, list(image.size), image.image_id],
            "proposals": found,
        }
        sums = _sums(item, computed, len(self.explaining.classes))
        return record if sums is None else {**record, "sums": encode_sums(sums)}


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
    return Proposal(one.label, box, one.score)


def _sums(item: Item, proposals: Sequence[Proposal], n_labels: int) -> Sums | None:
    """Return the sums of what the proposals find; None where no object's place is known."""
    scene, labels = item.scene, item.seen.targets.tolist()
    if len(scene.labels) != n_labels or (scene.boxes is None and scene.masks is None):
        return None
    return proposals_update(
        [boxes_of(proposals, label) for label in labels],
        torch.tensor(labels, dtype=torch.int64),
        [scene.boxes_of(label) for label in labels],
        num_classes=n_labels,
    )
