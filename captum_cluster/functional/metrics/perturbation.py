"""Deletion and insertion: what a model says while the most salient pixels go, or come."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, check_integer, expected
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.attribution.scoring import rows_per_pass
from captum_cluster.functional.metrics.perturbed_images import (
    PerturbedImages,
    perturbation_steps,
    saliency_order,
)
from captum_cluster.functional.metrics.probabilities import check_probabilities, check_target
from captum_cluster.functional.metrics.reading import Draw, Read, Reader, in_turn


def curves_of(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the deletion and the insertion curve (N,n+1) of what a model says of the plan.

    Args:
        values: (N,2n), the target's probability for each image of ``perturbation_plan``.

    Raises:
        ValueError: The shape is another.

    Example:
        >>> curves_of(torch.tensor([[0.9, 0.1, 0.5, 0.7]]))
        (tensor([[0.9000, 0.5000, 0.1000]]), tensor([[0.1000, 0.7000, 0.9000]]))
    """
    if values.ndim != 2 or values.shape[1] < 2 or values.shape[1] % 2:
        raise ValueError(expected("values", "of shape (N,2n)", f"{tuple(values.shape)}"))
    whole, bare = values[:, :1], values[:, 1:2]
    middle = values.shape[1] // 2 + 1
    deleted, inserted = values[:, 2:middle], values[:, middle:]
    return torch.cat([whole, deleted, bare], dim=1), torch.cat([bare, inserted, whole], dim=1)


def deletion_insertion(
    forward: Read,
    inputs: Tensor,
    maps: Tensor,
    target: Tensor | Sequence[int] | int,
    step: int | None = None,
    baseline: Tensor | float | None = None,
    *,
    rows: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return both curves of the target's probability while the most salient pixels go, or come.

    Deletion starts from the whole image and puts the baseline in the place of the most salient
    pixels, insertion starts from the baseline and puts them back; equal pixels by position. An
    image costs 2n forward passes, as the curves share their ends.

    Args:
        forward: Gives the probabilities (M,L) of images (M,c,H,W); called without gradients. On
            the CPU float32 images come channels last, see ``Reader``.
        inputs: (N,c,H,W), as the model takes them; not modified.
        maps: (N,h,w) float, any range and resolution; they become saliency maps first.
        target: (N,) int or one for all, the label explained.
        step: Pixels per step; None for 8 * W.
        baseline: What takes the place of a deleted pixel, in the model's (preprocessed) range: a
            number or a tensor that broadcasts to the inputs; None for 0.
        rows: Images in one forward pass at most; None lets ``rows_per_pass`` choose.

    Returns:
        deletion: (N,n+1), from the whole image to the bare baseline.
        insertion: (N,n+1), from the bare baseline to the whole image. ``perturbation_steps`` says
            how many pixels are changed at each of the steps 0 to n.

    Raises:
        TypeError: ``step``, ``rows`` or ``target`` are no integers.
        ValueError: Shapes do not belong together, maps are not finite, a target is outside the
            labels, or ``forward`` gives no probabilities.

    Example:
        >>> images = torch.ones(1, 1, 2, 2)
        >>> share = lambda x: x.mean(dim=(2, 3))  # the share of bright pixels, as probability
        >>> maps = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]])
        >>> deletion_insertion(share, images, maps, 0, step=2)
        (tensor([[1.0000, 0.5000, 0.0000]]), tensor([[0.0000, 0.5000, 1.0000]]))

    References:
        Petsiuk, Das, Saenko 2018, "RISE", section 4.1; Ha and Youn, "Collection-CAM", section IV.
    """
    _check_images(inputs, maps)
    size = (inputs.shape[-2], inputs.shape[-1])
    steps, fill = perturbation_steps(*size, step), _fill(inputs, baseline)
    order = saliency_order(saliency(check_finite("maps", maps).to(inputs.device), size))
    rows = rows_per_pass(inputs) if rows is None else check_integer("rows", rows, 1)

    def perturbed(number: int) -> Draw:
        return PerturbedImages(inputs[number], order[number], fill[number], steps).draw

    each = 2 * (len(steps) - 1)
    draw, total = in_turn(perturbed, each), len(inputs) * each
    values = [
        _of_target(found, target, torch.arange(first, first + len(found)) // each, len(inputs))
        for first, found in Reader(_checked(forward))(draw, inputs, total, rows)
    ]
    return curves_of(torch.cat(values).reshape(len(inputs), each))


def _check_images(inputs: Tensor, maps: Tensor) -> None:
    """Check that there is one map for each image."""
    if inputs.ndim != 4 or maps.ndim != 3 or len(inputs) != len(maps) or len(inputs) == 0:
        got = f"inputs {tuple(inputs.shape)} and maps {tuple(maps.shape)}"
        what = "of shapes (N,c,H,W) and (N,h,w), N at least 1"
        raise ValueError(expected("inputs and maps", what, got))


def _fill(inputs: Tensor, baseline: Tensor | float | None) -> Tensor:
    """Return the baseline as a view of the inputs' shape (N,c,H,W)."""
    value = torch.as_tensor(0.0 if baseline is None else baseline)
    value = check_finite("baseline", value.to(inputs))
    try:
        return value.expand_as(inputs)
    except RuntimeError:
        what = f"a number or a tensor that broadcasts to the inputs {tuple(inputs.shape)}"
        raise ValueError(expected("baseline", what, f"{tuple(value.shape)}")) from None


def _checked(forward: Read) -> Read:
    """Return what a forward function gives, if it is one row of labels for each image."""

    def read(images: Tensor) -> Tensor:
        found = forward(images)
        if found.ndim != 2 or len(found) != len(images):
            what = f"to give probabilities of shape (M,L) for M = {len(images)} images"
            raise ValueError(expected("forward", what, f"{tuple(found.shape)}"))
        return found

    return read


def _of_target(
    found: Tensor, target: Tensor | Sequence[int] | int, image: Tensor, count: int
) -> Tensor:
    """Return the target's probability (M,) of those found (M,L) for the images (M,) of some."""
    labels = check_target(target, count, found.shape[1]).to(found.device)[image.to(found.device)]
    return check_probabilities("the probabilities", found.gather(1, labels[:, None])[:, 0])
