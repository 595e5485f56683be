"""The layout of head weights: near what is alike, reproducible, with words that can be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from captum_cluster.visualization import plot_head_weights
from tests.visualization.reading import words
from tests.visualization.training_figures.legible import assert_words_apart

L, K, C = 4, 5, 8


def two_heads(labels: int = L, subs: int = K, channels: int = C) -> tuple[torch.Tensor, ...]:
    """Labels far from each other, and sub-categories around the label before their own."""
    generator = torch.Generator().manual_seed(0)
    parent = torch.eye(labels, channels)
    near = parent.roll(1, dims=0).repeat_interleave(subs, dim=0)
    return parent, near + 0.05 * torch.randn(near.shape, generator=generator)


def places(figure: Figure) -> tuple[np.ndarray, np.ndarray]:
    """Where circles (L,2) and crosses (L,K,2) are."""
    marks = {"o": [], "x": [], "X": []}
    for line in figure.axes[0].lines:
        marks[line.get_marker()].append(np.stack(line.get_data(), axis=-1))
    crosses = [line for line in figure.axes[0].lines if line.get_marker() in "xX"]
    together = [np.stack(line.get_data(), axis=-1) for line in crosses]
    return np.concatenate(marks["o"]), np.stack(together)


def test_what_is_alike_lies_together() -> None:
    circles, crosses = places(plot_head_weights(*two_heads()))
    assert crosses.shape == (L, K, 2)
    for label in range(L):
        for cross in crosses[label]:
            nearest = np.linalg.norm(circles - cross, axis=1).argmin()
            assert nearest == (label - 1) % L


def test_the_length_of_rows_does_not_count() -> None:
    parent, sub = two_heads()
    one = places(plot_head_weights(parent, sub))
    other = places(plot_head_weights(parent, sub * 64))
    assert all(map(np.array_equal, one, other))


def test_the_layout_depends_on_the_seed_alone() -> None:
    parent, sub = two_heads()
    before = parent.clone(), sub.clone(), np.random.get_state()[1].copy()
    first = places(plot_head_weights(parent, sub, label=2, seed=3))
    assert all(map(np.array_equal, first, places(plot_head_weights(parent, sub, seed=3))))
    assert torch.equal(parent, before[0])
    assert torch.equal(sub, before[1])
    assert np.array_equal(np.random.get_state()[1], before[2])


def test_the_sub_categories_of_the_label_chosen_are_large_and_numbered() -> None:
    figure = plot_head_weights(*two_heads(), label=1, classes=list("abcd"), title="round 3")
    large = [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    assert len(large) == 1
    assert np.array_equal(np.stack(large[0].get_data(), axis=-1), places(figure)[1][1])
    written = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(written) == ["0", "1", "2", "3", "4", "a", "b", "c", "d"]
    said = [text.get_text() for text in words(figure)]
    assert "sub-category of b, with its number" in said
    assert "round 3" in said


def test_each_number_stands_at_its_cross() -> None:
    figure = plot_head_weights(*two_heads(), label=1, classes=list("abcd"))
    circles, crosses = places(figure)
    points = {text.get_text(): text.xy for text in figure.axes[0].texts}
    expected = {
        **dict(zip("abcd", circles, strict=True)),
        **dict(zip("01234", crosses[1], strict=True)),
    }
    assert points.keys() == expected.keys()
    assert all(np.array_equal(points[word], expected[word]) for word in points)


def test_the_words_of_twenty_labels_can_be_read() -> None:
    names = [f"label number {number}" for number in range(20)]
    figure = plot_head_weights(*two_heads(20, 3, 24), label=4, classes=names, title="round 3")
    assert_words_apart(figure)


def test_a_row_of_zeros_has_a_place() -> None:
    parent, sub = two_heads()
    sub[3] = 0
    assert all(np.isfinite(one).all() for one in places(plot_head_weights(parent, sub)))


def test_two_rows_are_enough() -> None:
    circles, crosses = places(plot_head_weights(torch.eye(1, 2), torch.ones(1, 2)))
    assert circles.shape == (1, 2)
    assert crosses.shape == (1, 1, 2)


EYE = torch.eye(3)
BAD = {
    "a list": ({"parent": [[1.0]]}, TypeError, r"parent to be a float tensor \(L,C\)"),
    "integers": ({"sub": torch.ones(6, 3).int()}, TypeError, r"sub to be a float tensor \(L,C\)"),
    "rows": ({"sub": torch.ones(7, 3)}, ValueError, r"\(L\*K,C\) with L = 3 and C = 3, but got sh"),
    "columns": ({"sub": torch.ones(6, 4)}, ValueError, r"\(L\*K,C\) with L = 3 and C = 3"),
    "one column": (
        {"parent": torch.ones(3, 1), "sub": torch.ones(6, 1)},
        ValueError,
        "parent to be of at least 2 columns, but got 1",
    ),
    "nan": ({"parent": EYE * torch.nan}, ValueError, "parent to be finite, but got NaN"),
    "label": ({"label": 3}, ValueError, "label to be an integer from 0 to 2, but got 3"),
    "classes": ({"classes": ["a"]}, ValueError, "a name for each of the 3 labels, but got 1"),
    "perplexity": ({"perplexity": 0}, ValueError, "perplexity to be a number above 0"),
    "seed": ({"seed": -1}, ValueError, "seed to be an integer of at least 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    change, error, message = BAD[case]
    arguments = {"parent": EYE, "sub": torch.ones(6, 3), **change}
    with pytest.raises(error, match=message):
        plot_head_weights(**arguments)
