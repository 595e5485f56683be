"""Checks of a batch, shared by the faces: images, baselines, feature maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import (
    LayerError,
    all_finite,
    check_finite,
    describe,
    expected,
    warn,
)
from captum_cluster.functional.attribution.grids import FORMS, grid_dimensions, images_of
from captum_cluster.functional.attribution.labels import present_labels, warn_of_probabilities
from captum_cluster.functional.attribution.outputs import Outputs, no_tensor, split_images
from captum_cluster.functional.attribution.targets import TargetSelector, class_indices
from captum_cluster.hooks import owner_of

Transform = Callable[[Tensor], Tensor]

_GRIDS = {1: "(N,C,l)", 2: "(N,C,h,w)", 3: "(N,C,d,h,w)"}
_BATCHES = {1: "(N,c,L)", 2: "(N,c,H,W)", 3: "(N,c,D,H,W)"}
_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def check_images(inputs: Sequence[Any], name: str = "inputs") -> int:
    """Check the model's inputs and return the number of images N.

    Args:
        inputs: The model's inputs.
        name: The face's name for them, for the messages.

    Raises:
        TypeError: An input is no tensor, or images are not floating-point.
        ValueError: The batch is empty, the inputs differ in N, none of them is a batch of images
            (N,c,H,W), signals or volumes, or one holds NaN or infinity.
    """
    for tensor in inputs:
        if not isinstance(tensor, Tensor):
            raise TypeError(expected(name, "tensors", describe(tensor)))
    images = images_of(inputs)
    got = ", ".join(str(tuple(tensor.shape)) for tensor in inputs)
    if not images:
        raise ValueError(expected(name, f"a batch of {FORMS}", f"shape {got}"))
    for tensor in images:
        if not tensor.is_floating_point():
            what = "images of a floating-point dtype, as a mask scales them"
            raise TypeError(expected(name, what, describe(tensor)))
    if len({len(tensor) if tensor.ndim else 0 for tensor in inputs}) != 1:
        raise ValueError(expected(name, "tensors with the same number of rows", got))
    if min(tensor.numel() for tensor in inputs) == 0:
        raise ValueError(expected(name, "at least one image, and no empty one", f"shape {got}"))
    for tensor in inputs:
        check_finite(name, tensor)
    return len(images[0])


def check_baselines(baselines: Any, inputs: Sequence[Tensor]) -> tuple[float | Tensor, ...] | None:
    """Return one baseline for each input, from every form that Captum takes.

    Args:
        baselines: None (0 everywhere), a number, a tensor that broadcasts to the input, or a
            tuple with one of these for each input.
        inputs: The model's inputs.

    Raises:
        TypeError: A baseline is neither a number nor a tensor.
        ValueError: Their number or a shape does not fit, or one is NaN or infinite.
    """
    if baselines is None:
        return None
    given = tuple(baselines) if isinstance(baselines, (tuple, list)) else (baselines,)
    if len(given) != len(inputs):
        raise ValueError(expected("baselines", f"one for each of {len(inputs)} inputs", len(given)))
    given = tuple(0.0 if baseline is None else baseline for baseline in given)
    for baseline, tensor in zip(given, inputs, strict=True):
        _check_baseline(baseline, tensor)
    return given


def _check_baseline(baseline: Any, tensor: Tensor) -> None:
    if not isinstance(baseline, (int, float, Tensor)) or isinstance(baseline, bool):
        raise TypeError(expected("baselines", "a number or a tensor", describe(baseline)))
    check_finite("baselines", torch.as_tensor(baseline))
    if isinstance(baseline, Tensor):
        try:
            torch.broadcast_to(baseline, tensor.shape)
        except RuntimeError as error:
            what = f"a tensor that broadcasts to the input's shape {tuple(tensor.shape)}"
            raise ValueError(expected("baselines", what, describe(baseline))) from error


def check_pictures(inputs: Sequence[Any], name: str = "inputs") -> tuple[int, int]:
    """Check a batch as ``check_images`` does, and return the images' height and width.

    Raises:
        ValueError: As there; or it is one of signals or volumes.
    """
    check_images(inputs, name)
    if grid_dimensions(inputs) != 2:
        got = ", ".join(str(tuple(tensor.shape)) for tensor in inputs)
        raise ValueError(expected(name, "a batch of images of shape (N,c,H,W)", f"shape {got}"))
    height, width = images_of(inputs)[0].shape[2:]
    return height, width


@contextmanager
def form_explained(model: object, inputs: Sequence[Tensor], name: str = "inputs") -> Iterator[None]:
    """Say, if a pass fails, where the inputs have not the form that the model's layers take.

    An image without a batch has the form of a batch of signals.

    Args:
        model: The model, or a function of its inputs.
        inputs: Its inputs.
        name: The face's name for them.

    Raises:
        ValueError: In the place of what the pass raised.
    """
    try:
        yield
    except LayerError:
        raise
    except Exception as error:
        forms = _forms_of(model)
        if not forms or grid_dimensions(inputs) in forms:
            raise
        what = f"a batch {' or '.join(forms.values())}, as the model's convolutions take it"
        got = ", ".join(str(tuple(tensor.shape)) for tensor in images_of(inputs))
        raise ValueError(expected(name, what, f"shape {got}")) from error


def _forms_of(model: object) -> dict[int, str]:
    """Return the batches that a model's convolutions take, by their number of dimensions."""
    owner = owner_of(model)
    kinds = {type(module) for module in owner.modules()} if owner is not None else set()
    return {dims: _BATCHES[dims] for dims, kind in _CONVOLUTIONS.items() if kind in kinds}


def check_grid(maps: Sequence[Tensor], size: Sequence[int]) -> None:
    """Check that maps (N,C,*grid) can be masks of images of a size.

    Raises:
        LayerError: The grid has another number of dimensions.
    """
    for part in maps:
        if part.ndim != len(size) + 2:
            what = f"to give maps {_GRIDS[len(size)]}, to mask inputs of size {tuple(size)}"
            raise LayerError(expected("layer", what, f"maps of shape {tuple(part.shape)}"))


def check_outputs(outputs: Any, images: int) -> Outputs:
    """Return a model's outputs if they are a tensor with one row for each image, or can be divided.

    Args:
        outputs: A tensor (P,...), or what ``split_images`` divides into the output of each image.
        images: Number of images P.

    Raises:
        ValueError: They are something else.
    """
    if isinstance(outputs, Tensor) and outputs.ndim and len(outputs) == images:
        return outputs
    divided = split_images(outputs, images)
    if divided is None:
        raise ValueError(no_tensor(outputs, images))
    return divided


def check_finite_outputs(outputs: Outputs, select: TargetSelector) -> None:
    """Check that a model's outputs hold neither NaN nor infinity.

    Of those that are no tensor, that what the targets read of them does not: a detection, say,
    may hold anything else.

    Args:
        outputs: (P,...), or what is no tensor.
        select: The targets.

    Raises:
        ValueError: They do.
    """
    if isinstance(outputs, Tensor):
        check_finite("the model's outputs", outputs.detach())
    else:
        check_finite("the model's scores", select(outputs.detach(), torch.arange(len(outputs))))


def check_labels(
    outputs: Tensor,
    selector: TargetSelector,
    labels: Any,
    *,
    label_threshold: float,
    max_predicted: int,
    first: int = 0,
) -> tuple[Tensor, Tensor]:
    """Return the labels explained and the labels present, for methods that contrast labels.

    Args:
        outputs: (N,L), or (N,) for a model with a single output.
        selector: The targets, class indices.
        labels: As for ``present_labels``. A target that is absent from labels that are given
            counts as present, with a warning.
        label_threshold: As for ``present_labels``.
        max_predicted: As for ``present_labels``.
        first: Number of the first image, for the messages.

    Returns:
        targets: LongTensor (N,T), from 0 to L - 1.
        present: BoolTensor (N,L).

    Raises:
        TargetError: The targets are no class indices, or outside the outputs.
        ValueError: The outputs are not (N,L) or not finite, or ``labels`` does not fit them.
        TypeError: ``labels`` is of no known form.
    """
    check_finite("the model's outputs", outputs.detach())
    targets = class_indices(selector, outputs)
    rows = outputs.detach().reshape(len(outputs), -1)
    warn_of_probabilities(rows)
    present = present_labels(
        rows,
        labels,
        threshold=label_threshold,
        max_predicted=max_predicted,
        first=first,
    )
    absent = ~present.gather(1, targets)
    if labels is not None and bool(absent.any()):
        image, number = absent.nonzero()[0].tolist()
        warn(
            f"Target {int(targets[image, number])} of image {first + image} is not in its labels. "
            "It counts as present."
        )
    return targets, present


def feature_gradients(
    gradients: Sequence[Tensor], output: Any, maps: Tensor, transform: Transform | None = None
) -> Tensor:
    """Return the gradient at a layer's output as gradients (N,C,h,w) at its feature maps.

    Args:
        gradients: One for each tensor of the layer's output.
        output: The layer's output.
        maps: (N,C,h,w), the feature maps that ``transform`` made of it.
        transform: Rearranges an output into maps; gradients are rearranged in the same way.

    Raises:
        LayerError: ``transform`` is not such a rearrangement.
    """
    if transform is None:
        return gradients[0].to(maps)
    like = gradients[0] if isinstance(output, Tensor) else type(output)(gradients)
    moved = transform(like)
    if not isinstance(moved, Tensor) or moved.shape != maps.shape:
        what = f"to rearrange gradients into {tuple(maps.shape)} as it does the maps"
        raise LayerError(expected("reshape_transform", what, describe(moved)))
    return moved.to(maps)


def feature_maps(
    output: Any, images: int, reshape_transform: Transform | None = None, *, dims: int = 2
) -> Tensor:
    """Return a layer's output as feature maps (N,C,h,w), in float32 or better.

    Args:
        output: The layer's output.
        images: Number of images N.
        dims: Of the inputs' grid: 1 for signals, whose maps are (N,C,l); 3 for volumes, whose
            maps are (N,C,d,h,w). Theirs may also be (N,C,h,w), as behind a spectrogram.
        reshape_transform: Turns the layer's output into (N,C,h,w) where it is something else,
            such as the tokens (N, 1 + h*w, C) of a vision transformer.

    Raises:
        LayerError: The maps are not of that shape, or hold NaN or infinity.
    """
    maps = output if reshape_transform is None else reshape_transform(output)
    shaped = isinstance(maps, Tensor) and maps.ndim in {4, dims + 2} and len(maps) == images
    if not shaped or 0 in maps.shape:
        source = "layer" if reshape_transform is None else "reshape_transform"
        what = f"to give feature maps of shape {_GRIDS[dims]} with N = {images}"
        hint = (
            " Pass reshape_transform=, a function of the layer's output that returns such maps "
            "(for a vision transformer: drop the class token and fold the others into the grid)."
        )
        message = expected(source, what, describe(maps))
        raise LayerError(message + (hint if reshape_transform is None else ""))
    if not all_finite(maps):
        raise LayerError(expected("layer", "to give finite feature maps", "NaN or infinity"))
    return maps.to(torch.promote_types(maps.dtype, torch.float32))
