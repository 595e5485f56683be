"""Pseudo masks of many images, in files that the standard tools read."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from captum_cluster._checks import check_choice
from captum_cluster.data import Preparation
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.running.entries import LayerNames, MethodLike
from captum_cluster.evaluation.running.map_making import MapMaker
from captum_cluster.evaluation.running.records import encode_sums
from captum_cluster.evaluation.weak_outputs.coco_files import (
    DATASET,
    coco_annotations,
    coco_image,
    save_annotations,
)
from captum_cluster.evaluation.weak_outputs.explaining import Explaining, explaining
from captum_cluster.evaluation.weak_outputs.going_on import work_through
from captum_cluster.evaluation.weak_outputs.images import Images
from captum_cluster.evaluation.weak_outputs.label_masks import (
    UNCERTAIN,
    FeaturesOf,
    MaskSettings,
    WalkFeatures,
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
from captum_cluster.weak.pseudo_masks import Step

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


def make_masks(
    model: nn.Module | LoadedModel,
    layer: LayerNames | None,
    images: Images,
    method: MethodLike = "grad-cam",
    *,
    output: str | os.PathLike[str],
    labels: str | None = None,
    background: float = 0.15,
    power: float | None = None,
    uncertain: float | None = None,
    refine: Sequence[Step] | Step = (),
    walk_features: WalkFeatures = "none",
    longest: int | None = None,
    format: str = "png",  # noqa: A002 the word of the command line
    classes: Sequence[str] | None = None,
    probability: str = "probability",
    preparation: Preparation | None = None,
    limit: int | None = None,
    reshape_transform: Callable[[Tensor], Tensor] | None = None,
    strict: bool = False,
    progress: bool = True,
) -> MaskRun:
    """Make a pseudo mask of each image from a method's maps of its labels, and write them.

    The masks have the size, and the orientation, of the stored pictures. With "png" they are
    ``masks/NAME.png`` in ``output``, NAME being the scene's name or the picture's path: PNG files
    with PASCAL VOC's palette, as ``torchvision.datasets.VOCSegmentation`` reads them, and
    ``classes.json`` names their numbers: 0 is the background, 255 uncertain, number i the i-th
    name. Of up to 254 labels all have a number; of more those that were found, in the order in
    which they came. ``read_masks`` reads them. With "coco" they are ``annotations.json``, for
    ``torchvision.datasets.CocoDetection`` and pycocotools, and ``results.json`` for
    ``COCO.loadRes``; of a COCO data set with its numbers of images and categories.

    A run that was broken off goes on where it stopped when it is started again with the same
    ``output``, and writes the same. Of pictures of a folder there may be more, fewer or others
    then: those that are as they were keep their masks, those of pictures that are gone are removed.
    An image that cannot be read is counted and left out.

    Args:
        model: A classifier with logits (N,L), or what ``load_model`` returns.
        layer: As for ``evaluate``.
        images: A dataset of scenes; or a picture or folder of pictures, or several of these.
        method: As one of the methods of ``evaluate``: a name, a class of either host, a function,
            or a mapping that gives options, "scales" and "flip".
        output: Directory of the masks.
        labels: The labels whose maps make the mask: those that the image has ("truth"), those with
            a probability above 0.5 ("predicted"), or the most probable one ("top"). None: "top"
            for pictures, "truth" for a dataset.
        background: The background's score, from 0 to 1; see ``captum_cluster.weak.pseudo_masks``.
        power: Of ``(1 - max) ** power``, the background's score instead.
        uncertain: A second background, or with ``power`` a second power: pixels whose label is not
            the same with both become uncertain.
        refine: "random-walk" or "crf", several of them, or objects with a method ``refine``.
        walk_features: What a random walk compares pixels by beside colour and position: "none", the
            explained "layer"'s maps, or a function that gives features (D,h,w) of a picture
            (3,H,W) in [0,1] at the size at which its mask is made, such as
            ``captum_cluster.training.AffinityNet.features_of``.
        longest: The longest side in pixels at which a mask is made; larger pictures are made
            smaller for it, and their masks larger again. None: 512 with ``refine``, whose widths
            are for such photographs, and whose cost grows with the pixels; else the picture's own.
        format: "png" or "coco".
        classes: The names of the labels. None: the loaded model's, or the dataset's.
        probability: As for ``evaluate``.
        preparation: How scenes become what the model takes. "center-crop" is taken as "squash": of
            what is cut off nothing would be known. None: as for ``evaluate``.
        limit: Number of images, evenly spread; None: all.
        reshape_transform: As for ``evaluate``.
        strict: Stop at an image that cannot be read, and where the method fails.
        progress: Show a bar.

    Raises:
        TypeError: An argument of a wrong type.
        ValueError: An argument outside its range, labels that are not the model's, more than 254
            labels in PNG files, two scenes of one name, or an ``output`` that holds another run;
            the message says what differs.
        OSError: A path does not exist, or the masks cannot be written; those before are kept.
        Exception: What the method raises, where it fails on the first image.

    Example:
        >>> import tempfile
        >>> from captum_cluster.data import DigitScenes
        >>> net = nn.Sequential(
        ...     nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        ...     nn.Linear(8, 10),
        ... ).eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = make_masks(
        ...         net, "1", DigitScenes(2), "grad-cam", output=folder,
        ...         preparation=Preparation(64), progress=False,
        ...     )
        ...     sorted(path.name for path in run.path.iterdir())
        ['train-0-0.png', 'train-0-1.png']
        >>> run.images, run.mean_iou is not None
        (2, True)
    """
    directory = check_directory(output)
    settings = MaskSettings(background, power, uncertain, refine, walk_features, longest)
    check_choice("format", format, FORMATS)
    what = explaining(
        model,
        layer,
        images,
        method,
        labels=labels,
        classes=classes,
        probability=probability,
        preparation=preparation,
        limit=limit,
        reshape_transform=reshape_transform,
        strict=strict,
    )
    return work_through(TASKS[format](what, directory, settings), progress=progress)


class MaskTask(Task[MaskRun]):
    """Makes a mask of each image.

    Args:
        explaining: What is explained.
        directory: Of the masks.
        settings: How maps become a mask.
    """

    def __init__(self, explaining: Explaining, directory: Path, settings: MaskSettings) -> None:
        super().__init__(explaining, directory)
        self.settings = settings.on(explaining.device)

    def options(self) -> dict[str, Any]:
        """Return all that the masks depend on beside the maps."""
        return self.settings.facts()

    def compute(self, item: Item, maker: MapMaker) -> Tensor:
        """Return the mask (H,W) of an upright picture."""
        seen, walk = item.seen, self.settings.walk_features
        features: Tensor | FeaturesOf | None = None if isinstance(walk, str) else walk
        maps = seen.image[0, :0]
        if len(seen.targets):
            maps = self.explaining.maps(maker, seen)
            if walk == "layer":
                features = self.explaining.features(maker, seen)
        return label_mask(item.scene, maps, seen.targets, self.settings, features)

    def keep(self, item: Item, computed: Any) -> dict[str, Any]:
        """Write a mask, in the orientation of the stored picture."""
        sums = mask_sums(item.scene, computed, len(self.explaining.classes))
        stored = computed if item.picture is None else item.picture.turn().pixels(computed)
        uncertain = [int((computed == UNCERTAIN).sum()), computed.numel()]
        found = {**self.write(item, stored), "uncertain": uncertain}
        return found if sums is None else {**found, "sums": encode_sums(sums)}

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

    def __init__(self, explaining: Explaining, directory: Path, settings: MaskSettings) -> None:
        super().__init__(explaining, directory, settings)
        self.numbers = Numbers(explaining.classes)

    def begin(self) -> None:
        self.numbers.save(self.directory)

    def complete(self, record: Mapping[str, Any]) -> bool:
        return is_whole(mask_file(self.directory, record["name"]))

    def recall(self, record: Mapping[str, Any]) -> None:
        self.numbers.add(record["targets"])

    def forget(self, name: str) -> None:
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
