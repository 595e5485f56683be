"""Which images of a dataset a run is about, and how it gets at each."""

from __future__ import annotations

from typing import Any

from captum_cluster._checks import check_integer, describe, expected
from captum_cluster.data import Scene


def chosen_positions(dataset: Any, limit: int | None) -> list[int]:
    """Return the indices of the images of a run, evenly spread over the dataset.

    Args:
        dataset: Has a length, and gives a ``Scene`` for each index.
        limit: Number of images, at least 1; None: all.

    Raises:
        TypeError: It is no dataset, or ``limit`` no integer.
        ValueError: It is empty, or ``limit`` below 1.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> chosen_positions(DigitScenes(10), 3)
        [0, 3, 6]
    """
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        what = "a dataset with a length that gives a Scene for each index"
        raise TypeError(expected("dataset", what, describe(dataset)))
    length = len(dataset)
    if not length:
        raise ValueError(expected("dataset", "one of at least one image", "an empty one"))
    count = length if limit is None else min(check_integer("limit", limit, 1), length)
    return [number * length // count for number in range(count)]


def scene_at(dataset: Any, position: int) -> Scene:
    """Return a scene of a dataset.

    Raises:
        TypeError: The dataset gives something else.
        OSError: Its picture cannot be read.
        ValueError: It is damaged.
    """
    scene = dataset[position]
    if not isinstance(scene, Scene):
        what = "to give a captum_cluster.data.Scene for each index"
        raise TypeError(expected("dataset", what, describe(scene)))
    return scene
