"""The hosts' own test suites, with our classes in the place of theirs.

    python -m tests.peers [--captum CHECKOUT] [--grad-cam CHECKOUT] [--methods cam,rise] [--json F]

A checkout is a clone of the host's repository, at the release that is installed; see README.md.
The command fails where a test fails that `named.py` does not list, where a listed one passes or is
not there, and where one fails with the host's own classes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.peers.exchange import METHODS
from tests.peers.judging import Verdict, judge
from tests.peers.one_method import Outcome

ROOT = Path(__file__).parents[2]
KINDS = ("passed", "named", "skipped", "wrong")


def outcomes_of(host: str, method: str, checkout: Path) -> list[Outcome]:
    """Run a host's tests with a method, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "outcomes.json"
        command = [sys.executable, "-B", "-m", "tests.peers.one_method"]
        arguments = [host, method, str(checkout), str(answer)]
        done = subprocess.run(
            command + arguments, cwd=ROOT, check=False, capture_output=True, text=True
        )
        if not answer.is_file():
            last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            return [Outcome(str(checkout), "unreadable", f"the process ended with {last}")]
        return [Outcome(**outcome) for outcome in json.loads(answer.read_text())]


def verdicts_of(host: str, checkout: Path, methods: list[str]) -> Iterator[Verdict]:
    """Judge a host's tests with each method, and print it as it comes."""
    for method in methods:
        found = judge(method, outcomes_of(host, method, checkout))
        print_verdicts(host, found)
        yield from found


def print_verdicts(host: str, verdicts: list[Verdict]) -> None:
    """Print each test that concerns our classes, and how many passed."""
    counts = Counter(one.kind for one in verdicts)
    shown = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    print(f"\n{host}, {verdicts[0].method if verdicts else 'nothing'}: {shown}", flush=True)
    for one in verdicts:
        if one.kind != "untouched":
            print(f"  {one.kind:8}{one.test}{': ' + one.why if one.why else ''}", flush=True)


def read_methods(text: str) -> list[str]:
    """Read names of methods, separated by commas."""
    names = text.split(",")
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not among {', '.join(METHODS)}")
    return names


def read_checkout(text: str) -> Path:
    """Read the folder of a checkout."""
    if not (Path(text) / "tests").is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} has no folder tests")
    return Path(text).resolve()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.peers",
        description="Run the hosts' own tests with our classes in the place of theirs.",
    )
    parser.add_argument("--captum", type=read_checkout, help="a clone of Captum's repository")
    parser.add_argument("--grad-cam", type=read_checkout, help="a clone of pytorch-grad-cam's")
    parser.add_argument("--methods", type=read_methods, default=list(METHODS))
    parser.add_argument("--json", help="also write every verdict to this file")
    options = parser.parse_args()
    checkouts = {"captum": options.captum, "grad-cam": options.grad_cam}
    if not any(checkouts.values()):
        parser.error("give --captum, --grad-cam or both")
    found = {
        host: list(verdicts_of(host, checkout, options.methods))
        for host, checkout in checkouts.items()
        if checkout
    }
    if options.json:
        plain = {host: [asdict(one) for one in verdicts] for host, verdicts in found.items()}
        Path(options.json).write_text(json.dumps(plain, indent=2) + "\n")
    counts = Counter(one.kind for verdicts in found.values() for one in verdicts)
    print("\nin all: " + ", ".join(f"{counts[kind]} {kind}" for kind in KINDS))
    raise SystemExit(1 if counts["wrong"] else 0)


if __name__ == "__main__":
    main()
