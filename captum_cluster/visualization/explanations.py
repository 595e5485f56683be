"""Why a map looks as it does: the clusters and collections that were scored, as in the papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from captum_cluster._checks import check_integer, describe, expected
from captum_cluster._types import CamResult
from captum_cluster.methods import ClusterCamResult, CollectionCamResult, LayerCollections
from captum_cluster.visualization.figures import Chart, Panel, panel_grid
from captum_cluster.visualization.overlays import Picture, overlay, to_rgb

_BASE, _SCISSORS = "green", "red"
_MOST_COLUMNS = 7  # of clusters or collections; more continue below
_LEAST_SPREAD = 0.02  # of a chart's vertical axis: keeps the labels of its ticks short


@dataclass(frozen=True, eq=False)
class _View:
    """What is shown of a result: a picture (H,W,3) in [0,1], its number and the target's."""

    pixels: NDArray[np.float32]
    image: int
    target: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


def plot_clusters(
    result: ClusterCamResult, picture: Picture, *, image: int = 0, target: int = 0, title: str = ""
) -> Figure:
    """Return a figure of Cluster-CAM's clusters: what each looks at, and what it is worth.

    Above each cluster's mean map over the picture, below the picture times the cluster's mask
    (black where a mask is 0, whatever the baseline was), with its score and, where it takes part
    in the map, its coefficient. The base, the cluster of the highest score, is framed green and
    the scissors, that of the lowest, red. At the right the picture and the final map.

    Args:
        result: What ``explain`` of Cluster-CAM returns.
        picture: The image that was explained, not normalised: a PIL image, or an array or tensor
            (3,H,W), (H,W,3) or (H,W), float in [0,1] or uint8.
        image: Its number in the batch.
        target: The number of the target among those explained.
        title: Above all.

    Returns:
        The figure, for ``save_figure`` or ``figure_image``.

    Raises:
        TypeError: ``result`` is another method's, or an argument is of another type.
        ValueError: ``image`` or ``target`` is out of range, or ``picture`` is no picture.

    Example:
        >>> from torch import nn, rand
        >>> from captum_cluster.attr import LayerClusterCam
        >>> model = nn.Sequential(
        ...     nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
        ... ).eval()
        >>> picture = rand(3, 16, 16)
        >>> result = LayerClusterCam(model, model[0]).explain(picture[None], [2], n_clusters=3)
        >>> figure = plot_clusters(result, picture)
        >>> len(figure.axes)  # a map and a masked picture each, the picture and the final map
        8
    """
    _check(result, ClusterCamResult, image, target)
    view = _View(to_rgb(picture, "picture"), image, target)
    count = int(result.labels[image].max()) + 1
    masks = result.render_masks(image, view.size)
    above = _lines([_cluster_map(result, view, cluster) for cluster in range(count)])
    below = _lines([_masked(result, view, masks[cluster], cluster) for cluster in range(count)])
    above[0].append(Panel(view.pixels, "picture"))
    below[0].append(_overlay(view, result.maps[image, target], "Cluster-CAM"))
    rows = [row for pair in zip(above, below, strict=True) for row in pair]
    return panel_grid(rows, labels=["cluster maps", "masked pictures"] * len(above), title=title)


def plot_collections(
    result: CollectionCamResult,
    picture: Picture,
    *,
    image: int = 0,
    target: int = 0,
    layer_names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Return a figure of Collection-CAM's collections, a row for each layer, and the fused map.

    A row begins with the validity index DSRA of each partition size that was tried, the chosen
    one marked. The masks of the layer's collections follow, over the picture, with their weights
    and scores.

    Args:
        result: What ``explain`` of Collection-CAM returns.
        picture: The image that was explained, not normalised: a PIL image, or an array or tensor
            (3,H,W), (H,W,3) or (H,W), float in [0,1] or uint8.
        image: Its number in the batch.
        target: The number of the target among those explained.
        layer_names: A name for each layer, shallow to final; None to number them.
        title: Above all.

    Returns:
        The figure, for ``save_figure`` or ``figure_image``.

    Raises:
        TypeError: ``result`` is another method's, or an argument is of another type.
        ValueError: ``image`` or ``target`` is out of range, the names are not as many as the
            layers, or ``picture`` is no picture.

    Example:
        >>> from torch import nn, rand
        >>> from captum_cluster.attr import LayerCollectionCam
        >>> model = nn.Sequential(
        ...     nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
        ... ).eval()
        >>> picture = rand(3, 16, 16)
        >>> cam = LayerCollectionCam(model, [model[0]])
        >>> result = cam.explain(picture[None], [2], partition_sizes=[3])
        >>> figure = plot_collections(result, picture, layer_names=["conv"])
        >>> len(figure.axes)  # a chart and three masks, the picture and the final map
        6
    """
    _check(result, CollectionCamResult, image, target)
    names = _layer_names(layer_names, len(result.layers))
    view = _View(to_rgb(picture, "picture"), image, target)
    masks = result.render_masks(image, view.size, target)
    rows: list[list[Panel | Chart | None]] = []
    labels: list[str] = []
    for name, layer in zip(names, result.layers, strict=True):
        own = range(int(layer.sizes[image, target]))
        lines = _lines([_collection(result, layer, view, masks, number) for number in own])
        chart = _validity_chart(layer, image, target)
        rows += [[None if number else chart, *line] for number, line in enumerate(lines)]
        labels += [name, *[""] * (len(lines) - 1)]
    rows.append([Panel(view.pixels, "picture"), _fused_map(result, view)])
    return panel_grid(rows, labels=[*labels, "all layers"], title=title)


def _check(result: Any, kind: type[CamResult], image: object, target: object) -> None:
    """Check the result's kind, and that it has that image and target."""
    if not isinstance(result, kind):
        raise TypeError(expected("result", f"a {kind.__name__}", describe(result)))
    images, targets = result.maps.shape[:2]
    check_integer("image", image, 0, images - 1, "the last image")
    check_integer("target", target, 0, targets - 1, "the last target")


def _layer_names(names: object, count: int) -> list[str]:
    """Return a name for each layer."""
    if names is None:
        return [f"layer {number} of {count}" for number in range(1, count)] + ["final layer"]
    what = f"a list of {count} names, one for each layer"
    if isinstance(names, (str, bytes)) or not isinstance(names, Sequence):
        raise TypeError(expected("layer_names", what, describe(names)))
    if len(names) != count:
        raise ValueError(expected("layer_names", what, f"{len(names)}"))
    return [str(name) for name in names]


def _lines(panels: Sequence[Panel]) -> list[list[Panel | Chart | None]]:
    """Return panels in lines of nearly equal length, none too long, filled up with blanks."""
    lines = -(-len(panels) // _MOST_COLUMNS)
    columns = -(-len(panels) // lines)
    places = [*panels, *[None] * (lines * columns - len(panels))]
    return [list(places[start : start + columns]) for start in range(0, len(places), columns)]


def _overlay(
    view: _View,
    saliency: Tensor,
    title: str,
    caption: str = "",
    *,
    frame: str | None = None,
    empty: str = "no positive part",
) -> Panel:
    """Return a map over the picture; the caption says so where there is nothing of it to see."""
    positive = saliency.relu()
    if not bool(positive.amax() > positive.amin()):
        missing = "the same everywhere" if bool(positive.any()) else empty
        caption = f"{caption}\n{missing}" if caption else missing
    return Panel(overlay(view.pixels, saliency), title, caption, frame)


def _cluster_map(result: ClusterCamResult, view: _View, cluster: int) -> Panel:
    """Return a cluster's mean map over the picture."""
    role, frame = _role(result, view, cluster)
    words = f"cluster {cluster}, {_maps(result.labels[view.image] == cluster)}"
    title = f"{role}\n{words}" if role else words
    return _overlay(view, result.cluster_maps[view.image, cluster], title, frame=frame)


def _masked(result: ClusterCamResult, view: _View, mask: Tensor, cluster: int) -> Panel:
    """Return what a cluster's mask leaves of the picture, and what the model says of it."""
    # A mask that is not normalised may leave [0,1].
    seen = (view.pixels * mask.detach().cpu().float().numpy()[..., None]).clip(0.0, 1.0)
    caption = f"score {_number(result.scores[view.image, cluster, view.target])}"
    if result.weights is not None:
        # The cluster's members share its coefficient.
        members = result.labels[view.image] == cluster
        weight = float(result.weights[view.image, view.target][members].sum())
        caption += f", weight {weight:+.3g}" if weight else ""
    return Panel(seen, caption=caption, frame=_role(result, view, cluster)[1])


def _role(result: ClusterCamResult, view: _View, cluster: int) -> tuple[str, str | None]:
    """Return a cluster's name in the method, if it has one, and the colour of its frame."""
    is_base = cluster == int(result.base[view.image, view.target])
    is_scissors = cluster == int(result.scissors[view.image, view.target])
    if is_base:
        # One cluster is both where all scores are equal.
        return "base and scissors" if is_scissors else "base", _BASE
    return ("scissors", _SCISSORS) if is_scissors else ("", None)


def _collection(
    result: CollectionCamResult, layer: LayerCollections, view: _View, masks: Tensor, number: int
) -> Panel:
    """Return the mask of a layer's collection over the picture."""
    place = layer.masks.start + number
    title = f"collection {number}, {_maps(layer.labels[view.image, view.target] == number)}"
    weight = _number(result.mask_weights[view.image, place, view.target])
    score = _number(result.scores[view.image, place, view.target])
    caption = f"weight {weight}, score {score}"
    return _overlay(view, masks[place], title, caption, empty="empty mask")


def _fused_map(result: CollectionCamResult, view: _View) -> Panel:
    """Return the final map over the picture, with the power to which it was raised, if any."""
    saliency, title = result.maps[view.image, view.target], "Collection-CAM"
    if result.exponents is None:
        return _overlay(view, saliency, title)
    power = _number(result.exponents[view.image, view.target])
    return _overlay(view, saliency, f"Sufficient {title}", f"raised to the power {power}")


def _validity_chart(layer: LayerCollections, image: int, target: int) -> Chart:
    """Return the validity index of each partition size, the chosen size marked."""
    pairs = zip(layer.partition_sizes, layer.validity[image, target].tolist(), strict=True)
    validity = {size: value for size, value in pairs if not np.isnan(value)}
    chosen = int(layer.sizes[image, target])

    def draw(axes: Axes) -> None:
        axes.spines[["top", "right"]].set_visible(False)
        axes.plot(list(validity), list(validity.values()), "o-", color="grey", markersize=3)
        axes.axvline(chosen, color="black", linewidth=0.8, linestyle=":")
        axes.plot([chosen], [validity[chosen]], "o", color="black", markersize=7)
        low, high = axes.get_ylim()
        room = max(0.0, _LEAST_SPREAD - (high - low)) / 2
        axes.set_ylim(low - room, high + room)
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(4))

    return Chart(draw, "validity (DSRA)", f"partition size: {chosen} chosen")


def _maps(members: Tensor) -> str:
    """Return "1 map" or "7 maps"."""
    count = int(members.sum())
    return "1 map" if count == 1 else f"{count} maps"


def _number(value: Tensor) -> str:
    """Return a number with three digits."""
    return f"{float(value):.3g}"
