"""Every method that can be named, ours and stock, and one way to run it."""

from __future__ import annotations

import difflib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster import attr
from captum_cluster._checks import describe, expected, is_integer
from captum_cluster._types import CamResult
from captum_cluster.attr import stock as captum_stock
from captum_cluster.evaluation.custom import custom_map, takes_reshape_transform
from captum_cluster.functional.attribution import Views, sum_views
from captum_cluster.grad_cam import MultiScaleCAM
from captum_cluster.grad_cam import stock as grad_cam_stock
from captum_cluster.hooks import (
    ForwardCount,
    count_forwards,
    grads_kept,
    structure_kept,
    untouched,
)
from captum_cluster.methods import networks_of

Transform = Callable[[Tensor], Tensor]

OWN: dict[str, tuple[Any, dict[str, Any]]] = {
    "cluster-cam": (attr.LayerClusterCam, {}),
    "collection-cam": (attr.LayerCollectionCam, {}),
    "sufficient-collection-cam": (attr.LayerCollectionCam, {"sufficient": True}),
    "minmax-grad-cam": (attr.LayerMinMaxGradCam, {}),
    "d-minmax-grad-cam": (attr.LayerMinMaxGradCam, {"decomposed": True}),
    "minmax-cam": (attr.LayerMinMaxCam, {}),
    "d-minmax-cam": (attr.LayerMinMaxCam, {"decomposed": True}),
    "cam": (attr.LayerClassActivationMap, {}),
    "multi-branch-cam": (attr.LayerMultiBranchCam, {}),
    "multi-level-cam": (attr.LayerMultiLevelCam, {}),
    "sub-category-cam": (attr.LayerSubCategoryCam, {}),
    "score-cam": (attr.LayerScoreCam, {}),
    "ablation-cam": (attr.LayerAblationCam, {}),
    "rise": (attr.LayerRise, {}),
}
"""Our methods by name: a class of the Captum face, and the options that the name stands for."""


@dataclass(frozen=True)
class Method:
    """What there is to know of a method before it is chosen.

    Attributes:
        name: Its name on the command line.
        host: Whose it is: "captum_cluster", "Captum" or "pytorch-grad-cam".
        gradient: Whether it takes a gradient.
        passes: Forward passes for one image: C channels, Q clusters.
        labels: "single", or "multi" where it contrasts the labels present in an image.
        layers: "one", "several" where it makes one map of several, or "all".
        paper: Where it comes from.
    """

    name: str
    host: str
    gradient: bool
    passes: str
    labels: str
    layers: str
    paper: str


@dataclass(frozen=True)
class Run:
    """One method on one image: the map, and what it cost.

    Attributes:
        maps: (1,T,h,w), signed, as the method gives it.
        seconds: Wall time.
        forwards: Images that went through the model, and through the networks of its levels.
        result: What our methods keep for figures; None for stock methods.
    """

    maps: Tensor
    seconds: float
    forwards: int
    result: CamResult | None


def method_names() -> list[str]:
    """Return the names of all methods: ours, Captum's, pytorch-grad-cam's.

    Example:
        >>> {"cluster-cam", "grad-cam", "gradcam++"} <= set(method_names())
        True
    """
    return [*OWN, *captum_stock.STOCK, *grad_cam_stock.STOCK]


def methods() -> list[Method]:
    """Return what there is to know of every method.

    Example:
        >>> next(method for method in methods() if method.name == "minmax-cam").labels
        'multi'
    """
    own = [_own_method(name) for name in OWN]
    captum = [
        Method(name, "Captum", True, "1", "single", "one", "Selvaraju et al. 2017")
        for name in captum_stock.STOCK
    ]
    stock = [
        Method(name, "pytorch-grad-cam", one.gradient, one.passes, "single", one.layers, one.paper)
        for name, one in grad_cam_stock.STOCK.items()
    ]
    return [*own, *captum, *stock]


def _own_method(name: str) -> Method:
    algorithm = OWN[name][0].algorithm
    sufficient = OWN[name][1].get("sufficient", False)
    return Method(
        name,
        "captum_cluster",
        algorithm.gradient,
        "2 + collections + exponents" if sufficient else algorithm.passes,
        "multi" if algorithm.contrasts_labels else "single",
        "several" if algorithm.several_layers else "one",
        "ours, after " + algorithm.paper if sufficient else algorithm.paper,
    )


def check_no_instance(method: Any) -> None:
    """Check that a method is no explainer that was made for one model already.

    Raises:
        TypeError: It is an instance of a class of either host.
    """
    own = captum_stock.is_attribution(type(method)) or grad_cam_stock.is_cam(type(method))
    if own or isinstance(method, MultiScaleCAM):
        what = "the class, a name or a function, not an instance, which is of one model and layer"
        raise TypeError(expected("method", what, f"an instance of {type(method).__name__}"))


def check_method(name: Any) -> str:
    """Return ``name`` if it is a method's.

    Raises:
        TypeError: It is no string, or as ``check_no_instance``.
        ValueError: There is no such method; the message names those that are close.
    """
    names = method_names()
    check_no_instance(name)
    if not isinstance(name, str):
        raise TypeError(expected("method", "the name of a method", describe(name)))
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f" (close: {', '.join(close)})" if close else ""
        what = f"one of {', '.join(names)}{hint}"
        raise ValueError(expected("method", what, repr(name)))
    return name


def takes_several_layers(method: str | Callable[..., Any]) -> bool:
    """Return whether a method, by name or as a class of ours, makes one map of several layers.

    Example:
        >>> takes_several_layers("collection-cam"), takes_several_layers("cluster-cam")
        (True, False)
        >>> takes_several_layers(attr.LayerMultiBranchCam)
        True
    """
    own = OWN[method][0] if isinstance(method, str) and method in OWN else method
    return bool(getattr(getattr(own, "algorithm", None), "several_layers", False))


def run_method(
    method: str | Callable[..., Any],
    model: nn.Module,
    layer: nn.Module | Sequence[nn.Module],
    image: Tensor,
    target: int | Sequence[int],
    *,
    labels: Sequence[int] | None = None,
    reshape_transform: Transform | None = None,
    views: Views | None = None,
    **options: Any,
) -> Run:
    """Run one method on one image, timed and counted, and leave the model as it was found.

    Args:
        method: One of ``method_names()``; or anything that ``custom_map`` takes: a class of
            Captum or pytorch-grad-cam, or a function.
        model: The model.
        layer: Its layer, with feature maps (N,C,h,w); or several, shallow to final, of which
            methods that explain one layer take the last.
        image: (1,c,H,W).
        target: The label explained; or T labels, for which methods that can share passes do so.
        labels: The labels present, for methods that contrast them; None: those predicted.
        reshape_transform: Turns what the layer gives into maps (N,C,h,w); of what has no name here
            for classes whose constructor takes it.
        views: See the image at several sizes and mirrored: the views' maps, rectified, are
            summed at the image's size and divided by their maximum. What the method keeps for
            figures is then not returned.
        **options: Of our methods: their own, and those of how their passes are made. Stock
            methods take none.

    Returns:
        The maps (1,T,h,w) and what they cost; with ``views`` (1,T,H,W) from 0 to 1.

    Raises:
        TypeError: An option that the method does not have, or as ``check_no_instance``.
        RuntimeError: A stock method failed; the message names it and says how.

    Example:
        >>> net = nn.Sequential(
        ...     nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ... ).eval()
        >>> run_method("cluster-cam", net, net[0], torch.rand(1, 3, 8, 8), 2).forwards
        7
        >>> run_method("cluster-cam", net, net[0], torch.rand(1, 3, 8, 8), [2, 5]).maps.shape
        torch.Size([1, 2, 6, 6])
        >>> twice = Views(scales=[1.0, 2.0])
        >>> run_method("grad-cam", net, net[0], torch.rand(1, 3, 8, 8), 2, views=twice).maps.shape
        torch.Size([1, 1, 8, 8])
    """
    check_no_instance(method)
    targets = [int(target)] if is_integer(target) else list(target)  # type: ignore[arg-type]
    layers = [layer] if isinstance(layer, nn.Module) else list(layer)
    if callable(method):
        run: Callable[..., tuple[Tensor, CamResult | None]] = functools.partial(_custom, labels)
    elif check_method(method) in OWN:
        run = _own
        layers = layers if takes_several_layers(method) else layers[-1:]
        if OWN[method][0].algorithm.contrasts_labels and labels is not None:
            options = {"labels": [list(labels)], **options}
    else:
        run = _stock
    kept = (untouched(model), grads_kept(model), structure_kept(model))
    with _all_counted(model) as counts, kept[0], kept[1], kept[2]:
        start = time.perf_counter()
        maps, result = _seen_in(
            views,
            image,
            lambda seen: run(method, model, layers, seen, targets, reshape_transform, options),
        )
        if maps.is_cuda:
            torch.cuda.synchronize(maps.device)
        seconds = time.perf_counter() - start
    return Run(maps.detach().cpu(), seconds, sum(count.images for count in counts), result)


@contextmanager
def _all_counted(model: nn.Module) -> Iterator[list[ForwardCount]]:
    """Count the images that go through a model, and through the networks of its levels."""
    networks, _ = networks_of(model)
    with ExitStack() as stack:
        yield [stack.enter_context(count_forwards(one)) for one in (model, *networks[1:])]


def _seen_in(
    views: Views | None,
    image: Tensor,
    run: Callable[[Tensor], tuple[Tensor, CamResult | None]],
) -> tuple[Tensor, CamResult | None]:
    """Return maps and result of an image, or the sum of its views' maps and no result."""
    if views is None:
        return run(image)
    size = image.shape[-2:]
    return sum_views([view.back(run(view.of(image))[0], size) for view in views.at(size)]), None


def _own(
    name: str,
    model: nn.Module,
    layers: list[nn.Module],
    image: Tensor,
    targets: list[int],
    reshape_transform: Transform | None,
    options: dict[str, Any],
) -> tuple[Tensor, CamResult | None]:
    """Return maps and result of one of our methods."""
    face, preset = OWN[name]
    cam = face(model, layers if len(layers) > 1 else layers[0], reshape_transform=reshape_transform)
    result = cam.explain(image, targets, **{**preset, **options})
    return result.maps, result


def _stock(
    name: str,
    model: nn.Module,
    layers: list[nn.Module],
    image: Tensor,
    targets: list[int],
    reshape_transform: Transform | None,
    options: dict[str, Any],
) -> tuple[Tensor, CamResult | None]:
    """Return the maps of a stock method, and no result."""
    if options:
        what = f"empty for the stock method {name}"
        raise TypeError(expected("options", what, ", ".join(options)))
    found = [
        _stock_map(name, model, layers[-1], image, target, reshape_transform) for target in targets
    ]
    return torch.cat(found, dim=1), None


def _stock_map(
    name: str,
    model: nn.Module,
    layer: nn.Module,
    image: Tensor,
    target: int,
    reshape_transform: Transform | None,
) -> Tensor:
    """Return the map (1,1,h,w) of a stock method for one label."""
    try:
        if name in captum_stock.STOCK:
            return captum_stock.stock_map(name, model, layer, image, target, reshape_transform)
        return grad_cam_stock.stock_map(name, model, layer, image, target, reshape_transform)
    except ImportError:
        raise
    except Exception as error:  # the hosts let anything out, cv2's own errors included
        got = f"{type(error).__name__}: {error}"
        raise RuntimeError(expected(f"the stock method {name}", "to run here", got)) from error


def _custom(
    labels: Sequence[int] | None,
    method: Callable[..., Any],
    model: nn.Module,
    layers: list[nn.Module],
    image: Tensor,
    targets: list[int],
    reshape_transform: Transform | None,
    options: dict[str, Any],
) -> tuple[Tensor, CamResult | None]:
    """Return the maps of a method that has no name here, and no result."""
    if reshape_transform is not None:
        if not takes_reshape_transform(method):
            what = "None for a method that does not take one, which can have its own"
            raise ValueError(expected("reshape_transform", what, "a function"))
        options = {"reshape_transform": reshape_transform, **options}
    found = [
        custom_map(method, model, layers, image, target, labels=labels, **options)
        for target in targets
    ]
    return torch.stack(found, dim=1), None


def passes(forwards: int) -> str:
    """Return a number of forward passes as a person reads it.

    Example:
        >>> passes(1), passes(7)
        ('1 forward pass', '7 forward passes')
    """
    return f"{forwards} forward pass" + ("" if forwards == 1 else "es")


def warm_up(name: str) -> None:
    """Run a method once on a tiny network, so that a later timing holds no imports.

    Example:
        >>> warm_up("grad-cam")
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the accelerators, which fork_rng leaves alone.
        torch.default_generator.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )
        net[4].sub_category_head = nn.Linear(8, 8)
        image = torch.rand(1, 3, 8, 8)
    options: dict[str, Any] = {"n_masks": 8} if name == "rise" else {}
    run_method(name, net.eval(), net[1], image, 0, labels=[0, 1], **options)
