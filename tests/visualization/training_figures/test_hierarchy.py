"""The tree of groups joins what merges, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from captum_cluster.visualization import plot_hierarchy
from tests.visualization.reading import words
from tests.visualization.training_figures.legible import assert_words_apart

NAMES = ["cat", "car", "dog", "bus", "cow"]
# {cat, dog}, then {car, bus}, then {cat, dog, cow}
LEVELS = [torch.tensor(one) for one in ([0, 1, 0, 2, 3], [0, 1, 0, 1, 2], [0, 1, 0, 1, 0])]
VOC = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
]  # fmt: skip


def order(figure: Figure) -> list[str]:
    """The names of the labels from above."""
    return [tick.get_text() for tick in figure.axes[0].get_yticklabels()]


def lines(figure: Figure) -> set[tuple[float, float, float, float, str]]:
    """Each line as x0, y0, x1, y1 and its colour."""
    known = {to_rgba(name): name for name in ("tab:blue", "tab:green", "tab:purple", "0.7")}
    found = set()
    for line in figure.axes[0].lines:
        x, y = line.get_data()
        if len(x) == 2:
            found.add((*map(float, (x[0], y[0], x[1], y[1])), known[to_rgba(line.get_color())]))
    return found


def test_a_tree_by_hand() -> None:
    figure = plot_hierarchy(LEVELS, NAMES)
    assert order(figure) == ["cat", "dog", "cow", "car", "bus"]
    blue, green, purple, grey = "tab:blue", "tab:green", "tab:purple", "0.7"
    assert lines(figure) == {
        (0, 0, 1, 0, blue), (0, 1, 1, 1, blue), (1, 0, 1, 1, blue),  # {cat, dog}
        (0, 2, 1, 2, grey), (0, 3, 1, 3, grey), (0, 4, 1, 4, grey),
        (1, 3, 2, 3, green), (1, 4, 2, 4, green), (2, 3, 2, 4, green),  # {car, bus}
        (1, 0.5, 2, 0.5, grey), (1, 2, 2, 2, grey),
        (2, 0.5, 3, 0.5, purple), (2, 2, 3, 2, purple), (3, 0.5, 3, 2, purple),  # with {cow}
        (2, 3.5, 3, 3.5, grey),
    }  # fmt: skip
    numbers = {text.xy: text.get_text() for text in figure.axes[0].texts}
    assert numbers == {
        (1, 0.5): "0", (1, 2): "3", (1, 3): "1", (1, 4): "2",
        (2, 0.5): "0", (2, 2): "2", (2, 3.5): "1",
        (3, 1.25): "0", (3, 3.5): "1",
    }  # fmt: skip
    heads = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert heads == ["level 1\n4 groups", "level 2\n3 groups", "level 3\n2 groups"]


def random_levels(seed: int, labels: int, sizes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    levels, before = [], torch.arange(labels)
    for size in sizes:
        count = int(before.max()) + 1
        merge = torch.randint(0, size, (count,), generator=generator)
        before = merge[before].unique(return_inverse=True)[1]
        levels.append(before)
    return levels


@pytest.mark.parametrize("seed", range(5))
def test_no_lines_cross(seed: int) -> None:
    levels = random_levels(seed, 20, (12, 8, 5))
    figure = plot_hierarchy(levels, VOC)
    assert sorted(order(figure)) == sorted(VOC)
    place = {name: number for number, name in enumerate(order(figure))}
    for level in levels:
        for group in set(level.tolist()):
            own = sorted(place[VOC[n]] for n in range(20) if int(level[n]) == group)
            assert own == list(range(own[0], own[-1] + 1)), "a group is not in one piece"


def test_it_can_be_read() -> None:
    figure = plot_hierarchy(random_levels(0, 20, (12, 8, 5)), VOC, title="Groups of labels")
    assert_words_apart(figure)
    assert "Groups of labels" in [text.get_text() for text in words(figure)]


def test_a_hierarchy_knows_its_names() -> None:
    hierarchy = SimpleNamespace(groups=LEVELS, classes=NAMES)
    assert order(plot_hierarchy(hierarchy)) == ["cat", "dog", "cow", "car", "bus"]
    assert order(plot_hierarchy(hierarchy, list("abcde")))[:2] == ["a", "c"]
    assert order(plot_hierarchy(SimpleNamespace(groups=LEVELS, classes=None)))[:2] == ["0", "2"]


def test_one_group_of_one_label() -> None:
    figure = plot_hierarchy([torch.zeros(1, dtype=torch.int64)], ["a $ and a $"])
    assert order(figure) == ["a $ and a $"]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["level 1\n1 group"]
    assert_words_apart(figure)


BAD = {
    "no level": ([], None, ValueError, "at least one integer tensor .* but got none"),
    "one tensor": (LEVELS[0], None, TypeError, "a ClassHierarchy, or a sequence of at least"),
    "a list": ([[0, 1]], None, TypeError, r"a ClassHierarchy, or a sequence .* but got \[0, 1\]"),
    "floats": ([torch.zeros(3)], None, TypeError, "integer tensor"),
    "lengths": ([LEVELS[0], LEVELS[1][:4]], None, ValueError, "all of equal length"),
    "two axes": ([LEVELS[0][None]], None, ValueError, "all of equal length"),
    "split": (
        [LEVELS[0], torch.tensor([0, 1, 1, 1, 2])],
        None,
        ValueError,
        "nested, each level merging .* but got group 0 of level 1 split at level 2",
    ),
    "names": (LEVELS, ["a"], ValueError, "a name for each of the 5 labels, but got 1"),
    "a word": (LEVELS, "abcde", TypeError, "classes to be a name for each"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    levels, classes, error, message = BAD[case]
    with pytest.raises(error, match=message):
        plot_hierarchy(levels, classes)
