"""Pictures, and index masks of the same names in another folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captum_cluster._checks import check_integer, describe, expected
from captum_cluster.data.images import load_index_mask
from captum_cluster.data.listing import existing_folder, some_images, unique_names
from captum_cluster.data.reading import read_scene, split_labels
from captum_cluster.data.scene import Scene
from captum_cluster.data.scene_dataset import SceneDataset


class MaskFolder(SceneDataset):
    """Pictures with masks whose numbers are classes: 0 is unlabelled, one number is ignored.

    The scenes are those of the masks; pictures without a mask are left out. Picture and mask have
    the same path below their folder, up to the suffix.

    Args:
        images: The folder of the pictures.
        masks: The folder of the masks: grey or palette PNGs of the pictures' sizes.
        ignore_index: The number of pixels that are not judged; None for none.
        classes: The names of the labels: a sequence for the numbers 1, 2, ...; or a mapping from
            number to name, labels in the order of the numbers. Default: all numbers that occur,
            for which every mask is read once.
        things: The numbers whose pixels are ``objects``. Default: all.

    Raises:
        TypeError: An argument is of another type.
        OSError: A folder is not there.
        ValueError: A folder holds no pictures, or a mask has no picture.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ("images", "masks"):
        ...         Path(root, folder).mkdir()
        ...     Image.new("RGB", (4, 4)).save(Path(root, "images", "a.png"))
        ...     Image.new("L", (4, 4), 7).save(Path(root, "masks", "a.png"))
        ...     dataset = MaskFolder(Path(root, "images"), Path(root, "masks"))
        ...     dataset.classes, dataset[0].name, int(dataset[0].region(0).sum())
        (['7'], 'a', 16)
    """

    def __init__(
        self,
        images: str | os.PathLike[str],
        masks: str | os.PathLike[str],
        *,
        ignore_index: int | None = 255,
        classes: Sequence[str] | Mapping[int, str] | None = None,
        things: Collection[int] | None = None,
    ) -> None:
        if ignore_index is not None:
            check_integer("ignore_index", ignore_index, 1)
        pictures = self.root = existing_folder("images", images)
        targets = existing_folder("masks", masks)
        self._targets = some_images("masks", targets)
        self.files = _pictures_of(self._targets, targets, pictures)
        self._names = unique_names(self.files, pictures)
        self.ignore_index = ignore_index
        if classes is None:
            classes = {number: str(number) for number in self._occurring()}
        named = _named(classes)
        self.classes = list(named.values())
        self._label_of = {number: label for label, number in enumerate(named)}
        self._things = None if things is None else frozenset(things)

    def __len__(self) -> int:
        return len(self.files)

    def _scene(self, index: int) -> Scene:
        numbers = self._numbers(index)
        masks = split_labels(numbers, self._label_of)
        ignored = self.ignore_index is not None
        return read_scene(
            self.files[index],
            masks,
            len(self.classes),
            name=self._names[index],
            masks=masks,
            ignore=torch.from_numpy(numbers == self.ignore_index) if ignored else None,
            objects=self._objects(masks),
        )

    def _labels(self, index: int) -> list[int]:
        return sorted(split_labels(self._numbers(index), self._label_of))

    def _objects(self, masks: Mapping[int, Tensor]) -> Tensor | None:
        """Return the pixels of the things; None where all labels are."""
        if self._things is None or not masks:
            return None
        chosen = {self._label_of[number] for number in self._things if number in self._label_of}
        size = next(iter(masks.values())).shape
        found = [mask for label, mask in masks.items() if label in chosen]
        return torch.stack(found) if found else torch.zeros(0, *size, dtype=torch.bool)

    def _numbers(self, index: int) -> NDArray[np.int64]:
        """Return a mask (H,W) whose numbers are all known."""
        numbers = load_index_mask(self._targets[index])
        known = {0, self.ignore_index, *self._label_of}
        unknown = sorted({int(number) for number in np.unique(numbers)} - known)
        if unknown:
            what = "to have only the numbers of the classes"
            raise ValueError(
                expected("the mask", what, f"{unknown} in {str(self._targets[index])!r}")
            )
        return numbers

    def _occurring(self) -> list[int]:
        """Return the numbers in all masks that can be read."""
        found: set[int] = set()
        for target in self._targets:
            # A damaged file is told of when its scene is asked for, as everywhere.
            with contextlib.suppress(ValueError, OSError):
                found |= {int(number) for number in np.unique(load_index_mask(target))}
        return sorted(found - {0, self.ignore_index})


def _pictures_of(targets: Sequence[Path], root: Path, pictures: Path) -> list[Path]:
    """Return the picture of each mask."""
    found = {
        file.relative_to(pictures).with_suffix("").as_posix(): file
        for file in some_images("images", pictures)
    }
    names = [target.relative_to(root).with_suffix("").as_posix() for target in targets]
    missing = [name for name in names if name not in found]
    if missing:
        what = "a folder with a picture for each mask"
        raise ValueError(expected("images", what, f"{str(pictures)!r} without {missing[0]!r}"))
    return [found[name] for name in names]


def _named(classes: Sequence[str] | Mapping[int, str]) -> dict[int, str]:
    """Return the name of each number, by number."""
    if isinstance(classes, Mapping):
        return {check_integer("classes", key, 1): classes[key] for key in sorted(classes)}
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        what = "a sequence of names, or a mapping from number to name"
        raise TypeError(expected("classes", what, describe(classes)))
    return {number + 1: name for number, name in enumerate(classes)}
