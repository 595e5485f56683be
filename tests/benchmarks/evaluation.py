"""What a run of `evaluate` costs: memory, and time in units of one forward pass.

    python -m tests.benchmarks.evaluation memory
    python -m tests.benchmarks.evaluation cost
    python -m tests.benchmarks.evaluation things --output out

"memory": peak memory of a run over 10 and over 1,000 digit scenes, each in a process of its own.
"cost": ResNet-18, one photograph: wall time of all metrics for one map against that of the forward
passes that their definitions need, in one run, interleaved; medians of five rounds.
"things": photographs of COCO and VOC, whose labels the classifier does not know: the map of its top
class against the annotated thing that the map overlaps most.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import torch

from captum_cluster.data import Preparation, open_dataset
from captum_cluster.evaluation import evaluate
from captum_cluster.evaluation.digit_classifier import load_digit_net
from captum_cluster.evaluation.running.entries import method_entries
from captum_cluster.evaluation.running.examination import Examiner, Settings
from captum_cluster.evaluation.running.measures import choose_metrics
from captum_cluster.hooks import count_forwards
from tests.helpers.realdata import data_folder, load_resnet18

METHODS = ["grad-cam", "gradcam++", "layercam", "cluster-cam", "collection-cam"]
AS_IT_IS = Preparation(mode="none", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def run_digits(images: int) -> None:
    """Judge digit scenes, and print the peak memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        evaluate(
            load_digit_net(progress=False)[0],
            "features",
            open_dataset(f"digit-scenes:{images}"),
            ["grad-cam", "cluster-cam"],
            output=folder,
            probability="sigmoid",
            preparation=AS_IT_IS,
        )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def memory() -> None:
    peaks = {}
    for images in (10, 1000):
        command = [sys.executable, "-m", "tests.benchmarks.evaluation", "digits", str(images)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        peaks[images] = float(done.stdout.split()[-1])
        print(f"{images:>5} digit scenes: peak {peaks[images]:.0f} MiB", flush=True)
    print(f"1,000 against 10: {100 * (peaks[1000] / peaks[10] - 1):+.1f} %")


def cost(rounds: int = 5) -> None:
    model = load_resnet18(data_folder())
    scene = open_dataset(f"imagenet-boxes:{data_folder() / 'imagenette'}")[0]
    image = Preparation().normalize(scene.image)[None]
    entries = tuple(method_entries([flat]))
    settings = Settings(entries, choose_metrics("all"), "layer4", rows=16)

    def judged() -> tuple[float, int]:
        examiner = Examiner(model, settings)
        with count_forwards(model) as count:
            start = time.perf_counter()
            list(examiner.records_of(0, scene, ["flat"]))
            seconds = time.perf_counter() - start
        return seconds, count.images

    def passes(count: int) -> float:
        batches = image.expand(16, -1, -1, -1)
        start = time.perf_counter()
        with torch.no_grad():
            for first in range(0, count, 16):
                model(batches[: min(16, count - first)])
        return time.perf_counter() - start

    found: dict[str, list[float]] = {"run": [], "passes": [], "one": []}
    _, count = judged()
    for _ in range(rounds):
        found["run"].append(judged()[0])
        found["passes"].append(passes(count))
        found["one"].append(passes(16) / 16)
    run, plain, one = (statistics.median(found[name]) for name in ("run", "passes", "one"))
    print(f"all metrics for one map: {count} forward passes")
    print(f"in units of one forward pass: {run / one:.1f}, the passes alone {plain / one:.1f}")
    print(f"all metrics against their passes: {run / plain:.2f}x")


def flat(model, layer, image, target):
    """A map that costs next to nothing: what is timed is the measuring."""
    return torch.linspace(0, 1, 49).reshape(7, 7)


def things(output: str) -> None:
    root = data_folder()
    for name, spec in {
        # the numbers up to 90 are things, those above are stuff: grass, sky
        "coco": f"masks:{root / 'coco' / 'images'},{root / 'coco' / 'masks'},things=1-90",
        "voc": f"voc:{root / 'voc'}",
    }.items():
        report = evaluate(
            load_resnet18(root),
            "layer4",
            open_dataset(spec),
            METHODS,
            ["best-object"],
            explained="top",
            output=f"{output}/{name}",
        )
        print(f"{name}\n{report.table()}\n", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Measure what a run of evaluate costs.")
    parser.add_argument("what", choices=["memory", "cost", "things", "digits"])
    parser.add_argument("images", nargs="?", type=int, default=10, help="for 'digits' alone")
    parser.add_argument("--output", default="out", help="folder of the reports of 'things'")
    options = parser.parse_args()
    if options.what == "digits":
        run_digits(options.images)
    elif options.what == "things":
        things(options.output)
    else:
        {"memory": memory, "cost": cost}[options.what]()


if __name__ == "__main__":
    main()
