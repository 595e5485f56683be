"""Do networks trained as the papers say give better maps? Digit scenes, several seeds.

    python -m tests.benchmarks.training run --seeds 0 1 2 3 4 --output out
    python -m tests.benchmarks.training table --output out

"run" trains, for each seed, what the papers compare, and judges all of it on the same test scenes:
a plain classifier; SC-CAM after rounds 1 to 3, with K = 10, and after round 3 with K = 5, 20, 50;
class grouping alone, two branches with and without the orthogonal constraint, both together, with
one to three levels; kernel usage regularization. A run that was broken off goes on. "table" prints
means over the seeds with 95 % intervals (Student's t), and of the differences from the baseline.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from captum_cluster.evaluation.recipes.config import TrainingConfig
from captum_cluster.evaluation.recipes.course import Course
from captum_cluster.evaluation.recipes.judging import Judged, called, judge
from captum_cluster.evaluation.recipes.networks import Builder
from captum_cluster.evaluation.recipes.recipes import RECIPES
from captum_cluster.evaluation.recipes.scores import classifier_scores
from captum_cluster.evaluation.recipes.sources import open_sources
from captum_cluster.evaluation.recipes.training_run import chosen_settings
from captum_cluster.evaluation.recipes.workshop import Outcome, Workshop
from captum_cluster.training import MultiLevelNetwork

LEVELS = [6, 4, 2]
MAP_METRICS = ["object-iou", "segmentation", "localization-error", "energy"]
SHOWN = ["object-iou", "mean-iou", "localization-error", "energy"]
LABEL_METRICS = ["multi-label"]
BASELINE = called("baseline", "cam")


def run(seed: int, output: Path, options: dict[str, Any], test_limit: int) -> None:
    """Train and judge all networks of one seed."""
    folder = output / f"seed-{seed}"
    options = {"seed": seed, "test_limit": test_limit, **options}
    shared = folder / "baseline" / "training" / "baseline.pt"

    def outcome(name: str, recipe: str, **own: Any) -> Outcome:
        target = folder / name / "training" / "baseline.pt"
        if shared.is_file() and not target.is_file():  # the same network in every recipe
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shared, target)
        config = TrainingConfig(recipe, **{**options, **own})
        return RECIPES[recipe](_workshop(config, folder / name))

    plain = outcome("baseline", "baseline")
    judged = [replace(plain.judged[0], methods=("cam",))]
    judged += _groups(outcome)
    judged += _rounds(outcome)
    usage = outcome("kernel-usage", "kernel-usage").judged[1]
    judged.append(replace(usage, methods=("cam",)))
    sources = open_sources(options.get("data", "digits"), seed=seed, test_limit=test_limit)
    judge(judged, sources, folder / "maps", metrics=MAP_METRICS)
    if sources.several:
        methods = ("cam", "minmax-cam", "d-minmax-cam")
        pair = [replace(one, methods=methods) for one in (plain.judged[0], usage)]
        judge(pair, sources, folder / "labels", metrics=LABEL_METRICS)
    scores = {
        one.name: classifier_scores(
            one.network, sources.test, sources.preparation, several=sources.several
        ).to_dict()
        for one in judged
    }
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")


def _workshop(config: TrainingConfig, folder: Path) -> Workshop:
    settings = chosen_settings(config)
    sources = open_sources(
        config.data, seed=config.seed, limit=config.limit, test_limit=config.test_limit
    )
    builder = Builder(config, dropout=settings.dropout, bias=settings.head_bias)
    course = Course(folder / "training", config, settings, sources)
    return Workshop(folder, config, settings, sources, course, builder, True, print)


def _groups(outcome: Any) -> Iterator[Judged]:
    """Yield the networks of class grouping: its parts alone, and with one level after the other."""
    both = outcome("both", "class-grouping", sizes=LEVELS).judged
    yield replace(both[1], name="orthogonal branches")
    for count in range(1, len(LEVELS) + 1):
        yield Judged(f"both, {count} levels", *_some_levels(both[2].network, count))
    alone = outcome("groups", "class-grouping", sizes=LEVELS, branches=1).judged
    for count in range(1, len(LEVELS) + 1):
        yield Judged(f"groups, {count} levels", *_some_levels(alone[1].network, count))
    free = outcome("branches", "class-grouping", sizes=[], orthogonality=0.0).judged
    yield replace(free[1], name="free branches")


def _some_levels(network: Any, count: int) -> tuple[Any, tuple[str, ...]]:
    base, *levels = network.networks
    return (
        MultiLevelNetwork(base, levels[:count], network.groups[:count]).eval(),
        ("multi-level-cam",),
    )


def _rounds(outcome: Any) -> Iterator[Judged]:
    """Yield the networks of SC-CAM."""
    _, *rounds = outcome("k-10", "sub-category", n_sub_categories=10).judged
    for one in rounds:
        yield replace(one, name=f"K 10, {one.name}")
    for count in (5, 20, 50):
        last = outcome(f"k-{count}", "sub-category", n_sub_categories=count).judged[-1]
        yield replace(last, name=f"K {count}, {last.name}", methods=("cam",))


def table(output: Path) -> None:
    """Print what all seeds that are done have found."""
    for part, values in {"maps": SHOWN, "labels": None}.items():
        reports = [
            json.loads((folder / part / "report.json").read_text())
            for folder in sorted(output.glob("seed-*"))
            if (folder / part / "report.json").is_file()
        ]
        if reports:
            print(f"{part}, {len(reports)} seeds: mean ± 95 % (difference from the baseline)")
            _print(_values(reports), values)
    scores = [json.loads(path.read_text()) for path in sorted(output.glob("seed-*/scores.json"))]
    if scores:
        print(f"classification, {len(scores)} seeds")
        found = {(n, v): [one[n][v] for one in scores] for n in scores[0] for v in scores[0][n]}
        _print(found, None, baseline="baseline")


def _values(reports: list[dict[str, Any]]) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for report in reports:
        for row in report["values"]:
            found.setdefault((row["method"], row["value"]), []).append(row["estimate"])
    return found


def _print(
    found: dict[tuple[str, str], list[float]], values: list[str] | None, baseline: str = BASELINE
) -> None:
    values = values or list(dict.fromkeys(value for _, value in found))
    names = list(dict.fromkeys(name for name, _ in found))
    print(" | ".join(["network: method".ljust(34), *values]))
    for name in names:
        cells = []
        for value in values:
            own, theirs = np.array(found[name, value]), np.array(found[baseline, value])
            cells.append(f"{_interval(own)} ({_interval(own - theirs, sign='+')})")
        print(" | ".join([name.ljust(34), *cells]))
    print()


def _interval(values: Any, sign: str = "") -> str:
    """Return mean and half width of the 95 % interval, in per cent."""
    mean = 100 * values.mean()
    if len(values) < 2:
        return f"{mean:{sign}.1f}"
    half = 100 * stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{mean:{sign}.1f} ± {half:.1f}"


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Train as the papers say, and judge the maps.")
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--test-limit", type=int, default=500, help="scenes judged")
    parser.add_argument("--data", default="digits", help="as for captum-cluster train")
    parser.add_argument("--weights", help="of a torchvision backbone")
    parser.add_argument("--epochs", type=int, help="of each network")
    parser.add_argument("--limit", type=int, help="training images")
    options = parser.parse_args()
    if options.what == "table":
        table(options.output)
        return
    names = ("data", "weights", "epochs", "limit")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    for seed in options.seeds:
        run(seed, options.output, given, options.test_limit)


if __name__ == "__main__":
    main()
