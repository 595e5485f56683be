"""Runs a host's test files once, with one method in the place of the host's classes.

A process of its own, since names are exchanged before modules are imported, and since generated
tests change their arguments as they run: `python -m tests.peers.one_method HOST METHOD CHECKOUT
OUTCOMES`.
"""

import contextlib
import io
import json
import os
import re
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.peers.exchange import BUILT, HOSTS, exchange
from tests.peers.named import not_run


@dataclass(frozen=True)
class Outcome:
    """What came of a test, or of a file.

    Attributes:
        test: Its name, from the checkout's folder on.
        outcome: "passed", "failed", "skipped", "not run"; of a file "empty" or "unreadable".
        message: Of the error, its first line; or why it was skipped.
        touched: Whether a class of the host's was built that ours stands for.
    """

    test: str
    outcome: str
    message: str = ""
    touched: bool = True


class Recorder:
    """A pytest plugin that chooses the tests about a method's classes, and keeps what they give."""

    def __init__(self, host: str, method: str, classes: dict[str, type]) -> None:
        self.method = method
        self.classes = classes
        names = "|".join([*classes, *HOSTS[host].composed])
        self.generated = re.compile(rf"_({names})(NoiseTunnel)?$")
        self.outcomes: list[Outcome] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if self._concerns(item)]
        slow = [item for item in chosen if not_run(item.nodeid, self.method)]
        self.outcomes += [Outcome(item.nodeid, "not run") for item in slow]
        items[:] = [item for item in chosen if item not in slow]

    def _concerns(self, item: Any) -> bool:
        """Whether a test is about a class that was exchanged, as far as that can be seen."""
        if hasattr(item.module, "parse_test_config"):  # one of Captum's generated tests
            return bool(self.generated.search(item.name))
        given = item.callspec.params.values() if hasattr(item, "callspec") else ()
        classes = [value for value in given if isinstance(value, type)]
        return not classes or any(one in self.classes.values() for one in classes)

    def pytest_runtest_setup(self) -> None:
        BUILT.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Any:
        report = yield
        if report.when == "call" or report.outcome != "passed":
            message = _first_line(report)
            self.outcomes.append(Outcome(item.nodeid, report.outcome, message, bool(BUILT)))
        return report

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            text = str(report.longrepr).strip().splitlines()
            self.outcomes.append(Outcome(report.nodeid, "unreadable", text[-1]))


def _first_line(report: Any) -> str:
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (str(crash.message) if crash else str(report.longrepr or "")).splitlines()
    return lines[0] if lines else ""


def files_about(host: str, method: str, checkout: Path) -> list[str]:
    """Test files of a checkout that name an exchanged class, or generate tests for all classes."""
    names = [*HOSTS[host].names(method), *HOSTS[host].composed, "test_config"]
    about = re.compile(rf"\b({'|'.join(names)})\b")
    found = sorted((checkout / "tests").rglob("test_*.py"))
    return [str(path.relative_to(checkout)) for path in found if about.search(path.read_text())]


def run(host: str, method: str, checkout: Path) -> list[Outcome]:
    """Run the files about a method's classes, in the folder of the checkout."""
    files = files_about(host, method, checkout)
    recorder = Recorder(host, method, exchange(host, method))
    os.chdir(checkout)  # the tests open files beside them
    with tempfile.TemporaryDirectory() as folder:
        # The checkout's own settings of pytest may name plugins that are not there.
        settings = Path(folder) / "pytest.ini"
        settings.write_text("[pytest]\n")
        options = ["--import-mode=importlib", "-p", "no:cacheprovider", "-q", "--tb=short"]
        where = ["-c", str(settings), "--rootdir", str(checkout)]
        with contextlib.redirect_stdout(io.StringIO()):
            pytest.main([*options, *where, *files], plugins=[recorder])
    seen = {outcome.test.split("::")[0] for outcome in recorder.outcomes}
    return recorder.outcomes + [Outcome(file, "empty") for file in files if file not in seen]


def main(host: str, method: str, checkout: str, outcomes: str) -> None:
    found = run(host, method, Path(checkout).resolve())
    Path(outcomes).write_text(json.dumps([asdict(outcome) for outcome in found]))


if __name__ == "__main__":
    main(*sys.argv[1:])
