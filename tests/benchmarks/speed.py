"""Times of all contestants in units of one plain forward pass, and where ours spend it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import torch

from tests.benchmarks.contestants import Contestant, rounds_of
from tests.benchmarks.profiling import profile
from tests.benchmarks.subjects import Subject
from tests.benchmarks.timing import Took, in_units, interleave, plain

BATCHES = (8, 16)
BASE = "forward and backward pass"


@dataclass(frozen=True)
class Row:
    """One line of the table. Units are of one plain forward pass, medians over the rounds.

    Attributes:
        units: For one image.
        low: Of the fastest round.
        high: Of the slowest round.
        needed: Units that the work needs; 0 where only units tell.
        inside: Share of the time that is spent inside the model's forward passes.
        seconds: For one image, by the clock.
        profile: Of ours the shares of the time that its parts take.
    """

    model: str
    threads: int
    group: str
    name: str
    ours: bool
    units: float
    low: float
    high: float
    needed: float
    inside: float
    seconds: float
    profile: dict[str, float]

    @property
    def ratio(self) -> float | None:
        """Units over those needed."""
        return self.units / self.needed if self.needed else None


def unit_batch(one: Subject) -> int:
    """Return the batch whose plain passes are the fastest for an image."""
    runs = {str(batch): plain(one.model, one.images[:1], batch) for batch in BATCHES}
    found = interleave(runs, 3)
    return min(BATCHES, key=lambda batch: statistics.median(found[str(batch)]) / batch)


def race(one: Subject, contestants: list[Contestant], rounds: int) -> list[Row]:
    """Return what contestants take when they take turns."""
    batch = unit_batch(one)
    times = 2 if one.name == "mobilenet_v2" else 1
    runs = {f"{c.group}: {c.name}": (c.run, rounds_of(c, rounds)) for c in contestants}
    plain_batch = plain(one.model, one.images[:1], batch, times)
    found = in_units(runs, (one.model, plain_batch, batch * times))
    rows: list[Row] = []
    for contestant, took in zip(contestants, found.values(), strict=True):
        # What a forward and a backward pass need is measured beside those who make them.
        base = [row.units for row in rows if (row.group, row.name) == (contestant.group, BASE)]
        rows.append(_row(one, contestant, took, sum(base)))
    return rows


def _row(one: Subject, contestant: Contestant, took: list[Took], base: float) -> Row:
    units = [run.units / contestant.images for run in took]
    return Row(
        one.name,
        torch.get_num_threads(),
        contestant.group,
        contestant.name,
        contestant.ours,
        statistics.median(units),
        min(units),
        max(units),
        contestant.needed + base,
        statistics.median(run.inside / run.units for run in took),
        statistics.median(run.seconds for run in took) / contestant.images,
        profile(one.model, contestant.run) if contestant.ours else {},
    )


def table(rows: list[Row]) -> str:
    """Return rows as Markdown, the profile in its last column."""
    lines = [
        "| model | work | contestant | units | (low - high) | needed | ratio | inside model "
        "| where the time goes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = f"**{row.name}**" if row.ours else row.name
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        needed = f"{row.needed:.2f}" if row.needed else ""
        parts = sorted(row.profile.items(), key=lambda part: -part[1])
        shares = ", ".join(f"{part} {share:.1%}" for part, share in parts if share >= 0.0005)
        lines.append(
            f"| {row.model} | {row.group} | {name} | {row.units:.3f} | {row.low:.2f} - "
            f"{row.high:.2f} | {needed} | {ratio} | {row.inside:.1%} | {shares} |"
        )
    return "\n".join(lines)
