"""What is done with each image of a run, and what all of them come to."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from torch import Tensor

from captum_cluster._checks import check_integer, expected
from captum_cluster.data import PictureFile, Scene
from captum_cluster.evaluation.running.map_making import MODEL, LabelsError, MapMaker, Seen
from captum_cluster.evaluation.running.records import decode_sum
from captum_cluster.evaluation.running.selection import scene_at
from captum_cluster.evaluation.weak_outputs.explaining import Explaining
from captum_cluster.evaluation.weak_outputs.images import picture_of
from captum_cluster.evaluation.weak_outputs.naming import StopError, named_file
from captum_cluster.functional.metrics import Sums
from captum_cluster.visualization import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = "figures"


@dataclass(frozen=True)
class OutputRun:
    """What was made of many images.

    Attributes:
        directory: The ``output``.
        path: The results: a folder, or a file.
        images: Number of images that have a result.
        empty: How many of them have no label to explain.
        failed: Of each of the other images its name, and what went wrong.
    """

    directory: Path
    path: Path
    images: int
    empty: int
    failed: tuple[str, ...]


Made = TypeVar("Made", bound=OutputRun)


@dataclass(frozen=True, eq=False)
class Item:
    """One image of a run.

    Attributes:
        position: Its index in the dataset.
        name: What its results are called.
        scene: As the dataset gives it.
        seen: As the model sees it.
        picture: The file, where it is known.
    """

    position: int
    name: str
    scene: Scene
    seen: Seen
    picture: PictureFile | None


class Task(ABC, Generic[Made]):
    """What is done with each image of a run.

    Args:
        explaining: What is explained.
        directory: Of the results.
        figures: Number of images, the first ones, of which a figure is written.
    """

    kind: str
    """What the results are, which is told of a directory that holds others."""

    def __init__(self, explaining: Explaining, directory: Path, figures: int) -> None:
        self.explaining, self.directory = explaining, directory
        self._shown = frozenset(explaining.positions[: check_integer("figures", figures, 0)])
        self._names: dict[str, int] = {}

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Return all that the results depend on beside what is explained."""

    @abstractmethod
    def compute(self, item: Item, maker: MapMaker) -> tuple[Tensor | None, Any]:
        """Return the maps (P,h,w) of an image and what they make; here the run may go on."""

    @abstractmethod
    def keep(self, item: Item, made: Any) -> dict[str, Any]:
        """Write what was made of an image, and return what is recorded of it."""

    @abstractmethod
    def figure(self, item: Item, maps: Tensor | None, made: Any) -> Figure:
        """Return a figure of an image, its maps, what they make, and the truth."""

    @abstractmethod
    def finish(self, done: Done) -> Made:
        """Write what is of all images together, and return what was made."""

    def begin(self) -> None:
        """Write what has to be there before the first result; all records are recalled."""

    def complete(self, record: Mapping[str, Any]) -> bool:
        """Return whether the files of a record are there, and whole."""
        return True

    def recall(self, record: Mapping[str, Any]) -> None:
        """Take note of what was made before, also of an image that is another one now."""

    def forget(self, name: str) -> None:
        """Remove the files of what was made of an image that has no result any more."""
        self._figure_file(name).unlink(missing_ok=True)

    def stands(self, position: int, record: Mapping[str, Any]) -> bool:
        """Return whether a record is of the image as it is now, and its files are whole."""
        if "error" in record or record["content"] != self.explaining.content(position):
            return False
        shown = position not in self._shown or self._figure_file(record["name"]).is_file()
        return shown and self.complete(record)

    def record(self, position: int, maker: MapMaker) -> dict[str, Any]:
        """Return the record of one image.

        Raises:
            StopError: The run cannot go on.
            LabelsError: The dataset's labels are not the model's.
            Exception: What must not be passed over; see ``MapMaker.failed``.
        """
        name = self.explaining.name_of(position)
        # Before it is read: if it is replaced meanwhile, the next run makes it again.
        content = self.explaining.content(position)
        try:
            scene = scene_at(self.explaining.dataset, position)
        except (OSError, ValueError) as error:
            if self.explaining.strict:
                raise
            return {"image": position, "name": name, "error": str(error)}
        name = scene.name or name
        self.claim(name, position)
        step, entry = MODEL, self.explaining.entry
        try:
            seen = maker.seen(scene)
            maker.worked.add(MODEL)
            step, picture = entry.name, picture_of(self.explaining.dataset, position)
            item = Item(position, name, scene, seen, picture)
            maps, made = self.compute(item, maker)
        except LabelsError:
            raise
        except Exception as error:
            return {"image": position, "name": name, "error": maker.failed(step, scene, error)}
        targets = seen.targets.tolist()
        if targets:
            maker.worked.add(entry.name)
        kept = self.keep(item, made)
        if position in self._shown:
            self._draw(name, self.figure(item, maps, made))
        known = {"image": position, "name": name, "content": content, "targets": targets}
        return {**known, **kept}

    def _draw(self, name: str, figure: Figure) -> None:
        file = self._figure_file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_figure(figure, file)

    def _figure_file(self, name: str) -> Path:
        return named_file(self.directory / FIGURES, name)

    def claim(self, name: str, position: int) -> None:
        """Keep a name for an image: another one of that name would replace its results."""
        first = self._names.setdefault(name, position)
        if first != position:
            got = f"{name!r} for the images {first} and {position}"
            raise StopError(expected("the scenes", "to have different names", got))


@dataclass(frozen=True)
class Done:
    """The records of a run that is done.

    Attributes:
        records: Of the images with a result, in the dataset's order.
        failed: Of each of the others its name, and what went wrong.
    """

    records: list[dict[str, Any]]
    failed: tuple[str, ...]

    @property
    def images(self) -> int:
        """Number of images with a result."""
        return len(self.records)

    @property
    def empty(self) -> int:
        """Number of images without a label to explain."""
        return sum(not record["targets"] for record in self.records)

    def total(self) -> dict[str, Tensor]:
        """Return the sums over all images with ground truth; empty where there is none."""
        total: dict[str, Tensor] = {}
        for record in self.records:
            for name, encoded in record.get("sums", {}).items():
                value = decode_sum(encoded)
                total[name] = total[name] + value if name in total else value
        return total

    def measured(self, compute: Callable[[Sums], Tensor]) -> float | None:
        """Return what the sums come to; None where there is no ground truth."""
        total = self.total()
        found = float(compute(total)) if total else math.nan
        return None if math.isnan(found) else found
