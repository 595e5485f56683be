"""What all datasets of scenes have in common."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from captum_cluster._checks import check_integer, expected
from captum_cluster.data.picture_file import PictureFile
from captum_cluster.data.scene import Scene


class SceneDataset(Dataset[Scene]):
    """Scenes in a fixed order, each read or made when it is asked for.

    A subclass sets ``classes`` and defines ``__len__`` and ``_scene``. The names of its scenes are
    unique, and relative paths that can name files. ``_labels`` is worth defining where labels are
    known without reading the picture, ``_picture`` where ``files`` does not list the pictures.

    Attributes:
        classes: The names of the labels: scene.labels[i] tells whether ``classes[i]`` is present.
        memos: Names of attributes that only keep what was found out before: a run of ``evaluate``
            that goes on compares all others (see ``facts``) with those it began with.

    Example:
        >>> import torch
        >>> class Blank(SceneDataset):
        ...     classes = ["nothing"]
        ...     def __len__(self):
        ...         return 2
        ...     def _scene(self, index):
        ...         return Scene(torch.zeros(3, 4, 4), torch.tensor([True]), name=f"blank-{index}")
        >>> Blank()[-1].name, [scene.name for scene in Blank()], Blank().labels_of(0)
        ('blank-1', ['blank-0', 'blank-1'], [0])
    """

    classes: list[str]
    memos: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return all that the scenes depend on: files, labels, options."""
        return {name: one for name, one in vars(self).items() if name not in self.memos}

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Scene:
        """Return a scene.

        Raises:
            ValueError: Its files are damaged or do not belong together; the message names them.
            OSError: They cannot be read.
            IndexError: ``index`` is outside ``range(-len(self), len(self))``.
        """
        return self._scene(position(index, len(self)))

    def labels_of(self, index: int) -> list[int]:
        """Return the labels present in a scene, where possible without reading its picture."""
        return self._labels(position(index, len(self)))

    def picture_of(self, index: int) -> PictureFile | None:
        """Return the file of a scene's picture, None for a scene that is in no file."""
        return self._picture(position(index, len(self)))

    def _scene(self, index: int) -> Scene:
        raise NotImplementedError

    def _labels(self, index: int) -> list[int]:
        return self._scene(index).present

    def _picture(self, index: int) -> PictureFile | None:
        files = getattr(self, "files", None)
        if files is None:
            return None
        file = Path(files[index])
        return PictureFile(file, Path(getattr(self, "root", file.parent)))


def position(index: Any, length: int) -> int:
    """Return an index as a number from 0 to ``length - 1``; negative ones count from the end.

    Raises:
        TypeError: ``index`` is no integer.
        IndexError: It is outside ``range(-length, length)``.

    Example:
        >>> position(-1, 5)
        4
    """
    if isinstance(index, bool) or not hasattr(index, "__index__"):
        check_integer("index", index, 0)  # raises the package's TypeError
    number = operator.index(index)
    if not -length <= number < length:
        what = f"within the {length} scenes" if length else "asked for only where there are scenes"
        raise IndexError(expected("index", what, number))
    return number % length
