"""CAM, the original class activation map, for Captum."""

from __future__ import annotations

from typing import Any, ClassVar

from captum_cluster._types import CamResult
from captum_cluster.attr._base import Call
from captum_cluster.attr._labelled import LayerClosedFormCam, NoOptions
from captum_cluster.functional.attribution.targets import class_indices
from captum_cluster.methods import CAM


class LayerClassActivationMap(LayerClosedFormCam, algorithm=CAM):
    """CAM: the maps that are pooled, weighted by the classifier's row of the label.

    For networks that end in global average pooling and a linear classifier, such as the ResNets;
    there it is Grad-CAM times the number of cells of the grid, without a backward pass. Other
    networks raise an error. (The id ``layercam`` is another method, Jiang's LayerCAM.)

    Args:
        forward_func: The model, or any function of the inputs that gives its output.
        layer: The layer that is pooled.
        device_ids: As in Captum.
        reshape_transform: Turns what the layer gives, whatever it is, into maps (N,C,h,w).
        output_selector: Picks the tensor of the model's output (see ``LayerCam``).
        classifier: The linear classifier; None: the model's ``parent_head``, else the last in it.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = LayerClassActivationMap(model, model.layer4)
        >>> cam.attribute(torch.rand(2, 3, 64, 64), target=3).shape
        torch.Size([2, 1, 2, 2])

    References:
        Zhou et al. 2016, "Learning Deep Features for Discriminative Localization",
        https://arxiv.org/abs/1512.04150, equation 2. The baseline of David, Pedrini, Dias,
        "MinMax-CAM".
    """

    call_options: ClassVar[type] = NoOptions

    def _explain(self, call: Call, passed: Any, config: Any) -> tuple[CamResult, ...]:
        observed = self._observe(call)
        targets = class_indices(call.select, observed.logits)
        return tuple(
            self.algorithm.run(maps, weight, targets, config)
            for maps, weight in zip(observed.maps[0], self._weights(observed), strict=True)
        )
