"""Pseudo masks of many images, in files that the standard tools read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from captum_cluster._checks import check_choice
from captum_cluster.data import Preparation
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.running.entries import LayerNames, MethodLike
from captum_cluster.evaluation.weak_outputs.explaining import explaining
from captum_cluster.evaluation.weak_outputs.going_on import work_through
from captum_cluster.evaluation.weak_outputs.images import Images
from captum_cluster.evaluation.weak_outputs.label_masks import (
    MaskSettings,
    WalkFeatures,
)
from captum_cluster.evaluation.weak_outputs.mask_tasks import FORMATS, TASKS, MaskRun
from captum_cluster.weak.pseudo_masks import Step


def make_masks(
    model: nn.Module | LoadedModel,
    layer: LayerNames | None,
    images: Images,
    method: MethodLike = "grad-cam",
    *,
    output: str | os.PathLike[str],
    labels: str | None = None,
    background: float | None = None,
    power: float | None = None,
    uncertain: float | None = None,
    refine: Sequence[Step] | Step = (),
    walk_features: WalkFeatures = "none",
    longest: int | None = None,
    figures: int = 0,
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
        background: The background's score, from 0 to 1; or
        power: of ``(1 - max) ** power``, its score instead. With neither: a score of 0.15 without
            ``refine``, a power of 2 with it; see ``captum_cluster.weak.pseudo_masks``.
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
        figures: Number of images, the first ones, of which a figure is written into ``figures`` in
            ``output``: the picture, the highest of its maps, the mask, and the true one where it is
            known. Images that were done without one are made again for it.
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
    return work_through(TASKS[format](what, directory, settings, figures), progress=progress)
