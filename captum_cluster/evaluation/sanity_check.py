"""Does an explanation depend on what the model has learnt? Randomise it, and look again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import (
    check_choice,
    check_finite,
    check_integer,
    describe,
    expected,
)
from captum_cluster.evaluation.custom import custom_name, takes_reshape_transform
from captum_cluster.evaluation.randomisation import (
    Mode,
    copied,
    drawn_from,
    module_names,
    randomised,
)
from captum_cluster.evaluation.registry import check_method, run_method
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics.similarity import spearman, ssim
from captum_cluster.hooks import check_layer
from captum_cluster.methods import check_pictures, shared_transform


@dataclass(frozen=True)
class SanityRow:
    """What is left of the explanations when some parameters are random.

    Attributes:
        module: Name of the module whose parameters were randomised last (cascading), or alone
            (independent).
        spearman: For each image the rank correlation of its saliency map with the original one,
            from -1 to 1; NaN where one of the two is flat.
        ssim: For each image the structural similarity of the two, at most 1.
    """

    module: str
    spearman: tuple[float, ...]
    ssim: tuple[float, ...]

    @property
    def mean_spearman(self) -> float:
        """Mean over the images that have one; NaN where none has."""
        return _mean(self.spearman)

    @property
    def mean_ssim(self) -> float:
        """Mean over the images that have one; NaN where none has."""
        return _mean(self.ssim)


@dataclass(frozen=True)
class SanityCheck:
    """How the explanations of a method change while the model forgets.

    Attributes:
        method: The method's name.
        mode: "cascading" or "independent".
        seed: What the random parameters were drawn from.
        rows: One for each step.
    """

    method: str
    mode: Mode
    seed: int
    rows: tuple[SanityRow, ...]

    def table(self) -> str:
        """Return a table for reading: a line for each step, with means over the images."""
        width = max(len("randomised"), *(len(row.module) for row in self.rows))
        images = len(self.rows[0].spearman)
        plural = "" if images == 1 else "s"
        lines = [f"{self.method}, {self.mode} randomisation, {images} image{plural}"]
        lines.append(f"{'randomised':{width}}  Spearman   SSIM")
        for row in self.rows:
            without = sum(math.isnan(value) for value in row.spearman)
            note = f"  (flat, so without Spearman: {without})" if without else ""
            means = f"{row.mean_spearman:8.3f}  {row.mean_ssim:5.3f}"
            lines.append(f"{row.module:{width}}  {means}{note}")
        return "\n".join(lines)


def sanity_check(
    model: nn.Module,
    layer: nn.Module | Sequence[nn.Module],
    images: Tensor,
    targets: int | Sequence[int] | Tensor,
    method: str | Callable[..., Any],
    *,
    mode: Mode = "cascading",
    modules: Sequence[str] | None = None,
    labels: Sequence[Sequence[int]] | None = None,
    seed: int = 0,
    **options: Any,
) -> SanityCheck:
    """Return how alike explanations stay when the model's parameters become random.

    An explanation that does not change does not depend on the model. Each module draws its
    parameters by its own ``reset_parameters``; those that this leaves alone, or of modules without
    one, come from a normal distribution of the same mean and standard deviation. Only parameters
    change: running statistics of batch normalisation stay. All this happens to a copy in eval
    mode; the model and the global random state are left as they are.

    Args:
        model: The model.
        layer: Its layer, or layers, as for ``run_method``.
        images: (N,c,H,W), as the model takes them.
        targets: The label explained, one for all images or one for each.
        method: A method's name, or a class or function as ``run_method`` takes them. A function
            must explain the model it is given, not one that it knows.
        mode: "cascading": a module after the other is randomised, and stays so; "independent":
            one at a time, the others as learnt.
        modules: Names of the modules to randomise, each with all it holds, in this order: for a
            few steps, ``["fc", "layer4", "layer3"]``. None: every module with parameters of its
            own, the one registered last first.
        labels: The labels present in each image, for methods that contrast them.
        seed: What the random parameters are drawn from. A method that draws numbers itself is
            given the same ones at each step. The parameters of a module do not depend on the mode.
        **options: Of the method; without ``reshape_transform`` the one that the layers need is
            found (see ``find_reshape_transform``).

    Returns:
        For each step and image the Spearman rank correlation and the SSIM of the saliency maps
        (ReLU, enlarged to the image, min-max) with the original's.

    Raises:
        TypeError: An argument of a wrong type.
        ValueError: No images, targets or labels that are not one for each image, an unknown
            method, mode or module, nothing to randomise, or a map that is not finite.
        LayerError: The layer is not in the model.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        >>> def edges(model, layer, image, target):
        ...     return image.diff(dim=3).abs().sum(dim=1)
        >>> print(sanity_check(net, net[0], torch.rand(2, 3, 16, 16), 1, edges).table())
        edges, cascading randomisation, 2 images
        randomised  Spearman   SSIM
        0              1.000  1.000

    References:
        Adebayo et al. 2018, "Sanity Checks for Saliency Maps", section 3; Ha and Youn,
        "Collection-CAM", section IV.
    """
    check_choice("mode", mode, ("cascading", "independent"))
    check_integer("seed", seed, 0)
    name = custom_name(method) if callable(method) else check_method(method)
    layers = _check_layers(model, layer)
    rows = _check_rows(images, targets, labels)
    if options.get("reshape_transform") is None and takes_reshape_transform(method):
        transform = shared_transform(*copied(model, layers), images[:1])
        options |= {} if transform is None else {"reshape_transform": transform}

    def explain(net: nn.Module, at: list[nn.Module], when: str) -> Tensor:
        """Return the saliency maps (N,H,W) of all images."""
        found = []
        for number, (target, present) in enumerate(rows):
            with drawn_from(seed, net):
                run = run_method(
                    method, net, at, images[number : number + 1], target, labels=present, **options
                )
            maps = check_finite(f"the map of image {number} {when}", run.maps[0, :1])
            found.append(saliency(maps, images.shape[-2:]))
        return torch.cat(found)

    names = module_names(model, modules)
    steps = randomised(model, layers, names, whole=modules is not None, mode=mode, seed=seed)
    return SanityCheck(name, mode, seed, tuple(_compare(model, layers, steps, explain)))


def _compare(
    model: nn.Module,
    layers: list[nn.Module],
    steps: Iterator[tuple[str, nn.Module, list[nn.Module]]],
    explain: Callable[[nn.Module, list[nn.Module], str], Tensor],
) -> Iterator[SanityRow]:
    """Yield for each step how alike the maps are to those of the model itself."""
    original = explain(*copied(model, layers), "before anything is random")
    for name, net, at in steps:
        shown = name or "(the model's own)"
        maps = explain(net, at, f"with {shown} random")
        values = (spearman(original, maps), ssim(original, maps))
        yield SanityRow(shown, *(tuple(value.tolist()) for value in values))


def _check_layers(model: Any, layer: Any) -> list[nn.Module]:
    """Return the layers as a list."""
    if not isinstance(model, nn.Module):
        raise TypeError(expected("model", "an nn.Module", describe(model)))
    layers = list(layer) if isinstance(layer, (list, tuple)) else [layer]
    if not layers:
        raise ValueError(expected("layer", "at least one module of the model", "none"))
    for one in layers:
        check_layer(model, one)
    return layers


def _check_rows(images: Any, targets: Any, labels: Any) -> list[tuple[int, list[int] | None]]:
    """Return for each image its target and its labels."""
    check_pictures((images,), "images")
    count = len(images)
    listed = targets.tolist() if isinstance(targets, Tensor) else targets
    listed = list(listed) if isinstance(listed, (list, tuple)) else [listed] * count
    if len(listed) != count:
        what = f"one label, or one for each of {count} images"
        raise ValueError(expected("targets", what, f"{len(listed)} of them"))
    listed = [check_integer("targets", target, 0) for target in listed]
    if labels is None:
        return [(target, None) for target in listed]
    if not isinstance(labels, (list, tuple)) or len(labels) != count:
        what = f"a list of labels for each of {count} images"
        raise ValueError(expected("labels", what, describe(labels)))
    return [(target, list(present)) for target, present in zip(listed, labels, strict=True)]


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the numbers that are no NaN; NaN without any."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
