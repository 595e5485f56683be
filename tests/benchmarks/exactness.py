"""How far the maps, with every speed-up, are from slow derivations of the papers' equations.

    python -m tests.benchmarks.exactness [--threads 1]

A real ResNet-18 and a photograph at 224x224 (`CAPTUM_CLUSTER_DATA`; without them random weights
and noise). Ours in float32, as users run it; the derivations of `tests/helpers` in float64, mask
by mask, without any code of the package. Differences are relative to the largest value of a map,
and of the saliency map, in [0,1], of which the pictures are made. Takes some minutes.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from captum_cluster import (
    LayerAblationCam,
    LayerClusterCam,
    LayerCollectionCam,
    LayerMinMaxGradCam,
    LayerScoreCam,
)
from captum_cluster.functional.attribution import saliency
from tests.helpers import ablation_references, collection_references, minmax_references, references
from tests.helpers.realdata import data_folder, load_photographs, load_resnet18

OTHERS = [3, 281]


def subject() -> tuple[nn.Module, Tensor, int]:
    """Return a network, an image (3,H,W) and its label."""
    folder = data_folder()
    if folder.is_dir():
        photograph = load_photographs(folder, 1)[0]
        return load_resnet18(folder), photograph.image, photograph.class_index
    torch.manual_seed(0)
    return resnet18().eval(), torch.randn(3, 224, 224), 217


def pairs(model: nn.Module, image: Tensor, label: int) -> Iterator[tuple[str, Tensor, object]]:
    """Yield the name of a method, our map of the image, and the slow one."""
    wide, x = copy.deepcopy(model).double(), image.double()
    maps = collection_references.activations(wide, wide.layer4, x)
    gradients = {
        one: collection_references.gradients(wide, wide.layer4, x, one) for one in (label, *OTHERS)
    }
    ours = LayerMinMaxGradCam(model, model.layer4)
    labels = [label, *OTHERS]
    for decomposed in (False, True):
        found = ours.attribute(image[None], label, labels=[labels], decomposed=decomposed)
        slow = minmax_references.minmax_grad_cam(
            maps, gradients, label, labels, decomposed=decomposed
        )
        yield "D-MinMax-Grad-CAM" if decomposed else "MinMax-Grad-CAM", found, slow
    result = LayerClusterCam(model, model.layer4).explain(image[None], [label])
    slow = references.cluster_cam(wide, x, maps, result.labels[0], label, combine="score")["map"]
    yield "Cluster-CAM", result.maps, slow
    layers = [model.layer1, model.layer2]
    seen = [
        (
            collection_references.activations(wide, layer, x),
            collection_references.gradients(wide, layer, x, label),
        )
        for layer in (wide.layer1, wide.layer2)
    ]
    found = LayerCollectionCam(model, layers).attribute(image[None], label)
    options = {"partition_sizes": (2, 3), "denoise_quantile": 0.4}
    yield (
        "Collection-CAM, two layers",
        found,
        collection_references.collection_cam(wide, x, seen, label, **options)["map"],
    )
    slow, _, _ = ablation_references.ablation_cam(wide, wide.layer4, x, label)
    for way in ("tail", "closed"):
        found = LayerAblationCam(model, model.layer4).attribute(image[None], label, way=way)
        yield f"Ablation-CAM, {way}", found, slow
    found = LayerScoreCam(model, model.layer4).attribute(image[None], label)
    yield "Score-CAM", found, references.score_cam(wide, x, maps, label)


def differences(found: Tensor, slow: object) -> tuple[float, float]:
    """Return the largest difference of two maps, and of their saliency maps."""
    ours, other = found[0, 0].double(), torch.from_numpy(np.asarray(slow, dtype=float))
    of_map = (ours - other).abs().max() / other.abs().max()
    shown: Callable[[Tensor], Tensor] = lambda one: saliency(one, (224, 224))  # noqa: E731
    return float(of_map), float((shown(ours) - shown(other)).abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare our maps with slow derivations.")
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    print("| method | map | saliency map |\n|---|---|---|", flush=True)
    for name, found, slow in pairs(*subject()):
        of_map, shown = differences(found, slow)
        print(f"| {name} | {of_map:.1e} | {shown:.1e} |", flush=True)


if __name__ == "__main__":
    main()
