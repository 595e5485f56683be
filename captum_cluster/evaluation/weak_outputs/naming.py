"""Which files are called after scenes, and what no run can go on after."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from captum_cluster._checks import expected


class StopError(ValueError):
    """What no image of the run can go on after."""


def named_file(folder: Path, name: str) -> Path:
    """Return the PNG file of a scene below a folder.

    Raises:
        StopError: The name cannot be a file's below the folder.

    Example:
        >>> named_file(Path("figures"), "cats/1").as_posix()
        'figures/cats/1.png'
    """
    path = PurePosixPath(name)
    # By hand: PurePosixPath leaves out "." and empty parts.
    if path.is_absolute() or {"", ".", ".."} & set(name.split("/")) or "\\" in name:
        what = "a relative path, which can name the scene's mask"
        raise StopError(expected("the name of a scene", what, repr(name)))
    return folder / f"{name}.png"
