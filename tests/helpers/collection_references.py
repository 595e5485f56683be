"""Collection-CAM (004) of one image, slowly: one channel, one pair, one mask at a time.

A collection is a list of channels, a partition a list with the label of each channel's collection;
collections are numbered in order of their smallest channel. See `references` for the conventions.
"""

import math

import numpy as np
import torch

from tests.helpers.references import array, masked_score, minmax, softmax, up

# Representation vectors and their clustering


def _mean_and_std(values):
    """Mean and population standard deviation; of equal values exactly the value and 0."""
    values = [float(value) for value in values]
    if min(values) == max(values):
        return values[0], 0.0
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def statistics(maps, gradients):
    """psi_k = (mean A_k, std A_k, mean G_k, std G_k) over the grid, (C,4); eq. 5."""
    rows = []
    for a, g in zip(array(maps), array(gradients), strict=True):
        rows.append([*_mean_and_std(a.ravel()), *_mean_and_std(g.ravel())])
    return np.array(rows)


def standardized(points):
    """Each column with mean 0 and population standard deviation 1; a constant column becomes 0."""
    points = array(points)
    out = np.zeros_like(points)
    for column in range(points.shape[1]):
        mean, std = _mean_and_std(points[:, column])
        for k in range(len(points)):
            out[k, column] = 0.0 if std == 0 else (points[k, column] - mean) / std
    return out


def _squared_distance(a, b):
    return sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True))


def centroid(points, members):
    """m(CO) = the mean vector of the members; eq. 7. Exact for equal vectors."""
    points = array(points)
    return [_mean_and_std(points[members, d])[0] for d in range(points.shape[1])]


def squared_error_sum(points, members):
    """S(CO) = sum of the members' squared distances to their centroid; eq. 10."""
    m = centroid(points, members)
    return sum(_squared_distance(points[k], m) for k in members)


def ward(points, sizes):
    """The partitions of each size in ``sizes`` on the way from singletons to one collection.

    In each step the pair with the smallest increment S(CO_i u CO_j) - S(CO_i) - S(CO_j) (eq. 10,
    11) becomes one collection; of equal increments the pair that comes first in lexicographic order
    of (smallest channel of i, smallest channel of j), i < j. Returns {k: list of C labels}.
    """
    points = array(points)
    sizes = sorted({int(k) for k in sizes})
    if sizes[0] < 1 or sizes[-1] > len(points):
        raise ValueError(f"sizes {sizes} for {len(points)} vectors")

    known = {}  # increments of pairs that were looked at before

    def increment(first, second):
        key = (tuple(first), tuple(second))
        if key not in known:
            union = squared_error_sum(points, first + second)
            parts = squared_error_sum(points, first) + squared_error_sum(points, second)
            known[key] = union - parts
        return known[key]

    collections = [[k] for k in range(len(points))]
    partitions = {}
    while True:
        if len(collections) in sizes:
            labels = [0] * len(points)
            for label, members in enumerate(collections):
                for k in members:
                    labels[k] = label
            partitions[len(collections)] = labels
        if len(collections) == sizes[0]:
            return partitions
        best, pair = math.inf, None
        for i in range(len(collections)):
            for j in range(i + 1, len(collections)):
                value = increment(collections[i], collections[j])
                if value < best:
                    best, pair = value, (i, j)
        # j > i, so the union keeps the place of its smallest channel
        i, j = pair
        collections[i] = sorted(collections[i] + collections[j])
        del collections[j]


def collections_of(labels):
    """The members of each collection, in order of the collections' smallest channels."""
    members = {}
    for k, label in enumerate(labels):
        members.setdefault(int(label), []).append(k)
    return list(members.values())


def dsra(points, labels):
    """Mean over the collections of (SIC - DIC) / (SIC + DIC); eq. 12-15.

    0/0 = 0. With one collection there is no other centroid: SIC = 0.
    """
    points = array(points)
    collections = collections_of(labels)
    centroids = [centroid(points, members) for members in collections]
    total = 0.0
    for i, members in enumerate(collections):
        dic = sum(_squared_distance(points[k], centroids[i]) for k in members) / len(members)
        others = [m for j, m in enumerate(centroids) if j != i]
        sic = min((_squared_distance(centroids[i], m) for m in others), default=0.0)
        total += 0.0 if sic + dic == 0 else (sic - dic) / (sic + dic)
    return total / len(collections)


def choose(points, sizes):
    """The size with the largest DSRA, the smallest on ties (eq. 16), and {size: DSRA}.

    Sizes above the number of distinct vectors are dropped; ValueError if none is left or one is
    below 1.
    """
    points = array(points)
    distinct = len({tuple(point) for point in points.tolist()})
    if min(sizes) < 1:
        raise ValueError(f"a partition of size {min(sizes)}")
    kept = [int(k) for k in sizes if k <= distinct]
    if not kept:
        raise ValueError(f"{distinct} distinct vectors for the sizes {list(sizes)}")
    index = {k: dsra(points, labels) for k, labels in ward(points, kept).items()}
    index = dict(sorted(index.items()))
    best = min(index)
    for k, value in index.items():
        if value > index[best]:
            best = k
    return best, index


# Masks


def relu(a):
    return np.maximum(array(a), 0.0)


def quantile(values, q):
    """Linear interpolation between the two order statistics around position q (n - 1)."""
    values = sorted(float(value) for value in np.ravel(values))
    position = q * (len(values) - 1)
    low = math.floor(position)
    high = min(low + 1, len(values) - 1)
    return values[low] + (position - low) * (values[high] - values[low])


def denoise(a, q):
    """The map with every value that is not above its q-quantile set to 0; eq. 21."""
    a = array(a)
    threshold = quantile(a, q)
    out = np.zeros_like(a)
    for position in np.ndindex(a.shape):
        if a[position] > threshold:
            out[position] = a[position]
    return out


def mask(maps, gradients, members, size, final, quantile, relu_after_upsampling=False):
    """The mask (H,W) of the collection ``members`` of one layer; eq. 17-22.

    Shallow: the sum of A where G > 0. Final: the sum of w_k A_k, w_k the spatial mean of G_k.
    Rectified before the upsampling or after it (Algorithm 1), denoised, then minmax.
    """
    maps, gradients = array(maps), array(gradients)
    total = np.zeros(maps.shape[1:])
    for k in members:
        weight = _mean_and_std(gradients[k].ravel())[0]
        for i, j in np.ndindex(total.shape):
            if final:
                total[i, j] += weight * maps[k, i, j]
            elif gradients[k, i, j] > 0:
                total[i, j] += maps[k, i, j]
    enlarged = relu(up(total, size)) if relu_after_upsampling else up(relu(total), size)
    return minmax(denoise(enlarged, quantile))


def collection_cam(
    model,
    x,
    layers,
    target,
    *,
    partition_sizes=range(2, 11),
    denoise_quantile=0.1,
    standardize=False,
    score_function="logit",
    baseline=None,
    relu_after_upsampling=False,
):
    """Collection-CAM of one image ``x`` (c,H,W) at input size.

    ``layers`` lists (maps (C,h,w), gradients (C,h,w)), shallow to final. Returns a dict: "map"
    (H,W); "sizes", the size chosen for each layer; "index", {size: DSRA} of each layer; "members",
    the channels of each collection of each layer; "masks" (H,W), layer by layer, in each layer in
    order of the collections' smallest channels; "scores" S(x o M), "weights" their softmax; and
    "mic_of", a function without arguments that makes the pass of the baseline image and returns the
    MIC of each mask (eq. 23).
    """
    size = tuple(x.shape[-2:])
    sizes, index, members_of_layers, masks = [], [], [], []
    for number, (maps, gradients) in enumerate(layers):
        points = statistics(maps, gradients)
        if standardize:
            points = standardized(points)
        k, values = choose(points, partition_sizes)
        collections = collections_of(ward(points, [k])[k])
        sizes.append(k)
        index.append(values)
        members_of_layers.append(collections)
        options = (size, number == len(layers) - 1, denoise_quantile, relu_after_upsampling)
        masks += [mask(maps, gradients, members, *options) for members in collections]

    # the constant S(x_b) of the MIC cancels in the softmax
    scores = [masked_score(model, x, m, target, score_function, baseline) for m in masks]
    weights = softmax(scores)
    total = np.zeros(size)
    for weight, m in zip(weights, masks, strict=True):
        total += weight * m

    def mic_of():
        black = np.zeros(size)  # behind a mask of zeros there is nothing but the baseline image
        constant = masked_score(model, x, black, target, score_function, baseline)
        return [score - constant for score in scores]

    return {
        "map": relu(total),
        "sizes": sizes,
        "index": index,
        "members": members_of_layers,
        "masks": masks,
        "scores": scores,
        "weights": weights,
        "mic_of": mic_of,
    }


# Activations and gradients


def _pick(outputs, target):
    """The number of one image's outputs that ``target`` names, with its graph."""
    if callable(target):
        return target(outputs)
    if target is None:
        return outputs.reshape(())
    if isinstance(target, tuple | list):
        return outputs[tuple(int(t) for t in target)]
    return outputs[int(target)]


def _cut(model, layer, x, target):
    """One pass in which ``layer``'s output is a leaf: the leaf, and S_c with its graph.

    What follows gets a clone, so that an in-place layer cannot overwrite the leaf. Of a layer that
    is called several times the last call counts.
    """
    leaves = []

    def hook(module, inputs, output):
        leaves.append(output.detach().clone().requires_grad_())
        return leaves[-1].clone()

    handle = layer.register_forward_hook(hook)
    try:
        with torch.enable_grad():
            outputs = model(x[None])
            score = _pick(outputs if outputs.ndim == 0 else outputs[0], target)
    finally:
        handle.remove()
    return leaves[-1], score


def activations(model, layer, x):
    """A (C,h,w): what ``layer`` gives for one image."""
    return array(_cut(model, layer, x, lambda outputs: outputs)[0][0])


def gradients(model, layer, x, target):
    """G = dS_c/dA (C,h,w) for one image; S is the model's output as it gives it."""
    leaf, score = _cut(model, layer, x, target)
    return array(torch.autograd.grad(score, leaf)[0][0])


def numeric_gradient(f, a, eps=1e-6):
    """Central differences (f(a + eps) - f(a - eps)) / (2 eps), one element of ``a`` at a time."""
    a = array(a)
    out = np.zeros_like(a)
    for position in np.ndindex(a.shape):
        step = np.zeros_like(a)
        step[position] = eps
        out[position] = (float(f(a + step)) - float(f(a - step))) / (2 * eps)
    return out
