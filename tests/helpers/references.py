"""Slow second derivations of the methods, straight from the equations, to compare the package with.

One image, one channel, one mask at a time, in float64. Nothing here is imported from the package.
``model`` is anything callable on a batch; bind further forward arguments with a lambda. Maps and
masks may be NumPy arrays or tensors; what comes back is NumPy float64 or a plain float. The caller
puts the model into eval mode.
"""

import math

import numpy as np
import torch


def array(a):
    """The values of an array, tensor or nested list as a float64 array of its own."""
    if isinstance(a, torch.Tensor):
        a = a.detach().cpu().numpy()
    return np.array(a, dtype=np.float64)


# Maps and masks


def _source(i, n_in, n_out, align_corners):
    """The two neighbours of output position ``i`` on the input axis and the share of the second."""
    if align_corners:
        position = 0.0 if n_out == 1 else i * (n_in - 1) / (n_out - 1)
    else:
        position = max((i + 0.5) * n_in / n_out - 0.5, 0.0)
    low = min(math.floor(position), n_in - 1)
    high = min(low + 1, n_in - 1)
    return low, high, position - low


def up(a, size, align_corners=False):
    """The 2-D map ``a`` interpolated bilinearly to ``size`` = (H, W).

    Without ``align_corners`` the pixel centres sit at i + 1/2, and positions outside the outermost
    centres take the value of the border. Written as low + share * (high - low), which leaves a
    flat map exactly flat.
    """
    a = array(a)
    h, w = a.shape
    H, W = size
    out = np.zeros((H, W))
    for i in range(H):
        top, bottom, fy = _source(i, h, H, align_corners)
        for j in range(W):
            left, right, fx = _source(j, w, W, align_corners)
            upper = a[top, left] + fx * (a[top, right] - a[top, left])
            lower = a[bottom, left] + fx * (a[bottom, right] - a[bottom, left])
            out[i, j] = upper + fy * (lower - upper)
    return out


def minmax(a):
    """(a - min) / (max - min) of one map; a flat map gives 0."""
    a = array(a)
    low, high = a.min(), a.max()
    if high == low:
        return np.zeros_like(a)
    return (a - low) / (high - low)


def softmax(values):
    """exp(v_k) / sum_j exp(v_j) of a list of numbers."""
    largest = max(values)
    powers = [math.exp(v - largest) for v in values]
    return [power / sum(powers) for power in powers]


# Masked scoring


def read(outputs, score_function):
    """What ``score_function`` reads of the model's output for one image, labels on the first axis.

    ``outputs`` is a tensor (L,), (L,H,W) or a scalar; the result has its shape. "probability" of an
    output with a single label is its sigmoid: the softmax over one label is 1 whatever the model
    says. A callable is given a batch of one, as it would be given the model's output.
    """
    if callable(score_function):
        return score_function(outputs[None])[0]
    if score_function == "logit":
        return outputs
    single = outputs.ndim == 0 or outputs.shape[0] == 1
    if score_function == "sigmoid" or (score_function == "probability" and single):
        return 1.0 / (1.0 + torch.exp(-outputs))
    if score_function == "probability":
        powers = torch.exp(outputs - outputs.max())
        return powers / powers.sum(dim=0)
    raise ValueError(score_function)


def select(values, target):
    """The number that ``target`` names: None (the only one), a label, a tuple, or a callable."""
    if callable(target):
        return float(target(values))
    if target is None:
        return float(values.reshape(()))
    if isinstance(target, tuple | list):
        return float(values[tuple(int(t) for t in target)])
    return float(values[int(target)])


def masked_image(x, mask, baseline=None):
    """x o M + b o (1 - M) for one image (C,H,W) and one mask (H,W).

    ``baseline`` is None (zeros), a number, or a tensor that broadcasts to the image.
    """
    mask = torch.as_tensor(array(mask), dtype=x.dtype, device=x.device)
    b = torch.zeros_like(x) if baseline is None else torch.zeros_like(x) + baseline
    channels = [x[c] * mask + b[c] * (1 - mask) for c in range(x.shape[0])]
    return torch.stack(channels)


def masked_score(model, x, mask, target, score_function, baseline=None):
    """The score of one image behind one mask: one forward pass with a batch of one."""
    with torch.no_grad():
        outputs = model(masked_image(x, mask, baseline)[None])
    one = outputs if outputs.ndim == 0 else outputs[0]
    return select(read(one, score_function), target)


def score_cam_masks(maps, size, align_corners=False):
    """minmax(Up(A_k)) for every channel of one image, (C,H,W)."""
    return np.stack([minmax(up(a, size, align_corners)) for a in array(maps)])


def score_cam(
    model,
    x,
    maps,
    target,
    *,
    weighting="softmax",
    score_function=None,
    baseline=None,
    align_corners=False,
):
    """Score-CAM of one image before the ReLU: sum_k w_k A_k, (h,w).

    ``maps`` (C,h,w) are the layer's maps of the whole image. w = softmax of the scores over the
    channels ("softmax"), S(x o M_k) - S(x_b) ("increase"), or the probability ("probability").
    """
    if score_function is None:
        score_function = "probability" if weighting == "probability" else "logit"
    maps = array(maps)
    size = tuple(x.shape[-2:])

    scores = [
        masked_score(model, x, mask, target, score_function, baseline)
        for mask in score_cam_masks(maps, size, align_corners)
    ]

    if weighting == "softmax":
        weights = softmax(scores)
    elif weighting == "increase":
        # behind a mask of zeros there is nothing but the baseline image
        reference = masked_score(model, x, np.zeros(size), target, score_function, baseline)
        weights = [score - reference for score in scores]
    elif weighting == "probability":
        weights = scores
    else:
        raise ValueError(weighting)

    out = np.zeros(maps.shape[1:])
    for weight, a in zip(weights, maps, strict=True):
        out += weight * a
    return out


def rise_mask(grid, shift, size):
    """One mask of RISE (H,W): the grid (s,s) enlarged to (s + 1) cells and cropped at ``shift``."""
    grid = array(grid)
    s = grid.shape[0]
    H, W = size
    cell_h, cell_w = math.ceil(H / s), math.ceil(W / s)
    large = up(grid, ((s + 1) * cell_h, (s + 1) * cell_w))
    y, x = int(shift[0]), int(shift[1])
    return large[y : y + H, x : x + W]


def rise(
    model,
    x,
    grids,
    shifts,
    target,
    *,
    score_function="probability",
    probability=0.5,
    baseline=None,
):
    """RISE of one image at input size: sum_k score_k M_k / (K * probability), (H,W).

    ``grids`` (K,s,s) hold zeros and ones, ``shifts`` (K,2) are (y, x) with 0 <= y < ceil(H / s) and
    0 <= x < ceil(W / s).
    """
    size = tuple(x.shape[-2:])
    out = np.zeros(size)
    for grid, shift in zip(grids, shifts, strict=True):
        mask = rise_mask(grid, shift, size)
        out += masked_score(model, x, mask, target, score_function, baseline) * mask
    return out / (len(grids) * probability)


# Cluster-CAM


def cluster_means(maps, labels):
    """F~_q = mean of the maps with label q, (K,h,w), in increasing order of the labels."""
    maps = array(maps)
    labels = [int(label) for label in labels]
    means = []
    for q in sorted(set(labels)):
        total, members = np.zeros(maps.shape[1:]), 0
        for a, label in zip(maps, labels, strict=True):
            if label == q:
                total += a
                members += 1
        means.append(total / members)
    return np.stack(means)


def _argmax(values):
    best = 0
    for k, value in enumerate(values):
        if value > values[best]:
            best = k
    return best


def cluster_cam(
    model,
    x,
    maps,
    labels,
    target,
    *,
    beta=0.5,
    combine="base_scissors",
    normalize_masks=True,
    score_function=None,
    baseline=None,
):
    """Cluster-CAM of one image for a given clustering, before the ReLU.

    ``labels`` give each of the C maps its cluster. Returns a dict: "map" (h,w), "means" (K,h,w),
    "scores" (K floats), "weights" (K floats, the coefficients of the means), "base" and "scissors"
    (indices of the largest and the smallest score, the lowest index on ties). With one cluster and
    ``combine="base_scissors"`` nothing is subtracted: the map is beta * F~.
    """
    if score_function is None:
        score_function = "probability" if combine == "base_scissors" else "logit"
    size = tuple(x.shape[-2:])
    means = cluster_means(maps, labels)

    scores = []
    for mean in means:
        mask = up(mean, size)
        if normalize_masks:
            mask = minmax(mask)
        scores.append(masked_score(model, x, mask, target, score_function, baseline))
    base, scissors = _argmax(scores), _argmax([-score for score in scores])

    if combine == "score":
        weights = softmax(scores)
    elif combine == "base_scissors":
        weights = [0.0] * len(scores)
        weights[base] += beta
        if len(scores) > 1:
            weights[scissors] -= 1 - beta
    else:
        raise ValueError(combine)

    out = np.zeros(means.shape[1:])
    for weight, mean in zip(weights, means, strict=True):
        out += weight * mean
    return {
        "map": out,
        "means": means,
        "scores": scores,
        "weights": weights,
        "base": base,
        "scissors": scissors,
    }


# Clustering


def _squared_distance(a, b):
    return float(((a - b) ** 2).sum())


def inertia(maps, labels):
    """Sum over the maps of the squared distance to the mean of their own cluster."""
    maps = array(maps)
    names = sorted({int(label) for label in labels})
    means = cluster_means(maps, labels)
    total = 0.0
    for a, label in zip(maps, labels, strict=True):
        total += _squared_distance(a, means[names.index(int(label))])
    return total


def lloyd_step_is_fixed_point(maps, labels, tol=1e-9):
    """Whether no map is nearer to another cluster's mean than to its own.

    ``tol`` is what a squared distance may be off by, in units of the largest squared distance from
    a map to the mean of all maps.
    """
    maps = array(maps)
    names = sorted({int(label) for label in labels})
    means = cluster_means(maps, labels)
    spread = max(_squared_distance(a, maps.mean(axis=0)) for a in maps)
    for a, label in zip(maps, labels, strict=True):
        own = _squared_distance(a, means[names.index(int(label))])
        for mean in means:
            if own > _squared_distance(a, mean) + tol * spread:
                return False
    return True


def _median(values):
    values = sorted(values)
    middle = len(values) // 2
    if len(values) % 2:
        return values[middle]
    return (values[middle - 1] + values[middle]) / 2


def distances(maps, distance_scale="median"):
    """d_ij between the maps of one image, (C,C), divided by the median over the pairs i < j.

    A median of 0 is replaced by the median of the positive distances, and by 1 if there is none.
    """
    maps = array(maps)
    C = len(maps)
    d = np.zeros((C, C))
    for i in range(C):
        for j in range(C):
            d[i, j] = math.sqrt(_squared_distance(maps[i], maps[j]))
    if distance_scale == "none":
        return d
    if distance_scale != "median":
        raise ValueError(distance_scale)
    pairs = [d[i, j] for i in range(C) for j in range(i + 1, C)]
    scale = _median(pairs) if pairs else 0.0
    if scale == 0:
        positive = [value for value in pairs if value > 0]
        scale = _median(positive) if positive else 1.0
    return d / scale


def ssim(a, b, value_range):
    """Structural similarity of two maps with one window over the whole map, a number in [-1, 1].

    (2 mu_a mu_b + C1) (2 cov + C2) / ((mu_a^2 + mu_b^2 + C1) (var_a + var_b + C2)), population
    moments, C1 = (0.01 R)^2, C2 = (0.03 R)^2.
    """
    a, b = array(a).ravel(), array(b).ravel()
    n = len(a)
    mean_a, mean_b = sum(a) / n, sum(b) / n
    var_a = sum((value - mean_a) ** 2 for value in a) / n
    var_b = sum((value - mean_b) ** 2 for value in b) / n
    cov = sum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True)) / n
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    bottom = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float(top / bottom)


def spectral_graph(
    maps,
    *,
    similarity="euclidean",
    distance_scale="median",
    adjacency="similarity",
    sigma=1.0,
    theta=0.0,
):
    """The graph of one image's maps: a dict of (C,C) arrays and the degrees (C,).

    "distance" d; "similarity" S_ij = exp(-d_ij) or SSIM; "adjacency" A_ij = exp(-(1 - S_ij)/sigma)
    or exp(-d_ij^2/sigma^2), 0 where S_ij <= theta and on the diagonal; "degrees" sum_j A_ij;
    "laplacian" I - D^-1/2 A D^-1/2, with D^-1/2 = 0 for an isolated vertex. d is the Euclidean
    distance whatever the similarity.
    """
    maps = array(maps)
    C = len(maps)
    d = distances(maps, distance_scale)
    value_range = float(maps.max() - maps.min()) or 1.0

    S, A = np.zeros((C, C)), np.zeros((C, C))
    for i in range(C):
        for j in range(C):
            if similarity == "euclidean":
                S[i, j] = math.exp(-d[i, j])
            elif similarity == "ssim":
                S[i, j] = ssim(maps[i], maps[j], value_range)
            else:
                raise ValueError(similarity)
            if i == j or S[i, j] <= theta:
                continue
            if adjacency == "similarity":
                A[i, j] = math.exp(-(1 - S[i, j]) / sigma)
            elif adjacency == "gaussian":
                A[i, j] = math.exp(-(d[i, j] ** 2) / sigma**2)
            else:
                raise ValueError(adjacency)

    degrees = [sum(A[i, j] for j in range(C)) for i in range(C)]
    root = [0.0 if degree == 0 else 1 / math.sqrt(degree) for degree in degrees]
    L = np.zeros((C, C))
    for i in range(C):
        for j in range(C):
            L[i, j] = (1.0 if i == j else 0.0) - root[i] * A[i, j] * root[j]
    return {
        "distance": d,
        "similarity": S,
        "adjacency": A,
        "degrees": np.array(degrees),
        "laplacian": L,
    }


def spectral_embedding(
    maps,
    *,
    n_eigenvectors,
    similarity="euclidean",
    distance_scale="median",
    adjacency="similarity",
    sigma=1.0,
    theta=0.0,
):
    """Rows of [u_2 ... u_{m+1}], (C,m): one point per map; the row of an isolated vertex is 0.

    The eigenvectors of the normalised Laplacian in increasing order of the eigenvalues. Their signs
    are arbitrary, and so are their directions where eigenvalues coincide: compare distances between
    rows, or check L u = lambda u with the Laplacian of `spectral_graph`.
    """
    graph = spectral_graph(
        maps,
        similarity=similarity,
        distance_scale=distance_scale,
        adjacency=adjacency,
        sigma=sigma,
        theta=theta,
    )
    _, vectors = np.linalg.eigh(graph["laplacian"])
    rows = vectors[:, 1 : 1 + n_eigenvectors].copy()
    for i, degree in enumerate(graph["degrees"]):
        if degree == 0:
            rows[i] = 0.0
    return rows
