"""Random walks over pixels that look alike: affinities, the transition matrix, the walk."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, check_integer, check_number, expected
from captum_cluster.functional.weak.sparse_rows import SparseRows

CHUNK = 2**24  # differences of features that exist at the same time


def pixel_pairs(h: int, w: int, *, radius: float = 5) -> Tensor:
    """Return the pairs of different pixels nearer to each other than ``radius``, each pair once.

    Strictly nearer, as the paper's set of pairs and its authors' code have it: with a radius of 5
    a pixel far from the border has 68 neighbours.

    Args:
        h: Height of the grid.
        w: Width of the grid.
        radius: In pixels of the grid, above 0.

    Returns:
        LongTensor (2,P): the pixels' numbers ``y * w + x``, the smaller one first.

    Raises:
        TypeError: A size is no integer, or ``radius`` no number.
        ValueError: One of them is outside its range.

    Example:
        >>> pixel_pairs(2, 2, radius=1.2)
        tensor([[0, 2, 0, 1],
                [1, 3, 2, 3]])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity".
    """
    check_integer("h", h, 1)
    check_integer("w", w, 1)
    reach = math.ceil(check_number("radius", radius, 0.0, open_low=True)) - 1
    grid = torch.arange(h * w).reshape(h, w)
    pairs = [
        torch.stack([_cut(grid, 0, 0, dy, dx), _cut(grid, dy, dx, dy, dx)])
        for dy in range(min(reach, h - 1) + 1)
        for dx in range(-min(reach, w - 1), min(reach, w - 1) + 1)
        if (dy, dx) > (0, 0) and math.hypot(dy, dx) < radius
    ]
    return torch.cat([torch.empty(2, 0, dtype=torch.long), *pairs], dim=1)


def _cut(grid: Tensor, top: int, left: int, dy: int, dx: int) -> Tensor:
    """Return the numbers (p,) of the pixels that have a partner at (dy,dx), moved by (top,left)."""
    h, w = grid.shape
    first = max(0, -dx) + left
    return grid[top : top + h - dy, first : first + w - abs(dx)].flatten()


def pair_affinities(features: Tensor, pairs: Tensor) -> Tensor:
    """Return ``exp(-mean_d |f_id - f_jd|)`` of the pixels of each pair.

    Differentiable, for features that are learned.

    Args:
        features: (...,D,h,w) float.
        pairs: LongTensor (2,P), see ``pixel_pairs``.

    Returns:
        (...,P) in (0,1].

    Example:
        >>> pair_affinities(torch.tensor([[[0.0, 1.0]], [[0.0, 3.0]]]), torch.tensor([[0], [1]]))
        tensor([0.1353])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity".
    """
    flat = features.flatten(-2)
    chunk = max(1, CHUNK // max(1, flat[..., 0].numel()))
    ones, others = pairs.to(features.device)
    parts = [
        (flat[..., ones[i : i + chunk]] - flat[..., others[i : i + chunk]]).abs().mean(dim=-2)
        for i in range(0, max(1, len(ones)), chunk)
    ]
    return torch.exp(-torch.cat(parts, dim=-1))


def pixel_affinities(features: Tensor, *, radius: float = 5) -> Tensor:
    """Return the affinities of all pixels of one image as a sparse symmetric matrix.

    ``a_ij = exp(-mean_d |f_id - f_jd|)`` within the radius, 1 on the diagonal, 0 elsewhere.

    Args:
        features: (D,h,w) float.
        radius: As in ``pixel_pairs``.

    Returns:
        Sparse (COO) tensor (h*w,h*w), coalesced.

    Raises:
        TypeError: ``radius`` is no number.
        ValueError: It is not above 0, or the features have another shape or are not finite.

    Example:
        >>> pixel_affinities(torch.tensor([[[0.0, 1.0]]])).to_dense()
        tensor([[1.0000, 0.3679],
                [0.3679, 1.0000]])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity".
    """
    if features.ndim != 3 or features.numel() == 0:
        raise ValueError(expected("features", "of shape (D,h,w)", f"{tuple(features.shape)}"))
    h, w = features.shape[-2:]
    pairs = pixel_pairs(h, w, radius=radius).to(features.device)
    # Half precision would round the walk's many steps away.
    precise = features.to(torch.promote_types(features.dtype, torch.float32))
    near = pair_affinities(check_finite("features", precise), pairs)
    own = torch.arange(h * w, device=features.device)
    indices = torch.cat([pairs, pairs.flip(0), torch.stack([own, own])], dim=1)
    values = torch.cat([near, near, near.new_ones(h * w)])
    return _sparse(indices, values, h * w).coalesce()


def transition(affinities: Tensor, *, power: float = 8) -> Tensor:
    """Return the transition matrix of a walk: ``a_ij ** power``, each column divided by its sum.

    Args:
        affinities: (n,n), dense or sparse (COO), symmetric, from 0 to 1, above 0 on the diagonal.
        power: At least 0; the larger it is, the less goes from a pixel to one unlike it.

    Returns:
        (n,n) of the same layout; each column sums to 1.

    Raises:
        TypeError: ``power`` is no number.
        ValueError: It is negative, or the matrix is not square.

    Example:
        >>> transition(torch.tensor([[1.0, 0.5], [0.5, 1.0]]), power=1)
        tensor([[0.6667, 0.3333],
                [0.3333, 0.6667]])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity" (there transposed: rows sum to
        1, and the scores stand to the right).
    """
    check_number("power", power, 0.0)
    _check_square("affinities", affinities)
    if not affinities.is_sparse:
        powers = affinities**power
        return powers / powers.sum(dim=0)
    affinities = affinities.coalesce()
    indices, powers = affinities.indices(), affinities.values() ** power
    sums = powers.new_zeros(len(affinities)).index_add_(0, indices[1], powers)
    return _sparse(indices, powers / sums[indices[1]], len(affinities)).coalesce()


def random_walk(
    scores: Tensor,
    matrix_or_features: Tensor,
    *,
    log_steps: int = 8,
    radius: float = 5,
    power: float = 8,
) -> Tensor:
    """Return the scores after ``2 ** log_steps`` steps of a walk over the pixels.

    One step makes a pixel's score the mean of the scores around it, weighted by a column of the
    transition matrix T: all steps are ``scores @ T ** (2 ** log_steps)``. That power is made by
    repeated squaring, or the product is taken step by step where that costs less; the results are
    equal up to rounding. A constant map stays as it is, and no score leaves its channel's range.

    Args:
        scores: (C,h,w) float.
        matrix_or_features: A transition matrix (h*w,h*w), dense or sparse, whose columns sum to
            1; or features (D,h,w), of which ``pixel_affinities`` and ``transition`` make one.
        log_steps: Logarithm of the number of steps, at least 0.
        radius: With features, as in ``pixel_affinities``.
        power: With features, as in ``transition``.

    Returns:
        (C,h,w).

    Raises:
        TypeError: An option is no number.
        ValueError: The shapes do not belong together, or an option is outside its range.

    Example:
        >>> alike = torch.tensor([[[0.0, 0.0, 9.0]]])
        >>> random_walk(torch.tensor([[[1.0, 0.0, 0.0]]]), alike).round(decimals=4)
        tensor([[[0.5000, 0.5000, 0.0000]]])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity".
    """
    check_integer("log_steps", log_steps, 0, 62)
    if scores.ndim != 3 or scores.numel() == 0:
        raise ValueError(expected("scores", "of shape (C,h,w)", f"{tuple(scores.shape)}"))
    matrix = matrix_or_features
    if matrix.ndim == 3:
        matrix = transition(pixel_affinities(matrix, radius=radius), power=power)
    _check_transition(matrix, scores.shape[1] * scores.shape[2])
    flat = scores.flatten(1).to(matrix.device, matrix.dtype)
    walk = _by_squaring if _squaring_is_cheaper(flat, matrix, log_steps) else _step_by_step
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    # A weighted mean stays in the range; what rounding adds is cut off.
    walked = walk(flat, matrix, log_steps).clamp(low, high)
    return walked.reshape(scores.shape).to(scores.device, scores.dtype)


def _squaring_is_cheaper(flat: Tensor, matrix: Tensor, log_steps: int) -> bool:
    """Return whether the matrix's power needs fewer products than the steps one by one."""
    entries = int(matrix._nnz()) if matrix.is_sparse else matrix.numel()
    # A dense product makes about ten times as many multiplications in a second as a sparse one.
    slower = 10 if matrix.is_sparse else 1
    steps: int = 2**log_steps
    return log_steps * len(matrix) ** 3 < steps * len(flat) * entries * slower


def _by_squaring(flat: Tensor, matrix: Tensor, log_steps: int) -> Tensor:
    """Return ``flat @ matrix ** (2 ** log_steps)`` through the power."""
    power = matrix.to_dense()
    for _ in range(log_steps):
        power = power @ power
        # Each squaring would double the error of the columns' sums.
        power = power / power.sum(dim=0)
    return flat @ power


def _step_by_step(flat: Tensor, matrix: Tensor, log_steps: int) -> Tensor:
    """Return ``flat @ matrix ** (2 ** log_steps)`` by as many products."""
    turned: Tensor | SparseRows = matrix.T
    if matrix.is_sparse:
        entries = matrix.coalesce()
        turned = SparseRows.of(entries.indices().flip(0), entries.values(), rows=len(matrix))
    values = flat.T.contiguous()
    for _ in range(2**log_steps):
        values = turned @ values
    return values.T


def _sparse(indices: Tensor, values: Tensor, n: int) -> Tensor:
    """Return the sparse matrix (n,n) of entries that are known to be inside."""
    return torch.sparse_coo_tensor(indices, values, (n, n), check_invariants=False)


def _check_transition(matrix: Tensor, size: int) -> None:
    """Check that it is a matrix of this size whose columns sum to 1."""
    _check_square("the transition matrix", matrix, size)
    sums = torch.sparse.sum(matrix, dim=0).to_dense() if matrix.is_sparse else matrix.sum(dim=0)
    worst = sums[(sums - 1).abs().argmax()]
    if not abs(float(worst) - 1) < 1e-3:
        raise ValueError(
            expected("the transition matrix", "to have columns of sum 1", f"{float(worst):g}")
        )


def _check_square(name: str, matrix: Tensor, size: int | None = None) -> None:
    """Check that a matrix is square, and of the size if one is given."""
    side = len(matrix) if size is None and matrix.ndim else size
    if tuple(matrix.shape) != (side, side):
        what = "a square matrix" if size is None else f"of shape ({size},{size})"
        raise ValueError(expected(name, what, f"a tensor of shape {tuple(matrix.shape)}"))
