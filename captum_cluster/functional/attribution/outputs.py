"""What a model gives, image by image, where it is no tensor: dictionaries, tuples, detections."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from captum_cluster._checks import TargetError, describe, expected

CALLABLES = " Or pass as targets callables of one image's output."
"""What does with an output that is no tensor, for messages."""

# So many parts of an output are named in a message.
_MOST_NAMES = 8


@dataclass(frozen=True, eq=False)
class ImageOutputs:
    """The outputs of P images, of a model that gives no tensor; P is its length.

    Attributes:
        whole: As the model gives it.
        images: For each image its own part: of a list the entry; of a dictionary, a tuple or a
            dataclass of tensors the same with that row of each tensor.

    Example:
        >>> outputs = split_images({"out": torch.tensor([[1.0], [2.0]])}, 2)
        >>> [one["out"].item() for one in outputs]
        [1.0, 2.0]
    """

    whole: Any
    images: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, image: int) -> Any:
        return self.images[image]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.images)

    def detach(self) -> ImageOutputs:
        """Return the same without its graph."""
        return self._mapped(Tensor.detach)

    def contiguous(self) -> ImageOutputs:
        """Return the same with every tensor in the default layout."""
        return self._mapped(Tensor.contiguous)

    def widened(self) -> ImageOutputs:
        """Return the same with half precision widened to float32."""
        return self._mapped(_widened)

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> ImageOutputs:
        # Not of the images one by one, so that none of them keeps the graph of the others.
        return _split(map_tensors(function, self.whole), len(self))


Outputs: TypeAlias = Tensor | ImageOutputs
"""What a model gives for P images: a tensor (P,...), or the output of each."""


def split_images(whole: Any, images: int) -> ImageOutputs | None:
    """Return the output of each image, of an output that is no tensor; None if there is no telling.

    Args:
        whole: What the model gives: a list with one entry for each image, as of detection models;
            or a dictionary, a tuple or a dataclass of tensors with one row for each image.
        images: Number of images P.

    Example:
        >>> split_images([{"scores": torch.ones(3)}, {"scores": torch.ones(0)}], 2)[1]
        {'scores': tensor([])}
        >>> split_images((torch.ones(2, 5), torch.ones(())), 2) is None
        True
    """
    if not isinstance(whole, list):
        tensors = tensors_of(whole)
        rows = {len(tensor) if tensor.ndim else -1 for tensor in tensors}
        if isinstance(whole, Tensor) or rows != {images}:
            return None
    elif len(whole) != images:
        return None
    return _split(whole, images)


def tensors_of(value: Any) -> list[Tensor]:
    """Return the tensors of a value, however deep in dictionaries, tuples, lists and dataclasses.

    Example:
        >>> len(tensors_of({"a": torch.ones(1), "b": (torch.ones(2), None)}))
        2
    """
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in _children(value).values() for tensor in tensors_of(part)]


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return a value with ``function`` of each of its tensors; dictionaries come out plain.

    Example:
        >>> map_tensors(torch.neg, {"a": torch.ones(1), "b": 3})
        {'a': tensor([-1.]), 'b': 3}
    """
    if isinstance(value, Tensor):
        return function(value)
    parts = {name: map_tensors(function, part) for name, part in _children(value).items()}
    if _is_dataclass(value):
        return dataclasses.replace(value, **parts)
    if isinstance(value, Mapping):
        return parts
    if hasattr(value, "_fields"):  # a named tuple
        return type(value)(**parts)
    return type(value)(parts.values()) if isinstance(value, (tuple, list)) else value


def as_tensor(outputs: Outputs, *, otherwise: str = "") -> Tensor:
    """Return outputs that are a tensor (P,...), for what needs one.

    Args:
        outputs: Of the model.
        otherwise: What else may be done, for the message.

    Raises:
        TargetError: They are something else.
    """
    if isinstance(outputs, Tensor):
        return outputs
    raise TargetError(no_tensor(outputs.whole, len(outputs)) + otherwise)


def no_tensor(whole: Any, images: int) -> str:
    """Return the message that a model gives no tensor (P,...), and which selector helps.

    Example:
        >>> no_tensor({"out": torch.ones(2, 5)}, 2)  # doctest: +NORMALIZE_WHITESPACE
        "Expected the model to give a tensor with one row for each of 2 images, but got a dict with
        'out'. Pass output_selector='out' for the tensor that is explained."
    """
    what = f"to give a tensor with one row for each of {images} images"
    message = expected("the model", what, describe_output(whole))
    if isinstance(whole, Tensor):
        return message
    found = [
        repr(name)
        for name, part in _children(whole).items()
        if isinstance(part, Tensor) and part.ndim and len(part) == images
    ][:_MOST_NAMES]
    which = f"={' or '.join(found)} for" if found else "=, a function of it that gives"
    return f"{message} Pass output_selector{which} the tensor that is explained."


def describe_output(value: Any) -> str:
    """Return a short description of an output: of containers what they hold.

    Example:
        >>> describe_output((torch.ones(2, 5), None)), describe_output({"out": 1, "aux": 2})
        ('a tuple of length 2', "a dict with 'out', 'aux'")
    """
    names = list(_children(value))
    if isinstance(value, Tensor) or not names:
        return describe(value)
    name = type(value).__name__
    kind = f"an {name}" if name[0] in "AEIOU" else f"a {name}"
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return f"{kind} of length {len(names)}"
    shown = [repr(name) for name in names[:_MOST_NAMES]] + ["..."] * (len(names) > _MOST_NAMES)
    return f"{kind} with {', '.join(shown)}"


def values_in_graph(values: Tensor, outputs: Outputs) -> Tensor:
    """Return values that gradients can be taken of, if they can be of the outputs.

    Values that depend on no output (no box matches the target, say) have no graph: their
    gradient is 0.

    Args:
        values: Any shape.
        outputs: What the values were computed of.
    """
    if values.requires_grad:
        return values
    tensors = [part for part in tensors_of(_whole(outputs)) if part.is_floating_point()]
    if any(part.requires_grad for part in tensors) or not any(part.numel() for part in tensors):
        return values + torch.zeros_like(values).requires_grad_()
    return values  # the model let no gradients through, which is said where they are taken


def _whole(outputs: Outputs) -> Any:
    return outputs if isinstance(outputs, Tensor) else outputs.whole


def _split(whole: Any, images: int) -> ImageOutputs:
    if isinstance(whole, list):
        return ImageOutputs(whole, tuple(whole))
    rows = (map_tensors(lambda tensor, row=row: tensor[row], whole) for row in range(images))  # type: ignore[misc]
    return ImageOutputs(whole, tuple(rows))


def _children(value: Any) -> Mapping[Any, Any]:
    """Return what a container holds, each part under what selects it; of other values nothing."""
    if _is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value) if one.init}
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    return dict(enumerate(value)) if isinstance(value, (tuple, list)) else {}


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _widened(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
