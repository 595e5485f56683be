"""Which widths of walk and CRF suit photographs: the choice of the refinements' defaults.

    python -m tests.benchmarks.widths

Every second photograph of COCO, at the size at which ``captum-cluster masks`` refines it (the
longest side 512 pixels); the mask of the top class against the annotated thing that it overlaps
most: mean IoU by refinement and background. The other half, and VOC's, are what is reported.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from captum_cluster.data import Preparation, Scene, open_dataset
from captum_cluster.evaluation.weak_outputs.label_masks import LONGEST, limited, resized
from captum_cluster.weak import DenseCRF, RandomWalk
from tests.benchmarks.masks import Level, Mapped, explained, thing_iou
from tests.helpers.realdata import data_folder, load_resnet18

LEVELS: list[Level] = [
    {"background": 0.15},
    {"background": 0.3},
    *({"power": power} for power in (1.0, 2.0, 4.0, 8.0, 16.0)),
]
STEPS: list[list[Any]] = [
    [],
    *([RandomWalk(stride=8, colour=colour)] for colour in (3.0, 10.0, 30.0)),
    *([RandomWalk(stride=4, colour=colour)] for colour in (10.0, 30.0)),
    *(
        [DenseCRF(gaussian=(3.0, narrow), bilateral=(wide, 13.0, weight))]
        for narrow in (3.0, 1.0)
        for wide in (80.0, 36.0, 18.0)
        for weight in (10.0, 4.0)
    ),
    [RandomWalk(stride=8), DenseCRF()],
    [RandomWalk(stride=8, colour=10.0), DenseCRF(bilateral=(36.0, 13.0, 4.0))],
]


def refined_size(mapped: Mapped, original: Scene) -> Mapped:
    """Return a photograph and its map with the pixels that are refined."""
    size = limited(original.size, LONGEST)
    things = original.things()
    masks = F.interpolate(things[None].float(), size=size, mode="nearest-exact")[0] > 0
    scene = Scene(
        resized(original.image, size),
        torch.ones(len(masks), dtype=torch.bool),
        masks=masks,
    )
    return dataclasses.replace(mapped, scene=scene)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Measure walks and CRFs on photographs.")
    parser.add_argument("--method", default="grad-cam", help="of the maps (grad-cam)")
    parser.add_argument("--held", action="store_true", help="the other half")
    options = parser.parse_args()
    root = data_folder()
    coco = open_dataset(f"masks:{root / 'coco' / 'images'},{root / 'coco' / 'masks'},things=1-90")
    model, preparation = load_resnet18(root), Preparation()
    seen = [scene for scene in coco if len(preparation.prepare(scene).things())]
    images = [
        refined_size(explained(model, options.method, preparation.prepare(scene)), scene)
        for scene in seen[options.held :: 2]
    ]
    print(f"{len(images)} photographs, {options.method}; {LEVELS}")
    for steps in STEPS:
        _show(images, steps)


def _show(images: Sequence[Mapped], steps: list[Any]) -> None:
    values = " ".join(f"{100 * value:.1f}" for value in thing_iou(images, LEVELS, steps))
    print(f"{values}  {steps or 'map'}", flush=True)


if __name__ == "__main__":
    main()
