"""COCO: eighty classes, several to a picture, with the pixels of each object."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.datasets import CocoDetection

from captum_cluster._checks import expected
from captum_cluster._extras import require
from captum_cluster.data.boxes import LabelledBox
from captum_cluster.data.listing import existing_file, existing_folder, names_of
from captum_cluster.data.picture_file import PictureFile
from captum_cluster.data.reading import read_scene
from captum_cluster.data.scene import Scene
from captum_cluster.data.scene_dataset import SceneDataset


class CocoScenes(SceneDataset):
    """COCO's pictures with the labels, pixels and boxes of their objects, through torchvision.

    The labels are the categories in the order of their ids (80 in the original). ``objects`` are
    the instances. A crowd's label is present, its pixels are ignored where no object is, and it has
    no box. Pictures without annotation have no label.

    Attributes:
        category_ids: The number of each label's category in the file.

    Args:
        images: The folder of the pictures.
        annotations: The JSON file of the instances (``instances_val2017.json``).

    Raises:
        TypeError: An argument is of another type.
        OSError: The folder or the file is not there.
        ImportError: pycocotools is not installed.
        ValueError: The file is no JSON file of COCO's form.

    References:
        Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014.
    """

    def __init__(self, images: str | os.PathLike[str], annotations: str | os.PathLike[str]) -> None:
        self.root = existing_folder("images", images)
        file = self.annotations = existing_file("annotations", annotations)
        require("pycocotools", "coco")
        source = _open(self.root, file)
        self._coco, self._ids = source.coco, list(source.ids)
        categories = sorted(self._coco.cats.values(), key=lambda category: int(category["id"]))
        self.category_ids = [int(category["id"]) for category in categories]
        self._files = [Path(str(self._coco.imgs[number]["file_name"])) for number in self._ids]
        self._names = names_of(self._files)
        self.classes = [str(category["name"]) for category in categories]
        self._label_of = {category["id"]: label for label, category in enumerate(categories)}

    def facts(self) -> dict[str, Any]:
        """Return all that the scenes depend on; of the file of annotations its place and size."""
        size = self.annotations.stat().st_size
        return {**super().facts(), "_coco": size}

    def __len__(self) -> int:
        return len(self._ids)

    def _scene(self, index: int) -> Scene:
        things = [note for note in self._notes(index) if not note.get("iscrowd", 0)]
        pixels = [self._pixels(note) for note in things]
        masks: dict[int, Tensor] = {}
        for note, mask in zip(things, pixels, strict=True):
            label = self._label(note)
            masks[label] = masks[label] | mask if label in masks else mask
        return read_scene(
            self.root / self._files[index],
            self._labels(index),
            len(self.classes),
            name=self._names[index],
            boxes=[self._box(note) for note in things],
            masks=masks,
            ignore=self._crowds(index, pixels),
            objects=torch.stack(pixels) if pixels else None,
        )

    def _labels(self, index: int) -> list[int]:
        return sorted({self._label(note) for note in self._notes(index)})

    def image_id(self, index: int) -> int:
        """Return the number of a scene's picture in the file."""
        return int(self._ids[index])

    def _picture(self, index: int) -> PictureFile:
        return PictureFile(self.root / self._files[index], self.root)

    def _notes(self, index: int) -> list[dict[str, Any]]:
        return list(self._coco.imgToAnns[self._ids[index]])

    def _pixels(self, note: dict[str, Any]) -> Tensor:
        image = self._coco.imgs[note["image_id"]]
        try:
            mask = torch.from_numpy(self._coco.annToMask(note)).bool()
            return mask.reshape(image["height"], image["width"])
        except Exception as error:  # pycocotools lets almost anything out of a damaged outline
            got = f"annotation {note['id']}: {error!r}"
            raise ValueError(expected("segmentation", "polygons or run lengths", got)) from error

    def _crowds(self, index: int, objects: list[Tensor]) -> Tensor | None:
        crowds = [self._pixels(note) for note in self._notes(index) if note.get("iscrowd", 0)]
        if not crowds:
            return None
        inside = torch.stack(crowds).any(dim=0)
        return inside & ~torch.stack(objects).any(dim=0) if objects else inside

    def _box(self, note: dict[str, Any]) -> LabelledBox:
        x, y, width, height = map(float, note["bbox"])
        return self._label(note), x, y, x + width, y + height

    def _label(self, note: dict[str, Any]) -> int:
        if note["category_id"] not in self._label_of:
            got = f"{note['category_id']} in annotation {note['id']}"
            raise ValueError(expected("category_id", "one of the categories", got))
        return self._label_of[note["category_id"]]


def _open(root: Path, file: Path) -> CocoDetection:
    """Return torchvision's dataset without what pycocotools prints."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return CocoDetection(root, str(file))
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        got = f"{str(file)!r}: {error!r}"
        raise ValueError(expected("annotations", "a JSON file in COCO's form", got)) from error
