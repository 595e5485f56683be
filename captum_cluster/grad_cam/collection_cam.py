"""Collection-CAM for pytorch-grad-cam."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from captum_cluster._types import CamResult, OutputTarget
from captum_cluster.grad_cam._masked import MaskedCAM
from captum_cluster.methods import COLLECTION_CAM


class CollectionCAM(MaskedCAM, algorithm=COLLECTION_CAM):
    """Collection-CAM: the maps of several layers, collected by similarity, are scored as masks.

    ``target_layers`` go from shallow to final, the last one is the final layer; they make ONE map
    together, instead of one each that are averaged. One forward and one backward pass, and one
    forward pass for each collection. ``results[0]`` says which collections were chosen. Options:
    ``CollectionCamConfig``.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = CollectionCAM(model, [model.layer3, model.layer4])
        >>> cam(torch.rand(2, 3, 64, 64)).shape
        (2, 64, 64)
        >>> len(cam.results[0].layers)
        2

    References:
        Ha and Youn, "Collection-CAM: A Faster Region-Based Saliency Method Using Collection-Wise
        Mask Over Pyramidal Features", equations 5 to 25 and Algorithm 1.
    """

    with_gradients: ClassVar[bool] = True

    def _explain(self, images: Tensor, targets: list[OutputTarget]) -> list[CamResult]:
        scorer = self._scorer(images, targets)
        seen, rows = self.activations_and_grads, torch.arange(len(images))
        layers = seen.with_gradients_of(lambda outputs: scorer.select(outputs, rows))
        return [self.algorithm.run(layers, scorer, self.config)]
