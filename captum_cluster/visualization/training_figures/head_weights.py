"""Where the weights of labels and of their sub-categories lie, in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from torch import Tensor

from captum_cluster._checks import check_integer, check_number, expected
from captum_cluster.visualization.training_figures.checking import class_names, weight_rows

_SIZE = (9.0, 8.0)  # inches
_NAME = 9.5  # points
_PLACE = (0.02, 0.08, 0.96, 0.85)  # of the axes; the words below and above need the rest
_DOT = 14.0  # pixels of a circle or a large cross
_FAR = 45.0  # pixels from a point to its word's middle: from there on a line leads to it
_RINGS, _ANGLES = (8.0, 14.0, 24.0, 36.0, 52.0, 72.0), 16  # pixels between a point and its name


def plot_head_weights(
    parent: Tensor,
    sub: Tensor,
    *,
    label: int | None = None,
    classes: Sequence[str] | None = None,
    perplexity: float = 30.0,
    seed: int = 0,
    title: str = "",
) -> Figure:
    """Return a figure of the labels' and the sub-categories' weights, laid out by t-SNE.

    Labels are circles with their names, sub-categories crosses. Of the one label chosen the crosses
    are large and numbered, those of the others pale: a sub-category often lies near a label that it
    appears together with. The distance is the angle between rows (cosine), because the two heads
    learn rows of different length. The layout does not depend on the label chosen.

    Args:
        parent: (L,C) float, the weights of the labels; C at least 2.
        sub: (L*K,C) float, the weights of the sub-categories: row l*K + k is the k-th of label l.
        label: The label whose sub-categories are shown large; None: all alike.
        classes: The names of the L labels; None to number them.
        perplexity: About how many neighbours of a row count, above 0; at most a third of the other
            rows are.
        seed: Of t-SNE, at least 0.
        title: Above all.

    Returns:
        The figure, for ``save_figure`` or ``figure_image``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Sizes do not belong together, weights are not finite, or a number is out of
            range.

    Example:
        >>> import torch
        >>> figure = plot_head_weights(torch.eye(3), torch.eye(3).repeat_interleave(2, 0), label=1)
        >>> sorted(text.get_text() for text in figure.axes[0].texts)  # the names, the numbers
        ['0', '0', '1', '1', '2']

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        figure 6. The paper does not say which distance it takes.
    """
    labels, subs = _rows(parent, sub)
    names = class_names(classes, len(labels))
    chosen = None if label is None else check_integer("label", label, 0, len(labels) - 1)
    check_number("perplexity", perplexity, 0.0, open_low=True)
    rows = np.concatenate([labels, subs])
    places = _layout(rows, min(perplexity, (len(rows) - 1) / 3), check_integer("seed", seed, 0))
    own, others = places[: len(labels)], places[len(labels) :].reshape(len(labels), -1, 2)
    figure = Figure(figsize=_SIZE)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes(_PLACE)
    axes.set_xticks([])
    axes.set_yticks([])
    _draw_points(axes, own, others, chosen)
    renderer: Any = canvas.get_renderer()  # type: ignore[no-untyped-call]
    axes.autoscale_view()  # else the places of points are not known before all is drawn
    numbered = others[:0, 0] if chosen is None else others[chosen]
    words = [*names, *map(str, range(len(numbered)))]
    _write_names(axes, renderer, np.concatenate([own, numbered]), words, others)
    _write_legend(figure, None if chosen is None else names[chosen])
    if title:
        figure.suptitle(title, fontsize=12, parse_math=False)
    return figure


def _rows(parent: Any, sub: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rows of both heads, as arrays."""
    labels, subs = weight_rows("parent", parent), weight_rows("sub", sub)
    if len(subs) % len(labels) or subs.shape[1] != labels.shape[1]:
        what = f"of shape (L*K,C) with L = {len(labels)} and C = {labels.shape[1]}"
        raise ValueError(expected("sub", what, f"shape {tuple(subs.shape)}"))
    if labels.shape[1] < 2:
        raise ValueError(expected("parent", "of at least 2 columns", f"{labels.shape[1]}"))
    return labels.numpy(), subs.numpy()


def _layout(rows: NDArray[np.float64], perplexity: float, seed: int) -> NDArray[np.float64]:
    """Return a place in two dimensions for each row."""
    from sklearn.manifold import TSNE

    # Rows of length 1: then the start, from the principal components, knows angles alone too.
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(length > 0, length, 1.0)
    tsne = TSNE(2, perplexity=perplexity, metric="cosine", init="pca", random_state=seed)
    places: NDArray[np.float64] = tsne.fit_transform(unit).astype(np.float64)
    return places


def _draw_points(
    axes: Axes, own: NDArray[np.float64], others: NDArray[np.float64], chosen: int | None
) -> None:
    """Draw circles (L,2) and crosses (L,K,2), each label in a colour of its own."""
    colours = _colours(len(own))
    for label, colour in enumerate(colours):
        large = label == chosen
        pale = chosen is not None and not large
        axes.plot(
            *others[label].T,
            "X" if large else "x",
            color=colour,
            alpha=0.35 if pale else 1.0,
            markersize=10 if large else 6,
            markeredgecolor="black" if large else colour,
            zorder=3 if large else 1,
        )
        axes.plot(*own[label], "o", color=colour, markersize=11, markeredgecolor="black", zorder=2)


def _colours(count: int) -> list[Any]:
    """Return as many colours, different ones as far as the eye tells them."""
    if count <= 20:
        return [matplotlib.colormaps["tab20"](number) for number in range(count)]
    return [matplotlib.colormaps["hsv"](number / count) for number in range(count)]


def _write_names(
    axes: Axes,
    renderer: RendererAgg,
    points: NDArray[np.float64],
    words: Sequence[str],
    crosses: NDArray[np.float64],
) -> None:
    """Write a word beside each point (M,2), where it covers neither words, points nor crosses."""
    pixels = axes.transData.transform(points)
    taken = [_box(one, np.full(2, _DOT)) for one in pixels]
    small = axes.transData.transform(crosses.reshape(-1, 2))
    taken += [_box(one, np.full(2, _DOT / 2)) for one in small]
    for point, pixel, word in zip(points, pixels, words, strict=True):
        size = _word_size(axes, renderer, word)
        step = _free_step(pixel, size, taken, axes.bbox)
        taken.append(_box(pixel + step, size))
        _write(axes, point, step, word)


def _word_size(axes: Axes, renderer: RendererAgg, word: str) -> NDArray[np.float64]:
    """Return width and height of a word in pixels, with a little air."""
    text = axes.text(0, 0, word, fontsize=_NAME, parse_math=False)
    extent = text.get_window_extent(renderer)
    text.remove()
    return np.array([extent.width + 4, extent.height + 2])


def _box(centre: NDArray[np.float64], size: NDArray[np.float64]) -> Bbox:
    return Bbox([centre - size / 2, centre + size / 2])


def _free_step(
    pixel: NDArray[np.float64], size: NDArray[np.float64], taken: list[Bbox], page: Bbox
) -> NDArray[np.float64]:
    """Return the shortest step from a point to where its word covers nothing."""
    for ring in _RINGS:
        for angle in np.arange(_ANGLES) * (2 * np.pi / _ANGLES) + np.pi / 2:
            way = np.array([np.cos(angle), np.sin(angle)])
            step: NDArray[np.float64] = way * (ring + size / 2)
            box = _box(pixel + step, size)
            inside = page.x0 <= box.x0 and page.y0 <= box.y0 and box.x1 <= page.x1
            if inside and box.y1 <= page.y1 and not box.count_overlaps(taken):
                return step
    return np.zeros(2)  # on its point, where all around is full


def _write(axes: Axes, point: NDArray[np.float64], step: NDArray[np.float64], word: str) -> None:
    """Write a word some pixels from its point, with a line to it where that is far."""
    x, y = step * 72 / axes.figure.dpi
    far = bool(np.hypot(*step) > _FAR)
    axes.annotate(
        word,
        (point[0], point[1]),
        xytext=(x, y),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=_NAME,
        parse_math=False,
        zorder=4,
        arrowprops={"arrowstyle": "-", "color": "0.4", "linewidth": 0.7} if far else None,
    )


def _write_legend(figure: Figure, chosen: str | None) -> None:
    """Say below the axes what circles and crosses are."""
    marks = [
        _mark("o", "label", 10, "black"),
        _mark("x", "sub-category, in the colour of its label", 6, "0.5"),
    ]
    if chosen is not None:
        marks.append(_mark("X", f"sub-category of {chosen}, with its number", 10, "black"))
    legend = figure.legend(handles=marks, loc="lower center", ncols=len(marks), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _mark(marker: str, words: str, size: float, edge: str) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="",
        marker=marker,
        color="0.6",
        markeredgecolor=edge,
        markersize=size,
        label=words,
    )
