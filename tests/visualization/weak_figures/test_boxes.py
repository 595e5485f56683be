"""The figure of proposals shows the boxes where they are, with their scores."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from captum_cluster.functional.weak.palette import voc_palette
from captum_cluster.visualization.weak_figures import plot_proposals
from tests.visualization.training_figures.legible import assert_words_apart
from tests.visualization.weak_figures.reading import legend_words, pixels

SIZE = (12, 16)
IMAGES = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
MAPS = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(1))
NAMES = ["cat", "cow", "dog"]


def proposal(label, box, score, peak=None):
    return SimpleNamespace(label=label, box=box, score=score, peak=peak)


FIRST = [proposal(0, (0, 0, 4, 4), 0.9, (2, 3)), proposal(2, (8, 2, 12, 6), 0.5)]
SECOND = [proposal(0, (1, 1, 3, 3), None, (10, 11))]
STEPS = {"alone": [FIRST, []], "with the map": [FIRST[:1], SECOND]}
TRUTH = [[(0, 0.0, 0.0, 4.0, 2.0), (0, 9.0, 9.0, 11.0, 11.0)], [(1, 5.0, 6.0, 7.0, 8.0)]]


def drawn(**options: object) -> Figure:
    arguments = {"images": IMAGES, "maps": MAPS, "steps": STEPS, "truth": TRUTH}
    return plot_proposals(**{**arguments, "classes": NAMES, **options})


def rectangles(axes: Axes) -> list[tuple[float, ...]]:
    """The boxes drawn, as x0, y0, x1, y1 in pixels from the picture's corner."""
    boxes = [patch.get_bbox().extents + 0.5 for patch in axes.patches]
    return [tuple(box.tolist()) for box in boxes]


def test_the_boxes_are_where_they_are() -> None:
    axes = drawn().axes
    assert [axes[0].patches[:], axes[1].patches[:]] == [[], []]
    assert sorted(rectangles(axes[2])) == [(0, 0, 4, 4), (8, 2, 12, 6)]
    assert rectangles(axes[3]) == [(0, 0, 4, 4)]
    assert rectangles(axes[4]) == [(0, 0, 4, 2), (9, 9, 11, 11)]
    assert rectangles(axes[7]) == []
    assert rectangles(axes[8]) == [(1, 1, 3, 3)]
    assert rectangles(axes[9]) == [(5, 6, 7, 8)]
    # A box of the whole picture lies on the picture's edge.
    whole = drawn(steps={"all": [[proposal(0, (0, 0, 16, 12), 1.0)], []]}).axes[2]
    left, right, bottom, top = whole.images[0].get_extent()
    assert tuple(whole.patches[0].get_bbox().extents) == (left, top, right, bottom)


def test_the_colour_is_the_labels() -> None:
    colours = {
        tuple(np.round(255 * np.asarray(patch.get_edgecolor()[:3])))
        for patch in drawn().axes[2].patches
    }
    assert colours == {tuple(voc_palette()[number].tolist()) for number in (1, 3)}


def colours_of(figure: Figure, axes: Axes, labels: Sequence[int]) -> dict[int, int]:
    """How many pixels of the drawn axes have the colour of each label."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    x0, y0, x1, y1 = (int(edge) for edge in axes.get_window_extent().extents)
    shown = np.asarray(canvas.buffer_rgba())[..., :3]
    part = shown[shown.shape[0] - y1 : shown.shape[0] - y0, x0:x1].reshape(-1, 3)
    palette = voc_palette().numpy()
    return {label: int((part == palette[label + 1]).all(axis=1).sum()) for label in labels}


@pytest.mark.parametrize("labels", [[0, 1], [2, 0], [0, 2, 1]], ids=str)
def test_labels_that_share_a_box_are_all_seen(labels: list[int]) -> None:
    box = (2, 2, 14, 10)
    found = [proposal(label, box, 0.9 - 0.1 * label) for label in labels]
    truth = [(label, *map(float, box)) for label in labels]
    grey = torch.full_like(IMAGES, 0.5)
    figure = drawn(images=grey, steps={"alone": [found, []]}, truth=[truth, []])
    for axes in (figure.axes[2], figure.axes[3]):
        assert rectangles(axes) == [box] * len(labels)
        counts = colours_of(figure, axes, labels)
        assert min(counts.values()) > 0.5 * max(counts.values())
    # A label alone, here with the box twice, has an unbroken line.
    alone = drawn(images=grey, steps={"alone": [[*found[:1], *found[:1]], []]}).axes[2]
    assert rectangles(alone) == [box]
    assert alone.patches[0].get_linestyle() == "solid"


def test_of_boxes_that_cross_the_first_is_on_top() -> None:
    shared, other = (2, 2, 10, 8), (4, 4, 14, 10)
    found = [proposal(0, shared, 0.9), proposal(1, other, 0.8), proposal(2, shared, 0.7)]
    axes = drawn(steps={"alone": [found, []]}).axes[2]
    assert rectangles(axes) == [other, shared, shared]


def test_the_peaks_are_on_the_map() -> None:
    axes = drawn().axes
    points = [{tuple(map(float, line.get_xydata()[0])) for line in one.lines} for one in axes]
    assert points[1] == {(3, 2)}
    assert points[6] == {(11, 10)}
    assert not any(points[number] for number in (0, 2, 3, 4, 5, 7, 8, 9))


def test_the_words() -> None:
    figure = drawn(rows=["first", "second"], title="Boxes $")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["picture", "map", "alone", "with the map", "truth"] + [""] * 5
    captions = [axes.get_xlabel() for axes in figure.axes]
    assert captions[2] == "cat 0.90, IoU 0.50\ndog 0.50, IoU 0.00"
    assert captions[3] == "cat 0.90, IoU 0.50"
    assert captions[7:9] == ["none", "cat, IoU 0.00"]
    assert not any(captions[number] for number in (0, 1, 4, 5, 6, 9))
    assert legend_words(figure) == ["cat", "cow", "dog"]
    assert_words_apart(figure)


def test_without_truth_there_is_no_iou() -> None:
    figure = drawn(truth=None)
    assert len(figure.axes) == 8
    assert figure.axes[2].get_xlabel() == "cat 0.90\ndog 0.50"
    assert legend_words(figure) == ["cat", "dog"]


def test_only_the_first_proposals_are_shown() -> None:
    axes = drawn(most=1).axes
    assert rectangles(axes[2]) == [(0, 0, 4, 4)]
    assert axes[2].get_xlabel() == "cat 0.90, IoU 0.50"


def test_nothing_found_and_nothing_true() -> None:
    figure = drawn(steps={"alone": [[], []]}, truth=[[], None])
    assert figure.legends == []
    assert [axes.get_xlabel() for axes in figure.axes[2::4]] == ["none"] * 2


def test_the_pictures_are_as_given() -> None:
    axes = drawn().axes
    picture = IMAGES[0].permute(1, 2, 0).numpy()
    for number in (0, 2, 3, 4):
        assert np.allclose(pixels(axes[number]) / 255, picture, atol=0.01)


WRONG = {
    "maps": ({"maps": MAPS[:1]}, ValueError, "Expected maps to be one for each of the 2 pictures"),
    "steps": ({"steps": [FIRST]}, TypeError, "Expected steps to be a mapping from names to seque"),
    "a step": (
        {"steps": {"alone": [FIRST]}},
        ValueError,
        "Expected steps['alone'] to be one for each of the 2 pictures, but got 1.",
    ),
    "truth": ({"truth": TRUTH[:1]}, ValueError, "Expected truth to be one for each of the 2 pic"),
    "most": ({"most": 0}, ValueError, "Expected most to be an integer of at least 1, but got 0."),
    "names": (
        {"classes": ["cat", "cow"]},
        ValueError,
        "Expected classes to be names of at least 3 labels, the highest of the boxes, but got 2.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    changes, kind, text = WRONG[name]
    with pytest.raises(kind, match="^Expected") as raised:
        drawn(**changes)
    assert str(raised.value).startswith(text)
