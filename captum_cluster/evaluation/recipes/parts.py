"""Datasets made of others: some scenes and labels of them, or scenes that are kept in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from captum_cluster.data import PictureFile, Scene, SceneDataset


class Part(SceneDataset):
    """Some of the scenes of a dataset, with some of its labels, or with groups of them.

    Args:
        source: The dataset.
        indices: Those of the scenes, in the order wanted; None: all.
        labels: Of each label of the source the label here, -1 for none; several may become one,
            which then has the places of all. None: as in the source.
        classes: The names of the labels here.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> part = Part(DigitScenes(9), [4, 2], labels=[0] * 5 + [1] * 5, classes=["low", "high"])
        >>> len(part), tuple(part[0].masks.shape)
        (2, (2, 64, 64))
    """

    def __init__(
        self,
        source: SceneDataset,
        indices: Sequence[int] | None = None,
        *,
        labels: Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.source = source
        self.indices = list(range(len(source)) if indices is None else indices)
        self.label_of = None if labels is None else [int(label) for label in labels]
        self.classes = list(source.classes if classes is None else classes)

    def __len__(self) -> int:
        return len(self.indices)

    def _scene(self, index: int) -> Scene:
        scene = self.source[self.indices[index]]
        return scene if self.label_of is None else self._renamed(scene, self.label_of)

    def _labels(self, index: int) -> list[int]:
        found = self.source.labels_of(self.indices[index])
        if self.label_of is not None:
            found = sorted({self.label_of[label] for label in found} - {-1})
        return found

    def _picture(self, index: int) -> PictureFile | None:
        return self.source.picture_of(self.indices[index])

    def _renamed(self, scene: Scene, label_of: Sequence[int]) -> Scene:
        labels = torch.zeros(len(self.classes), dtype=torch.bool)
        labels[sorted({label_of[label] for label in scene.present} - {-1})] = True
        boxes = scene.boxes
        if boxes is not None:
            boxes = tuple((label_of[one[0]], *one[1:]) for one in boxes if label_of[one[0]] >= 0)
        return replace(scene, labels=labels, masks=self._masks(scene, label_of), boxes=boxes)

    def _masks(self, scene: Scene, label_of: Sequence[int]) -> Any:
        """Return the pixels of each label here, in the form that the scene has."""
        if scene.masks is None:
            return None
        found: dict[int, Tensor] = {}
        for old in scene.present:
            new = label_of[old]
            if new >= 0:
                found[new] = scene.mask(old) | found.get(new, torch.tensor(False))
        if isinstance(scene.masks, Mapping):
            return found
        dense = torch.zeros(len(self.classes), *scene.size, dtype=torch.bool)
        for new, mask in found.items():
            dense[new] = mask
        return dense


class Kept(SceneDataset):
    """The scenes of a dataset, each asked for once: images and labels without any places.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> scenes = Kept(DigitScenes(3))
        >>> scenes[1] is scenes[1], scenes[1].masks
        (True, None)
    """

    memos = ("_kept",)

    def __init__(self, source: SceneDataset) -> None:
        self.source = source
        self.classes = source.classes
        self._kept: dict[int, Scene] = {}

    def __len__(self) -> int:
        return len(self.source)

    def _scene(self, index: int) -> Scene:
        if index not in self._kept:
            scene = self.source[index]
            self._kept[index] = Scene(scene.image, scene.labels, name=scene.name)
        return self._kept[index]

    def _labels(self, index: int) -> list[int]:
        return self._scene(index).present

    def _picture(self, index: int) -> PictureFile | None:
        return self.source.picture_of(index)


class Joined(SceneDataset):
    """The scenes of several datasets of the same labels, one dataset after the other.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> both = Joined([DigitScenes(2), DigitScenes(3, seed=1)])
        >>> len(both), both[2].name
        (5, 'train-1-0')
    """

    def __init__(self, sources: Sequence[SceneDataset]) -> None:
        self.sources = list(sources)
        self.classes = list(self.sources[0].classes)

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def place(self, index: int) -> tuple[SceneDataset, int]:
        """Return the dataset that a scene is of, and its index there."""
        for source in self.sources:
            if index < len(source):
                return source, index
            index -= len(source)
        raise IndexError(index)

    def _scene(self, index: int) -> Scene:
        source, number = self.place(index)
        return source[number]

    def _labels(self, index: int) -> list[int]:
        source, number = self.place(index)
        return source.labels_of(number)

    def _picture(self, index: int) -> PictureFile | None:
        source, number = self.place(index)
        return source.picture_of(number)
