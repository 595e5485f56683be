"""How well a network segments images: IoU over their pixels, with and without the CRF."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from captum_cluster.data import Preparation, Scene, SceneDataset
from captum_cluster.evaluation.reporting.resampling import (
    Estimate,
    interval,
    resample_counts,
    two_sided,
)
from captum_cluster.functional.metrics.segmentation import (
    class_iou,
    confusion,
    mean_iou_compute,
)
from captum_cluster.hooks import modes_kept
from captum_cluster.training import SegmentationNetwork
from captum_cluster.training.masked_scenes import UNCERTAIN
from captum_cluster.weak import DenseCRF

PLAIN, REFINED = "network", "network + CRF"
_PARTS = ("intersection", "predicted", "true")
_RESAMPLES = 1000


@dataclass(frozen=True)
class SegmentationScore:
    """What segmentations reach on images with true masks.

    Attributes:
        mean_iou: The mean over background and the labels with a true pixel; beside it the
            difference from the network alone.
        ious: Of background and each label, NaN for one that is neither true nor predicted.
    """

    mean_iou: Estimate
    ious: list[float]


@dataclass
class Segmented:
    """What a network and the CRF make of images.

    Attributes:
        counts: By name ("network", "network + CRF") of each image with a true mask the pixels of
            each class that are true, predicted and both: tensors (L+1,) by name.
        scenes: The images shown, prepared.
        masks: By name the segmentations (H,W) of the images shown.
    """

    counts: dict[str, list[Mapping[str, Tensor]]] = field(default_factory=dict)
    scenes: list[Scene] = field(default_factory=list)
    masks: dict[str, list[Tensor]] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """The number of images that have a true mask."""
        return len(next(iter(self.counts.values())))

    @property
    def scores(self) -> dict[str, SegmentationScore]:
        """The scores by name; none where no image has a true mask."""
        return segmentation_scores(self.counts) if self.images else {}


def segment(
    network: SegmentationNetwork,
    dataset: SceneDataset,
    preparation: Preparation,
    *,
    refine: DenseCRF | None = None,
    shown: int = 4,
    progress: bool = False,
) -> Segmented:
    """Segment the images that have true masks, with and without the CRF, and count their pixels.

    Each image is segmented and compared at the size that the network takes, as ``evaluate`` does
    with maps. All labels compete, also those that the image does not have.

    Args:
        network: In any mode; in evaluation mode meanwhile.
        dataset: The images.
        preparation: How they become what the network takes.
        refine: The CRF; None without.
        shown: How many images to keep for a figure: the first ones of those with true masks, or
            of all where none has.
        progress: Show a bar.

    Example:
        >>> from torch import nn
        >>> from captum_cluster.data import DigitScenes
        >>> net = SegmentationNetwork(nn.Identity(), nn.Conv2d(3, 11, 1))
        >>> segment(net, DigitScenes(2), Preparation(mode="none")).images
        2
    """
    names = (PLAIN,) if refine is None else (PLAIN, REFINED)
    found = Segmented({name: [] for name in names}, [], {name: [] for name in names})
    without = Segmented({name: [] for name in names}, [], {name: [] for name in names})
    with modes_kept(network), torch.no_grad():
        network.eval()
        bar = tqdm(range(len(dataset)), "Segmenting", disable=not progress)
        for index in bar:
            scene = dataset[index]
            into = without if scene.masks is None else found
            if scene.masks is None and len(without.scenes) >= shown:
                continue
            _add(into, network, preparation.prepare(scene), preparation, refine, shown)
    return found if found.images else without


def _add(
    found: Segmented,
    network: SegmentationNetwork,
    scene: Scene,
    preparation: Preparation,
    refine: DenseCRF | None,
    shown: int,
) -> None:
    """Add an image to what was found."""
    masks = _masks(network, scene, preparation, refine)
    if scene.masks is not None:
        truth, classes = scene.label_map(UNCERTAIN)[None], len(scene.labels) + 1
        for name, mask in masks.items():
            counts = confusion(mask[None], truth, truth != UNCERTAIN, classes)
            found.counts[name].append(counts)
    if len(found.scenes) < shown:
        found.scenes.append(scene)
        for name, mask in masks.items():
            found.masks[name].append(mask)


def _masks(
    network: SegmentationNetwork, scene: Scene, preparation: Preparation, refine: DenseCRF | None
) -> dict[str, Tensor]:
    """Return by name the segmentations (H,W) of a prepared image, on the CPU."""
    like = next(network.parameters())
    images = preparation.normalize(scene.image)[None].to(like)
    scores = network.probabilities(images)[0].float().cpu()
    masks = {PLAIN: scores.argmax(dim=0)}
    if refine is not None:
        masks[REFINED] = refine.refine(scene.image, scores).argmax(dim=0)
    return masks


def segmentation_scores(
    counts: Mapping[str, Sequence[Mapping[str, Tensor]]],
) -> dict[str, SegmentationScore]:
    """Return the scores of what each name stands for, over all images together.

    Intervals and differences by the bootstrap over images, the same ones for all names.

    Args:
        counts: By name of each image its sums (see ``confusion``); the first is the reference.

    Example:
        >>> one = {name: torch.tensor([4, 2]) for name in ("intersection", "predicted", "true")}
        >>> segmentation_scores({"network": [one, one]})["network"].mean_iou.estimate
        1.0
    """
    stacked = {name: _stacked(images) for name, images in counts.items()}
    count = len(next(iter(counts.values())))
    parts = [
        {name: _means(sums, weights) for name, sums in stacked.items()}
        for weights in resample_counts(count, _RESAMPLES, 0, 1)
    ]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in stacked}
    whole = {name: float(_means(sums, np.ones((count, 1)))[0]) for name, sums in stacked.items()}
    first = next(iter(stacked))
    return {
        name: SegmentationScore(
            _estimate(
                whole[name],
                drawn[name],
                None if name == first else (whole[first], drawn[first]),
                count,
            ),
            class_iou({part: one.sum(dim=0) for part, one in sums.items()}).tolist(),
        )
        for name, sums in stacked.items()
    }


def _estimate(
    value: float,
    drawn: NDArray[np.float64],
    base: tuple[float, NDArray[np.float64]] | None,
    images: int,
) -> Estimate:
    ends = interval(drawn, images)
    if base is None:
        return Estimate(value, *ends, images)
    change = drawn - base[1]
    return Estimate(
        value, *ends, images, value - base[0], *interval(change, images), two_sided(change, images)
    )


def _stacked(images: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return sums (N,L+1) of N images."""
    return {part: torch.stack([one[part] for one in images]) for part in _PARTS}


def _means(sums: Mapping[str, Tensor], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean IoU (B,) of images weighted by (N,B)."""
    drawn = torch.from_numpy(weights).T
    values: Any = mean_iou_compute({part: drawn @ one.double() for part, one in sums.items()})
    found: NDArray[np.float64] = values.numpy()
    return found


def percent(value: float) -> str:
    """Return a share as tables show it.

    Example:
        >>> percent(0.12345), percent(math.nan)
        ('12.3', '-')
    """
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
