"""Grids: pictures of different classes side by side, where the place of each is known exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from captum_cluster._checks import check_integer, describe, expected
from captum_cluster.data.preparation import Preparation
from captum_cluster.data.scene import Scene
from captum_cluster.data.scene_dataset import SceneDataset


class Grids(SceneDataset):
    """Pictures of different classes, tiled: multi-label scenes made from a single-label dataset.

    The pixels of a label are its whole tile. Which pictures a grid has depends on ``seed``, its
    number, the dataset and ``accept`` alone.

    Args:
        dataset: Scenes with one label each.
        length: Number of grids, at least 0.
        seed: At least 0.
        grid: Tiles in each row and column, at least 1.
        tile: Height and width of a tile in pixels; pictures of another size are squashed to it.
        accept: Which scenes (as tiles) are taken, for example those that a classifier gets right.
            Asked once for each scene, when it is first drawn. None: all.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range, a scene that is asked for has not exactly one
            label, or too few classes have a scene that is accepted.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> scene = Grids(DigitScenes(50, max_digits=1), 10, tile=64)[3]
        >>> tuple(scene.image.shape), [int(scene.mask(n).sum()) for n in scene.present]
        ((3, 128, 128), [4096, 4096, 4096, 4096])

    References:
        Böhle, Fritz, Schiele, Convolutional Dynamic Alignment Networks for Interpretable
        Classifications, CVPR 2021 (the grid pointing game).
    """

    memos = ("_accepted",)

    def __init__(
        self,
        dataset: SceneDataset,
        length: int,
        *,
        seed: int = 0,
        grid: int = 2,
        tile: int = 224,
        accept: Callable[[Scene], bool] | None = None,
    ) -> None:
        if not isinstance(dataset, SceneDataset):
            raise TypeError(expected("dataset", "a dataset of scenes", describe(dataset)))
        if accept is not None and not callable(accept):
            raise TypeError(expected("accept", "a function of a scene, or None", describe(accept)))
        self.dataset, self.accept = dataset, accept
        self.length = check_integer("length", length, 0)
        self.seed = check_integer("seed", seed, 0)
        self.grid = check_integer("grid", grid, 1)
        self.tile = check_integer("tile", tile, 1)
        self.classes = dataset.classes
        self._accepted: dict[int, bool] = {}

    def __len__(self) -> int:
        return self.length

    def sources(self, index: int) -> list[int]:
        """Return the numbers of the pictures in a grid, row by row."""
        rng = np.random.default_rng([self.seed, check_integer("index", index, 0)])
        chosen: dict[int, int] = {}
        for number in map(int, rng.permutation(len(self.dataset))):
            if self._label(number) not in chosen and self._accepts(number):
                chosen[self._label(number)] = number
            if len(chosen) == self.grid**2:
                return list(chosen.values())
        what = f"one with acceptable scenes of at least {self.grid**2} classes"
        raise ValueError(expected("dataset", what, f"{len(chosen)} such classes"))

    def _scene(self, index: int) -> Scene:
        numbers = self.sources(index)
        tiles = [self._tile(number).image for number in numbers]
        rows = [torch.cat(tiles[start:][: self.grid], dim=2) for start in self._starts()]
        labels = torch.zeros(len(self.classes), dtype=torch.bool)
        chosen = [self._label(number) for number in numbers]
        labels[chosen] = True
        masks = {label: self._quarter(place) for place, label in enumerate(chosen)}
        return Scene(torch.cat(rows, dim=1), labels, masks, name=f"grid-{self.seed}-{index}")

    def _labels(self, index: int) -> list[int]:
        return sorted(self._label(number) for number in self.sources(index))

    def _starts(self) -> range:
        return range(0, self.grid**2, self.grid)

    def _quarter(self, place: int) -> Tensor:
        """Return the pixels of a tile."""
        side = self.grid * self.tile
        mask = torch.zeros(side, side, dtype=torch.bool)
        top, left = (number * self.tile for number in divmod(place, self.grid))
        mask[top : top + self.tile, left : left + self.tile] = True
        return mask

    def _tile(self, number: int) -> Scene:
        return Preparation(size=self.tile).prepare(self.dataset[number])

    def _label(self, number: int) -> int:
        labels = self.dataset.labels_of(number)
        if len(labels) != 1:
            got = f"the labels {labels} of scene {number}"
            raise ValueError(expected("dataset", "one whose scenes have one label each", got))
        return labels[0]

    def _accepts(self, number: int) -> bool:
        if self.accept is None:
            return True
        if number not in self._accepted:
            self._accepted[number] = bool(self.accept(self._tile(number)))
        return self._accepted[number]
