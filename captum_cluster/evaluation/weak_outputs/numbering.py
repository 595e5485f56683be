"""What masks are called, and which number in them is which label."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from captum_cluster._checks import describe, expected
from captum_cluster._files import write_whole
from captum_cluster.evaluation.weak_outputs.label_masks import UNCERTAIN
from captum_cluster.evaluation.weak_outputs.naming import StopError, named_file

FOLDER, TABLE = "masks", "classes.json"
MOST = 254
"""A PNG holds the numbers 0 to 255; 0 is the background, 255 uncertain."""

IGNORED = 255


def mask_file(directory: Path, name: str) -> Path:
    """Return where the mask of a scene is in the directory of a run.

    Raises:
        StopError: The name cannot be a file's below the folder.

    Example:
        >>> mask_file(Path("out"), "cats/1").as_posix()
        'out/masks/cats/1.png'
    """
    return named_file(directory / FOLDER, name)


def is_whole(file: Path) -> bool:
    """Return whether all data of a PNG file are there, by its own checksums.

    One that somebody else has written over it is whole as well. Pillow would open a PNG file
    without its end.

    Example:
        >>> is_whole(Path("nowhere.png"))
        False
    """
    try:
        with Image.open(file) as image:
            image.verify()
    except Exception:  # Pillow lets anything out of a damaged file, SyntaxError included
        return False
    return True


class Numbers:
    """The numbers of labels in masks.

    Up to 254 labels are numbered as they are: label l is l + 1. Of more labels those that were
    found are numbered, in the order in which they came.

    Args:
        names: The names of the L labels.

    Example:
        >>> numbers = Numbers([f"class {label}" for label in range(1000)])
        >>> numbers.add([701, 3]), numbers.add([3])
        (True, False)
        >>> numbers.of(torch.tensor([[0, 4, 702, -1]]))
        tensor([[  0,   2,   1, 255]])
        >>> numbers.table()
        {'classes': ['class 701', 'class 3'], 'labels': [701, 3], 'uncertain': 255}
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.labels = list(range(len(names))) if len(names) <= MOST else []

    def add(self, labels: Iterable[int]) -> bool:
        """Give labels a number that have none, and return whether there were such.

        Raises:
            StopError: There is no number left.
        """
        new = [label for label in labels if label not in self.labels]
        if len(self.labels) + len(new) > MOST:
            what = f"at most {MOST} in PNG masks (in COCO's format any number)"
            got = f"{self.names[new[-1]]!r} beside {MOST} others"
            raise StopError(expected("the labels found", what, got))
        self.labels += new
        return bool(new)

    def of(self, mask: Tensor) -> Tensor:
        """Return a mask (H,W) of 0, label l as l + 1, and ``UNCERTAIN`` in these numbers."""
        table = torch.zeros(len(self.names) + 2, dtype=torch.int64)
        table[torch.tensor(self.labels, dtype=torch.int64) + 1] = torch.arange(
            1, len(self.labels) + 1
        )
        table[UNCERTAIN] = IGNORED
        return table[mask]

    def table(self) -> dict[str, Any]:
        """Return the names and the labels of the numbers from 1 on."""
        return {
            "classes": [self.names[label] for label in self.labels],
            "labels": list(self.labels),
            "uncertain": IGNORED,
        }

    def save(self, directory: Path) -> None:
        """Write the table."""
        text = json.dumps(self.table(), indent=1, ensure_ascii=False) + "\n"
        write_whole(directory / TABLE, lambda draft: draft.write_text(text, encoding="utf-8"))


def read_table(directory: Path) -> dict[str, Any]:
    """Return what ``Numbers.save`` wrote.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged.
    """
    path = directory / TABLE
    if not path.is_file():
        what = "one that captum-cluster masks wrote PNG files to"
        raise FileNotFoundError(expected("the directory", what, f"{str(directory)!r}"))
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: list(found[name]) for name in ("classes", "labels")}
    except (ValueError, KeyError, TypeError) as error:
        what = "a table of classes"
        raise ValueError(expected(str(path), what, describe(error))) from error
