"""Explain one image: from a path to a picture with the map over it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms._presets import ImageClassification

from captum_cluster._checks import TargetError, check_finite, check_integer, describe, expected
from captum_cluster._types import CamResult
from captum_cluster.data import as_rgb, load_image
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.output import staged
from captum_cluster.evaluation.preprocessing import denormalize
from captum_cluster.evaluation.registry import (
    check_method,
    passes,
    run_method,
    takes_several_layers,
)
from captum_cluster.functional.attribution import read_scores, saliency
from captum_cluster.hooks import capture, untouched
from captum_cluster.methods import feature_maps, find_layers, shared_transform
from captum_cluster.visualization import overlay

Transform = Callable[[Image.Image], Tensor]
ImageLike = str | os.PathLike[str] | Image.Image | Tensor
LayerLike = nn.Module | str


@dataclass(frozen=True)
class Prepared:
    """An image, a model's layers and its logits, before the label explained is chosen.

    Attributes:
        name: The file's stem, or "image".
        inputs: (1,3,H,W), as the model takes it, on the model's device.
        picture: (3,H,W) in [0,1], what the model saw.
        layer_name: The layer's dotted name; of several, with commas.
        layers: The layers, shallow to final; most methods explain the last.
        logits: (L,), the model's output.
        channels: Number of maps of the last layer.
        reshape_transform: What makes maps of what the layers give: the one given, or found; None
            where they give maps.
    """

    name: str
    inputs: Tensor
    picture: Tensor
    layer_name: str
    layers: tuple[nn.Module, ...]
    logits: Tensor
    channels: int
    reshape_transform: Callable[[Tensor], Tensor] | None

    def at(
        self,
        target: int | None,
        labels: Sequence[int] | None,
        categories: Sequence[str] | None,
    ) -> Subject:
        """Return the subject of an explanation of one label.

        None is the top class, of the labels present where they are given.
        """
        count = len(self.logits)
        present = None
        if labels is not None:
            present = tuple(check_class(one, count, "labels") for one in labels)
        chosen = self._top(present) if target is None else check_class(target, count)
        named = categories is not None and chosen < len(categories)
        return Subject(
            **vars(self),
            target=chosen,
            label=categories[chosen] if categories is not None and named else None,
            probability=float(read_scores(self.logits[None], "probability")[0, chosen]),
            labels=present,
        )

    def _top(self, labels: Sequence[int] | None) -> int:
        if not labels:
            return int(self.logits.argmax())
        return max(labels, key=lambda label: float(self.logits[label]))


@dataclass(frozen=True)
class Subject(Prepared):
    """One image and label, ready to be explained: what the methods have in common.

    Attributes:
        target: The label explained.
        label: Its name, where the names are known.
        probability: Its softmax probability (sigmoid for a model with one output).
        labels: The labels present, where they were given.
    """

    target: int
    label: str | None
    probability: float
    labels: tuple[int, ...] | None = None

    @property
    def named(self) -> str:
        """The target with its name."""
        return f"class {self.target} ({self.label})" if self.label else f"class {self.target}"

    @property
    def title(self) -> str:
        """The target as a person reads it."""
        return f"{self.named}, probability {self.probability:.2f}"


@dataclass(frozen=True)
class Explanation:
    """The map of one image by one method, with what it cost.

    Attributes:
        method: The method's name.
        subject: The image, the layer and the target.
        maps: (1,1,h,w), as the method gives it: signed for our methods.
        seconds: Wall time of the method.
        forwards: Images that went through the model.
        result: What our methods keep for figures; None for stock methods.
    """

    method: str
    subject: Subject
    maps: Tensor
    seconds: float
    forwards: int
    result: CamResult | None = field(repr=False)

    @property
    def target(self) -> int:
        """The label explained."""
        return self.subject.target

    @property
    def layer_name(self) -> str:
        """The layer's name; of several where the method takes several."""
        names = self.subject.layer_name
        return names if takes_several_layers(self.method) else names.split(", ")[-1]

    @property
    def cost(self) -> str:
        """Time and forward passes as a person reads them."""
        return f"{self.seconds:.2f} s, {passes(self.forwards)}"

    def saliency(self) -> Tensor:
        """Return the map as (H,W) in [0,1], at the size of the input."""
        return saliency(self.maps[0, 0].float(), self.subject.picture.shape[1:])

    def overlay(self, *, alpha: float = 0.5, colormap: str = "jet") -> npt.NDArray[np.uint8]:
        """Return the picture with the map in colour over it, uint8 (H,W,3)."""
        return overlay(self.subject.picture, self.maps[0, 0], alpha=alpha, colormap=colormap)

    def save(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Write overlay (PNG), map (NumPy) and facts (JSON); all of them or none.

        Args:
            directory: Made if it is not there.

        Returns:
            The files, named after the image and the method.

        Raises:
            NotADirectoryError: ``directory`` is a file.
            OSError: It cannot be written to.
        """
        stem = f"{self.subject.name}-{self.method}"
        with staged(directory) as stage:
            Image.fromarray(self.overlay()).save(stage / f"{stem}.png")
            np.save(stage / f"{stem}.npy", self.maps[0, 0].float().numpy())
            (stage / f"{stem}.json").write_text(json.dumps(self.facts(), indent=2) + "\n")
            names = sorted(path.name for path in stage.iterdir())
        return [Path(directory) / name for name in names]

    def facts(self) -> dict[str, Any]:
        """Return what is known besides the map, ready for JSON."""
        return {
            "image": self.subject.name,
            "method": self.method,
            "layer": self.layer_name,
            "target": self.subject.target,
            "label": self.subject.label,
            "probability": self.subject.probability,
            "labels": self.subject.labels,
            "forwards": self.forwards,
            "seconds": self.seconds,
        }


def explain(
    model: nn.Module | LoadedModel,
    image: ImageLike,
    method: str = "cluster-cam",
    target: int | None = None,
    layer: LayerLike | Sequence[LayerLike] | None = None,
    *,
    labels: Sequence[int] | None = None,
    transform: Transform | None = None,
    categories: Sequence[str] | None = None,
    reshape_transform: Callable[[Tensor], Tensor] | None = None,
    **options: Any,
) -> Explanation:
    """Explain one image.

    Besides the method's own forward passes, which are counted, one or two are made to find the
    top class and the layer.

    Args:
        model: A classifier with one row of logits (N,L) for each image, or what
            ``captum_cluster.evaluation.load_model`` returns.
        image: A path, a PIL image, or a tensor (3,H,W) or (1,3,H,W) as the model takes it.
        method: One of ours ("cluster-cam", "collection-cam", "minmax-grad-cam", ...), Captum's
            "grad-cam", or a name of pytorch-grad-cam's command line ("gradcam++", "scorecam",
            ...) for its stock method; ``captum-cluster methods`` lists them.
        target: The label explained; None: the top class, of ``labels`` where they are given.
        layer: A module or its dotted name; None: the model's own ``explained_layers`` where it
            has them, else the last in which every place counts (``find_layer``): of convolutional
            networks the last convolutional layer. Several, shallow to final, for methods that
            take them; others explain the last.
        labels: The labels present in the image, for methods that contrast them (minmax-...);
            None: those predicted, which a softmax classifier does not tell.
        transform: From PIL image to the model's input (3,H,W), for paths and PIL images. None:
            the loaded model's own, or the ImageNet one (shorter side to 256, centre 224x224).
        categories: Names of the labels.
        reshape_transform: Turns what the layer gives into maps (N,C,h,w) where it gives
            something else, such as the tokens of a vision transformer. None: see
            ``find_reshape_transform``.
        **options: Of our methods: see their configs.

    Raises:
        TargetError: The target is outside the model's output.
        LayerError: No such layer, or one without feature maps.
        ValueError: An unreadable image, an unknown method, NaN or infinite values.
        TypeError: An argument of a wrong type.
        FileNotFoundError: No such image.

    Example:
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> explanation = explain(model, torch.rand(3, 64, 64), n_clusters=4)
        >>> explanation.maps.shape, explanation.forwards
        (torch.Size([1, 1, 2, 2]), 5)
        >>> explanation.overlay().shape
        (64, 64, 3)
    """
    check_method(method)
    net, transform, categories = loaded(model, transform, categories)
    with untouched(net):
        prepared = prepare(net, image, layer, transform, reshape_transform)
        subject = prepared.at(target, labels, categories)
        return run_on(subject, method, net, options)


def run_on(
    subject: Subject,
    method: str,
    model: nn.Module,
    options: Mapping[str, Any],
) -> Explanation:
    """Return the explanation of a subject by one method."""
    run = run_method(
        method,
        model,
        subject.layers,
        subject.inputs,
        subject.target,
        labels=subject.labels,
        reshape_transform=subject.reshape_transform,
        **options,
    )
    return Explanation(method, subject, run.maps, run.seconds, run.forwards, run.result)


def loaded(
    model: Any, transform: Transform | None, categories: Sequence[str] | None
) -> tuple[nn.Module, Transform, Sequence[str] | None]:
    """Return a model with its transform and label names; those given come first."""
    if isinstance(model, LoadedModel):
        transform = transform or model.transform
        categories = model.categories if categories is None else categories
        model = model.model
    if not isinstance(model, nn.Module):
        raise TypeError(expected("model", "an nn.Module or a LoadedModel", describe(model)))
    return model, transform or ImageClassification(crop_size=224), categories


def prepare(
    model: nn.Module,
    image: ImageLike,
    layer: LayerLike | Sequence[LayerLike] | None,
    transform: Transform,
    reshape_transform: Callable[[Tensor], Tensor] | None,
) -> Prepared:
    """Return an image ready to be explained; see ``explain`` for the arguments and errors."""
    inputs = _inputs(image, transform)
    first = next(model.parameters(), torch.empty(0))
    inputs = inputs.to(first.device, first.dtype)
    found = find_layers(model, inputs, layer)
    layers = tuple(module for _, module in found)
    with torch.no_grad(), untouched(model), capture(layers) as captured:
        logits = _one_row(model(inputs))
    if reshape_transform is None:
        given = [captured.output(number) for number in range(len(layers))]
        reshape_transform = shared_transform(model, layers, inputs, given)
    # Checked here for every method, stock ones too.
    for number in range(len(layers)):
        whole = reshape_transform is not None
        output = captured.output(number) if whole else captured.activations(number)[0]
        channels = feature_maps(output, 1, reshape_transform).shape[1]
    return Prepared(
        Path(image).stem if isinstance(image, (str, os.PathLike)) else "image",
        inputs,
        denormalize(inputs[0].cpu(), transform),
        ", ".join(name for name, _ in found),
        layers,
        logits,
        channels,
        reshape_transform,
    )


def _inputs(image: Any, transform: Transform) -> Tensor:
    """Return the image as the model takes it, (1,3,H,W)."""
    if isinstance(image, (str, os.PathLike)):
        image = load_image(image)
    if isinstance(image, Image.Image):
        image = transform(as_rgb(image))
    what = "a path, a PIL image, or a tensor of shape (3,H,W) or (1,3,H,W)"
    if not isinstance(image, Tensor) or not image.is_floating_point():
        raise TypeError(expected("image", what, describe(image)))
    batch = image[None] if image.ndim == 3 else image
    if batch.ndim != 4 or batch.shape[:2] != (1, 3) or not batch.numel():
        raise ValueError(expected("image", what, describe(image)))
    return check_finite("image", batch.detach())


def _one_row(output: Any) -> Tensor:
    """Return the logits (L,) of the one image."""
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 1:
        what = "to give logits of shape (1,L) for one image"
        raise ValueError(expected("the model", what, describe(output)))
    return output[0]


def check_class(value: Any, count: int, name: str = "target") -> int:
    """Return a class index from 0 to ``count - 1``.

    Raises:
        TypeError: It is no integer.
        TargetError: It is outside the range.
    """
    try:
        return check_integer(name, value, 0, count - 1)
    except ValueError as error:
        raise TargetError(str(error)) from error
