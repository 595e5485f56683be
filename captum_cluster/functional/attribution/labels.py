"""Which labels an image has, and what to differentiate to tell one from the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_cluster._checks import describe, expected, is_integer, warn

_FORMS = "a multi-hot tensor (N,L), or a list with one list of class indices for each image"


def present_labels(
    outputs: Tensor,
    labels: Any = None,
    *,
    threshold: float = 0.5,
    max_predicted: int = 20,
    first: int = 0,
) -> Tensor:
    """Return which labels are present in each image.

    Args:
        outputs: (N,L), the model's outputs as it gives them. Those of an image that all lie in
            [0,1] are taken for probabilities, any others for logits.
        labels: The labels present: a multi-hot tensor (N,L) of 0 and 1, or a list with one list
            of class indices for each image. None: those predicted, with a probability above
            ``threshold``.
        threshold: Probability above which a label counts as predicted; logits go through a
            sigmoid.
        max_predicted: More labels than this are no prediction but a softmax classifier, whose
            logits say nothing about presence.
        first: Number of the first image, for the messages.

    Returns:
        BoolTensor (N,L).

    Raises:
        TypeError: ``labels`` is of no such form.
        ValueError: ``labels`` has another shape or names a class that does not exist, or more
            than ``max_predicted`` labels are predicted.

    Example:
        >>> present_labels(torch.tensor([[2.0, -1.0, 0.5]]))
        tensor([[ True, False,  True]])
        >>> present_labels(torch.full((2, 3), 4.0), [[0, 2], []]).int()
        tensor([[1, 0, 1],
                [0, 0, 0]], dtype=torch.int32)

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", section 3 (C_x); the sigmoid above 0.5 is its
        authors' choice.
    """
    if isinstance(labels, np.ndarray):
        labels = torch.from_numpy(labels)
    if labels is None:
        return _predicted(outputs, threshold, max_predicted, first)
    if isinstance(labels, Tensor):
        return _from_multi_hot(labels, outputs)
    return _from_lists(labels, outputs)


def other_labels(present: Tensor, targets: Tensor) -> Tensor:
    """Return the labels present besides each target, N_x: BoolTensor (N,T,L).

    Args:
        present: BoolTensor (N,L).
        targets: LongTensor (N,T), from 0 to L - 1.

    Example:
        >>> other_labels(torch.tensor([[True, True, False]]), torch.tensor([[0]]))
        tensor([[[False,  True, False]]])
    """
    is_target = torch.nn.functional.one_hot(targets, present.shape[1]).bool()
    return present[:, None] & ~is_target


def contrast_coefficients(targets: Tensor, others: Tensor) -> Tensor:
    """Return the coefficients of the outputs in ``J_c = S_c - mean of S over the others``.

    Args:
        targets: LongTensor (N,T).
        others: BoolTensor (N,T,L), see ``other_labels``. Where there are none ``J_c = S_c``.

    Returns:
        (N,T,L) float64.

    Example:
        >>> others = torch.tensor([[[False, True, True]]])
        >>> contrast_coefficients(torch.tensor([[0]]), others)
        tensor([[[ 1.0000, -0.5000, -0.5000]]], dtype=torch.float64)

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", equation 3.
    """
    own = torch.nn.functional.one_hot(targets, others.shape[2]).double()
    count = others.sum(dim=2, keepdim=True).clamp(min=1)
    return own - others.double() / count


def decomposed_contrast(own: Tensor, others: Tensor, positive: Tensor, count: Tensor) -> Tensor:
    """Return ``max(0, g_c) - positive/n + min(0, g_c + sum g_j)/(n + 1)``, element by element.

    Args:
        own: (N,...), the gradient g_c of the target.
        others: (N,...), the sum of the gradients g_j over the n other labels.
        positive: (N,...), the positive part of the others: of their sum (the paper), or the sum
            of the positive part of each.
        count: LongTensor (N,), the number n of other labels. Where it is 0 there is no contrast,
            and the result is g_c.

    Example:
        >>> own, others = torch.tensor([[1.0, -1.0]]), torch.tensor([[2.0, 0.5]])
        >>> decomposed_contrast(own, others, others.clamp(min=0), torch.tensor([1]))
        tensor([[-1.0000, -0.7500]])

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", equations 8 and 9.
    """
    n = count.reshape(-1, *(1,) * (own.ndim - 1)).to(own)
    lowered = own.clamp(min=0) - positive / n.clamp(min=1)
    contrast = lowered + (own + others).clamp(max=0) / (n + 1)
    return torch.where(n > 0, contrast, own)


def warn_of_probabilities(outputs: Tensor) -> None:
    """Warn where the outputs (N,L) of an image all lie in [0,1], as no logits of several labels do.

    Example:
        >>> warn_of_probabilities(torch.tensor([[4.0, -2.0]]))
    """
    if outputs.shape[1] > 1 and bool(_probabilities(outputs).any()):
        warn(
            "The model's outputs lie in [0,1], as if it ended in a sigmoid or softmax. Labels "
            "are contrasted by their logits: pass the model without that last step."
        )


def _probabilities(outputs: Tensor) -> Tensor:
    """Return for each image (N,) whether its outputs are probabilities."""
    return ((outputs >= 0) & (outputs <= 1)).all(dim=1)


def _predicted(outputs: Tensor, threshold: float, max_predicted: int, first: int) -> Tensor:
    probabilities = torch.where(_probabilities(outputs)[:, None], outputs, outputs.sigmoid())
    predicted = probabilities > threshold
    counts = predicted.sum(dim=1)
    if int(counts.max()) > max_predicted:
        what = f"to predict at most {max_predicted} labels of an image (max_predicted)"
        got = f"{int(counts.max())} for image {first + int(counts.argmax())}"
        advice = " A softmax classifier does not tell which labels are present: pass labels=."
        raise ValueError(expected("the model", what, got) + advice)
    return predicted


def _from_multi_hot(labels: Tensor, outputs: Tensor) -> Tensor:
    if labels.shape != outputs.shape:
        what = f"{_FORMS}, here of shape {tuple(outputs.shape)}"
        raise ValueError(expected("labels", what, describe(labels)))
    if not bool(((labels == 0) | (labels == 1)).all()):
        raise ValueError(expected("labels", "a multi-hot tensor of 0 and 1", "other values"))
    return labels.to(outputs.device) == 1


def _from_lists(labels: Any, outputs: Tensor) -> Tensor:
    images, count = outputs.shape
    rows = [isinstance(row, (list, tuple)) for row in labels] if _is_list(labels) else [False]
    if not all(rows):
        raise TypeError(expected("labels", _FORMS, describe(labels)))
    if len(rows) != images:
        what = f"one list of class indices for each of {images} images"
        raise ValueError(expected("labels", what, f"{len(rows)} of them"))
    present = torch.zeros(images, count, dtype=torch.bool)
    for image, row in enumerate(labels):
        for label in row:
            if not is_integer(label):
                raise TypeError(expected("labels", "lists of integers", describe(label)))
            if not 0 <= label < count:
                what = f"lists of class indices from 0 to {count - 1}"
                raise ValueError(expected("labels", what, label))
            present[image, label] = True
    return present.to(outputs.device)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))
