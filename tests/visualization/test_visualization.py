"""Colours where the map is high, words that neither overlap nor leave the figure, whole files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from captum_cluster.visualization import Panel, overlay, save_figure, side_by_side
from captum_cluster.visualization.figures import Chart, panel_grid
from tests.visualization.reading import assert_readable, words

GREY = np.full((4, 6, 3), 0.5)
JET_LOW, JET_HIGH = (0, 0, 128), (128, 0, 0)  # jet's ends, rounded


def corner(height: int = 4, width: int = 6) -> torch.Tensor:
    """A map that is 1 in its upper left corner and 0 elsewhere."""
    saliency = torch.zeros(height, width)
    saliency[0, 0] = 1
    return saliency


def test_the_corner_of_the_map_is_coloured() -> None:
    result = overlay(GREY, corner(), alpha=1.0)
    assert result.dtype == np.uint8
    assert result.shape == (4, 6, 3)
    np.testing.assert_allclose(result[0, 0], JET_HIGH, atol=1)
    np.testing.assert_allclose(result[1:].reshape(-1, 3), [JET_LOW] * 18, atol=1)


def test_alpha_mixes() -> None:
    result = overlay(GREY, corner(), alpha=0.25, colormap="gray")
    assert result[0, 0].tolist() == [159] * 3  # 0.75 * 0.5 + 0.25 * 1
    assert result[3, 5].tolist() == [96] * 3  # 0.75 * 0.5
    assert overlay(GREY, corner(), alpha=0)[0, 0].tolist() == [128] * 3


def test_map_is_rectified_and_upsampled() -> None:
    result = overlay(np.zeros((1, 4)), torch.tensor([[-9.0, 2.0]]), alpha=1, colormap="gray")
    # Rectified to 0, 2; bilinear 0, 0.5, 1.5, 2; min-max by 2. The colormap has 256 steps.
    assert result[0, :, 0].tolist() == [0, 64, 192, 255]


@pytest.mark.parametrize("value", [0.0, -3.0, 2.0])
def test_map_without_contrast_leaves_the_picture(value: float) -> None:
    assert (overlay(GREY, np.full((2, 2), value)) == 128).all()


@pytest.mark.parametrize(
    "image",
    [
        GREY,
        GREY.astype(np.float32).transpose(2, 0, 1),
        GREY[:, :, 0],
        torch.from_numpy(GREY).permute(2, 0, 1).half(),
        torch.from_numpy(GREY).requires_grad_(),
        np.full((4, 6, 3), 128, dtype=np.uint8),
        torch.full((3, 4, 6), 128, dtype=torch.uint8),
        Image.new("RGB", (6, 4), (128, 128, 128)),
        Image.new("L", (6, 4), 128),
    ],
)
def test_kinds_of_picture(image: object) -> None:
    assert (overlay(image, corner(2, 2), alpha=0) == 128).all()  # type: ignore[arg-type]
    assert overlay(image, corner(2, 2)).shape == (4, 6, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "saliency",
    [
        corner().double().requires_grad_(),
        corner().bfloat16(),
        corner().int(),
        corner().bool(),
        corner().numpy()[::-1][::-1],
        corner().numpy().astype(np.float64) * 1e300,
    ],
)
def test_kinds_of_map(saliency: object) -> None:
    result = overlay(GREY, saliency, alpha=1)  # type: ignore[arg-type]
    np.testing.assert_array_equal(result, overlay(GREY, corner(), alpha=1))


def test_inputs_are_not_modified() -> None:
    image, saliency = GREY.copy(), corner()
    overlay(image, saliency)
    assert (image == 0.5).all()
    assert torch.equal(saliency, corner())


def test_errors_of_overlay() -> None:
    with pytest.raises(ValueError, match=r"saliency to be finite, but got NaN at index \[0, 1\]"):
        overlay(GREY, torch.tensor([[0.0, torch.nan]]))
    with pytest.raises(ValueError, match="saliency to be finite, but got an infinite value"):
        overlay(GREY, torch.tensor([[0.0, torch.inf]]))
    with pytest.raises(ValueError, match=r"saliency to be of shape \(h, w\), but got shape \(1, 4"):
        overlay(GREY, corner()[None])
    with pytest.raises(TypeError, match=r"saliency to be a tensor or array"):
        overlay(GREY, [[1.0]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"image to be of shape .* but got shape \(4, 6, 2\)"):
        overlay(GREY[:, :, :2], corner())
    with pytest.raises(ValueError, match=r"image to be in \[0, 1\].* but got values from -1 to 0"):
        overlay(GREY * 2 - np.array([2, 1, 1]), corner())
    with pytest.raises(ValueError, match=r"image to be in \[0, 1\].*nan"):
        overlay(GREY * np.nan, corner())
    with pytest.raises(TypeError, match=r"image to be of floats or of dtype uint8"):
        overlay(GREY.astype(np.int64), corner())
    with pytest.raises(TypeError, match=r"image to be a PIL image, a tensor or an array"):
        overlay("a.png", corner())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Expected alpha to be a number from 0 to 1, but got 2"):
        overlay(GREY, corner(), alpha=2)
    with pytest.raises(ValueError, match=r"a matplotlib colormap \(close: 'viridis'.*'virids'"):
        overlay(GREY, corner(), colormap="virids")
    with pytest.raises(TypeError, match="the name of a matplotlib colormap"):
        overlay(GREY, corner(), colormap=3)  # type: ignore[arg-type]


LONG = "a method whose name is long: features.denseblock4.denselayer16.conv2.weights ($3 and $4)"


@pytest.mark.parametrize(
    ("columns", "rows", "shape"),
    [
        (1, 1, (20, 30)),
        (1, 3, (20, 20)),
        (2, 1, (90, 30)),
        (2, 2, (2, 60)),
        (5, 2, (30, 20)),
        (12, 1, (20, 30)),
        (12, 3, (20, 20)),
    ],
)
def test_nothing_overlaps_or_is_clipped(columns: int, rows: int, shape: tuple[int, int]) -> None:
    panels = [
        Panel(np.zeros(shape), LONG if number % 2 else "short", f"0.12 s, 7 forward passes {LONG}")
        for number in range(columns * rows)
    ]
    labels = ["a cat", "", f"row {LONG}"][:rows]
    figure = side_by_side(panels, title=f"Title {LONG}", rows=labels)
    assert len(figure.axes) == columns * rows
    assert_readable(figure)


def test_words_are_in_the_figure() -> None:
    panels = [Panel(GREY, "one", "0.12 s"), Panel(GREY, "two", "3 passes"), Panel(GREY)]
    figure = side_by_side(panels, title="All", rows=["top", "below"])
    found = {text.get_text() for text in words(figure)}
    assert found == {"one", "two", "0.12 s", "3 passes", "All", "top", "below"}
    assert [axes.get_title() for axes in figure.axes] == ["one", "two", ""]


def test_grid_is_filled_row_by_row() -> None:
    figure = side_by_side([Panel(GREY, str(number)) for number in range(5)], rows=2)
    places = {axes.get_title(): axes.get_position() for axes in figure.axes}
    assert places["0"].x0 < places["1"].x0 < places["2"].x0
    assert places["3"].x0 == pytest.approx(places["0"].x0)
    assert places["3"].y1 < places["0"].y0


def test_long_title_wraps_without_losing_a_word() -> None:
    figure = side_by_side([Panel(GREY, LONG)])
    title = figure.axes[0].get_title()
    assert "\n" in title
    assert "".join(title.split()) == "".join(LONG.split())


def test_pictures_of_different_kinds_and_sizes() -> None:
    pictures = [GREY, Image.new("RGB", (30, 90)), torch.zeros(3, 8, 8), np.ones((5, 50))]
    assert_readable(side_by_side([Panel(picture, "title", "caption") for picture in pictures]))


def test_rows_of_different_lengths_with_charts_and_blank_places() -> None:
    drawn = []
    chart = Chart(drawn.append, f"chart {LONG}", "sizes")
    pictures = [Panel(np.zeros((20, 30)), "a"), Panel(np.zeros((30, 20)), LONG, LONG)]
    figure = panel_grid(
        [[chart, *pictures], [None, *pictures], [pictures[0]]], labels=["one", "", LONG], title=LONG
    )
    assert_readable(figure)
    assert len(figure.axes) == 6
    assert drawn == [figure.axes[0]]
    x = [axes.get_position().x0 for axes in figure.axes]
    assert x[3:5] == pytest.approx(x[1:3]), "the blank place is kept"
    assert x[0] > x[5], "a chart leaves room for the labels of its ticks"
    chart_height, *heights = [axes.get_position().height for axes in figure.axes]
    assert max(heights) * 0.85 < chart_height < max(heights), "as high as the row"


def test_frame_and_title_have_its_colour() -> None:
    figure = side_by_side([Panel(GREY, "plain"), Panel(GREY, "framed", "caption", frame="red")])
    plain, framed = figure.axes
    assert not any(spine.get_visible() for spine in plain.spines.values())
    assert plain.title.get_color() == "black"
    assert all(spine.get_visible() for spine in framed.spines.values())
    assert {spine.get_edgecolor() for spine in framed.spines.values()} == {to_rgba("red")}
    assert framed.title.get_color() == "red"
    assert framed.xaxis.label.get_color() == "black"


def test_no_global_state_of_pyplot() -> None:
    code = """
import sys, numpy, captum_cluster.visualization as v
v.side_by_side([v.Panel(numpy.zeros((2, 2)))])
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_errors_of_side_by_side() -> None:
    with pytest.raises(ValueError, match="panels to be a sequence of at least one Panel, but got"):
        side_by_side([])
    with pytest.raises(TypeError, match="panels to be a sequence of at least one Panel"):
        side_by_side([GREY])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="panels to be a sequence of at least one Panel"):
        side_by_side(Panel(GREY))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"rows to be an integer from 1 to the number of panels"):
        side_by_side([Panel(GREY)], rows=2)
    with pytest.raises(ValueError, match=r"number of rows to be .* \(1\), but got 2"):
        side_by_side([Panel(GREY)], rows=["a", "b"])
    with pytest.raises(TypeError, match="rows to be an integer"):
        side_by_side([Panel(GREY)], rows="a")
    with pytest.raises(ValueError, match="image to be of shape"):
        side_by_side([Panel(np.zeros(3))])


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml")]
)
def test_save_figure(tmp_path: Path, name: str, start: bytes) -> None:
    path = save_figure(side_by_side([Panel(GREY, "title")]), tmp_path / name)
    assert path == tmp_path / name
    assert path.read_bytes().startswith(start)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_dpi(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1))
    with Image.open(save_figure(figure, str(tmp_path / "a.png"), dpi=50)) as image:
        assert image.size == (100, 50)


def test_an_error_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_text("older")
    figure = Figure()

    def half(draft: Path, **_: object) -> None:
        draft.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", half)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, path)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    path = save_figure(Figure(), tmp_path / "a.png")
    assert path.stat().st_mode == usual.stat().st_mode


def test_errors_of_save_figure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path to be a file name ending in \.png, \.pdf, \.svg"):
        save_figure(Figure(), tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match="path to be in an existing folder"):
        save_figure(Figure(), tmp_path / "no" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError, match="path to be a file, but got the directory"):
        save_figure(Figure(), tmp_path / "folder.png")
    with pytest.raises(TypeError, match="path to be a file name"):
        save_figure(Figure(), 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="figure to be a matplotlib Figure"):
        save_figure("figure", tmp_path / "a.png")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dpi to be a number above 0"):
        save_figure(Figure(), tmp_path / "a.png", dpi=0)
