"""The MinMax family (001) of one image, element by element. See `references` for the conventions.

C_x are the labels present with the target, N_x the same without it, n = |N_x|. Maps come back
signed, before the ReLU.
"""

import math

import numpy as np
import torch

from tests.helpers.references import array, softmax


def present(outputs, labels=None, threshold=0.5):
    """The set of labels present in one image with the outputs ``outputs`` (L,).

    ``labels`` None: those with sigmoid(S) > threshold; outputs that are all within [0, 1] are taken
    for probabilities. A list of ints names the labels. An array, a tensor or a list of bools is
    multi-hot.
    """
    if labels is not None:
        multi_hot = isinstance(labels, torch.Tensor | np.ndarray)
        multi_hot = multi_hot or (len(labels) > 0 and isinstance(labels[0], bool))
        if multi_hot:
            return {label for label, there in enumerate(array(labels).tolist()) if there}
        return {int(label) for label in labels}
    outputs = array(outputs).tolist()
    found = set()
    probabilities = all(0 <= value <= 1 for value in outputs)
    for label, value in enumerate(outputs):
        p = value if probabilities else 1 / (1 + math.exp(-value))
        if p > threshold:
            found.add(label)
    return found


def _coefficient(own, others, decomposed, contrast):
    """What one element (of the gradient or of the weights) gives to alpha.

    ``own`` is the target's, ``others`` the list of those of N_x. Plain: eq. 6 and 7. Decomposed:
    eq. 8 and 9 with ``contrast="positive_sum"``; "sum_positive" has the max inside the sum over
    the others. Without others the terms over N_x are 0.
    """
    n = len(others)
    if not decomposed:
        return own - (sum(others) / n if n else 0.0)
    if contrast == "positive_sum":
        negative = max(0.0, sum(others))
    elif contrast == "sum_positive":
        negative = sum(max(0.0, value) for value in others)
    else:
        raise ValueError(contrast)
    background = min(0.0, own + sum(others))
    return max(0.0, own) - (negative / n if n else 0.0) + background / (n + 1)


def _weighted_sum(maps, weights):
    """sum_k alpha_k A_k, (h,w)."""
    out = np.zeros(maps.shape[1:])
    for alpha, a in zip(weights, maps, strict=True):
        out += alpha * a
    return out


def minmax_grad_cam(
    maps,
    gradients_by_label,
    target,
    labels,
    *,
    decomposed=False,
    reduction="mean",
    contrast="positive_sum",
):
    """sum_k alpha_k A_k (h,w); eq. 4-6, decomposed eq. 8.

    ``gradients_by_label`` is {label: dS_label/dA (C,h,w)} for the target and the ``labels``.
    alpha_k adds the coefficients over the grid ("sum") or takes their mean ("mean").
    """
    maps = array(maps)
    own = array(gradients_by_label[target])
    others = [array(gradients_by_label[j]) for j in sorted({int(j) for j in labels} - {target})]
    C, h, w = maps.shape
    alphas = []
    for k in range(C):
        total = 0.0
        for i in range(h):
            for j in range(w):
                rest = [float(g[k, i, j]) for g in others]
                total += _coefficient(float(own[k, i, j]), rest, decomposed, contrast)
        if reduction == "mean":
            total /= h * w
        elif reduction != "sum":
            raise ValueError(reduction)
        alphas.append(total)
    return _weighted_sum(maps, alphas)


def minmax_cam(maps, weights, target, labels, *, decomposed=False, contrast="positive_sum"):
    """The closed form with the classifier's ``weights`` (L,C) as alpha; eq. 7, decomposed eq. 9."""
    maps, weights = array(maps), array(weights)
    others = sorted({int(j) for j in labels} - {target})
    alphas = []
    for k in range(len(maps)):
        rest = [float(weights[j, k]) for j in others]
        alphas.append(_coefficient(float(weights[target, k]), rest, decomposed, contrast))
    return _weighted_sum(maps, alphas)


def cam(maps, weights, target):
    """sum_k W_ck A_k (h,w); eq. 1 before the ReLU."""
    return _weighted_sum(array(maps), array(weights)[target])


def kernel_usage(weight, magnitude=False):
    """W * softmax(W) (L,C), the softmax over the labels for each input feature; eq. 15.

    ``magnitude``: the softmax of |W|.
    """
    weight = array(weight)
    out = np.zeros_like(weight)
    for k in range(weight.shape[1]):
        column = [float(value) for value in weight[:, k]]
        shares = softmax([abs(value) for value in column] if magnitude else column)
        for label in range(len(column)):
            out[label, k] = column[label] * shares[label]
    return out
