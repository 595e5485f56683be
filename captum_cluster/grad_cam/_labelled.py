"""The pytorch-grad-cam face of the methods that contrast the labels of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from captum_cluster._checks import TargetError, expected, is_integer
from captum_cluster._types import OutputTarget
from captum_cluster.functional.attribution.output_selector import Pick
from captum_cluster.functional.attribution.targets import class_indices, select_each
from captum_cluster.grad_cam._base import ScopedCAM
from captum_cluster.grad_cam.targets import MinMaxTarget
from captum_cluster.methods import (
    MinMaxCamConfig,
    MultiLevelCamConfig,
    check_labels,
    closed_form_weight,
    find_classifier,
)


class ClosedFormCAM(ScopedCAM):
    """Base of the closed forms: the target layer is pooled, and a linear classifier follows.

    Args:
        model: As for ``ScopedCAM``, and so for the arguments not named here.
        target_layers: See there.
        reshape_transform: See there.
        classifier: The ``nn.Linear`` or 1x1 ``nn.Conv2d`` that gives the logits; where it has an
            ``effective_weight``, that is read. None: the model's ``parent_head``, else the last
            in it.
        output_selector: See there.
        tta_transforms: See there.
        **options: The method's own, see its config.

    Raises:
        LayerError: At each call, where the pooled layer and the classifier do not give the
            model's outputs.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layers: Sequence[nn.Module],
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        *,
        classifier: nn.Module | None = None,
        output_selector: Pick = None,
        tta_transforms: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            model,
            target_layers,
            reshape_transform,
            output_selector=output_selector,
            tta_transforms=tta_transforms,
            **options,
        )
        self.classifier = find_classifier(model, classifier)

    def _weights(self) -> list[Tensor]:
        """Return the classifier's weights (L,C), checked against each layer."""
        seen = self.activations_and_grads
        return [closed_form_weight(self.classifier, maps, seen.logits) for maps in seen.activations]


def categories_of(targets: list[OutputTarget], outputs: Tensor) -> Tensor:
    """Return the class indices (N,1) of targets that name one, as the host's own do.

    Of a model with one number for each image, outputs (N,), the only class is 0.

    Raises:
        TargetError: A target has no ``category``, or one outside the outputs.
    """
    categories = []
    for target in targets:
        # Other targets of the host have a category too, but explain something else of it.
        category = getattr(target, "category", None)
        known = isinstance(target, (ClassifierOutputTarget, MinMaxTarget))
        if not known or not is_integer(category):
            what = "a ClassifierOutputTarget or a MinMaxTarget, which name a category"
            raise TargetError(expected("target", what, type(target).__name__))
        categories.append(category)
    outputs = outputs.reshape(len(outputs), -1) if outputs.ndim == 1 else outputs
    return class_indices(select_each(categories, images=len(targets)), outputs)


def labels_of(
    targets: list[OutputTarget], outputs: Tensor, config: MinMaxCamConfig | MultiLevelCamConfig
) -> tuple[Tensor, Tensor]:
    """Return the labels explained (N,1) and the labels present (N,L), which the targets tell."""
    outputs = outputs.reshape(len(outputs), -1) if outputs.ndim == 1 else outputs
    categories = categories_of(targets, outputs)
    rows = []
    for number, target in enumerate(targets):
        labels, threshold = None, config.label_threshold
        if isinstance(target, MinMaxTarget):
            labels, threshold = target.labels, target.threshold
        if labels is not None:
            labels = labels[None] if isinstance(labels, Tensor) else [list(labels)]
        _, present = check_labels(
            outputs[number : number + 1],
            select_each(int(categories[number]), images=1),
            labels,
            label_threshold=threshold,
            max_predicted=config.max_predicted,
            first=number,
        )
        rows.append(present)
    return categories, torch.cat(rows)
