"""The memory layout in which a model runs fastest, without altering the model."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster.functional.attribution.outputs import Outputs

Forward = Callable[[tuple[Tensor, ...], Tensor], Outputs]


# What torch, NumPy and extensions say of a tensor that does not lie in memory as they need it.
_OF_LAYOUT = re.compile(r"\b(views?|contiguous|strides?|memory.format)\b", re.IGNORECASE)


def is_faster_channels_last(images: Tensor) -> bool:
    """Return whether a convolutional network runs faster on these inputs channels-last.

    Images of several channels on the CPU, in the precisions that its convolution library takes.

    Example:
        >>> is_faster_channels_last(torch.zeros(1, 3, 8, 8))
        True
        >>> is_faster_channels_last(torch.zeros(1, 3, 8, 8, dtype=torch.float64))
        False
    """
    return (
        images.ndim == 4
        and images.shape[1] > 1
        and images.device.type == "cpu"
        and images.dtype in (torch.float32, torch.bfloat16)
    )


def is_of_layout(error: Exception) -> bool:
    """Return whether an error says, or may mean, that a tensor should lie otherwise in memory.

    Example:
        >>> is_of_layout(RuntimeError("view size is not compatible with input tensor's size"))
        True
    """
    return isinstance(error, AssertionError) or _OF_LAYOUT.search(str(error)) is not None


def fast_layout(tensor: Tensor) -> Tensor:
    """Return images channels-last where that is faster, and any other tensor as it is."""
    if is_faster_channels_last(tensor):
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor


def layout_of(images: Tensor) -> torch.memory_format:
    """Return whether images (N,c,H,W) lie channels-last in memory, and not in the default layout.

    Example:
        >>> layout_of(torch.zeros(1, 3, 8, 8))
        torch.contiguous_format
    """
    last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _versions(tensors: tuple[Tensor, ...]) -> list[int]:
    """Return how often each tensor has been written into; of those of inference mode 0."""
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]


@dataclass
class FastLayout:
    """A model that is given its images channels-last, where that is faster.

    Convolutions take over the layout of their input, so the weights stay as they are. A model that
    cannot (it may reshape maps by ``view``, or insist on the default layout) runs once more in the
    default layout, and if that goes well stays there.

    Attributes:
        forward: ``forward(inputs, rows)`` gives the outputs (P,...) for a tuple of inputs whose
            rows belong to the images ``rows``.
        channels_last: Whether images are given channels-last.

    Example:
        >>> model = lambda inputs, rows: inputs[0].mean(dim=(2, 3))
        >>> FastLayout(model)((torch.ones(2, 3, 4, 4),), torch.arange(2)).shape
        torch.Size([2, 3])
    """

    forward: Forward
    channels_last: bool = True

    def __call__(
        self, inputs: tuple[Tensor, ...], rows: Tensor, *, copied: bool = False
    ) -> Outputs:
        """Return the model's outputs (P,...), in the default layout.

        Args:
            inputs: Of the model.
            rows: The image that each row belongs to.
            copied: Give the model copies, which it may write into.
        """
        if not self.channels_last or not any(map(is_faster_channels_last, inputs)):
            return self._run(inputs, rows, torch.contiguous_format, copied)
        versions = _versions(inputs)
        try:
            return self._run(inputs, rows, torch.channels_last, copied)
        except Exception as error:
            # What the model has written into is no longer its input.
            written = _versions(inputs) != versions
            if written or not is_of_layout(error):
                raise
        outputs = self._run(inputs, rows, torch.contiguous_format, copied)
        self.channels_last = False
        return outputs

    def _run(
        self, inputs: tuple[Tensor, ...], rows: Tensor, layout: torch.memory_format, copied: bool
    ) -> Outputs:
        last = layout is torch.channels_last
        given = tuple(fast_layout(one) if last else one.contiguous() for one in inputs)
        if copied:
            given = tuple(one.clone() for one in given)
        return self.forward(given, rows).contiguous()

    def shared_with(self, forward: Forward) -> Forward:
        """Return another forward, whose inputs lie as this model's have come to lie."""
        return lambda inputs, rows: FastLayout(forward, self.channels_last)(inputs, rows)
