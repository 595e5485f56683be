"""How the mask of each image is made and written, in either format."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from captum_cluster.evaluation.running.map_making import MapMaker
from captum_cluster.evaluation.running.records import encode_sums
from captum_cluster.evaluation.weak_outputs.coco_files import (
    DATASET,
    coco_annotations,
    coco_image,
    save_annotations,
)
from captum_cluster.evaluation.weak_outputs.explaining import Explaining
from captum_cluster.evaluation.weak_outputs.figures import mask_figure
from captum_cluster.evaluation.weak_outputs.label_masks import (
    UNCERTAIN,
    FeaturesOf,
    MaskSettings,
    label_mask,
    mask_sums,
)
from captum_cluster.evaluation.weak_outputs.numbering import (
    FOLDER,
    Numbers,
    is_whole,
    mask_file,
)
from captum_cluster.evaluation.weak_outputs.work import Done, Item, OutputRun, Task
from captum_cluster.functional.metrics import mean_iou_compute
from captum_cluster.weak import save_palette_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "coco")


@dataclass(frozen=True)
class MaskRun(OutputRun):
    """What ``make_masks`` has made; see also ``OutputRun``.

    ``path`` is the folder of the PNG files, or the JSON file in COCO's format. The masks of images
    without a label to explain (``empty``) are all background.

    Attributes:
        mean_iou: mIoU with the background of the true masks, from 0 to 1; None where no true mask
            is known. An uncertain pixel is missed by its true class, and predicted as none.
        uncertain: The share of the pixels of all masks, from 0 to 1, that are uncertain.
    """

    mean_iou: float | None
    uncertain: float


def mask_inputs(
    explaining: Explaining, settings: MaskSettings, item: Item, maker: MapMaker
) -> tuple[Tensor, Tensor | FeaturesOf | None]:
    """Return the maps (P,h,w) of an image, and the features that its pixels are compared by."""
    seen, walk = item.seen, settings.walk_features
    features: Tensor | FeaturesOf | None = None if isinstance(walk, str) else walk
    if not len(seen.targets):
        return seen.image[0, :0], features
    maps = explaining.maps(maker, seen)
    return maps, explaining.features(maker, seen) if walk == "layer" else features


class MaskTask(Task[MaskRun]):
    """Makes a mask of each image.

    Args:
        explaining: What is explained.
        directory: Of the masks.
        settings: How maps become a mask.
        figures: As for ``make_masks``.
    """

    def __init__(
        self, explaining: Explaining, directory: Path, settings: MaskSettings, figures: int = 0
    ) -> None:
        super().__init__(explaining, directory, figures)
        self.settings = settings.on(explaining.device)

    def options(self) -> dict[str, Any]:
        """Return all that the masks depend on beside the maps."""
        return self.settings.facts()

    def compute(self, item: Item, maker: MapMaker) -> tuple[Tensor, Tensor]:
        """Return the maps (P,h,w) and the mask (H,W) of an upright picture."""
        maps, features = mask_inputs(self.explaining, self.settings, item, maker)
        return maps, label_mask(item.scene, maps, item.seen.targets, self.settings, features)

    def keep(self, item: Item, made: Any) -> dict[str, Any]:
        """Write a mask, in the orientation of the stored picture."""
        counts = mask_sums(item.scene, [made], len(self.explaining.classes))
        stored = made if item.picture is None else item.picture.turn().pixels(made)
        uncertain = [int((made == UNCERTAIN).sum()), made.numel()]
        found = {**self.write(item, stored), "uncertain": uncertain}
        return {**found, "sums": encode_sums(counts[0])} if counts else found

    def figure(self, item: Item, maps: Tensor | None, made: Any) -> Figure:
        """Return a figure of the picture, its map, the mask and the true one."""
        assert maps is not None
        return mask_figure(item.scene, maps, {"mask": made}, self.explaining.classes, item.name)

    def finish(self, done: Done) -> MaskRun:
        """Write what is of all masks together, and return what was made."""
        return MaskRun(
            self.directory,
            self.save(done.records),
            done.images,
            done.empty,
            done.failed,
            done.measured(mean_iou_compute),
            _share([record["uncertain"] for record in done.records]),
        )

    @abstractmethod
    def write(self, item: Item, mask: Tensor) -> dict[str, Any]:
        """Write a mask (H,W), and return what is recorded of it."""

    @abstractmethod
    def save(self, records: Sequence[dict[str, Any]]) -> Path:
        """Write what is of all masks together, and return where the masks are."""


def _share(parts: Sequence[Sequence[int]]) -> float:
    """Return which share (part, whole) of all images are together; 0 without any."""
    return sum(part for part, _ in parts) / max(1, sum(whole for _, whole in parts))


class _Pngs(MaskTask):
    """Makes PNG files."""

    kind = "masks as PNG files"

    def __init__(
        self, explaining: Explaining, directory: Path, settings: MaskSettings, figures: int = 0
    ) -> None:
        super().__init__(explaining, directory, settings, figures)
        self.numbers = Numbers(explaining.classes)

    def begin(self) -> None:
        self.numbers.save(self.directory)

    def complete(self, record: Mapping[str, Any]) -> bool:
        return is_whole(mask_file(self.directory, record["name"]))

    def recall(self, record: Mapping[str, Any]) -> None:
        self.numbers.add(record["targets"])

    def forget(self, name: str) -> None:
        super().forget(name)
        mask_file(self.directory, name).unlink(missing_ok=True)

    def write(self, item: Item, mask: Tensor) -> dict[str, Any]:
        file = mask_file(self.directory, item.name)
        # The table first: no mask has a number that it does not name.
        if self.numbers.add(item.seen.targets.tolist()):
            self.numbers.save(self.directory)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_palette_png(self.numbers.of(mask), file)
        return {}

    def save(self, records: Sequence[dict[str, Any]]) -> Path:
        return self.directory / FOLDER


class _Annotations(MaskTask):
    """Makes a file of annotations."""

    kind = "masks in COCO's format"

    def write(self, item: Item, mask: Tensor) -> dict[str, Any]:
        image = coco_image(item, self.explaining, mask=mask)
        whole = item.seen.whole.tolist()
        return coco_annotations(image, self.explaining.classes, whole)

    def save(self, records: Sequence[dict[str, Any]]) -> Path:
        save_annotations(records, self.explaining, self.directory)
        return self.directory / DATASET


TASKS: dict[str, type[MaskTask]] = {"png": _Pngs, "coco": _Annotations}
"""Of each of ``FORMATS``, what makes such files."""
