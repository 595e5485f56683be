"""MinMax-Grad-CAM for Captum."""

from __future__ import annotations

import functools
from typing import ClassVar

from torch import Tensor

from captum_cluster._types import CamResult
from captum_cluster.attr._base import Call, LayerCam, Observed
from captum_cluster.attr._labelled import LabelOptions, labels_of
from captum_cluster.methods import MINMAX_GRAD_CAM, MinMaxGradCamConfig, weighted_outputs


class LayerMinMaxGradCam(LayerCam, algorithm=MINMAX_GRAD_CAM):
    """MinMax-Grad-CAM: Grad-CAM of a label's score less the mean score of the other labels.

    For any network, at any layer: one forward and one backward pass, two backward passes for
    D-MinMax-Grad-CAM (``decomposed=True``); ``attribute_targets`` gives T labels from one forward
    and at most T + 1 backward passes. Pass logits: a model that ends in a sigmoid or softmax gets
    a warning. A softmax classifier needs ``labels=``. Options: ``labels`` (``LabelOptions``) and
    ``MinMaxGradCamConfig``.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = LayerMinMaxGradCam(model, model.layer4)
        >>> images = torch.rand(2, 3, 64, 64)
        >>> cam.attribute(images, target=3, labels=[[3, 7], [3]]).shape
        torch.Size([2, 1, 2, 2])
        >>> cam.attribute_targets(images, [3, 7], labels=[[3, 7], [3, 7]], decomposed=True).shape
        torch.Size([2, 2, 2, 2])

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", equations 3 to 6 and 8. As in both hosts' Grad-CAM a
        map's weight is the mean of its gradient; ``reduction="sum"`` is the letter of equation 5.
    """

    call_options: ClassVar[type] = LabelOptions

    def _explain(
        self, call: Call, passed: LabelOptions, config: MinMaxGradCamConfig
    ) -> tuple[CamResult, ...]:
        observed = self._observe(call, gradients=True)
        targets, present = labels_of(call.select, observed, passed, config)
        gradients = functools.partial(_gradients, observed)
        return tuple(
            self.algorithm.run(maps, functools.partial(gradients, number), targets, present, config)
            for number, maps in enumerate(observed.maps[0])
        )


def _gradients(observed: Observed, tensor: int, coefficients: Tensor) -> Tensor:
    """Return the gradient of the weighted outputs at one of the layer's tensors."""
    return observed.gradients(functools.partial(weighted_outputs, coefficients), 0)[tensor]
