"""Sub-category CAM for Captum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from captum_cluster._types import CamResult
from captum_cluster.attr._base import Call, LayerCam
from captum_cluster.attr._labelled import NoOptions
from captum_cluster.functional.attribution.output_selector import Pick
from captum_cluster.functional.attribution.targets import class_indices
from captum_cluster.methods import (
    SUB_CATEGORY_CAM,
    find_sub_category_head,
    sub_category_weight,
)


class LayerSubCategoryCam(LayerCam, algorithm=SUB_CATEGORY_CAM):
    """Sub-category CAM: the maximum over the CAMs of a label's sub-categories (SC-CAM's sub_max).

    For networks with a second linear head on the pooled maps, of K sub-categories of each label, as
    ``captum_cluster.training.SubCategoryDiscovery`` trains them. The CAM of each sub-category is
    rectified; at each place the largest counts. One forward pass, no backward pass. The map of the
    label itself is CAM (``LayerClassActivationMap``). It has no options.

    Args:
        forward_func: The model, or any function of the inputs that gives its output (N,L).
        layer: The layer that is pooled.
        device_ids: As in Captum.
        reshape_transform: Turns what the layer gives, whatever it is, into maps (N,C,h,w).
        output_selector: Picks the tensor of the model's output (see ``LayerCam``).
        head: The head of the sub-categories, read through its ``effective_weight`` where it has
            one, else its ``weight``, (L*K,C): row ``l*K + k`` is the sub-category k of label l.
            None: the model's ``sub_category_head``.

    Raises:
        TypeError: ``head`` is no module with a weight.
        LayerError: The model has no such head; at each call, where it does not fit the maps or the
            labels.

    Example:
        >>> import torch
        >>> from captum_cluster.training import SubCategoryHead
        >>> from torchvision.models import resnet18
        >>> model = resnet18(num_classes=20).eval()
        >>> model.sub_category_head = SubCategoryHead(512, 20, 10)
        >>> cam = LayerSubCategoryCam(model, model.layer4)
        >>> cam.attribute(torch.rand(2, 3, 64, 64), target=3).shape
        torch.Size([2, 1, 2, 2])
        >>> cam.explain(torch.rand(2, 3, 64, 64), [3, 7]).parts.shape
        torch.Size([2, 2, 10, 2, 2])

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        equation 1; the maximum is in its authors' code.
    """

    call_options: ClassVar[type] = NoOptions

    def __init__(
        self,
        forward_func: Callable[..., Any],
        layer: nn.Module,
        device_ids: list[int] | None = None,
        *,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        output_selector: Pick = None,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__(
            forward_func,
            layer,
            device_ids,
            reshape_transform=reshape_transform,
            output_selector=output_selector,
        )
        self.head = find_sub_category_head(forward_func, head)

    def _explain(self, call: Call, passed: Any, config: Any) -> tuple[CamResult, ...]:
        observed = self._observe(call)
        targets = class_indices(call.select, observed.logits)
        return tuple(
            self.algorithm.run(
                maps, sub_category_weight(self.head, maps, observed.logits), targets, config
            )
            for maps in observed.maps[0]
        )
