"""What is measured of trained networks beside the metrics of their maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from captum_cluster.data import Scene
from captum_cluster.evaluation.recipes.judging import Judged
from captum_cluster.evaluation.recipes.rounds import ASSIGNMENTS
from captum_cluster.evaluation.recipes.sources import Sources
from captum_cluster.evaluation.registry import run_method
from captum_cluster.functional.metrics import above_threshold
from captum_cluster.functional.metrics.regions import intersection_over_union

THRESHOLDS = (0.15, 0.5)


def coverage(one: Judged, sources: Sources) -> dict[str, float]:
    """Return recall, precision and IoU of what the first method's maps mark.

    Means over the pairs of image and label, with the label's masks, or else its boxes.
    """
    rows = [values for maps, scene in _mapped(one, sources) for values in _overlaps(maps, scene)]
    names = [f"{name} at {at}" for at in THRESHOLDS for name in ("recall", "precision", "IoU")]
    return dict(zip(names, torch.stack(rows).mean(dim=0).tolist(), strict=True))


def _mapped(one: Judged, sources: Sources) -> Iterator[tuple[Tensor, Scene]]:
    """Yield the maps (P,h,w) of each image's labels."""
    layers: list[Any] = list(one.network.explained_layers)  # type: ignore[arg-type]
    for number in range(len(sources.test)):
        scene = sources.preparation.prepare(sources.test[number])
        if scene.present:
            image = sources.preparation.normalize(scene.image)[None]
            found = run_method(one.methods[0], one.network, layers, image, scene.present)
            yield found.maps[0], scene


def _overlaps(maps: Tensor, scene: Scene) -> Tensor:
    """Return of each label the values (P,6) of all thresholds."""
    regions = torch.stack(
        [region for region in map(scene.region, scene.present) if region is not None]
    )
    columns = []
    for threshold in THRESHOLDS:
        marked = above_threshold(maps, scene.size, threshold=threshold)
        both = (marked & regions).sum(dim=(1, 2))
        columns += [
            both / regions.sum(dim=(1, 2)),
            both / marked.sum(dim=(1, 2)).clamp(min=1),
            intersection_over_union(marked, regions),
        ]
    return torch.stack(columns, dim=1).double()


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
