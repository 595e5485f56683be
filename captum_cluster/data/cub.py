"""Caltech-UCSD Birds-200-2011."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captum_cluster._checks import check_choice, expected
from captum_cluster.data.images import load_image
from captum_cluster.data.listing import existing_file, existing_folder
from captum_cluster.data.picture_file import PictureFile
from captum_cluster.data.reading import read_scene
from captum_cluster.data.scene import Scene
from captum_cluster.data.scene_dataset import SceneDataset

SPLITS = ("test", "train", "all")
MAJORITY = 127  # a segmentation's grey is the share of annotators, 255 for all of them


class Cub200(SceneDataset):
    """CUB-200-2011: birds of 200 species, one in each picture, with its box.

    Boxes are taken as they are written: (x, y, width, height) in pixels. Where the folder
    ``segmentations`` is there, in ``root`` or beside it, a pixel is the bird's where more than half
    of the annotators say so.

    Args:
        root: The folder ``CUB_200_2011``, or the one that holds it.
        split: "test", "train" or "all".

    Raises:
        TypeError: An argument is of another type.
        OSError: The folder or one of its lists is not there.
        ValueError: A list is damaged; the message names the line.

    References:
        Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, CNS-TR-2011-001.
    """

    def __init__(self, root: str | os.PathLike[str], *, split: str = "test") -> None:
        folder = existing_folder("root", root)
        folder = folder / "CUB_200_2011" if (folder / "CUB_200_2011").is_dir() else folder
        check_choice("split", split, SPLITS)
        images, labels = (
            _read(folder / "images.txt", 1),
            _read(folder / "image_class_labels.txt", 1),
        )
        names = _read(folder / "classes.txt", 1)
        self._label_of_class = {number: label for label, number in enumerate(sorted(names))}
        self.classes = [names[number][0].split(".", 1)[-1] for number in sorted(names)]
        self._ids = _of_split(folder, sorted(images), split)
        self._paths = {number: Path(images[number][0]) for number in self._ids}
        self._classes = {number: self._label(labels, number, folder) for number in self._ids}
        self._boxes = _boxes(folder / "bounding_boxes.txt", self._ids)
        self._folder, self._masks = folder, _segmentations(folder)

    def __len__(self) -> int:
        return len(self._ids)

    def _scene(self, index: int) -> Scene:
        number = self._ids[index]
        path, label = self._paths[number], self._classes[number]
        x, y, width, height = self._boxes[number]
        return read_scene(
            self._folder / "images" / path,
            [label],
            len(self.classes),
            name=path.with_suffix("").as_posix(),
            boxes=[(label, x, y, x + width, y + height)],
            masks=self._mask(path, label),
        )

    def _labels(self, index: int) -> list[int]:
        return [self._classes[self._ids[index]]]

    def _picture(self, index: int) -> PictureFile:
        root = self._folder / "images"
        return PictureFile(root / self._paths[self._ids[index]], root)

    def _mask(self, path: Path, label: int) -> dict[int, Tensor] | None:
        if self._masks is None:
            return None
        # By way of RGB: some of the files have a channel of opacity beside the grey.
        colours = load_image(self._masks / path.with_suffix(".png"), upright=False)
        return {label: torch.from_numpy(np.asarray(colours)[..., 0] > MAJORITY)}

    def _label(self, labels: dict[int, list[str]], number: int, folder: Path) -> int:
        cell = labels.get(number, ["nothing"])[0]
        if not cell.isdigit() or int(cell) not in self._label_of_class:
            got = f"{cell} for image {number} ({str(folder / 'image_class_labels.txt')!r})"
            raise ValueError(expected("the class", "a number in classes.txt", got))
        return self._label_of_class[int(cell)]


def _read(path: Path, cells: int) -> dict[int, list[str]]:
    """Return the cells behind the number that each line begins with."""
    found = {}
    lines = existing_file(path.name, path).read_text(encoding="utf-8").splitlines()
    for place, line in enumerate(lines, start=1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != cells + 1 or not parts[0].isdigit():
            what = f"to have a number and {cells} cells"
            raise ValueError(expected("each line", what, f"{line!r} ({str(path)!r}, line {place})"))
        found[int(parts[0])] = parts[1:]
    return found


def _of_split(folder: Path, ids: list[int], split: str) -> list[int]:
    if split == "all":
        return ids
    marks = _read(folder / "train_test_split.txt", 1)
    wanted = "1" if split == "train" else "0"
    return [number for number in ids if marks.get(number) == [wanted]]


def _boxes(path: Path, ids: list[int]) -> dict[int, list[float]]:
    lines = _read(path, 4)
    return {number: _box(lines.get(number, ["nothing"]), number, path) for number in ids}


def _box(cells: list[str], number: int, path: Path) -> list[float]:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        got = f"{' '.join(cells)} for image {number} ({str(path)!r})"
        raise ValueError(expected("the box", "x, y, width and height", got)) from None


def _segmentations(folder: Path) -> Path | None:
    for place in (folder, folder.parent):
        if (place / "segmentations").is_dir():
            return place / "segmentations"
    return None
