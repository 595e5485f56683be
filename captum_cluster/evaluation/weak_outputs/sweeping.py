"""Which background makes the best masks of many images whose true masks are known."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from captum_cluster._checks import describe, expected
from captum_cluster.evaluation.output import staged
from captum_cluster.evaluation.running.map_making import MapMaker
from captum_cluster.evaluation.running.records import encode_sums
from captum_cluster.evaluation.weak_outputs.explaining import Explaining
from captum_cluster.evaluation.weak_outputs.figures import mask_figure
from captum_cluster.evaluation.weak_outputs.label_masks import (
    MaskSettings,
    has_truth,
    mask_sums,
    swept_label_masks,
)
from captum_cluster.evaluation.weak_outputs.mask_tasks import mask_inputs
from captum_cluster.evaluation.weak_outputs.work import Done, Item, OutputRun, Task
from captum_cluster.functional.metrics import mean_iou_compute
from captum_cluster.weak.background_sweep import BACKGROUNDS
from captum_cluster.weak.pseudo_masks import Background

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SWEEP = "sweep.json"
TRIED = {"background": BACKGROUNDS, "power": (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)}
"""Of each kind of background the numbers that are tried unless others are named."""

_DRAWN = 8


@dataclass(frozen=True)
class Levels:
    """The backgrounds that are tried.

    Attributes:
        kind: "background" or "power".
        values: The scores, or the powers.
    """

    kind: str
    values: tuple[float, ...]

    @classmethod
    def read(cls, text: str) -> Levels:
        """Return what a text names: a kind, or "KIND=NUMBER,NUMBER,...".

        Raises:
            TypeError: It is no text.
            ValueError: It names nothing of the sort, or a number is out of range.

        Example:
            >>> Levels.read("power=4,16")
            Levels(kind='power', values=(4.0, 16.0))
        """
        what = "'background' or 'power', or one of them with numbers, such as 'power=4,8,16'"
        if not isinstance(text, str):
            raise TypeError(expected("sweep", what, describe(text)))
        kind, given, numbers = text.partition("=")
        if kind not in TRIED:
            raise ValueError(expected("sweep", what, repr(text)))
        try:
            values = tuple(float(one) for one in numbers.split(",")) if given else TRIED[kind]
        except ValueError:
            raise ValueError(expected("sweep", what, repr(text))) from None
        found = cls(kind, tuple(dict.fromkeys(values)))
        found.backgrounds()
        return found

    def backgrounds(self) -> list[Background]:
        """Return the backgrounds.

        Raises:
            ValueError: A number is out of range.
        """
        powers = self.kind == "power"
        return [Background(power=one) if powers else Background(one) for one in self.values]


@dataclass(frozen=True)
class SweepRun(OutputRun):
    """How good the masks are with each background; see also ``OutputRun``.

    ``path`` is a JSON file of the same. The masks are those that a run with this background writes.

    Attributes:
        kind: "background" or "power".
        values: The scores or the powers that were tried.
        mean_ious: mIoU with the background of the true masks with each of them, from 0 to 1.
        judged: How many images have true masks.
    """

    kind: str
    values: tuple[float, ...]
    mean_ious: tuple[float, ...]
    judged: int

    @property
    def best(self) -> float:
        """The one with the highest mIoU; of equal ones the first."""
        return self.values[self.mean_ious.index(max(self.mean_ious))]


class SweepTask(Task[SweepRun]):
    """Counts, for each image, the classes of its masks with all backgrounds.

    Args:
        explaining: What is explained.
        directory: Of the results.
        settings: How maps become a mask, but for the background.
        levels: The backgrounds.
        figures: Number of images, the first ones, of which a figure with the masks of up to eight
            of the backgrounds is written.
    """

    kind = "a sweep of backgrounds"

    def __init__(
        self,
        explaining: Explaining,
        directory: Path,
        settings: MaskSettings,
        levels: Levels,
        figures: int = 0,
    ) -> None:
        super().__init__(explaining, directory, figures)
        self.settings, self.levels = settings.on(explaining.device), levels

    def options(self) -> dict[str, Any]:
        """Return all that the masks depend on beside the maps."""
        facts = self.settings.facts()
        others = {name: facts[name] for name in ("refine", "walk_features", "longest")}
        return {**others, "sweep": {self.levels.kind: list(self.levels.values)}}

    def compute(self, item: Item, maker: MapMaker) -> tuple[Tensor, list[Tensor]]:
        """Return the maps (P,h,w) and the mask (H,W) with each background; none without a truth."""
        maps, features = mask_inputs(self.explaining, self.settings, item, maker)
        if not has_truth(item.scene, len(self.explaining.classes)):
            return maps, []
        levels = self.levels.backgrounds()
        targets = item.seen.targets
        return maps, swept_label_masks(item.scene, maps, targets, self.settings, levels, features)

    def keep(self, item: Item, made: Any) -> dict[str, Any]:
        """Return the counts with all backgrounds, one after the other."""
        counts = mask_sums(item.scene, made, len(self.explaining.classes))
        if not counts:
            return {}
        joined = {key: torch.cat([sums[key] for sums in counts]) for key in counts[0]}
        return {"sums": encode_sums(joined)}

    def figure(self, item: Item, maps: Tensor | None, made: Any) -> Figure:
        """Return a figure of the picture, its map, masks, and the true one."""
        assert maps is not None
        step = -(-len(self.levels.values) // _DRAWN)
        named = zip(self.levels.values, made, strict=False)  # without a truth there are none
        masks = {f"{self.levels.kind} {value:g}": mask for value, mask in list(named)[::step]}
        return mask_figure(item.scene, maps, masks, self.explaining.classes, item.name)

    def finish(self, done: Done) -> SweepRun:
        """Write the mIoU with each background, and return it.

        Raises:
            ValueError: No image has true masks.
        """
        tried = len(self.levels.values)
        total = {key: sums.reshape(tried, -1) for key, sums in done.total().items()}
        found = tuple(mean_iou_compute(total).tolist()) if total else (math.nan,)
        if math.isnan(found[0]):
            what = "to have true masks of the model's labels"
            got = "none that has"
            if done.failed:
                got += f"; {len(done.failed)} failed, the first: {done.failed[0]}"
            raise ValueError(expected("the images of a sweep", what, got))
        run = SweepRun(
            self.directory,
            self.directory / SWEEP,
            done.images,
            done.empty,
            done.failed,
            self.levels.kind,
            self.levels.values,
            found,
            sum("sums" in record for record in done.records),
        )
        _write(run)
        return run


def _write(run: SweepRun) -> None:
    """Write a sweep's results."""
    content = {
        "kind": run.kind,
        "values": list(run.values),
        "mean_iou": list(run.mean_ious),
        "best": run.best,
        "judged": run.judged,
    }
    with staged(run.directory) as stage:
        (stage / SWEEP).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
