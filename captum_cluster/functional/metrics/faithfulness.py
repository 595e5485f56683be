"""How much a model's answer depends on what a saliency map marks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from captum_cluster._checks import check_flag, expected


def average_drop(before: Tensor, after: Tensor, *, signed: bool = False) -> Tensor:
    """Return the mean share of the target's probability that is lost behind the saliency map.

    ``mean max(0, Y - O) / Y``, and 0 where Y is 0. The smaller, the better.

    Args:
        before: (P,), the target's probability Y for each whole image.
        after: (P,), its probability O for the image times its saliency map.
        signed: Without the maximum: gains count as negative drops (Cluster-CAM's confidence drop).

    Returns:
        A scalar.

    Raises:
        ValueError: The shapes differ, there is no image, or a value is outside [0,1].

    Example:
        >>> average_drop(torch.tensor([0.8, 0.5]), torch.tensor([0.6, 0.9]))
        tensor(0.1250)

    References:
        Chattopadhay et al. 2018, "Grad-CAM++"; Ha and Youn, "Collection-CAM", section IV; Feng et
        al. 2023, "Cluster-CAM", section 4 (signed).
    """
    before, after = _probabilities(before, after)
    lost = before - after
    lost = lost if check_flag("signed", signed) else lost.clamp(min=0)
    return torch.where(before > 0, lost / torch.where(before > 0, before, 1.0), 0.0).mean()


def average_increase(before: Tensor, after: Tensor) -> Tensor:
    """Return the share of images whose target becomes more probable behind the saliency map.

    ``mean [O > Y]``, strict. The larger, the better.

    Args:
        before: (P,), the target's probability Y for each whole image.
        after: (P,), its probability O for the image times its saliency map.

    Returns:
        A scalar.

    Raises:
        ValueError: The shapes differ, there is no image, or a value is outside [0,1].

    Example:
        >>> average_increase(torch.tensor([0.8, 0.5]), torch.tensor([0.6, 0.9]))
        tensor(0.5000)

    References:
        As for ``average_drop``.
    """
    before, after = _probabilities(before, after)
    return (after > before).to(before.dtype).mean()


def saliency_ranks(saliency: Tensor) -> Tensor:
    """Return each pixel's place in the order of falling saliency; ties go by position.

    Args:
        saliency: (P,H,W) float.

    Returns:
        LongTensor (P,H,W), from 0 for the most salient pixel to H*W - 1.

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


def perturbation_steps(height: int, width: int) -> list[int]:
    """Return how many pixels are changed at each step of insertion and deletion.

    8 rows' worth of pixels at a time, from none to all: 28 steps at 224x224.

    Example:
        >>> perturbation_steps(20, 10)
        [0, 80, 160, 200]
    """
    pixels = height * width
    return [min(step * 8 * width, pixels) for step in range(math.ceil(height / 8) + 1)]


def perturb(
    images: Tensor, ranks: Tensor, count: int, baselines: Tensor | float = 0.0, *, insert: bool
) -> Tensor:
    """Return images whose ``count`` most salient pixels are deleted, or alone are inserted.

    Args:
        images: (P,c,H,W), as the model takes them.
        ranks: (P,H,W), see ``saliency_ranks``.
        count: Number of pixels.
        baselines: What takes the place of a deleted pixel: a number, or a tensor that broadcasts
            to the images.
        insert: Start from the baseline and insert, instead of deleting from the image.

    Returns:
        (P,c,H,W).

    Example:
        >>> ranks = saliency_ranks(torch.tensor([[[0.1, 0.9]]]))
        >>> perturb(torch.tensor([[[[5.0, 7.0]]]]), ranks, 1, insert=False)
        tensor([[[[5., 0.]]]])
    """
    kept = (ranks < count) if insert else (ranks >= count)
    fill = torch.as_tensor(baselines, dtype=images.dtype, device=images.device)
    return torch.where(kept[:, None], images, fill)


def perturbation_area(probabilities: Tensor, steps: list[int]) -> Tensor:
    """Return the area under the curves of probability against the share of changed pixels.

    By the trapezoid rule on [0,1]: the insertion score (the larger, the better) or the deletion
    score (the smaller, the better).

    Args:
        probabilities: (P,S), the target's probability at each step.
        steps: The S numbers of changed pixels, from ``perturbation_steps``.

    Returns:
        (P,).

    Example:
        >>> perturbation_area(torch.tensor([[1.0, 0.0, 0.0]]), [0, 5, 10])
        tensor([0.2500])

    References:
        Petsiuk, Das, Saenko 2018, "RISE", section 4.1; Ha and Youn, "Collection-CAM", section IV.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(steps):
        what = f"of shape (P,S) with S = {len(steps)} steps"
        raise ValueError(expected("probabilities", what, f"{tuple(probabilities.shape)}"))
    shares = torch.tensor(steps, dtype=probabilities.dtype, device=probabilities.device)
    return torch.trapezoid(probabilities, shares / steps[-1], dim=1)


def _probabilities(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return both, checked."""
    if before.ndim != 1 or before.shape != after.shape or len(before) == 0:
        got = f"{tuple(before.shape)} and {tuple(after.shape)}"
        raise ValueError(expected("before and after", "of one shape (P,), P at least 1", got))
    for name, values in (("before", before), ("after", after)):
        if not bool(((values >= 0) & (values <= 1)).all()):  # NaN fails too
            raise ValueError(expected(name, "probabilities in [0,1]", "others"))
    return before, after
