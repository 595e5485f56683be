"""Classes, groups of classes, groups of those: the levels of class grouping."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captum_cluster._checks import check_integer, describe, expected
from captum_cluster.functional.training import group_classes, group_rows
from captum_cluster.functional.training.class_groups import check_groups, check_rows, count_groups


class ClassHierarchy:
    """Levels of groups of labels; each level merges groups of the one before.

    Args:
        groups: For each level a LongTensor (L,): the group of each label, from 0 to the level's
            number of groups - 1. Labels that share a group share one at every later level.
        classes: The labels' names; None for their numbers.

    Attributes:
        groups: The levels, LongTensors (L,) on the CPU. The labels themselves are no level.
        classes: The names, or None.

    Raises:
        TypeError: ``groups`` holds no LongTensors, or ``classes`` no strings.
        ValueError: There is no level, a level is no grouping of the same labels or not nested, or
            there are more or fewer names than labels.

    Example:
        >>> hierarchy = ClassHierarchy(
        ...     [torch.tensor([0, 1, 0, 2]), torch.tensor([0, 0, 0, 1])],
        ...     ["cat", "car", "dog", "boat"],
        ... )
        >>> hierarchy
        ClassHierarchy(4 labels, sizes [3, 2])
        >>> hierarchy.names(0), hierarchy.name(1, 0)
        (['{cat, dog}', 'car', 'boat'], '{cat, car, dog}')

    References:
        Huang et al., "Class Activation Map Generation by Multiple Level Class Grouping and
        Orthogonal Constraint", section II-B and figure 3.
    """

    def __init__(self, groups: Sequence[Tensor], classes: Sequence[str] | None = None) -> None:
        what = "a sequence of LongTensors (L,), at least one"
        if isinstance(groups, (Tensor, str)) or not isinstance(groups, Sequence):
            raise TypeError(expected("groups", what, describe(groups)))
        if not groups:
            raise ValueError(expected("groups", what, "none"))
        checked = [_level(groups, number) for number in range(len(groups))]
        self.groups = [level.detach().cpu().clone() for level in checked]
        self.classes = _check_classes(classes, self.num_labels)

    @classmethod
    def fit(
        cls,
        train_fn: Callable[[Tensor], Tensor],
        sizes: Sequence[int],
        *,
        num_labels: int | None = None,
        classes: Sequence[str] | None = None,
        seed: int = 0,
    ) -> ClassHierarchy:
        """Return the hierarchy found by training a classifier at each level (the paper's form).

        A classifier is trained on all labels, and its rows are clustered into the first level's
        groups; a classifier is trained on these groups as classes, and its rows are clustered into
        the second level's groups; and so on. One training for each level.

        Args:
            train_fn: Trains a plain classifier. Takes LongTensor (L,), the class of each label
                (at first each label is one), and returns the rows (G,D) of its last linear layer.
            sizes: Number of groups of each level, none larger than the one before; the first is
                at most L.
            num_labels: L; may be left out where ``classes`` are given.
            classes: The labels' names.
            seed: Of k-means, at least 0.

        Raises:
            TypeError: An argument is of another type.
            ValueError: The sizes do not shrink, neither ``num_labels`` nor ``classes`` is given or
                they differ, or ``train_fn`` returns rows of another shape.

        Example:
            >>> def train(groups):  # a training that takes no time: rows by hand
            ...     print(groups.tolist())
            ...     return torch.tensor([[0.0], [9.0], [1.0], [5.0]])[: int(groups.max()) + 1]
            >>> hierarchy = ClassHierarchy.fit(train, [3, 2], num_labels=4)
            [0, 1, 2, 3]
            [0, 1, 0, 2]
            >>> [level.tolist() for level in hierarchy.groups]
            [[0, 1, 0, 2], [0, 1, 0, 0]]

        References:
            Huang et al., "Class Activation Map Generation by Multiple Level Class Grouping and
            Orthogonal Constraint", section II-B.
        """
        length = _count_labels(num_labels, classes)
        _check_sizes(sizes, length)
        level, levels = torch.arange(length), []
        for size in sizes:
            rows = check_rows("the rows of train_fn", train_fn(level.clone()), count_groups(level))
            level = group_classes(rows, size, seed=seed).cpu()[level]
            levels.append(level)
        return cls(levels, classes)

    @classmethod
    def from_weights(
        cls,
        weight: Tensor,
        sizes: Sequence[int],
        *,
        classes: Sequence[str] | None = None,
        seed: int = 0,
    ) -> ClassHierarchy:
        """Return the hierarchy found from one classifier's weights, without training.

        As ``fit``, with the mean of its labels' rows as the row of a group.

        Args:
            weight: (L,D) floating point, a row for each label: the weight of the last linear
                layer.
            sizes: Number of groups of each level, none larger than the one before; the first is
                at most L.
            classes: The labels' names.
            seed: Of k-means, at least 0.

        Raises:
            TypeError: An argument is of another type.
            ValueError: The sizes do not shrink, there are more or fewer names than rows, or the
                weights are not finite.

        Example:
            >>> weight = torch.tensor([[0.0], [9.0], [1.0], [5.0]])
            >>> hierarchy = ClassHierarchy.from_weights(weight, [3, 2])
            >>> [level.tolist() for level in hierarchy.groups]
            [[0, 1, 0, 2], [0, 1, 0, 1]]

        References:
            Not in the paper, which trains at each level; its equation 1 for the mean.
        """
        rows = check_rows("weight", weight).detach().cpu()

        def mean_rows(groups: Tensor) -> Tensor:
            return group_rows(rows, groups)

        # "num_labels" first, so that names that do not fit the rows are refused as such.
        return cls.fit(mean_rows, sizes, num_labels=len(rows), classes=classes, seed=seed)

    @property
    def num_labels(self) -> int:
        """The number of labels L."""
        return len(self.groups[0])

    @property
    def sizes(self) -> list[int]:
        """The number of groups of each level."""
        return [count_groups(level) for level in self.groups]

    def members(self, level: int, group: int) -> list[int]:
        """Return the labels in a group.

        Args:
            level: Place in ``groups``, from 0 (and so for ``name`` and ``names``).
            group: From 0 to the level's number of groups - 1.

        Raises:
            TypeError: A number is no integer.
            ValueError: A number is outside its range.
        """
        check_integer("level", level, 0, len(self.groups) - 1)
        check_integer("group", group, 0, self.sizes[level] - 1)
        found: list[int] = (self.groups[level] == group).nonzero().flatten().tolist()
        return found

    def name(self, level: int, group: int) -> str:
        """Return the name of a group: that of its one label, or "{cat, dog}"; see ``members``."""
        labels = self.members(level, group)
        names = [str(label) if self.classes is None else self.classes[label] for label in labels]
        return names[0] if len(names) == 1 else "{" + ", ".join(names) + "}"

    def names(self, level: int) -> list[str]:
        """Return the names of a level's groups, in their order; see ``members``."""
        check_integer("level", level, 0, len(self.groups) - 1)
        return [self.name(level, group) for group in range(self.sizes[level])]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the hierarchy to a JSON file: ``{"classes": [...], "groups": [[...], ...]}``.

        Args:
            path: The file; replaced if it is there.
        """
        Path(path).write_text(json.dumps(self._content(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ClassHierarchy:
        """Return the hierarchy in a file written by ``save``.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It holds something else.

        Example:
            >>> import tempfile
            >>> hierarchy = ClassHierarchy([torch.tensor([0, 1, 0])])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     hierarchy.save(f"{folder}/hierarchy.json")
            ...     ClassHierarchy.load(f"{folder}/hierarchy.json") == hierarchy
            True
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            levels = [_integers(level) for level in content["groups"]]
            return cls(levels, content["classes"])
        except (ValueError, TypeError, KeyError) as error:
            got = f"{str(path)!r} ({type(error).__name__}: {str(error).rstrip('.')})"
            raise ValueError(expected("path", "a file of a hierarchy", got)) from error

    def _content(self) -> dict[str, object]:
        return {"classes": self.classes, "groups": [level.tolist() for level in self.groups]}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClassHierarchy):
            return NotImplemented
        return self._content() == other._content()

    def __repr__(self) -> str:
        return f"ClassHierarchy({self.num_labels} labels, sizes {self.sizes})"


def _level(groups: Sequence[Tensor], number: int) -> Tensor:
    """Return a level if it groups the labels, and merges the groups of the one before."""
    length = len(groups[0]) if number else None
    level = check_groups(f"groups[{number}]", groups[number], length)
    if number:
        parts = zip(groups[number - 1].tolist(), level.tolist(), strict=True)
        if len(set(parts)) != count_groups(groups[number - 1]):
            what = "to merge whole groups of the level before"
            raise ValueError(expected(f"groups[{number}]", what, "a group that is divided"))
    return level


def _check_classes(classes: Sequence[str] | None, length: int) -> list[str] | None:
    if classes is None:
        return None
    what = f"{length} names, one for each label"
    words = isinstance(classes, Sequence) and not isinstance(classes, str)
    if not words or not all(isinstance(name, str) for name in classes):
        raise TypeError(expected("classes", what, describe(classes)))
    if len(classes) != length:
        raise ValueError(expected("classes", what, len(classes)))
    return list(classes)


def _count_labels(num_labels: int | None, classes: Sequence[str] | None) -> int:
    if num_labels is not None:
        length = check_integer("num_labels", num_labels, 1)
    elif classes is None:
        raise ValueError(expected("num_labels", "given where classes are not", None))
    else:
        length = len(classes)
    _check_classes(classes, length)
    return length


def _check_sizes(sizes: Sequence[int], length: int) -> None:
    what = "a sequence of numbers of groups, at least one"
    if isinstance(sizes, str) or not isinstance(sizes, Sequence):
        raise TypeError(expected("sizes", what, describe(sizes)))
    if not sizes:
        raise ValueError(expected("sizes", what, "none"))
    largest, note = length, "the number of labels"
    for number, size in enumerate(sizes):
        largest = check_integer(f"sizes[{number}]", size, 1, largest, note)
        note = "the size of the level before"


def _integers(level: Any) -> Tensor:
    if not isinstance(level, list) or not all(type(number) is int for number in level):
        raise TypeError(expected("a level", "a list of integers", describe(level)))
    return torch.tensor(level, dtype=torch.long)
