"""The ways to run a model on an image without one of a layer's maps, the shortest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from captum_cluster.functional.attribution.ablation import rows_per_tail
from captum_cluster.functional.attribution.grids import images_of
from captum_cluster.functional.attribution.layout import Forward
from captum_cluster.functional.attribution.outputs import Outputs, tensors_of
from captum_cluster.functional.attribution.scoring import rows_per_pass
from captum_cluster.hooks import Record, given, replayed
from captum_cluster.methods.ablated_rows import Copies, Places, find_places

# What rounding alone may change in an output, relative to its largest value.
_ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-5}
# Between passes of different sizes, where tensor cores round the factors of a product to ten bits.
_ROUNDING_GPU = 5e-3


@dataclass(frozen=True)
class WholePass:
    """The unmasked pass, and how to make others.

    Attributes:
        forward: ``forward(inputs, rows)`` gives the outputs (P,...) for inputs of the images
            ``rows`` (LongTensor (P,)); the inputs may also be one row for all of them.
        inputs: The batch, each (N,...).
        outputs: (N,...).
        recorded: What the layer gave, and what was before it.
        transform: Made the maps of what the layer gives, or None.
        part: Without ``transform``: which of the layer's tensors is the maps.
        rows: Ablated images in one pass; None: as many as fit a memory budget.
    """

    forward: Forward
    inputs: tuple[Tensor, ...]
    outputs: Outputs
    recorded: Record
    transform: Callable[[Any], Any] | None = None
    part: int = 0
    rows: int | None = None


class Way(Protocol):
    """One way to run a model on one image without some of a layer's maps."""

    rows: int

    def usable(self) -> bool:
        """Return whether it gives the model's output for the image as it is."""

    def run(self, channels: Tensor, fill: Tensor, read: Callable[[Any], Tensor]) -> Tensor:
        """Return what ``read`` reads of the outputs without each of the maps ``channels``."""


class _Kept:
    """What a module gave for one image, to be given again.

    Attributes:
        value: Its tensors have one row.
        spread: Give it as many rows as there are maps, not the one.
        written: The pass writes into it, so that it is given as a copy.
    """

    def __init__(self, value: Any, *, spread: bool) -> None:
        self.value = value
        self.spread = spread
        self.written = True  # until a pass shows that it does not
        self._given: list[tuple[Tensor, Tensor]] = []

    def give(self, rows: int) -> Any:
        """Return it for a pass."""
        return tree_map(lambda leaf: self._give(leaf, rows), self.value)

    def _give(self, leaf: Any, rows: int) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if self.spread and leaf.ndim and len(leaf) == 1:
            leaf = leaf.expand(rows, *leaf.shape[1:])
        if not self.written:
            return leaf
        copy = leaf.contiguous().clone() if self.spread else leaf.clone()
        self._given.append((copy, leaf))
        return copy

    def note_written(self) -> None:
        """Note whether something was written into what was given."""
        # By value, as not every way to write into a tensor is counted by it.
        self.written = any(not _equal(copy, leaf) for copy, leaf in self._given)
        self._given = []


class _Tail:
    """Runs what is behind the layer; before it the record of the image is given again."""

    def __init__(self, seen: WholePass, image: int, places: Places, *, spread: bool) -> None:
        self.seen = seen
        self.image = image
        self.places = places
        recorded = seen.recorded
        outputs = [*(step.output for step in recorded.steps), seen.inputs]
        self.before = [_Kept(self._row(output), spread=spread) for output in outputs]
        leaves, self.form = tree_flatten(self._row(recorded.value))
        self.leaf = leaves[places.leaf]
        others = [None if leaf is self.leaf else leaf for leaf in leaves]
        self.others = _Kept(others, spread=True)
        self.rows = seen.rows or rows_per_tail(recorded.widest, self.leaf.device)
        self.copies: Copies | None = None
        self.keeps_rows = False  # until a pass shows that it does not write into the rows

    def _row(self, value: Any) -> Any:
        """Return one image's row of each tensor that has one for each image."""
        images, one = len(self.seen.outputs), slice(self.image, self.image + 1)

        def cut(leaf: Any) -> Any:
            ours = isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == images
            return leaf[one] if ours else leaf

        return tree_map(cut, value)

    def usable(self) -> bool:
        """Return whether two rows with all maps give the image's output twice."""
        if not self.places.follow_rows(tree_leaves(self.seen.recorded.value)[self.places.leaf]):
            return False
        # Not as many rows as there are images: what is left of their pass would seem to fit.
        copies = Copies(self.leaf, 3 if len(self.seen.outputs) == 2 else 2)
        try:
            outputs = self._forward(copies.rows)
        except Exception:  # whatever a model raises at rows that it does not expect
            return False
        for kept in (*self.before, self.others):
            kept.note_written()
        self.keeps_rows = _equal(copies.rows, self.leaf.expand_as(copies.rows))
        return _same(outputs, self.seen.outputs[self.image])

    def run(self, channels: Tensor, fill: Tensor, read: Callable[[Any], Tensor]) -> Tensor:
        """Return what ``read`` reads of the outputs without each of the maps ``channels``."""
        if self.copies is None or not self.keeps_rows:
            self.copies = Copies(self.leaf, len(channels))
        index = self.places.in_copies(self.leaf, channels, self.image)
        with self.copies.exchanged(index, fill) as rows:
            # The outputs may be the rows themselves.
            return read(self._forward(rows)).clone()

    def _forward(self, rows: Tensor) -> Outputs:
        """Return the outputs (P,...) of the layer's maps in P rows."""
        count = len(rows)
        *outputs, inputs = [kept.give(count) for kept in self.before]
        leaves = self.others.give(count)
        leaves[self.places.leaf] = rows
        with replayed(self.seen.recorded, outputs, tree_unflatten(leaves, self.form)):
            return self.seen.forward(inputs, torch.full((count,), self.image))


class _Full:
    """Runs the whole model, and takes the maps out of what the layer gives there."""

    def __init__(self, seen: WholePass, image: int, places: Places) -> None:
        self.seen = seen
        self.image = image
        self.rows = seen.rows or min(rows_per_pass(tensor) for tensor in images_of(seen.inputs))

    def usable(self) -> bool:
        """Return True: this is the model itself."""
        return True

    def run(self, channels: Tensor, fill: Tensor, read: Callable[[Any], Tensor]) -> Tensor:
        """Return what ``read`` reads of the outputs without each of the maps ``channels``."""
        seen = self.seen
        rows = torch.full((len(channels),), self.image)

        def change(value: Any) -> Any:
            places = find_places(value, seen.part, seen.transform)
            leaves, form = tree_flatten(value)
            leaf = leaves[places.leaf].clone()
            leaf[places.in_rows(leaf, channels)] = fill.to(leaf)
            leaves[places.leaf] = leaf
            return tree_unflatten(leaves, form)

        with given(seen.recorded, change):
            outputs = seen.forward(tuple(tensor[rows] for tensor in seen.inputs), rows)
        return read(outputs)


def _shared(seen: WholePass, image: int, places: Places) -> Way:
    return _Tail(seen, image, places, spread=False)


def _copied(seen: WholePass, image: int, places: Places) -> Way:
    return _Tail(seen, image, places, spread=True)


WAYS: tuple[tuple[str, Callable[[WholePass, int, Places], Way]], ...] = (
    ("shared", _shared),
    ("copied", _copied),
    ("full", _Full),
)
"""Of each name the way, from the shortest to the one that any model takes."""


def _equal(found: Tensor, expected: Tensor) -> bool:
    """Return whether two tensors hold the same, where NaN is the same as NaN."""
    return bool(((found == expected) | ((found != found) & (expected != expected))).all())


def _same(outputs: Outputs, whole: Any) -> bool:
    """Return whether each row of outputs is that of the whole image, but for rounding."""
    if isinstance(outputs, Tensor):
        return isinstance(whole, Tensor) and _same_rows(outputs, whole)
    wholes = tensors_of(whole)
    rows = [tensors_of(output) for output in outputs]
    return all(
        len(row) == len(wholes)
        and all(_same_rows(one[None], other) for one, other in zip(row, wholes, strict=True))
        for row in rows
    )


def _same_rows(outputs: Tensor, whole: Tensor) -> bool:
    """Return whether each row of a tensor is another, but for rounding."""
    if outputs.shape[1:] != whole.shape:
        return False
    if not whole.numel() or not whole.is_floating_point():
        return bool((outputs == whole).all())
    on_gpu = whole.is_cuda and whole.dtype == torch.float32
    tolerance = _ROUNDING_GPU if on_gpu else rounding(whole)
    scale = float(whole.abs().max())
    return bool(((outputs - whole).abs() <= tolerance * scale).all())


def rounding(outputs: Tensor) -> float:
    """Return what rounding alone may change in outputs, relative to the largest.

    Example:
        >>> rounding(torch.zeros(1)), rounding(torch.zeros(1, dtype=torch.float64))
        (1e-05, 1e-10)
    """
    return _ROUNDING.get(outputs.dtype, 8 * torch.finfo(outputs.dtype).eps)
