"""What commands with a configuration file have in common: reading the options given to them."""

from __future__ import annotations

import argparse
from typing import Any

from captum_cluster._checks import expected

_NOT_OF_CONFIG = ("config", "output", "run")


def given_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was given on the command line of what a configuration holds.

    Example:
        >>> given_options(argparse.Namespace(config="a.yaml", output="out", limit=3, data=None))
        {'limit': 3}
    """
    return {
        name: value
        for name, value in vars(options).items()
        if name not in _NOT_OF_CONFIG and value not in (None, [])
    }


def names(option: str, text: str) -> list[str]:
    """Return names that are separated by commas.

    Raises:
        ValueError: One is empty.

    Example:
        >>> names("refine", "random-walk, crf")
        ['random-walk', 'crf']
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ValueError(expected(f"--{option}", "names with commas between them", repr(text)))
    return parts


def numbers(option: str, text: str) -> list[float]:
    """Return numbers that are separated by commas.

    Raises:
        ValueError: One is none.

    Example:
        >>> numbers("scales", "0.5,1")
        [0.5, 1.0]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        what = "numbers with commas between them"
        raise ValueError(expected(f"--{option}", what, repr(text))) from None


def add_crf_numbers(group: argparse._ArgumentGroup) -> None:
    """Add the numbers of the fully connected CRF, which ``crf_numbers`` reads."""
    group.add_argument(
        "--crf-gaussian",
        metavar="X,COMPAT",
        help="the CRF's kernel of position: width in pixels, compatibility (3,3)",
    )
    group.add_argument(
        "--crf-bilateral",
        metavar="X,COLOUR,COMPAT",
        help="its kernel of position and colour: both widths, compatibility (80,13,10)",
    )


def crf_numbers(given: dict[str, Any]) -> dict[str, Any]:
    """Return what was given with the numbers of the CRF read.

    Raises:
        ValueError: One is no number.

    Example:
        >>> crf_numbers({"crf_gaussian": "3,1", "limit": 2})
        {'crf_gaussian': [3.0, 1.0], 'limit': 2}
    """
    read = dict(given)
    for name in ("crf_gaussian", "crf_bilateral"):
        if name in given:
            read[name] = numbers(name.replace("_", "-"), given[name])
    return read
