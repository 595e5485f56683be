"""Who is measured: the stock methods of three libraries, and ours, at the final layer."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytorch_grad_cam
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor
from torchcam.methods import GradCAM, ScoreCAM

from captum_cluster import (
    LayerAblationCam,
    LayerClusterCam,
    LayerCollectionCam,
    LayerMinMaxGradCam,
    LayerScoreCam,
)
from captum_cluster.hooks import capture
from tests.benchmarks.subjects import LABELS, TARGET, Subject
from tests.benchmarks.timing import plain


@dataclass(frozen=True)
class Contestant:
    """One method on a batch.

    Attributes:
        group: The kind of work; those of one group do the same.
        name: Whose method it is.
        run: Explains the batch once.
        images: Size of the batch.
        needed: Forward passes that the work needs, for each image; 0 where only units tell.
        ours: Whether it is of this project.
    """

    group: str
    name: str
    run: Callable[[], object]
    images: int
    needed: float = 0.0
    ours: bool = True


def plain_passes(one: Subject, batch: int) -> list[Contestant]:
    """Return plain forward passes: as users make them, and with the weights channels-last too."""
    images = one.images[:batch]
    last = copy.deepcopy(one.model).to(memory_format=torch.channels_last)
    rows = {
        "default layout, no gradients": lambda: _plain(one.model, images),
        "images channels-last": plain(one.model, images[:1], batch),
        "images and weights channels-last": plain(last, images[:1], batch),
    }
    group = f"plain pass, batch {batch}"
    return [Contestant(group, name, run, batch, 1.0, ours=False) for name, run in rows.items()]


def gradient_maps(one: Subject, batch: int) -> list[Contestant]:
    """Return gradient maps at the final layer: one forward pass, and the tail's backward pass."""
    images, layer = one.images[:batch], one.layer
    ours = LayerMinMaxGradCam(one.model, layer)
    two, five = [LABELS[:2]] * batch, [LABELS] * batch

    def minmax(**options: object) -> object:
        return ours.attribute(images, TARGET, labels=two, **options)

    rows = {
        "Captum LayerGradCam": lambda: LayerGradCam(one.model, layer).attribute(images, TARGET),
        "pytorch-grad-cam GradCAM": lambda: stock(one, "GradCAM", images),
        "torchcam GradCAM": lambda: torchcam(one, GradCAM, images),
        "MinMax-Grad-CAM": minmax,
        "D-MinMax-Grad-CAM": lambda: minmax(decomposed=True),
        "MinMax-Grad-CAM, 5 labels": lambda: ours.attribute_targets(images, LABELS, labels=five),
    }
    group = f"gradient map, batch {batch}"
    return [
        Contestant(group, name, run, batch, 1.0, ours=number > 2)
        for number, (name, run) in enumerate(rows.items())
    ]


def score_cam(one: Subject) -> list[Contestant]:
    """Return Score-CAM of one image: every map of the layer is a mask."""
    image = one.images[:1]
    ours = LayerScoreCam(one.model, one.layer)
    rows = {
        "pytorch-grad-cam ScoreCAM": lambda: stock(one, "ScoreCAM", image),
        "torchcam ScoreCAM": lambda: torchcam(one, ScoreCAM, image),
        "Score-CAM": lambda: ours.attribute(image, TARGET),
        "Score-CAM, bfloat16": lambda: ours.attribute(image, TARGET, precision="bfloat16"),
    }
    # Flat maps share a pass: which of the maps are flat depends on the image.
    needed = 1.0 + _distinct_masks(one, image)
    return [
        Contestant("Score-CAM, batch 1", name, run, 1, needed, ours=number > 1)
        for number, (name, run) in enumerate(rows.items())
    ]


def ablation_cam(one: Subject, *, with_stock: bool) -> list[Contestant]:
    """Return Ablation-CAM of one image: every map is set to 0 in turn."""
    image = one.images[:1]
    ours = LayerAblationCam(one.model, one.layer)
    rows: dict[str, Callable[[], object]] = {
        "Ablation-CAM, tail only": lambda: ours.attribute(image, TARGET, way="tail")
    }
    if one.name.startswith("resnet"):
        rows["Ablation-CAM, closed form"] = lambda: ours.attribute(image, TARGET, way="closed")
    found = [Contestant("Ablation-CAM, batch 1", name, run, 1) for name, run in rows.items()]
    if with_stock:
        run = lambda: stock(one, "AblationCAM", image)  # noqa: E731
        name = "pytorch-grad-cam AblationCAM"
        found.insert(0, Contestant(found[0].group, name, run, 1, ours=False))
    return found


def cluster_cam(one: Subject, batch: int) -> list[Contestant]:
    """Return Cluster-CAM with its six clusters, of one target and of five."""
    images = one.images[:batch]
    ours = LayerClusterCam(one.model, one.layer)
    rows = {
        "Cluster-CAM": lambda: ours.attribute(images, TARGET),
        "Cluster-CAM, 5 targets": lambda: ours.attribute_targets(images, LABELS),
        "Cluster-CAM, 10 starts": lambda: ours.attribute(images, TARGET, n_init=10),
        "Cluster-CAM, 1 mask a pass": lambda: _one_a_pass(ours, images),
    }
    group = f"Cluster-CAM, batch {batch}"
    return [Contestant(group, name, run, batch, 7.0) for name, run in rows.items()]


def collection_cam(one: Subject, batch: int) -> list[Contestant]:
    """Return Collection-CAM of the final layer, and of all layers.

    Needed is a forward and a backward pass to the first of the layers, measured beside it, and
    one pass for each collection.
    """
    images = one.images[:batch]
    found = []
    for layers in ([one.layer], one.layers):
        ours = LayerCollectionCam(one.model, layers)
        result = ours.explain(images, [TARGET])
        collections = float(sum(layer.sizes.sum() for layer in result.layers)) / batch
        group = f"Collection-CAM, {len(layers)} layer{'s' * (len(layers) > 1)}, batch {batch}"
        found += [
            Contestant(
                group,
                "forward and backward pass",
                lambda layers=layers: _gradients(one, layers, images),  # type: ignore[misc]
                batch,
                ours=False,
            ),
            Contestant(
                group,
                "Collection-CAM",
                lambda ours=ours: ours.attribute(images, TARGET),  # type: ignore[misc]
                batch,
                collections,
            ),
        ]
    return found


def _distinct_masks(one: Subject, image: Tensor) -> int:
    """Return how many different masks an image's maps make."""
    with torch.no_grad(), capture([one.layer]) as captured:
        one.model(image)
    maps = captured.activations(0)[0][0].flatten(1)
    flat = maps.amax(dim=1) == maps.amin(dim=1)
    return int((~flat).sum()) + int(flat.any())


def _one_a_pass(cam: LayerClusterCam, images: Tensor) -> list[Tensor]:
    return [cam.attribute(image[None], TARGET, perturbations_per_eval=1) for image in images]


def _gradients(one: Subject, layers: Sequence[torch.nn.Module], images: Tensor) -> object:
    moved = images.contiguous(memory_format=torch.channels_last)
    with capture(layers, gradients=True) as captured:
        outputs = one.model(moved)
    return captured.gradients_of_all(outputs[:, TARGET], range(len(layers)))


def _plain(model: torch.nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        model(images)


def stock(one: Subject, name: str, images: Tensor) -> object:
    """Run a class of pytorch-grad-cam, for the final layer."""
    # Made anew each time: its hooks would stay on the model in everybody's passes.
    with getattr(pytorch_grad_cam, name)(one.model, [one.layer]) as cam:
        return cam(images, [ClassifierOutputTarget(TARGET)] * len(images))


def torchcam(one: Subject, method: type, images: Tensor) -> object:
    """Run a class of torchcam, for the final layer."""
    # Its masked passes are made without gradients only where the caller says so.
    gradients = method is GradCAM
    extractor = method(one.model, one.layer, input_shape=tuple(images.shape[1:]))
    try:
        with torch.set_grad_enabled(gradients):
            outputs = one.model(images)
        return extractor(TARGET, outputs) if gradients else extractor(TARGET)
    finally:
        extractor.remove_hooks()


def rounds_of(contestant: Contestant, rounds: int) -> int:
    """Return how often a contestant is measured: those of hundreds of passes less often."""
    slow = contestant.needed >= 100 or contestant.name == "pytorch-grad-cam AblationCAM"
    return math.ceil(rounds / 3) if slow else rounds
