"""What every recipe works with: images, settings, networks, and the trainings that were done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from captum_cluster.data import SceneDataset
from captum_cluster.evaluation.recipes.config import TrainingConfig
from captum_cluster.evaluation.recipes.course import Course
from captum_cluster.evaluation.recipes.judging import Judged
from captum_cluster.evaluation.recipes.networks import Builder, save_network
from captum_cluster.evaluation.recipes.pages import Picture
from captum_cluster.evaluation.recipes.parts import Part
from captum_cluster.evaluation.recipes.sources import Sources
from captum_cluster.training import GapClassifier, SegmentationNetwork, TrainingSettings, TwoBranch
from captum_cluster.training.state_files import read_state

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a recipe has made.

    Attributes:
        judged: The networks to judge, the baseline first, the recipe's last.
        main: The method of the last network that the recipe is about.
        draw: Makes the figures and writes them below a directory.
        numbers: What else was found, as JSON holds it.
    """

    judged: Sequence[Judged]
    main: str
    draw: Callable[[Path], list[Picture]] = lambda directory: []
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Workshop:
    """What every recipe works with.

    Attributes:
        output: The directory of the run.
        config: The run.
        settings: How networks are trained.
        sources: The images.
        course: Trains.
        builder: Makes networks.
        first: Whether this is the first process, which writes.
        say: Called with a line of text at each stage.
    """

    output: Path
    config: TrainingConfig
    settings: TrainingSettings
    sources: Sources
    course: Course
    builder: Builder
    first: bool
    say: Say

    @property
    def num_labels(self) -> int:
        """The number of labels."""
        return len(self.sources.classes)

    def baseline(self, *, kernel_usage: bool = False) -> GapClassifier:
        """Return the plain classifier, trained."""
        network = self.builder.classifier(
            self.num_labels, seed=self.config.seed, kernel_usage=kernel_usage
        )
        self.train("baseline", network)
        return network

    def train(self, name: str, network: nn.Module, *, groups: torch.Tensor | None = None) -> None:
        """Train a network, or fill it with what an earlier run has trained.

        Args:
            name: Of the training and of its file.
            network: A ``GapClassifier``, a ``TwoBranch`` or a ``SegmentationNetwork``.
            groups: (L,), what it learns to tell apart; None: the labels.
        """
        if self.done(name):
            network.load_state_dict(read_state(self.file(name)))
            network.eval()
            return
        self.say(f"Training: {name}")
        masks = isinstance(network, SegmentationNetwork)
        self.course.fit(name, self.module(network), relabel=_grouped(groups), masks=masks)
        if self.first:
            save_network(network, self.file(name))
        network.eval()

    def module(self, network: nn.Module) -> Any:
        """Return the Lightning module that trains a network."""
        from captum_cluster.training import LitCamClassifier, LitSegmentation, LitTwoBranch

        if isinstance(network, SegmentationNetwork):
            return LitSegmentation(network, self.settings)
        if isinstance(network, TwoBranch):
            return LitTwoBranch(
                network,
                self.settings,
                multi_label=self.sources.several,
                orthogonality=self.config.orthogonality,
            )
        return LitCamClassifier(network, self.settings, multi_label=self.sources.several)

    def done(self, name: str) -> bool:
        """Return whether a training was finished before."""
        return self.file(name).is_file()

    def file(self, name: str) -> Path:
        """Return where a training's network is kept."""
        return self.course.directory / f"{name}.pt"


def _grouped(groups: torch.Tensor | None) -> Callable[[SceneDataset], SceneDataset]:
    """Return what makes groups of the labels of a dataset."""
    if groups is None:
        return lambda dataset: dataset
    numbers = groups.tolist()
    names = [str(group) for group in range(max(numbers) + 1)]
    return lambda dataset: Part(dataset, labels=numbers, classes=names)
