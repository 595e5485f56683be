"""What is measured of trained networks beside the metrics of their maps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from captum_cluster.evaluation.recipes.judging import Judged
from captum_cluster.evaluation.recipes.rounds import ASSIGNMENTS
from captum_cluster.evaluation.recipes.sources import Sources
from captum_cluster.functional.metrics import (
    Sums,
    object_iou_update,
    object_precision_update,
    object_recall_update,
)
from tests.benchmarks.masks import Mapped, mapped

THRESHOLDS = (0.15, 0.5)
MEASURES: dict[str, Callable[..., Sums]] = {
    "recall": object_recall_update,
    "precision": object_precision_update,
    "IoU": object_iou_update,
}


def coverage(one: Judged, sources: Sources) -> dict[str, float]:
    """Return recall, precision and IoU of what the first method's maps mark.

    Means over the pairs of image and label, with the label's masks, or else its boxes.
    """
    found: dict[str, Any] = {}
    for number in range(len(sources.test)):
        scene = sources.test[number]
        image = mapped(scene, one.network, one.methods[0], sources.preparation)
        for name, sums in _sums(image, len(sources.classes)):
            whole = found.setdefault(name, [0.0, 0])
            whole[0] += float(sums[name.split()[0].lower()].sum())
            whole[1] += int(sums["pairs"].sum())
    return {name: value / pairs for name, (value, pairs) in found.items()}


def _sums(image: Mapped, num_classes: int) -> Iterator[tuple[str, Sums]]:
    """Yield what each measure at each threshold sums up, by name."""
    labels = image.scene.present
    if labels:
        regions = torch.stack([r for r in map(image.scene.region, labels) if r is not None])
        options: dict[str, Any] = {"masks": regions, "num_classes": num_classes}
        for at, (name, update) in itertools.product(THRESHOLDS, MEASURES.items()):
            yield f"{name} at {at}", update(image.maps[labels], labels, threshold=at, **options)


@torch.no_grad()
def branch_likeness(network: Any, sources: Sources) -> dict[str, float]:
    """Return how alike the branches of a network are on the first 100 test images.

    The cosine of the branches' rectified features, channel by channel, which the orthogonal
    constraint is about; and the correlation of the rectified CAMs of their present labels.
    """
    numbers = range(min(100, len(sources.test)))
    scenes = [sources.preparation.prepare(sources.test[number]) for number in numbers]
    images = torch.stack([sources.preparation.normalize(scene.image) for scene in scenes])
    present = torch.stack([scene.labels for scene in scenes])
    maps = [maps.relu() for _, maps in network.forward_branches(images)]
    cams = []
    for branch, one in zip(network.branches, maps, strict=True):
        every = torch.einsum("lc,nchw->nlhw", branch.parent_head.weight, one).relu()
        cams.append(every[present].flatten(1))
    centred = [cam - cam.mean(dim=1, keepdim=True) for cam in cams]
    features = F.cosine_similarity(*(one.flatten(2) for one in maps), dim=2)
    return {
        "feature cosine": float(features.mean()),
        "CAM correlation": float(F.cosine_similarity(*centred, dim=1).mean()),
    }


def context_told(folder: Path, sources: Sources) -> dict[str, float]:
    """Return how much of an image's other labels its sub-category tells, and how much by chance.

    The share of their variance among a label's images that lies between its sub-categories, the
    mean over the labels; and the same with the sub-categories dealt out at random.
    """
    assignments = np.load(folder / "training" / ASSIGNMENTS)["assignments"]
    labels = np.zeros(assignments.shape)
    for index in range(len(labels)):
        labels[index, sources.train.labels_of(index)] = 1
    random = np.random.default_rng(0)
    found: dict[str, list[float]] = {"context": [], "by-chance": []}
    for label, column in enumerate(assignments.T):
        others, here = np.delete(labels, label, axis=1)[column >= 0], column[column >= 0]
        found["context"].append(_between(others, here))
        found["by-chance"].append(_between(others, random.permutation(here)))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _between(values: Any, groups: Any) -> float:
    """Return the share of the variance of values (M,D) that lies between groups (M,)."""
    parts = [values[groups == group] for group in np.unique(groups)]
    within = sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts)
    return float(1 - within / ((values - values.mean(axis=0)) ** 2).sum())
