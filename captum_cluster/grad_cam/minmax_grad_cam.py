"""MinMax-Grad-CAM for pytorch-grad-cam."""

from __future__ import annotations

import functools
from typing import ClassVar

from torch import Tensor

from captum_cluster._types import CamResult, OutputTarget
from captum_cluster.grad_cam._base import ScopedActivations, ScopedCAM
from captum_cluster.grad_cam._labelled import labels_of
from captum_cluster.methods import MINMAX_GRAD_CAM, weighted_outputs


class MinMaxGradCAM(ScopedCAM, algorithm=MINMAX_GRAD_CAM):
    """MinMax-Grad-CAM: Grad-CAM of a label's score less the mean score of the other labels.

    The labels of an image travel in its target, ``MinMaxTarget(category, labels)``; a plain
    ``ClassifierOutputTarget`` means those that the model predicts. One forward and one backward
    pass; two backward passes for D-MinMax-Grad-CAM (``decomposed=True``), which has no target form.
    Other targets than these two raise: wrapped in the host's FinerCAM, give targets. Options:
    ``MinMaxGradCamConfig``.

    Example:
        >>> import torch
        >>> from captum_cluster.grad_cam import MinMaxTarget
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = MinMaxGradCAM(model, [model.layer4])
        >>> cam(torch.rand(1, 3, 64, 64), [MinMaxTarget(3, labels=[3, 7])]).shape
        (1, 64, 64)

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", equations 3 to 6 and 8.
    """

    with_gradients: ClassVar[bool] = True

    def _explain(self, images: Tensor, targets: list[OutputTarget]) -> list[CamResult]:
        seen = self.activations_and_grads
        explained, present = labels_of(targets, seen.logits, self.config)
        return [
            self.algorithm.run(
                maps, functools.partial(_gradients, seen, layer), explained, present, self.config
            )
            for layer, maps in enumerate(seen.activations)
        ]


def _gradients(seen: ScopedActivations, layer: int, coefficients: Tensor) -> Tensor:
    """Return the gradient of the weighted outputs at a layer's maps."""
    return seen.gradients_of(functools.partial(weighted_outputs, coefficients), layer)
