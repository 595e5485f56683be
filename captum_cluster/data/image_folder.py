"""Pictures in a folder for each class, with boxes from a table where there is one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from captum_cluster._checks import check_integer, expected
from captum_cluster.data.boxes import LabelledBox
from captum_cluster.data.listing import existing_file, existing_folder, some_images, unique_names
from captum_cluster.data.picture_file import PictureFile
from captum_cluster.data.reading import read_scene
from captum_cluster.data.scene import Scene
from captum_cluster.data.scene_dataset import SceneDataset
from captum_cluster.data.tables import Row, read_table

CORNERS = ("x0", "y0", "x1", "y1")
COLUMNS = ("file", "class_index", *CORNERS)
N_IMAGENET = 1000
WORDNET_ID = re.compile(r"n\d{8}")


class ImageFolder(SceneDataset):
    """The pictures in a folder that has a folder for each class.

    Without a table the labels are the class folders in alphabetic order, as in torchvision, and
    nothing is known of the places; a model trained on other classes, or in another order, needs the
    table for its labels. A table of boxes is a CSV file with the columns ``file`` (below
    ``root``), ``class_index``, ``x0``, ``y0``, ``x1``, ``y1`` (pixels of the stored picture), one
    row for each box; its ``class_index`` is the label. A picture without a row gets the label of
    the others in its folder and has no ground truth; a row with empty corners tells a label alone.

    Args:
        root: The folder.
        boxes: The table, or None.
        num_labels: L. Default: the number of class folders; with a table 1000 where all class
            folders are WordNet ids (ImageNet), else the largest ``class_index`` + 1.
        classes: Names of the L labels. Default: ImageNet's for WordNet ids, else the folders'.

    Raises:
        TypeError: An argument is of another type.
        OSError: The folder or the table is not there.
        ValueError: The folder holds no pictures, or the table does not belong to it; the message
            names the row.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("cat", "dog"):
        ...         Path(root, name).mkdir()
        ...         Image.new("RGB", (4, 4)).save(Path(root, name, "1.png"))
        ...     dataset = ImageFolder(root)
        ...     dataset.classes, [(scene.name, scene.present) for scene in dataset]
        (['cat', 'dog'], [('cat/1', [0]), ('dog/1', [1])])
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        boxes: str | os.PathLike[str] | None = None,
        *,
        num_labels: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.root = existing_folder("root", root)
        table = None if boxes is None else existing_file("boxes", boxes)
        if num_labels is not None:
            check_integer("num_labels", num_labels, 1)
        files = some_images("root", self.root)
        if table is None:
            files = [file for file in files if file.parent != self.root]
            found = _from_folders(self.root, files)
        else:
            found = _from_table(self.root, files, _limited(self.root, files, num_labels), table)
        self.files, self._entries = files, found
        self._names = unique_names(files, self.root)
        known = _folder_names(self.root, files, found)
        self.classes = _class_names(known, num_labels, classes, table is not None)

    def __len__(self) -> int:
        return len(self.files)

    def _scene(self, index: int) -> Scene:
        entry = self._entries[index]
        return read_scene(
            self.files[index],
            entry.labels,
            len(self.classes),
            name=self._names[index],
            upright=entry.boxes is None,
            boxes=entry.boxes,
        )

    def _labels(self, index: int) -> list[int]:
        return sorted(self._entries[index].labels)

    def _picture(self, index: int) -> PictureFile:
        upright = self._entries[index].boxes is None
        return PictureFile(self.files[index], self.root, upright)


@dataclass
class _Entry:
    """What is known of one picture; ``boxes`` is None where no table is there."""

    labels: set[int] = field(default_factory=set)
    boxes: list[LabelledBox] | None = None


def _class_folder(root: Path, file: Path) -> str:
    """Return the name of the class folder that a picture lies in, "" for ``root`` itself."""
    parts = file.relative_to(root).parts
    return parts[0] if len(parts) > 1 else ""


def _class_folders(root: Path, files: Iterable[Path]) -> list[str]:
    return sorted({_class_folder(root, file) for file in files})


def _from_folders(root: Path, files: Sequence[Path]) -> list[_Entry]:
    if not files:
        got = f"{str(root)!r}, where pictures lie outside any folder"
        raise ValueError(expected("root", "a folder with a folder of pictures for each class", got))
    label_of = {name: label for label, name in enumerate(_class_folders(root, files))}
    return [_Entry({label_of[_class_folder(root, file)]}) for file in files]


def _limited(root: Path, files: Sequence[Path], num_labels: int | None) -> int | None:
    """Return how many labels a table may name, None for no limit."""
    if num_labels is None and _is_imagenet(_class_folders(root, files)):
        return N_IMAGENET
    return num_labels


def _is_imagenet(folders: Iterable[str]) -> bool:
    return all(WORDNET_ID.fullmatch(name) for name in folders)


def _from_table(root: Path, files: Sequence[Path], limit: int | None, table: Path) -> list[_Entry]:
    entries = {file.relative_to(root).as_posix(): _Entry(boxes=[]) for file in files}
    for row in read_table(table, COLUMNS):
        _add(row, entries, limit)
    _complete(root, files, entries, table)
    return list(entries.values())


def _add(row: Row, entries: dict[str, _Entry], limit: int | None) -> None:
    """Put a row to its picture."""
    entry = entries.get(PurePosixPath(row["file"].replace("\\", "/")).as_posix())
    if entry is None or entry.boxes is None:
        got = f"{row['file']!r} ({row.place})"
        raise ValueError(expected("file", "a picture below root", got))
    label = row.integer("class_index", None if limit is None else limit - 1)
    entry.labels.add(label)
    if any(row[side] for side in CORNERS):
        x0, y0, x1, y1 = (row.number(side) for side in CORNERS)
        entry.boxes.append((label, x0, y0, x1, y1))


def _complete(root: Path, files: Sequence[Path], entries: dict[str, _Entry], table: Path) -> None:
    """Give pictures without a row the label of their folder."""
    labels: dict[str, set[int]] = {}
    for file, entry in zip(files, entries.values(), strict=True):
        labels.setdefault(_class_folder(root, file), set()).update(entry.labels)
    for file, entry in zip(files, entries.values(), strict=True):
        folder = _class_folder(root, file)
        if not entry.labels and len(labels[folder]) != 1:
            what = f"to give the label of {file.relative_to(root).as_posix()!r}"
            found = sorted(labels[folder])
            got = f"no row for it, and the labels {found} in its folder ({str(table)!r})"
            raise ValueError(expected("the table of boxes", what, got))
        entry.labels = entry.labels or set(labels[folder])


def _folder_names(root: Path, files: Sequence[Path], entries: Sequence[_Entry]) -> dict[int, str]:
    """Return the class folder of each label, "" where several hold it."""
    names: dict[int, set[str]] = {}
    for file, entry in zip(files, entries, strict=True):
        for label in entry.labels:
            names.setdefault(label, set()).add(_class_folder(root, file))
    return {label: next(iter(own)) if len(own) == 1 else "" for label, own in names.items()}


def _class_names(
    known: dict[int, str],
    num_labels: int | None,
    classes: Sequence[str] | None,
    from_table: bool,
) -> list[str]:
    """Return the names of all labels."""
    imagenet = from_table and _is_imagenet(known.values())
    length = max(known) + 1 if num_labels is None else num_labels
    if imagenet and num_labels is None:
        length = N_IMAGENET
    if length <= max(known):
        what = f"at least the number of class folders ({max(known) + 1})"
        raise ValueError(expected("num_labels", what, length))
    if classes is not None:
        if len(classes) != length:
            got = f"{len(classes)} names"
            raise ValueError(expected("classes", f"the names of {length} labels", got))
        return list(classes)
    if imagenet and length == N_IMAGENET:
        return imagenet_names()
    return [known.get(label) or f"label {label}" for label in range(length)]


def imagenet_names() -> list[str]:
    """Return the names of ImageNet's 1000 classes, in the order of the models' outputs.

    Example:
        >>> names = imagenet_names()
        >>> len(names), names[0], names[701]
        (1000, 'tench', 'parachute')
    """
    from torchvision.models import ResNet18_Weights

    return list(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
