"""Sub-category CAM for pytorch-grad-cam."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from captum_cluster._types import CamResult, OutputTarget
from captum_cluster.functional.attribution.output_selector import Pick
from captum_cluster.grad_cam._base import ScopedCAM
from captum_cluster.grad_cam._labelled import categories_of
from captum_cluster.methods import (
    SUB_CATEGORY_CAM,
    find_sub_category_head,
    sub_category_weight,
)


class SubCategoryCAM(ScopedCAM, algorithm=SUB_CATEGORY_CAM):
    """Sub-category CAM: the maximum over the CAMs of a label's sub-categories (SC-CAM's sub_max).

    For networks with a second linear head on the pooled maps, of K sub-categories of each label, as
    ``captum_cluster.training.SubCategoryDiscovery`` trains them, at the layer that is pooled. The
    CAM of each sub-category is rectified; at each place the largest counts. ``results[0].parts``
    holds them all.

    Args:
        model: As for ``ScopedCAM``, and so for the arguments not named here.
        target_layers: See there.
        reshape_transform: See there.
        head: The head of the sub-categories, read through its ``effective_weight`` where it has
            one, else its ``weight``, (L*K,C): row ``l*K + k`` is the sub-category k of label l.
            None: the model's ``sub_category_head``.
        output_selector: See there.
        tta_transforms: See there.
        **options: There are none.

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
        >>> SubCategoryCAM(model, [model.layer4])(torch.rand(2, 3, 64, 64)).shape
        (2, 64, 64)

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        equation 1; the maximum is in its authors' code.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layers: Sequence[nn.Module],
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        *,
        head: nn.Module | None = None,
        output_selector: Pick = None,
        tta_transforms: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            model,
            target_layers,
            reshape_transform,
            output_selector=output_selector,
            tta_transforms=tta_transforms,
            **options,
        )
        self.head = find_sub_category_head(model, head)

    def _explain(self, images: Tensor, targets: list[OutputTarget]) -> list[CamResult]:
        seen = self.activations_and_grads
        categories = categories_of(targets, seen.logits)
        return [
            self.algorithm.run(
                maps, sub_category_weight(self.head, maps, seen.logits), categories, self.config
            )
            for maps in seen.activations
        ]
