"""What the pages of all trainings have in common: figures, tables, files."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from captum_cluster.evaluation.output import staged

_PAGE_DPI = 96


@dataclass(frozen=True)
class Picture:
    """A figure of a report.

    Attributes:
        title: Above it.
        caption: Below it.
        file: The PNG, from the report's directory.
    """

    title: str
    caption: str
    file: str


def save_texts(texts: Mapping[str, str], directory: Path) -> Path:
    """Write a report's files, all or none, and return the path of its page."""
    with staged(directory) as stage:
        for name, text in texts.items():
            (stage / name).write_bytes(text.encode("utf-8", "backslashreplace"))
    return directory / "report.html"


def head_lines(title: str, facts: Sequence[tuple[str, str]]) -> list[str]:
    """Return the first lines of a report as Markdown.

    Example:
        >>> head_lines("Sub-categories", [("Seed", "0")])
        ['# Sub-categories', '', '- Seed: 0']
    """
    return [f"# {title}", "", *(f"- {name}: {text}" for name, text in facts)]


def table_lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table of Markdown.

    Example:
        >>> table_lines(["network", "mIoU"], [["ours", "0.5"]])[2]
        '| ours | 0.5 |'
    """
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(one.replace("|", "\\|") for one in line) + " |" for line in lines]


def shown(pictures: Sequence[Picture]) -> list[str]:
    """Return the lines of Markdown that show figures.

    Example:
        >>> shown([Picture("Title", "Caption.", "figures/one.png")])[3]
        '![Title](figures/one.png)'
    """
    lines = []
    for one in pictures:
        lines += ["", f"## {one.title}", "", f"![{one.title}]({one.file})", "", one.caption]
    return lines


def embedded(pictures: Sequence[Picture], directory: Path) -> list[tuple[Picture, str, int]]:
    """Return figures with their data URI and width on a page."""
    return [(one, _uri(directory / one.file), _width(directory / one.file)) for one in pictures]


def _width(path: Path) -> int:
    """Return how wide a figure is in points of a page, of which there are 96 to the inch."""
    with Image.open(path) as image:
        dots: float = image.info.get("dpi", (_PAGE_DPI,))[0]
        width: float = image.width * _PAGE_DPI / dots
        return round(width)


def _uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
