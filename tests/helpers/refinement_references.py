"""Walks, lattices and random fields computed slowly, as the papers write them, in float64."""

import itertools
import math

import numpy as np


def affinities(features, radius):
    """AffinityNet's equation 3, pixel by pixel: (D,h,w) to (h*w,h*w)."""
    _, h, w = features.shape
    pixels = list(itertools.product(range(h), range(w)))
    found = np.zeros((h * w, h * w))
    for i, one in enumerate(pixels):
        for j, other in enumerate(pixels):
            if math.dist(one, other) < radius:
                apart = [abs(f[one] - f[other]) for f in features]
                found[i, j] = math.exp(-sum(apart) / len(apart))
    return found


def walk(scores, features, *, radius, power, log_steps):
    """The paper's equations 11 and 12: ``T = D^-1 A^power`` to the power, times each map."""
    powers = affinities(features, radius) ** power
    matrix = np.diag(1 / powers.sum(axis=1)) @ powers
    steps = np.linalg.matrix_power(matrix, 2**log_steps)
    return np.stack([(steps @ one.ravel()).reshape(one.shape) for one in scores])


def affinity_loss(features, labels, radius, ignored=255):
    """The three means of AffinityNet's loss, and the loss, pair by pair: (N,D,h,w) and (N,h,w)."""
    costs = {"background": [], "foreground": [], "negative": []}
    for image, mask in zip(features, labels, strict=True):
        found, flat = affinities(image, radius), mask.ravel()
        for i, j in itertools.combinations(range(len(flat)), 2):
            if ignored in (flat[i], flat[j]) or found[i, j] == 0:
                continue
            if flat[i] != flat[j]:
                costs["negative"].append(-math.log(max(1 - found[i, j], 1e-12)))
            else:
                name = "background" if flat[i] == 0 else "foreground"
                costs[name].append(-math.log(found[i, j]))
    means = [sum(values) / len(values) if values else 0.0 for values in costs.values()]
    return means, means[0] / 4 + means[1] / 4 + means[2] / 2


def gaussian(points):
    """``exp(-|f_i - f_j|^2 / 2)`` of all pairs of points (P,d)."""
    return np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=-1) / 2)


def normalized(kernel):
    """``D^-1/2 K D^-1/2``."""
    scale = 1 / np.sqrt(kernel.sum(axis=1))
    return kernel * scale[:, None] * scale[None]


def simplex(point):
    """The corners of a point's simplex and its coordinates there (Adams et al., section 4)."""
    d = len(point)
    elevation = np.zeros((d + 1, d))
    for i in range(d):
        elevation[: i + 1, i], elevation[i + 1, i] = 1.0, -(i + 1.0)
        elevation[:, i] /= math.sqrt((i + 1) * (i + 2))
    place = math.sqrt(2 / 3) * (d + 1) * elevation @ point
    origin = np.round(place / (d + 1)) * (d + 1)
    while origin.sum() > 0:  # of equal ones the last, as in the order below
        origin[d - np.argmin((place - origin)[::-1])] -= d + 1
    while origin.sum() < 0:
        origin[np.argmax(place - origin)] += d + 1
    order = np.argsort(origin - place, kind="stable")
    rest = (place - origin)[order]
    shares = [1 - (rest[0] - rest[d]) / (d + 1)]
    shares += [(rest[d - k] - rest[d + 1 - k]) / (d + 1) for k in range(1, d + 1)]
    corners = []
    for k in range(d + 1):
        corner = origin + k
        corner[order[d + 1 - k :]] -= d + 1
        corners.append(corner)
    np.testing.assert_allclose(np.array(shares) @ np.array(corners), place, atol=1e-9)
    return [tuple(map(int, corner)) for corner in corners], shares


def lattice_filter(points, values):
    """Splat, blur along each axis, slice, with a dictionary as the lattice: (P,C)."""
    d = points.shape[1]
    simplices = [simplex(point) for point in points]
    lattice = {}
    for (corners, shares), value in zip(simplices, values, strict=True):
        for corner, share in zip(corners, shares, strict=True):
            lattice[corner] = lattice.get(corner, 0) + share * value
    for axis in range(d + 1):
        step = np.full(d + 1, -1)
        step[axis] = d
        lattice = {
            corner: value + sum(0.5 * lattice.get(tuple(corner + s * step), 0) for s in (1, -1))
            for corner, value in lattice.items()
        }
    alpha = 1 / (1 + 2.0**-d)
    return np.array(
        [
            alpha * sum(share * lattice[c] for c, share in zip(*case, strict=True))
            for case in simplices
        ]
    )


def crf_points(image, width, colour_width=None):
    """The points of a kernel: positions, and colours if there is a width for them."""
    _, h, w = image.shape
    points = []
    for y, x in itertools.product(range(h), range(w)):
        colours = [] if colour_width is None else list(image[:, y, x] * 255 / colour_width)
        points.append([x / width, y / width, *colours])
    return np.array(points)


def mean_field(probabilities, kernels, iterations):
    """Algorithm 1 of Krähenbühl and Koltun with Potts; ``kernels``: weights and (P,P) each."""
    labels = len(probabilities)
    unary = -np.log(np.maximum(probabilities.reshape(labels, -1), 1e-5))
    q = np.exp(-unary) / np.exp(-unary).sum(axis=0)
    for _ in range(iterations):
        energy = unary.copy()
        for weight, kernel in kernels:
            message = q @ kernel
            for label in range(labels):  # unlike labels cost; like ones do not
                energy[label] += weight * (message.sum(axis=0) - message[label])
        energy -= energy.min(axis=0)
        q = np.exp(-energy) / np.exp(-energy).sum(axis=0)
    return q.reshape(probabilities.shape)
