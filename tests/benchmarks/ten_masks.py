"""Two figures of ten photographs: their pseudo masks step by step, and their proposals.

    python -m tests.benchmarks.ten_masks --output out

The masks are of VOC's photographs, of the top class of a ResNet-18 that does not know VOC's labels,
beside the annotated things; the boxes are of ImageNet validation photographs, one of each class.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captum_cluster.data import Scene, imagenet_names
from captum_cluster.visualization import plot_proposals, plot_pseudo_masks, save_figure
from captum_cluster.weak import component_boxes, pseudo_masks
from tests.benchmarks.masks import explained, photographs
from tests.helpers.realdata import data_folder, load_resnet18

COUNT = 10
METHODS = ("grad-cam", "collection-cam")
STEPS: dict[str, dict[str, Any]] = {
    "map": {"power": 2},
    "+ random walk": {"refine": "random-walk"},
    "+ CRF": {"refine": "crf"},
}


def masks_figure(model: Any) -> Any:
    found = list(photographs(f"voc:{data_folder() / 'voc'}"))[:COUNT]
    images = torch.stack([scene.image for scene in found])
    maps = torch.stack([explained(model, "grad-cam", scene).maps for scene in found])
    present = torch.ones(len(found), 1, dtype=torch.bool)
    steps = {
        name: pseudo_masks(images, maps, present, **options).labels
        for name, options in STEPS.items()
    }
    truth = torch.stack([_marked(scene) for scene in found])
    return plot_pseudo_masks(images, maps, steps, truth, classes=["top class, things"])


def _marked(scene: Scene) -> Tensor:
    return scene.things().any(dim=0).long()


def boxes_figure(model: Any) -> Any:
    known: dict[int, Scene] = {}
    for scene in photographs(f"imagenet-boxes:{data_folder() / 'imagenette'}"):
        known.setdefault(scene.present[0], scene)
    maps, steps = {}, {}
    for method in METHODS:
        maps[method] = [explained(model, method, known[label], label).maps for label in known]
        steps[f"around {method}"] = [
            component_boxes(one, [label], size=known[label].size)
            for one, label in zip(maps[method], known, strict=True)
        ]
    images = torch.stack([scene.image for scene in known.values()])
    truth = [scene.boxes for scene in known.values()]
    return plot_proposals(images, maps[METHODS[-1]], steps, truth, classes=imagenet_names())


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Draw ten photographs with masks, ten with boxes.")
    parser.add_argument("--output", type=Path, default=Path())
    folder = parser.parse_args().output
    model = load_resnet18(data_folder())
    print(save_figure(masks_figure(model), folder / "ten-masks.png", dpi=60))
    print(save_figure(boxes_figure(model), folder / "ten-boxes.png", dpi=60))


if __name__ == "__main__":
    main()
