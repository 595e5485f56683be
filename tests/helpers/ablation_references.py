"""Slow second derivation of Ablation-CAM, straight from its equations.

One image, one map, one whole forward pass at a time, in float64; no part of the model is skipped.
Nothing here is imported from the package.
"""

import numpy as np
import torch

from tests.helpers.references import array, read, select


def _output_of(model, layer, x, change, call):
    """The output for one image whose layer gives ``change(output)`` in its call number ``call``."""
    calls = []

    def hook(_, __, output):
        calls.append(1)
        return change(output) if len(calls) == call else None

    handle = layer.register_forward_hook(hook)
    try:
        with torch.no_grad():
            return model(x[None])[0], len(calls)
    finally:
        handle.remove()


def _without(maps, channel, value):
    """A copy of maps (C,h,w) or (1,C,h,w) with one of them set to a number."""
    changed = maps.clone()
    for i in range(changed.shape[-2]):
        for j in range(changed.shape[-1]):
            changed[..., channel, i, j] = value
    return changed


def ablation_cam(model, layer, x, target, *, score_function="logit", fill="zero"):
    """The map (h,w) of one image (c,H,W), the weights (C) and the scores (C), as NumPy float64.

    The layer gives one tensor (1,C,h,w). ``fill`` "low" is 1e7 below the smallest of its values,
    unless that is 0.
    """
    given = []
    whole, calls = _output_of(model, layer, x, lambda out: given.append(out.clone()), None)
    keep = layer.register_forward_hook(lambda _, __, out: given.append(out.clone()))
    with torch.no_grad():
        model(x[None])
    keep.remove()
    maps = given[-1]
    value = 0.0
    if fill == "low" and float(maps.min()) != 0:
        value = float(maps.min()) - 1e7
    y = select(read(whole, score_function), target)
    scores, weights = [], []
    total = np.zeros(maps.shape[-2:])
    for channel in range(maps.shape[1]):
        output, _ = _output_of(
            model, layer, x, lambda out, k=channel: _without(out, k, value), calls
        )
        score = select(read(output, score_function), target)
        weight = (y - score) / y if y != 0 else y - score
        scores.append(score)
        weights.append(weight)
        total += weight * array(maps[0, channel])
    return total, np.array(weights), np.array(scores)
