"""What a classifier says of crops of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captum_cluster._checks import check_integer, check_number, describe, expected
from captum_cluster._types import ScoreFunction
from captum_cluster.data.preparation import IMAGENET_MEAN, IMAGENET_STD
from captum_cluster.functional.attribution.scoring import check_score_function, read_scores
from captum_cluster.hooks import modes_kept

ScoreCrops: TypeAlias = Callable[[list[Tensor], Sequence[int]], Tensor]
"""A function of K crops (3,h,w) of one image and of T labels: the scores (K,T), or (K,) where one
serves all labels; the higher, the more the crop shows the label."""


def classifier_scores(
    model: nn.Module,
    *,
    size: int | tuple[int, int] = 224,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    batch_size: int = 32,
    score_function: ScoreFunction = "probability",
) -> ScoreCrops:
    """Return a function that scores crops by a classifier: what ``object_proposals`` takes.

    It also takes the model itself, for the defaults.

    Each crop is resized to ``size`` whatever its proportions (bilinear, antialiased), normalised,
    and given to the model in eval mode without gradients, on the model's device and in its
    precision. The model is left as it was found.

    Args:
        model: (N,3,H,W) to (N,L).
        size: Height and width that the model takes, or one number for both, in pixels.
        mean: Of each channel.
        std: Of each channel, above 0.
        batch_size: Crops of a forward pass.
        score_function: "probability" (softmax), "sigmoid" (several labels), "logit", or a function
            of the model's output.

    Returns:
        ``score_crops(crops, labels)``: from K crops (3,h,w) in [0,1] and T labels to (K,T) on the
        CPU.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is outside its range.

    Example:
        >>> mean_colour = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> score = classifier_scores(
        ...     mean_colour, size=4, mean=(0, 0, 0), std=(1, 1, 1), score_function="logit"
        ... )
        >>> score([torch.ones(3, 5, 2), torch.zeros(3, 1, 1)], [0, 2])
        tensor([[1., 1.],
                [0., 0.]])
    """
    if not isinstance(model, nn.Module):
        raise TypeError(expected("model", "a torch.nn.Module", describe(model)))
    shape = _sides(size)
    check_integer("batch_size", batch_size, 1)
    check_score_function(score_function)
    centre, spread = _channels("mean", mean), _channels("std", std, low=0.0, open_low=True)

    def score_crops(crops: list[Tensor], labels: Sequence[int]) -> Tensor:
        rows = []
        place = next(model.parameters(), torch.zeros(()))
        with modes_kept(model), torch.no_grad():
            model.eval()
            for start in range(0, len(crops), batch_size):
                part = [_resized(crop, shape) for crop in crops[start : start + batch_size]]
                batch = (torch.stack(part) - centre) / spread
                rows.append(_read(model(batch.to(place)), labels, score_function))
        return torch.cat(rows) if rows else torch.zeros(0, len(labels))

    return score_crops


def scorer(score_crops: Any) -> ScoreCrops:
    """Return a function that scores crops: ``classifier_scores`` of a module, or what is given.

    Raises:
        TypeError: It is neither a module nor a function.

    Example:
        >>> score = scorer(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        >>> score([torch.rand(3, 5, 2)], [0, 2]).shape
        torch.Size([1, 2])
    """
    if isinstance(score_crops, nn.Module):
        return classifier_scores(score_crops)
    if isinstance(score_crops, type) or not callable(score_crops):
        what = "a classifier (an nn.Module) or a function of crops and labels"
        raise TypeError(expected("score_crops", what, describe(score_crops)))
    found: ScoreCrops = score_crops
    return found


def _sides(size: Any) -> list[int]:
    """Return height and width from both, or from one number for both."""
    sides = list(size) if isinstance(size, Sequence) else [size, size]
    if len(sides) != 2:
        raise ValueError(expected("size", "one number or two", f"{len(sides)}"))
    return [check_integer("size", side, 1) for side in sides]


def _channels(name: str, values: Sequence[float], **limits: Any) -> Tensor:
    """Return one number for each channel as (3,1,1)."""
    if len(values) != 3:
        raise ValueError(expected(name, "three numbers", f"{len(values)}"))
    checked = [check_number(name, value, **limits) for value in values]
    return torch.tensor(checked).reshape(3, 1, 1)


def _resized(crop: Tensor, shape: list[int]) -> Tensor:
    """Return a crop (3,h,w) at the model's size, on the CPU."""
    large = crop.detach().float().cpu()[None]
    return F.interpolate(large, size=shape, mode="bilinear", antialias=True)[0]


def _read(outputs: Tensor, labels: Sequence[int], score_function: ScoreFunction) -> Tensor:
    """Return the scores (K,T) of the labels from the model's output (K,L)."""
    scores = read_scores(outputs, score_function)
    if scores.ndim != 2:
        what = "to give one score for each crop and label (K,L)"
        raise ValueError(expected("the model", what, f"{tuple(scores.shape)}"))
    if labels and max(labels) >= scores.shape[1]:
        what = f"below the model's number of labels ({scores.shape[1]})"
        raise ValueError(expected("labels", what, max(labels)))
    return scores[:, list(labels)].cpu()
