"""Multi-level CAM for Captum."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from captum_cluster._checks import LayerError, check_finite, expected
from captum_cluster._types import CamResult
from captum_cluster.attr._base import Call, Observed
from captum_cluster.attr._labelled import LabelOptions, labels_of
from captum_cluster.attr._several import SeveralLayers, tensors_each
from captum_cluster.functional.attribution.targets import class_indices
from captum_cluster.methods import (
    MULTI_LEVEL_CAM,
    Level,
    MultiLevelCamConfig,
    NetworkLayers,
    check_groups_of,
    check_level,
    split_networks,
    weighted_outputs,
)


class LayerMultiLevelCam(SeveralLayers, algorithm=MULTI_LEVEL_CAM):
    """Multi-level CAM: a label's map and its groups' maps, less that of the rest classes.

    For a ``captum_cluster.training.MultiLevelNetwork``: its forward pass gives the logits of the
    labels, and the face runs the networks of the groups. Each network's map is the mean of the
    Grad-CAMs of its branches. On any other model, one network without levels, what is left is
    the label's map less that of the rest classes. The map is from 0 to 1. Pass logits: outputs
    that lie in [0,1] get a warning. Options: ``labels`` (``LabelOptions``) and
    ``MultiLevelCamConfig``.

    Args:
        forward_func: The model, or a bound method of it: another function hides its networks, and
            is one network without levels.
        layer: Layers of all networks, in any order, ``network.explained_layers``. A network of
            which none is given is explained at its own ``explained_layers``.
        device_ids: As in Captum.
        reshape_transform: Turns what a layer gives, whatever it is, into maps (N,C,h,w).
        output_selector: Picks the tensor of the model's output (see ``LayerCam``).

    Raises:
        TypeError: ``layer`` is neither a module nor a list of modules.
        ValueError: The list is empty; at the call, networks that do not fit the groups.
        LayerError: At the call, a layer in none of the networks.

    Example:
        >>> import torch
        >>> from captum_cluster.training import MultiLevelNetwork, gap_classifier
        >>> body = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU())
        >>> fine, coarse = gap_classifier(body, 3), gap_classifier(body, 2)
        >>> network = MultiLevelNetwork(fine, [coarse], [torch.tensor([0, 0, 1])]).eval()
        >>> cam = LayerMultiLevelCam(network, network.explained_layers)
        >>> images = torch.rand(2, 3, 17, 17)
        >>> cam.attribute(images, target=1, labels=[[0, 1], [1, 2]]).shape
        torch.Size([2, 1, 8, 8])
        >>> cam.attribute_targets(images, [0, 1], rest="groupmates").shape
        torch.Size([2, 2, 8, 8])

    References:
        Huang et al., "Class Activation Map generation by Multiple Level Class Grouping and
        Orthogonal Constraint", equation 5.
    """

    call_options: ClassVar[type] = LabelOptions

    def _explain(
        self, call: Call, passed: LabelOptions, config: MultiLevelCamConfig
    ) -> tuple[CamResult, ...]:
        networks = split_networks(self.forward_func, self._layers())
        base = self._observe(call, gradients=True, layers=networks.base)
        targets, present = _labels(call, base, passed, config)
        check_groups_of(networks.groups, _seen(base, 0).n_outputs)
        return tuple(
            self.algorithm.run(
                _seen(base, tensor),
                self._levels(call, networks.levels, tensor),
                targets,
                present,
                networks.groups,
                config,
            )
            for tensor in range(tensors_each(base))
        )

    def _levels(
        self, call: Call, levels: tuple[Level, ...], tensor: int
    ) -> Iterator[NetworkLayers]:
        """Yield what each level's network shows: one after the other, for one graph at a time."""
        for number, level in enumerate(levels, start=1):
            observed = self._observe(call, gradients=True, layers=level.layers, model=level.network)
            check_level(observed.logits, level.groups, number)
            if tensors_each(observed) <= tensor:
                what = "to give as many tensors as those of the other networks"
                raise LayerError(expected(f"the layers of level {number}", what, f"{tensor}"))
            yield _seen(observed, tensor)


def _labels(
    call: Call, base: Observed, passed: LabelOptions, config: MultiLevelCamConfig
) -> tuple[Tensor, Tensor | None]:
    """Return the labels explained (N,T), and those present (N,L) where they are known."""
    if config.rest == "present" or passed.labels is not None:
        return labels_of(call.select, base, passed, config)
    check_finite("the model's outputs", base.logits.detach())
    return class_indices(call.select, base.logits), None


def _seen(observed: Observed, tensor: int) -> NetworkLayers:
    """Return what the method sees of a network, at one of the tensors of each of its layers."""
    outputs = observed.logits
    return NetworkLayers(
        outputs.shape[1] if outputs.ndim > 1 else 1,
        [maps[tensor] for maps in observed.maps],
        [
            functools.partial(_gradients, observed, layer, tensor)
            for layer in range(len(observed.maps))
        ],
    )


def _gradients(observed: Observed, layer: int, tensor: int, coefficients: Tensor) -> Tensor:
    """Return the gradient of the weighted outputs at one of a layer's tensors."""
    return observed.gradients(functools.partial(weighted_outputs, coefficients), layer)[tensor]
