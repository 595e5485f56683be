"""Ablation-CAM for Captum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from captum_cluster._types import CamResult
from captum_cluster.attr._base import Call, LayerCam, PassSize
from captum_cluster.hooks import on_one_device, record
from captum_cluster.methods import ABLATION_CAM, Ablator, WholePass


@dataclass(frozen=True)
class AblationOptions(PassSize):
    """How the passes are made.

    Attributes:
        perturbations_per_eval: At most this many copies of an image, each without one map, go
            through one pass. None: as many as fit a memory budget. It does not change the map.
        show_progress: Show a bar over the maps.
    """


class LayerAblationCam(LayerCam, algorithm=ABLATION_CAM):
    """Ablation-CAM: each map of the layer weighs what the score loses without it.

    One forward pass for each image, and for each map that is not 0 one run of what is behind the
    layer, whatever the number of targets; none where global average pooling and a linear
    classifier follow (``way``). The map is signed; pass ``relu_attributions=True`` for the
    paper's ReLU. Options: ``AblationOptions`` and ``AblationCamConfig``.

    Only what is behind the layer runs again where the model is a module whose parts are modules:
    those before the layer give what they gave. For each image it is looked at whether that gives
    the model's output; where it does not, and for a model behind a function, for a compiled,
    scripted or data-parallel one, the whole model runs. ``explain`` says which way was taken.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = LayerAblationCam(model, model.layer4)
        >>> cam.attribute(torch.rand(2, 3, 64, 64), target=3).shape
        torch.Size([2, 1, 2, 2])
        >>> earlier = LayerAblationCam(model, model.layer1)
        >>> earlier.explain(torch.rand(1, 3, 64, 64), [3]).way
        'shared'

    References:
        Desai and Ramaswamy 2020, "Ablation-CAM: Visual Explanations for Deep Convolutional
        Network via Gradient-free Localization", equations 3 and 4. At a score of 0, where the
        paper divides by it, the weights are what the score loses.
    """

    call_options: ClassVar[type] = AblationOptions
    # The weights are small differences of scores: rounded as the host's they agree with it.
    channels_last: ClassVar[bool] = False

    def _explain(self, call: Call, passed: AblationOptions, config: Any) -> tuple[CamResult, ...]:
        recording = record(
            self.forward_func, self.layer, of_input=call.of_input, steps=config.replays
        )
        with recording as recorded:
            observed = self._observe(call)
        transform = _of_argument(self.reshape_transform) if call.of_input else None
        transform = transform or self.reshape_transform
        # The layer is found, and changed, in this thread alone.
        model = on_one_device(self.forward_func)
        forward = call.forward if model is self.forward_func else call.forward_of(model)
        results = []
        for part, maps in enumerate(observed.maps[0]):
            seen = WholePass(
                forward,
                call.inputs,
                observed.outputs,
                recorded,
                transform,
                part,
                passed.perturbations_per_eval,
            )
            ablate = Ablator(self.forward_func, seen, call.select, passed.show_progress)
            results.append(self.algorithm.run(maps, ablate, config))
        return tuple(results)


def _of_argument(transform: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """Return a transform of what a layer takes: of its argument, where there is one only."""
    if transform is None:
        return None
    return lambda taken: transform(taken[0] if len(taken) == 1 else taken)
