"""The Captum face of the methods that contrast the labels of an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from captum_cluster.attr._base import LayerCam, Observed
from captum_cluster.functional.attribution.output_selector import Pick
from captum_cluster.functional.attribution.targets import TargetSelector
from captum_cluster.methods import (
    MinMaxCamConfig,
    MultiLevelCamConfig,
    check_labels,
    closed_form_weight,
    find_classifier,
)


@dataclass(frozen=True)
class LabelOptions:
    """Which labels are present.

    Attributes:
        labels: A multi-hot tensor (N,L), or a list with one list of class indices for each
            image. None: those that the model predicts. (``NoiseTunnel`` repeats images but not
            labels: repeat them for each of its samples.)
    """

    labels: Any = None


@dataclass(frozen=True)
class NoOptions:
    """Nothing but the method's own options."""


class LayerClosedFormCam(LayerCam):
    """Base of the closed forms: the layer is pooled, and a linear classifier follows.

    Args:
        forward_func: As for ``LayerCam``, and so for the arguments not named here.
        layer: The layer that is pooled.
        device_ids: See there.
        reshape_transform: See there.
        output_selector: See there.
        classifier: The ``nn.Linear`` or 1x1 ``nn.Conv2d`` that gives the logits; where it has an
            ``effective_weight``, that is read. None: the model's ``parent_head``, else the last
            in it.

    Raises:
        LayerError: At each call, where the pooled layer and the classifier do not give the
            model's outputs.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        layer: nn.Module,
        device_ids: list[int] | None = None,
        *,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        output_selector: Pick = None,
        classifier: nn.Module | None = None,
    ) -> None:
        super().__init__(
            forward_func,
            layer,
            device_ids,
            reshape_transform=reshape_transform,
            output_selector=output_selector,
        )
        self.classifier = find_classifier(forward_func, classifier)

    def _weights(self, observed: Observed) -> list[Tensor]:
        """Return the classifier's weights (L,C), checked against each tensor of the layer."""
        return [
            closed_form_weight(self.classifier, maps, observed.logits) for maps in observed.maps[0]
        ]


def labels_of(
    select: TargetSelector,
    observed: Observed,
    passed: LabelOptions,
    config: MinMaxCamConfig | MultiLevelCamConfig,
) -> tuple[Tensor, Tensor]:
    """Return the labels explained (N,T) and the labels present (N,L) of a call."""
    return check_labels(
        observed.logits,
        select,
        passed.labels,
        label_threshold=config.label_threshold,
        max_predicted=config.max_predicted,
    )
