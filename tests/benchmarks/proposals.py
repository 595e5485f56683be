"""Do maps make better object proposals than selective search alone? Photographs with boxes.

    python -m tests.benchmarks.proposals --limit 75

ResNet-18, the validation photographs of the real data, the label of each photograph: CorLoc (the
first proposal has an IoU of at least 0.5 with a box), the share of boxes that some proposal finds,
and the mean overlap of a box with the best proposal. "selective search" proposes the one candidate
whose crop the classifier finds most probable; the others the best one around each of the map's
peaks; "component" the box around what the map marks at 0.15 of its maximum, without any candidate.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import mean
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from captum_cluster.data import Preparation, Scene, open_dataset
from captum_cluster.evaluation.registry import run_method
from captum_cluster.functional.metrics import best_overlaps, corloc, proposal_recall
from captum_cluster.methods import find_layers
from captum_cluster.weak import (
    Proposal,
    boxes_of,
    candidate_boxes,
    classifier_scores,
    component_boxes,
    object_proposals,
)
from tests.helpers.realdata import data_folder, load_resnet18

METHODS = ("grad-cam", "cluster-cam", "collection-cam")


def proposals_of(model: Any, scene: Scene) -> dict[str, list[Proposal]]:
    """Return the proposals of each way for the first label of a photograph."""
    labels = scene.present[:1]
    image = Preparation().normalize(scene.image)[None]
    layers = [layer for _, layer in find_layers(model, image, "layer4")]
    search = {
        "score_crops": once_each(classifier_scores(model)),
        "candidates": candidate_boxes(scene.image, min_side=16),
    }
    found = {"selective search": object_proposals(scene.image, None, labels, **search)}
    for method in METHODS:
        maps = run_method(method, model, layers, image, labels).maps[0]
        found[f"+ {method}"] = object_proposals(scene.image, maps, labels, **search)
        found[f"{method}, component"] = component_boxes(maps, labels, size=scene.size)
    return found


def once_each(score_crops: Any) -> Any:
    """Return the same function of crops, which are views of one image, that asks for each once."""
    known: dict[Any, Tensor] = {}

    def scored(crops: list[Tensor], labels: Sequence[int]) -> Tensor:
        places = [(crop.storage_offset(), crop.shape) for crop in crops]
        new = [number for number, place in enumerate(places) if place not in known]
        rows = score_crops([crops[number] for number in new], labels)
        known.update({places[number]: row for number, row in zip(new, rows, strict=True)})
        return torch.stack([known[place] for place in places])

    return scored


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Judge object proposals with and without maps.")
    parser.add_argument("--limit", type=int, default=150, help="photographs, evenly spread")
    count = parser.parse_args().limit
    dataset = open_dataset(f"imagenet-boxes:{data_folder() / 'imagenette'}")
    model = load_resnet18(data_folder())
    proposed: dict[str, list[Tensor]] = {}
    truth = []
    for number in tqdm(range(count)):
        scene = Preparation().prepare(dataset[number * len(dataset) // count])
        label = scene.present[0]
        truth.append(scene.boxes_of(label))
        for name, found in proposals_of(model, scene).items():
            proposed.setdefault(name, []).append(boxes_of(found, label))
    print(f"{count} photographs, {sum(map(len, truth))} boxes\n")
    print(f"{'':28} CorLoc  recall  overlap  proposals")
    for name, boxes in proposed.items():
        right = corloc(boxes, truth).double().mean()
        recall = proposal_recall(boxes, truth).mean()
        overlap = torch.cat(best_overlaps(boxes, truth)).mean()
        values = "  ".join(f"{100 * float(one):6.1f}" for one in (right, recall, overlap))
        print(f"{name:28} {values}  {mean(map(len, boxes)):9.1f}")


if __name__ == "__main__":
    main()
