"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_whole(file: Path, write: Callable[[Path], object]) -> Path:
    """Write a file beside its place, move it there when it is complete, and return its path.

    The move is one step for the file system: whoever reads the file sees all of it, or what was
    there before, also where this process is killed; and two that write it at once do not mix.

    Args:
        file: Its folder exists; a file that is there is replaced.
        write: Called with the path of the draft, which has the suffix of ``file``.

    Raises:
        OSError: The file cannot be written.
        Exception: What ``write`` raises; the draft is gone then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = write_whole(Path(folder, "a.txt"), lambda draft: draft.write_text("all"))
        ...     file.name, file.read_text(), len(list(Path(folder).iterdir()))
        ('a.txt', 'all', 1)
    """
    # Not tempfile: its files are readable by their owner only, and stay so when moved.
    draft = file.with_name(f".{uuid.uuid4().hex}{file.suffix}")
    try:
        write(draft)
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    return file
