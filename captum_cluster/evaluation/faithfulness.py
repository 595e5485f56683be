"""What one saliency map of one image is worth: the measures of the papers, together."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from captum_cluster._checks import check_integer
from captum_cluster.functional.attribution import read_scores, saliency
from captum_cluster.functional.metrics import (
    average_drop,
    average_increase,
    deletion_insertion,
    energy_inside,
    perturbation_area,
    perturbation_steps,
)


@dataclass(frozen=True)
class Faithfulness:
    """The measures of one map, all from 0 to 1.

    Attributes:
        before: The target's probability for the whole image.
        after: Its probability for the image times the saliency map.
        insertion: Area under the insertion curve.
        deletion: Area under the deletion curve.
        inside: Share of the map's energy inside the region, where there is one.
    """

    before: float
    after: float
    insertion: float
    deletion: float
    inside: float | None = None


@dataclass(frozen=True)
class Summary:
    """Means over images, in per cent.

    Attributes:
        drop: Average Drop, the smaller, the better.
        increase: Average Increase, the larger, the better.
        overall: Insertion less Deletion, the larger, the better.
        inside: Proportion inside the regions, the larger, the better; NaN without regions.
    """

    drop: float
    increase: float
    overall: float
    inside: float


def measure(
    model: nn.Module,
    image: Tensor,
    target: int,
    maps: Tensor,
    *,
    region: Tensor | None = None,
    stride: int = 1,
) -> Faithfulness:
    """Return the measures of one map: some 57 forward passes at 224x224.

    Args:
        model: A classifier that gives logits (N,L), in eval mode.
        image: (1,c,H,W).
        target: The label explained.
        maps: (h,w), the method's map, any range and resolution; it becomes a saliency map first.
        region: (H,W) bool, the pixels of the object or of its boxes.
        stride: Take every so many steps of insertion and deletion, for a quick look.

    Raises:
        ValueError: ``stride`` leaves fewer than three steps.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        >>> one = measure(net, torch.rand(1, 3, 16, 16), 2, torch.rand(4, 4))
        >>> 0 <= one.insertion <= 1
        True
    """
    height, width = image.shape[-2:]
    mask = saliency(maps.to(image), (height, width))[None]
    most = max(1, (len(perturbation_steps(height, width)) - 1) // 2)
    check_integer("stride", stride, 1, most, "half the number of steps")
    step = 8 * width * stride
    read = functools.partial(_probabilities, model)
    before, after = read(torch.cat([image, image * mask[:, None]]))[:, target].tolist()
    curves = torch.cat(deletion_insertion(read, image, mask, target, step))
    areas = perturbation_area(curves, perturbation_steps(height, width, step))
    inside = None if region is None else float(energy_inside(mask, region[None].to(mask.device))[0])
    return Faithfulness(before, after, float(areas[1]), float(areas[0]), inside)


def summarize(measured: Iterable[Faithfulness]) -> Summary:
    """Return the means over images.

    Example:
        >>> summarize([Faithfulness(0.8, 0.4, 0.6, 0.1), Faithfulness(0.5, 0.9, 0.4, 0.1)])
        Summary(drop=25.0, increase=50.0, overall=40.0, inside=nan)
    """
    listed = list(measured)
    before = torch.tensor([one.before for one in listed], dtype=torch.float64)
    after = torch.tensor([one.after for one in listed], dtype=torch.float64)
    overall = [one.insertion - one.deletion for one in listed]
    inside = [torch.nan if one.inside is None else one.inside for one in listed]
    values = (
        float(average_drop(before, after)),
        float(average_increase(before, after)),
        sum(overall) / len(listed),
        sum(inside) / len(listed),
    )
    return Summary(*(round(100 * value, 10) for value in values))


def _probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """Return the probabilities (M,L) of images (M,c,H,W)."""
    with torch.no_grad():
        outputs: Tensor = model(images)
    return read_scores(outputs, "probability")
