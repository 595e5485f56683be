"""Multi-branch CAM for Captum."""

from __future__ import annotations

from typing import Any, ClassVar

from captum_cluster._types import CamResult
from captum_cluster.attr._base import Call
from captum_cluster.attr._labelled import NoOptions
from captum_cluster.attr._several import SeveralLayers, layers_with_gradients
from captum_cluster.methods import MULTI_BRANCH_CAM, check_finite_outputs


class LayerMultiBranchCam(SeveralLayers, algorithm=MULTI_BRANCH_CAM):
    """Multi-branch CAM: the mean of the Grad-CAMs of several layers, of a network's branches.

    Each is rectified and divided by its maximum first; those of smaller grids are enlarged to the
    largest. So the map is from 0 to 1, also of one layer alone. One forward pass, and one backward
    pass for each layer and target. It has no options.

    Args:
        forward_func: The model, or any function of the inputs that gives its output; a
            ``captum_cluster.training.TwoBranch``, whose branches are in
            ``network.explained_layers``, or any other.
        layer: The layers, one of each branch; or one module.
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
        >>> cam = LayerMultiBranchCam(model, [model.layer3, model.layer4])
        >>> images = torch.rand(2, 3, 64, 64)
        >>> cam.attribute(images, target=3).shape
        torch.Size([2, 1, 4, 4])
        >>> [part.shape for part in cam.explain(images, [3]).layers]
        [torch.Size([2, 1, 4, 4]), torch.Size([2, 1, 2, 2])]

    References:
        Huang et al., "Class Activation Map generation by Multiple Level Class Grouping and
        Orthogonal Constraint", section II-D.
    """

    call_options: ClassVar[type] = NoOptions

    def _explain(self, call: Call, passed: Any, config: Any) -> tuple[CamResult, ...]:
        observed = self._observe(call, gradients=True)
        check_finite_outputs(observed.outputs, call.select)
        layers = layers_with_gradients(observed, call.select)
        return tuple(self.algorithm.run(parts, config) for parts in zip(*layers, strict=True))
