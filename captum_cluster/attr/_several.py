"""The Captum face of the methods that make one map of several layers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import LayerError, describe, expected
from captum_cluster.attr._base import LayerCam, Observed
from captum_cluster.functional.attribution.output_selector import Pick
from captum_cluster.functional.attribution.outputs import Outputs
from captum_cluster.functional.attribution.targets import TargetSelector
from captum_cluster.methods import MapsAndGradients


class SeveralLayers(LayerCam):
    """Base of the methods whose layer may be a list of layers.

    Args:
        forward_func: As for ``LayerCam``, and so for the arguments not named here.
        layer: A module, or a list of them.
        device_ids: See there.
        reshape_transform: See there.
        output_selector: See there.

    Raises:
        TypeError: ``layer`` is neither a module nor a list of modules.
        ValueError: The list is empty.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        layer: nn.Module | Sequence[nn.Module],
        device_ids: list[int] | None = None,
        *,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        output_selector: Pick = None,
    ) -> None:
        if not isinstance(layer, (nn.Module, list, tuple)):
            raise TypeError(expected("layer", "a module or a list of modules", describe(layer)))
        if not isinstance(layer, nn.Module) and not layer:
            raise ValueError(expected("layer", "a list of at least one module", "an empty one"))
        # Captum keeps whatever it is given; _layers() reads both forms.
        super().__init__(
            forward_func,
            layer,
            device_ids,
            reshape_transform=reshape_transform,
            output_selector=output_selector,
        )

    def _layers(self) -> Sequence[nn.Module]:
        # A ModuleList or Sequential is a layer of its own, as everywhere in Captum.
        return [self.layer] if isinstance(self.layer, nn.Module) else list(self.layer)


def tensors_each(observed: Observed) -> int:
    """Return the number of tensors that each of the layers gives.

    Raises:
        LayerError: They differ.
    """
    counts = {len(maps) for maps in observed.maps}
    if len(counts) > 1:
        what = "to give the same number of tensors each"
        raise LayerError(expected("the layers", what, f"{sorted(counts)}"))
    return counts.pop()


def layers_with_gradients(
    observed: Observed, select: TargetSelector
) -> list[list[MapsAndGradients]]:
    """Return of each layer, of each of its tensors, the maps and the gradients of all targets.

    Raises:
        LayerError: The layers give different numbers of tensors.
    """
    tensors_each(observed)
    layers = range(len(observed.maps))
    of_targets = [
        observed.gradients_of_all(functools.partial(_values, select, target), layers)
        for target in range(select.count)
    ]
    return [
        [
            MapsAndGradients(maps, torch.stack(gradients, dim=1))
            for maps, *gradients in zip(observed.maps[layer], *columns, strict=True)
        ]
        for layer, columns in enumerate(zip(*of_targets, strict=True))
    ]


def _values(select: TargetSelector, target: int, outputs: Outputs) -> Tensor:
    """Return one target's value (N,) of the outputs."""
    return select(outputs, torch.arange(select.images))[:, target]
