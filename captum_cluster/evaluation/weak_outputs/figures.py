"""Figures of single images of a run: picture, map, what was made of them, and the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from captum_cluster.data import Scene
from captum_cluster.evaluation.weak_outputs.label_masks import UNCERTAIN, has_truth
from captum_cluster.visualization import plot_proposals, plot_pseudo_masks
from captum_cluster.weak import Proposal

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mask_figure(
    scene: Scene, maps: Tensor, masks: Mapping[str, Tensor], classes: Sequence[str], name: str
) -> Figure:
    """Return a figure of a scene's masks.

    Args:
        scene: The picture at its own size.
        maps: (P,h,w), of the labels explained.
        masks: By title (H,W) int64: 0, label l as l + 1, or ``UNCERTAIN``.
        classes: The names of the model's L labels.
        name: Above the figure.
    """
    known = has_truth(scene, len(classes))
    return plot_pseudo_masks(
        [scene.image],
        [maps.cpu()],
        {title: [mask] for title, mask in masks.items()},
        [scene.label_map(UNCERTAIN)] if known else None,
        classes=classes,
        ignore_index=UNCERTAIN,
        title=name,
    )


def box_figure(
    scene: Scene,
    maps: Tensor | None,
    proposals: Sequence[Proposal],
    classes: Sequence[str],
    name: str,
) -> Figure:
    """Return a figure of the proposals of a scene; without maps of an empty one.

    Args:
        scene: The picture at its own size.
        maps: (P,h,w), of the labels explained; None without.
        proposals: In pixels of the picture.
        classes: The names of the model's L labels.
        name: Above the figure.
    """
    placed = scene.boxes is not None or scene.masks is not None
    known = placed and len(scene.labels) == len(classes)
    truth = [(label, *box) for label in scene.present for box in scene.boxes_of(label)]
    return plot_proposals(
        [scene.image],
        [torch.zeros(1, 1) if maps is None else maps.cpu()],
        {"proposals": [proposals]},
        [truth] if known else None,
        classes=classes,
        title=name,
    )
