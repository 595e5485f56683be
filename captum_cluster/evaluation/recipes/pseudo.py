"""The images of a training with the pseudo masks of a folder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

from torch import Tensor

from captum_cluster._checks import expected
from captum_cluster.data import Scene, SceneDataset
from captum_cluster.evaluation.recipes.sources import Sources
from captum_cluster.training.masked_scenes import UNCERTAIN, with_pixels


class PseudoScenes(SceneDataset):
    """Those scenes of a dataset that have a pseudo mask, with its pixels in the place of their own.

    Each mask is read, and compared with its image, when the dataset is made.

    Args:
        source: The dataset.
        mask_of: Gives the mask (H,W) of a scene by its name, None where there is none.

    Raises:
        TypeError: A mask holds no integers.
        ValueError: A mask has another size than its image, or a number that is no label's.

    Attributes:
        first_missing: The name of the first scene without a mask, "" where all have one.

    Example:
        >>> import torch
        >>> from captum_cluster.data import DigitScenes
        >>> masks = {"train-0-1": torch.zeros(64, 64, dtype=torch.uint8)}
        >>> scenes = PseudoScenes(DigitScenes(3), masks.get)
        >>> len(scenes), scenes[0].name, scenes.first_missing
        (1, 'train-0-1', 'train-0-0')
    """

    memos = ("_mask_of",)

    def __init__(self, source: SceneDataset, mask_of: Callable[[str], Tensor | None]) -> None:
        self.source = source
        self.classes = source.classes
        self._mask_of = mask_of
        self.indices: list[int] = []
        self.first_missing = ""
        digest = hashlib.sha256()
        for index in range(len(source)):
            scene = source[index]
            mask = mask_of(scene.name)
            if mask is not None:
                with_pixels(scene, mask)
                digest.update(scene.name.encode())
                digest.update(mask.contiguous().numpy().tobytes())
                self.indices.append(index)
            self.first_missing = self.first_missing or ("" if mask is not None else scene.name)
        self.masks = digest.hexdigest()[:16]  # a run goes on with the same masks only

    def __len__(self) -> int:
        return len(self.indices)

    def _scene(self, index: int) -> Scene:
        scene = self.source[self.indices[index]]
        return with_pixels(scene, self._mask_of(scene.name))


def with_masks(sources: Sources, directory: str, *, devices: int = 1) -> Sources:
    """Return the images of a training, those to learn from and to watch with pseudo masks alone.

    Args:
        sources: The images.
        directory: The folder of the masks.
        devices: Each of which needs two images to learn from.

    Raises:
        OSError: There are no masks in the folder, or one cannot be read.
        ValueError: They are of other labels, of too few of the images to learn from, or do not
            fit their images.
    """
    # The command of masks opens trainings, and so imports this room.
    from captum_cluster.evaluation.weak_outputs import read_masks

    masks = read_masks(directory)
    _check_classes(masks.classes, sources.classes)
    train = PseudoScenes(sources.train, masks.mask_of)
    if len(train) < 2 * devices:
        count = "none" if not len(train) else f"{len(train)} of {len(sources.train)}"
        missing = f" (the first one without: {train.first_missing!r})"
        what = f"a folder with masks of at least {2 * devices} training images"
        got = f"{directory!r} with masks of {count}{missing if train.first_missing else ''}"
        raise ValueError(expected("pseudo", what, got))
    watching = PseudoScenes(sources.watching, masks.mask_of)
    return dataclasses.replace(sources, train=train, watching=watching)


def _check_classes(theirs: Sequence[str], ours: Sequence[str]) -> None:
    if len(ours) >= UNCERTAIN:
        what = f"data of at most {UNCERTAIN - 1} labels, which masks can number"
        raise ValueError(expected("data", what, len(ours)))
    if list(theirs) != list(ours):
        odd = next((pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]), None)
        got = f"{len(theirs)} labels" if odd is None else f"{odd[0]!r} in the place of {odd[1]!r}"
        what = f"masks of the {len(ours)} labels of the data, in their order"
        raise ValueError(expected("pseudo", what, got))
