"""A scene: one image, the labels present in it, and where they are, as far as it is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, check_integer, describe, expected, is_integer
from captum_cluster.data.boxes import Box, LabelledBox, clip_boxes
from captum_cluster.functional.metrics import box_region, tight_box


@dataclass(frozen=True, eq=False)
class Scene:
    """One image with its labels and, where they are annotated, the pixels and boxes of each.

    Args:
        image: (3,H,W) float in [0,1].
        labels: (L,) bool, the labels present.
        masks: The visible pixels of each label's objects: (L,H,W) bool, or a mapping from label to
            (H,W) bool where there are many labels; all False, or left out of the mapping, where
            the label is absent or its pixels are not annotated. None where no pixels are.
        name: What the scene is called in reports, for example the file's path without suffix.
        boxes: The annotated boxes as (label, x0, y0, x1, y1) in pixels, several of one label where
            it has several objects. None where no boxes are annotated.
        ignore: (H,W) bool, pixels that belong to no label for certain and are not judged (VOC's
            255, COCO's crowds). None where all are judged.
        objects: (M,H,W) bool, the pixels of each annotated thing, whatever its label. None where
            the labels' own pixels or boxes tell the things apart.

    Raises:
        TypeError: An argument is no tensor, or of another dtype.
        ValueError: The shapes do not belong together, the image leaves [0,1], an absent label has
            pixels or a box, or a box leaves the image or is empty.

    Example:
        >>> masks = torch.zeros(2, 4, 4, dtype=torch.bool)
        >>> masks[1, 1:3, 2] = True
        >>> scene = Scene(torch.zeros(3, 4, 4), torch.tensor([False, True]), masks)
        >>> scene.present, scene.boxes_of(1), int(scene.region(1).sum())
        ([1], [(2, 1, 3, 3)], 2)
    """

    image: Tensor
    labels: Tensor
    masks: Tensor | Mapping[int, Tensor] | None = None
    name: str = ""
    boxes: tuple[LabelledBox, ...] | None = None
    ignore: Tensor | None = None
    objects: Tensor | None = None

    def __post_init__(self) -> None:
        _check_dtypes(self)
        _check_shapes(self)
        _check_values(self)
        if self.boxes is not None:
            object.__setattr__(self, "boxes", _checked_boxes(self))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.image.shape[1], self.image.shape[2]

    @property
    def present(self) -> list[int]:
        """The labels present, in ascending order."""
        return [int(label) for label in torch.nonzero(self.labels).flatten()]

    def mask(self, label: int) -> Tensor:
        """Return the annotated pixels (H,W) bool of a label, all False where it has none.

        Raises:
            ValueError: There is no such label.
        """
        number = check_integer("label", label, 0, len(self.labels) - 1)
        found = None
        if isinstance(self.masks, Tensor):
            found = self.masks[number]
        elif self.masks is not None:
            found = self.masks.get(number)
        return torch.zeros(self.size, dtype=torch.bool) if found is None else found

    def dense_masks(self) -> Tensor:
        """Return the annotated pixels (L,H,W) bool of all labels."""
        if isinstance(self.masks, Tensor):
            return self.masks
        dense = torch.zeros(len(self.labels), *self.size, dtype=torch.bool)
        for label, mask in (self.masks or {}).items():
            dense[label] = mask
        return dense

    def region(self, label: int) -> Tensor | None:
        """Return where a label is (H,W) bool, None where that is not known.

        Its annotated pixels where it has any, else the pixels whose centre lies in one of its
        annotated boxes.
        """
        mask = self.mask(label)
        if not bool(mask.any()):
            own = [box[1:] for box in self.boxes or () if box[0] == label]
            mask = box_region(own, self.size)
        return mask if bool(mask.any()) else None

    def boxes_of(self, label: int) -> list[Box]:
        """Return the boxes (x0, y0, x1, y1) of a label in pixels, none where it has none.

        The annotated ones, else the tight box of all its pixels, which ends one past the last one:
        ``image[:, y0:y1, x0:x1]`` is the crop.
        """
        own = [box[1:] for box in self.boxes or () if box[0] == label]
        around = None if own else tight_box(self.mask(label))
        return own if around is None else [around]

    def things(self) -> Tensor:
        """Return the pixels (M,H,W) bool of each annotated thing, whatever its label.

        The objects where they are given; else one thing for each label with pixels, and one for
        each box of the labels without. Things without a pixel are left out.
        """
        if self.objects is not None:
            return self.objects[self.objects.flatten(1).any(dim=1)]
        found = [mask for label in self.present for mask in self._things_of(label)]
        kept = [mask for mask in found if bool(mask.any())]
        return torch.stack(kept) if kept else torch.zeros(0, *self.size, dtype=torch.bool)

    def _things_of(self, label: int) -> list[Tensor]:
        mask = self.mask(label)
        if bool(mask.any()):
            return [mask]
        return [box_region([box[1:]], self.size) for box in self.boxes or () if box[0] == label]

    def label_map(self, ignore_index: int = 255) -> Tensor:
        """Return the label of each pixel (H,W) int64: 0 for none, label + 1 else.

        A pixel of several labels gets the one with the fewest pixels; ignored pixels get
        ``ignore_index``.

        Raises:
            ValueError: ``ignore_index`` is also the number of a label, or of the background.
        """
        if 0 <= ignore_index <= len(self.labels):
            what = f"outside 0 to the number of labels ({len(self.labels)})"
            raise ValueError(expected("ignore_index", what, ignore_index))
        drawn = torch.zeros(self.size, dtype=torch.int64)
        masks = dict(_annotated(self))
        for label in sorted(masks, key=lambda label: -int(masks[label].sum())):
            drawn[masks[label]] = label + 1
        return drawn if self.ignore is None else drawn.masked_fill(self.ignore, ignore_index)


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
    sizes = sorted({(len(scene.labels), *scene.size) for scene in batch})
    if len(sizes) != 1:
        got = f"sizes (L,H,W) {', '.join(map(str, sizes))}" if sizes else "no scene"
        raise ValueError(expected("batch", "scenes of one size", got))
    images = torch.stack([scene.image for scene in batch])
    labels = torch.stack([scene.labels for scene in batch])
    return images, labels, torch.stack([scene.dense_masks() for scene in batch])


def _annotated(scene: Scene) -> Iterator[tuple[int, Tensor]]:
    """Yield each label that has a mask, which may be empty, and the mask (H,W)."""
    if isinstance(scene.masks, Tensor):
        yield from enumerate(scene.masks)
    elif scene.masks is not None:
        yield from scene.masks.items()


def _check_dtypes(scene: Scene) -> None:
    if not isinstance(scene.image, Tensor) or not scene.image.is_floating_point():
        raise TypeError(expected("image", "a float tensor", describe(scene.image)))
    _check_bool("labels", scene.labels)
    if isinstance(scene.masks, Mapping):
        for label, mask in scene.masks.items():
            _check_bool(f"masks[{label!r}]", mask)
    elif scene.masks is not None:
        _check_bool("masks", scene.masks)
    for name in ("ignore", "objects"):
        if getattr(scene, name) is not None:
            _check_bool(name, getattr(scene, name))
    if not isinstance(scene.name, str):
        raise TypeError(expected("name", "a string", describe(scene.name)))


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, Tensor) or value.dtype != torch.bool:
        raise TypeError(expected(name, "a bool tensor", describe(value)))


def _check_shapes(scene: Scene) -> None:
    image, labels = scene.image, scene.labels
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise ValueError(expected("image", "of shape (3,H,W)", tuple(image.shape)))
    if labels.ndim != 1:
        raise ValueError(expected("labels", "of shape (L,)", tuple(labels.shape)))
    if isinstance(scene.masks, Tensor):
        _check_shape("masks", scene.masks, "(L,H,W)", (*labels.shape, *scene.size))
    for label, mask in _annotated(scene):
        _check_shape(f"masks[{label}]", mask, "(H,W)", scene.size)
    if scene.ignore is not None:
        _check_shape("ignore", scene.ignore, "(H,W)", scene.size)
    if scene.objects is not None:
        count = scene.objects.shape[:1]
        _check_shape("objects", scene.objects, "(M,H,W)", (*count, *scene.size))


def _check_shape(name: str, value: Tensor, axes: str, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise ValueError(expected(name, f"of shape {axes}, here {shape}", tuple(value.shape)))


def _check_values(scene: Scene) -> None:
    low, high = torch.aminmax(check_finite("image", scene.image))
    if low < 0 or high > 1:
        raise ValueError(expected("image", "in [0,1]", f"values from {low:g} to {high:g}"))
    present = set(scene.present)
    absent = [
        label for label, mask in _annotated(scene) if label not in present and bool(mask.any())
    ]
    if absent:
        got = f"pixels of the absent labels {absent}"
        raise ValueError(expected("masks", "all False where a label is absent", got))


def _checked_boxes(scene: Scene) -> tuple[LabelledBox, ...]:
    """Return the boxes as tuples of an int and four floats."""
    present = set(scene.present)
    boxes: list[LabelledBox] = []
    for box in scene.boxes or ():
        floats = _five(box)
        if floats[0] not in present:
            raise ValueError(expected("boxes", "of labels that are present", box))
        if clip_boxes([floats], scene.size) != (floats,):
            height, width = scene.size
            what = f"with x0 < x1 and y0 < y1 inside the image of {width} x {height} pixels"
            raise ValueError(expected("boxes", what, box))
        boxes.append(floats)
    return tuple(boxes)


def _five(box: Any) -> LabelledBox:
    try:
        label, x0, y0, x1, y1 = box
        corners = float(x0), float(y0), float(x1), float(y1)
    except (TypeError, ValueError) as error:
        what = "tuples (label, x0, y0, x1, y1)"
        raise TypeError(expected("boxes", what, describe(box))) from error
    if not is_integer(label):
        raise TypeError(expected("boxes", "tuples with an integer label first", describe(box)))
    return (int(label), *corners)
