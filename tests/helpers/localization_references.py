"""Slow derivations of what a map says of the object's place: one map, one pixel at a time.

Boxes are (x0, y0, x1, y1) in pixels; regions and masks are (H,W). The conventions of
`metric_references` and `references`.
"""

import math

import numpy as np

from tests.helpers.metric_references import boxes_mask, prepared
from tests.helpers.references import array

# Pointing game


def pointing(saliency, inside, tolerance=0):
    """1 if a pixel of ``inside`` is no further than ``tolerance`` from the first maximum."""
    inside = array(inside)
    values = prepared(saliency, inside.shape)
    if values.max() == 0:
        return 0.0
    best = (0, 0)
    for position in np.ndindex(values.shape):
        if values[position] > values[best]:
            best = position
    for position in np.ndindex(values.shape):
        if inside[position] and math.dist(position, best) <= tolerance:
            return 1.0
    return 0.0


# Boxes and masks of a map


def cut(saliency, size, threshold):
    """Where the prepared map is at least the threshold; nowhere if it is all zero."""
    values = prepared(saliency, size)
    return (values >= threshold) & (values.max() > 0)


def components(mask):
    """The connected parts of a mask, 8 neighbours, as lists of positions in reading order."""
    mask, seen, parts = array(mask) > 0, set(), []
    for start in np.ndindex(mask.shape):
        if not mask[start] or start in seen:
            continue
        part, waiting = [], [start]
        seen.add(start)
        while waiting:
            i, j = waiting.pop()
            part.append((i, j))
            for near in ((i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)):
                inside = 0 <= near[0] < mask.shape[0] and 0 <= near[1] < mask.shape[1]
                if inside and mask[near] and near not in seen:
                    seen.add(near)
                    waiting.append(near)
        parts.append(sorted(part))
    return parts


def box_around(part):
    """The smallest box around some positions (row, column)."""
    rows, columns = [i for i, _ in part], [j for _, j in part]
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def clipped(boxes, size):
    """The boxes cut to the image; those without a pixel are dropped."""
    kept = []
    for x0, y0, x1, y1 in boxes:
        box = (max(x0, 0), max(y0, 0), min(x1, size[1]), min(y1, size[0]))
        if boxes_mask([box], size).any():
            kept.append(box)
    return kept


def box_iou(a, b):
    """The IoU of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return common / (areas - common)


def localization_error(saliency, boxes, threshold=0.15, iou=0.5):
    """1 if the map's box has an IoU below ``iou`` with each of the boxes; None without a box."""
    saliency = array(saliency)
    boxes = clipped(boxes, saliency.shape)
    if not boxes:
        return None
    parts = components(cut(saliency, saliency.shape, threshold))
    if not parts:
        return 1.0
    box = box_around(max(parts, key=len))  # max takes the first of equal ones
    return 0.0 if any(box_iou(box, other) >= iou for other in boxes) else 1.0


def mask_iou(a, b):
    """The IoU of two masks; 0 where both are empty."""
    common = sum(bool(x and y) for x, y in zip(array(a).flat, array(b).flat, strict=True))
    union = sum(bool(x or y) for x, y in zip(array(a).flat, array(b).flat, strict=True))
    return common / union if union else 0.0


def object_iou(saliency, inside, threshold=0.15):
    """The IoU of the cut map and the region."""
    return mask_iou(cut(saliency, array(inside).shape, threshold), inside)


def share_in(part, other):
    """The share of a mask's pixels that are in another; 0 where it has none."""
    pixels = [position for position in np.ndindex(array(part).shape) if array(part)[position]]
    return sum(bool(array(other)[p]) for p in pixels) / len(pixels) if pixels else 0.0


def object_recall(saliency, inside, threshold=0.15):
    """The share of the region that the cut map covers."""
    return share_in(inside, cut(saliency, array(inside).shape, threshold))


def object_precision(saliency, inside, threshold=0.15):
    """The share of the cut map that is in the region; 0 where nothing is cut."""
    return share_in(cut(saliency, array(inside).shape, threshold), inside)


def mean_of_classes(values, targets):
    """The mean over classes of the mean of each class's values; None values are left out."""
    kept = [(v, t) for v, t in zip(values, targets, strict=True) if v is not None]
    means = []
    for label in sorted({t for _, t in kept}):
        own = [v for v, t in kept if t == label]
        means.append(sum(own) / len(own))
    return sum(means) / len(means) if means else math.nan


# Segmentation


def label_map(maps, present, size, background=0.15):
    """0 or a label plus one at each pixel: the first greatest of the background and the labels."""
    energies = {label: prepared(maps[label], size) for label in present}
    found = np.zeros(size, dtype=int)
    for position in np.ndindex(size):
        best = background
        for label in sorted(present):
            if energies[label][position] > best:
                best, found[position] = energies[label][position], label + 1
    return found


def class_counts(found, truth, classes, ignored=255):
    """For each class the pixels predicted and true, predicted, and true, over some images."""
    counts = [[0, 0, 0] for _ in range(classes)]
    for one, other in zip(found, truth, strict=True):
        for p, t in zip(np.ravel(one), np.ravel(other), strict=True):
            if t == ignored:
                continue
            counts[p][1] += 1
            counts[t][2] += 1
            if p == t:
                counts[p][0] += 1
    return counts


def mean_iou(counts, average="present"):
    """The mean IoU of the counts: over the classes that are true somewhere, or over all."""
    values = [
        common / (p + t - common)
        for common, p, t in counts
        if t > 0 or (average == "all" and p > 0)
    ]
    return sum(values) / (len(counts) if average == "all" else len(values))


def mean_f_score(counts):
    """The mean over the true classes of the harmonic mean of precision and recall."""
    values = []
    for common, p, t in counts:
        if t == 0:
            continue
        precision, recall = (common / p if p else 0.0), common / t
        both = precision + recall
        values.append(2 * precision * recall / both if both else 0.0)
    return sum(values) / len(values)


# Likeness


def ranks(values):
    """The rank of each value from 1, equal ones share the mean of theirs."""
    values = array(values).ravel()
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def spearman(a, b):
    """The correlation of the ranks."""
    x, y = np.array(ranks(a)), np.array(ranks(b))
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum()))


def ssim(a, b):
    """Wang et al. 2004 with an 11x11 Gaussian window of sigma 1.5, reflected at the border."""
    a, b = (np.pad(array(values), 5, mode="reflect") for values in (a, b))
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / bell.sum() ** 2
    c1, c2, found = 0.01**2, 0.03**2, []
    for i, j in np.ndindex(a.shape[0] - 10, a.shape[1] - 10):
        x, y = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
        mx, my = (window * x).sum(), (window * y).sum()
        vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
        cov = (window * (x - mx) * (y - my)).sum()
        found.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(found))
