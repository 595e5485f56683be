"""Features by which pixels are compared, learned from confident labels, as a Lightning module."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_cluster._checks import check_integer, check_number, describe, expected
from captum_cluster.functional.weak.affinity import pair_affinities, pixel_pairs
from captum_cluster.functional.weak.affinity_loss import (
    affinity_labels,
    affinity_terms,
    labels_on_grid,
    weighted_terms,
)
from captum_cluster.training.affinity import AffinityNet
from captum_cluster.training.modules.settings_module import SettingsModule
from captum_cluster.training.settings import TrainingSettings


class LitAffinity(SettingsModule):
    """Trains an ``AffinityNet`` by pairs of pixels whose labels are certain.

    ``L = background / 4 + foreground / 4 + negative / 2`` (``affinity_loss``) over the pairs of
    pixels of the network's grid nearer than ``radius``; the labels come onto the grid by the
    nearest pixel. Logs ``train_loss`` and ``val_loss``, and the three terms the same way:
    ``train_background``, ``train_foreground``, ``train_negative``. The loss of a batch is a mean
    over its pairs, that of an epoch the mean over its batches, weighted by their images.

    The labels are those of ``pseudo_masks`` with an uncertain background, after the CRF for those
    of the paper: ``pseudo_masks(..., power=4, uncertain=32, refine="crf")``.

    The settings' ``head_lr_factor`` is for the ``affinity_head``. There are no epochs for the head
    alone: ``train_backbone`` of the network says what is trained.

    Args:
        network: What is trained.
        settings: As in ``LitCamClassifier``, with ``head_epochs=0`` and ``top_share=1``.
        radius: Pixels of the grid nearer than this are compared; above 0. That of the walk.
        ignore_index: The number of uncertain pixels: 255 as ``pseudo_masks`` makes them, but -1
            from 255 labels on.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range.

    Shape:
        Batches (images (N,3,H,W), normalised; labels (N,H,W) int: 0 for background, label l as
        l + 1), or with an index (N,) as third part.

    Example:
        >>> from captum_cluster.training import gap_classifier
        >>> module = LitAffinity(AffinityNet(gap_classifier("squeezenet1_1", 20)), radius=3)
        >>> images, labels = torch.rand(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.long)
        >>> module.loss_of(images, labels).shape
        torch.Size([])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity"; used by Chang et al. 2020,
        "Sub-category exploration", section 4.
    """

    head_names = ("affinity_head",)

    def __init__(
        self,
        network: AffinityNet,
        settings: TrainingSettings | None = None,
        *,
        radius: float = 5,
        ignore_index: int = 255,
    ) -> None:
        if not isinstance(network, AffinityNet):
            raise TypeError(expected("network", "an AffinityNet", describe(network)))
        super().__init__(network, settings)
        self.radius = check_number("radius", radius, 0.0, open_low=True)
        self.ignore_index = check_integer("ignore_index", ignore_index, -(2**31), 2**31)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (N,D,h,w) of images (N,3,H,W)."""
        features: Tensor = self.network(images)
        return features

    def loss_of(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the pairs of a batch.

        Raises:
            TypeError: The labels are no integers.
            ValueError: They are not of the images' size.
        """
        shape = (len(images), *images.shape[-2:])
        if isinstance(labels, Tensor) and labels.shape != shape:
            what = f"of the images' size {shape}"
            raise ValueError(expected("labels", what, tuple(labels.shape)))
        features = self(images)
        # Half precision would round what pixels that are nearly alike differ by.
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        size = features.shape[-2:]
        pairs = pixel_pairs(*size, radius=self.radius).to(features.device)
        small = labels_on_grid(labels, size)
        sets = affinity_labels(small, pairs, ignore_index=self.ignore_index)
        terms = affinity_terms(pair_affinities(features, pairs), sets)
        for name, term in zip(sets._fields, terms, strict=True):
            self.log_mean(name, term, images)
        return weighted_terms(terms)
