"""Multi-level CAM for pytorch-grad-cam."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from captum_cluster._checks import check_finite
from captum_cluster._types import CamResult, OutputTarget
from captum_cluster.functional.attribution.output_selector import Pick
from captum_cluster.grad_cam._base import ScopedActivations, ScopedCAM
from captum_cluster.grad_cam._labelled import categories_of, labels_of
from captum_cluster.methods import (
    MULTI_LEVEL_CAM,
    NetworkLayers,
    check_groups_of,
    check_level,
    split_networks,
    weighted_outputs,
)


class MultiLevelCAM(ScopedCAM, algorithm=MULTI_LEVEL_CAM):
    """Multi-level CAM: a label's map and its groups' maps, less that of the rest classes.

    For a ``captum_cluster.training.MultiLevelNetwork`` and its ``explained_layers``; on any other
    model, one network without levels, what is left is the label's map less that of the rest
    classes. The labels of an image travel in its target, ``MinMaxTarget(category, labels)``; a
    plain ``ClassifierOutputTarget`` means those that the model predicts. ``results[0]`` holds the
    maps that are fused. Options: ``MultiLevelCamConfig``.

    Args:
        model: As for ``ScopedCAM``, and so for the arguments not named here.
        target_layers: Layers of all networks, in any order. A network of which none is given is
            explained at its own ``explained_layers``.
        reshape_transform: See there.
        output_selector: See there.
        tta_transforms: See there.
        **options: The method's own, see its config.

    Raises:
        ValueError: The model's groups do not fit its networks.
        LayerError: A layer is in none of the networks.

    Example:
        >>> import torch
        >>> from captum_cluster.grad_cam import MinMaxTarget
        >>> from captum_cluster.training import MultiLevelNetwork, gap_classifier
        >>> body = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU())
        >>> fine, coarse = gap_classifier(body, 3), gap_classifier(body, 2)
        >>> network = MultiLevelNetwork(fine, [coarse], [torch.tensor([0, 0, 1])]).eval()
        >>> cam = MultiLevelCAM(network, network.explained_layers)
        >>> cam(torch.rand(1, 3, 17, 17), [MinMaxTarget(1, labels=[0, 1])]).shape
        (1, 17, 17)
        >>> cam.results[0].grouped.shape
        torch.Size([1, 1, 1, 8, 8])

    References:
        Huang et al., "Class Activation Map generation by Multiple Level Class Grouping and
        Orthogonal Constraint", equation 5.
    """

    with_gradients: ClassVar[bool] = True

    def __init__(
        self,
        model: nn.Module,
        target_layers: Sequence[nn.Module],
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        *,
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
        self.networks = split_networks(model, self.target_layers)
        self.activations_and_grads = self._activations(model, self.networks.base)

    def _activations(self, network: nn.Module, layers: Sequence[nn.Module]) -> ScopedActivations:
        return ScopedActivations(
            network,
            layers,
            self.reshape_transform,
            with_gradients=True,
            output_selector=self.output_selector,
        )

    def _explain(self, images: Tensor, targets: list[OutputTarget]) -> list[CamResult]:
        outputs, groups = self.activations_and_grads.logits, self.networks.groups
        check_finite("the model's outputs", outputs.detach())
        if self.config.rest == "present":
            explained, present = labels_of(targets, outputs, self.config)
        else:
            explained, present = categories_of(targets, outputs), None
        base = _seen(self.activations_and_grads)
        check_groups_of(groups, base.n_outputs)
        levels = self._levels(images)
        return [self.algorithm.run(base, levels, explained, present, groups, self.config)]

    def _levels(self, images: Tensor) -> Iterator[NetworkLayers]:
        """Yield what each level's network shows: one after the other, for one graph at a time."""
        for number, level in enumerate(self.networks.levels, start=1):
            seen = self._activations(level.network, level.layers)
            seen(images)
            check_level(seen.logits, level.groups, number)
            yield _seen(seen)


def _seen(seen: ScopedActivations) -> NetworkLayers:
    """Return what the method sees of a network."""
    gradients = [
        functools.partial(_gradients, seen, layer) for layer in range(len(seen.activations))
    ]
    count = seen.logits.shape[1] if seen.logits.ndim > 1 else 1
    return NetworkLayers(count, seen.activations, gradients)


def _gradients(seen: ScopedActivations, layer: int, coefficients: Tensor) -> Tensor:
    """Return the gradient of the weighted outputs at a layer's maps."""
    return seen.gradients_of(functools.partial(weighted_outputs, coefficients), layer)
