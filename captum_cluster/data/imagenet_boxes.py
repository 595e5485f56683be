"""ImageNet's validation pictures with their boxes."""

from __future__ import annotations

import os
from pathlib import Path

from captum_cluster._checks import check_choice, expected
from captum_cluster.data.annotations import read_annotation
from captum_cluster.data.image_folder import N_IMAGENET, ImageFolder
from captum_cluster.data.listing import existing_folder, some_images, unique_names
from captum_cluster.data.picture_file import PictureFile
from captum_cluster.data.reading import read_scene
from captum_cluster.data.scene import Scene
from captum_cluster.data.scene_dataset import SceneDataset

SPLITS = ("val", "train")
SYNSETS = "LOC_synset_mapping.txt"


class ImageNetBoxes(SceneDataset):
    """ImageNet pictures, their class, and the boxes of its objects: 1000 labels.

    Two layouts are read:

    * ``<split>/<WordNet id>/*.JPEG`` and ``<split>_boxes.csv``, the table of ``ImageFolder``;
    * the localisation challenge's own, as Kaggle packs it (with or without the folder ``ILSVRC``):
      ``Data/CLS-LOC/<split>``, ``Annotations/CLS-LOC/<split>``, and ``LOC_synset_mapping.txt``,
      whose lines are the labels in order. The class of a picture is that of its objects. Boxes are
      taken as they are written; where a file names another size than the picture's they are scaled.

    Args:
        root: The folder with one of the two layouts.
        split: "val" or "train".

    Raises:
        TypeError: An argument is of another type.
        OSError: The folder is not there.
        ValueError: It has neither layout, or one that is incomplete.

    References:
        Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015.
    """

    def __init__(self, root: str | os.PathLike[str], *, split: str = "val") -> None:
        folder = existing_folder("root", root)
        check_choice("split", split, SPLITS)
        self._source = _open(folder, split)
        self.classes = self._source.classes

    def __len__(self) -> int:
        return len(self._source)

    def _scene(self, index: int) -> Scene:
        return self._source[index]

    def _labels(self, index: int) -> list[int]:
        return self._source.labels_of(index)

    def _picture(self, index: int) -> PictureFile | None:
        return self._source.picture_of(index)


def _open(root: Path, split: str) -> SceneDataset:
    """Return the reader of the layout that is there."""
    table = root / f"{split}_boxes.csv"
    if table.is_file() and (root / split).is_dir():
        return ImageFolder(root / split, table, num_labels=N_IMAGENET)
    for base in (root, root / "ILSVRC"):
        if (base / "Data" / "CLS-LOC" / split).is_dir():
            return _Challenge(root, base, split)
    what = f"a folder with {split}/ and {split}_boxes.csv, or with Data/CLS-LOC/{split}"
    raise ValueError(expected("root", what, f"{str(root)!r} without them"))


class _Challenge(SceneDataset):
    """The layout of the localisation challenge."""

    def __init__(self, root: Path, base: Path, split: str) -> None:
        images = self.root = base / "Data" / "CLS-LOC" / split
        notes = existing_folder("annotations", base / "Annotations" / "CLS-LOC" / split)
        synsets = _read_synsets(_mapping(root, base))
        self.classes = [name for _, name in synsets]
        self._label_of = {synset: label for label, (synset, _) in enumerate(synsets)}
        self.files = some_images("root", images)
        self._names = unique_names(self.files, images)
        self._notes = [notes / file.relative_to(images).with_suffix(".xml") for file in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def _scene(self, index: int) -> Scene:
        annotation = read_annotation(self._notes[index])
        boxes = [(self._label(item.name, index), *item.box) for item in annotation.objects]
        return read_scene(
            self.files[index],
            self._labels(index),
            len(self.classes),
            name=self._names[index],
            boxes=boxes,
            annotated_size=annotation.size,
        )

    def _labels(self, index: int) -> list[int]:
        objects = read_annotation(self._notes[index]).objects
        if not objects:
            got = f"{str(self._notes[index])!r} without any"
            raise ValueError(expected("the annotation", "one with objects", got))
        return sorted({self._label(item.name, index) for item in objects})

    def _label(self, synset: str, index: int) -> int:
        if synset not in self._label_of:
            got = f"{synset!r} ({str(self._notes[index])!r})"
            raise ValueError(expected("the object's name", f"a line of {SYNSETS}", got))
        return self._label_of[synset]


def _mapping(root: Path, base: Path) -> Path:
    for folder in (root, base):
        if (folder / SYNSETS).is_file():
            return folder / SYNSETS
    got = f"{str(root)!r} without it"
    raise FileNotFoundError(expected("root", f"a folder with {SYNSETS}", got))


def _read_synsets(path: Path) -> list[tuple[str, str]]:
    """Return the WordNet id and the first name of each class."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    return [(pair[0], pair[-1].split(",")[0].strip()) for pair in pairs]
