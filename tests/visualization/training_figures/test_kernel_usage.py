"""Histograms, correlations and shared kernels, read back from the figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from captum_cluster.visualization import (
    plot_label_correlation,
    plot_shared_kernels,
    plot_weight_histograms,
)
from tests.visualization.reading import assert_readable, words
from tests.visualization.training_figures.legible import assert_words_apart

GENERATOR = torch.Generator().manual_seed(0)
BEFORE = torch.randn(5, 30, generator=GENERATOR)
AFTER = torch.rand(5, 30, generator=GENERATOR) ** 3 * 4
BOTH = {"before": BEFORE, "after": AFTER}
VOC = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
]  # fmt: skip


def bars(axes: Axes) -> list[tuple[float, float, int, str]]:
    """Each bar as its two edges, its height and its colour."""
    return [
        (
            bar.get_x(),
            bar.get_x() + bar.get_width(),
            int(bar.get_height()),
            to_hex(bar.get_facecolor()),
        )
        for bar in axes.patches
    ]


def slow_count(values: list[float], low: float, high: float, first: bool, last: bool) -> int:
    """How many values a bar holds; the outermost bars hold what lies beyond."""
    return sum((first or v >= low) and (last or v < high) for v in values)


@pytest.mark.parametrize("head", [0, 1])
def test_each_histogram_counts_the_weights_of_its_label(head: int) -> None:
    figure = plot_weight_histograms(BOTH, bins=12, classes=list("abcde"))
    own = figure.axes[6 * head : 6 * head + 6]
    assert [axes.get_title() for axes in own] == ["all labels", *"abcde"]
    weight = list(BOTH.values())[head].double()
    for axes, values in zip(own, [weight.flatten(), *weight], strict=True):
        found = bars(axes)
        for place, (low, high, count, colour) in enumerate(found):
            ends = place == 0, place == len(found) - 1
            assert count == slow_count(values.tolist(), low, high, *ends)
            assert colour == ("#d55e00" if high <= 1e-9 else "#0072b2")
        assert sum(bar[2] for bar in found) == len(values)


def test_the_range_of_a_head_is_that_of_its_weights() -> None:
    weight = torch.linspace(-2, 3, 2000)[None]
    figure = plot_weight_histograms(weight, bins=10)
    found = bars(figure.axes[1])
    assert found[0][0] == pytest.approx(-2, abs=0.5)
    assert found[-1][1] == pytest.approx(3, abs=0.5)
    assert any(abs(low) < 1e-9 for low, *_ in found), "no edge at 0"


@pytest.mark.parametrize("value", [0.0, 5.0, -1e-30, 1e30], ids=["0", "5", "tiny", "huge"])
def test_equal_weights_have_a_histogram(value: float) -> None:
    figure = plot_weight_histograms(torch.full((2, 4), value))
    assert [sum(bar[2] for bar in bars(axes)) for axes in figure.axes] == [8, 4, 4]


def test_the_captions_tell_what_is_negative() -> None:
    weight = torch.tensor([[-1.0, 1.0, 2.0, 4.0], [-6.0, -2.0, 0.0, 0.0]])
    captions = [axes.get_xlabel() for axes in plot_weight_histograms(weight).axes]
    assert captions == [
        "38% negative, 56% of |w|",
        "25% negative, 12% of |w|",
        "50% negative, 100% of |w|",
    ]


def test_the_histograms_of_many_labels_can_be_read() -> None:
    weights = {"without": torch.randn(7, 9, generator=GENERATOR), "with": torch.eye(7, 9)}
    figure = plot_weight_histograms(
        weights, bins=9, classes=VOC[:7], title="Weights of the last layer"
    )
    assert {"without", "with"} <= {text.get_text() for text in words(figure)}
    assert_readable(figure)


def table(axes: Axes) -> np.ndarray:
    return np.ma.filled(axes.images[0].get_array().astype(float), np.nan)


def off_diagonal(square: np.ndarray) -> np.ndarray:
    return square[~np.eye(len(square), dtype=bool)]


def test_the_correlations_are_those_of_the_weights() -> None:
    figure = plot_label_correlation(BOTH, classes=list("abcde"))
    for axes, (name, weight) in zip(figure.axes, BOTH.items(), strict=False):
        expected = off_diagonal(np.corrcoef(weight.double().numpy()))
        np.testing.assert_allclose(off_diagonal(table(axes)), expected, atol=1e-12)
        assert np.isnan(np.diag(table(axes))).all()
        assert axes.get_title() == f"{name}\nmean |r| {abs(expected).mean():.2f}"
    limits = [axes.images[0].get_clim() for axes in figure.axes[:2]]
    assert limits[0] == limits[1]
    assert limits[0][0] == -limits[0][1] < 0


@pytest.mark.parametrize("top", [1, 4, 30])
def test_the_shared_kernels_are_those_of_the_weights(top: int) -> None:
    figure = plot_shared_kernels(BOTH, top=top)
    for axes, (name, weight) in zip(figure.axes, BOTH.items(), strict=False):
        strongest = [set(np.argsort(-row)[:top].tolist()) for row in weight.numpy()]
        expected = np.array([[len(one & other) / top for other in strongest] for one in strongest])
        np.testing.assert_allclose(off_diagonal(table(axes)), off_diagonal(expected), atol=1e-12)
        assert axes.get_title() == f"{name}\nmean share {off_diagonal(expected).mean():.2f}"
        assert axes.images[0].get_clim()[0] == 0
    assert f"share of the top {top} kernels in common" in [t.get_text() for t in words(figure)]


@pytest.mark.parametrize("plot", [plot_label_correlation, plot_shared_kernels])
def test_the_tables_of_twenty_labels_can_be_read(plot) -> None:
    weights = {name: torch.randn(20, 12, generator=GENERATOR) for name in ("without", "with")}
    figure = plot(weights, classes=VOC, title="Before and after")
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == VOC
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == VOC
    assert_words_apart(figure)


@pytest.mark.parametrize("plot", [plot_label_correlation, plot_shared_kernels])
def test_one_label_has_nobody_to_be_compared_with(plot) -> None:
    figure = plot(torch.rand(1, 12, generator=GENERATOR))
    assert figure.axes[0].get_title() == "one label"
    assert np.isnan(table(figure.axes[0])).all()
    assert_words_apart(figure)


def test_a_thousand_labels_have_no_names() -> None:
    figure = plot_label_correlation(torch.rand(101, 4, generator=GENERATOR))
    assert len(figure.axes[0].get_xticks()) == 0
    assert figure.get_size_inches().max() < 30


def test_a_convolution_counts_like_a_linear_layer() -> None:
    flat, spread = plot_shared_kernels(BEFORE), plot_shared_kernels(BEFORE[..., None, None])
    np.testing.assert_array_equal(table(flat.axes[0]), table(spread.axes[0]))


BAD = {
    "a list": ([[1.0]], TypeError, r"weights to be a tensor \(L,C\), or a mapping"),
    "no head": ({}, ValueError, "weights to be those of at least one head, but got none"),
    "integers": (BEFORE.int(), TypeError, r"weights to be a float tensor \(L,C\)"),
    "one axis": (BEFORE[0], ValueError, r"weights to be a float tensor \(L,C\)"),
    "a kernel": (torch.rand(2, 3, 3, 3), ValueError, r"\(L,C\) or \(L,C,1,1\), but got"),
    "nan": ({"a": BEFORE * torch.nan}, ValueError, r"weights\['a'\] to be finite, but got NaN"),
    "labels": ({"a": BEFORE, "b": BEFORE[:3]}, ValueError, "equally many labels .* but got 3, 5"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize(
    "plot", [plot_weight_histograms, plot_label_correlation, plot_shared_kernels]
)
def test_bad_weights(plot, case: str) -> None:
    weights, error, message = BAD[case]
    with pytest.raises(error, match=message):
        plot(weights)


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="bins to be an integer of at least 2, but got 1"):
        plot_weight_histograms(BEFORE, bins=1)
    with pytest.raises(ValueError, match=r"top to be an integer from 1 to .*\(30\), but got 31"):
        plot_shared_kernels(BEFORE, top=31)
    for plot in (plot_weight_histograms, plot_label_correlation, plot_shared_kernels):
        with pytest.raises(ValueError, match="a name for each of the 5 labels, but got 2"):
            plot(BEFORE, classes=["a", "b"])
