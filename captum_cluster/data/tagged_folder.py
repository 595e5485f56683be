"""Pictures in a folder, and a table of their tags."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from captum_cluster._checks import expected
from captum_cluster.data.listing import existing_file, existing_folder, some_images, unique_names
from captum_cluster.data.picture_file import PictureFile
from captum_cluster.data.reading import read_scene
from captum_cluster.data.scene import Scene
from captum_cluster.data.scene_dataset import SceneDataset
from captum_cluster.data.tables import Row, read_table

COLUMNS = ("image_name", "tags")


class TaggedFolder(SceneDataset):
    r"""Pictures with several labels each and no known places, as in Planet's Amazon challenge.

    Args:
        images: The folder of the pictures.
        table: A CSV file with the columns ``image_name`` (the path below ``images``, with or
            without suffix) and ``tags`` (separated by spaces). The scenes are its rows.
        classes: The names of the labels, in order. Default: all tags, in alphabetic order.

    Raises:
        TypeError: An argument is of another type.
        OSError: The folder or the table is not there.
        ValueError: The folder or the table is empty, or a row names no picture of the folder, one
            twice, or a tag outside ``classes``; the message names it.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     Image.new("RGB", (4, 4)).save(Path(root, "train_0.jpg"))
        ...     _ = Path(root, "tags.csv").write_text("image_name,tags\ntrain_0,haze primary\n")
        ...     dataset = TaggedFolder(root, Path(root, "tags.csv"))
        ...     dataset.classes, dataset[0].name, dataset[0].present
        (['haze', 'primary'], 'train_0', [0, 1])
    """

    def __init__(
        self,
        images: str | os.PathLike[str],
        table: str | os.PathLike[str],
        *,
        classes: Sequence[str] | None = None,
    ) -> None:
        folder = self.root = existing_folder("images", images)
        path = existing_file("table", table)
        known = _by_name(folder)
        rows = list(read_table(path, COLUMNS))
        if not rows:
            got = f"{str(path)!r} without any"
            raise ValueError(expected("the table", "a CSV file with rows", got))
        self.files = [_picture(row, known) for row in rows]
        _check_once(rows, self.files)
        self._names = unique_names(self.files, folder)
        tags = [row["tags"].split() for row in rows]
        self.classes = sorted({tag for own in tags for tag in own})
        if classes is not None:
            self.classes = list(classes)
        self._present = [
            _numbers(row, own, self.classes) for row, own in zip(rows, tags, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.files)

    def _scene(self, index: int) -> Scene:
        return read_scene(
            self.files[index],
            self._present[index],
            len(self.classes),
            name=self._names[index],
            upright=True,
        )

    def _labels(self, index: int) -> list[int]:
        return self._present[index]

    def _picture(self, index: int) -> PictureFile:
        return PictureFile(self.files[index], self.root, upright=True)


def _by_name(folder: Path) -> dict[str, Path]:
    """Return the pictures by their path with, and without, suffix."""
    files = some_images("images", folder)
    short = {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}
    return short | {file.relative_to(folder).as_posix(): file for file in files}


def _picture(row: Row, known: dict[str, Path]) -> Path:
    name = row["image_name"]
    if name not in known:
        got = f"{name!r} ({row.place})"
        raise ValueError(expected("image_name", "a picture in the folder", got))
    return known[name]


def _check_once(rows: Sequence[Row], files: Sequence[Path]) -> None:
    seen: set[Path] = set()
    for row, file in zip(rows, files, strict=True):
        if file in seen:
            got = f"{row['image_name']!r} again ({row.place})"
            raise ValueError(expected("image_name", "in the table once", got))
        seen.add(file)


def _numbers(row: Row, tags: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the labels of a row's tags."""
    label_of = {name: label for label, name in enumerate(classes)}
    unknown = [tag for tag in tags if tag not in label_of]
    if unknown:
        raise ValueError(expected("tags", "among the classes", f"{unknown[0]!r} ({row.place})"))
    return sorted({label_of[tag] for tag in tags})
