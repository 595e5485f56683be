"""The maps of a label, of its groups and of the other labels, as one map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, expected
from captum_cluster.functional.attribution.grids import over_grid
from captum_cluster.functional.attribution.labels import other_labels
from captum_cluster.functional.attribution.merging import unit_positive

REST = ("present", "groupmates", "all")
"""The readings of "the rest classes"."""


def fuse_levels(ungrouped: Tensor, grouped: Tensor, rest: Tensor) -> Tensor:
    """Return ``M = M_0 + (1/k) sum_i M_i - M_0'``, rectified and divided by its maximum.

    Each of the maps is rectified and divided by its own maximum first.

    Args:
        ungrouped: (N,T,h,w) float, M_0: the map of each target; or (N,T,*grid) on a grid of one
            or three dimensions, and so the others.
        grouped: (N,T,k,h,w), M_1 to M_k: the map of the target's group at each level. Without
            levels (k = 0) their mean counts as 0.
        rest: (N,T,h,w), M_0': the map of the rest classes.

    Returns:
        (N,T,h,w) from 0 to 1; 0 where nothing positive is left.

    Raises:
        ValueError: The shapes do not belong together.

    Example:
        >>> ungrouped, rest = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[0.0, 5.0]]]])
        >>> grouped = torch.tensor([[[[[1.0, 4.0]], [[1.0, 1.0]]]]])  # mean (0.625, 1)
        >>> fuse_levels(ungrouped, grouped, rest)
        tensor([[[[1., 0.]]]])

    References:
        Huang et al., "Class Activation Map generation by Multiple Level Class Grouping and
        Orthogonal Constraint", equation 5. The paper does not say how the maps are scaled.
    """
    dims = ungrouped.ndim - 2
    levels = grouped.shape[2] if grouped.ndim > 2 else -1
    shapes = (*ungrouped.shape[:2], levels, *ungrouped.shape[2:])
    if dims not in (1, 2, 3) or grouped.shape != shapes or rest.shape != ungrouped.shape:
        what = "of shapes (N,T,h,w), (N,T,k,h,w) and (N,T,h,w)"
        got = ", ".join(str(tuple(part.shape)) for part in (ungrouped, grouped, rest))
        raise ValueError(expected("ungrouped, grouped and rest", what, got))
    own, groups, others = (unit_positive(part, dims=dims) for part in (ungrouped, grouped, rest))
    return unit_positive(own + groups.sum(dim=2) / max(levels, 1) - others, dims=dims)


def rest_labels(
    targets: Tensor,
    n_labels: int,
    *,
    rest: str = "present",
    present: Tensor | None = None,
    groups: Sequence[Tensor] = (),
) -> Tensor:
    """Return which labels are "the rest classes" of each target.

    Args:
        targets: LongTensor (N,T), from 0 to L - 1.
        n_labels: Number of labels L.
        rest: "present": the other labels present in the image; "groupmates": the labels that
            share a group with the target at some level; "all": every other label.
        present: BoolTensor (N,L); needed for "present" alone.
        groups: For each level LongTensor (L,), the group of each label.

    Returns:
        BoolTensor (N,T,L).

    Raises:
        ValueError: ``rest`` is something else, or "present" without ``present``.

    Example:
        >>> groups = [torch.tensor([0, 0, 1])]
        >>> rest_labels(torch.tensor([[1]]), 3, rest="groupmates", groups=groups)
        tensor([[[ True, False, False]]])
        >>> rest_labels(torch.tensor([[1]]), 3, rest="all")
        tensor([[[ True, False,  True]]])

    References:
        Huang et al., "Multiple Level Class Grouping", equation 5, which does not define them.
    """
    check_choice("rest", rest, REST)
    if rest == "groupmates":
        return _groupmates(targets, n_labels, groups)
    if rest == "all":
        present = torch.ones(len(targets), n_labels, dtype=torch.bool, device=targets.device)
    elif present is None:
        raise ValueError(expected("present", "given for rest='present'", "None"))
    return other_labels(present, targets)


def rest_maps(maps: Tensor, rest: Tensor) -> Tensor:
    """Return the maximum over the rest classes of each one's map, rectified and by its maximum.

    Args:
        maps: (N,L,h,w), the map of each label.
        rest: BoolTensor (N,T,L).

    Returns:
        (N,T,h,w) from 0 to 1; 0 where there are no rest classes.

    Example:
        >>> maps = torch.tensor([[[[9.0, 0.0]], [[2.0, 2.0]], [[1.0, 4.0]]]])
        >>> rest_maps(maps, torch.tensor([[[False, False, True], [False, False, False]]]))[0, :, 0]
        tensor([[0.2500, 1.0000],
                [0.0000, 0.0000]])
    """
    dims = maps.ndim - 2
    scaled = unit_positive(maps, dims=dims)
    total = scaled.new_zeros(*rest.shape[:2], *scaled.shape[2:])
    # Label by label, so that no tensor (N,T,L,h,w) is made.
    for label in range(scaled.shape[1]):
        own = over_grid(rest[:, :, label], dims).to(scaled)
        total = torch.maximum(total, own * scaled[:, label, None])
    return total


def _groupmates(targets: Tensor, n_labels: int, groups: Sequence[Tensor]) -> Tensor:
    """Return which labels share a group with each target at some level: BoolTensor (N,T,L)."""
    mates = torch.zeros(*targets.shape, n_labels, dtype=torch.bool, device=targets.device)
    for group in groups:
        own = group.to(targets.device)
        mates |= own[targets][..., None] == own
    return mates & ~torch.nn.functional.one_hot(targets, n_labels).bool()
