"""The figure of pseudo masks shows the masks, their agreement and the colours' names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from captum_cluster.functional.weak.palette import voc_palette
from captum_cluster.visualization import overlay
from captum_cluster.visualization.weak_figures import plot_pseudo_masks
from tests.visualization.training_figures.legible import assert_words_apart
from tests.visualization.weak_figures.reading import legend_colours, legend_words, pixels

SIZE = (12, 16)
IMAGES = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
MAPS = torch.rand(2, 3, 3, 4, generator=torch.Generator().manual_seed(1))
TRUTH = torch.zeros(2, *SIZE, dtype=torch.long)
TRUTH[0, 2:6, 2:6] = 1
TRUTH[1, 4:8, 8:12] = 3
TRUTH[1, 0] = 255
FOUND = TRUTH.clone()
FOUND[0, 2:6, 4:6] = 0  # half of the object
FOUND[1, 1:3] = 255
NAMES = ["cat", "cow", "dog"]


def drawn(**options: object) -> Figure:
    arguments = {"images": IMAGES, "maps": MAPS, "steps": {"alone": FOUND, "+ CRF": TRUTH}}
    return plot_pseudo_masks(**{**arguments, "truth": TRUTH, "classes": NAMES, **options})


def test_the_words() -> None:
    figure = drawn(rows=["first", "second"], title="Masks $ and maps")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["picture", "map", "alone", "+ CRF", "truth"] + [""] * 5
    words = [text.get_text() for text in figure.texts]
    assert {"first", "second", "Masks $ and maps"} <= set(words)
    assert legend_words(figure) == ["cat", "dog", "uncertain"]
    assert_words_apart(figure)


def test_without_maps_the_masks_are_beside_the_picture() -> None:
    with_maps, without = drawn(), drawn(maps=None)
    titles = [axes.get_title() for axes in without.axes]
    assert titles == ["picture", "alone", "+ CRF", "truth"] + [""] * 4
    assert np.array_equal(pixels(without.axes[1]), pixels(with_maps.axes[2]))
    assert [axes.get_xlabel() for axes in without.axes[:4]] == [
        axes.get_xlabel() for axes in with_maps.axes[:5] if axes.get_title() != "map"
    ]


def test_the_agreement_below_each_mask() -> None:
    captions = [axes.get_xlabel() for axes in drawn().axes]
    whole = SIZE[0] * SIZE[1]
    # The object's IoU is a half; the background has 8 pixels too many.
    first = (0.5 + (whole - 16) / (whole - 8)) / 2
    # Uncertain pixels of the truth do not count, those of a mask are background.
    assert captions[:5] == ["", "", f"mIoU {first:.2f}", "mIoU 1.00", ""]
    assert captions[5:] == ["", "", "mIoU 1.00", "mIoU 1.00", ""]
    without = drawn(truth=None)
    assert len(without.axes) == 8
    assert not any(axes.get_xlabel() for axes in without.axes)


def test_the_colours_of_the_masks() -> None:
    figure = drawn(alpha=1.0)
    alone = pixels(figure.axes[7])
    palette = voc_palette().numpy()
    mask = FOUND[1].numpy()
    assert (alone[mask == 3] == palette[3]).all()
    stripes = alone[mask == 255]
    assert {tuple(colour) for colour in stripes.tolist()} == {(255, 255, 255), (128, 128, 128)}
    picture = IMAGES[1].permute(1, 2, 0).numpy()
    pale = alone[mask == 0] / 255.0
    original = picture[mask == 0]
    assert (pale >= original - 0.01).all()
    assert np.corrcoef(pale.ravel(), original.ravel())[0, 1] > 0.99
    assert legend_colours(figure)["dog"] == pytest.approx(palette[3] / 255)


def test_half_a_colour_lets_the_picture_through() -> None:
    half = pixels(drawn(alpha=0.5).axes[7])[FOUND[1].numpy() == 3] / 255
    picture = IMAGES[1].permute(1, 2, 0).numpy()[FOUND[1].numpy() == 3]
    assert np.allclose(half, (picture + voc_palette()[3].numpy() / 255) / 2, atol=0.01)


def test_the_map_is_the_highest_of_the_present_labels() -> None:
    present = torch.tensor([[True, False, False], [False, True, True]])
    figure = drawn(present=present)
    assert np.array_equal(pixels(figure.axes[1]), overlay(IMAGES[0], MAPS[0, 0]))
    assert not np.array_equal(pixels(figure.axes[6]), overlay(IMAGES[1], MAPS[1, 1]))
    single = drawn(maps=MAPS[:, 1])
    assert np.array_equal(pixels(single.axes[1]), overlay(IMAGES[0], MAPS[0, 1]))


def test_images_of_several_sizes_and_no_label() -> None:
    images = [torch.rand(3, 6, 9), torch.rand(3, 10, 5)]
    masks = [torch.zeros(6, 9).long(), torch.zeros(10, 5).long()]
    figure = plot_pseudo_masks(images, MAPS, {"alone": masks}, masks)
    assert figure.legends == []
    assert [axes.get_xlabel() for axes in figure.axes[2::4]] == ["mIoU 1.00"] * 2


def test_twenty_labels_in_one_legend() -> None:
    masks = torch.arange(21).repeat_interleave(16)[: 12 * 28].reshape(1, 12, 28)
    names = [f"class number {number} _$x" for number in range(20)]
    figure = plot_pseudo_masks(
        torch.rand(1, 3, 12, 28), torch.rand(1, 2, 2), {"alone": masks}, classes=names
    )
    assert len(legend_words(figure)) == 20
    assert_words_apart(figure)


def test_labels_without_names_have_numbers() -> None:
    assert legend_words(drawn(classes=None)) == ["0", "2", "uncertain"]


@pytest.mark.parametrize("known", ["classes", "maps", "masks"])
def test_of_300_labels_that_with_the_number_255_is_drawn(known: str) -> None:
    masks = torch.tensor([[[0, 255, -1, 300 if known == "masks" else 254]]])
    options = {
        "classes": {"classes": [f"label {number}" for number in range(300)]},
        "maps": {"maps": torch.rand(1, 300, 1, 2)},
        "masks": {},
    }[known]
    arguments = {"images": torch.rand(1, 3, 1, 4), "maps": None, "steps": {"alone": masks}}
    figure = plot_pseudo_masks(**{**arguments, **options}, alpha=1.0)
    shown = pixels(figure.axes[-1])[0]
    name = "label " if known == "classes" else ""
    last = 299 if known == "masks" else 253
    assert legend_words(figure) == [*sorted([f"{name}{last}", f"{name}254"]), "uncertain"]
    assert shown[1].tolist() == voc_palette()[1].tolist()  # the colours in turn
    assert shown[2].tolist() in ([255] * 3, [128] * 3)


@pytest.mark.parametrize(
    ("options", "labels", "number"),
    [
        ({}, 3, 3),
        ({"classes": None}, 3, 2),
        ({"classes": None, "maps": None}, 255, 1),
        ({"ignore_index": 0}, 3, 0),
    ],
    ids=["classes", "maps", "masks", "background"],
)
def test_a_label_is_no_number_for_uncertain_pixels(
    options: dict[str, object], labels: int, number: int
) -> None:
    with pytest.raises(ValueError, match="^Expected ignore_index") as raised:
        drawn(**{"ignore_index": number, **options})
    assert str(raised.value) == (
        f"Expected ignore_index to be outside 0 to the number of labels ({labels}), "
        f"but got {number}."
    )


def test_nothing_given_is_changed() -> None:
    images, masks = IMAGES.clone(), FOUND.clone()
    drawn(images=images, steps={"alone": masks})
    assert torch.equal(images, IMAGES)
    assert torch.equal(masks, FOUND)


WRONG = {
    "no picture": ({"images": []}, ValueError, "Expected images to be a sequence of at least one"),
    "pictures": (
        {"images": "a.png"},
        TypeError,
        "Expected images to be a sequence of at least one",
    ),
    "maps": ({"maps": MAPS[:1]}, ValueError, "Expected maps to be one for each of the 2 pictures"),
    "maps' type": ({"maps": ["a", "b"]}, TypeError, "Expected maps to be float tensors (h,w) or "),
    "maps' shape": (
        {"maps": MAPS[..., 0, 0]},
        ValueError,
        "Expected maps to be of shape (h,w) or ",
    ),
    "steps": ({"steps": [FOUND]}, TypeError, "Expected steps to be a mapping from names to seque"),
    "a step": (
        {"steps": {"alone": FOUND[:1]}},
        ValueError,
        "Expected steps['alone'] to be one for each of the 2 pictures, but got 1.",
    ),
    "a mask's size": (
        {"steps": {"alone": FOUND[:, :6]}},
        ValueError,
        "Expected the mask of 'alone' to be of the picture's size (12, 16), but got (6, 16).",
    ),
    "a mask's type": (
        {"steps": {"alone": FOUND.float()}},
        TypeError,
        "Expected the mask of 'alone' to be an integer tensor (H,W), but got a tensor of shape",
    ),
    "a negative number": (
        {"steps": {"alone": FOUND - 1}},
        ValueError,
        "Expected the mask of 'alone' to be of numbers from 0, or 255, but got -1.",
    ),
    "truth": ({"truth": TRUTH[:1]}, ValueError, "Expected truth to be one for each of the 2 pic"),
    "names": (
        {"classes": ["cat", "cow"]},
        ValueError,
        "Expected classes to be names of at least 3 labels, the highest of the masks, but got 2.",
    ),
    "rows": ({"rows": ["one"]}, ValueError, "Expected rows to be one for each of the 2 pictures"),
    "alpha": ({"alpha": 2}, ValueError, "Expected alpha to be a number from 0 to 1, but got 2."),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    changes, kind, text = WRONG[name]
    with pytest.raises(kind, match="^Expected") as raised:
        drawn(**changes)
    assert str(raised.value).startswith(text)
