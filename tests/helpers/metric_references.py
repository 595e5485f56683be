"""The metrics of one saliency map, one image and one set of pixels at a time.

Probabilities are what `references.read` calls "probability": the softmax over the labels. All
results are shares, not percentages. See `references` for the conventions.
"""

import numpy as np
import torch

from tests.helpers.references import array, masked_image, minmax, read, select, up


def prepared(saliency, size):
    """The map as the metrics use it: ReLU, upsampled to (H, W), minmax."""
    return minmax(up(np.maximum(array(saliency), 0.0), size))


def probability(model, x, target):
    """p_c of one image (c,H,W)."""
    with torch.no_grad():
        outputs = model(x[None])
    return select(read(outputs if outputs.ndim == 0 else outputs[0], "probability"), target)


# Average Drop, Average Increase


def _before_and_after(model, x, saliency, target, baseline):
    """Y_c of the image and O_c of the image behind its map."""
    hidden = masked_image(x, prepared(saliency, tuple(x.shape[-2:])), baseline)
    return probability(model, x, target), probability(model, hidden, target)


def drop(model, x, saliency, target, *, baseline=None, signed=False):
    """max(0, Y_c - O_c) / Y_c of one image; ``signed`` leaves the max out. Y_c must not be 0."""
    y, o = _before_and_after(model, x, saliency, target, baseline)
    change = (y - o) / y
    return change if signed else max(0.0, change)


def increase(model, x, saliency, target, *, baseline=None):
    """1 if O_c > Y_c, else 0."""
    y, o = _before_and_after(model, x, saliency, target, baseline)
    return 1.0 if o > y else 0.0


def average_drop(model, images, saliencies, targets, *, baseline=None, signed=False):
    """Average Drop of several images; ``signed``: the confidence drop of 002."""
    drops = [
        drop(model, x, saliency, target, baseline=baseline, signed=signed)
        for x, saliency, target in zip(images, saliencies, targets, strict=True)
    ]
    return sum(drops) / len(drops)


def average_increase(model, images, saliencies, targets, *, baseline=None):
    """The share of the images whose probability rises behind the map."""
    rises = [
        increase(model, x, saliency, target, baseline=baseline)
        for x, saliency, target in zip(images, saliencies, targets, strict=True)
    ]
    return sum(rises) / len(rises)


# Deletion, Insertion


def pixel_order(saliency):
    """The positions (row, column) by decreasing saliency, equal ones in reading order."""
    saliency = array(saliency)
    positions = list(np.ndindex(saliency.shape))
    return sorted(positions, key=lambda position: -saliency[position])  # sorted is stable


def steps(size):
    """How many pixels have been changed after step 0, 1, ..., n: 8 W more each, at last all."""
    H, W = size
    counts = [0]
    while counts[-1] < H * W:
        counts.append(min(counts[-1] + 8 * W, H * W))
    return counts


def curve(model, x, saliency, target, kind, *, baseline=None):
    """The shares of changed pixels and the probabilities of c, two lists of n + 1 numbers.

    ``kind`` "deletion": from the image to the baseline; "insertion": from the baseline to the
    image. The most salient pixels come first.
    """
    size = tuple(x.shape[-2:])
    b = torch.zeros_like(x) if baseline is None else torch.zeros_like(x) + baseline
    if kind == "deletion":
        start, end = x, b
    elif kind == "insertion":
        start, end = b, x
    else:
        raise ValueError(kind)
    order = pixel_order(prepared(saliency, size))
    shares, values = [], []
    for count in steps(size):
        image = start.clone()
        for i, j in order[:count]:
            image[:, i, j] = end[:, i, j]
        shares.append(count / len(order))
        values.append(probability(model, image, target))
    return shares, values


def area(shares, values):
    """The trapezoid rule."""
    total = 0.0
    for k in range(1, len(shares)):
        total += (shares[k] - shares[k - 1]) * (values[k] + values[k - 1]) / 2
    return total


def deletion(model, x, saliency, target, *, baseline=None):
    """The area under the deletion curve."""
    return area(*curve(model, x, saliency, target, "deletion", baseline=baseline))


def insertion(model, x, saliency, target, *, baseline=None):
    """The area under the insertion curve."""
    return area(*curve(model, x, saliency, target, "insertion", baseline=baseline))


def overall(model, x, saliency, target, *, baseline=None):
    """Insertion - Deletion."""
    return insertion(model, x, saliency, target, baseline=baseline) - deletion(
        model, x, saliency, target, baseline=baseline
    )


# Proportion


def boxes_mask(boxes, size):
    """True where a pixel's centre lies in one of the boxes (x1, y1, x2, y2), far edge excluded."""
    inside = np.zeros(size, dtype=bool)
    for x1, y1, x2, y2 in boxes:
        for i, j in np.ndindex(*size):
            if x1 <= j + 0.5 < x2 and y1 <= i + 0.5 < y2:
                inside[i, j] = True
    return inside


def proportion(saliency, inside):
    """The share of the prepared map's sum within ``inside`` (H,W); an all-zero map gives 0."""
    inside = array(inside)
    values = prepared(saliency, inside.shape)
    within, everything = 0.0, 0.0
    for position in np.ndindex(values.shape):
        everything += values[position]
        if inside[position]:
            within += values[position]
    return 0.0 if everything == 0 else within / everything


# Several labels (001)


def _drop(y, o):
    return 0.0 if y == 0 else max(0.0, y - o) / y


def multi_label_pair(whole, masked, complement, c, present):
    """IC, AD, ADO, AR, ARO of one pair (image, label c) and whether the image has other labels.

    The L probabilities of the image, behind the map and behind its complement; ``present`` are the
    labels the image has, c among them.
    """
    others = [n for n in present if n != c]
    dropped = [_drop(whole[n], masked[n]) for n in others]
    lost = [_drop(whole[n], complement[n]) for n in others]
    return {
        "ic": 1.0 if whole[c] < masked[c] else 0.0,
        "ad": _drop(whole[c], masked[c]),
        "ado": sum(dropped) / len(others) if others else 0.0,
        "ar": _drop(whole[c], complement[c]),
        "aro": sum(lost) / len(others) if others else 0.0,
        "others": bool(others),
    }


def _mean(values):
    return sum(values) / len(values) if values else float("nan")


def _harmonic(a, b):
    if np.isnan(a) or np.isnan(b):
        return float("nan")
    return 0.0 if a + b == 0 else 2 * a * b / (a + b)


def _seven(pairs, single_label):
    """The seven values of some pairs together."""
    values = {}
    for name in ("ic", "ad", "ado", "ar", "aro"):
        left_out = single_label == "exclude" and name in ("ado", "aro")
        values[name] = _mean([pair[name] for pair in pairs if pair["others"] or not left_out])
    values["f1_minus"] = _harmonic(values["ad"], values["aro"])
    values["f1_plus"] = _harmonic(values["ar"], values["ado"])
    return values


def multi_label(rows, average, single_label):
    """The seven values of rows as for `multi_label_pair`; c not present: left out."""
    pairs = [(row[3], multi_label_pair(*row)) for row in rows if row[3] in row[4]]
    if average == "micro":
        return _seven([pair for _, pair in pairs], single_label)
    labels = sorted({c for c, _ in pairs})
    each = [_seven([pair for c, pair in pairs if c == label], single_label) for label in labels]
    names = ("ic", "ad", "ado", "ar", "aro", "f1_minus", "f1_plus")
    return {
        name: _mean([values[name] for values in each if not np.isnan(values[name])])
        for name in names
    }
