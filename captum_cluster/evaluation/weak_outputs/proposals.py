"""Object proposals of many images, in files that the standard tools read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import check_choice, check_flag, check_integer, check_number, expected
from captum_cluster._extras import require
from captum_cluster.data import Preparation, Scene
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.running.entries import LayerNames, MethodLike
from captum_cluster.evaluation.running.map_making import MapMaker
from captum_cluster.evaluation.running.records import encode_sums
from captum_cluster.evaluation.weak_outputs.coco_files import (
    RESULTS,
    about,
    category_ids,
    coco_image,
)
from captum_cluster.evaluation.weak_outputs.explaining import Explaining, explaining
from captum_cluster.evaluation.weak_outputs.images import Images
from captum_cluster.evaluation.weak_outputs.label_masks import LONGEST, limited, resized
from captum_cluster.evaluation.weak_outputs.work import Item, Task, work_through
from captum_cluster.functional.metrics import Sums, corloc_compute, proposals_update
from captum_cluster.weak import (
    CocoImage,
    Proposal,
    boxes_of,
    classifier_scores,
    coco_dataset,
    coco_results,
    component_boxes,
    object_proposals,
    save_coco,
)

BOXES = ("selective-search", "component")
DATASET = "proposals.json"


@dataclass(frozen=True)
class ProposalRun:
    """What ``make_proposals`` has made.

    Attributes:
        directory: The ``output``.
        path: The proposals as a COCO data set.
        results: The same as COCO results.
        images: Number of images that were looked at.
        empty: How many of them have no label to explain, and so no proposal.
        failed: Of each of the other images its name, and what went wrong.
        proposals: Number of proposals.
        corloc: The share, of 1, of the images and labels whose best proposal is right, the mean
            over labels; None where no true box is known.
    """

    directory: Path
    path: Path
    results: Path
    images: int
    empty: int
    failed: tuple[str, ...]
    proposals: int
    corloc: float | None


def make_proposals(
    model: nn.Module | LoadedModel,
    layer: LayerNames | None,
    images: Images,
    method: MethodLike = "grad-cam",
    *,
    output: str | os.PathLike[str],
    labels: str | None = None,
    boxes: str = "selective-search",
    without_maps: bool = False,
    threshold: float | None = None,
    longest: int | None = None,
    classes: Sequence[str] | None = None,
    probability: str = "probability",
    preparation: Preparation | None = None,
    limit: int | None = None,
    reshape_transform: Callable[[Tensor], Tensor] | None = None,
    strict: bool = False,
    progress: bool = True,
) -> ProposalRun:
    """Propose boxes of the objects of each image's labels from a method's maps, and write them.

    ``proposals.json`` in ``output`` is a data set in COCO's form, for pycocotools and
    ``torchvision.datasets.CocoDetection``; ``results.json`` is for ``COCO.loadRes``. Each proposal
    has its label, score and box in pixels of the stored picture; of a COCO data set images and
    categories have its numbers. Runs go on where they were broken off, as those of ``make_masks``.

    Args:
        model: As for ``make_masks``.
        layer: As for ``make_masks``.
        images: As for ``make_masks``.
        method: As for ``make_masks``.
        output: Directory of the proposals.
        labels: As for ``make_masks``.
        boxes: "selective-search": of the candidate boxes around each peak of a label's map the one
            whose crop the model takes for the label most (``object_proposals``; needs
            scikit-image); "component": the box around the largest part that the map marks.
        without_maps: With "selective-search": of all candidates the one that scores highest, one
            for each label; no map is made.
        threshold: With "component" the saliency from which on a pixel is marked (0.15); with
            "selective-search" that of a peak, as a share of the map's highest (0.5).
        longest: The longest side in pixels at which boxes are looked for, in larger pictures made
            smaller. None: 512 with "selective-search"; else the picture's own.
        classes: As for ``make_masks``.
        probability: As for ``make_masks``; crops are scored by it.
        preparation: As for ``make_masks``.
        limit: As for ``make_masks``.
        reshape_transform: As for ``make_masks``.
        strict: As for ``make_masks``.
        progress: Show a bar.

    Raises:
        ImportError: scikit-image is needed, and not installed.
        TypeError: An argument of a wrong type.
        ValueError: As ``make_masks``.
        OSError: As ``make_masks``.
        Exception: What the method raises, where it fails on the first image.

    Example:
        >>> import tempfile
        >>> from captum_cluster.data import DigitScenes
        >>> net = nn.Sequential(
        ...     nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        ...     nn.Linear(8, 10),
        ... ).eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = make_proposals(
        ...         net, "1", DigitScenes(2), "grad-cam", output=folder, boxes="component",
        ...         preparation=Preparation(64), progress=False,
        ...     )
        ...     sorted(path.name for path in run.directory.glob("*.json"))
        ['proposals.json', 'results.json', 'run.json']
        >>> run.images, run.corloc is not None
        (2, True)

    References:
        Ha and Youn, "Collection-CAM", section IV-F.
    """
    directory = check_directory(output)
    check_boxes(boxes, without_maps, threshold)
    if longest is not None:
        check_integer("longest", longest, 1)
    if boxes == "selective-search":
        require("skimage", "weak")
    what = explaining(
        model,
        layer,
        images,
        method,
        labels=labels,
        classes=classes,
        probability=probability,
        preparation=preparation,
        limit=limit,
        reshape_transform=reshape_transform,
        strict=strict,
    )
    task = _Boxes(what, directory, boxes, without_maps, threshold, longest)
    done = work_through(task, progress=progress)
    count, sums = _save(done.records, what, directory), done.sums()
    return ProposalRun(
        directory,
        directory / DATASET,
        directory / RESULTS,
        len(done.records),
        done.empty,
        done.failed,
        count,
        None if sums is None else float(corloc_compute(sums)),
    )


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


class _Boxes(Task):
    """Proposes boxes."""

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


def _save(records: Sequence[dict[str, Any]], explaining: Explaining, directory: Path) -> int:
    """Write the proposals of all records, and return their number."""
    found = [
        CocoImage(
            name,
            (size[0], size[1]),
            proposals=[Proposal(label, tuple(box), score) for label, box, score in proposals],
            image_id=number,
        )
        for record in records
        for (name, size, number), proposals in [(record["coco"], record["proposals"])]
    ]
    content = coco_dataset(
        found,
        explaining.classes,
        category_ids=category_ids(explaining),
        description=about(explaining),
    )
    save_coco(content, directory / DATASET)
    save_coco(coco_results(content), directory / RESULTS)
    return len(content["annotations"])
