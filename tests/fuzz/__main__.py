"""Draw cases until a broken promise is found, and go on after it.

    python -m tests.fuzz --cases 100000 [--seed 1] [--json FILE]

Cases are drawn in rounds. A round in which a promise is broken ends with the smallest case that
breaks it, printed as what it takes to make it; the next round draws other cases. The exit status
is 1 if there was one. The same seed draws the same cases.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.contract import check
from tests.fuzz.strategies import cases

ROUND = 500
PHASES = (Phase.generate, Phase.shrink)


class Tally:
    """Counts what came of cases; those of shrinking apart.

    Attributes:
        outcomes: Of the cases drawn: "explained", "refused", "broken".
        methods: Of each method the cases drawn.
        discontinuous: Of each method and comparison how often it said nothing.
        failures: Of each round with a broken promise the error and the smallest case.
    """

    def __init__(self):
        self.outcomes, self.methods, self.discontinuous = Counter(), Counter(), Counter()
        self.failures = []

    @property
    def cases(self):
        """Number of cases drawn."""
        return self.outcomes.total()

    def add(self, case, found):
        """Count one case that keeps the contract."""
        self.methods[case.method] += 1
        self.outcomes["explained" if found.refused is None else "refused"] += 1
        for name in found.discontinuous:
            self.discontinuous[f"{case.method}: {name}"] += 1

    def as_dict(self):
        """Return everything as plain values."""
        return {
            "cases": self.cases,
            "outcomes": dict(self.outcomes),
            "failures": self.failures,
            "methods": dict(sorted(self.methods.items())),
            "discontinuous": dict(self.discontinuous.most_common()),
        }


def run_round(number, count, tally):
    """Draw ``count`` cases with a seed, and shrink the first that breaks a promise."""
    smallest = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=PHASES,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def drawn(case):
        try:
            found = check(case)
        except Exception:
            smallest.append(case)  # the last one is the smallest
            raise
        if not smallest:
            tally.add(case, found)

    try:
        drawn()
    except Exception as error:
        if not smallest:
            raise
        tally.methods[smallest[0].method] += 1
        tally.outcomes["broken"] += 1
        what, shown = f"{type(error).__name__}: {error}", f"{smallest[-1]}"
        tally.failures.append({"error": what, "case": shown})
        print(f"\n{what}\n    {shown}", flush=True)


def run(count, first, report=lambda tally: None):
    """Return the tally of at least ``count`` cases; ``report`` is called after each round."""
    tally, number = Tally(), 0
    while tally.cases < count:
        run_round(first * 10**6 + number, min(ROUND, count - tally.cases), tally)
        number += 1
        report(tally)
    return tally


def main():
    """Read the arguments, and run."""
    description = "Draw cases, and check of each what every method promises in both faces."
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=description)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="also write the counts to this file, after each round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()

    def report(tally):
        seconds = time.perf_counter() - started
        found = {"torch": torch.__version__, "seed": options.seed, "seconds": round(seconds)}
        if options.json:
            text = json.dumps({**found, **tally.as_dict()}, indent=2)
            Path(options.json).write_text(text + "\n")

    tally = run(options.cases, options.seed, report)
    print(f"\n{tally.cases} cases in {time.perf_counter() - started:.0f} s: {dict(tally.outcomes)}")
    print(f"not continuous: {dict(tally.discontinuous.most_common())}")
    sys.exit(bool(tally.failures))


if __name__ == "__main__":
    main()
