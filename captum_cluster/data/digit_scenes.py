"""Scenes of real handwritten digits, made as they are asked for, without any download."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from captum_cluster._checks import check_choice, check_integer
from captum_cluster.data.scene import Scene
from captum_cluster.data.scene_dataset import SceneDataset

N_CLASSES = 10
SPLITS = ("train", "test")
MIN_SIZE = 48  # below that the smallest digit would have fewer pixels than its 8 x 8 original
HEIGHTS = (0.28, 0.46)  # of a digit, as shares of the scene's side
INK = 0.4  # a pixel with more ink than this (0 to 1) belongs to the digit
SOLID = 0.65  # from here on the ground no longer shines through
CONTRAST = (0.35, 0.5)  # between the luminance of a digit and of the ground's mean
LUMA = (0.299, 0.587, 0.114)


class DigitScenes(SceneDataset):
    """Scenes of one to several handwritten digits of different classes on a textured ground.

    The digits are scikit-learn's (``load_digits``: 1797 of 8 x 8 pixels, by 43 writers), enlarged
    smoothly, at random places and of random sizes and colours; their boxes do not overlap. A mask
    holds exactly the pixels that the digit changed. The labels are the 10 classes.

    Scene ``i`` depends on ``seed``, ``split``, ``size``, ``max_digits`` and ``i`` alone: neither on
    the order of access, nor on the process, nor on the global random state, which is left as it is.
    The two splits share no handwritten digit.

    Args:
        length: Number of scenes, at least 0.
        split: "train" (two thirds of the digits of each class) or "test" (the rest).
        size: Height and width in pixels, at least 48.
        max_digits: Most digits in a scene, from 1 to 4; each number is as likely.
        seed: At least 0.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range.
        IndexError: When a scene outside ``range(-length, length)`` is asked for.

    Example:
        >>> scene = DigitScenes(100, split="test")[3]
        >>> tuple(scene.image.shape), tuple(scene.masks.shape), scene.name
        ((3, 64, 64), (10, 64, 64), 'test-0-3')
    """

    def __init__(
        self,
        length: int,
        *,
        split: str = "train",
        size: int = 64,
        max_digits: int = 4,
        seed: int = 0,
    ) -> None:
        self.length = check_integer("length", length, 0)
        self.split = check_choice("split", split, SPLITS)
        self.size = check_integer("size", size, MIN_SIZE)
        self.max_digits = check_integer("max_digits", max_digits, 1, 4)
        self.seed = check_integer("seed", seed, 0)
        self.classes = [str(digit) for digit in range(N_CLASSES)]

    def __len__(self) -> int:
        return self.length

    def _scene(self, index: int) -> Scene:
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        ground = _ground(rng, self.size)
        patches = _place(_choose(rng, self.split, self.max_digits), rng, self.size)
        image, masks = _paint(ground, patches, rng)
        labels = masks.flatten(1).any(dim=1)
        return Scene(image, labels, masks, name=f"{self.split}-{self.seed}-{index}")


@dataclass(frozen=True)
class _Patch:
    """The ink (h,w) of one digit, from 0 to 1, and where its top left corner lies."""

    label: int
    ink: Tensor
    top: int
    left: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns it covers."""
        height, width = self.ink.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@lru_cache(maxsize=2)
def _digits(split: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return ink (M,8,8) in [0,1], class (M,) and number in scikit-learn's list (M,) of a split."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    source = load_digits()
    numbers = np.arange(len(source.target))
    parts = train_test_split(numbers, test_size=1 / 3, stratify=source.target, random_state=0)
    chosen = np.sort(parts[SPLITS.index(split)])
    ink = torch.from_numpy(source.images[chosen] / 16).float()
    return ink, torch.from_numpy(source.target[chosen]), torch.from_numpy(chosen)


def _choose(rng: np.random.Generator, split: str, max_digits: int) -> list[tuple[int, Tensor]]:
    """Return the label and ink (8,8) of one to ``max_digits`` digits of different classes."""
    ink, classes, _ = _digits(split)
    labels = rng.permutation(N_CLASSES)[: rng.integers(1, max_digits + 1)]
    chosen = [rng.choice(torch.nonzero(classes == label).flatten().numpy()) for label in labels]
    return [(int(label), ink[number]) for label, number in zip(labels, chosen, strict=True)]


def _place(digits: list[tuple[int, Tensor]], rng: np.random.Generator, size: int) -> list[_Patch]:
    """Return the digits enlarged, at places where their boxes do not overlap."""
    while True:  # drawn again until all find room: four of the smallest fit easily
        taken = torch.zeros(size, size, dtype=torch.bool)
        patches: list[_Patch] = []
        for label, ink in digits:
            large = _enlarge(ink, round(size * rng.uniform(*HEIGHTS)))
            free = _free_corners(taken, large)
            if not len(free):
                break
            top, left = free[int(rng.integers(len(free)))].tolist()
            patches.append(_Patch(label, large, top, left))
            taken[patches[-1].window] = True
        else:
            return patches


def _enlarge(ink: Tensor, height: int) -> Tensor:
    """Return the digit, about ``height`` pixels high, smooth, cut to its ink and a rim of one."""
    # A rim of empty pixels lets strokes that touch the border of the 8 x 8 end smoothly.
    padded = F.pad(ink, (1, 1, 1, 1))[None, None]
    side = math.ceil(height * 10 / 8)
    large = F.interpolate(padded, size=(side, side), mode="bicubic", align_corners=False)[0, 0]
    rows, columns = torch.nonzero(large > INK).T
    cut = large[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return F.pad(cut, (1, 1, 1, 1))


def _free_corners(taken: Tensor, ink: Tensor) -> Tensor:
    """Return the (top, left) (P,2) at which the ink's box covers no pixel that is taken."""
    height, width = ink.shape
    # Sums over all pixels above and to the left: four of them give the sum over any box.
    sums = F.pad(taken.long().cumsum(0).cumsum(1), (1, 0, 1, 0))
    rows = sums[height:] - sums[:-height]
    return torch.nonzero(rows[:, width:] == rows[:, :-width])


def _paint(
    ground: Tensor, patches: list[_Patch], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return the image (3,S,S) and the pixels (10,S,S) of each label."""
    image = ground.clone()
    masks = torch.zeros(N_CLASSES, *ground.shape[1:], dtype=torch.bool)
    luminance = float(_luminance(ground).mean())
    for patch in patches:
        rows, columns = patch.window
        colour = _colour(rng, _contrasting(rng, luminance))
        opacity = ((patch.ink - INK) / (SOLID - INK)).clamp(0, 1)
        image[:, rows, columns] = torch.lerp(image[:, rows, columns], colour, opacity)
        masks[patch.label, rows, columns] = opacity > 0
    return image, masks


def _ground(rng: np.random.Generator, size: int) -> Tensor:
    """Return a ground (3,S,S): a texture between two colours of similar luminance."""
    texture = _clouds(rng, size)
    if rng.random() < 0.5:
        texture = (texture + _grating(rng, size)) / 2
    luminance = rng.uniform(0.2, 0.8)
    first, second = (_colour(rng, luminance + step) for step in (-0.1, 0.1))
    grain = torch.from_numpy(rng.normal(0, 0.02, (3, size, size))).float()
    return (torch.lerp(first, second, texture) + grain).clamp(0, 1)


def _clouds(rng: np.random.Generator, size: int) -> Tensor:
    """Return smooth noise (S,S) in [0,1]: two coarse grids of random numbers, enlarged."""
    total = torch.zeros(size, size)
    for cells in rng.integers((3, 8), (8, 20)):
        coarse = torch.from_numpy(rng.random((1, 1, cells, cells))).float()
        total += F.interpolate(coarse, size=(size, size), mode="bicubic")[0, 0]
    low, high = torch.aminmax(total)
    return (total - low) / (high - low)


def _grating(rng: np.random.Generator, size: int) -> Tensor:
    """Return stripes (S,S) in [0,1] of a random direction, three to nine of them."""
    angle, phase = rng.uniform(0, 2 * math.pi, 2)
    along = torch.linspace(0, 2 * math.pi * rng.uniform(3, 9), size)
    wave = math.cos(angle) * along[:, None] + math.sin(angle) * along[None]
    return (1 + torch.sin(wave + phase)) / 2


def _contrasting(rng: np.random.Generator, luminance: float) -> float:
    """Return a luminance in [0,1] that a person tells from the given one at a glance."""
    step = rng.uniform(*CONTRAST)
    sides = [side for side in (luminance - step, luminance + step) if 0 <= side <= 1]
    return float(rng.choice(sides))


def _colour(rng: np.random.Generator, luminance: float) -> Tensor:
    """Return a random colour (3,1,1) in [0,1] of about the given luminance."""
    hue = torch.from_numpy(rng.uniform(-0.3, 0.3, (3, 1, 1))).float()
    return (hue - _luminance(hue) + luminance).clamp(0, 1)


def _luminance(image: Tensor) -> Tensor:
    """Return the luminance (H,W) of an image (3,H,W)."""
    return torch.einsum("c,chw->hw", torch.tensor(LUMA), image)
