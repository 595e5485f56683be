"""The configurations of ``captum-cluster masks`` and ``captum-cluster proposals``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from captum_cluster._checks import (
    check_choice,
    check_flag,
    check_integer,
    describe,
    expected,
)
from captum_cluster.evaluation.config_file import FileConfig
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.running.entries import MethodLike, method_entries
from captum_cluster.evaluation.running.map_making import EXPLAINED, PROBABILITIES
from captum_cluster.evaluation.weak_outputs.explaining import Explaining, explaining
from captum_cluster.evaluation.weak_outputs.label_boxes import BOXES, BoxSettings
from captum_cluster.evaluation.weak_outputs.label_masks import WALK_FEATURES, MaskSettings
from captum_cluster.evaluation.weak_outputs.masks import FORMATS, TASKS, MaskRun
from captum_cluster.evaluation.weak_outputs.opening import open_run
from captum_cluster.evaluation.weak_outputs.proposals import BoxTask, ProposalRun
from captum_cluster.evaluation.weak_outputs.work import work_through
from captum_cluster.weak.pseudo_masks import REFINEMENTS, Step

PARTS = ("train", "test")


@dataclass(frozen=True)
class OutputConfig(FileConfig):
    """Which images are explained, and how, in words and numbers alone.

    Attributes:
        paths: Pictures, and folders of pictures; or
        data: what ``open_dataset`` takes ("voc:DIR,image_set=train"). With neither the images are
            those of the training of ``network``.
        network: The directory of a training (``captum-cluster train``).
        network_name: Of its networks: "network", "baseline", "round-1", ...
        part: Of the training's images: "train", those that the network was trained with, the
            default; or "test".
        model: A torchvision classifier, or "digit-net", the demo's network. None: that of
            ``network``, or "resnet18".
        weights: Of ``model``: "DEFAULT", or a file with a state dict.
        method: As for ``evaluate``: a name, or a mapping that also gives options.
        layer: As for ``evaluate``.
        scales: The sizes at which the method sees an image, as shares of its size; the maps are
            summed.
        flip: Whether it also sees each mirrored.
        labels: As for ``make_masks``.
        probability: "probability" (softmax) or "sigmoid". None: by the network's training;
            "sigmoid" for "digit-net", else "probability".
        size: Height and width of what the model sees. None: the model's, or the training's.
        longest: As for ``make_masks``.
        limit: Number of images, evenly spread.
        strict: Stop at an image that cannot be read.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", ...
    """

    needed: ClassVar[str | None] = None

    paths: Sequence[str] = field(default_factory=list)
    data: str | None = None
    network: str | None = None
    network_name: str = "network"
    part: str | None = None
    model: str | None = None
    weights: str = "DEFAULT"
    method: Any = "grad-cam"
    layer: str | Sequence[str] | None = None
    scales: Sequence[float] | None = None
    flip: bool = False
    labels: str | None = None
    probability: str | None = None
    size: int | None = None
    longest: int | None = None
    limit: int | None = None
    strict: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_images(self)
        _check_model(self)
        method_entries([self.entry()])
        for name, choices in (("labels", EXPLAINED), ("probability", PROBABILITIES)):
            if getattr(self, name) is not None:
                check_choice(name, getattr(self, name), choices)
        for name in ("size", "longest", "limit"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 1)
        for name in ("flip", "strict"):
            check_flag(name, getattr(self, name))

    def entry(self) -> MethodLike:
        """Return the method as ``evaluate`` takes it, with the sizes at which it sees images."""
        check_flag("flip", self.flip)
        if self.scales is None and not self.flip:
            return self.method  # type: ignore[no-any-return]
        plain = self.method if isinstance(self.method, Mapping) else {"method": self.method}
        return {**plain, "scales": self.scales, "flip": self.flip}

    def explaining(self) -> Explaining:
        """Return what is explained, all opened and checked."""
        opened = open_run(self)
        return explaining(
            opened.model,
            self.layer,
            opened.images,
            self.entry(),
            labels=self.labels,
            classes=opened.classes,
            probability=self.probability or opened.probability,
            preparation=opened.preparation,
            limit=self.limit,
            reshape_transform=None,
            strict=self.strict,
        )


_OF_STEPS = {
    "stride": ("random-walk", "stride"),
    "walk_colour": ("random-walk", "colour"),
    "walk_log_steps": ("random-walk", "log_steps"),
    "crf_gaussian": ("crf", "gaussian"),
    "crf_bilateral": ("crf", "bilateral"),
}
"""Of each number the refinement that it is of, and what it is called there."""


@dataclass(frozen=True)
class MasksConfig(OutputConfig):
    """A run of ``make_masks`` in words and numbers alone; see also ``OutputConfig``.

    Attributes:
        background: The background's score (0.15), or
        power: the power by which it scores what the labels leave over.
        uncertain: The second of either.
        refine: "random-walk" and "crf", in order.
        stride: Of the random walk, in pixels (8).
        walk_colour: Of the random walk, the weight of the colours (30).
        walk_log_steps: Of the random walk, the logarithm of the number of steps (8).
        walk_features: "none" or "layer", as for ``make_masks``.
        crf_gaussian: The CRF's kernel of position (3, 3), see ``DenseCRF``.
        crf_bilateral: The CRF's kernel of position and colour (80, 13, 10).
        format: "png" or "coco".

    Raises:
        TypeError: A value of a wrong type.
        ValueError: A value outside its range, or two that exclude each other.

    Example:
        >>> config = MasksConfig(paths=["photos"], refine=["random-walk"], power=16, stride=4)
        >>> config.steps()
        [RandomWalk(stride=4, radius=5.0, power=8.0, log_steps=8, colour=30.0, position=0.05, \
layer=0.5)]
    """

    background: float | None = None
    power: float | None = None
    uncertain: float | None = None
    refine: Sequence[str] = field(default_factory=list)
    stride: int | None = None
    walk_colour: float | None = None
    walk_log_steps: int | None = None
    crf_gaussian: Sequence[float] | None = None
    crf_bilateral: Sequence[float] | None = None
    walk_features: str = "none"
    format: str = "png"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.background is not None and self.power is not None:
            what = "given without power, which replaces it"
            raise ValueError(expected("background", what, f"{self.background} and {self.power}"))
        if isinstance(self.refine, str) or not isinstance(self.refine, Sequence):
            raise TypeError(expected("refine", "a list of names", describe(self.refine)))
        check_choice("walk_features", self.walk_features, WALK_FEATURES)
        for name in _OF_STEPS:
            _check_step(self, name)
        self.settings()
        check_choice("format", self.format, FORMATS)

    def steps(self) -> list[Step]:
        """Return the refinements."""
        return [self._step(name) for name in self.refine]

    def _step(self, name: str) -> Step:
        """Return a refinement with its numbers, those that are given."""
        given = {
            option: getattr(self, field)
            for field, (step, option) in _OF_STEPS.items()
            if step == name and getattr(self, field) is not None
        }
        return REFINEMENTS[name](**given) if given else name

    def settings(self) -> MaskSettings:
        """Return how maps become masks."""
        return MaskSettings(
            0.15 if self.background is None else self.background,
            self.power,
            self.uncertain,
            self.steps(),
            self.walk_features,
            self.longest,
        )

    def run(self, output: str | os.PathLike[str], *, progress: bool = True) -> MaskRun:
        """Make the masks; the configuration is written beside them at the start.

        Raises:
            ValueError: As ``make_masks``, ``open_dataset``, ``load_model`` and ``load_network``.
            OSError: The same.
        """
        directory = check_directory(output)
        task = TASKS[self.format](self.explaining(), directory, self.settings())
        return work_through(task, progress=progress, config=self)


@dataclass(frozen=True)
class ProposalsConfig(OutputConfig):
    """A run of ``make_proposals`` in words and numbers alone; see also ``OutputConfig``.

    Attributes:
        boxes: "selective-search" or "component".
        without_maps: Take the best box of the image, whatever the maps say.
        threshold: As for ``make_proposals``.
        format: "coco".

    Raises:
        TypeError: A value of a wrong type.
        ValueError: A value outside its range, or two that exclude each other.

    Example:
        >>> ProposalsConfig(paths=["photos"]).boxes
        'selective-search'
    """

    boxes: str = BOXES[0]
    without_maps: bool = False
    threshold: float | None = None
    format: str = "coco"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settings()
        check_choice("format", self.format, ("coco",))

    def settings(self) -> BoxSettings:
        """Return how maps become boxes."""
        return BoxSettings(self.boxes, self.without_maps, self.threshold, self.longest)

    def run(self, output: str | os.PathLike[str], *, progress: bool = True) -> ProposalRun:
        """Make the proposals; the configuration is written beside them at the start.

        Raises:
            ValueError: As ``make_proposals``, ``open_dataset``, ``load_model``, ``load_network``.
            OSError: The same.
        """
        directory = check_directory(output)
        task = BoxTask(self.explaining(), directory, self.settings())
        return work_through(task, progress=progress, config=self)


def _check_step(config: MasksConfig, name: str) -> None:
    """Check that a number of a refinement is given with it alone."""
    value, step = getattr(config, name), _OF_STEPS[name][0]
    if value is not None and step not in config.refine:
        raise ValueError(expected(name, f"given with refine={step!r} alone", value))


def _check_images(config: OutputConfig) -> None:
    """Check that images are named once."""
    if isinstance(config.paths, str) or not isinstance(config.paths, Sequence):
        raise TypeError(expected("paths", "a list of files and folders", describe(config.paths)))
    for name in ("data", "network", "model"):
        if getattr(config, name) is not None and not isinstance(getattr(config, name), str):
            raise TypeError(expected(name, "text", describe(getattr(config, name))))
    if config.paths and config.data is not None:
        raise ValueError(expected("the images", "given as paths or as data", "both"))
    if not config.paths and config.data is None and config.network is None:
        what = "given: as paths, as data, or as those of the training of network"
        raise ValueError(expected("the images", what, "neither"))
    if config.part is not None:
        check_choice("part", config.part, PARTS)
        if config.paths or config.data is not None:
            what = "left out where paths or data are given: it is of a training's images"
            raise ValueError(expected("part", what, repr(config.part)))
    if config.paths and config.labels == "truth":
        what = "'predicted' or 'top' for pictures whose labels are not known"
        raise ValueError(expected("labels", what, "'truth'"))


def _check_model(config: OutputConfig) -> None:
    """Check that there is one classifier."""
    for name in ("network_name", "weights", "device"):
        if not isinstance(getattr(config, name), str):
            raise TypeError(expected(name, "text", describe(getattr(config, name))))
    if config.network is None:
        if config.network_name != "network":
            what = "given with network alone"
            raise ValueError(expected("network_name", what, repr(config.network_name)))
        return
    if config.model is not None or config.weights != "DEFAULT":
        given = "model" if config.model is not None else "weights"
        what = "left out where network is given"
        raise ValueError(expected(given, what, repr(getattr(config, given))))
