"""Tables of annotations: CSV files with a header."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from captum_cluster._checks import expected


@dataclass(frozen=True)
class Row:
    """One line of a table; every message of its methods names file and line."""

    file: Path
    line: int
    cells: dict[str, str]

    @property
    def place(self) -> str:
        """The file and the line, for messages."""
        return f"{str(self.file)!r}, line {self.line}"

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def integer(self, column: str, high: int | None = None) -> int:
        """Return a cell as an integer from 0 to ``high``.

        Raises:
            ValueError: It is none.
        """
        text = self.cells[column]
        if text.isascii() and text.isdigit() and (high is None or int(text) <= high):
            return int(text)
        what = "an integer of at least 0" if high is None else f"an integer from 0 to {high}"
        raise ValueError(expected(column, what, f"{text!r} ({self.place})"))

    def number(self, column: str) -> float:
        """Return a cell as a finite number.

        Raises:
            ValueError: It is none.
        """
        try:
            number = float(self.cells[column])
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
        got = f"{self.cells[column]!r} ({self.place})"
        raise ValueError(expected(column, "a finite number", got))


def read_table(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    r"""Yield the rows of a CSV file whose header names at least ``columns``, without empty lines.

    Raises:
        ValueError: The file is no text, a column is missing, or a row is too short.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "boxes.csv")
        ...     _ = path.write_text("file,class_index\na.png,3\n")
        ...     [(row["file"], row.integer("class_index")) for row in read_table(path, ["file"])]
        [('a.png', 3)]
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                what = f"a CSV file with the columns {', '.join(columns)}"
                got = f"{str(path)!r} without {', '.join(missing)}"
                raise ValueError(expected("the table", what, got))
            for cells in reader:
                yield _row(path, reader.line_num, cells, columns)
    except (UnicodeDecodeError, csv.Error) as error:
        got = f"{str(path)!r}: {error}"
        raise ValueError(expected("the table", "a CSV file in UTF-8", got)) from error


def _row(path: Path, line: int, cells: dict[str, str | None], columns: Sequence[str]) -> Row:
    row = Row(path, line, {name: (value or "").strip() for name, value in _named(cells)})
    if any(cells[name] is None for name in columns):
        what = f"to have {len(columns)} cells ({', '.join(columns)})"
        raise ValueError(expected("each row", what, f"fewer in {row.place}"))
    return row


def _named(cells: dict[str, str | None]) -> Iterator[tuple[str, str | None]]:
    # DictReader keeps surplus cells as a list under None.
    return ((name, value) for name, value in cells.items() if isinstance(name, str))
