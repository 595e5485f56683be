"""Slow derivations of object proposals: one pixel, one pair of regions, one box at a time."""

import itertools
import math
from fractions import Fraction

import numpy as np

from tests.helpers.localization_references import box_around, box_iou
from tests.helpers.references import array

# Peaks


def peaks(values, distance, share):
    """The places (row, column) of the plateaus without a higher pixel near, strongest first."""
    values = array(values)
    if values.size == 0 or values.max() <= 0:
        return []
    found, seen = [], set()
    for start in np.ndindex(values.shape):
        if start not in seen and values[start] > 0 and values[start] >= share * values.max():
            plateau = _flat_part(values, start)
            seen.update(plateau)
            if not any(_has_higher(values, place, distance) for place in plateau):
                found.append((values[start], _middle(plateau)))
    found.sort(key=lambda item: (-item[0], item[1]))
    kept = []
    for _, place in found:
        if all(max(abs(place[0] - i), abs(place[1] - j)) > distance for i, j in kept):
            kept.append(place)
    return kept


def _flat_part(values, start):
    """All pixels of the start's value that it reaches over pixels of that value."""
    part, waiting = {start}, [start]
    while waiting:
        i, j = waiting.pop()
        for near in itertools.product((i - 1, i, i + 1), (j - 1, j, j + 1)):
            inside = 0 <= near[0] < values.shape[0] and 0 <= near[1] < values.shape[1]
            if inside and near not in part and values[near] == values[start]:
                part.add(near)
                waiting.append(near)
    return sorted(part)


def _has_higher(values, place, distance):
    return any(
        values[other] > values[place]
        for other in np.ndindex(values.shape)
        if max(abs(place[0] - other[0]), abs(place[1] - other[1])) <= distance
    )


def _middle(part):
    """The first of the places that are nearest to their mean."""
    means = [Fraction(sum(place[axis] for place in part), len(part)) for axis in (0, 1)]
    return min(part, key=lambda place: sum((place[a] - means[a]) ** 2 for a in (0, 1)))


# Selective search


def _reflected(i, length):
    """An index before or behind a row, mirrored at the edge of its first or last pixel."""
    i %= 2 * length
    return i if i < length else 2 * length - 1 - i


def directed_gradients(channel):
    """The derivative of a channel in 8 directions, sigma 1, 0 where it falls: 8 arrays."""
    channel = array(channel)
    height, width = channel.shape
    offsets = range(-4, 5)
    bell = {x: math.exp(-x * x / 2) for x in offsets}
    total = sum(bell.values())
    bell = {x: weight / total for x, weight in bell.items()}
    right, down = np.zeros_like(channel), np.zeros_like(channel)
    for i, j in np.ndindex(channel.shape):
        for y, x in itertools.product(offsets, offsets):
            value = channel[_reflected(i + y, height), _reflected(j + x, width)]
            right[i, j] += value * bell[y] * bell[x] * x
            down[i, j] += value * bell[y] * bell[x] * y
    angles = [math.radians(45 * step) for step in range(8)]
    return [np.maximum(0, math.cos(a) * right + math.sin(a) * down) for a in angles]


def histogram(part, channels, bins):
    """The share of each bin of each channel, over the pixels of a part: all shares sum to 1."""
    counts = [[0] * bins for _ in channels]
    for number, channel in enumerate(channels):
        for place in part:
            counts[number][min(int(channel[place] * bins), bins - 1)] += 1
    return [count / (len(part) * len(channels)) for row in counts for count in row]


def textures(image):
    """The 8 directed gradients of each channel, each channel's divided by its greatest."""
    found = []
    for channel in array(image):
        directed = directed_gradients(channel)
        top = max(one.max() for one in directed)
        found += [one / top if top > 1e-9 else np.zeros_like(one) for one in directed]
    return found


def selective_search(segments, image, measures):
    """The boxes of the regions and of each group, merged two by two from their pixels."""
    segments, image = np.asarray(segments), array(image)
    names = np.unique(segments).tolist()
    groups = {
        n: list(map(tuple, np.argwhere(segments == name).tolist())) for n, name in enumerate(names)
    }
    colours, gradients = list(image), textures(image)
    looks = {}

    def look(number):
        if number not in looks:
            part = groups[number]
            looks[number] = histogram(part, colours, 25), histogram(part, gradients, 10)
        return looks[number]

    def likeness(one, other):
        both = len(groups[one]) + len(groups[other])
        x0, y0, x1, y1 = box_around(groups[one] + groups[other])
        parts = {
            "colour": sum(map(min, look(one)[0], look(other)[0])),
            "texture": sum(map(min, look(one)[1], look(other)[1])),
            "size": 1 - both / segments.size,
            "fill": 1 - ((x1 - x0) * (y1 - y0) - both) / segments.size,
        }
        return sum(
            parts[name] for name in ("colour", "texture", "size", "fill") if name in measures
        )

    boxes = [box_around(part) for part in groups.values()]
    while len(groups) > 1:
        pairs = [
            pair for pair in itertools.combinations(sorted(groups), 2) if _touch(groups, *pair)
        ]
        # Rounding aside: of equal pairs that of the earliest groups.
        one, other = min(pairs, key=lambda pair: (-round(likeness(*pair), 10), pair))
        new = len(boxes)
        groups[new] = groups.pop(one) + groups.pop(other)
        boxes.append(box_around(groups[new]))
    return boxes


def _touch(groups, one, other):
    """Whether two groups share an edge of a pixel."""
    places = set(groups[other])
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    return any((i + di, j + dj) in places for i, j in groups[one] for di, dj in steps)


# Proposals


def proposals(maps, labels, boxes, score, distance, share):
    """(label, box, score, peak) of the best box around each peak, by label and falling score."""
    found = []
    for t, label in enumerate(labels):
        chosen = {}
        for i, j in peaks(maps[t], distance, share):
            around = [
                n for n, (x0, y0, x1, y1) in enumerate(boxes) if x0 <= j < x1 and y0 <= i < y1
            ]
            if around:
                best = max(around, key=lambda n: (score(boxes[n], label), -n))
                chosen.setdefault(best, (label, boxes[best], score(boxes[best], label), (i, j)))
        found += sorted(chosen.values(), key=lambda item: -item[2])
    return found


# Judgement


def judge(pairs, iou=0.5):
    """Counts of pairs (proposals, label, boxes) by label: hits, pairs, found, overlap, objects."""
    counts = {}
    for proposed, label, objects in pairs:
        if not objects:
            continue
        own = counts.setdefault(label, [0, 0, 0, 0.0, 0])
        own[0] += bool(proposed) and any(box_iou(proposed[0], one) >= iou for one in objects)
        own[1] += 1
        for one in objects:
            best = max((box_iou(box, one) for box in proposed), default=0.0)
            own[2] += best >= iou
            own[3] += best
            own[4] += 1
    return counts


def share_of(counts, part, whole, average):
    """The mean of the labels' shares, or the share over all of them."""
    if average == "macro":
        return sum(own[part] / own[whole] for own in counts.values()) / len(counts)
    return sum(own[part] for own in counts.values()) / sum(own[whole] for own in counts.values())
