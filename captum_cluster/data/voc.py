"""PASCAL VOC and the Semantic Boundaries Dataset: twenty classes, several to a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.datasets import SBDataset, VOCDetection, VOCSegmentation

from captum_cluster._checks import check_choice, check_flag, expected
from captum_cluster.data.annotations import read_annotation
from captum_cluster.data.boxes import LabelledBox
from captum_cluster.data.images import load_index_mask
from captum_cluster.data.listing import existing_file, existing_folder
from captum_cluster.data.reading import read_scene, split_labels
from captum_cluster.data.scene import Scene
from captum_cluster.data.scene_dataset import SceneDataset

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
VOC_IGNORE = 255
_LABEL_OF = {number + 1: number for number in range(len(VOC_CLASSES))}
TASKS = ("segmentation", "detection")
YEARS = tuple(str(year) for year in range(2007, 2013))


class VocScenes(SceneDataset):
    """PASCAL VOC: 20 labels, several in a picture.

    "segmentation": the labels are those of the mask's pixels, 255 is ignored, and the boxes are
    those of ``Annotations`` where a file is there. "detection": labels and boxes are those of
    ``Annotations``.

    VOC counts pixels from 1 and includes the last one: (xmin, ymin, xmax, ymax) is the box
    (xmin - 1, ymin - 1, xmax, ymax).

    Args:
        root: The folder that holds ``VOCdevkit/VOC<year>``, as for torchvision.
        year: "2007" to "2012".
        image_set: "train", "val", "trainval", and for 2007 "test".
        task: "segmentation" or "detection".
        difficult: Whether objects marked as difficult count as annotated. VOC leaves them out of
            its own evaluation. The pixels of a mask are not marked, so they always count.
        download: Whether torchvision downloads the dataset.

    Raises:
        TypeError: An argument is of another type.
        OSError: The folder or the list of the set is not there.
        ValueError: An argument is outside its range.

    References:
        Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 2010.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        year: str = "2012",
        image_set: str = "val",
        task: str = "segmentation",
        difficult: bool = False,
        download: bool = False,
    ) -> None:
        folder = Path(root) if check_flag("download", download) else existing_folder("root", root)
        check_choice("year", year, YEARS)
        sets = ("train", "val", "trainval", *(("test",) if year == "2007" else ()))
        check_choice("image_set", image_set, sets)
        self.task = check_choice("task", task, TASKS)
        self.difficult = check_flag("difficult", difficult)
        kind = VOCSegmentation if task == "segmentation" else VOCDetection
        source = _open_voc(kind, folder, year, image_set, download)
        self.files = [Path(file) for file in source.images]
        self._targets = [Path(file) for file in source.targets]
        self.classes = list(VOC_CLASSES)

    def __len__(self) -> int:
        return len(self.files)

    def _scene(self, index: int) -> Scene:
        if self.task == "segmentation":
            notes = self.files[index].parents[1] / "Annotations"
            return _from_mask(
                self.files[index],
                self._targets[index],
                self._boxes(notes / f"{self.files[index].stem}.xml"),
            )
        file, boxes = self.files[index], self._boxes(self._targets[index], needed=True)
        labels = {box[0] for box in boxes or ()}
        return read_scene(file, labels, len(VOC_CLASSES), name=file.stem, boxes=boxes)

    def _labels(self, index: int) -> list[int]:
        if self.task == "segmentation":
            return sorted(split_labels(load_index_mask(self._targets[index]), _LABEL_OF))
        boxes = self._boxes(self._targets[index], needed=True)
        return sorted({box[0] for box in boxes or ()})

    def _boxes(self, path: Path, *, needed: bool = False) -> list[LabelledBox] | None:
        """Return the boxes in an annotation, counted from 0; None where there is no file."""
        if not needed and not path.is_file():
            return None
        boxes = []
        for item in read_annotation(existing_file("the annotation", path)).objects:
            if item.name not in VOC_CLASSES:
                got = f"{item.name!r} ({str(path)!r})"
                raise ValueError(expected("the object's name", "one of VOC's classes", got))
            if self.difficult or not item.difficult:
                x0, y0, x1, y1 = item.box
                boxes.append((VOC_CLASSES.index(item.name), x0 - 1, y0 - 1, x1, y1))
        return boxes


class SbdScenes(SceneDataset):
    """The Semantic Boundaries Dataset: more VOC pictures with masks, 20 labels.

    Args:
        root: The folder with ``img``, ``cls`` and the lists, as for torchvision.
        image_set: "train", "val", "train_noval" (without VOC 2012's validation pictures), or
            "train_aug" where the folder has the list ``train_aug.txt``: a name, or the paths of
            picture and mask, in each line.
        download: Whether torchvision downloads the dataset.

    Raises:
        TypeError: An argument is of another type.
        OSError: The folder or the list of the set is not there.
        ValueError: An argument is outside its range.

    References:
        Hariharan et al., Semantic Contours from Inverse Detectors, ICCV 2011.
    """

    SETS = ("train", "val", "train_noval", "train_aug")

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        image_set: str = "train_noval",
        download: bool = False,
    ) -> None:
        folder = Path(root) if check_flag("download", download) else existing_folder("root", root)
        check_choice("image_set", image_set, self.SETS)
        if image_set == "train_aug":
            names = _listed(existing_file("the list", folder / "train_aug.txt"))
        else:
            if not download:
                existing_file("the list", folder / f"{image_set}.txt")
            source = SBDataset(folder, image_set, mode="segmentation", download=download)
            names = [Path(file).stem for file in source.images]
        self.files = [folder / "img" / f"{name}.jpg" for name in names]
        self._targets = [folder / "cls" / f"{name}.mat" for name in names]
        self.classes = list(VOC_CLASSES)

    def __len__(self) -> int:
        return len(self.files)

    def _scene(self, index: int) -> Scene:
        return _from_mask(self.files[index], self._targets[index], None)

    def _labels(self, index: int) -> list[int]:
        return sorted(split_labels(_load_mask(self._targets[index]), _LABEL_OF))


def _open_voc(kind: type, root: Path, year: str, image_set: str, download: bool) -> Any:
    """Return torchvision's dataset, which lists the files."""
    try:
        return kind(root, year=year, image_set=image_set, download=download)
    except RuntimeError as error:  # "Dataset not found or corrupted"
        what = f"the folder that holds VOCdevkit/VOC{year}"
        raise FileNotFoundError(expected("root", what, repr(str(root)))) from error
    except FileNotFoundError as error:
        what = f"a folder with the list of {image_set!r}"
        got = f"{str(root)!r} without {error.filename!r}"
        raise FileNotFoundError(expected("root", what, got)) from error


def _listed(path: Path) -> list[str]:
    """Return the names in a list whose lines begin with a name or a path."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Path(line.split()[0]).stem for line in lines if line.strip()]


def _load_mask(path: Path) -> NDArray[np.int64]:
    """Return the index mask (H,W) of a picture, from VOC's PNG or SBD's MATLAB file."""
    if path.suffix != ".mat":
        return load_index_mask(path)
    from scipy.io import loadmat

    existing_file("the mask", path)
    try:
        return np.asarray(loadmat(path)["GTcls"][0]["Segmentation"][0], dtype=np.int64)
    except Exception as error:  # the reader lets almost anything out of a damaged file
        got = f"{str(path)!r}: {error}"
        raise ValueError(expected("the mask", "a MATLAB file in the form of SBD", got)) from error


def _from_mask(file: Path, mask: Path, boxes: Sequence[LabelledBox] | None) -> Scene:
    """Return the scene whose labels are those of the mask's pixels."""
    index = _load_mask(mask)
    masks = split_labels(index, _LABEL_OF)
    return read_scene(
        file,
        masks,
        len(VOC_CLASSES),
        name=file.stem,
        masks=masks,
        ignore=torch.from_numpy(index == VOC_IGNORE),
        boxes=None if boxes is None else [box for box in boxes if box[0] in masks],
    )
