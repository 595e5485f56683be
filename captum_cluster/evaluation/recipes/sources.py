"""The images of a training: to learn from, to watch it with, and to judge at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from captum_cluster._checks import check_integer, describe, expected
from captum_cluster.data import (
    DigitScenes,
    ImageFolder,
    ImageNetBoxes,
    Preparation,
    SceneDataset,
    imagenet_names,
    open_dataset,
)
from captum_cluster.data.opening import KINDS
from captum_cluster.evaluation.recipes.parts import Kept, Part

DIGITS = "digits"
DIGIT_SCENES, WATCHING_SCENES, TEST_SCENES = 4800, 200, 200
LARGEST_SEED = 2**32 - 1
SHARE = 10
"""One image of so many watches, and one is judged, where the data have no parts of their own."""

# Larger than any seed of a training, so that no training learns from the scenes that watch it.
_WATCHING_SEED = LARGEST_SEED + 1
_TEST_SEED, _SHARE_SEED = 12, 0
_SPLITS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "voc": ({"image_set": "train"}, {"image_set": "val"}),
    "sbd": ({"image_set": "train"}, {"image_set": "val"}),
    "cub": ({"split": "train"}, {"split": "test"}),
}
"""Of each kind of data that has parts: the options of the training images and of those judged."""


@dataclass(frozen=True)
class Sources:
    """The images of a training.

    Attributes:
        train: What the networks learn from.
        watching: What is looked at after each epoch, by schedules and early stopping.
        test: What the networks are judged on at the end, and never before.
        several: Whether an image can have several labels.
        preparation: How scenes become what the networks take.
    """

    train: SceneDataset
    watching: SceneDataset
    test: SceneDataset
    several: bool
    preparation: Preparation

    @property
    def classes(self) -> list[str]:
        """The names of the labels."""
        return self.train.classes


def open_sources(
    data: str,
    *,
    seed: int = 0,
    size: int | None = None,
    crop: bool = False,
    limit: int | None = None,
    test_limit: int | None = None,
) -> Sources:
    """Return the images of a training: to learn from, to watch it with, and to judge.

    ===========================  ==================================================================
    ``digits``                   Digit scenes: 4800 of the training digits, and of these digits 200
                                 other scenes to watch with; 200 of the test digits to judge
    ``imagenet-boxes:ROOT``      Judged: ``val``. Learned from: ``train``, of which the boxes need
                                 not be known; the labels are the classes in it
    ``folder:ROOT``              Where ROOT has the folders ``train`` and ``val``: those
    ``voc:ROOT``, ``sbd:ROOT``   Their sets ``train`` and ``val``
    ``cub:ROOT``                 Its parts ``train`` and ``test``
    else                         All that ``open_dataset`` takes: of ten images one is judged, drawn
                                 once for all seeds
    ===========================  ==================================================================

    Except with digit scenes one in ten of the training images watches the training instead; which
    ones, and which digit scenes, is the same for all seeds. Data have several labels in an image
    where some image to learn from has not exactly one.

    Args:
        data: One of these.
        seed: Of the training digit scenes, up to 2**32 - 1.
        size: Height and width that images are brought to; None: 224. Digit scenes stay as they
            are.
        crop: Resize the shorter side and cut the middle, instead of squashing.
        limit: Number of images learned from, evenly spread; None: all.
        test_limit: Number of images judged, evenly spread; None: all.

    Raises:
        TypeError: ``data`` is no string.
        OSError: A folder or file is not there.
        ValueError: As ``open_dataset``; or the parts have other classes; or there are too few
            images for three parts.

    Example:
        >>> sources = open_sources("digits", limit=20, test_limit=5)
        >>> len(sources.train), len(sources.test), sources.several
        (20, 5, True)
    """
    check_integer("seed", seed, 0, LARGEST_SEED)
    if is_digits(data):
        return _digits(seed, limit, test_limit)
    kind = _kind(data)
    train, test = _parts(kind, data)
    learned, watching = _shared(train, "images to learn from")
    return Sources(
        _spread(learned, limit),
        watching,
        _spread(test, test_limit),
        _several(kind, train),
        preparation_of(data, size=size, crop=crop),
    )


def preparation_of(data: str, *, size: int | None = None, crop: bool = False) -> Preparation:
    """Return how the scenes of ``open_sources`` become what networks take, the data not opened.

    Example:
        >>> preparation_of("voc:somewhere", size=112).size, preparation_of("digits", size=112).size
        (112, 64)
    """
    if is_digits(data):
        return Preparation(64, mode="none", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    side = 224 if size is None else check_integer("size", size, 1)
    return Preparation(side, mode="center-crop" if crop else "squash", resize=side)


def is_digits(data: object) -> bool:
    """Return whether the data are digit scenes."""
    return isinstance(data, str) and data.strip() == DIGITS


def _kind(data: Any) -> str:
    """Return the kind of data that a line of text names."""
    forms = f"{DIGITS} or one of {', '.join(kind.form for kind in KINDS.values())}"
    if not isinstance(data, str):
        raise TypeError(expected("data", forms, describe(data)))
    kind, colon, _ = data.partition(":")
    if kind.strip() not in KINDS or not colon:
        raise ValueError(expected("data", forms, repr(data)))
    return kind.strip()


def _digits(seed: int, limit: int | None, test_limit: int | None) -> Sources:
    return Sources(
        Kept(DigitScenes(limit or DIGIT_SCENES, seed=seed)),
        Kept(DigitScenes(WATCHING_SCENES, seed=_WATCHING_SEED)),
        DigitScenes(test_limit or TEST_SCENES, split="test", seed=_TEST_SEED),
        True,
        preparation_of(DIGITS),
    )


def _parts(kind: str, data: str) -> tuple[SceneDataset, SceneDataset]:
    """Return the images that are not judged, and those that are."""
    rest = data.partition(":")[2].strip()
    if kind == "imagenet-boxes" and rest and "," not in rest:
        return _imagenet(Path(rest))
    if kind == "folder" and (Path(rest) / "train").is_dir() and (Path(rest) / "val").is_dir():
        parts = tuple(ImageFolder(Path(rest) / name) for name in ("train", "val"))
        _check_same_classes(parts[0].classes, parts[1].classes)
        return parts[0], parts[1]
    if kind in _SPLITS:
        return tuple(open_dataset(data, **options) for options in _SPLITS[kind])  # type: ignore[return-value]
    return _shared(open_dataset(data), "images")


def _check_same_classes(train: Sequence[str], test: Sequence[str]) -> None:
    if list(train) != list(test):
        odd = sorted(set(train) ^ set(test))
        raise ValueError(expected("train and val", "folders of the same classes", f"{odd[0]!r}"))


def _shared(dataset: SceneDataset, what: str) -> tuple[Part, Part]:
    """Return nine in ten of the scenes, and the others, each in their order."""
    if len(dataset) < 2:
        raise ValueError(expected(what, "at least 2", len(dataset)))
    drawn = np.random.default_rng(_SHARE_SEED).permutation(len(dataset))
    count = max(1, len(dataset) // SHARE)
    return Part(dataset, sorted(drawn[count:].tolist())), Part(
        dataset, sorted(drawn[:count].tolist())
    )


def _spread(dataset: SceneDataset, limit: int | None) -> SceneDataset:
    """Return so many scenes, evenly spread."""
    if limit is None or limit >= len(dataset):
        return dataset
    length, count = len(dataset), check_integer("limit", limit, 1)
    return Part(dataset, [number * length // count for number in range(count)])


def _several(kind: str, train: SceneDataset) -> bool:
    if kind in ("imagenet-boxes", "cub"):  # one by definition; told without reading any file
        return False
    return any(len(train.labels_of(index)) != 1 for index in range(len(train)))


def _imagenet(root: Path) -> tuple[SceneDataset, SceneDataset]:
    """Return ImageNet's training and validation images with the labels of the former."""
    test: SceneDataset = ImageNetBoxes(root)
    if not (root / "train").is_dir():  # the challenge's layout, which has all classes
        return ImageNetBoxes(root, split="train"), test
    if (root / "train_boxes.csv").is_file():
        train: SceneDataset = ImageNetBoxes(root, split="train")
        numbers: Sequence[int] = range(len(train.classes))
    else:
        train = ImageFolder(root / "train")
        numbers = _numbers(root, train.classes)
    kept = sorted({numbers[label] for i in range(len(train)) for label in train.labels_of(i)})
    names = [imagenet_names()[number] for number in kept]
    here = {number: label for label, number in enumerate(kept)}
    shown = [index for index in range(len(test)) if here.keys() & set(test.labels_of(index))]
    return (
        Part(train, labels=[here.get(number, -1) for number in numbers], classes=names),
        Part(
            test, shown, labels=[here.get(i, -1) for i in range(len(test.classes))], classes=names
        ),
    )


def _numbers(root: Path, folders: Sequence[str]) -> list[int]:
    """Return the number in ImageNet of each class folder, which the boxes of val tell."""
    judged = ImageFolder(root / "val", root / "val_boxes.csv", num_labels=len(imagenet_names()))
    number_of = {
        file.relative_to(judged.root).parts[0]: label
        for index, file in enumerate(judged.files)
        for label in judged.labels_of(index)
    }
    missing = [name for name in folders if name not in number_of]
    if missing:
        what = "a folder of classes that val has too"
        raise ValueError(expected("train", what, f"one with {missing[0]!r}"))
    return [number_of[name] for name in folders]
