"""Multi-branch CAM for pytorch-grad-cam."""

from __future__ import annotations

import functools
from typing import ClassVar

import torch
from torch import Tensor

from captum_cluster._types import CamResult, OutputTarget
from captum_cluster.functional.attribution.outputs import Outputs
from captum_cluster.functional.attribution.targets import TargetSelector, select_each
from captum_cluster.grad_cam._base import ScopedCAM
from captum_cluster.methods import MULTI_BRANCH_CAM, check_finite_outputs


class MultiBranchCAM(ScopedCAM, algorithm=MULTI_BRANCH_CAM):
    """Multi-branch CAM: the mean of the Grad-CAMs of several layers, of a network's branches.

    ``target_layers`` are one layer of each branch, ``network.explained_layers`` of a
    ``captum_cluster.training.TwoBranch``. Each map is rectified and divided by its maximum first;
    the host's own mean takes the minimum away too, at the size of the image. ``results[0]`` holds
    the map of each. It has no options.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = MultiBranchCAM(model, [model.layer3, model.layer4])
        >>> cam(torch.rand(2, 3, 64, 64)).shape
        (2, 64, 64)
        >>> [part.shape for part in cam.results[0].layers]
        [torch.Size([2, 1, 4, 4]), torch.Size([2, 1, 2, 2])]

    References:
        Huang et al., "Class Activation Map generation by Multiple Level Class Grouping and
        Orthogonal Constraint", section II-D.
    """

    with_gradients: ClassVar[bool] = True

    def _explain(self, images: Tensor, targets: list[OutputTarget]) -> list[CamResult]:
        seen = self.activations_and_grads
        select = select_each(targets, images=len(images))
        check_finite_outputs(seen.outputs, select)
        values = functools.partial(_values, select)
        return [self.algorithm.run(seen.with_gradients_of(values), self.config)]


def _values(select: TargetSelector, outputs: Outputs) -> Tensor:
    """Return the targets' values (N,1) of the outputs."""
    return select(outputs, torch.arange(len(outputs)))
