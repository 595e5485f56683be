"""Object proposals of many images, in files that the standard tools read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from captum_cluster._checks import check_integer
from captum_cluster._extras import require
from captum_cluster.data import Preparation
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.running.entries import LayerNames, MethodLike
from captum_cluster.evaluation.weak_outputs.coco_files import RESULTS, about, category_ids
from captum_cluster.evaluation.weak_outputs.explaining import Explaining, explaining
from captum_cluster.evaluation.weak_outputs.images import Images
from captum_cluster.evaluation.weak_outputs.label_boxes import BoxTask, check_boxes
from captum_cluster.evaluation.weak_outputs.work import work_through
from captum_cluster.functional.metrics import corloc_compute
from captum_cluster.weak import CocoImage, Proposal, coco_dataset, coco_results, save_coco

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
    task = BoxTask(what, directory, boxes, without_maps, threshold, longest)
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
