"""Object proposals of many images, in files that the standard tools read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from captum_cluster._extras import require
from captum_cluster.data import Preparation
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
    image_number,
)
from captum_cluster.evaluation.weak_outputs.explaining import Explaining, explaining
from captum_cluster.evaluation.weak_outputs.figures import box_figure
from captum_cluster.evaluation.weak_outputs.going_on import work_through
from captum_cluster.evaluation.weak_outputs.images import Images
from captum_cluster.evaluation.weak_outputs.label_boxes import BoxSettings, box_sums, label_boxes
from captum_cluster.evaluation.weak_outputs.work import Done, Item, OutputRun, Task
from captum_cluster.functional.metrics import (
    best_overlap_compute,
    corloc_compute,
    proposal_recall_compute,
)
from captum_cluster.weak import (
    CocoImage,
    Proposal,
    classifier_scores,
    coco_dataset,
    coco_results,
    save_coco,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DATASET = "proposals.json"


@dataclass(frozen=True)
class ProposalRun(OutputRun):
    """What ``make_proposals`` has made; see also ``OutputRun``.

    ``path`` holds the proposals as a COCO data set. Images without a label to explain (``empty``)
    have no proposal.

    Attributes:
        results: The same as COCO results.
        proposals: Number of proposals.
        corloc: The share, of 1, of the images and labels explained whose best proposal is right,
            the mean over labels; None where no true box is known. A label that the image does not
            have is wrong; one whose place in the image is not annotated counts nowhere.
        recall: The share, of 1, of the true boxes with which a proposal of their label has an IoU
            of at least 0.5, the mean over labels; boxes of labels that are not explained are not
            found. None where no true box is known.
        best_overlap: The mean IoU of the same boxes with the best proposal, the mean over labels.
    """

    results: Path
    proposals: int
    corloc: float | None
    recall: float | None
    best_overlap: float | None


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
    figures: int = 0,
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
        figures: Number of images, the first ones, of which a figure is written into ``figures`` in
            ``output``: the picture, the highest of its maps (empty without maps), the proposals,
            and the true boxes where they are known. Images that were done without one are made
            again for it.
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
    settings = BoxSettings(boxes, without_maps, threshold, longest)
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
    return work_through(BoxTask(what, directory, settings, figures), progress=progress)


class BoxTask(Task[ProposalRun]):
    """Proposes boxes of the labels of each image.

    Args:
        explaining: What is explained.
        directory: Of the proposals.
        settings: How maps become boxes.
        figures: As for ``make_proposals``.

    Raises:
        ImportError: scikit-image is needed, and not installed.
    """

    kind = "object proposals"

    def __init__(
        self, explaining: Explaining, directory: Path, settings: BoxSettings, figures: int = 0
    ) -> None:
        if settings.boxes == "selective-search":
            require("skimage", "weak")
        super().__init__(explaining, directory, figures)
        self.settings = settings
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
        return self.settings.facts()

    def compute(self, item: Item, maker: MapMaker) -> tuple[Tensor | None, list[Proposal]]:
        """Return the maps (P,h,w), or None, and the proposals in pixels of the upright picture."""
        seen, maps = item.seen, None
        if len(seen.targets) and not self.settings.without_maps:
            maps = self.explaining.maps(maker, seen).cpu()
        found = label_boxes(item.scene, maps, seen.targets, self.settings, self.score_crops)
        return maps, found

    def keep(self, item: Item, made: Any) -> dict[str, Any]:
        """Return what is recorded of an image: its proposals in pixels of the stored picture."""
        image = coco_image(item, self.explaining)
        turn = None if item.picture is None else item.picture.turn()
        found = [
            [one.label, list(turn.box(one.box, item.scene.size) if turn else one.box), one.score]
            for one in made
        ]
        record: dict[str, Any] = {
            "coco": [image.file_name, list(image.size)],
            "proposals": found,
        }
        sums = box_sums(item.scene, item.seen.targets, made, len(self.explaining.classes))
        return record if sums is None else {**record, "sums": encode_sums(sums)}

    def figure(self, item: Item, maps: Tensor | None, made: Any) -> Figure:
        """Return a figure of the picture, its map, the proposals and the true boxes."""
        return box_figure(item.scene, maps, made, self.explaining.classes, item.name)

    def finish(self, done: Done) -> ProposalRun:
        """Write the proposals of all images, and return what was made."""
        count = _save(done.records, self.explaining, self.directory)
        return ProposalRun(
            self.directory,
            self.directory / DATASET,
            done.images,
            done.empty,
            done.failed,
            self.directory / RESULTS,
            count,
            done.measured(corloc_compute),
            done.measured(proposal_recall_compute),
            done.measured(best_overlap_compute),
        )


def _save(records: Sequence[dict[str, Any]], explaining: Explaining, directory: Path) -> int:
    """Write the proposals of all records, and return their number."""
    found = [
        CocoImage(
            name,
            (size[0], size[1]),
            proposals=[Proposal(label, tuple(box), score) for label, box, score in proposals],
            image_id=image_number(explaining, record["image"]),
        )
        for record in records
        for (name, size), proposals in [(record["coco"], record["proposals"])]
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
