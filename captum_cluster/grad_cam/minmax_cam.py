"""MinMax-CAM for pytorch-grad-cam."""

from __future__ import annotations

from torch import Tensor

from captum_cluster._types import CamResult, OutputTarget
from captum_cluster.grad_cam._labelled import ClosedFormCAM, labels_of
from captum_cluster.methods import MINMAX_CAM


class MinMaxCAM(ClosedFormCAM, algorithm=MINMAX_CAM):
    """MinMax-CAM: CAM of a label less the mean CAM of the other labels in the image.

    The closed form for networks that end in global average pooling and a linear classifier, at
    the layer that is pooled: one forward pass, no backward pass. Other networks raise an error
    that names the gradient form. The labels of an image travel in its target,
    ``MinMaxTarget(category, labels)``; a plain ``ClassifierOutputTarget`` means those that the
    model predicts. With ``decomposed=True`` D-MinMax-CAM. Options: ``classifier`` (see
    ``ClosedFormCAM``) and ``MinMaxCamConfig``.

    Example:
        >>> import torch
        >>> from captum_cluster.grad_cam import MinMaxTarget
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = MinMaxCAM(model, [model.layer4], decomposed=True)
        >>> cam(torch.rand(1, 3, 64, 64), [MinMaxTarget(3, labels=[3, 7])]).shape
        (1, 64, 64)

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", equations 7 and 9.
    """

    def _explain(self, images: Tensor, targets: list[OutputTarget]) -> list[CamResult]:
        seen = self.activations_and_grads
        explained, present = labels_of(targets, seen.logits, self.config)
        return [
            self.algorithm.run(maps, weight, explained, present, self.config)
            for maps, weight in zip(seen.activations, self._weights(), strict=True)
        ]
