"""A classifier with pooling and a linear layer, as a Lightning module."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from captum_cluster._checks import expected
from captum_cluster.training.modules.network_module import NetworkModule
from captum_cluster.training.settings import TrainingSettings


class LitCamClassifier(NetworkModule):
    """Trains a classifier for maps, with the schedules of the papers.

    Multi-label (binary cross-entropy of each logit) or single-label (cross-entropy). Logs
    ``train_loss``, ``val_loss``, and over the validation images ``val_f1``, ``val_f2`` (threshold
    0.5) and ``val_map`` (mean average precision), each the mean over the labels. The settings'
    head first, early stopping and restoring of the best weights come as Lightning callbacks; the
    schedules span the trainer's ``max_epochs``. Settings of the images, the network and the
    trainer (``epochs``, ``batch_size``, ``image_size``, ``crop``, ``augmentation``, ``dropout``,
    ``head_bias``) are not looked at here: see ``TrainingSettings`` for where they go.

    It has ``features`` and ``parent_head``, so ``SubCategoryDiscovery`` can be added. Checkpoints
    are best written at the end of epochs (``ModelCheckpoint(save_on_train_epoch_end=True)``).

    Args:
        network: With ``features(x) -> (N,D)`` and ``parent_head``, a linear layer with L outputs:
            a ``GapClassifier``, or one of your own.
        settings: Optimizer, schedule and what is trained when; None: ``TrainingSettings()``.
        multi_label: An image may have several labels.
        class_weight: (L,) float, at least 0: what the loss of each label is multiplied by.

    Raises:
        TypeError: An argument is of another type, or the network is without one of the two.
        ValueError: ``class_weight`` has another shape or a negative number.

    Shape:
        Batches (images (N,c,H,W), labels (N,L)), or with an index (N,) as third part; single-label
        also labels (N,), the numbers.

    Example:
        >>> import torch
        >>> from captum_cluster.training import gap_classifier
        >>> module = LitCamClassifier(gap_classifier("squeezenet1_1", 20))
        >>> module(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 20])
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainingSettings | None = None,
        *,
        multi_label: bool = True,
        class_weight: Tensor | None = None,
    ) -> None:
        options: dict[str, Any] = {"multi_label": multi_label, "class_weight": class_weight}
        super().__init__(network, _labels_of(network), settings, **options)

    @property
    def parent_head(self) -> nn.Module:
        """The network's linear layer of the labels."""
        head: Any = self.network.parent_head
        return head  # type: ignore[no-any-return]

    def features(self, images: Tensor) -> Tensor:
        """Return the features (N,D) of images (N,c,H,W)."""
        found: Tensor = self.network.features(images)  # type: ignore[operator]
        return found

    def loss_of(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of a batch."""
        return self.classification_loss(self(images), labels)


def _labels_of(network: object) -> int:
    """Return the number of labels of a network of the protocol."""
    weight = getattr(getattr(network, "parent_head", None), "weight", None)
    features = getattr(network, "features", None)
    if not isinstance(network, nn.Module) or not isinstance(weight, Tensor) or not features:
        what = "a module with features(x) and parent_head"
        raise TypeError(expected("network", what, f"a {type(network).__name__} without"))
    return len(weight)
