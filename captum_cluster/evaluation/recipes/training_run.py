"""A training from the images to the report."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from captum_cluster import __version__
from captum_cluster._extras import require
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.recipes.config import OF_CRF, SEGMENTATION, TrainingConfig
from captum_cluster.evaluation.recipes.course import Course, DivergedError
from captum_cluster.evaluation.recipes.devices import check_devices, first_process, judging_device
from captum_cluster.evaluation.recipes.judging import judge
from captum_cluster.evaluation.recipes.networks import HIERARCHY, Builder, save_network
from captum_cluster.evaluation.recipes.recipes import RECIPES, level_sizes
from captum_cluster.evaluation.recipes.report import TrainingReport
from captum_cluster.evaluation.recipes.rounds import ASSIGNMENTS
from captum_cluster.evaluation.recipes.run_settings import chosen_settings, chosen_sources
from captum_cluster.evaluation.recipes.scores import classifier_scores
from captum_cluster.evaluation.recipes.segmenting import (
    SegmentationRun,
    masked_sources,
    segmentation,
)
from captum_cluster.evaluation.recipes.sources import Sources
from captum_cluster.evaluation.recipes.trained import TrainedLabels
from captum_cluster.evaluation.recipes.words import common_words
from captum_cluster.evaluation.recipes.workshop import Outcome, Say, Workshop
from captum_cluster.evaluation.running.fingerprint import describe_dataset, enter, state_digest
from captum_cluster.training import TrainingSettings

_TRAININGS, _MAPS = "training", "maps"
_OF_JUDGING = ("metrics", "map", "rest", *OF_CRF, "test_limit", "devices", "accelerator")
"""What may change in an ``output``: the networks do not depend on it."""


@dataclass(frozen=True)
class TrainingRun:
    """A training that is done.

    Attributes:
        output: The directory.
        networks: By name, in evaluation mode: "baseline" first, the recipe's last.
        report: What it has found.
    """

    output: Path
    networks: dict[str, nn.Module]
    report: TrainingReport

    @property
    def baseline(self) -> nn.Module:
        """The plain classifier."""
        return self.networks["baseline"]

    @property
    def network(self) -> nn.Module:
        """The recipe's network."""
        return self.networks[list(self.networks)[-1]]

    @property
    def page(self) -> Path:
        """The report as a page."""
        return self.output / "report.html"


def train(
    recipe: str,
    data: str = "digits",
    *,
    output: str | os.PathLike[str],
    progress: bool = True,
    say: Say = lambda text: None,
    **options: Any,
) -> TrainingRun | SegmentationRun | None:
    """Train a baseline and a recipe's network, and compare their maps on images not seen.

    "segmentation" is another kind of training: a segmentation network learns the pseudo masks of a
    folder (``pseudo``), and is judged by the true masks of images not seen.

    A training that was broken off goes on after its last whole epoch when it is started again with
    the same ``output``, and gives the same networks; one that is done gives its report again. What
    changes the judging alone (``metrics``, ``map``, ``rest``, ``crf`` and its kernels,
    ``test_limit``) or the machine (``devices``, ``accelerator``) may be another then: it is judged
    again.

    Args:
        recipe: "baseline"; "sub-category" (SC-CAM); "class-grouping" (multi-level CAM of
            two-branch networks); "kernel-usage"; or "segmentation".
        data: What the network learns from; see ``open_sources``.
        output: Directory of networks, figures and report.
        progress: Show bars.
        say: Called with a line of text at each stage.
        **options: See ``TrainingConfig``.

    Returns:
        What was trained and found (a ``SegmentationRun`` of "segmentation"); None in the processes
        of several devices that are not the first. In ``output``: ``baseline.pt`` and ``network.pt``
        (for ``load_network``; each round's as well), ``config.yaml``, ``labels.json`` (what the
        networks know), ``report.html``, ``.md`` and ``.json``, ``figures``, ``maps`` (the
        evaluation), ``training`` (checkpoints and logs), and the recipe's ``hierarchy.json`` or
        ``assignments.npz``.

    Raises:
        TypeError: An option of a wrong type, or that there is not.
        ValueError: An option outside its range; data, backbone or weights that do not fit; devices
            that are not there, or do not divide the batch; or an ``output`` that holds another
            training: the message says what differs.
        RuntimeError: A training diverged: weights or outputs are no longer finite.
        KeyboardInterrupt: A training was interrupted; its last whole epoch is kept.
        OSError: Images or weights cannot be read, or results not written.
        ImportError: Lightning is not installed.

    Example:
        >>> run = train("sub-category", output="out", rounds=1)  # doctest: +SKIP
        >>> run.report.maps.value("round 1: cam", "mean-iou")  # doctest: +SKIP
    """
    config = TrainingConfig(recipe, data, **options)
    return run_training(config, output, progress=progress, say=say)


def run_training(
    config: TrainingConfig,
    output: str | os.PathLike[str],
    *,
    progress: bool = True,
    say: Say = lambda text: None,
) -> TrainingRun | SegmentationRun | None:
    """Do what ``train`` does, of a config."""
    directory = check_directory(output)
    require("lightning.pytorch", "train")
    settings = chosen_settings(config)
    check_devices(config, settings)
    opened = chosen_sources(config, settings)
    segmenting = config.recipe == SEGMENTATION
    sources = masked_sources(config, settings, opened) if segmenting else opened
    builder = Builder(config, dropout=settings.dropout, bias=settings.head_bias)
    first = first_process()
    level_sizes(config, len(sources.classes))  # before anything is trained in vain
    facts = _facts(config, settings, sources, builder)
    directory.mkdir(parents=True, exist_ok=True)
    enter(directory, facts)
    if first:
        config.save(directory)
        TrainedLabels(sources.classes, sources.several).save(directory)
    course = Course(directory / _TRAININGS, config, settings, sources, progress=progress and first)
    tell = say if first else lambda text: None
    shop = Workshop(directory, config, settings, sources, course, builder, first, tell)
    try:
        if segmenting:
            totals = len(opened.train), len(opened.watching)
            return segmentation(shop, totals, progress and first)
        outcome = RECIPES[config.recipe](shop)
    except DivergedError:
        if first and not any(course.directory.glob("*.pt")):  # free for another learning rate
            (directory / "run.json").unlink(missing_ok=True)
        raise
    if not first:
        return None
    return _judged(shop, outcome, progress)


def _facts(
    config: TrainingConfig, settings: TrainingSettings, sources: Sources, builder: Builder
) -> dict[str, Any]:
    """Return all that the networks depend on."""
    make: Callable[..., nn.Module] = builder.classifier
    left_out = {*_OF_JUDGING, "pseudo"}  # the masks count, wherever they are
    if config.recipe == SEGMENTATION:
        make = builder.segmentation
    else:
        left_out.add("output_stride")
    network = make(len(sources.classes), seed=config.seed)
    own = {name: one for name, one in config.to_dict().items() if name not in left_out}
    if config.recipe == "class-grouping":  # as chosen, whoever did
        sizes = level_sizes(config, len(sources.classes))
        own |= {"hierarchy": config.chosen_hierarchy, "sizes": sizes}
    return {
        "captum_cluster": __version__,
        **own,
        "settings": dataclasses.asdict(settings),
        "train": describe_dataset(sources.train),
        "watching": describe_dataset(sources.watching),
        "model": {"class": type(network).__name__, "state": state_digest(network)},
    }


def _judged(shop: Workshop, outcome: Outcome, progress: bool) -> TrainingRun:
    """Judge the networks, and write them and the report."""
    _keep_files(shop, outcome)
    device = judging_device(shop.config)
    for one in outcome.judged:
        one.network.to(device)
    shop.say("Judging the networks on the test images")
    scores = {
        one.name: classifier_scores(
            one.network, shop.sources.test, shop.sources.preparation, several=shop.sources.several
        )
        for one in outcome.judged
    }
    maps = judge(
        outcome.judged,
        shop.sources,
        shop.output / _MAPS,
        metrics=shop.config.metrics,
        progress=progress,
    )
    report = TrainingReport(
        shop.config.recipe,
        list(_words(shop)),
        scores,
        maps,
        outcome.main,
        outcome.draw(shop.output),
        outcome.numbers,
        shop.config.to_dict(),
    )
    report.save(shop.output)
    networks = {one.name: one.network.cpu() for one in outcome.judged}
    return TrainingRun(shop.output, networks, report)


def _keep_files(shop: Workshop, outcome: Outcome) -> None:
    """Write the networks, and what else a recipe has made, into the directory itself."""
    last = outcome.judged[-1].name
    for one in outcome.judged:
        name = "network" if one.name == last != "baseline" else one.name.replace(" ", "-")
        save_network(one.network, shop.output / f"{name}.pt")
    for name in (HIERARCHY, ASSIGNMENTS):
        made = shop.course.directory / name
        if made.is_file():
            shutil.copyfile(made, shop.output / name)


def _words(shop: Workshop) -> Iterator[tuple[str, str]]:
    """Yield what was done, for the report."""
    yield from common_words(shop.config, shop.settings, shop.sources)
    yield from _of_recipe(shop.config, shop.sources)
    yield "Seed", str(shop.config.seed)


def _of_recipe(config: TrainingConfig, sources: Sources) -> Sequence[tuple[str, str]]:
    if config.recipe == "sub-category":
        start = "from the first weights" if config.restart else "from those of the one before"
        each = f"{config.n_sub_categories} of each label, loss times {config.sub_weight:g}"
        text = f"{each}, rounds {start}"
        return [("Sub-categories", text)]
    if config.recipe != "class-grouping":
        return []
    sizes = level_sizes(config, len(sources.classes))
    levels = f"{', '.join(map(str, sizes))} groups, found {_FOUND[config.chosen_hierarchy]}"
    branches = f"{config.branches}, orthogonality times {config.orthogonality:g}"
    return [
        ("Levels", levels if sizes else "none"),
        ("Branches", branches if config.branches == 2 else "1"),
    ]


_FOUND = {"from-weights": "from the baseline's weights", "fit": "by training at each level"}
