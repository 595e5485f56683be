"""Deletion and insertion: what a model says while the most salient pixels go, or come."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, check_integer, expected
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.attribution.scoring import rows_per_pass
from captum_cluster.functional.metrics.probabilities import check_probabilities, check_target


def saliency_ranks(saliency: Tensor) -> Tensor:
    """Return each pixel's place in the order of falling saliency; ties go by position.

    Args:
        saliency: (P,H,W) float.

    Returns:
        LongTensor (P,H,W), from 0 for the most salient pixel to H*W - 1.

    Raises:
        ValueError: The shape is another.

    Example:
        >>> saliency_ranks(torch.tensor([[[0.1, 0.9], [0.9, 0.0]]]))
        tensor([[[2, 0],
                 [1, 3]]])

    References:
        Petsiuk, Das, Saenko 2018, "RISE", section 4.1.
    """
    if saliency.ndim != 3:
        raise ValueError(expected("saliency", "of shape (P,H,W)", f"{tuple(saliency.shape)}"))
    order = saliency.flatten(1).argsort(dim=1, descending=True, stable=True)
    return order.argsort(dim=1).reshape(saliency.shape)


def perturbation_steps(height: int, width: int, step: int | None = None) -> list[int]:
    """Return how many pixels are changed at each step of insertion and deletion, 0 to n.

    From none to all; the last step is smaller where ``step`` does not divide. By default 8 rows'
    worth of pixels at a time: n = 28 at 224x224.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        step: Pixels per step; None for 8 * width.

    Raises:
        TypeError: ``step`` is no integer.
        ValueError: ``step`` is below 1.

    Example:
        >>> perturbation_steps(20, 10)
        [0, 80, 160, 200]
        >>> perturbation_steps(2, 3, step=4)
        [0, 4, 6]

    References:
        Ha and Youn, "Collection-CAM", section IV.
    """
    pixels = height * width
    size = 8 * width if step is None else check_integer("step", step, 1)
    return [min(number * size, pixels) for number in range(math.ceil(pixels / size) + 1)]


def perturb(
    images: Tensor,
    ranks: Tensor,
    count: int | Tensor,
    baselines: Tensor | float = 0.0,
    *,
    insert: bool | Tensor,
) -> Tensor:
    """Return images whose ``count`` most salient pixels are deleted, or alone are inserted.

    Args:
        images: (P,c,H,W), as the model takes them.
        ranks: (P,H,W), see ``saliency_ranks``.
        count: Number of pixels, one for all images or (P,).
        baselines: What takes the place of a deleted pixel: a number, or a tensor that broadcasts
            to the images.
        insert: Start from the baseline and insert, instead of deleting from the image; one for
            all images or (P,) bool.

    Returns:
        (P,c,H,W).

    Example:
        >>> ranks = saliency_ranks(torch.tensor([[[0.1, 0.9]]]))
        >>> perturb(torch.tensor([[[[5.0, 7.0]]]]), ranks, 1, insert=False)
        tensor([[[[5., 0.]]]])
    """
    counts = torch.as_tensor(count, device=ranks.device).reshape(-1, 1, 1)
    inserted = torch.as_tensor(insert, device=ranks.device).reshape(-1, 1, 1)
    kept = (ranks < counts) == inserted
    fill = torch.as_tensor(baselines, dtype=images.dtype, device=images.device)
    return torch.where(kept[:, None], images, fill)


def perturbation_plan(steps: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the perturbed images that both curves need, each of them once.

    The whole image is the start of deletion and the end of insertion, the bare baseline the other
    way round: n + 1 steps of two curves cost 2n passes. ``curves_of`` makes curves of the answers.

    Args:
        steps: The n + 1 numbers of changed pixels, from ``perturbation_steps``.

    Returns:
        counts: LongTensor (2n,), for ``perturb``.
        insert: (2n,) bool, for ``perturb``. First the whole image, then the bare baseline, then
            deletion, then insertion.

    Example:
        >>> perturbation_plan([0, 4, 6])
        (tensor([0, 0, 4, 4]), tensor([False,  True, False,  True]))
    """
    between = list(steps[1:-1])
    counts = torch.tensor([0, 0, *between, *between])
    insert = [False, True] + [False] * len(between) + [True] * len(between)
    return counts, torch.tensor(insert)


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
    forward: Callable[[Tensor], Tensor],
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
        forward: Gives the probabilities (M,L) of images (M,c,H,W); called without gradients.
        inputs: (N,c,H,W), as the model takes them; not modified.
        maps: (N,h,w) float, any range and resolution; they become saliency maps first.
        target: (N,) int or one for all, the label explained.
        step: Pixels per step; None for 8 * W.
        baseline: What takes the place of a deleted pixel, in the model's (preprocessed) range: a
            number or a tensor that broadcasts to the inputs; None for 0.
        rows: Images in one forward pass; None lets ``rows_per_pass`` choose.

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
    height, width = inputs.shape[-2:]
    steps = perturbation_steps(height, width, step)
    counts, insert = (plan.to(inputs.device) for plan in perturbation_plan(steps))
    maps = check_finite("maps", maps).to(inputs.device)
    ranks, fill = saliency_ranks(saliency(maps, (height, width))), _fill(inputs, baseline)
    size = rows_per_pass(inputs) if rows is None else check_integer("rows", rows, 1)
    values, passes = [], len(inputs) * len(counts)
    for start in range(0, passes, size):
        chosen = torch.arange(start, min(start + size, passes), device=inputs.device)
        image, place = chosen // len(counts), chosen % len(counts)
        changed = perturb(
            inputs[image], ranks[image], counts[place], fill[image], insert=insert[place]
        )
        values.append(_read(forward, changed, target, image, len(inputs)))
    return curves_of(torch.cat(values).reshape(len(inputs), len(counts)))


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


def _read(
    forward: Callable[[Tensor], Tensor],
    images: Tensor,
    target: Tensor | Sequence[int] | int,
    image: Tensor,
    count: int,
) -> Tensor:
    """Return the target's probability (M,) of perturbed images (M,c,H,W) of the images (M,)."""
    with torch.no_grad():
        found = forward(images)
    if found.ndim != 2 or len(found) != len(images):
        what = f"to give probabilities of shape (M,L) for M = {len(images)} images"
        raise ValueError(expected("forward", what, f"{tuple(found.shape)}"))
    labels = check_target(target, count, found.shape[1]).to(found.device)[image.to(found.device)]
    return check_probabilities("the probabilities", found.gather(1, labels[:, None])[:, 0])
