"""MinMax-CAM for Captum."""

from __future__ import annotations

from typing import ClassVar

from captum_cluster._types import CamResult
from captum_cluster.attr._base import Call
from captum_cluster.attr._labelled import LabelOptions, LayerClosedFormCam, labels_of
from captum_cluster.methods import MINMAX_CAM, MinMaxCamConfig


class LayerMinMaxCam(LayerClosedFormCam, algorithm=MINMAX_CAM):
    """MinMax-CAM: CAM of a label less the mean CAM of the other labels in the image.

    The closed form for networks that end in global average pooling and a linear classifier: one
    forward pass, no backward pass. Other networks raise an error that names the gradient form.
    With ``decomposed=True`` D-MinMax-CAM. Pass logits: a model that ends in a sigmoid or softmax
    gets a warning. Options: ``labels`` (``LabelOptions``) and ``MinMaxCamConfig``.

    Args:
        forward_func: The model, or any function of the inputs that gives its output.
        layer: The layer that is pooled.
        device_ids: As in Captum.
        reshape_transform: Turns what the layer gives, whatever it is, into maps (N,C,h,w).
        output_selector: Picks the tensor of the model's output (see ``LayerCam``).
        classifier: The linear classifier, read through its ``effective_weight`` where it has one
            (``KernelUsageLinear``); None: the model's ``parent_head``, else the last in it.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18(num_classes=20).eval()
        >>> cam = LayerMinMaxCam(model, model.layer4)
        >>> images = torch.rand(2, 3, 64, 64)
        >>> cam.attribute(images, target=3, labels=[[3, 7], [3]]).shape
        torch.Size([2, 1, 2, 2])
        >>> cam.attribute_targets(images, [3, 7], labels=[[3, 7], [3, 7]], decomposed=True).shape
        torch.Size([2, 2, 2, 2])

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", equations 7 and 9.
    """

    call_options: ClassVar[type] = LabelOptions

    def _explain(
        self, call: Call, passed: LabelOptions, config: MinMaxCamConfig
    ) -> tuple[CamResult, ...]:
        observed = self._observe(call)
        targets, present = labels_of(call.select, observed, passed, config)
        return tuple(
            self.algorithm.run(maps, weight, targets, present, config)
            for maps, weight in zip(observed.maps[0], self._weights(observed), strict=True)
        )
