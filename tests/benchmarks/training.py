"""Do networks trained as the papers say give better maps? Digit scenes, several seeds.

    python -m tests.benchmarks.training run --seeds 0 1 2 3 4 --output out
    python -m tests.benchmarks.training table --output out

"run" trains, for each seed, what the papers compare, and judges all of it on the same test scenes:
a plain classifier; SC-CAM after rounds 1 to 3, with K = 10, and after round 3 with K = 5, 20, 50;
class grouping alone, two branches with and without the orthogonal constraint, both together, with
one to three levels; kernel usage regularization. A run that was broken off goes on. "table" prints
means over the seeds with 95 % intervals (Student's t), and of the differences from the baseline.

On photographs, whose labels have no masks, with a network that knows other photographs:

    python -m tests.benchmarks.training run --data imagenet-boxes:DIR --weights FILE \
        --compare rounds usage --counts 10 --test-limit 150 --seeds 0 1 2 --output photographs

There everything before layer4 of the ResNet-18 stays as it is, and what it makes of an image is
computed once for all epochs and networks of a process.
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
from tests.benchmarks.frozen import keep_frozen
from tests.benchmarks.trained import branch_likeness, context_told, coverage

LEVELS = [6, 4, 2]
MAP_METRICS = [
    "object-iou", "object-recall", "object-precision", "segmentation", "localization-error",
    "energy",
]  # fmt: skip
SHOWN = (
    "object-iou", "mean-iou", "localization-error", "energy", "object-recall", "object-precision",
)  # fmt: skip
COMPARED = ("groups", "rounds", "usage")
LABEL_METRICS = ["multi-label"]
BASELINE = called("baseline", "cam")
Found = dict[tuple[str, str], dict[str, float]]
"""Of each network and method, and each value: what each seed's file has."""


def run(
    seed: int,
    output: Path,
    compare: list[str],
    counts: list[int],
    head_lr_factor: float | None = None,
    **options: Any,
) -> None:
    """Train and judge the networks of one seed."""
    folder = output / f"seed-{seed}"
    options = {"seed": seed, **options}
    shared = folder / "baseline" / "training" / "baseline.pt"

    def outcome(name: str, recipe: str, **own: Any) -> Outcome:
        target = folder / name / "training" / "baseline.pt"
        if shared.is_file() and not target.is_file():  # the same network in every recipe
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shared, target)
        config = TrainingConfig(recipe, **{**options, **own})
        return RECIPES[recipe](_workshop(config, folder / name, head_lr_factor))

    plain = outcome("baseline", "baseline")
    judged = [replace(plain.judged[0], methods=("cam",))]
    if "groups" in compare:
        judged += _groups(outcome)
    if "rounds" in compare:
        judged += _rounds(outcome, counts)
    pair = [plain.judged[0]]
    if "usage" in compare:
        pair += outcome("kernel-usage", "kernel-usage").judged[1:]
        judged.append(replace(pair[1], methods=("cam",)))
    sources = open_sources(options["data"], seed=seed, test_limit=options["test_limit"])
    judge(judged, sources, folder / "maps", metrics=MAP_METRICS)
    if sources.several:
        methods = ("cam", "minmax-cam", "d-minmax-cam")
        pair = [replace(one, methods=methods) for one in pair]
        judge(pair, sources, folder / "labels", metrics=LABEL_METRICS)
    scores = {
        one.name: classifier_scores(
            one.network, sources.test, sources.preparation, several=sources.several
        ).to_dict()
        for one in judged
    }
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    covered = {called(one.name, one.methods[0]): coverage(one, sources) for one in judged}
    (folder / "coverage.json").write_text(json.dumps(covered, indent=2) + "\n")
    branched = {
        one.name: branch_likeness(one.network, sources) for one in judged if "branches" in one.name
    }
    (folder / "branches.json").write_text(json.dumps(branched, indent=2) + "\n")
    if "rounds" in compare and sources.several:
        told = {f"K {count}": context_told(folder / f"k-{count}", sources) for count in counts}
        (folder / "context.json").write_text(json.dumps(told, indent=2) + "\n")


def _workshop(config: TrainingConfig, folder: Path, head_lr_factor: float | None) -> Workshop:
    settings = chosen_settings(config)
    if head_lr_factor is not None:
        settings = replace(settings, head_lr_factor=head_lr_factor)
    sources = open_sources(
        config.data, seed=config.seed, limit=config.limit, test_limit=config.test_limit
    )
    builder = Builder(config, dropout=settings.dropout, bias=settings.head_bias)
    if config.chosen_backbone == "resnet18" and settings.top_share == 0.25:
        keep_frozen(builder)
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


def _rounds(outcome: Any, counts: list[int]) -> Iterator[Judged]:
    """Yield the networks of SC-CAM: each round's for the first K, the last round's for others."""
    first, *others = counts
    _, *rounds = outcome(f"k-{first}", "sub-category", n_sub_categories=first).judged
    for one in rounds:
        yield replace(one, name=f"K {first}, {one.name}")
    for count in others:
        last = outcome(f"k-{count}", "sub-category", n_sub_categories=count).judged[-1]
        yield replace(last, name=f"K {count}, {last.name}", methods=("cam",))


def table(output: Path) -> None:
    """Print what all seeds that are done have found."""
    found: Found
    for part, shown in {"maps": SHOWN, "labels": None}.items():
        found = {}
        for path in sorted(output.glob(f"seed-*/{part}/report.json")):
            for row in json.loads(path.read_text())["values"]:
                found.setdefault((row["method"], row["value"]), {})[str(path)] = row["estimate"]
        _print(part, found, shown)
    for part, name in (
        ("classification", "scores"),
        ("what the maps cover, and at which share of their maximum", "coverage"),
        ("other labels told by the sub-categories", "context"),
        ("how alike the branches are", "branches"),
    ):
        found = {}
        for path in sorted(output.glob(f"seed-*/{name}.json")):
            for row, values in json.loads(path.read_text()).items():
                for value, number in values.items():
                    found.setdefault((row, value), {})[str(path)] = number
        if found:
            _print(part, found, None, baseline=next(iter(found))[0])


def _print(
    part: str, found: Found, values: tuple[str, ...] | None, baseline: str = BASELINE
) -> None:
    known = dict.fromkeys(value for _, value in found)
    values = tuple(v for v in values or known if _whole(found.get((baseline, v))))
    if not values:
        return
    print(f"{part}: mean ± 95 % in per cent (difference from {baseline} of the same seeds)")
    print(" | ".join(["network: method".ljust(34), "seeds", *values]))
    for name in dict.fromkeys(name for name, _ in found):
        seeds = found[name, values[0]]
        cells = [_cell(found[name, value], found[baseline, value]) for value in values]
        print(" | ".join([name.ljust(34), str(len(seeds)).rjust(5), *cells]))
    print()


def _whole(seeds: dict[str, float] | None) -> bool:
    """Return whether a value is there, and not missing for any seed."""
    return bool(seeds) and None not in seeds.values()


def _cell(own: dict[str, float], baseline: dict[str, float]) -> str:
    values = np.array(list(own.values()))
    differences = values - np.array([baseline[seed] for seed in own])
    return f"{_interval(values)} ({_interval(differences, sign='+')})"


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
    parser.add_argument("--compare", nargs="+", choices=COMPARED, default=list(COMPARED))
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 5, 20, 50], help="the Ks")
    parser.add_argument("--test-limit", type=int, default=500, help="scenes judged")
    parser.add_argument("--data", default="digits", help="as for captum-cluster train")
    parser.add_argument("--weights", help="of a torchvision backbone")
    parser.add_argument("--epochs", type=int, help="of each network")
    parser.add_argument("--limit", type=int, help="training images")
    parser.add_argument("--head-lr-factor", type=float, help="times the learning rate, of heads")
    options = parser.parse_args()
    if options.what == "table":
        table(options.output)
        return
    names = ("data", "weights", "epochs", "limit", "test_limit", "head_lr_factor")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    for seed in options.seeds:
        run(seed, options.output, options.compare, options.counts, **given)


if __name__ == "__main__":
    main()
