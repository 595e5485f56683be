"""Scenes with other pixels than their own: those of pseudo masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from captum_cluster._checks import describe, expected
from captum_cluster.data import Scene

UNCERTAIN = 255
"""The number of pixels that belong to no label for certain."""

Masks: TypeAlias = Callable[[int], Tensor | None] | Sequence[Tensor]
"""Of each scene's index its mask (H,W), or one mask for each scene."""


class MaskedScenes(Dataset[Scene]):
    """The scenes of a dataset with the pixels that masks say, in the place of their own.

    Of each scene image, labels and name stay; labels that the mask alone has are added, boxes and
    objects, which belong to the true pixels, are left out. Uncertain pixels become ignored ones.

    Args:
        source: The scenes.
        masks: Of a scene's index its mask, or one mask for each scene: (H,W) integers of the
            image's size before it is prepared, 0 for background, label l as l + 1, 255 where
            uncertain.

    Raises:
        TypeError: ``masks`` is neither; or, when a scene is asked for, its mask holds no integers.
        ValueError: There are more or fewer masks than scenes; or, when a scene is asked for, its
            mask is not there, has another size or a number that is no label's, or there are more
            than 254 labels, of which 255 is one.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> scenes = DigitScenes(2)
        >>> masks = [(scene.dense_masks().any(dim=0) * 255) for scene in scenes]
        >>> MaskedScenes(scenes, masks)[1].label_map().unique()
        tensor([  0, 255])
    """

    def __init__(self, source: Dataset[Scene], masks: Masks) -> None:
        self.source = source
        count = len(self)
        if isinstance(masks, (str, bytes)) or not (callable(masks) or isinstance(masks, Sequence)):
            what = "a function of the index, or a sequence of masks"
            raise TypeError(expected("masks", what, describe(masks)))
        if not callable(masks) and len(masks) != count:
            raise ValueError(expected("masks", f"one for each of the {count} scenes", len(masks)))
        self.masks = masks

    def __len__(self) -> int:
        count: int = len(self.source)  # type: ignore[arg-type]
        return count

    def __getitem__(self, index: int) -> Scene:
        """Return a scene with the pixels of its mask."""
        scene = self.source[index]
        found = self.masks(index) if callable(self.masks) else self.masks[index]
        return with_pixels(scene, found)


def with_pixels(scene: Scene, mask: Tensor | None) -> Scene:
    """Return a scene with the pixels of a mask in the place of its own; see ``MaskedScenes``.

    Raises:
        TypeError: The mask holds no integers.
        ValueError: It is None, has another size, or a number that is no label's, or there are more
            than 254 labels.

    Example:
        >>> scene = Scene(torch.zeros(3, 1, 3), torch.tensor([False, True]))
        >>> found = with_pixels(scene, torch.tensor([[0, 2, 255]]))
        >>> found.masks, found.ignore
        ({1: tensor([[False,  True, False]])}, tensor([[False, False,  True]]))
    """
    numbers = _checked(scene, mask)
    occurring = [
        number for number in torch.unique(numbers).tolist() if number not in (0, UNCERTAIN)
    ]
    labels = scene.labels.clone()
    labels[[number - 1 for number in occurring]] = True
    pixels: dict[int, Tensor] = {number - 1: numbers == number for number in occurring}
    ignore = numbers == UNCERTAIN
    return replace(scene, labels=labels, masks=pixels, ignore=ignore, boxes=None, objects=None)


def _checked(scene: Scene, mask: Any) -> Tensor:
    """Return the mask (H,W) of a scene as int64 on the CPU."""
    name = f"the mask of {scene.name!r}"
    if mask is None:
        raise ValueError(expected(name, "there", "none"))
    if not isinstance(mask, Tensor) or mask.is_floating_point() or mask.dtype == torch.bool:
        raise TypeError(expected(name, "an integer tensor (H,W)", describe(mask)))
    if mask.shape != scene.size:
        what = f"of the image's size {scene.size}"
        raise ValueError(expected(name, what, tuple(mask.shape)))
    numbers, most = mask.detach().cpu().long(), len(scene.labels)
    if most >= UNCERTAIN:
        what = f"of at most {UNCERTAIN - 1} labels, as {UNCERTAIN} is for uncertain pixels"
        raise ValueError(expected(name, what, most))
    strange = numbers[((numbers < 0) | (numbers > most)) & (numbers != UNCERTAIN)]
    if len(strange):
        what = f"of numbers from 0 to the number of labels ({most}), or {UNCERTAIN}"
        raise ValueError(expected(name, what, int(strange[0])))
    return numbers
