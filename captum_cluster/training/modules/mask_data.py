"""Scenes with masks for Lightning: what a segmentation network is trained with."""

from __future__ import annotations

from typing import Any, ClassVar

from torch.utils.data import Dataset

from captum_cluster._checks import expected
from captum_cluster.data import Scene
from captum_cluster.training.masked_scenes import MaskedScenes, Masks
from captum_cluster.training.modules.scene_data import SceneData
from captum_cluster.training.sampling import MaskSamples, SceneSamples


class MaskData(SceneData):
    """Batches (images, masks, index) of scenes, to train with and to validate.

    Order, random changes and processes as in ``SceneData``; masks are resized, mirrored and cut as
    the images are, by the nearest pixel.

    Args:
        train: Scenes to train with.
        val: Scenes to validate with, or None.
        masks: The masks to learn: a function from the index of a training scene, or a sequence of
            one for each, (H,W) integers of the image's size before it is prepared, 0 for
            background, label l as l + 1, 255 where uncertain. None: the scenes' own pixels
            (``Scene.label_map``, where a pixel of several labels has the one with the fewest).
        val_masks: The same of the scenes to validate with.
        **options: As for ``SceneData``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range, or there are more or fewer masks than scenes.

    Shape:
        images (N,3,H,W) float, normalised; masks (N,H,W) int64, 255 where uncertain;
        index (N,) int64.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> data = MaskData(DigitScenes(8), batch_size=4)
        >>> [tuple(part.shape) for part in next(iter(data.train_dataloader()))]
        [(4, 3, 64, 64), (4, 64, 64), (4,)]
    """

    _samples: ClassVar[type[SceneSamples]] = MaskSamples

    def __init__(
        self,
        train: Dataset[Scene],
        val: Dataset[Scene] | None = None,
        *,
        masks: Masks | None = None,
        val_masks: Masks | None = None,
        **options: Any,
    ) -> None:
        if val is None and val_masks is not None:
            raise ValueError(expected("val_masks", "None where val is", "masks"))
        if masks is not None:
            train = MaskedScenes(train, masks)
        if val is not None and val_masks is not None:
            val = MaskedScenes(val, val_masks)
        super().__init__(train, val, **options)
