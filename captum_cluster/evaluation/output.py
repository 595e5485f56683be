"""Results written so that a failed run leaves nothing half-written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from captum_cluster._checks import describe, expected


def check_directory(output: str | os.PathLike[str]) -> Path:
    """Return ``output`` as a path where a directory is, or can be made.

    Raises:
        TypeError: It is no path.
        NotADirectoryError: It, or a part of the way to it, is a file.
        PermissionError: It cannot be written to.
    """
    if not isinstance(output, (str, os.PathLike)):
        raise TypeError(expected("output", "the path of a directory", describe(output)))
    path = Path(output)
    nearest = path
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise NotADirectoryError(expected("output", "a directory", f"the file {str(nearest)!r}"))
    if not os.access(nearest, os.W_OK):
        what = "a directory that can be written to"
        raise PermissionError(expected("output", what, repr(str(path))))
    return path


@contextmanager
def staged(output: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary directory whose files are moved to ``output`` at the end, all or none.

    Raises:
        IsADirectoryError: A directory stands where a file should go.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with staged(f"{folder}/out") as stage:
        ...         _ = (stage / "a.txt").write_text("a")
        ...     sorted(path.name for path in Path(folder).rglob("*"))
        ['a.txt', 'out']
    """
    directory = check_directory(output)
    new = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".partial-", dir=directory))
    try:
        yield stage
        files = sorted(stage.iterdir())
        for file in files:
            if (directory / file.name).is_dir():
                got = f"the directory {str(directory / file.name)!r}"
                raise IsADirectoryError(expected("output", "free for a file", got))
        for file in files:
            os.replace(file, directory / file.name)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        for path in new:
            with suppress(OSError):  # somebody else may have put something there meanwhile
                path.rmdir()
        raise
    stage.rmdir()
