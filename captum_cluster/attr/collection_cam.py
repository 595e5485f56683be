"""Collection-CAM for Captum."""

from __future__ import annotations

from typing import Any

from captum_cluster._types import CamResult
from captum_cluster.attr._base import Call
from captum_cluster.attr._masked import LayerMaskedCam, MaskOptions
from captum_cluster.attr._several import SeveralLayers, layers_with_gradients
from captum_cluster.methods import COLLECTION_CAM


class LayerCollectionCam(SeveralLayers, LayerMaskedCam, algorithm=COLLECTION_CAM):
    """Collection-CAM: the maps of several layers, collected by similarity, are scored as masks.

    One forward and one backward pass for each image and target, and one forward pass for each
    collection. The maps come out at the size of the input, (N,T,H,W). Options: ``MaskOptions``
    and ``CollectionCamConfig``.

    Args:
        forward_func: The model, or any function of the inputs that gives its output.
        layer: One layer, or several in a list, shallow to final: the last one is the final layer.
        device_ids: As in Captum.
        reshape_transform: Turns what a layer gives, whatever it is, into maps (N,C,h,w).
        output_selector: Picks the tensor of the model's output (see ``LayerCam``).

    Raises:
        TypeError: ``layer`` is neither a module nor a list of modules.
        ValueError: The list is empty.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = LayerCollectionCam(model, [model.layer3, model.layer4])
        >>> images = torch.rand(2, 3, 64, 64)
        >>> cam.attribute(images, target=3).shape
        torch.Size([2, 1, 64, 64])
        >>> result = cam.explain(images, [3], partition_sizes=[2, 3])
        >>> [layer.sizes.shape for layer in result.layers]
        [torch.Size([2, 1]), torch.Size([2, 1])]

    References:
        Ha and Youn, "Collection-CAM: A Faster Region-Based Saliency Method Using Collection-Wise
        Mask Over Pyramidal Features", equations 5 to 25 and Algorithm 1. Where the paper is
        silent (the range of partition sizes, the scale of the statistics, where the ReLU stands)
        the options name the readings.
    """

    def _explain(self, call: Call, passed: MaskOptions, config: Any) -> tuple[CamResult, ...]:
        observed, scorer = self._seen(call, passed, config, gradients=True)
        layers = layers_with_gradients(observed, call.select)
        return tuple(
            self.algorithm.run(parts, scorer, config) for parts in zip(*layers, strict=True)
        )
