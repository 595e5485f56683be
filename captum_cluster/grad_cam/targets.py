"""Targets for pytorch-grad-cam's methods."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import TargetError, check_number, describe, expected, is_integer
from captum_cluster.functional.attribution.labels import (
    contrast_coefficients,
    other_labels,
    present_labels,
    warn_of_probabilities,
)

_FORMS = "class indices, or a multi-hot tensor (L,)"


class MinMaxTarget:
    """The MinMax objective ``J_c = S_c - mean of S over the other labels present``.

    With any gradient CAM of pytorch-grad-cam it gives that method's MinMax form; with GradCAM it
    is ``MinMaxGradCAM``. It also tells ``MinMaxGradCAM`` and ``MinMaxCAM`` the labels of an image.
    For methods that mask images give the labels: predicted ones would change from mask to mask;
    and pass ``score_function="logit"``, or it contrasts what they read by default, probabilities.

    Args:
        category: The label explained. It counts as present.
        labels: The labels present: class indices, or a multi-hot tensor (L,). None: those
            predicted, with a probability above ``threshold``; a softmax classifier, which does
            not tell what is present, raises.
        threshold: Probability above which a label counts as predicted, also in MinMaxGradCAM and
            MinMaxCAM, whose ``label_threshold`` is for plain targets.

    Raises:
        TypeError: ``category`` is no integer, or ``labels`` no list of integers nor a tensor.
        ValueError: ``threshold`` is outside [0,1], or a tensor is not (L,); at the call,
            labels that do not fit the output.
        TargetError: At the call, a category outside the output.

    Example:
        >>> import torch
        >>> MinMaxTarget(0, labels=[0, 1, 2])(torch.tensor([5.0, 1.0, 2.0, 9.0]))
        tensor(3.5000)

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", equation 3.
    """

    def __init__(
        self,
        category: int,
        labels: Sequence[int] | Tensor | None = None,
        threshold: float = 0.5,
    ) -> None:
        if not is_integer(category):
            raise TypeError(expected("category", "a class index", describe(category)))
        if labels is not None and not isinstance(labels, (list, tuple, Tensor)):
            raise TypeError(expected("labels", _FORMS, describe(labels)))
        if isinstance(labels, Tensor) and labels.ndim != 1:
            raise ValueError(expected("labels", _FORMS, describe(labels)))
        self.category = int(category)
        self.labels = labels
        self.threshold = check_number("threshold", threshold, 0.0, 1.0)

    def present(self, outputs: Tensor, max_predicted: int = 20) -> Tensor:
        """Return the labels present (P,L) for outputs (P,L) of the same image."""
        labels = self.labels
        if isinstance(labels, Tensor):
            rows: object = labels.expand(len(outputs), -1)
        else:
            rows = None if labels is None else [list(labels)] * len(outputs)
        return present_labels(
            outputs.detach(), rows, threshold=self.threshold, max_predicted=max_predicted
        )

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return ``J_c`` of one image's output (L,), or of each row of (P,L)."""
        # A model with a single output may give one number for an image.
        outputs = model_output.reshape(1, -1) if model_output.ndim < 2 else model_output
        count = outputs.shape[1] if outputs.ndim == 2 else 0
        if not -count <= self.category < count:
            what = f"a class index from 0 to {count - 1} of an output (L,)"
            got = f"{self.category} for an output of shape {tuple(model_output.shape)}"
            raise TargetError(expected("category", what, got))
        category = torch.full((len(outputs), 1), self.category % count, device=outputs.device)
        if model_output.requires_grad:  # masks are scored without, and may be read as probabilities
            warn_of_probabilities(outputs.detach())
        others = other_labels(self.present(outputs), category)
        contrast = (contrast_coefficients(category, others)[:, 0].to(outputs) * outputs).sum(dim=1)
        return contrast if model_output.ndim == 2 else contrast[0]
