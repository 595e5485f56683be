"""The figure of sub-categories shows images of them, and no others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from captum_cluster.visualization import plot_sub_categories
from tests.visualization.reading import assert_readable, words

STEP = 128 + 4  # pixels from one example to the next
N = 40


def coloured(number: int) -> torch.Tensor:
    """A picture whose red channel is its number."""
    picture = torch.full((3, 8, 8), 0.5)
    picture[0] = number / 255
    return picture


PICTURES = torch.stack([coloured(number) for number in range(N)])


def assigned(seed: int = 0, labels: int = 2, count: int = 4) -> torch.Tensor:
    """Sub-categories (N,L), of which about a third are absent."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(-count // 2, count, (N, labels), generator=generator)).clamp(min=-1)


def shown(figure: Figure) -> list[list[int]]:
    """The numbers of the pictures in each panel, read from their colours."""
    found = []
    for axes in figure.axes:
        pixels = np.asarray(axes.images[0].get_array())
        centres = pixels[STEP // 2 :: STEP, STEP // 2 :: STEP].reshape(-1, 3)
        found.append([int(red) for red, green, _ in centres if green != 255])
    return found


def titles(figure: Figure) -> list[tuple[int, int]]:
    """The sub-category and the number of images in the title of each panel."""
    lines = [axes.get_title().split() for axes in figure.axes]
    return [(int(line[1]), int(line[2])) for line in lines]


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("most", [2, 3, None])
def test_the_largest_sub_categories_are_shown_with_all_their_images(
    label: int, most: int | None
) -> None:
    table = assigned()
    figure = plot_sub_categories(PICTURES, table, labels=[label], sub_categories=most, examples=N)
    members = {}
    for number in range(4):
        members[number] = [n for n in range(N) if int(table[n, label]) == number]
    order = sorted(members, key=lambda number: (-len(members[number]), number))[:most]
    assert titles(figure) == [(number, len(members[number])) for number in order]
    assert shown(figure) == [members[number] for number in order]


def test_examples_are_spread_over_the_sub_category() -> None:
    table = torch.zeros(N, 1, dtype=torch.int64)
    figure = plot_sub_categories(PICTURES, table, examples=4)
    assert shown(figure) == [[0, 10, 20, 30]]


def test_the_images_nearest_to_the_mean_come_first() -> None:
    table = torch.tensor([[0], [0], [-1], [0], [0], [0]])
    # The mean is 3: image 2, right on it, lacks the label.
    features = torch.tensor([[0.0], [2.5], [3.0], [4.0], [6.5], [2.0]])
    figure = plot_sub_categories(PICTURES[:6], table, features=features, examples=3)
    assert shown(figure) == [[1, 3, 5]]


def test_only_what_is_shown_is_asked_for() -> None:
    asked = []

    def picture(number: int) -> torch.Tensor:
        asked.append(number)
        return coloured(number)

    figure = plot_sub_categories(picture, assigned(), labels=[1], sub_categories=1, examples=2)
    assert asked == shown(figure)[0]
    assert len(asked) == 2


def test_a_place_without_an_image_is_white() -> None:
    table = torch.tensor([[0], [0], [0]])
    figure = plot_sub_categories(PICTURES[:3], table, examples=8)
    pixels = np.asarray(figure.axes[0].images[0].get_array())
    assert pixels.shape == (2 * STEP - 4, 4 * STEP - 4, 3)  # twice as wide as high
    assert (pixels[: STEP - 4, 3 * STEP :] == 255).all()
    assert (pixels[STEP:] == 255).all()


def test_a_picture_that_is_not_square_is_shown_whole() -> None:
    wide = torch.zeros(3, 4, 16)
    wide[0, :, 0] = wide[1, :, -1] = 1.0  # red at the left, green at the right
    figure = plot_sub_categories([wide], torch.tensor([[0]]), examples=1)
    pixels = np.asarray(figure.axes[0].images[0].get_array())
    assert pixels.shape == (128, 128, 3)
    middle = pixels[64]
    assert middle[0].argmax() == 0
    assert middle[-1].argmax() == 1
    assert (pixels[:40] == 255).all()
    assert (pixels[-40:] == 255).all()


def test_labels_without_an_image_have_no_row() -> None:
    table = torch.tensor([[-1, 0, -1], [-1, 1, -1], [-1, 0, 0]])
    figure = plot_sub_categories(PICTURES[:3], table, classes=["a", "b", "c"], title="round 3")
    written = [text.get_text() for text in words(figure)]
    assert "a" not in written
    assert {"b", "c", "round 3"} <= set(written)
    assert titles(figure) == [(0, 2), (1, 1), (0, 1)]
    assert "sub-category 1\n1 image" in written


def test_labels_come_in_the_order_asked_for() -> None:
    table = torch.tensor([[0, -1], [-1, 0]])
    figure = plot_sub_categories(PICTURES[:2], table, labels=[1, 0])
    assert shown(figure) == [[1], [0]]


def test_many_sub_categories_can_be_read() -> None:
    figure = plot_sub_categories(
        PICTURES,
        torch.arange(N)[:, None] % 10,
        classes=["a potted plant"],
        sub_categories=None,
        title="Sub-categories of round 3",
    )
    tops = [round(axes.get_position().y1, 3) for axes in figure.axes]
    assert [tops.count(top) for top in sorted(set(tops))] == [5, 5]
    assert_readable(figure)


def test_inputs_are_left_as_they_are() -> None:
    table, pictures = assigned(), PICTURES.clone()
    features = torch.rand(N, 3, generator=torch.Generator().manual_seed(0))
    before = table.clone(), features.clone()
    plot_sub_categories(pictures, table, features=features, examples=2)
    assert torch.equal(table, before[0])
    assert torch.equal(features, before[1])
    assert torch.equal(pictures, PICTURES)


TABLE = torch.tensor([[0, -1], [1, -1]])
BAD = {
    "floats": ({"assignments": torch.zeros(2, 2)}, TypeError, "assignments to be an integer"),
    "bools": ({"assignments": TABLE > 0}, TypeError, "assignments to be an integer tensor"),
    "flat": ({"assignments": TABLE[:, 0]}, ValueError, "assignments to be an integer tensor"),
    "no image": ({"assignments": TABLE[:0]}, ValueError, "assignments to be an integer tensor"),
    "pictures": ({"pictures": PICTURES[:3]}, ValueError, "for each of the 2 images .* but got 3"),
    "a word": ({"pictures": "ab"}, TypeError, "pictures to be a sequence of pictures, or a func"),
    "absent": ({"labels": [1]}, ValueError, "those of an image with a label shown, but got none"),
    "labels": ({"labels": [2]}, ValueError, "labels to be an integer from 0 to 1, but got 2"),
    "one label": ({"labels": 1}, TypeError, "labels to be a list of labels"),
    "classes": ({"classes": ["a"]}, ValueError, "a name for each of the 2 labels, but got 1"),
    "most": ({"sub_categories": 0}, ValueError, "sub_categories to be an integer of at least 1"),
    "examples": ({"examples": 0}, ValueError, "examples to be an integer of at least 1"),
    "features": ({"features": torch.zeros(3, 2)}, ValueError, r"float tensor \(2,D\), a row for"),
    "integers": ({"features": torch.zeros(2, 2).int()}, TypeError, r"a float tensor \(2,D\)"),
    "nan": ({"features": torch.full((2, 1), torch.nan)}, ValueError, "features to be finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    change, error, message = BAD[case]
    arguments = {"pictures": PICTURES[:2], "assignments": TABLE, **change}
    with pytest.raises(error, match=message):
        plot_sub_categories(arguments.pop("pictures"), arguments.pop("assignments"), **arguments)
