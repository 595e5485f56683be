"""Class hierarchies: both ways to find one, against a slow walk; files; messages."""

import itertools
import json

import pytest
import torch

from captum_cluster.training import ClassHierarchy

CLASSES = ["cat", "car", "dog", "bus", "boat", "cow"]
LEVELS = [torch.tensor([0, 1, 0, 1, 2, 0]), torch.tensor([0, 1, 0, 1, 1, 0])]


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def spread(points, parts):
    """Sum of the squared distances to the mean of the own part."""
    members = [points[list(part)] for part in parts]
    return sum(float(((rows - rows.mean(dim=0)) ** 2).sum()) for rows in members)


def best_parts(points, number):
    """The partition into ``number`` parts that k-means looks for, by trying all."""
    found = set()
    for owners in itertools.product(range(number), repeat=len(points)):
        if len(set(owners)) == number:
            found.add(
                frozenset(
                    frozenset(i for i, owner in enumerate(owners) if owner == part)
                    for part in range(number)
                )
            )
    return min(found, key=lambda parts: spread(points, parts))


def slow_levels(rows_of, length, sizes):
    """The paper's iteration on sets of labels, in the order of their first members."""
    groups, levels = [frozenset([label]) for label in range(length)], []
    for size in sizes:
        parts = best_parts(rows_of(groups), size)
        merged = [frozenset().union(*(groups[place] for place in part)) for part in parts]
        groups = sorted(merged, key=min)
        levels.append([next(i for i, g in enumerate(groups) if x in g) for x in range(length)])
    return levels


def as_groups(level):
    return [
        frozenset((level == group).nonzero().flatten().tolist())
        for group in range(int(level.max()) + 1)
    ]


# --- found ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[4, 2], [3], [5, 4, 2, 1], [6, 3, 3]])
@pytest.mark.parametrize("seed", [0, 1])
def test_from_weights_by_the_slow_walk(sizes, seed):
    weight = draw(6, 3, seed=seed)

    def rows_of(groups):
        return torch.stack([weight[sorted(group)].mean(dim=0) for group in groups])

    found = ClassHierarchy.from_weights(weight, sizes)
    assert [level.tolist() for level in found.groups] == slow_levels(rows_of, 6, sizes)
    assert found.sizes == sizes


@pytest.mark.parametrize("sizes", [[4, 2], [5, 3, 1]])
def test_fit_by_the_slow_walk(sizes):
    rows = {number: draw(number, 3, seed=number) for number in range(1, 7)}
    calls = []

    def train(groups):
        calls.append(groups.clone())
        count = int(groups.max()) + 1
        groups.zero_()  # a training may do with its argument what it likes
        return rows[count].clone().requires_grad_()

    found = ClassHierarchy.fit(train, sizes, num_labels=6)
    expected = slow_levels(lambda groups: rows[len(groups)], 6, sizes)
    assert [level.tolist() for level in found.groups] == expected
    # Trained on the labels, then on each level but the last.
    assert [call.tolist() for call in calls] == [list(range(6)), *expected[:-1]]
    assert all(not level.requires_grad for level in found.groups)


def test_one_group_and_as_many_as_labels():
    found = ClassHierarchy.from_weights(draw(4, 2), [4, 1], classes=CLASSES[:4])
    assert [level.tolist() for level in found.groups] == [[0, 1, 2, 3], [0, 0, 0, 0]]
    assert found.names(0) == CLASSES[:4]
    assert found.names(1) == ["{cat, car, dog, bus}"]


def test_the_same_again():
    weight, state = draw(20, 8), torch.random.get_rng_state()
    one, two = (ClassHierarchy.from_weights(weight, [8, 5], seed=1) for _ in range(2))
    assert one == two
    assert torch.equal(torch.random.get_rng_state(), state)
    others = [ClassHierarchy.from_weights(weight, [8, 5], seed=seed) for seed in range(2, 8)]
    assert any(one != other for other in others)


# --- asked ------------------------------------------------------------------------------------


def test_members_and_names():
    hierarchy = ClassHierarchy(LEVELS, CLASSES)
    assert hierarchy.members(0, 0) == [0, 2, 5]
    assert hierarchy.members(1, 1) == [1, 3, 4]
    assert hierarchy.names(0) == ["{cat, dog, cow}", "{car, bus}", "boat"]
    assert hierarchy.name(1, 1) == "{car, bus, boat}"
    assert (hierarchy.num_labels, hierarchy.sizes) == (6, [3, 2])
    assert ClassHierarchy(LEVELS).names(0) == ["{0, 2, 5}", "{1, 3}", "4"]
    assert repr(hierarchy) == "ClassHierarchy(6 labels, sizes [3, 2])"


def test_the_levels_are_copies():
    levels = [level.clone() for level in LEVELS]
    hierarchy = ClassHierarchy(levels)
    levels[0].zero_()
    assert torch.equal(hierarchy.groups[0], LEVELS[0])


def test_equality():
    assert ClassHierarchy(LEVELS, CLASSES) == ClassHierarchy(LEVELS, CLASSES)
    assert ClassHierarchy(LEVELS, CLASSES) != ClassHierarchy(LEVELS)
    assert ClassHierarchy(LEVELS) != ClassHierarchy(LEVELS[:1])
    assert ClassHierarchy(LEVELS) != LEVELS


@pytest.mark.parametrize("place", [-1, 2])
def test_bad_level(place):
    message = f"Expected level to be an integer from 0 to 1, but got {place}"
    for ask in (ClassHierarchy(LEVELS).names, lambda n: ClassHierarchy(LEVELS).members(n, 0)):
        with pytest.raises(ValueError, match=message):
            ask(place)


def test_bad_group():
    with pytest.raises(ValueError, match="Expected group to be an integer from 0 to 2, but got 3"):
        ClassHierarchy(LEVELS).name(0, 3)


# --- kept -------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [None, [*CLASSES[:5], "Küh"]])
def test_a_file_and_back(classes, tmp_path):
    hierarchy, path = ClassHierarchy(LEVELS, classes), tmp_path / "hierarchy.json"
    hierarchy.save(path)
    assert ClassHierarchy.load(str(path)) == hierarchy
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content == {"classes": classes, "groups": [level.tolist() for level in LEVELS]}


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"groups": [[0, 1]]}',
        '{"groups": [[0, 0.5]], "classes": null}',
        '{"groups": [[0, true]], "classes": null}',
        '{"groups": [], "classes": null}',
        '{"groups": [[0, 2]], "classes": null}',
        '{"groups": [[0, 1]], "classes": ["one"]}',
        '{"groups": 3, "classes": null}',
    ],
)
def test_a_file_of_something_else(text, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(
        ValueError, match=r"Expected path to be a file of a hierarchy, but got .*\("
    ):
        ClassHierarchy.load(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        ClassHierarchy.load(tmp_path / "none.json")


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "classes", "error", "message"),
    [
        (LEVELS[0], None, TypeError, r"groups to be a sequence of LongTensors \(L,\)"),
        ([], None, ValueError, "at least one, but got none"),
        ([[0, 1]], None, TypeError, r"groups\[0\] to be a LongTensor \(L,\)"),
        ([LEVELS[0].int()], None, TypeError, r"groups\[0\] to be a LongTensor \(L,\)"),
        ([LEVELS[0], LEVELS[1][:5]], None, ValueError, r"groups\[1\] to be a LongTensor \(6,\)"),
        ([LEVELS[0] * 2], None, ValueError, r"groups\[0\] to be numbered from 0 without gaps"),
        (LEVELS[::-1], None, ValueError, r"groups\[1\] to merge whole groups of the level before"),
        (LEVELS, CLASSES[:5], ValueError, "classes to be 6 names, one for each label, but got 5"),
        (LEVELS, "abcdef", TypeError, "classes to be 6 names"),
        (LEVELS, [1, 2, 3, 4, 5, 6], TypeError, "classes to be 6 names"),
    ],
    ids=["tensor", "none", "list", "int", "length", "gaps", "nested", "few", "word", "numbers"],
)
def test_bad_hierarchy(groups, classes, error, message):
    with pytest.raises(error, match=message):
        ClassHierarchy(groups, classes)


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ([], ValueError, "sizes to be a sequence of numbers of groups, at least one, but got none"),
        (3, TypeError, "sizes to be a sequence of numbers of groups"),
        ("32", TypeError, "sizes to be a sequence of numbers of groups"),
        ([5], ValueError, r"sizes\[0\] to be an integer from 1 to the number of labels \(4\)"),
        ([3, 0], ValueError, r"sizes\[1\] to be an integer from 1 to the size of the level before"),
        ([2, 3], ValueError, r"sizes\[1\] .* the size of the level before \(2\), but got 3"),
        ([2.5], TypeError, r"sizes\[0\] to be an integer"),
    ],
)
def test_bad_sizes(sizes, error, message):
    with pytest.raises(error, match=message):
        ClassHierarchy.from_weights(draw(4, 2), sizes)

    def train(groups):
        raise AssertionError("trained before the sizes were checked")

    with pytest.raises(error, match=message):
        ClassHierarchy.fit(train, sizes, num_labels=4)


@pytest.mark.parametrize(
    ("rows", "error"),
    [(torch.zeros(3, 2), ValueError), (torch.zeros(4), ValueError), ([[0.0]] * 4, TypeError)],
    ids=["few", "flat", "list"],
)
def test_bad_training(rows, error):
    message = r"Expected the rows of train_fn to be a floating-point tensor \(4,D\), but got "
    with pytest.raises(error, match=message):
        ClassHierarchy.fit(lambda groups: rows, [2], num_labels=4)


def test_bad_numbers_of_labels():
    def train(groups):
        raise AssertionError("trained before the labels were checked")

    with pytest.raises(ValueError, match="Expected num_labels to be given where classes are not"):
        ClassHierarchy.fit(train, [2])
    with pytest.raises(ValueError, match="Expected classes to be 4 names, one for each label"):
        ClassHierarchy.fit(train, [2], num_labels=4, classes=CLASSES)
    with pytest.raises(ValueError, match="Expected classes to be 4 names, one for each label"):
        ClassHierarchy.from_weights(draw(4, 2), [2], classes=CLASSES)
    assert ClassHierarchy.fit(lambda groups: draw(6, 2), [2], classes=CLASSES).num_labels == 6


def test_bad_weight():
    with pytest.raises(TypeError, match="Expected weight to be a floating-point tensor"):
        ClassHierarchy.from_weights([[0.0]], [1])
