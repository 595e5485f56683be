"""The MinMax family on images with four labels: does a label's map stay in its quarter?

    python -m tests.benchmarks.grids

100 grids (seed 0), each of four validation photographs of different classes that ResNet-18
classifies right, tiled 2x2 into 448x448: `layer4` has a 14x14 grid, whose quarters belong to one
label each. All four labels are given. Mean over the 400 (grid, label) pairs of the share of the
rectified map's energy that lies in the label's own quarter. And Cluster-CAM's base and scissors:
how often they swap when the target changes from one label of a grid to another.
"""

from __future__ import annotations

import itertools

import torch
from captum.attr import LayerGradCam

from captum_cluster import (
    LayerClassActivationMap,
    LayerClusterCam,
    LayerMinMaxCam,
    LayerMinMaxGradCam,
)
from tests.helpers.realdata import Photograph, data_folder, load_photographs, load_resnet18

GRIDS = 100


def right_ones(model: torch.nn.Module, photographs: list[Photograph]) -> dict:
    """Return the photographs that the model classifies right, by class."""
    by_class: dict = {}
    for photograph in photographs:
        with torch.no_grad():
            top = int(model(photograph.image[None]).argmax())
        if top == photograph.class_index:
            by_class.setdefault(top, []).append(photograph)
    return by_class


def make_grids(by_class: dict, count: int, seed: int) -> list[list[Photograph]]:
    """Return grids of four photographs of different classes, in reading order."""
    generator = torch.Generator().manual_seed(seed)
    classes = sorted(by_class)
    grids = []
    for _ in range(count):
        chosen = torch.randperm(len(classes), generator=generator)[:4].tolist()
        groups = [by_class[classes[number]] for number in chosen]
        places = [int(torch.randint(len(group), (1,), generator=generator)) for group in groups]
        grids.append([group[place] for group, place in zip(groups, places, strict=True)])
    return grids


def tile(grid: list[Photograph]) -> torch.Tensor:
    """Return the image (1,3,448,448)."""
    rows = [torch.cat([left.image, right.image], dim=2) for left, right in (grid[:2], grid[2:])]
    return torch.cat(rows, dim=1)[None]


def share_in_quarter(maps: torch.Tensor) -> list[float]:
    """Return for maps (1,4,h,w) the share of each one's positive part in its own quarter."""
    positive = maps[0].relu()
    h, w = positive.shape[1] // 2, positive.shape[2] // 2
    shares = []
    for number, one in enumerate(positive):
        top, left = (number // 2) * h, (number % 2) * w
        own = one[top : top + h, left : left + w].sum()
        shares.append(float(own / one.sum()) if one.sum() > 0 else 0.0)
    return shares


def all_maps(model: torch.nn.Module, image: torch.Tensor, labels: list[int]) -> dict:
    """Return each method's maps (1,4,14,14)."""
    layer, common = model.layer4, {"labels": [labels]}
    stock = LayerGradCam(model, layer)
    gradient, closed = LayerMinMaxGradCam(model, layer), LayerMinMaxCam(model, layer)
    return {
        "Grad-CAM (Captum)": torch.cat([stock.attribute(image, one) for one in labels], dim=1),
        "CAM": LayerClassActivationMap(model, layer).attribute_targets(image, labels),
        "MinMax-Grad-CAM": gradient.attribute_targets(image, labels, **common),
        "D-MinMax-Grad-CAM": gradient.attribute_targets(image, labels, decomposed=True, **common),
        "MinMax-CAM": closed.attribute_targets(image, labels, **common),
        "D-MinMax-CAM": closed.attribute_targets(image, labels, decomposed=True, **common),
    }


def swaps(model: torch.nn.Module, image: torch.Tensor, labels: list[int]) -> list[tuple]:
    """Return of each pair of labels: do base and scissors swap, does one, does the base stay?"""
    result = LayerClusterCam(model, model.layer4).explain(image, labels, combine="base_scissors")
    base, scissors = result.base[0].tolist(), result.scissors[0].tolist()
    found = []
    for one, other in itertools.combinations(range(len(labels)), 2):
        turned = [base[one] == scissors[other], scissors[one] == base[other]]
        found.append((all(turned), any(turned), base[one] == base[other]))
    return found


def main() -> None:
    torch.set_num_threads(1)
    model = load_resnet18(data_folder())
    by_class = right_ones(model, load_photographs(data_folder(), per_class=15))
    shares: dict = {}
    swapped = []
    for grid in make_grids(by_class, GRIDS, seed=0):
        labels = [photograph.class_index for photograph in grid]
        swapped += swaps(model, tile(grid), labels)
        for name, maps in all_maps(model, tile(grid), labels).items():
            shares.setdefault(name, []).extend(share_in_quarter(maps.detach()))
    print(f"{'method':<20}{'inside its quarter':>20}{'pairs':>8}")
    for name, values in shares.items():
        print(f"{name:<20}{100 * sum(values) / len(values):>18.1f} %{len(values):>8}")
    print(f"\nCluster-CAM, {len(swapped)} pairs of labels of one grid:")
    names = ("base and scissors swap", "one becomes the other", "the base stays")
    for name, column in zip(names, zip(*swapped, strict=True), strict=True):
        print(f"{name:<25}{100 * sum(column) / len(column):>6.1f} %")


if __name__ == "__main__":
    main()
