"""Gaussian filtering of many values in a space of few dimensions, by a permutohedral lattice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_cluster._checks import check_finite, expected
from captum_cluster.functional.weak.sparse_rows import SparseRows


@dataclass(frozen=True, eq=False)
class PermutohedralLattice:
    """A filter that is nearly ``out_i = sum_j exp(-|f_i - f_j|^2 / 2) in_j``, up to a constant.

    Values are splatted to the corners of the simplex of the lattice that a point lies in, blurred
    along each of its axes, and sliced at the points. Linear in the number of points. Made by
    ``permutohedral_lattice``.

    Attributes:
        splat: Sparse (M,P), from the points to the M corners in use.
        corners: LongTensor (P,d+1), each point's corners.
        weights: (P,d+1) float, its barycentric coordinates there: at least 0, of sum 1.
        neighbours: LongTensor (d+1,2,M), the corners before and behind along each axis; M for one
            that is not in use.

    References:
        Adams, Baek, Davis 2010, "Fast high-dimensional filtering using the permutohedral lattice".
    """

    splat: SparseRows
    corners: Tensor
    weights: Tensor
    neighbours: Tensor

    def filter(self, values: Tensor) -> Tensor:
        """Return the values (P,C) filtered, (P,C).

        Example:
            >>> lattice = permutohedral_lattice(torch.tensor([[0.0], [9.0]]))
            >>> lattice.filter(torch.tensor([[1.0], [0.0]]))
            tensor([[0.8333],
                    [0.0000]])
        """
        spread = self.splat @ values
        for before, behind in self.neighbours:
            # One row more: the zero of a corner that is not in use.
            padded = F.pad(spread, (0, 0, 0, 1))
            spread = spread + 0.5 * (padded[before] + padded[behind])
        # The constant of the authors' code, near to the unnormalised Gaussian's scale.
        alpha = 1 / (1 + 2.0 ** -(self.corners.shape[1] - 1))
        return alpha * F.embedding_bag(
            self.corners, spread, mode="sum", per_sample_weights=self.weights
        )


def permutohedral_lattice(features: Tensor) -> PermutohedralLattice:
    """Return the lattice that filters values at these points with a Gaussian of unit width.

    Args:
        features: (P,d) float, the points' coordinates divided by the Gaussian's widths.

    Raises:
        ValueError: The features have another shape, are not finite, or are spread so wide that
            the corners cannot be counted.

    Example:
        See ``PermutohedralLattice.filter``.

    References:
        Adams, Baek, Davis 2010, sections 3 and 4; the same conventions as the code of Krähenbühl
        and Koltun 2011, "Efficient inference in fully connected CRFs".
    """
    if features.ndim != 2 or features.numel() == 0:
        raise ValueError(expected("features", "of shape (P,d)", f"{tuple(features.shape)}"))
    elevated = _elevate(check_finite("features", features))
    origin, rank = _simplex(elevated)
    weights = _barycentric(elevated - origin, rank)
    keys = _corner_keys(origin.long(), rank)
    corners, neighbours = _numbered(keys)
    entries = torch.stack([corners.flatten(), _points(corners)])
    splat = SparseRows.of(entries, weights.flatten(), rows=neighbours.shape[-1])
    return PermutohedralLattice(splat, corners, weights, neighbours)


def _elevate(features: Tensor) -> Tensor:
    """Return the points (P,d+1) on the plane of sum 0, scaled for a blur of unit width."""
    d = features.shape[1]
    axes = torch.arange(d, dtype=features.dtype, device=features.device)
    scaled = features * (math.sqrt(2 / 3) * (d + 1) / torch.sqrt((axes + 1) * (axes + 2)))
    sums = F.pad(scaled.flip(1).cumsum(dim=1).flip(1), (0, 1))
    return sums - F.pad(scaled * (axes + 1), (1, 0))


def _simplex(elevated: Tensor) -> tuple[Tensor, Tensor]:
    """Return the corner of remainder 0 (P,d+1) of each point's simplex, and the axes' ranks."""
    d = elevated.shape[1] - 1
    rounded = (elevated / (d + 1)).round()
    origin = rounded * (d + 1)
    order = (elevated - origin).argsort(dim=1, descending=True, stable=True)
    # Rounding may leave the plane; as many ranks as it is off wrap around.
    rank = order.argsort(dim=1) + rounded.sum(dim=1, keepdim=True).long()
    wrap = ((rank < 0).long() - (rank > d).long()) * (d + 1)
    return origin + wrap, rank + wrap


def _barycentric(offsets: Tensor, rank: Tensor) -> Tensor:
    """Return the barycentric coordinates (P,d+1) of points (P,d+1) relative to their origin."""
    d = offsets.shape[1] - 1
    sorted_up = torch.empty_like(offsets).scatter_(1, d - rank, offsets / (d + 1))
    coordinates = sorted_up - sorted_up.roll(1, dims=1)
    coordinates[:, 0] += 1
    return coordinates


def _corner_keys(origin: Tensor, rank: Tensor) -> Tensor:
    """Return the coordinates (P,d+1,d) of each simplex's corners; the last follows from them."""
    d = origin.shape[1] - 1
    remainder = torch.arange(d + 1, device=origin.device)[:, None]
    wrapped = rank[:, None, :-1] > d - remainder
    return origin[:, None, :-1] + remainder - wrapped.long() * (d + 1)


def _numbered(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return each point's corners (P,d+1) by number, and the neighbours (d+1,2,M) of each."""
    d = keys.shape[-1]
    flat = keys.flatten(0, 1)
    # A margin of one step, so that neighbours have codes of their own too.
    low, high = flat.amin(dim=0) - (d + 1), flat.amax(dim=0) + (d + 1)
    lengths = (high - low + 1).tolist()
    if math.prod(lengths) >= 2**63:
        spread = " x ".join(str(length) for length in lengths)
        raise ValueError(expected("the filter's widths", "larger", f"a lattice of {spread}"))
    strides = torch.tensor([math.prod(lengths[i + 1 :]) for i in range(d)], device=keys.device)
    codes, corners = torch.unique(((keys - low) * strides).sum(dim=-1), return_inverse=True)
    # One step along axis j: d up in coordinate j, and 1 down in every other one.
    steps = F.pad(strides, (0, 1)) * (d + 1) - strides.sum()
    wanted = codes + torch.stack([steps, -steps], dim=1)[:, :, None]
    places = torch.searchsorted(codes, wanted).clamp(max=len(codes) - 1)
    return corners, torch.where(codes[places] == wanted, places, len(codes))


def _points(corners: Tensor) -> Tensor:
    """Return for each entry of corners (P,d+1), row after row, its point (P*(d+1),)."""
    points = torch.arange(len(corners), device=corners.device)
    return points[:, None].expand_as(corners).flatten()
