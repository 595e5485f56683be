"""What the inexact ways to make masked passes win, and what they change in the maps.

    python -m tests.benchmarks.inexact [--images 20] [--threads 1] [--compile]

Real photographs (see tests/helpers/realdata.py), ResNet-18, layer4, the class of the photograph.
Exact and inexact take turns, image by image; ``time`` is the median of their ratios, so that the
first image, where models are compiled, does not count.
Maps are compared as saliency on [0,1] at 224x224: ``mean`` and ``largest`` difference, ``r`` their
correlation, ``moved`` the share of images whose maximum moves by more than a cell of the layer.
``drop`` is the Average Drop in per cent.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from captum_cluster.attr import LayerClusterCam, LayerCollectionCam, LayerScoreCam
from captum_cluster.functional.attribution import saliency
from captum_cluster.metrics import AverageDrop
from tests.helpers.realdata import Photograph, data_folder, load_photographs, load_resnet18

FACES = {
    "score-cam": LayerScoreCam,
    "cluster-cam": LayerClusterCam,
    "collection-cam": LayerCollectionCam,
}
WAYS = {
    "bfloat16": {"precision": "bfloat16"},
    "resolution 0.75": {"resolution": 0.75},
    "resolution 0.5": {"resolution": 0.5},
    "both, 0.5": {"precision": "bfloat16", "resolution": 0.5},
}
COMPILED = {
    "compile": {"compile": True},
    "compile, bfloat16": {"compile": True, "precision": "bfloat16"},
}
CELL = 32  # pixels of the image in one cell of layer4


def explain(face: type, model: nn.Module) -> Callable[..., Tensor]:
    """Return a function of a photograph that gives its saliency map (1,1,224,224)."""
    cam = face(model, [model.layer3, model.layer4] if face is LayerCollectionCam else model.layer4)

    def run(photograph: Photograph, **options: object) -> Tensor:
        image = photograph.image[None]
        return saliency(cam.attribute(image, photograph.class_index, **options), image.shape[2:])

    return run


def moved(exact: Tensor, other: Tensor) -> bool:
    """Return whether the maximum of a map (1,1,H,W) is more than a cell from that of another."""
    width = exact.shape[-1]
    places = [divmod(int(one.flatten().argmax()), width) for one in (exact, other)]
    return max(abs(a - b) for a, b in zip(*places, strict=True)) > CELL


def compare(exact: list[Tensor], others: list[Tensor]) -> str:
    """Return what lies between the maps of exact and of other passes."""
    pairs = list(zip(exact, others, strict=True))
    gaps = [(one - other).abs() for one, other in pairs]
    stacked = [torch.stack((one.flatten(), other.flatten())) for one, other in pairs]
    correlation = statistics.fmean(float(torch.corrcoef(both)[0, 1]) for both in stacked)
    mean = statistics.fmean(float(gap.mean()) for gap in gaps)
    largest = max(float(gap.max()) for gap in gaps)
    share = statistics.fmean(moved(*pair) for pair in pairs)
    return f"{mean:>8.4f} {largest:>8.3f} {correlation:>8.4f} {share:>6.0%}"


def average_drop(model: nn.Module, photographs: list[Photograph], maps: list[Tensor]) -> float:
    """Return the Average Drop of the images behind their maps, in per cent."""
    metric = AverageDrop()
    for photograph, found in zip(photographs, maps, strict=True):
        image, label = photograph.image[None], photograph.class_index
        with torch.no_grad():
            original, masked = model(torch.cat((image, image * found))).softmax(dim=1)[:, label]
        metric.update(original[None], masked[None])
    return 100 * float(metric.compute())


def report(
    name: str, model: nn.Module, photographs: list[Photograph], ways: dict[str, dict[str, object]]
) -> None:
    """Print a line for each way to make the passes of a method."""
    run = explain(FACES[name], model)
    maps: dict[str, list[Tensor]] = {way: [] for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for photograph in photographs:
        for way, options in ways.items():
            start = time.perf_counter()
            maps[way].append(run(photograph, **options))
            seconds[way].append(time.perf_counter() - start)
    exact = average_drop(model, photographs, maps["exact"])
    print(f"{name}: {statistics.median(seconds['exact']):.2f} s for an image, drop {exact:.2f}")
    for way in list(ways)[1:]:
        pairs = zip(seconds[way], seconds["exact"], strict=True)
        ratio = statistics.median(one / whole for one, whole in pairs)
        drop = average_drop(model, photographs, maps[way])
        print(f"  {way:<20} {ratio:>5.2f} {compare(maps['exact'], maps[way])} {drop:>6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", default=",".join(FACES))
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_resnet18(data_folder())
    photographs = load_photographs(data_folder(), -(-options.images // 10))[: options.images]
    ways = {"exact": {}, **WAYS, **(COMPILED if options.compile else {})}
    print(f"{len(photographs)} photographs, threads: {options.threads}")
    print(f"  {'':<20} {'time':>5} {'mean':>8} {'largest':>8} {'r':>8} {'moved':>6} {'drop':>6}")
    for name in options.methods.split(","):
        report(name, model, photographs, ways)


if __name__ == "__main__":
    main()
