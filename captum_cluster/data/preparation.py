"""A scene brought to the size that a model takes, its ground truth with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as vision

from captum_cluster._checks import check_choice, check_integer, check_number, expected
from captum_cluster.data.boxes import clip_boxes
from captum_cluster.data.scene import Scene

MODES = ("squash", "center-crop", "none")
INTERPOLATIONS = ("bilinear", "bicubic")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preparation:
    """How a scene becomes what a model takes: resized, cut, normalised.

    "squash" resizes to ``size`` x ``size`` whatever the proportions, so that nothing is lost;
    "center-crop" resizes the shorter side to ``resize`` and cuts the middle ``size`` x ``size``, as
    torchvision's presets do; "none" leaves the scene as it is. Images are resized as 8-bit Pillow
    images, antialiased, like a preset that gets the file; masks by the nearest pixel.

    Args:
        size: Height and width of the result, at least 1.
        mode: "squash", "center-crop" or "none".
        resize: The shorter side before the cut of "center-crop", at least ``size``.
        mean: Of each channel, for ``normalize``.
        std: Of each channel, above 0.
        interpolation: "bilinear" or "bicubic", of images.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range.

    Example:
        >>> scene = Scene(torch.rand(3, 4, 8), torch.tensor([True]), boxes=((0, 4, 2, 8, 4),))
        >>> prepared = Preparation(size=2).prepare(scene)
        >>> tuple(prepared.image.shape), prepared.boxes
        ((3, 2, 2), ((0, 1.0, 1.0, 2.0, 2.0),))
    """

    size: int = 224
    mode: str = "squash"
    resize: int = 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        check_integer("size", self.size, 1)
        check_choice("mode", self.mode, MODES)
        check_integer("resize", self.resize, 1)
        if self.mode == "center-crop" and self.resize < self.size:
            raise ValueError(expected("resize", f"at least the size ({self.size})", self.resize))
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        object.__setattr__(self, "mean", _channels("mean", self.mean))
        object.__setattr__(self, "std", _channels("std", self.std, low=0.0, open_low=True))

    @classmethod
    def from_transform(cls, transform: Any) -> Preparation:
        """Return what one of torchvision's presets does (``weights.transforms()``).

        Args:
            transform: An ``ImageClassification`` preset.

        Raises:
            TypeError: It is something else.
            ValueError: It interpolates neither bilinearly nor bicubically.

        Example:
            >>> from torchvision.models import ResNet50_Weights
            >>> found = Preparation.from_transform(ResNet50_Weights.IMAGENET1K_V2.transforms())
            >>> found.mode, found.resize, found.size, found.interpolation
            ('center-crop', 232, 224, 'bilinear')
        """
        names = ("crop_size", "resize_size", "mean", "std", "interpolation")
        if not all(hasattr(transform, name) for name in names):
            what = "an ImageClassification preset of torchvision"
            raise TypeError(expected("transform", what, type(transform).__name__))
        return cls(
            size=_only(transform.crop_size),
            mode="center-crop",
            resize=_only(transform.resize_size),
            mean=tuple(transform.mean),
            std=tuple(transform.std),
            interpolation=str(getattr(transform.interpolation, "value", transform.interpolation)),
        )

    def prepare(self, scene: Scene) -> Scene:
        """Return the scene with image, masks, boxes, ignored pixels and objects in the new size.

        Boxes are clipped to what is left of the image; those outside are left out, and so are
        objects without a pixel. Labels stay present, also where nothing of them is left to see.
        """
        if self.mode == "none":
            return scene
        frame = self._frame(*scene.size)
        if frame == _Frame.whole(*scene.size):
            return scene
        objects = _resize_masks(scene.objects, frame)
        return replace(
            scene,
            image=self._resize_image(scene.image, frame),
            masks=_resize_all(scene.masks, frame),
            boxes=_move_boxes(scene, frame),
            ignore=_resize_masks(scene.ignore, frame),
            objects=None if objects is None else objects[objects.flatten(1).any(dim=1)],
        )

    def normalize(self, image: Tensor) -> Tensor:
        """Return ``(image - mean) / std``, the model's input, of an image (...,3,H,W) in [0,1]."""
        mean, std = (
            torch.tensor(value).to(image)[:, None, None] for value in (self.mean, self.std)
        )
        return (image - mean) / std

    def _frame(self, height: int, width: int) -> _Frame:
        if self.mode == "squash":
            return _Frame(self.size, self.size, 0, 0, self.size, self.size)
        shorter = min(height, width)
        # Rounded as torchvision's resize and center_crop do.
        high, wide = (
            self.resize if side == shorter else int(self.resize * side / shorter)
            for side in (height, width)
        )
        top, left = (round((side - self.size) / 2.0) for side in (high, wide))
        return _Frame(high, wide, top, left, self.size, self.size)

    def _resize_image(self, image: Tensor, frame: _Frame) -> Tensor:
        if image.shape[1:] != (frame.high, frame.wide):
            # torchvision truncates; a value that came from 8 bits must find its way back.
            pixels = (image * 255).round().to(torch.uint8)
            mode = InterpolationMode(self.interpolation)
            resized = vision.resize(vision.to_pil_image(pixels), [frame.high, frame.wide], mode)
            image = vision.to_tensor(resized).to(image)
        return frame.cut(image).contiguous()


@dataclass(frozen=True)
class _Frame:
    """The size (high, wide) after resizing, and the window of it that is kept."""

    high: int
    wide: int
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def whole(cls, height: int, width: int) -> _Frame:
        """Return the frame that changes nothing."""
        return cls(height, width, 0, 0, height, width)

    def cut(self, tensor: Tensor) -> Tensor:
        """Return the window of a resized tensor (...,high,wide)."""
        rows = slice(self.top, self.top + self.height)
        return tensor[..., rows, self.left : self.left + self.width]


def _channels(name: str, values: Any, **limits: Any) -> tuple[float, ...]:
    try:
        numbers = tuple(values)
    except TypeError:
        raise TypeError(expected(name, "three numbers", repr(values))) from None
    if len(numbers) != 3:
        raise ValueError(expected(name, "three numbers", f"{len(numbers)}"))
    return tuple(check_number(name, value, **limits) for value in numbers)


def _only(size: Any) -> int:
    """Return the side of a square: presets keep it as a list of one or two."""
    sides = [size] if isinstance(size, int) else list(size)
    if not sides or len(set(sides)) != 1:
        raise ValueError(expected("transform", "to give a square", f"the size {sides}"))
    return int(sides[0])


def _resize_masks(masks: Tensor | None, frame: _Frame) -> Tensor | None:
    """Return masks (...,H,W) by the nearest pixel's centre."""
    if masks is None:
        return None
    if masks.shape[-2:] == (frame.high, frame.wide):
        return frame.cut(masks).clone()
    flat = masks.reshape(1, -1, *masks.shape[-2:]).to(torch.uint8)
    if not flat.numel():
        return masks.new_zeros(*masks.shape[:-2], frame.height, frame.width)
    resized = F.interpolate(flat, size=(frame.high, frame.wide), mode="nearest-exact").bool()
    return frame.cut(resized).reshape(*masks.shape[:-2], frame.height, frame.width)


def _resize_all(
    masks: Tensor | Mapping[int, Tensor] | None, frame: _Frame
) -> Tensor | dict[int, Tensor] | None:
    if not isinstance(masks, Mapping):
        return _resize_masks(masks, frame)
    resized = ((label, _resize_masks(mask, frame)) for label, mask in masks.items())
    return {label: mask for label, mask in resized if mask is not None}


def _move_boxes(scene: Scene, frame: _Frame) -> Any:
    """Return the boxes scaled, shifted and clipped."""
    if scene.boxes is None:
        return None
    y, x = frame.high / scene.size[0], frame.wide / scene.size[1]
    moved = [
        (
            label,
            x0 * x - frame.left,
            y0 * y - frame.top,
            x1 * x - frame.left,
            y1 * y - frame.top,
        )
        for label, x0, y0, x1, y1 in scene.boxes
    ]
    return clip_boxes(moved, (frame.height, frame.width))
