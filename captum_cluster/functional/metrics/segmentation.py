"""Maps as a segmentation of the image: label maps, confusion counts, IoU and F-score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import (
    check_choice,
    check_finite,
    check_integer,
    check_number,
    describe,
    expected,
)
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics.sums import Sums, ratio

AVERAGES = ("present", "all", "none")


def strongest_labels(
    maps: Tensor, present: Tensor, size: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Return at each pixel the highest saliency of the present labels, and the label plus one.

    Each map becomes a saliency map first: ReLU, upsampling to ``size``, min-max. Of equal labels
    the first one; where no label has any saliency 0 and 0.

    Args:
        maps: (N,L,h,w) float, any range, at any resolution.
        present: (N,L) bool, the labels each image has.
        size: Height and width of the result; None for the maps' own.

    Returns:
        scores: (N,H,W) in [0,1].
        labels: LongTensor (N,H,W), 0 or a label plus one.

    Raises:
        TypeError: ``present`` is not boolean.
        ValueError: The shapes do not belong together, or a present label's map is not finite.

    Example:
        >>> maps = torch.tensor([[[[0.0, 1.0, 4.0]], [[9.0, 3.0, 0.0]], [[7.0, 7.0, 9.0]]]])
        >>> strongest_labels(maps, torch.tensor([[True, True, False]]))[1]
        tensor([[[2, 2, 1]]])
    """
    check_maps(maps, present)
    shape = (len(maps), *(maps.shape[-2:] if size is None else size))
    scores = torch.zeros(shape, dtype=maps.dtype, device=maps.device)
    labels = torch.zeros(shape, dtype=torch.long, device=maps.device)
    present = present.to(maps.device)
    # Label by label: a thousand maps of an image at its full size never exist together.
    for label in present.any(dim=0).nonzero().flatten().tolist():
        rows = present[:, label]
        energy = saliency(check_finite("maps", maps[rows, label]), shape[1:])
        better = energy > scores[rows]
        labels[rows] = torch.where(better, label + 1, labels[rows])
        scores[rows] = torch.where(better, energy, scores[rows])
    return scores, labels


def label_maps(
    maps: Tensor, present: Tensor, *, background: float = 0.15, size: Sequence[int] | None = None
) -> Tensor:
    """Return the segmentation that the maps make: the argmax over a background score and the maps.

    The background wins against an equal saliency.

    Args:
        maps: As in ``strongest_labels``.
        present: As in ``strongest_labels``.
        background: The background's score everywhere, from 0 to 1.
        size: As in ``strongest_labels``.

    Returns:
        LongTensor (N,H,W): 0 for background, label l as l + 1.

    Raises:
        TypeError: ``background`` is no number, or as in ``strongest_labels``.
        ValueError: ``background`` is outside its range, or as in ``strongest_labels``.

    Example:
        >>> maps = torch.tensor([[[[0.0, 1.0, 10.0]], [[9.0, 1.0, 0.0]]]])
        >>> label_maps(maps, torch.tensor([[True, True]]))
        tensor([[[2, 0, 1]]])

    References:
        Chang et al. 2020, "Sub-category exploration", section 4.2.
    """
    level = check_number("background", background, 0.0, 1.0)
    scores, labels = strongest_labels(maps, present, size)
    return torch.where(scores > level, labels, 0)


def segmentation_update(
    maps: Tensor,
    present: Tensor,
    masks: Tensor,
    *,
    background: float = 0.15,
    ignore_index: int = 255,
) -> Sums:
    """Return for each class how many pixels are predicted, true, and both.

    Args:
        maps: (N,L,h,w) float, any range, at any resolution; see ``label_maps``.
        present: (N,L) bool, the labels each image has.
        masks: (N,H,W) int, the true segmentation: 0 for background, label l as l + 1.
        background: As in ``label_maps``.
        ignore_index: Pixels of ``masks`` with this value count nowhere.

    Returns:
        ``intersection``, ``predicted``, ``true``, int64 (L+1,), background first.

    Raises:
        TypeError: ``masks`` holds no integers, or as in ``label_maps``.
        ValueError: The shapes do not belong together, or ``masks`` holds another number.

    Example:
        >>> maps = torch.tensor([[[[0.0, 1.0, 10.0]], [[9.0, 1.0, 0.0]]]])
        >>> truth = torch.tensor([[[2, 1, 1]]])
        >>> sums = segmentation_update(maps, torch.tensor([[True, True]]), truth)
        >>> class_iou(sums)
        tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
    """
    check_maps(maps, present)
    truth, known = check_masks(masks, len(maps), maps.shape[1], ignore_index)
    found = label_maps(maps, present, background=background, size=masks.shape[-2:])
    return confusion(found.to(truth.device), truth, known, maps.shape[1] + 1)


def class_iou(sums: Sums) -> Tensor:
    """Return the IoU (...,L+1) of each class; NaN for one that is neither true nor predicted.

    Args:
        sums: From ``segmentation_update``.

    Example:
        See ``segmentation_update``.
    """
    both = sums["intersection"]
    return ratio(both, sums["predicted"] + sums["true"] - both)


def class_f_score(sums: Sums) -> Tensor:
    """Return the F-score (...,L+1) of each class's pixels.

    The harmonic mean of precision and recall, ``2 intersection / (predicted + true)``; NaN for a
    class that is neither true nor predicted.

    Args:
        sums: From ``segmentation_update``.

    Example:
        >>> one = torch.tensor([2])
        >>> class_f_score({"intersection": one, "predicted": 2 * one, "true": one})
        tensor([0.6667], dtype=torch.float64)
    """
    return ratio(2 * sums["intersection"], sums["predicted"] + sums["true"])


def mean_iou_compute(sums: Sums, *, average: str = "present") -> Tensor:
    """Return mIoU (B,) of sums (B,L+1).

    Args:
        sums: From ``segmentation_update``.
        average: "present": the mean over the classes with a true pixel, background among them;
            "all": over every class, where one that is neither true nor predicted counts 0;
            "none": (B,L+1), as ``class_iou``.

    Raises:
        TypeError: ``average`` is no string.
        ValueError: It is another string.

    Example:
        >>> counts = {"intersection": [[2, 1, 0]], "predicted": [[2, 2, 0]], "true": [[3, 1, 0]]}
        >>> sums = {name: torch.tensor(count) for name, count in counts.items()}
        >>> mean_iou_compute(sums), mean_iou_compute(sums, average="all")
        (tensor([0.5833], dtype=torch.float64), tensor([0.3889], dtype=torch.float64))

    References:
        Everingham et al. 2010, "PASCAL VOC", section 4.2; Chang et al. 2020, "Sub-category
        exploration", section 4.
    """
    return _average(class_iou(sums), sums["true"], average)


def pixel_f_score_compute(sums: Sums, *, average: str = "present") -> Tensor:
    """Return the mean F-score (B,) of sums (B,L+1); ``average`` as in ``mean_iou_compute``.

    Raises:
        TypeError: ``average`` is no string.
        ValueError: It is another string.

    Example:
        >>> counts = {"intersection": [[2, 1]], "predicted": [[2, 2]], "true": [[3, 1]]}
        >>> pixel_f_score_compute({name: torch.tensor(count) for name, count in counts.items()})
        tensor([0.7333], dtype=torch.float64)

    References:
        Chang et al. 2020, "Sub-category exploration", table 2.
    """
    return _average(class_f_score(sums), sums["true"], average)


def _average(values: Tensor, true: Tensor, average: str) -> Tensor:
    """Return the mean of the values (...,L+1) over the classes that ``average`` says."""
    if check_choice("average", average, AVERAGES) == "none":
        return values
    if average == "present":
        return torch.where(true > 0, values, torch.nan).nanmean(dim=-1)
    seen = (~values.isnan()).any(dim=-1)
    return torch.where(seen, values.nan_to_num(0.0).mean(dim=-1), torch.nan)


def confusion(found: Tensor, truth: Tensor, known: Tensor, classes: int) -> Sums:
    """Return the counts of ``segmentation_update`` of two label maps (N,H,W), int64 each.

    Args:
        found: The predicted label maps, 0 to ``classes`` - 1.
        truth: The true ones.
        known: (N,H,W) bool, the pixels that count.
        classes: Number of classes with background, L + 1.

    Example:
        >>> found, truth = torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 0, 255]]])
        >>> confusion(found, truth, truth < 255, 2)["intersection"]
        tensor([1, 0])
    """
    found, truth = found[known], truth[known]
    parts = {"intersection": truth[found == truth], "predicted": found, "true": truth}
    return {name: part.bincount(minlength=classes) for name, part in parts.items()}


def check_maps(maps: Tensor, present: Tensor) -> None:
    """Check that there is one map for each label that may be present.

    Raises:
        TypeError: ``present`` is not boolean.
        ValueError: The shapes do not belong together.
    """
    if maps.ndim != 4 or present.shape != maps.shape[:2]:
        got = f"maps {tuple(maps.shape)} and present {tuple(present.shape)}"
        raise ValueError(expected("maps and present", "of shapes (N,L,h,w) and (N,L)", got))
    if present.dtype != torch.bool:
        raise TypeError(expected("present", "a boolean tensor", present.dtype))


def check_masks(masks: Tensor, images: int, labels: int, ignored: int) -> tuple[Tensor, Tensor]:
    """Return the true label maps (N,H,W) as int64, and which of their pixels count.

    Raises:
        TypeError: They are no integers.
        ValueError: The shape is another, or a number is no class.
    """
    check_integer("ignore_index", ignored, -(2**31), 2**31)
    if masks.is_floating_point() or masks.dtype == torch.bool:
        raise TypeError(expected("masks", "a tensor of integers", describe(masks)))
    if masks.ndim != 3 or len(masks) != images:
        what = f"of shape (N,H,W) with N = {images}"
        raise ValueError(expected("masks", what, f"{tuple(masks.shape)}"))
    truth = masks.long()
    known = truth != ignored
    strange = truth[known & ((truth < 0) | (truth > labels))]
    if len(strange):
        what = f"numbers from 0 to the number of labels ({labels}), or {ignored} for ignored pixels"
        raise ValueError(expected("masks", what, int(strange[0])))
    return truth, known
