"""What refinement does to the masks that maps make: digit scenes, photographs of COCO and VOC.

    captum-cluster train --recipe sub-category --data digits --output out
    python -m tests.benchmarks.masks digits --trained out
    python -m tests.benchmarks.masks things

"digits": the maps of the plain classifier by Grad-CAM and Collection-CAM, and the CAM of the
network trained with sub-categories; mIoU with background of the maps alone, after a random walk,
after the dense CRF, and after both. "things": photographs whose labels the classifier does not
know; the mask of its top class against the annotated thing that it overlaps most: mean IoU.

The options of walk and CRF and the background are those with the best masks on other images: on
scenes of the training's digits; on every second photograph of COCO. The options are chosen with
Grad-CAM's maps, the background for each row of the table.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from captum_cluster.data import DigitScenes, Preparation, Scene, open_dataset
from captum_cluster.evaluation.recipes import TrainingConfig, load_network
from captum_cluster.evaluation.recipes.sources import LARGEST_SEED, open_sources
from captum_cluster.evaluation.registry import run_method
from captum_cluster.functional.metrics import mean_iou_compute
from captum_cluster.functional.metrics.regions import intersection_over_union
from captum_cluster.methods import find_layers
from captum_cluster.weak import DenseCRF, RandomWalk, background_counts
from captum_cluster.weak.background_sweep import swept_masks
from captum_cluster.weak.cases import cases
from captum_cluster.weak.pseudo_masks import Background
from tests.helpers.realdata import data_folder, load_resnet18

BACKGROUNDS = [
    *({"background": step / 10} for step in range(1, 10)),
    *({"power": power} for power in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)),
]
Level = dict[str, float]


@dataclass(frozen=True)
class Mapped:
    """An image with the maps of its labels.

    Attributes:
        scene: As the network saw it, before the normalisation.
        maps: (L,h,w), 0 for absent labels.
    """

    scene: Scene
    maps: Tensor


Measure = Callable[[Sequence[Mapped], Sequence[Level], list[Any]], list[float]]
"""How good the masks of images are with each of some backgrounds, and refinements."""


@dataclass(frozen=True)
class Row:
    """A row of the table: images to choose on, and by name those that are reported."""

    chosen: list[Mapped]
    held: dict[str, list[Mapped]]


def table(
    rows: dict[str, Row], walks: Sequence[Any], crfs: Sequence[Any], measure: Measure
) -> None:
    """Choose on some images, and print what the choice gives on the others."""
    first = next(iter(rows.values())).chosen
    walk, crf = (_best_step(first, tried, measure) for tried in (walks, crfs))
    print(f"walk: {walk}\nCRF: {crf}\n")
    refinements = {"map": [], "+ walk": [walk], "+ CRF": [crf], "+ walk + CRF": [walk, crf]}
    for name, row in rows.items():
        for step, refine in refinements.items():
            values = measure(row.chosen, BACKGROUNDS, refine)
            level = BACKGROUNDS[values.index(max(values))]
            found = {
                held: f"{100 * measure(images, [level], refine)[0]:.1f}"
                for held, images in row.held.items()
            }
            print(f"{name:20} {step:13} {level} {100 * max(values):.1f}, held {found}", flush=True)


def _best_step(images: Sequence[Mapped], steps: Sequence[Any], measure: Measure) -> Any:
    """Return the refinement with the best masks, of any background."""
    values = [max(measure(images, BACKGROUNDS[::2], [step])) for step in tqdm(steps)]
    for value, step in zip(values, steps, strict=True):
        print(f"{100 * value:.1f} {step}")
    return steps[values.index(max(values))]


def mean_iou(images: Sequence[Mapped], levels: Sequence[Level], refine: list[Any]) -> list[float]:
    """Return the mIoU of masks with the scenes' true segmentations, background included."""
    values: list[float] = []
    for name in ("background", "power"):  # those of one kind share a walk
        tried = [level[name] for level in levels if name in level]
        if tried:
            counts = [_counts(one, refine, {f"{name}s": tried}) for one in images]
            sums = {key: sum(one[key] for one in counts) for key in counts[0]}
            values += mean_iou_compute(sums).tolist()
    return values


def _counts(one: Mapped, refine: list[Any], tried: dict[str, Any]) -> dict[str, Any]:
    scene = one.scene
    assert scene.masks is not None
    parts = (scene.image[None], one.maps[None], scene.labels[None], scene.label_map()[None])
    return background_counts(*parts, refine=refine, **tried)


def thing_iou(images: Sequence[Mapped], levels: Sequence[Level], refine: list[Any]) -> list[float]:
    """Return the mean IoU of masks with the annotated thing that each overlaps most."""
    overlaps = [_overlaps(one, levels, refine) for one in images]
    return torch.tensor(overlaps, dtype=torch.float64).mean(dim=0).tolist()  # type: ignore[no-any-return]


def _overlaps(one: Mapped, levels: Sequence[Level], refine: list[Any]) -> list[float]:
    present = torch.ones(1, len(one.maps), dtype=torch.bool)
    backgrounds = [Background(level.get("background"), level.get("power")) for level in levels]
    (case,) = cases(one.scene.image[None], one.maps[None], present)
    things = one.scene.things()
    masks = swept_masks(case, backgrounds, refine)
    return [float(intersection_over_union((m > 0).expand_as(things), things).max()) for m in masks]


def digits(trained: Path, chosen: int, held: int) -> None:
    config = TrainingConfig.load(trained / "config.yaml")
    sources = open_sources(config.data, seed=config.seed, test_limit=held)
    watching = list(DigitScenes(chosen, seed=LARGEST_SEED + 1))  # no training learns from these
    test = [sources.test[number] for number in range(held)]
    baseline, network = (load_network(trained, name) for name in ("baseline", "network"))
    methods = {
        "Grad-CAM": (baseline, "grad-cam"),
        "Collection-CAM": (baseline, "collection-cam"),
        "CAM, sub-categories": (network, "cam"),
    }
    rows = {
        name: Row(
            [mapped(scene, *row, sources.preparation) for scene in watching],
            {"test": [mapped(scene, *row, sources.preparation) for scene in test]},
        )
        for name, row in methods.items()
    }
    walks = [
        RandomWalk(stride=2, colour=colour, log_steps=steps)
        for colour, steps in itertools.product((3.0, 10.0, 30.0), (4, 8, 10, 12))
    ]
    crfs = [
        DenseCRF(gaussian=(1.0, 3.0), bilateral=(width, colour, weight))
        for width, colour, weight in itertools.product((10.0, 80.0), (13.0, 30.0), (4.0, 10.0))
    ]
    table(rows, walks, crfs, mean_iou)


def mapped(scene: Scene, network: Any, method: str, preparation: Preparation) -> Mapped:
    """Return a scene with the maps of its labels."""
    prepared = preparation.prepare(scene)
    image = preparation.normalize(prepared.image)[None]
    maps = None
    if prepared.present:
        layers = list(network.explained_layers)
        found = run_method(method, network, layers, image, prepared.present).maps[0]
        maps = found.new_zeros(len(prepared.labels), *found.shape[1:])
        maps[prepared.present] = found
    return Mapped(prepared, torch.zeros(len(prepared.labels), 1, 1) if maps is None else maps)


def things() -> None:
    root = data_folder()
    coco = f"masks:{root / 'coco' / 'images'},{root / 'coco' / 'masks'},things=1-90"
    seen = list(photographs(coco))
    held = {"COCO": seen[1::2], "VOC": list(photographs(f"voc:{root / 'voc'}"))}
    model = load_resnet18(root)
    walks = [
        RandomWalk(stride=stride, colour=colour)
        for stride, colour in itertools.product((4, 8), (3.0, 10.0, 30.0, 80.0))
    ]
    crfs = [
        DenseCRF(bilateral=(width, 13.0, weight))
        for width, weight in itertools.product((36.0, 80.0), (4.0, 10.0))
    ]
    rows = {
        name: Row(
            [explained(model, name, scene) for scene in seen[::2]],
            {part: [explained(model, name, scene) for scene in held[part]] for part in held},
        )
        for name in ("grad-cam", "collection-cam")
    }
    table(rows, walks, crfs, thing_iou)


def photographs(spec: str) -> Iterator[Scene]:
    """Yield the photographs with a thing, as the network sees them."""
    preparation = Preparation()
    for scene in open_dataset(spec):
        prepared = preparation.prepare(scene)
        if len(prepared.things()):
            yield prepared


def explained(model: Any, method: str, scene: Scene, label: int | None = None) -> Mapped:
    """Return a photograph with the map of a class; None: of the model's top class."""
    image = Preparation().normalize(scene.image)[None]
    if label is None:
        with torch.no_grad():
            label = int(model(image).argmax())
    layers = [layer for _, layer in find_layers(model, image, "layer4")]
    return Mapped(scene, run_method(method, model, layers, image, label).maps[0])


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Measure what refinement does to masks of maps.")
    parser.add_argument("what", choices=["digits", "things"])
    parser.add_argument("--trained", type=Path, default=Path("out"), help="of captum-cluster train")
    parser.add_argument("--chosen", type=int, default=100, help="scenes to choose on")
    parser.add_argument("--held", type=int, default=500, help="scenes to report on")
    options = parser.parse_args()
    if options.what == "digits":
        digits(options.trained, options.chosen, options.held)
    else:
        things()


if __name__ == "__main__":
    main()
