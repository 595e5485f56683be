"""Stopwatches of the benchmarks: contestants that take turns, and one forward pass as the unit.

Machines differ and are busy now and then, so nothing here is a figure by itself: contestants are
measured in turns (A B C A B C ...) in one process, and reported as ratios of medians. The unit is
one plain forward pass of the same model, for one image, as a batch in the fastest layout takes it.
"""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Contestants = Mapping[str, Callable[[], object]]


class Stopwatch:
    """Adds up the time inside a model's forward passes, from now on until ``close``."""

    def __init__(self, model: nn.Module) -> None:
        self.seconds = self._start = 0.0
        self._handles = [
            model.register_forward_pre_hook(lambda *_: self._begin()),
            model.register_forward_hook(lambda *_: self._end()),
        ]

    def lap(self) -> float:
        """Return the seconds since the last lap, and begin the next one."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    def close(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()

    def _begin(self) -> None:
        self._start = time.perf_counter()

    def _end(self) -> None:
        self.seconds += time.perf_counter() - self._start


def interleave(contestants: Contestants, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each contestant in each round, in turns; one more round warms up.

    What contestants write to stderr (progress bars) is dropped.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            with contextlib.redirect_stderr(io.StringIO()):
                start = time.perf_counter()
                run()
                took = time.perf_counter() - start
            if number:
                seconds[name].append(took)
    return seconds


def plain(model: nn.Module, image: Tensor, batch: int = 8, times: int = 1) -> Callable[[], None]:
    """Return a contestant: some forward passes of a batch of an image (1,c,H,W), channels last."""
    images = image.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            for _ in range(times):
                model(images)

    return run


@dataclass(frozen=True)
class Took:
    """What one run took.

    Attributes:
        units: In units of one plain forward pass, measured right before and after it.
        inside: Of these, inside the watched model.
        seconds: By the clock.
    """

    units: float
    inside: float
    seconds: float


def in_units(
    contestants: Mapping[str, tuple[Callable[[], object], int]],
    one: tuple[nn.Module, Callable[[], object], int],
    *,
    at_least: float = 0.3,
) -> dict[str, list[Took]]:
    """Return what each contestant takes in each of its rounds, in units of one plain pass.

    The plain pass is measured before and after each run, so that neither a slow minute nor a
    slow start counts for or against anyone.

    Args:
        contestants: Of each name what runs, and in how many rounds; one more warms up.
        one: The model that they run, one plain batch of it, and the images of that batch.
        at_least: Seconds that a measurement lasts: what is faster runs several times.
    """
    model, plain_batch, images = one
    watch = Stopwatch(model)
    found: dict[str, list[Took]] = {name: [] for name in contestants}
    times: dict[str, int] = {}
    with contextlib.redirect_stderr(io.StringIO()):
        for name, (run, _) in contestants.items():
            times[name] = max(1, math.ceil(at_least / _seconds(run)))
        before = _seconds(plain_batch)
        for number in range(max(rounds for _, rounds in contestants.values())):
            for name, (run, rounds) in contestants.items():
                if number >= rounds:
                    continue
                watch.lap()
                took = _seconds(run, times[name])
                inside = watch.lap() / times[name]
                after = _seconds(plain_batch)
                unit = (before + after) / 2 / images
                found[name].append(Took(took / unit, inside / unit, took))
                before = after
    watch.close()
    return found


def _seconds(run: Callable[[], object], times: int = 1) -> float:
    """Return the seconds that one run takes, as the mean of some."""
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times
