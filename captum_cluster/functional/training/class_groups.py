"""Groups of labels: found by k-means, and what they make of labels and of weights."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, check_integer, describe, expected
from captum_cluster.functional.attribution import kmeans_labels


def group_classes(rows: Tensor, n_groups: int, *, seed: int = 0) -> Tensor:
    """Return the group of each label: k-means of the labels' rows.

    The best of ten runs of k-means++. As many groups as labels are always one label each. Groups
    are numbered by their first member: label 0 is in group 0, the first label that is not in it in
    group 1, and so on.

    Args:
        rows: (L,D) floating point, a vector for each label: its row of the last linear layer.
        n_groups: Groups, from 1 to the number of distinct rows (or L).
        seed: Of k-means, at least 0.

    Returns:
        LongTensor (L,) from 0 to ``n_groups`` - 1, on the device of ``rows``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: ``rows`` has another shape or is not finite, or a number is outside its range.

    Example:
        >>> group_classes(torch.tensor([[0.0], [9.0], [1.0], [8.0]]), 2)
        tensor([0, 1, 0, 1])

    References:
        Huang et al., "Class Activation Map Generation by Multiple Level Class Grouping and
        Orthogonal Constraint", equations 1 and 2.
    """
    length = len(check_rows("rows", rows))
    check_integer("seed", seed, 0, 2**32 - 1)
    check_integer("n_groups", n_groups, 1, length, "the number of labels")
    if n_groups == length:
        return torch.arange(length, device=rows.device)
    points = rows.detach().cpu()
    distinct = len(torch.unique(points, dim=0))
    check_integer("n_groups", n_groups, 1, distinct, "the number of distinct rows")
    # Each row as a map of one row.
    found = kmeans_labels(points[:, None], n_groups, n_init=10, random_state=seed)
    return numbered_by_first(found).to(rows.device)


def group_labels(labels: Tensor, groups: Tensor) -> Tensor:
    """Return the groups of each image: it has a group if it has one of the group's labels.

    Args:
        labels: (N,L), bool or numbers, 0 for an absent label.
        groups: LongTensor (L,), from 0 to G - 1, each group in use.

    Returns:
        (N,G) of the dtype of ``labels``: the maximum over the group's labels.

    Raises:
        TypeError: An argument is no tensor, or ``groups`` no LongTensor.
        ValueError: Shapes do not fit, or a group is without a member.

    Example:
        >>> labels = torch.tensor([[1, 0, 0], [0, 0, 1], [1, 1, 1]])
        >>> group_labels(labels, torch.tensor([0, 1, 0]))
        tensor([[1, 0],
                [1, 0],
                [1, 1]])

    References:
        Huang et al., "Class Activation Map Generation by Multiple Level Class Grouping and
        Orthogonal Constraint", section II-B.
    """
    what = "a tensor (N,L)"
    if not isinstance(labels, Tensor):
        raise TypeError(expected("labels", what, describe(labels)))
    if labels.ndim != 2:
        raise ValueError(expected("labels", what, describe(labels)))
    groups = check_groups("groups", groups, labels.shape[1]).to(labels.device)
    members = (groups == group for group in range(count_groups(groups)))
    return torch.stack([labels[:, inside].amax(dim=1) for inside in members], dim=1)


def group_rows(rows: Tensor, groups: Tensor) -> Tensor:
    """Return the mean of the rows of each group's members.

    Args:
        rows: (L,D) floating point.
        groups: LongTensor (L,), from 0 to G - 1, each group in use.

    Returns:
        (G,D) of the dtype of ``rows``.

    Raises:
        TypeError: ``rows`` is no floating-point tensor, or ``groups`` no LongTensor.
        ValueError: Shapes do not fit, a row is not finite, or a group is without a member.

    Example:
        >>> group_rows(torch.tensor([[1.0], [5.0], [2.0]]), torch.tensor([0, 1, 0]))
        tensor([[1.5000],
                [5.0000]])

    References:
        Huang et al., "Class Activation Map Generation by Multiple Level Class Grouping and
        Orthogonal Constraint", equation 1.
    """
    check_rows("rows", rows)
    groups = check_groups("groups", groups, len(rows)).to(rows.device)
    number = count_groups(groups)
    sums = rows.new_zeros(number, rows.shape[1]).index_add(0, groups, rows)
    return sums / torch.bincount(groups, minlength=number).to(rows)[:, None]


def count_groups(groups: Tensor) -> int:
    """Return the number of groups G.

    Example:
        >>> count_groups(torch.tensor([0, 1, 0]))
        2
    """
    return int(groups.max()) + 1


def numbered_by_first(numbers: Tensor) -> Tensor:
    """Return the same partition, its parts numbered in the order of their first members.

    Args:
        numbers: LongTensor (M,), the part of each member; any integers.

    Returns:
        LongTensor (M,), from 0.

    Example:
        >>> numbered_by_first(torch.tensor([7, 2, 7, 0]))
        tensor([0, 1, 0, 2])
    """
    _, parts = torch.unique(numbers, return_inverse=True)
    places = torch.arange(len(parts), device=parts.device)
    first = torch.full((len(parts),), len(parts), device=parts.device)
    first = first.scatter_reduce(0, parts, places, "amin")
    # The order of the first members, turned into the place of each part in it.
    return first.argsort(stable=True).argsort(stable=True)[parts]


def check_groups(name: str, groups: Tensor, length: int | None = None) -> Tensor:
    """Return ``groups`` if they are the groups of ``length`` labels.

    Args:
        name: The argument's name, for the message.
        groups: LongTensor (L,), from 0 to G - 1.
        length: L; None for any number of at least 1.

    Raises:
        TypeError: It is no LongTensor.
        ValueError: It has another shape, or a number from 0 to the largest is missing.

    Example:
        >>> check_groups("groups", torch.tensor([0, 2, 0]))
        Traceback (most recent call last):
        ValueError: Expected groups to be numbered from 0 without gaps, but got [0, 2].
    """
    what = f"a LongTensor ({'L' if length is None else length},), the group of each label"
    if not isinstance(groups, Tensor) or groups.dtype != torch.long:
        raise TypeError(expected(name, what, describe(groups)))
    if groups.ndim != 1 or not len(groups) or (length is not None and len(groups) != length):
        raise ValueError(expected(name, what, describe(groups)))
    used = torch.unique(groups).tolist()
    if used != list(range(len(used))):
        raise ValueError(expected(name, "numbered from 0 without gaps", used))
    return groups


def check_rows(name: str, rows: Tensor, length: int | None = None) -> Tensor:
    """Return ``rows`` if they are finite vectors, one for each label.

    Args:
        name: The argument's name, for the message.
        rows: (L,D) floating point.
        length: L; None for any number of at least 1.

    Raises:
        TypeError: It is no floating-point tensor.
        ValueError: It has another shape, or is not finite.

    Example:
        >>> check_rows("rows", torch.zeros(3, 2), 4)
        Traceback (most recent call last):
        ValueError: Expected rows to be a floating-point tensor (4,D), but got a tensor of shape \
(3, 2) and dtype torch.float32.
    """
    what = f"a floating-point tensor ({'L' if length is None else length},D)"
    if not isinstance(rows, Tensor) or not rows.is_floating_point():
        raise TypeError(expected(name, what, describe(rows)))
    if rows.ndim != 2 or not rows.numel() or (length is not None and len(rows) != length):
        raise ValueError(expected(name, what, describe(rows)))
    return check_finite(name, rows)
