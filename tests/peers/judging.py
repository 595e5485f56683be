"""Says of each outcome whether it is as it should be: passed, or named with the reason."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.peers.exchange import STOCK
from tests.peers.named import EMPTY, NAMED, Named
from tests.peers.one_method import Outcome

WORST = ("unreadable", "failed", "empty", "not run", "skipped", "passed")


@dataclass(frozen=True)
class Verdict:
    """What is to be said of a test with a method.

    Attributes:
        method: The method.
        test: The test's name.
        kind: "passed", "named", "skipped" by the host itself, "untouched" (no class of ours takes
            part) or "wrong".
        why: The reason, or what is wrong.
    """

    method: str
    test: str
    kind: str
    why: str = ""


def judge(method: str, outcomes: Iterable[Outcome]) -> list[Verdict]:
    """Return the verdict of each test, and of what is listed and not there."""
    found: dict[str, Outcome] = {}
    for outcome in sorted(outcomes, key=lambda one: WORST.index(one.outcome)):
        found.setdefault(outcome.test, outcome)  # a test with subtests has several outcomes
    verdicts = [Verdict(method, one.test, *_kind(method, one)) for one in found.values()]
    return sorted(verdicts, key=lambda one: one.test) + _missing(method, found)


def _kind(method: str, outcome: Outcome) -> tuple[str, str]:
    listed = next((one for one in NAMED if one.covers(outcome.test, method)), None)
    if outcome.outcome == "empty":
        reason = EMPTY.get(outcome.test)
        return ("skipped", reason) if reason else ("wrong", "no test of it is about our classes")
    if outcome.outcome == "skipped":
        return "skipped", outcome.message
    if outcome.outcome == "passed" and not outcome.touched:
        return "untouched", ""
    if outcome.outcome == "passed":
        return ("wrong", f"listed, and passes: {listed.reason}") if listed else ("passed", "")
    return _failed(outcome, listed, method)


def _failed(outcome: Outcome, listed: Named | None, method: str) -> tuple[str, str]:
    if listed is None:
        whose = "with the host's own class: " if method == STOCK else ""
        return "wrong", f"{outcome.outcome} {whose}{outcome.message}"
    if outcome.outcome == "not run":
        return "named", listed.reason
    if not re.search(listed.says, outcome.message):
        return "wrong", f"listed with {listed.says!r}, but says {outcome.message}"
    return "named", listed.reason


def _missing(method: str, found: dict[str, Outcome]) -> list[Verdict]:
    """Return what is listed of a file that was run, but fits none of its tests."""
    files = {test.split("::")[0] for test in found}
    return [
        Verdict(method, one.tests, "wrong", "listed, and there is no such test")
        for one in NAMED
        if method in one.methods
        and one.file in files
        and not any(one.covers(test, method) for test in found)
    ]
