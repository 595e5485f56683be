"""The files in COCO's format: of masks, image by image from the records, and of proposals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from captum_cluster.evaluation.weak_outputs.explaining import Explaining
from captum_cluster.evaluation.weak_outputs.images import coco_source, picture_of
from captum_cluster.evaluation.weak_outputs.label_masks import UNCERTAIN
from captum_cluster.evaluation.weak_outputs.work import Item
from captum_cluster.weak import CocoImage, coco_dataset, coco_results, save_coco

DATASET, RESULTS = "annotations.json", "results.json"


def coco_image(item: Item, explaining: Explaining, mask: Tensor | None = None) -> CocoImage:
    """Return an image, as its file is stored, with its mask (H,W) or without.

    What is in no file is called as if it were a PNG file.
    """
    picture, size = item.picture, item.scene.size
    turned = picture is not None and picture.turn().swapped
    return CocoImage(
        f"{item.name}.png" if picture is None else picture.name,
        (size[1], size[0]) if turned else size,
        mask,
        image_id=image_number(explaining, item.position),
    )


def image_number(explaining: Explaining, position: int) -> int:
    """Return the number of an image: that in its COCO data set, else its place, from 1."""
    source = coco_source(explaining.dataset, position)
    return position + 1 if source is None else source[0].image_id(source[1])


def coco_annotations(
    image: CocoImage, classes: Sequence[str], whole: Sequence[float]
) -> dict[str, Any]:
    """Return what is recorded of a mask: its image, and its labels' pixels as run lengths.

    Args:
        image: With the mask (H,W): 0, label l as l + 1, ``UNCERTAIN``.
        classes: The names of the L labels.
        whole: The probability of each label (L,), the score of its pixels.
    """
    content = coco_dataset([image], classes, ignore_index=UNCERTAIN)
    notes = [
        # Compressed, as in COCO's results: a large picture's runs are many.
        {**note, "segmentation": result["segmentation"]}
        for note, result in zip(content["annotations"], coco_results(content), strict=True)
    ]
    for note in notes:
        note["score"] = whole[note["category_id"] - 1]
    return {"coco": content["images"][0], "annotations": notes}


def save_annotations(
    records: Sequence[dict[str, Any]], explaining: Explaining, directory: Path
) -> None:
    """Write the annotations of all records, and the same as results.

    Images have the numbers of their places now: pictures may have come since they were recorded.
    """
    ids = category_ids(explaining)
    content = coco_dataset([], explaining.classes, category_ids=ids, description=about(explaining))
    numbers = [category["id"] for category in content["categories"]]
    for record in records:
        number = image_number(explaining, record["image"])
        content["images"].append({**record["coco"], "id": number})
        for note in record["annotations"]:
            place = {"id": len(content["annotations"]) + 1, "image_id": number}
            category = {"category_id": numbers[note["category_id"] - 1]}
            content["annotations"].append({**note, **place, **category})
    wanted = ("image_id", "category_id", "bbox", "score", "segmentation")
    results = [{name: note[name] for name in wanted} for note in content["annotations"]]
    save_coco(content, directory / DATASET)
    save_coco(results, directory / RESULTS)


def category_ids(explaining: Explaining) -> list[int] | None:
    """Return the numbers of the categories: those of a COCO data set with the model's labels."""
    source = coco_source(explaining.dataset, explaining.positions[0])
    if source is None or len(source[0].category_ids) != len(explaining.classes):
        return None
    return source[0].category_ids


def about(explaining: Explaining) -> str:
    """Return what is said of a data set: by which method, and where the pictures are."""
    picture = picture_of(explaining.dataset, explaining.positions[0])
    place = "" if picture is None else f", pictures in {picture.root}"
    return f"captum-cluster, {explaining.entry.name}{place}"
