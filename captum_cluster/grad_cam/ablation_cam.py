"""Ablation-CAM for pytorch-grad-cam, which runs only what is behind the layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from captum_cluster._checks import check_flag, check_integer, is_integer
from captum_cluster._types import CamResult, OutputTarget
from captum_cluster.functional.attribution.output_selector import Pick
from captum_cluster.functional.attribution.outputs import Outputs
from captum_cluster.functional.attribution.targets import TargetSelector, select_each
from captum_cluster.grad_cam._base import ScopedActivations, ScopedCAM
from captum_cluster.hooks import Record, on_one_device, record
from captum_cluster.methods import ABLATION_CAM, Ablator, WholePass


class AblationCAM(ScopedCAM, algorithm=ABLATION_CAM):
    """Ablation-CAM: each map of the layer weighs what the score loses without it.

    One forward pass for each image, and for each layer and each of its maps that is not 0 one run
    of what is behind the layer; none where global average pooling and a linear classifier follow
    and the targets are ``ClassifierOutputTarget``. The maps are those of the host's own
    AblationCAM where the layer has no negative values; where it has, ``fill="low"`` comes closest.
    ``results[0].way`` says which way was taken (see ``LayerAblationCam``). Options:
    ``AblationCamConfig``.

    Args:
        model: As for ``ScopedCAM``, and so for the arguments not named here.
        target_layers: See there.
        reshape_transform: See there; it rearranges values, and computes none.
        batch_size: Copies of an image, each without one map, in one pass. None: as many as fit a
            memory budget. It does not change the map. The attribute of that name may be set
            later, as in the host.
        show_progress: Show a bar over the maps.
        output_selector: See there.
        tta_transforms: See there.
        **options: The method's own, see its config.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = AblationCAM(model, [model.layer4])
        >>> cam(torch.rand(2, 3, 64, 64)).shape, cam.results[0].way
        ((2, 64, 64), 'closed')

    References:
        Desai and Ramaswamy 2020, "Ablation-CAM: Visual Explanations for Deep Convolutional
        Network via Gradient-free Localization", equations 3 and 4.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layers: Sequence[nn.Module],
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        *,
        batch_size: int | None = None,
        show_progress: bool = False,
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
        # The weights are small differences of scores: rounded as the host's they agree with it.
        self.activations_and_grads: _RecordedActivations = _RecordedActivations(
            model,
            self.target_layers,
            reshape_transform,
            channels_last=False,
            output_selector=self.output_selector,
        )
        self.activations_and_grads.steps = self.config.replays
        self.batch_size = batch_size
        self.show_progress = check_flag("show_progress", show_progress)

    def _explain(self, images: Tensor, targets: list[OutputTarget]) -> list[CamResult]:
        kept = self.activations_and_grads
        rows = self.batch_size
        rows = None if rows is None else check_integer("batch_size", rows, 1)
        select = _selector(targets)
        results = []
        for recorded, maps in zip(kept.records, kept.activations, strict=True):
            seen = WholePass(
                kept.forward_of(on_one_device(self.model)).forward,
                (images,),
                kept.outputs.detach(),
                recorded,
                self.reshape_transform,
                rows=rows,
            )
            ablate = Ablator(self.model, seen, select, self.show_progress)
            results.append(self.algorithm.run(maps, ablate, self.config))
        return results


class _RecordedActivations(ScopedActivations):
    """Keeps, with the maps of each layer, what came before it.

    Attributes:
        steps: Whether the latter may be given again.
        records: Of each layer the pass up to it.
    """

    steps = True

    def __call__(self, inputs: Tensor) -> Outputs:
        """Run the model once, and keep the layers' feature maps (N,C,h,w)."""
        with ExitStack() as stack:
            records = [
                stack.enter_context(record(self.model, layer, steps=self.steps))
                for layer in self.layers
            ]
            outputs = super().__call__(inputs)
        self.records: list[Record] = records
        return outputs

    def drop_graph(self) -> None:
        """Let go of all but the maps."""
        super().drop_graph()
        self.records = []

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self.records = []


def _selector(targets: list[OutputTarget]) -> TargetSelector:
    """Return the selector of targets; of class indices, where they are nothing else."""
    categories: list[Any] = [
        getattr(target, "category", None)
        for target in targets
        if type(target) is ClassifierOutputTarget
    ]
    known = len(categories) == len(targets) and all(is_integer(one) for one in categories)
    return select_each(categories if known else targets, images=len(targets))
