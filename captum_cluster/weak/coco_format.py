"""Pseudo masks and proposals as a data set in COCO's form, and as results for its evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_integer, describe, expected
from captum_cluster.functional.metrics import clip_boxes, tight_box
from captum_cluster.functional.weak.run_lengths import run_lengths, run_text
from captum_cluster.functional.weak.uncertain import uncertain_number

PARTS = ("label", "component")


class ScoredBox(Protocol):
    """A box of one label with its score; what ``object_proposals`` gives."""

    @property
    def label(self) -> int:
        """The label, from 0."""

    @property
    def box(self) -> Sequence[float]:
        """x0, y0, x1, y1 in pixels."""

    @property
    def score(self) -> float | None:
        """How sure it is; None or NaN where that is not known."""


@dataclass(frozen=True, eq=False)
class CocoImage:
    """One image and what was found in it.

    Args:
        file_name: Of the picture, relative to the folder that readers are given.
        size: Height and width in pixels.
        mask: (H,W) integers, 0 for background, label l as l + 1; None without.
        proposals: Boxes with label and score.
        image_id: Its number in the file, from 0; None: counted from 1.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A side is not positive, or the mask is of another size.

    Example:
        >>> CocoImage("a.jpg", (2, 3), torch.zeros(2, 3, dtype=torch.long)).size
        (2, 3)
    """

    file_name: str
    size: tuple[int, int]
    mask: Tensor | None = None
    proposals: Sequence[ScoredBox] = ()
    image_id: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.file_name, str):
            raise TypeError(expected("file_name", "a string", describe(self.file_name)))
        height, width = (check_integer("size", side, 1) for side in self.size)
        object.__setattr__(self, "size", (height, width))
        if self.image_id is not None:
            check_integer("image_id", self.image_id, 0)
        if self.mask is not None:
            self._check_mask(self.mask)

    def _check_mask(self, mask: Any) -> None:
        what = "an integer tensor (H,W)"
        if not isinstance(mask, Tensor) or mask.is_floating_point() or mask.dtype == torch.bool:
            raise TypeError(expected("mask", what, describe(mask)))
        if mask.shape != self.size:
            raise ValueError(expected("mask", f"of shape {self.size}", f"{tuple(mask.shape)}"))


def coco_dataset(
    images: Iterable[CocoImage],
    classes: Sequence[str],
    *,
    category_ids: Sequence[int] | None = None,
    parts: str = "label",
    ignore_index: int | None = None,
    description: str = "",
) -> dict[str, Any]:
    """Return images with their masks and boxes as a data set in COCO's form, for ``save_coco``.

    A mask becomes one annotation for each label (or connected component), with uncompressed run
    lengths; a proposal becomes one with its box, the box's outline as its segmentation, as
    ``COCO.loadRes`` makes it, and its score. Uncertain pixels belong to no annotation.

    Args:
        images: The images, in any number.
        classes: The L labels' names.
        category_ids: The number of each label's category in the file; None: label + 1, the number
            of its pixels in a mask.
        parts: "label": all pixels of a label are one annotation (a pseudo mask does not tell the
            objects of a label apart); "component": each connected part is one.
        ignore_index: Pixels of masks with this number, none of 0 to L, are uncertain. None: as
            ``pseudo_masks`` makes them, 255, or -1 from 255 labels on.
        description: What the data set is, for whoever opens the file.

    Returns:
        What ``pycocotools.coco.COCO`` holds: "info", "images", "annotations" and "categories".

    Raises:
        TypeError: An argument is of another type.
        ValueError: Names or ids are doubled or not one for each label, ``ignore_index`` is a
            label's number, or an image holds a number that is no label, or a box without a pixel
            of the image.

    Example:
        >>> mask = torch.tensor([[0, 2, 2], [0, 2, 255]])
        >>> content = coco_dataset([CocoImage("a.jpg", (2, 3), mask)], ["cat", "cow"])
        >>> note = content["annotations"][0]
        >>> note["category_id"], note["bbox"], note["area"], note["segmentation"]["counts"]
        (2, [1.0, 0.0, 2.0, 2.0], 3, [2, 3, 1])
    """
    ids = _category_ids(classes, category_ids)
    check_choice("parts", parts, PARTS)
    ignored = uncertain_number(ignore_index, len(ids))
    entries: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for image in _images(images):
        entries.append(_entry(image, len(entries) + 1))
        for label, found in [*_of_mask(image, parts, ignored), *_of_boxes(image)]:
            place = {"id": len(notes) + 1, "image_id": entries[-1]["id"]}
            category = ids[check_integer("a label", label, 0, len(ids) - 1)]
            notes.append({**place, "category_id": category, "iscrowd": 0, **found})
    _check_unique("image_id", [entry["id"] for entry in entries])
    return {
        "info": {"description": str(description)},
        "images": entries,
        "annotations": notes,
        "categories": [
            {"id": number, "name": str(name)} for number, name in zip(ids, classes, strict=True)
        ],
    }


def coco_results(dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the annotations of a data set as results, which ``COCO.loadRes`` and COCOeval take.

    Run lengths are compressed, as is asked for there; an annotation without a score, such as a
    mask's, gets the score 1. The images' ids must be those of the ground truth's file.

    Args:
        dataset: From ``coco_dataset``.

    Example:
        >>> mask = torch.tensor([[0, 1, 1]])
        >>> coco_results(coco_dataset([CocoImage("a.jpg", (1, 3), mask, image_id=7)], ["cat"]))
        [{'image_id': 7, 'category_id': 1, 'bbox': [1.0, 0.0, 2.0, 1.0], 'score': 1.0, \
'segmentation': {'size': [1, 3], 'counts': '12'}}]
    """
    results = []
    for note in dataset["annotations"]:
        result = {key: note[key] for key in ("image_id", "category_id", "bbox")}
        result["score"] = float(note.get("score", 1.0))
        runs = note["segmentation"]
        if isinstance(runs, dict):  # a box's outline is left to the reader
            result["segmentation"] = {"size": runs["size"], "counts": run_text(runs["counts"])}
        results.append(result)
    return results


def _images(images: Iterable[CocoImage]) -> Iterator[CocoImage]:
    """Yield the images."""
    for image in images:
        if not isinstance(image, CocoImage):
            raise TypeError(expected("images", "a sequence of CocoImage", describe(image)))
        yield image


def _category_ids(classes: Any, given: Sequence[int] | None) -> list[int]:
    """Return the number of each label's category."""
    if isinstance(classes, (str, bytes)) or not isinstance(classes, Sequence):
        raise TypeError(expected("classes", "a list of names", describe(classes)))
    _check_unique("classes", [str(name) for name in classes])
    if given is None:
        return list(range(1, len(classes) + 1))
    ids = [check_integer("category_ids", number, 0) for number in given]
    if len(ids) != len(classes):
        what = f"one for each of the {len(classes)} classes"
        raise ValueError(expected("category_ids", what, len(ids)))
    _check_unique("category_ids", ids)
    return ids


def _check_unique(name: str, values: Sequence[object]) -> None:
    """Check that no value comes twice."""
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise ValueError(expected(name, "different from each other", f"{value!r} twice"))
        seen.add(value)


def _entry(image: CocoImage, number: int) -> dict[str, Any]:
    """Return what stands of an image in the list of images."""
    height, width = image.size
    number = number if image.image_id is None else image.image_id
    return {"id": number, "file_name": image.file_name, "height": height, "width": width}


def _of_mask(image: CocoImage, parts: str, ignored: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each label of an image's mask with its pixels, box and area."""
    if image.mask is None:
        return
    for number in torch.unique(image.mask).tolist():
        if number not in (0, ignored):
            for pixels in _parts(image.mask.cpu() == number, parts):
                yield number - 1, _pixels(pixels)


def _parts(pixels: Tensor, parts: str) -> list[Tensor]:
    """Return the pixels (H,W) of a label as they are, or each connected part of them."""
    if parts == "label":
        return [pixels]
    from scipy import ndimage

    numbers, count = ndimage.label(pixels.numpy(), structure=np.ones((3, 3)))
    return [torch.from_numpy(numbers == number) for number in range(1, count + 1)]


def _pixels(pixels: Tensor) -> dict[str, Any]:
    """Return the outline, box and area of pixels (H,W)."""
    around = tight_box(pixels)
    assert around is not None
    return {
        "bbox": _width_and_height(around),
        "area": int(pixels.sum()),
        "segmentation": {"size": list(pixels.shape), "counts": run_lengths(pixels)},
    }


def _of_boxes(image: CocoImage) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the label of each proposal with its box, outline, area and score."""
    for proposal in image.proposals:
        corners = clip_boxes([tuple(map(float, proposal.box))], image.size).tolist()
        if not corners:
            what = f"in the image of size {image.size}"
            raise ValueError(expected("a box", what, tuple(proposal.box)))
        x0, y0, x1, y1 = corners[0]
        found = {
            "bbox": _width_and_height(corners[0]),
            "area": (x1 - x0) * (y1 - y0),
            "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
        }
        score = None if proposal.score is None else float(proposal.score)
        if score is not None and not math.isnan(score):
            found["score"] = score
        yield proposal.label, found


def _width_and_height(box: Sequence[float]) -> list[float]:
    """Return x, y, width, height of x0, y0, x1, y1."""
    x0, y0, x1, y1 = map(float, box)
    return [x0, y0, x1 - x0, y1 - y0]
