"""Multi-branch and multi-level CAM (000) of one image, element by element. See `references`.

A branch is a pair (maps (C,h,w), gradients) of one layer; ``gradients[output]`` is (C,h,w), the
gradient of that output at the maps. A network is a list of branches.
"""

import numpy as np

from tests.helpers.references import array, up


def by_maximum(a):
    """ReLU, then division by the largest value; no positive value: zeros."""
    a = array(a)
    highest = max(max(0.0, value) for value in a.flatten().tolist())
    out = np.zeros_like(a)
    for place in np.ndindex(a.shape):
        if a[place] > 0:
            out[place] = a[place] / highest
    return out


def largest(sizes):
    """The greatest height and the greatest width."""
    return max(size[0] for size in sizes), max(size[1] for size in sizes)


def grad_cam(maps, gradient):
    """sum_k (mean of dS/dA_k) A_k, signed."""
    maps, gradient = array(maps), array(gradient)
    out = np.zeros(maps.shape[1:])
    for own, slope in zip(maps, gradient, strict=True):
        out += sum(slope.flatten().tolist()) / slope.size * own
    return out


def multi_branch_cam(layers):
    """Mean over the layers of each Grad-CAM; ``layers`` are pairs (maps, gradient) (C,h,w)."""
    size = largest([array(maps).shape[1:] for maps, _ in layers])
    total = np.zeros(size)
    for maps, gradient in layers:
        positive = np.maximum(grad_cam(maps, gradient), 0.0)
        total += by_maximum(up(positive, size))
    return total / len(layers)


def rest_of(target, rest, n_labels, present, groups):
    """The labels whose map is taken away from the target's."""
    if rest == "present":
        return {label for label in present if label != target}
    if rest == "all":
        return {label for label in range(n_labels) if label != target}
    mates = set()
    for level in groups:
        mates |= {label for label in range(n_labels) if int(level[label]) == int(level[target])}
    return mates - {target}


def multi_level_cam(networks, groups, target, rest="present", *, n_labels, present=()):
    """Equation 5: ``networks`` is the one of all labels and then that of each level."""
    size = largest([array(maps).shape[1:] for network in networks for maps, _ in network])

    def map_of(network, output):
        branches = [(maps, gradients[output]) for maps, gradients in network]
        return by_maximum(up(multi_branch_cam(branches), size))

    total = map_of(networks[0], target)
    for network, level in zip(networks[1:], groups, strict=True):
        total = total + map_of(network, int(level[target])) / len(groups)
    # The maximum over the rest classes, each divided by its own maximum on its own grid first.
    own = largest([array(maps).shape[1:] for maps, _ in networks[0]])
    others = np.zeros(own)
    for label in sorted(rest_of(target, rest, n_labels, present, groups)):
        branches = [(maps, gradients[label]) for maps, gradients in networks[0]]
        others = np.maximum(others, by_maximum(multi_branch_cam(branches)))
    return by_maximum(total - by_maximum(up(others, size)))
