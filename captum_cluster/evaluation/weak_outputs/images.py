"""The images of a run: pictures without labels, datasets, and what these know of the files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captum_cluster._checks import expected
from captum_cluster.data import CocoScenes, PictureFile, Scene, SceneDataset
from captum_cluster.data.listing import unique_names
from captum_cluster.data.reading import read_scene
from captum_cluster.evaluation.ablation import find_images
from captum_cluster.evaluation.recipes.parts import Joined, Kept, Part

PathLike = str | os.PathLike[str]
Images = SceneDataset | Sequence[Scene] | PathLike | Sequence[PathLike]


class Pictures(SceneDataset):
    """Picture files of which nothing is known, upright.

    A run over them goes on when there are more, fewer or others below the same folder.

    A scene's name is the path below the folder that all have in common, without suffix; with it
    where two would be the same. A file that is named twice is one scene.

    Args:
        paths: Files and folders.

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: There is none, or a folder holds no picture.
    """

    def __init__(self, paths: Sequence[PathLike]) -> None:
        if not paths:
            raise ValueError(expected("the images", "at least one file or folder", "none"))
        known = [Path(os.path.abspath(path)) for path in paths]
        self.files = list(dict.fromkeys(find_images(known)))
        self.root = Path(os.path.commonpath([_folder(path) for path in known]))
        self.classes = []
        self.names = unique_names(self.files, self.root)

    def __len__(self) -> int:
        return len(self.files)

    def facts(self) -> dict[str, Any]:
        """Return what results depend on beside the pictures, which may come and go."""
        return {"root": self.root}

    def _scene(self, index: int) -> Scene:
        return read_scene(self.files[index], [], 0, name=self.names[index], upright=True)

    def _labels(self, index: int) -> list[int]:
        return []

    def _picture(self, index: int) -> PictureFile:
        return PictureFile(self.files[index], self.root, upright=True)


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def as_dataset(images: Images) -> Any:
    """Return a dataset: the one given, or one of the pictures at the paths given.

    Raises:
        OSError: As ``Pictures``.
        ValueError: As ``Pictures``.
    """
    if isinstance(images, (str, os.PathLike)):
        return Pictures([images])
    if isinstance(images, (list, tuple)) and all(
        isinstance(one, (str, os.PathLike)) for one in images
    ):
        return Pictures(images)
    return images


def with_places(dataset: SceneDataset) -> SceneDataset:
    """Return a dataset as it was before it was kept in memory without its places."""
    return with_places(dataset.source) if isinstance(dataset, Kept) else dataset


def picture_of(dataset: Any, position: int) -> PictureFile | None:
    """Return the file of an image's picture, where there is one."""
    return dataset.picture_of(position) if isinstance(dataset, SceneDataset) else None


def content_of(file: Path) -> str | None:
    """Return a digest of what a file holds, None where it cannot be read.

    Not of its times: they change when it is copied, and a copy may keep them.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a").write_bytes(b"one"), Path(folder, "b").write_bytes(b"one")
        ...     content_of(Path(folder, "a")) == content_of(Path(folder, "b"))
        True
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError:
        return None


def coco_source(dataset: Any, position: int) -> tuple[CocoScenes, int] | None:
    """Return the COCO data set, with the labels as they are, that an image is of, and its index."""
    while not isinstance(dataset, CocoScenes):
        if isinstance(dataset, Joined):
            dataset, position = dataset.place(position)
        elif isinstance(dataset, Part) and dataset.label_of is None:
            dataset, position = dataset.source, dataset.indices[position]
        elif isinstance(dataset, Kept):
            dataset = dataset.source
        else:
            return None
    return dataset, position
