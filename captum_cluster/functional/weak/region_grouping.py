"""Regions of an image merged two by two, the most alike first: what selective search is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_finite, describe, expected

Array: TypeAlias = npt.NDArray[Any]

MEASURES = ("colour", "texture", "size", "fill")
COLOUR_BINS = 25
TEXTURE_BINS = 10
ORIENTATIONS = 8


@dataclass(frozen=True, eq=False)
class Regions:
    """A segmentation of an image, and what its regions look like.

    Attributes:
        sizes: (R,) int, pixels of each region.
        boxes: (R,4) int, the tight box x0, y0, x1, y1 of each.
        colour: (R,B) float64, histogram of colours, sum 1.
        texture: (R,B) float64, histogram of directed gradients, sum 1.
        neighbours: (E,2) int, the pairs of regions that share an edge of a pixel, each once, the
            smaller number first.
        pixels: Pixels of the image.
    """

    sizes: Tensor
    boxes: Tensor
    colour: Tensor
    texture: Tensor
    neighbours: Tensor
    pixels: int


def describe_regions(segments: Tensor, image: Tensor) -> Regions:
    """Return the sizes, boxes, histograms and neighbours of the regions of a segmentation.

    The colours' histogram has 25 bins from 0 to 1 for each channel. The textures' has for each
    channel and each of 8 directions (45 degrees apart) 10 bins of the derivative in that direction
    (Gaussian, sigma 1; 0 where it falls), from 0 to the channel's largest.

    Args:
        segments: (H,W) int, the region of each pixel, of any numbers.
        image: (C,H,W) float in [0,1], in any colour space.

    Returns:
        The regions, in the order of their numbers.

    Raises:
        TypeError: ``segments`` holds no integers.
        ValueError: The shapes do not belong together, or ``image`` is not finite.

    Example:
        >>> regions = describe_regions(torch.tensor([[5, 5, 7]]), torch.rand(3, 1, 3))
        >>> regions.sizes.tolist(), regions.boxes.tolist(), regions.neighbours.tolist()
        ([2, 1], [[0, 0, 2, 1], [2, 0, 3, 1]], [[0, 1]])

    References:
        Uijlings et al. 2013, "Selective Search for Object Recognition", section 3.2. There the
        bins of the textures' histogram have no stated range.
    """
    _check_segments(segments, image)
    names, inverse = np.unique(segments.cpu().numpy(), return_inverse=True)
    labels, count = inverse.reshape(segments.shape), len(names)
    channels = image.detach().double().cpu().numpy()
    return Regions(
        sizes=torch.from_numpy(np.bincount(labels.ravel())),
        boxes=torch.from_numpy(_tight_boxes(labels, count)),
        colour=torch.from_numpy(_histogram(labels, count, channels, COLOUR_BINS)),
        texture=torch.from_numpy(_histogram(labels, count, _gradients(channels), TEXTURE_BINS)),
        neighbours=torch.from_numpy(_neighbours(labels)),
        pixels=labels.size,
    )


def _check_segments(segments: Tensor, image: Tensor) -> None:
    if segments.is_floating_point() or segments.is_complex():
        raise TypeError(expected("segments", "a tensor of integers", describe(segments)))
    flat = segments.ndim == 2 and segments.numel() > 0
    if not flat or image.ndim != 3 or image.shape[1:] != segments.shape:
        got = f"{tuple(segments.shape)} and {tuple(image.shape)}"
        raise ValueError(expected("segments and image", "of shapes (H,W) and (C,H,W)", got))
    check_finite("image", image)


def _tight_boxes(labels: Array, count: int) -> Array:
    """Return the box (R,4) around the pixels of each region."""
    rows, columns = (place.ravel() for place in np.indices(labels.shape))
    boxes = np.empty((count, 4), dtype=np.int64)
    boxes[:, :2], boxes[:, 2:] = labels.size, 0
    for side, place in ((0, columns), (1, rows)):
        np.minimum.at(boxes[:, side], labels.ravel(), place)
        np.maximum.at(boxes[:, side + 2], labels.ravel(), place + 1)
    return boxes


def _gradients(channels: Array) -> Array:
    """Return the rise of each channel in each direction, (C*8,H,W), each channel's up to 1."""
    from scipy import ndimage

    angles = np.arange(ORIENTATIONS) * 2 * np.pi / ORIENTATIONS
    directed = []
    for channel in channels:
        down, right = (ndimage.gaussian_filter(channel, 1.0, order=o) for o in ((1, 0), (0, 1)))
        # A Gaussian derivative in any direction is a sum of those along the axes.
        rises = np.stack([np.cos(angle) * right + np.sin(angle) * down for angle in angles])
        rises = rises.clip(min=0)
        top = rises.max()
        directed.append(rises / top if top > 1e-9 else np.zeros_like(rises))  # flat, but rounding
    return np.concatenate(directed)


def _histogram(labels: Array, count: int, channels: Array, bins: int) -> Array:
    """Return the histogram (R,C*bins) of the channels, from 0 to 1, over each region's pixels."""
    counts = []
    for channel in channels:
        seats = (channel * bins).astype(np.int64).clip(0, bins - 1) + labels * bins
        counts.append(np.bincount(seats.ravel(), minlength=count * bins).reshape(count, bins))
    table = np.concatenate(counts, axis=1)
    shares: Array = table / table.sum(axis=1, keepdims=True)
    return shares


def _neighbours(labels: Array) -> Array:
    """Return the pairs (E,2) of regions that lie beside or above each other, sorted."""
    beside = np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()], axis=1)
    above = np.stack([labels[:-1].ravel(), labels[1:].ravel()], axis=1)
    pairs = np.concatenate([beside, above])
    return np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)


def group_regions(regions: Regions, *, measures: Sequence[str] = MEASURES) -> Tensor:
    """Return the boxes of the regions, then of each group as it is made: LongTensor (2R-1,4).

    The two neighbours that are most alike become one group, until one is left. How alike is the
    sum of the measures, each from 0 to 1: the common part of the histograms of "colour" and
    "texture"; "size", ``1 - (size_i + size_j) / size(image)``; "fill", the same with what the box
    around both has beyond them. Of equal pairs that of the earliest groups.

    Args:
        regions: From ``describe_regions``.
        measures: Some of "colour", "texture", "size", "fill".

    Returns:
        x0, y0, x1, y1; the last is the whole image's.

    Raises:
        TypeError: A measure is no string.
        ValueError: It is another string, or there is none.

    Example:
        >>> image = torch.tensor([[[0.1, 0.2, 0.9, 0.9]]])
        >>> group_regions(describe_regions(torch.tensor([[0, 1, 2, 3]]), image))[4:]
        tensor([[2, 0, 4, 1],
                [0, 0, 2, 1],
                [0, 0, 4, 1]])

    References:
        Uijlings et al. 2013, "Selective Search for Object Recognition", algorithm 1, equations 1
        to 6.
    """
    if isinstance(measures, str) or not measures:
        what = "at least one of " + ", ".join(repr(choice) for choice in MEASURES)
        raise ValueError(expected("measures", what, repr(measures)))
    chosen = {check_choice("measures", measure, MEASURES) for measure in measures}
    groups = _Groups(regions, chosen)
    groups.merge_all()
    return torch.from_numpy(groups.boxes)


class _Groups:
    """The groups made so far: those of one region first, numbered as they come."""

    def __init__(self, regions: Regions, measures: set[str]) -> None:
        self.count, self.pixels, self.measures = len(regions.sizes), regions.pixels, measures
        self.sizes, self.boxes, self.colour, self.texture = (
            _with_room(part.numpy())
            for part in (regions.sizes, regions.boxes, regions.colour, regions.texture)
        )
        self.near: dict[int, set[int]] = {group: set() for group in range(self.count)}
        pairs = regions.neighbours.numpy()
        for one, other in pairs.tolist():
            self.near[one].add(other)
            self.near[other].add(one)
        self.queue = self._ranked(pairs[:, 0], pairs[:, 1])
        heapify(self.queue)

    def merge_all(self) -> None:
        """Merge the most alike neighbours until none are left."""
        while self.queue:
            _, one, other = heappop(self.queue)
            if one in self.near and other in self.near:  # both are still groups of their own
                self._merge(one, other)

    def _merge(self, one: int, other: int) -> None:
        new, pair = self.count, [one, other]
        self.count += 1
        shares = self.sizes[pair] / self.sizes[pair].sum()
        self.sizes[new] = self.sizes[pair].sum()
        self.boxes[new] = _around(self.boxes[one], self.boxes[other])
        for histogram in (self.colour, self.texture):
            histogram[new] = shares @ histogram[pair]
        around = (self.near.pop(one) | self.near.pop(other)) - {one, other}
        for group in around:
            self.near[group] = (self.near[group] - {one, other}) | {new}
        self.near[new] = around
        others = np.array(sorted(around), dtype=np.int64)
        for entry in self._ranked(others, np.full_like(others, new)):
            heappush(self.queue, entry)

    def _ranked(self, ones: Array, others: Array) -> list[tuple[float, int, int]]:
        """Return (- how alike, group, group) of the pairs: the most alike sorts first."""
        likeness = -self._likeness(ones, others)
        return list(zip(likeness.tolist(), ones.tolist(), others.tolist(), strict=True))

    def _likeness(self, ones: Array, others: Array) -> Array:
        """Return how alike the groups of each pair are, (P,)."""
        total: Array = np.zeros(len(ones))
        for name, histogram in (("colour", self.colour), ("texture", self.texture)):
            if name in self.measures:
                total += np.minimum(histogram[ones], histogram[others]).sum(axis=1)
        both = self.sizes[ones] + self.sizes[others]
        if "size" in self.measures:
            total += 1 - both / self.pixels
        if "fill" in self.measures:
            box = _around(self.boxes[ones], self.boxes[others])
            area = (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
            total += 1 - (area - both) / self.pixels
        # Pairs that are equally alike are so whatever the rounding of their sums.
        return np.round(total, 10)


def _with_room(values: Array) -> Array:
    """Return rows (R,...) with R - 1 more below them, for the groups to come."""
    return np.concatenate([values, np.zeros_like(values[1:])])


def _around(one: Array, other: Array) -> Array:
    """Return the boxes (...,4) around two boxes each."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    return np.concatenate([low[..., :2], high[..., 2:]], axis=-1)
