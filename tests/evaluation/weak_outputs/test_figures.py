"""Figures of the first images of a run: which there are, and what they show."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from captum_cluster.evaluation import read_masks
from captum_cluster.evaluation.weak_outputs import figures
from tests.evaluation.weak_outputs.tiny import (
    files,
    maps_by_hand,
    masks,
    pictures,
    proposals,
    scene,
    scenes,
    sometimes,
)
from tests.visualization.weak_figures.reading import legend_words, pixels


@pytest.fixture
def drawn(monkeypatch):
    """The figures as they are drawn, by their titles."""
    found = {}
    for name in ("plot_pseudo_masks", "plot_proposals"):
        original = getattr(figures, name)

        def kept(*arguments, original=original, **options):
            figure = original(*arguments, **options)
            found[options["title"]] = figure
            return figure

        monkeypatch.setattr(figures, name, kept)
    return found


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_figures_of_masks(tmp_path, drawn):
    masks(tmp_path, figures=2, uncertain=0.5)
    assert sorted(files(tmp_path / "figures")) == ["a.png", "folder/b.png"]
    with Image.open(tmp_path / "figures" / "a.png") as image:
        assert len(np.unique(np.asarray(image.convert("RGB")))) > 50
    one, found = scenes()[0], read_masks(tmp_path).mask_of("a").numpy()
    figure = drawn["a"]
    assert titles(figure) == ["picture", "map", "mask", "truth"]
    assert legend_words(figure) == ["cat", "elk", "uncertain"]
    assert np.array_equal(pixels(figure.axes[0]), (one.image * 255).round().permute(1, 2, 0))
    marked = pixels(figure.axes[2])
    for number in (1, 4):  # 0.7 of the colour of the label, 0.3 of the picture
        where = found == number
        colour = np.unique(marked[where] - 0.3 * pixels(figure.axes[0])[where] // 1, axis=0)
        assert np.ptp(colour, axis=0).max() <= 2
    assert not np.array_equal(pixels(figure.axes[1]), pixels(figure.axes[0]))
    assert titles(drawn["folder/b"]) == ["picture", "map", "mask", "truth"]


def test_figures_of_proposals(tmp_path, drawn):
    proposals(tmp_path, figures=9, boxes="component")
    assert sorted(files(tmp_path / "figures")) == ["a.png", "c.png", "folder/b.png"]
    figure = drawn["a"]
    assert titles(figure) == ["picture", "map", "proposals", "truth"]
    true = sorted(tuple(patch.get_bbox().extents + 0.5) for patch in figure.axes[3].patches)
    one = scenes()[0]
    assert true == sorted(box for label in one.present for box in one.boxes_of(label))
    assert len(figure.axes[2].patches) == 2
    assert drawn["folder/b"].axes[2].get_xlabel() == "none"


def test_the_map_is_the_highest_of_the_labels(tmp_path, monkeypatch):
    seen, original = [], figures.plot_pseudo_masks
    monkeypatch.setattr(
        figures, "plot_pseudo_masks", lambda *a, **k: seen.append(a) or original(*a, **k)
    )
    masks(tmp_path, figures=1)
    assert torch.equal(seen[0][1][0], maps_by_hand(scenes()[0]))


@pytest.mark.parametrize("form", ["png", "coco"])
def test_pictures_of_which_no_truth_is_known(tmp_path, drawn, form):
    photos = pictures(tmp_path / "in")
    masks(tmp_path / "out", photos, figures=5, format=form)
    assert sorted(files(tmp_path / "out" / "figures")) == [
        "a.jpg.png", "a.png.png", "deep/grey.png", "deep/opaque.png",
    ]  # fmt: skip
    assert titles(drawn["deep/grey"]) == ["picture", "map", "mask"]


def test_proposals_without_maps_have_an_empty_one(tmp_path, drawn):
    proposals(tmp_path, [scene("a", [0])], figures=1, without_maps=True)
    picture, empty, *_ = map(pixels, drawn["a"].axes)
    assert np.array_equal(picture, empty)


def test_figures_may_be_asked_for_later(tmp_path, monkeypatch):
    first = masks(tmp_path)
    before = files(tmp_path / "masks")
    assert not (tmp_path / "figures").exists()
    assert masks(tmp_path, figures=1) == first
    assert sorted(files(tmp_path / "figures")) == ["a.png"]
    assert files(tmp_path / "masks") == before
    monkeypatch.setattr(figures, "plot_pseudo_masks", None)
    masks(tmp_path, figures=1)


def test_what_failed_and_what_is_gone_has_no_figure(tmp_path):
    masks(tmp_path / "failed", figures=3, method=sometimes)
    assert sorted(files(tmp_path / "failed" / "figures")) == ["a.png", "folder/b.png"]
    photos = pictures(tmp_path / "in")
    masks(tmp_path / "out", photos, figures=9)
    (photos / "a.jpg").unlink()
    masks(tmp_path / "out", photos)
    assert "a.jpg.png" not in files(tmp_path / "out" / "figures")


def test_truth_of_other_labels_is_not_shown(tmp_path, drawn):
    other = scene("a", [1], labels=7)
    masks(tmp_path / "m", [other], figures=1, labels="top")
    assert titles(drawn["a"]) == ["picture", "map", "mask"]
    bare = dataclasses.replace(scene("b", [1]), masks=None)
    proposals(tmp_path / "p", [bare], figures=1, boxes="component")
    assert titles(drawn["b"]) == ["picture", "map", "proposals"]


@pytest.mark.parametrize(("number", "kind"), [(-1, ValueError), (True, TypeError)])
def test_numbers_of_figures_that_are_none(tmp_path, number, kind):
    for make in (masks, proposals):
        with pytest.raises(kind, match="figures to be an integer of at least 0"):
            make(tmp_path / "out", figures=number)
    assert not (tmp_path / "out").exists()
