"""What a run has found, line by line in a file, so that nothing is lost when it is broken off."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captum_cluster._checks import expected

try:
    import fcntl
except ImportError:  # Windows: two runs at once in one directory go unnoticed
    fcntl = None  # type: ignore[assignment]

_PATTERN = "records-*.jsonl"


class Records:
    """The records of one process: JSON objects, appended to a file as they come.

    A line is written in one step and handed to the system at once: a process that is killed loses
    at most the line in hand, and half a line is cut off when the file is opened again.

    Args:
        directory: Where the files of all processes are.
        rank: Number of the process.

    Raises:
        ValueError: Another run is writing to the file.
        OSError: The file cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Records(Path(folder), 0) as records:
        ...         records.append({"image": 3})
        ...     list(read_records(Path(folder)))
        [{'image': 3}]
    """

    def __init__(self, directory: Path, rank: int = 0) -> None:
        self._path = directory / f"records-{rank}.jsonl"
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _lock(self._file, directory)
            _cut_half_line(self._path)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record.

        Raises:
            OSError: It cannot be written, for example because the disk is full; the records
                before it are kept.
        """
        line = (json.dumps(record, separators=(",", ":")) + "\n").encode()
        try:
            while line:  # a disk that is nearly full takes a part, and fails at the next
                line = line[os.write(self._file, line) :]
        except OSError as error:
            what = "to take the next result; those before it are kept, the same run goes on there"
            raise OSError(expected(str(self._path), what, error.strerror or error)) from error

    def clear(self) -> None:
        """Remove what is in the file: records of a run that is given up."""
        os.ftruncate(self._file, 0)

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def read_records(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of all processes, one at a time; half a line at a file's end is left out.

    Raises:
        ValueError: A line is no record.
    """
    for path in sorted(directory.glob(_PATTERN)):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                yield _record(line, path, number)


def encode_sums(sums: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return sums as JSON holds them: scalars as numbers, vectors by their entries that are not 0.

    Example:
        >>> import torch
        >>> encode_sums({"pairs": torch.tensor(2), "errors": torch.tensor([0.0, 1.0, 0.0])})
        {'pairs': 2, 'errors': {'size': 3, 'at': [1], 'values': [1.0]}}
    """
    return {name: _encode(value) for name, value in sums.items()}


def decode_sum(encoded: Any) -> Tensor:
    """Return a sum from what ``encode_sums`` made of it.

    Example:
        >>> decode_sum({"size": 3, "at": [1], "values": [2]})
        tensor([0, 2, 0])
    """
    if not isinstance(encoded, Mapping):
        return torch.tensor(encoded)
    values = torch.tensor(encoded["values"] or [0])
    found = values.new_zeros(encoded["size"])
    if encoded["at"]:
        found[encoded["at"]] = values
    return found


def _record(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """Return the record of one line."""
    what = f"to hold one record in line {number}"
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ValueError(expected(str(path), what, repr(line[:40]))) from error
    if not isinstance(found, dict):
        raise ValueError(expected(str(path), what, repr(line[:40])))
    return found


def _lock(file: int, directory: Path) -> None:
    """Take a file for this process alone, until it is closed or the process ends."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        got = f"{str(directory)!r}, where another run is writing"
        raise ValueError(expected("output", "a directory for this run", got)) from error


def _cut_half_line(path: Path) -> None:
    """Remove what a process that was killed has left after the last whole line."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                file.truncate(start + newline + 1)
                return
            end = start
        file.truncate(0)


def _encode(value: Tensor) -> Any:
    if not value.ndim:
        return value.item()
    at = value.nonzero().flatten()
    return {"size": len(value), "at": at.tolist(), "values": value[at].tolist()}
