"""Collection-CAM for Captum."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import LayerError, describe, expected
from captum_cluster._types import CamResult
from captum_cluster.attr._base import Call, Observed
from captum_cluster.attr._masked import LayerMaskedCam, MaskOptions, check_targets
from captum_cluster.functional.attribution.targets import TargetSelector
from captum_cluster.methods import COLLECTION_CAM, MapsAndGradients


class LayerCollectionCam(LayerMaskedCam, algorithm=COLLECTION_CAM):
    """Collection-CAM: the maps of several layers, collected by similarity, are scored as masks.

    One forward and one backward pass for each image and target, and one forward pass for each
    collection. The maps come out at the size of the input, (N,T,H,W). Options: ``MaskOptions``
    and ``CollectionCamConfig``.

    Args:
        forward_func: The model, or any function of the inputs that gives its output.
        layer: One layer, or several in a list, shallow to final: the last one is the final layer.
        device_ids: As in Captum.
        reshape_transform: Turns what a layer gives, whatever it is, into maps (N,C,h,w).

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

    def __init__(
        self,
        forward_func: Callable[..., Tensor],
        layer: nn.Module | Sequence[nn.Module],
        device_ids: list[int] | None = None,
        *,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if not isinstance(layer, (nn.Module, list, tuple)):
            raise TypeError(expected("layer", "a module or a list of modules", describe(layer)))
        if not isinstance(layer, nn.Module) and not layer:
            raise ValueError(expected("layer", "a list of at least one module", "an empty one"))
        # Captum keeps whatever it is given; _layers() reads both forms.
        super().__init__(forward_func, layer, device_ids, reshape_transform=reshape_transform)

    def _layers(self) -> Sequence[nn.Module]:
        # A ModuleList or Sequential is a layer of its own, as everywhere in Captum.
        return [self.layer] if isinstance(self.layer, nn.Module) else list(self.layer)

    def _explain(self, call: Call, passed: MaskOptions, config: Any) -> tuple[CamResult, ...]:
        scorer = self._scorer(call, passed, config)
        observed = self._observe(call, gradients=True)
        check_targets(scorer, observed)
        counts = {len(maps) for maps in observed.maps}
        if len(counts) > 1:
            what = "to give the same number of tensors each"
            raise LayerError(expected("the layers", what, f"{sorted(counts)}"))
        layers = [
            _with_gradients(observed, number, call.select) for number in range(len(observed.maps))
        ]
        return tuple(
            self.algorithm.run(parts, scorer, config) for parts in zip(*layers, strict=True)
        )


def _with_gradients(
    observed: Observed, layer: int, select: TargetSelector
) -> list[MapsAndGradients]:
    """Return the maps and the gradients of all targets for each tensor of a layer."""
    columns = [
        observed.gradients(functools.partial(_values, select, target), layer)
        for target in range(select.count)
    ]
    return [
        MapsAndGradients(maps, torch.stack(gradients, dim=1))
        for maps, *gradients in zip(observed.maps[layer], *columns, strict=True)
    ]


def _values(select: TargetSelector, target: int, outputs: Tensor) -> Tensor:
    """Return one target's value (N,) of the outputs."""
    return select(outputs, torch.arange(select.images))[:, target]
