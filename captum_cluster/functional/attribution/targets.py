"""Which number of a model's output is explained: every form of target of both hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captum_cluster._checks import TargetError, describe, expected, is_integer
from captum_cluster._types import OutputTarget
from captum_cluster.functional.attribution.outputs import (
    CALLABLES,
    Outputs,
    as_tensor,
    describe_output,
)

_FORMS = (
    "an integer, a tuple of integers, a tensor of integers, a list of one integer, tuple or "
    "callable for each image, or None"
)


@dataclass(frozen=True)
class TargetSelector:
    """T targets for each of N images, in one normal form.

    Attributes:
        images: Number of images N.
        count: Number of targets T of each image.
        indices: LongTensor (N,T,D), the place in one image's output of D dimensions; or None.
        functions: For each image its T functions of that image's output; or None. With neither,
            the model gives one number for each image, and that is the target.

    Example:
        >>> selector = select_each([2, 0], images=2)
        >>> outputs = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        >>> selector(outputs, torch.tensor([0, 1]))
        tensor([[3.],
                [4.]])
    """

    images: int
    count: int
    indices: Tensor | None = None
    functions: tuple[tuple[OutputTarget, ...], ...] | None = None

    def __call__(self, outputs: Outputs, rows: Tensor) -> Tensor:
        """Return the targets' values (P,T).

        Args:
            outputs: (P,...), the model's outputs; for functions also what is no tensor.
            rows: LongTensor (P,), the image each output belongs to.

        Raises:
            TargetError: The targets do not fit the outputs.
        """
        if self.functions is not None:
            return self._call_functions(outputs, rows)
        outputs = as_tensor(outputs, otherwise=CALLABLES)
        if self.indices is None:
            self._check_single(outputs)
            return outputs.reshape(len(outputs), 1)
        self._check_range(outputs)
        chosen = self.indices.to(outputs.device)[rows.to(outputs.device)]
        lines = torch.arange(len(outputs), device=outputs.device)[:, None]
        place = (lines, *chosen.unbind(dim=2))
        return outputs[place]

    def _call_functions(self, outputs: Outputs, rows: Tensor) -> Tensor:
        assert self.functions is not None
        chosen = [self.functions[row] for row in rows.tolist()]
        values = [
            [_call(function, output) for function in functions]
            for output, functions in zip(outputs, chosen, strict=True)
        ]
        return torch.stack([torch.stack(line) for line in values])

    @staticmethod
    def _check_single(outputs: Tensor) -> None:
        if outputs[0].numel() != 1:
            what = f"given, since the model's output is of shape {tuple(outputs.shape)}"
            raise TargetError(expected("target", what, "None"))

    def _check_range(self, outputs: Tensor) -> None:
        assert self.indices is not None
        sizes = outputs.shape[1:]
        if self.indices.shape[2] != len(sizes):
            what = f"{len(sizes)} integers for an output of shape {tuple(outputs.shape)}"
            if len(sizes) == 0:
                what = f"None for an output of shape {tuple(outputs.shape)}"
            raise TargetError(expected("target", what, f"{self.indices.shape[2]} integers"))
        for axis, size in enumerate(sizes):
            column = self.indices[:, :, axis]
            wrong = column[(column < -size) | (column >= size)]
            if len(wrong):
                what = f"a class index from 0 to {size - 1}"
                if len(sizes) > 1:
                    what = f"an index from 0 to {size - 1} in output dimension {axis + 1}"
                raise TargetError(expected("target", what, wrong[0].item()))


def select_each(target: Any, *, images: int) -> TargetSelector:
    """Return the selector of ONE target for each image, from any form that either host takes.

    Args:
        target: An integer or one-element tensor (one class for all images), a tuple (one place
            in an output of several dimensions, for all images), a tensor (N,) or a list with one
            integer or tuple for each image, one callable (for all images) or a list of N
            callables of one image's output, or None (the model gives one number for each image).
        images: Number of images N.

    Raises:
        TargetError: Wrong number of targets, or no form of target.

    Example:
        >>> select_each((1, 0), images=3).indices.shape
        torch.Size([3, 1, 2])
    """
    if target is None:
        return TargetSelector(images, 1)
    if isinstance(target, Tensor):
        target = _tensor_to_list(target)
    if not isinstance(target, list):
        return _from_rows([[target]] * images)
    if len(target) != images:
        raise TargetError(
            expected("target", f"a list with one entry for each of the {images} images",
                     f"{len(target)} entries")
        )  # fmt: skip
    return _from_rows([[entry] for entry in target])


def select_shared(targets: Any, *, images: int) -> TargetSelector:
    """Return the selector of T targets for each image.

    Args:
        targets: T entries for all images (a list of integers, tuples or callables, or a tensor
            (T,)); one such list for each image, all of the same length, or a tensor (N,T); or
            None (the model gives one number for each image).
        images: Number of images N.

    Raises:
        TargetError: No targets, lists of different lengths, or no form of target.

    Example:
        >>> select_shared([3, 7], images=5).indices.shape
        torch.Size([5, 2, 1])
    """
    if targets is None:
        return TargetSelector(images, 1)
    if isinstance(targets, Tensor):
        _check_integers(targets)
        targets = targets.tolist()
    if not isinstance(targets, (list, tuple)) or len(targets) == 0:
        what = "a list of one or more targets, or one such list for each image"
        raise TargetError(expected("targets", what, describe(targets)))
    if not isinstance(targets[0], list):
        return _from_rows([list(targets)] * images)
    lengths = {len(row) if isinstance(row, list) else -1 for row in targets}
    if len(targets) != images or len(lengths) != 1 or lengths <= {0, -1}:
        what = f"{images} lists of the same length, one for each image"
        raise TargetError(expected("targets", what, describe(targets)))
    return _from_rows(targets)


def class_indices(selector: TargetSelector, outputs: Tensor) -> Tensor:
    """Return targets as class indices (N,T) from 0 to L - 1, for methods that need the labels.

    Args:
        selector: The targets.
        outputs: (N,L), or (N,) of a model with a single output.

    Raises:
        TargetError: The targets are functions, or do not fit the outputs.
        ValueError: The outputs have more dimensions.

    Example:
        >>> class_indices(select_shared([2, -1], images=1), torch.zeros(1, 5))
        tensor([[2, 4]])
    """
    if outputs.ndim not in (1, 2):
        what = "to give one row of logits (N,L) for each image"
        raise ValueError(expected("the model", what, f"outputs of shape {tuple(outputs.shape)}"))
    if selector.functions is not None:
        raise TargetError(expected("target", "a class index", "a callable"))
    rows = torch.arange(len(outputs))
    selector(outputs.detach(), rows)  # checks that the targets are inside the outputs
    if selector.indices is None or outputs.ndim == 1:
        return torch.zeros(len(outputs), 1, dtype=torch.long, device=outputs.device)
    return (selector.indices[..., 0] % outputs.shape[1]).to(outputs.device)


def _tensor_to_list(target: Tensor) -> Any:
    """Return one integer for a one-element tensor, else a list of integers."""
    _check_integers(target)
    if target.numel() == 1:
        return int(target.item())
    if target.ndim != 1:
        raise TargetError(expected("target", "a tensor of shape (N,)", describe(target)))
    return target.tolist()


def _check_integers(target: Tensor) -> None:
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TargetError(expected("target", _FORMS, describe(target)))


def _from_rows(rows: Sequence[Sequence[Any]]) -> TargetSelector:
    """Return the selector of rows (N,T) of integers, tuples of integers, or callables."""
    images, count = len(rows), len(rows[0])
    entries = [entry for row in rows for entry in row]
    if all(callable(entry) for entry in entries):
        return TargetSelector(images, count, functions=tuple(tuple(row) for row in rows))
    places = [_place(entry) for entry in entries]
    if len({len(place) for place in places}) != 1:
        raise TargetError(expected("target", "tuples of one length", describe(rows)))
    return TargetSelector(images, count, torch.tensor(places).reshape(images, count, -1))


def _place(entry: Any) -> tuple[int, ...]:
    """Return an entry as a tuple of integers."""
    parts = entry if isinstance(entry, tuple) and entry else (entry,)
    if not all(is_integer(part) for part in parts):
        raise TargetError(expected("target", _FORMS, describe(entry)))
    return tuple(int(part) for part in parts)


def _call(function: OutputTarget, output: Any) -> Tensor:
    """Return what a callable target gives for one image's output, without dimensions."""
    # Of what is no tensor a target made for tensors fails in more ways.
    more = () if isinstance(output, Tensor) else (AttributeError, KeyError, TypeError)
    try:
        value: Any = function(output)
    except (IndexError, *more) as error:
        raise TargetError(_no_fit(output, error)) from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        what = "to give a tensor with one number for one image's output"
        raise TargetError(expected("the target callable", what, describe(value)))
    number: Tensor = value.reshape(())
    # Counts and Booleans are numbers too.
    return number if number.is_floating_point() else number.to(torch.get_default_dtype())


def _no_fit(output: Any, error: Exception) -> str:
    """Return the message that a callable fails at one image's output."""
    got = f"{type(error).__name__}: {error}"
    if isinstance(output, Tensor):
        what = f"to fit one image's output of shape {tuple(output.shape)}"
        return expected("target", what, got)
    what = f"to fit one image's output, {describe_output(output)}"
    return expected("target", what, got) + " output_selector= picks a tensor of it."
