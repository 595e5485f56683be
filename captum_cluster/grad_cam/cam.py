"""CAM, the original class activation map, for pytorch-grad-cam."""

from __future__ import annotations

from torch import Tensor

from captum_cluster._types import CamResult, OutputTarget
from captum_cluster.grad_cam._labelled import ClosedFormCAM, categories_of
from captum_cluster.methods import CAM as _CAM


class CAM(ClosedFormCAM, algorithm=_CAM):
    """CAM: the maps that are pooled, weighted by the classifier's row of the label.

    For networks that end in global average pooling and a linear classifier, at the layer that is
    pooled; there it is the host's GradCAM without a backward pass. Options: ``classifier`` (see
    ``ClosedFormCAM``).

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> CAM(model, [model.layer4])(torch.rand(2, 3, 64, 64)).shape
        (2, 64, 64)

    References:
        Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", equation 2.
    """

    def _explain(self, images: Tensor, targets: list[OutputTarget]) -> list[CamResult]:
        seen = self.activations_and_grads
        categories = categories_of(targets, seen.logits)
        return [
            self.algorithm.run(maps, weight, categories, self.config)
            for maps, weight in zip(seen.activations, self._weights(), strict=True)
        ]
