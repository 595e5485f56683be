"""Is a segmentation network better than the pseudo masks that it has learned from? Digit scenes.

    captum-cluster train --recipe sub-category --data digits --output out
    python -m tests.benchmarks.segmentation --trained out --output masks-and-network

Three kinds of pseudo masks of the training scenes by the CAM of the trained network: of the maps
alone, after a random walk, after the dense CRF, with the options that ``masks digits`` has chosen.
A network is trained on each; mIoU with background on 500 test scenes, whose labels the pseudo masks
of test scenes are told, and the network is not.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from captum_cluster.evaluation import make_masks
from captum_cluster.evaluation.recipes import SegmentationRun, TrainingConfig, load_network, train
from captum_cluster.evaluation.recipes.sources import Sources, open_sources
from captum_cluster.weak import DenseCRF, RandomWalk

CRF = DenseCRF(gaussian=(1.0, 3.0), bilateral=(80.0, 13.0, 4.0))


@dataclass(frozen=True)
class Kind:
    """How the pseudo masks of a training are made: the background, and what refines them."""

    background: dict[str, float]
    refine: tuple[Any, ...] = ()


KINDS = {
    "map": Kind({"power": 0.5}),
    "+ walk": Kind({"background": 0.3}, (RandomWalk(stride=2, colour=10.0, log_steps=8),)),
    "+ CRF": Kind({"background": 0.3}, (CRF,)),
}


def pseudo(kind: Kind, network: Any, scenes: Any, sources: Sources, output: Path) -> float | None:
    """Write the masks of scenes; return their mIoU where true masks are known."""
    found = make_masks(
        network,
        None,
        scenes,
        "cam",
        output=output,
        refine=kind.refine,
        preparation=sources.preparation,
        probability="sigmoid",
        **kind.background,
    )
    return found.mean_iou


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Train segmentation networks on pseudo masks.")
    parser.add_argument("--trained", type=Path, default=Path("out"), help="of captum-cluster train")
    parser.add_argument("--output", type=Path, default=Path("segmentation"))
    parser.add_argument("--held", type=int, default=500, help="test scenes")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    options = parser.parse_args()
    data = TrainingConfig.load(options.trained / "config.yaml")
    sources = open_sources(data.data, seed=data.seed, test_limit=options.held)
    network = load_network(options.trained)
    print(f"{'':10} {'pseudo masks':>12} {'network':>8} {'+ CRF':>8}", flush=True)
    for name in options.kinds:
        kind, folder = KINDS[name], options.output / name.removeprefix("+ ")
        pseudo(kind, network, sources.train, sources, folder / "train")
        held = pseudo(kind, network, sources.test, sources, folder / "test")
        run = train(
            "segmentation",
            data.data,
            output=folder / "network",
            seed=data.seed,
            pseudo=str(folder / "train"),
            test_limit=options.held,
            crf_gaussian=CRF.gaussian,
            crf_bilateral=CRF.bilateral,
        )
        assert isinstance(run, SegmentationRun)
        scores = run.report.scores
        values = [held, *(scores[one].mean_iou.estimate for one in ("network", "network + CRF"))]
        print(f"{name:10} " + " ".join(f"{100 * float(v or 0):8.1f}" for v in values), flush=True)


if __name__ == "__main__":
    main()
