"""Peak memory of one call beyond the network and its images, each in a process of its own.

    python -m tests.benchmarks --parts memory [--models resnet18,mobilenet_v2] [--json FILE]

MB of resident memory at the peak of a call, less those before it; beside it that of one plain pass
of as many images as a chunk of masked ones has: what is above it is a method's own. Freed blocks
go back to the system at once here, so that the peak is of what is in use.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torchcam.methods import ScoreCAM

from captum_cluster import LayerClusterCam, LayerCollectionCam, LayerScoreCam
from tests.benchmarks.contestants import stock, torchcam
from tests.benchmarks.subjects import TARGET, Subject, subject
from tests.benchmarks.timing import plain

CHUNKS = {"resnet18": 8, "mobilenet_v2": 6}
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

_NAMES = (
    "Cluster-CAM",
    "Collection-CAM, all layers",
    "Score-CAM",
    "pytorch-grad-cam ScoreCAM",
    "torchcam ScoreCAM",
)


@dataclass(frozen=True)
class Peak:
    """The peak of one contestant on a batch, in MB."""

    model: str
    name: str
    batch: int
    peak: float


def peaks(models: list[str]) -> list[Peak]:
    """Return the peaks of all contestants."""
    return [
        Peak(model, name, batch, peak_of(model, name, batch))
        for model in models
        for name in ("plain pass", *_NAMES)
        for batch in ((CHUNKS[model],) if name == "plain pass" else (1, 4))
    ]


def peak_of(model: str, name: str, batch: int) -> float:
    """Return the peak of one call, measured in a process of its own."""
    run = [sys.executable, "-m", "tests.benchmarks.memory", model, name, str(batch)]
    text = subprocess.run(
        run,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **MALLOC},
    ).stdout
    return float(text)


def measure_here(model: str, name: str, batch: int) -> float:
    """Return the peak of one call in this process, which has made a small one before."""
    torch.set_num_threads(1)
    one = subject(model, images=batch)
    run = _run(one, name, batch)
    plain(one.model, one.images[:1, :, :32, :32], 1)()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1024


def _run(one: Subject, name: str, batch: int) -> Callable[[], object]:
    if name == "plain pass":
        return plain(one.model, one.images[:1], batch)
    rows: dict[str, Callable[[], object]] = {
        "Score-CAM": lambda: LayerScoreCam(one.model, one.layer).attribute(one.images, TARGET),
        "Cluster-CAM": lambda: LayerClusterCam(one.model, one.layer).attribute(one.images, TARGET),
        "Collection-CAM, all layers": lambda: LayerCollectionCam(one.model, one.layers).attribute(
            one.images, TARGET
        ),
        "pytorch-grad-cam ScoreCAM": lambda: stock(one, "ScoreCAM", one.images),
        "torchcam ScoreCAM": lambda: torchcam(one, ScoreCAM, one.images),
    }
    return rows[name]


def _status(field: str) -> float:
    """Return a figure of this process in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return float(line.split()[1])
    raise RuntimeError(f"the system does not tell {field}")


def table(found: list[Peak]) -> str:
    """Return peaks as Markdown."""
    lines = ["| model | contestant | images | peak, MB |", "|---|---|---|---|"]
    lines += [f"| {one.model} | {one.name} | {one.batch} | {one.peak:.0f} |" for one in found]
    return "\n".join(lines)


if __name__ == "__main__":
    name_of_model, name_of_run, count = sys.argv[1:]
    print(measure_here(name_of_model, name_of_run, int(count)))
