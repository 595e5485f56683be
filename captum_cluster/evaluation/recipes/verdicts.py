"""Whether a recipe's maps are better than the baseline's, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from captum_cluster.evaluation.reporting.report import Report
from captum_cluster.evaluation.reporting.resampling import Estimate

FEWEST = 20
"""From fewer images than these nothing is concluded."""
_PLACES = (3, 6)


@dataclass(frozen=True)
class Verdict:
    """What is said of one value.

    Attributes:
        title: The value's.
        word: "better", "worse", "no clear difference" or "too few images".
        numbers: The baseline's and the recipe's, and their difference with its 95 % interval.

    Example:
        >>> print(Verdict("mIoU", "better", "0.100 to 0.200 (+0.100, +0.050 to +0.150)"))
        mIoU: better, 0.100 to 0.200 (+0.100, +0.050 to +0.150)
    """

    title: str
    word: str
    numbers: str

    def __str__(self) -> str:
        return f"{self.title}: {self.word}, {self.numbers}"


def verdicts(maps: Report, main: str) -> list[Verdict]:
    """Return of each value whether a method's maps are better than the reference's.

    Better or worse is said where the p of the report, which is corrected for the number of
    methods, is below 0.05: where its table has a mark.

    Args:
        maps: What the maps reach.
        main: The method. Of the reference itself there is nothing to say.
    """
    return [] if main == maps.reference else list(_verdicts(maps, main))


def _verdicts(maps: Report, main: str) -> Iterator[Verdict]:
    for value in maps.values:
        one = maps.estimates.get((main, value.name))
        before = maps.estimates.get((maps.reference, value.name))
        if one is None or before is None or math.isnan(one.difference):
            continue
        word = "no clear difference"
        if min(one.images, before.images) < FEWEST:
            word = "too few images"
        elif maps.mark(main, value.name):
            word = "better" if (one.difference > 0) == value.higher else "worse"
        yield Verdict(value.title, word, _change(before, one))


def _change(before: Estimate, one: Estimate) -> str:
    places = decimals(one.difference, one.difference_low, one.difference_high)
    change = f"{figure(before.estimate, places)} to {figure(one.estimate, places)}"
    ends = span(one.difference_low, one.difference_high, places, sign="+")
    return f"{change} ({figure(one.difference, places, sign='+')}, {ends})"


def decimals(*numbers: float) -> int:
    """Return how many decimals show two digits of the largest of some numbers, from 3 to 6.

    Example:
        >>> decimals(0.5, 0.0004), decimals(0.0004, -0.0003), decimals(0.0, math.nan)
        (3, 5, 3)
    """
    largest = max((abs(one) for one in numbers if math.isfinite(one)), default=0.0)
    fewest, most = _PLACES
    return fewest if largest == 0 else min(most, max(fewest, 1 - math.floor(math.log10(largest))))


def figure(value: float, places: int | None = None, *, sign: str = "-") -> str:
    """Return a number as the pages show it, zero without a sign.

    Args:
        value: The number.
        places: Decimals; None: those of ``decimals``.
        sign: "+" shows both signs.

    Example:
        >>> figure(0.12345), figure(0.00021), figure(-0.0001, 3), figure(0.5, 3, sign="+")
        ('0.123', '0.00021', '0.000', '+0.500')
        >>> figure(math.nan)
        '-'
    """
    if math.isnan(value):
        return "-"
    shown = decimals(value) if places is None else places
    text = f"{value:{sign}.{shown}f}"
    return text if float(text) else text.lstrip("+-")


def span(low: float, high: float, places: int, *, sign: str = "-") -> str:
    """Return an interval as the pages show it.

    Example:
        >>> span(-0.0001, 0.25, 3), span(math.nan, math.nan, 3)
        ('0.000 to 0.250', '-')
    """
    ends = [figure(one, places, sign=sign) for one in (low, high)]
    return "-" if math.isnan(low) else " to ".join(ends)
