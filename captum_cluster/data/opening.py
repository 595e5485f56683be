"""A dataset by one line of text, the form of the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from captum_cluster._checks import describe, expected
from captum_cluster.data.coco import CocoScenes
from captum_cluster.data.cub import Cub200
from captum_cluster.data.digit_scenes import DigitScenes
from captum_cluster.data.grids import Grids
from captum_cluster.data.image_folder import ImageFolder
from captum_cluster.data.imagenet_boxes import ImageNetBoxes
from captum_cluster.data.mask_folder import MaskFolder
from captum_cluster.data.scene_dataset import SceneDataset
from captum_cluster.data.tagged_folder import TaggedFolder
from captum_cluster.data.voc import SbdScenes, VocScenes

N_GRIDS = 100


@dataclass(frozen=True)
class _Kind:
    """How a kind of dataset is written, and what opens it.

    ``options`` tells for each option that text can set how its value is read.
    """

    form: str
    parts: tuple[int, int]
    make: Callable[..., SceneDataset]
    options: dict[str, Callable[[str], Any]]


def open_dataset(spec: str, **options: Any) -> SceneDataset:
    """Return the dataset that a line of text names.

    =====================================  =====================================================
    ``folder:ROOT`` or                     ``ImageFolder`` (``num_labels``)
    ``folder:ROOT,BOXES.csv``
    ``imagenet-boxes:ROOT``                ``ImageNetBoxes`` (``split``)
    ``voc:ROOT``                           ``VocScenes`` (``year``, ``image_set``, ``task``)
    ``sbd:ROOT``                           ``SbdScenes`` (``image_set``)
    ``coco:IMAGES,INSTANCES.json``         ``CocoScenes``
    ``masks:IMAGES,MASKS``                 ``MaskFolder`` (``ignore_index``, ``things`` as 1-90)
    ``cub:ROOT``                           ``Cub200`` (``split``)
    ``tags:IMAGES,TABLE.csv``              ``TaggedFolder``
    ``grids:ROOT``                         ``Grids`` of ``imagenet-boxes:ROOT`` (``length``: 100,
                                           ``seed``, ``grid``, ``tile``)
    ``digit-scenes:LENGTH``                ``DigitScenes`` of the test digits (``split``, ``size``,
                                           ``max_digits``, ``seed``)
    =====================================  =====================================================

    Args:
        spec: The kind, a colon, its paths; then the options in brackets above, where wanted, as
            ``voc:ROOT,year=2007,image_set=test``. A path holds no comma.
        options: Any keyword of the dataset; they go before those in ``spec``.

    Raises:
        TypeError: ``spec`` is no string, or an argument is of another type.
        OSError: A folder or file is not there.
        ValueError: The kind or an option is unknown, the form is another, or what the dataset says.

    Example:
        >>> dataset = open_dataset("digit-scenes:1000,max_digits=1", seed=3)
        >>> len(dataset), dataset[7].name
        (1000, 'test-3-7')
    """
    if not isinstance(spec, str):
        raise TypeError(expected("data", "text of the form KIND:PATH", describe(spec)))
    name, colon, rest = spec.partition(":")
    kind = KINDS.get(name.strip())
    if kind is None or not colon:
        forms = ", ".join(kind.form for kind in KINDS.values())
        raise ValueError(expected("data", f"one of {forms}", repr(spec)))
    parts = [part.strip() for part in rest.split(",")]
    paths = [part for part in parts if not _is_option(part)]
    if not all(paths) or not kind.parts[0] <= len(paths) <= kind.parts[1]:
        raise ValueError(expected("data", f"of the form {kind.form}", repr(spec)))
    written = dict(_option(part, kind) for part in parts if _is_option(part))
    return kind.make(*paths, **(written | options))


def _is_option(part: str) -> bool:
    """Return whether a part is name=value, and no path that happens to hold a sign of equality."""
    name, sign, _ = part.partition("=")
    return bool(sign) and name.isidentifier()


def _option(part: str, kind: _Kind) -> tuple[str, Any]:
    name, _, value = part.partition("=")
    if name not in kind.options:
        known = ", ".join(kind.options) or "no options"
        raise ValueError(expected(f"the options of {kind.form}", f"among {known}", repr(name)))
    try:
        return name, kind.options[name](value)
    except ValueError:
        what = "a range such as 1-90" if kind.options[name] is _span else "an integer"
        raise ValueError(expected(name, what, repr(value))) from None


def _span(text: str) -> range:
    """Return the numbers of a range with its last one, "1-90"."""
    first, _, last = text.partition("-")
    return range(int(first), int(last) + 1)


def _grids(root: str, *, length: int = N_GRIDS, **options: Any) -> Grids:
    return Grids(ImageNetBoxes(root), length, **options)


def _digits(length: str, **options: Any) -> DigitScenes:
    if not length.isascii() or not length.isdigit():
        raise ValueError(expected("data", "of the form digit-scenes:LENGTH", f"{length!r}"))
    return DigitScenes(int(length), **({"split": "test"} | options))


KINDS = {
    "folder": _Kind("folder:ROOT[,BOXES.csv]", (1, 2), ImageFolder, {"num_labels": int}),
    "imagenet-boxes": _Kind("imagenet-boxes:ROOT", (1, 1), ImageNetBoxes, {"split": str}),
    "voc": _Kind("voc:ROOT", (1, 1), VocScenes, {"year": str, "image_set": str, "task": str}),
    "sbd": _Kind("sbd:ROOT", (1, 1), SbdScenes, {"image_set": str}),
    "coco": _Kind("coco:IMAGES,INSTANCES.json", (2, 2), CocoScenes, {}),
    "masks": _Kind(
        "masks:IMAGES,MASKS", (2, 2), MaskFolder, {"ignore_index": int, "things": _span}
    ),
    "cub": _Kind("cub:ROOT", (1, 1), Cub200, {"split": str}),
    "tags": _Kind("tags:IMAGES,TABLE.csv", (2, 2), TaggedFolder, {}),
    "grids": _Kind(
        "grids:ROOT", (1, 1), _grids, {"length": int, "seed": int, "grid": int, "tile": int}
    ),
    "digit-scenes": _Kind(
        "digit-scenes:LENGTH",
        (1, 1),
        _digits,
        {"split": str, "size": int, "max_digits": int, "seed": int},
    ),
}
