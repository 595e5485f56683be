"""The configurations of ``captum-cluster masks`` and ``captum-cluster proposals``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from captum_cluster._checks import check_choice, describe, expected
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.weak_outputs.going_on import work_through
from captum_cluster.evaluation.weak_outputs.label_boxes import BOXES, BoxSettings
from captum_cluster.evaluation.weak_outputs.label_masks import WALK_FEATURES, MaskSettings
from captum_cluster.evaluation.weak_outputs.mask_tasks import FORMATS, TASKS, MaskRun
from captum_cluster.evaluation.weak_outputs.output_config import OutputConfig
from captum_cluster.evaluation.weak_outputs.proposals import BoxTask, ProposalRun
from captum_cluster.evaluation.weak_outputs.sweeping import Levels, SweepRun, SweepTask
from captum_cluster.weak.pseudo_masks import REFINEMENTS, Step

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
        background: The background's score (0.15 without ``refine``), or
        power: the power by which it scores what the labels leave over (2 with ``refine``).
        uncertain: The second of either.
        refine: "random-walk" and "crf", in order.
        stride: Of the random walk, in pixels. None: 8, for small images less; see ``RandomWalk``.
        walk_colour: Of the random walk, the weight of the colours (30).
        walk_log_steps: Of the random walk, the logarithm of the number of steps (8).
        walk_features: "none" or "layer", as for ``make_masks``.
        crf_gaussian: The CRF's kernel of position (3, 3), see ``DenseCRF``.
        crf_bilateral: The CRF's kernel of position and colour (80, 13, 10).
        format: "png" or "coco".
        sweep: Write no masks, and measure by the data's true masks which background makes the best:
            "background" or "power", the kind that is tried, with "=" and numbers, which are
            separated by commas, to try others than usual ("power=4,8,16").

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
    sweep: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.refine, str) or not isinstance(self.refine, Sequence):
            raise TypeError(expected("refine", "a list of names", describe(self.refine)))
        check_choice("walk_features", self.walk_features, WALK_FEATURES)
        for name in _OF_STEPS:
            _check_step(self, name)
        self.settings()
        check_choice("format", self.format, FORMATS)
        self.levels()

    def levels(self) -> Levels | None:
        """Return the backgrounds that a sweep tries; None without one."""
        if self.sweep is None:
            return None
        if self.paths:
            what = "given as data with true masks (data='voc:DIR', ...)"
            raise ValueError(expected("the images of a sweep", what, "paths"))
        for name in ("background", "power", "uncertain", "format"):
            value = getattr(self, name)
            if value not in (None, FORMATS[0]):
                what = "left out with a sweep of backgrounds"
                raise ValueError(expected(name, what, repr(value)))
        return Levels.read(self.sweep)

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
            self.background,
            self.power,
            self.uncertain,
            self.steps(),
            self.walk_features,
            self.longest,
        )

    def run(self, output: str | os.PathLike[str], *, progress: bool = True) -> MaskRun | SweepRun:
        """Make the masks, or with ``sweep`` measure; the configuration is written at the start.

        Raises:
            ValueError: As ``make_masks``, ``open_dataset``, ``load_model`` and ``load_network``; no
                image of a sweep has true masks.
            OSError: The same.
        """
        directory, levels = check_directory(output), self.levels()
        given = (self.explaining(), directory, self.settings())
        if levels is not None:
            sweep = SweepTask(*given, levels, self.figures)
            return work_through(sweep, progress=progress, config=self)
        task = TASKS[self.format](*given, self.figures)
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
        task = BoxTask(self.explaining(), directory, self.settings(), self.figures)
        return work_through(task, progress=progress, config=self)


def _check_step(config: MasksConfig, name: str) -> None:
    """Check that a number of a refinement is given with it alone."""
    value, step = getattr(config, name), _OF_STEPS[name][0]
    if value is not None and step not in config.refine:
        raise ValueError(expected(name, f"given with refine={step!r} alone", value))
