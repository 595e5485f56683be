"""Two branches trained to look at different places, as a Lightning module."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from captum_cluster._checks import check_choice, check_number, describe, expected
from captum_cluster.functional.training import orthogonality_loss
from captum_cluster.training.modules.network_module import NetworkModule
from captum_cluster.training.settings import TrainingSettings
from captum_cluster.training.two_branch import TwoBranch


class LitTwoBranch(NetworkModule):
    """Trains a ``TwoBranch`` network with the orthogonal constraint.

    ``L = L_c1 + L_c2 + orthogonality * L_o``: the cross-entropies of both branches, and the sum of
    the element-wise product of their maps after a ReLU. Logs also ``train_orthogonality``; the
    numbers of the validation are those of the mean of the logits.

    Args:
        network: The two branches.
        settings: As in ``LitCamClassifier``.
        orthogonality: Lambda, at least 0; 0 trains two independent branches.
        reduction: "mean" over the images of a batch, or "sum".
        multi_label: As in ``LitCamClassifier``.
        class_weight: As in ``LitCamClassifier``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range.

    Example:
        >>> import torch
        >>> from captum_cluster.training import TwoBranch
        >>> network = TwoBranch(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 5)
        >>> LitTwoBranch(network)(torch.rand(2, 3, 16, 16)).shape
        torch.Size([2, 5])

    References:
        Huang et al., "Class Activation Map Generation by Multiple Level Class Grouping and
        Orthogonal Constraint", equations 2 to 4.
    """

    def __init__(
        self,
        network: TwoBranch,
        settings: TrainingSettings | None = None,
        *,
        orthogonality: float = 1e-4,
        reduction: str = "mean",
        multi_label: bool = True,
        class_weight: Tensor | None = None,
    ) -> None:
        if not isinstance(network, TwoBranch):
            raise TypeError(expected("network", "a TwoBranch", describe(network)))
        options: dict[str, Any] = {"multi_label": multi_label, "class_weight": class_weight}
        super().__init__(network, network.num_labels, settings, **options)
        self.orthogonality = check_number("orthogonality", orthogonality, 0.0)
        self.reduction = check_choice("reduction", reduction, ("mean", "sum"))

    def networks(self) -> list[nn.Module]:
        """Return the branches."""
        branches: Any = self.network.branches
        return list(branches)

    def loss_of(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of both branches and of what they have in common."""
        (first, maps), (second, others) = self.network.forward_branches(images)  # type: ignore[operator]
        reduction: Any = self.reduction
        common = orthogonality_loss(F.relu(maps), F.relu(others), reduction=reduction)
        self.log_mean("orthogonality", common, images)
        loss = self.classification_loss(first, labels) + self.classification_loss(second, labels)
        return loss + self.orthogonality * common
