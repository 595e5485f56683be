"""Which pictures lie in a folder, in which order, and what they are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from captum_cluster._checks import describe, expected

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
"""What a picture's file ends in: torchvision's ``IMG_EXTENSIONS``, and GIF. A file that is named
itself may end in anything that Pillow reads."""


def existing_folder(name: str, path: object) -> Path:
    """Return ``path`` if it is a folder.

    Raises:
        TypeError: ``path`` is neither a string nor a path.
        FileNotFoundError: There is nothing.
        NotADirectoryError: It is a file.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(expected(name, "the path of a folder", describe(path)))
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(expected(name, "an existing folder", repr(str(folder))))
    if not folder.is_dir():
        raise NotADirectoryError(expected(name, "a folder", f"the file {str(folder)!r}"))
    return folder


def existing_file(name: str, path: object) -> Path:
    """Return ``path`` if it is a file.

    Raises:
        TypeError: ``path`` is neither a string nor a path.
        FileNotFoundError: There is nothing.
        IsADirectoryError: It is a folder.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(expected(name, "the path of a file", describe(path)))
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(expected(name, "an existing file", repr(str(file))))
    if file.is_dir():
        raise IsADirectoryError(expected(name, "a file", f"the folder {str(file)!r}"))
    return file


def image_files(folder: Path) -> list[Path]:
    """Return the pictures in a folder and all folders in it, by suffix, ordered by their path."""
    found = [
        Path(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    ]
    return sorted(found, key=lambda file: file.relative_to(folder).as_posix())


def some_images(name: str, folder: Path) -> list[Path]:
    """Return ``image_files`` of a folder that holds some.

    Raises:
        ValueError: It holds none.
    """
    files = image_files(folder)
    if not files:
        what = f"a folder with pictures ({', '.join(sorted(SUFFIXES))})"
        raise ValueError(expected(name, what, f"{str(folder)!r} without any"))
    return files


def unique_names(files: Sequence[Path], root: Path) -> list[str]:
    """Return each file's path below ``root`` without suffix; with it where two would be the same.

    Example:
        >>> unique_names([Path("r/a/1.png"), Path("r/b.png"), Path("r/b.jpg")], Path("r"))
        ['a/1', 'b.png', 'b.jpg']
    """
    return names_of([file.relative_to(root) for file in files])


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return each of different paths without suffix; with it where two would be the same.

    Example:
        >>> names_of([Path("b.png"), Path("b.jpg"), Path("b.png.gif")])
        ['b.png', 'b.jpg', 'b.png.gif']
    """
    whole: set[str] = set()
    while True:
        short = [path.with_suffix("").as_posix() for path in paths]
        names = [
            path.as_posix() if name in whole else name
            for name, path in zip(short, paths, strict=True)
        ]
        counts = Counter(names)
        twice = {s for s, name in zip(short, names, strict=True) if counts[name] > 1}
        if twice <= whole:
            return names
        whole |= twice
