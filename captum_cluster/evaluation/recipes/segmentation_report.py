"""What the training of a segmentation network has found, as a page and files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from captum_cluster.evaluation.recipes.pages import (
    Picture,
    embedded,
    head_lines,
    save_texts,
    shown,
    table_lines,
)
from captum_cluster.evaluation.recipes.segmentation_scores import (
    PLAIN,
    SegmentationScore,
    percent,
)
from captum_cluster.evaluation.recipes.verdicts import FEWEST
from captum_cluster.evaluation.reporting.filling import filled

TITLE = "A segmentation network trained on pseudo masks"
BACKGROUND, MEAN = "background", "mIoU"
MEANING = (
    "IoU in percent, of pixels counted over all images judged, at the size that the network takes; "
    "mIoU is the mean over the background and the labels with a true pixel. All labels compete in "
    "each image. The intervals are from 1000 resamples of the images, of a network that was "
    "trained once: another seed gives another network."
)
NOTHING = (
    "Nothing can be judged: none of the test images has a true mask. The network is trained and "
    "kept all the same."
)


@dataclass(frozen=True)
class SegmentationReport:
    """What the training of a segmentation network has found.

    Attributes:
        facts: What was done, as pairs of words.
        classes: The names of the labels.
        scores: "network" and "network + CRF"; empty where no test image has a true mask.
        pictures: The figures.
        config: The run, as JSON holds it.
    """

    facts: Sequence[tuple[str, str]]
    classes: Sequence[str]
    scores: Mapping[str, SegmentationScore]
    pictures: Sequence[Picture] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the CRF makes the segmentations better, in a sentence; "" without it."""
        refined = [one.mean_iou for name, one in self.scores.items() if name != PLAIN]
        if not refined:
            return ""
        one = refined[0]
        word = "no clear difference"
        if one.images < FEWEST:
            word = "too few images"
        elif one.p < 0.05:
            word = "better" if one.difference > 0 else "worse"
        change = f"{100 * one.difference:+.1f} points of mIoU"
        if not math.isnan(one.difference_low):
            change += f" ({100 * one.difference_low:+.1f} to {100 * one.difference_high:+.1f})"
        return f"With the CRF: {word}, {change}."

    def table(self) -> str:
        """Return the numbers as text."""
        if not self.scores:
            return NOTHING
        head, *lines = [["", *self.scores], *self._rows()]
        widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
        return "\n".join(
            [*(_line(cells, widths) for cells in (head, *lines)), *filter(None, ["", self.verdict])]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON holds them."""
        names = [BACKGROUND, *self.classes]
        return {
            "recipe": "segmentation",
            "config": dict(self.config),
            "facts": dict(self.facts),
            "segmentation": {
                name: {
                    "mean_iou": {key: _strict(one) for key, one in asdict(score.mean_iou).items()},
                    "iou": dict(zip(names, map(_strict, score.ious), strict=True)),
                }
                for name, score in self.scores.items()
            },
        }

    def save(self, directory: Path) -> Path:
        """Write ``report.json``, ``report.md`` and ``report.html``, and return the page's path.

        The page has the figures inside, which must be in the directory already.
        """
        content = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        texts = {
            "report.json": content + "\n",
            "report.md": self._markdown(),
            "report.html": self._page(directory),
        }
        return save_texts(texts, directory)

    def _rows(self) -> Iterator[list[str]]:
        """Yield the mean and each class with its cells."""
        yield [MEAN, *(_cell(score) for score in self.scores.values())]
        for place, name in enumerate([BACKGROUND, *self.classes]):
            yield [name, *(percent(score.ious[place]) for score in self.scores.values())]

    def _markdown(self) -> str:
        lines = [*head_lines(TITLE, self.facts), ""]
        if self.scores:
            lines += [*table_lines(["IoU", *self.scores], list(self._rows())), ""]
            lines += [*filter(None, [self.verdict]), "", MEANING]
        else:
            lines += [NOTHING]
        return "\n".join([*lines, *shown(self.pictures)]) + "\n"

    def _page(self, directory: Path) -> str:
        return filled(
            "segmentation.html.j2",
            title=TITLE,
            report=self,
            rows=list(self._rows()) if self.scores else [],
            meaning=MEANING if self.scores else NOTHING,
            pictures=embedded(self.pictures, directory),
        )


def _cell(score: SegmentationScore) -> str:
    mean = score.mean_iou
    ends = "" if math.isnan(mean.low) else f" ({percent(mean.low)} to {percent(mean.high)})"
    return percent(mean.estimate) + ends


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _strict(value: float) -> float | None:
    """Return a number, None for one that is none."""
    return value if math.isfinite(value) else None
