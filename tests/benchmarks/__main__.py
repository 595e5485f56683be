"""What methods and metrics cost, ours beside those of three libraries.

    python -m tests.benchmarks [--models resnet18,resnet50,vgg16,mobilenet_v2] [--batch 1,16]
        [--parts speed,every-map,growth,metrics,memory] [--rounds 9] [--threads 1] [--json FILE]

The unit is one plain forward pass of the same network for one image, at its best: images
channels-last, inference mode, 8 or 16 of them. It is measured before and after every run of every
contestant, and the contestants take turns. Read ratios: times by the clock say more of the machine
and of its other users.

"growth" and "metrics" are of ResNet-18, "memory" of ResNet-18 and MobileNetV2. "every-map" is
Score-CAM and Ablation-CAM by all libraries, hundreds of passes each, of those of the networks that
have at most 1280 maps and are quick (the others: ours alone, Ablation-CAM).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks import contestants, memory, metrics, speed
from tests.benchmarks.growth import growth
from tests.benchmarks.subjects import NETWORKS, subject

QUICK = ("resnet18", "mobilenet_v2")


def speed_rows(options: argparse.Namespace) -> list[speed.Row]:
    """Race the gradient maps and the clustering methods of each network and batch."""
    rows = []
    for model in options.models:
        one = subject(model)
        for batch in options.batch:
            field = contestants.plain_passes(one, batch) + contestants.gradient_maps(one, batch)
            field += contestants.cluster_cam(one, batch) + contestants.collection_cam(one, batch)
            rows += speed.race(one, field, options.rounds)
    return rows


def every_map_rows(options: argparse.Namespace) -> list[speed.Row]:
    """Race the methods that take a pass, or a tail, for every map."""
    rows = []
    for model in options.models:
        one, quick = subject(model), model in QUICK
        field = contestants.ablation_cam(one, with_stock=quick)
        field += contestants.score_cam(one) if quick else []
        rows += speed.race(one, field, options.rounds)
    return rows


def print_speed(rows: list[speed.Row]) -> list[dict[str, Any]]:
    """Print rows and return them as plain values."""
    print(speed.table(rows))
    return [{**dataclasses.asdict(row), "ratio": row.ratio} for row in rows]


def print_metrics(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Print what metrics cost and return it as plain values."""
    found = metrics.costs(options.rounds)
    print(metrics.table(found))
    return [dataclasses.asdict(one) for one in found]


def print_memory(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Print the peaks of memory and return them as plain values."""
    models = [model for model in options.models if model in QUICK]
    if not models:
        print(f"memory is measured with {' and '.join(QUICK)} alone")
    found = memory.peaks(models)
    print(memory.table(found))
    return [dataclasses.asdict(one) for one in found]


PARTS: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    "speed": lambda options: print_speed(speed_rows(options)),
    "every-map": lambda options: print_speed(every_map_rows(options)),
    "growth": lambda options: print_speed(list(growth(options.rounds))),
    "metrics": print_metrics,
    "memory": print_memory,
}


def listed(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Return a reader of names, separated by commas."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not among {', '.join(known)}")
        return names

    return read


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure methods and metrics in units of one plain forward pass.",
    )
    parser.add_argument("--models", type=listed(NETWORKS), default=["resnet18"])
    parser.add_argument("--batch", default=[1, 16], type=_batches, help="images in a call: 1,16")
    parser.add_argument("--parts", type=listed(tuple(PARTS)), default=list(PARTS))
    parser.add_argument("--rounds", type=_positive, default=9)
    parser.add_argument("--threads", type=_positive, default=1)
    parser.add_argument("--json", type=_writable, help="also write all figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, Any] = {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "threads": options.threads,
        "rounds": options.rounds,
    }
    for part in options.parts:
        print(f"\n{part}, {options.threads} threads, {options.rounds} rounds\n", flush=True)
        found[part] = PARTS[part](options)
        if options.json:
            options.json.write_text(json.dumps(found, indent=2) + "\n")


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no integer of at least 1")
    return int(text)


def _writable(text: str) -> Path:
    path = Path(text)
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no file in a folder that is there")
    return path


def _batches(text: str) -> list[int]:
    sizes = [_positive(size) for size in text.split(",")]
    if not all(1 <= size <= 16 for size in sizes):
        raise argparse.ArgumentTypeError("batches hold 1 to 16 images")
    return sizes


if __name__ == "__main__":
    main()
