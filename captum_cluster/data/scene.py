"""A scene: one image, the labels present in it, and the pixels of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, describe, expected


@dataclass(frozen=True, eq=False)
class Scene:
    """One image with its labels and the exact pixels of each label's objects.

    Args:
        image: (3,H,W) float in [0,1].
        labels: (L,) bool, the labels present.
        masks: (L,H,W) bool, the visible pixels of each label's objects; all False where the
            label is absent, and where it is present but has no annotation of its pixels.
        name: What the scene is called in reports, for example the file's stem.

    Raises:
        TypeError: An argument is no tensor, or of another dtype.
        ValueError: The shapes do not belong together, the image leaves [0,1], or an absent label
            has pixels.

    Example:
        >>> masks = torch.zeros(2, 4, 4, dtype=torch.bool)
        >>> masks[1, 1:3, 2] = True
        >>> scene = Scene(torch.zeros(3, 4, 4), torch.tensor([False, True]), masks)
        >>> scene.present, scene.boxes()
        ([1], [(1, 2, 1, 3, 3)])
    """

    image: Tensor
    labels: Tensor
    masks: Tensor
    name: str = ""

    def __post_init__(self) -> None:
        _check_dtypes(self)
        _check_shapes(self)
        _check_values(self)

    @property
    def present(self) -> list[int]:
        """The labels present, in ascending order."""
        return [int(label) for label in torch.nonzero(self.labels).flatten()]

    def boxes(self) -> list[tuple[int, int, int, int, int]]:
        """Return the tight box of each label's pixels, as (label, x0, y0, x1, y1) in pixels.

        ``x1`` and ``y1`` lie one past the last pixel: ``image[:, y0:y1, x0:x1]`` is the crop.
        Labels without pixels have no box; several objects of one label share one.
        """
        return [
            (label, *_tight_box(self.masks[label]))
            for label in self.present
            if bool(self.masks[label].any())
        ]


def collate_scenes(batch: Sequence[Scene]) -> tuple[Tensor, Tensor, Tensor]:
    """Return scenes of one size stacked into a batch (the ``collate_fn`` of a ``DataLoader``).

    Args:
        batch: N scenes with the same H, W and L.

    Returns:
        images: (N,3,H,W) float in [0,1].
        labels: (N,L) bool.
        masks: (N,L,H,W) bool.

    Raises:
        ValueError: There is no scene, or the sizes differ.

    Example:
        >>> scene = Scene(torch.zeros(3, 4, 4), torch.zeros(2).bool(), torch.zeros(2, 4, 4).bool())
        >>> [tuple(tensor.shape) for tensor in collate_scenes([scene, scene, scene])]
        [(3, 3, 4, 4), (3, 2), (3, 2, 4, 4)]
    """
    sizes = sorted({tuple(scene.masks.shape) for scene in batch})
    if len(sizes) != 1:
        got = f"sizes (L,H,W) {', '.join(map(str, sizes))}" if sizes else "no scene"
        raise ValueError(expected("batch", "scenes of one size", got))
    images = torch.stack([scene.image for scene in batch])
    labels = torch.stack([scene.labels for scene in batch])
    return images, labels, torch.stack([scene.masks for scene in batch])


def _check_dtypes(scene: Scene) -> None:
    if not isinstance(scene.image, Tensor) or not scene.image.is_floating_point():
        raise TypeError(expected("image", "a float tensor", describe(scene.image)))
    for name in ("labels", "masks"):
        value = getattr(scene, name)
        if not isinstance(value, Tensor) or value.dtype != torch.bool:
            raise TypeError(expected(name, "a bool tensor", describe(value)))
    if not isinstance(scene.name, str):
        raise TypeError(expected("name", "a string", describe(scene.name)))


def _check_shapes(scene: Scene) -> None:
    image, labels, masks = scene.image, scene.labels, scene.masks
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise ValueError(expected("image", "of shape (3,H,W)", tuple(image.shape)))
    if labels.ndim != 1:
        raise ValueError(expected("labels", "of shape (L,)", tuple(labels.shape)))
    shape = (*labels.shape, *image.shape[1:])
    if masks.shape != shape:
        what = f"of shape (L,H,W), here {shape}"
        raise ValueError(expected("masks", what, tuple(masks.shape)))


def _check_values(scene: Scene) -> None:
    low, high = torch.aminmax(check_finite("image", scene.image))
    if low < 0 or high > 1:
        raise ValueError(expected("image", "in [0,1]", f"values from {low:g} to {high:g}"))
    absent = torch.nonzero(scene.masks.flatten(1).any(dim=1) & ~scene.labels).flatten().tolist()
    if absent:
        got = f"pixels of the absent labels {absent}"
        raise ValueError(expected("masks", "all False where a label is absent", got))


def _tight_box(mask: Tensor) -> tuple[int, int, int, int]:
    columns = torch.nonzero(mask.any(dim=0)).flatten()
    rows = torch.nonzero(mask.any(dim=1)).flatten()
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
