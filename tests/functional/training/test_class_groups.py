"""Groups of labels: k-means by brute force, labels and rows by loops, edges, messages."""

import itertools

import pytest
import torch

from captum_cluster.functional.training import group_classes, group_labels, group_rows
from captum_cluster.functional.training.class_groups import (
    check_groups,
    check_rows,
    count_groups,
    numbered_by_first,
)


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def spread(rows, groups):
    """Equation 2, with the squared distances that k-means minimises."""
    total = 0.0
    for group in set(groups):
        members = rows[[label for label, own in enumerate(groups) if own == group]]
        total += float(((members - members.mean(dim=0)) ** 2).sum())
    return total


def in_order(groups):
    """The same groups, numbered by their first members."""
    order = list(dict.fromkeys(groups))
    return [order.index(group) for group in groups]


# --- finding groups ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_groups", [2, 3, 5])
def test_the_best_partition_of_all(n_groups, seed):
    rows = draw(6, 3, seed=seed)
    best = min(
        (g for g in itertools.product(range(n_groups), repeat=6) if len(set(g)) == n_groups),
        key=lambda groups: spread(rows, groups),
    )
    assert group_classes(rows, n_groups).tolist() == in_order(best)


def test_by_hand():
    rows = torch.tensor([[5.0, 5.0], [0.0, 0.1], [5.1, 5.0], [0.0, 0.0], [-9.0, 0.0]])
    assert group_classes(rows, 3).tolist() == [0, 1, 0, 1, 2]


def test_one_group_and_as_many_as_labels():
    rows = draw(5, 3)
    assert group_classes(rows, 1).tolist() == [0] * 5
    assert group_classes(rows, 5).tolist() == [0, 1, 2, 3, 4]
    # Each label is a group of its own, equal rows or not.
    assert group_classes(torch.zeros(5, 3), 5).tolist() == [0, 1, 2, 3, 4]
    assert group_classes(torch.zeros(5, 3), 1).tolist() == [0] * 5


def test_equal_rows_share_a_group():
    rows = draw(4, 3)[[2, 0, 2, 1, 3, 0]]
    assert group_classes(rows, 4).tolist() == [0, 1, 0, 2, 3, 1]


def test_the_same_again_and_nothing_else_changes():
    rows = draw(30, 4, dtype=torch.float32).requires_grad_()
    kept, state = rows.detach().clone(), torch.random.get_rng_state()
    assert torch.equal(group_classes(rows, 6, seed=3), group_classes(rows, 6, seed=3))
    assert any(
        not torch.equal(group_classes(rows, 6), group_classes(rows, 6, seed=s)) for s in range(1, 9)
    )
    assert torch.equal(rows, kept)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("rows", "n_groups", "error", "message"),
    [
        ([[1.0]], 1, TypeError, r"rows to be a floating-point tensor \(L,D\)"),
        (torch.ones(3, 2).long(), 1, TypeError, r"rows to be a floating-point tensor \(L,D\)"),
        (torch.ones(3), 1, ValueError, r"rows .* shape \(3,\)"),
        (torch.zeros(0, 2), 1, ValueError, r"rows .* shape \(0, 2\)"),
        (torch.full((3, 2), torch.nan), 1, ValueError, "rows to be finite, but got NaN"),
        (torch.eye(3), 0, ValueError, r"from 1 to the number of labels \(3\), but got 0"),
        (torch.eye(3), 4, ValueError, r"from 1 to the number of labels \(3\), but got 4"),
        (torch.eye(3), 2.0, TypeError, "n_groups"),
        (torch.ones(3, 2), 2, ValueError, r"from 1 to the number of distinct rows \(1\)"),
    ],
    ids=["list", "long", "flat", "empty", "nan", "none", "many", "float", "equal"],
)
def test_bad_groups_of_classes(rows, n_groups, error, message):
    with pytest.raises(error, match=message):
        group_classes(rows, n_groups)


def test_bad_seed():
    with pytest.raises(ValueError, match="Expected seed to be an integer from 0"):
        group_classes(torch.eye(3), 2, seed=-1)


# --- labels of groups -------------------------------------------------------------------------

GROUPS = torch.tensor([0, 1, 0, 2, 1])


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_an_image_has_a_group_if_it_has_a_member(dtype):
    labels = (draw(8, 5) > 0.5).to(dtype)
    found = group_labels(labels, GROUPS)
    assert found.shape == (8, 3)
    assert found.dtype == dtype
    for image, group in itertools.product(range(8), range(3)):
        has = any(bool(labels[image, label]) for label in range(5) if GROUPS[label] == group)
        assert bool(found[image, group]) == has


def test_extreme_groups():
    labels = torch.tensor([[0, 1, 1], [0, 0, 0]])
    assert torch.equal(group_labels(labels, torch.arange(3)), labels)
    assert group_labels(labels, torch.zeros(3, dtype=torch.long)).tolist() == [[1], [0]]
    assert group_labels(labels[:0], torch.arange(3)).shape == (0, 3)


def test_soft_labels_keep_the_largest():
    labels = torch.tensor([[0.2, 0.0, 0.7]])
    assert torch.equal(group_labels(labels, torch.tensor([0, 1, 0])), torch.tensor([[0.7, 0.0]]))


@pytest.mark.parametrize(
    ("labels", "groups", "error", "message"),
    [
        ([[1]], GROUPS, TypeError, r"labels to be a tensor \(N,L\)"),
        (torch.ones(5), GROUPS, ValueError, r"labels to be a tensor \(N,L\)"),
        (torch.ones(2, 5), [0, 1], TypeError, r"groups to be a LongTensor \(5,\)"),
        (torch.ones(2, 5), GROUPS.int(), TypeError, r"groups to be a LongTensor \(5,\)"),
        (torch.ones(2, 4), GROUPS, ValueError, r"groups to be a LongTensor \(4,\).*shape \(5,\)"),
        (torch.ones(2, 2), torch.tensor([0, 2]), ValueError, r"without gaps, but got \[0, 2\]"),
        (torch.ones(2, 2), torch.tensor([-1, 0]), ValueError, r"without gaps, but got \[-1, 0\]"),
    ],
    ids=["list", "flat", "groups", "int", "length", "gap", "negative"],
)
def test_bad_labels_of_groups(labels, groups, error, message):
    with pytest.raises(error, match=message):
        group_labels(labels, groups)


# --- rows of groups ---------------------------------------------------------------------------


def test_the_mean_of_the_members_by_equation_1():
    rows = draw(5, 4)
    found = group_rows(rows, GROUPS)
    expected = torch.stack([(rows[0] + rows[2]) / 2, (rows[1] + rows[4]) / 2, rows[3]])
    torch.testing.assert_close(found, expected)
    assert torch.equal(group_rows(rows, torch.arange(5)), rows)


def test_gradients_of_the_mean():
    rows = draw(5, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: group_rows(r, GROUPS), rows)


def test_bad_rows_of_groups():
    with pytest.raises(TypeError, match="Expected rows to be a floating-point tensor"):
        group_rows(torch.ones(5, 2).long(), GROUPS)
    with pytest.raises(ValueError, match=r"Expected groups to be a LongTensor \(4,\)"):
        group_rows(torch.ones(4, 2), GROUPS)


# --- parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbers", [[0], [3, 3, 1], [-5, 9, -5, 0, 9], [2, 1, 0], []])
def test_numbers_in_the_order_of_first_members(numbers):
    found = numbered_by_first(torch.tensor(numbers, dtype=torch.long))
    assert found.tolist() == in_order(numbers)
    assert found.dtype == torch.long


def test_the_checks_give_back_what_fits():
    rows = draw(5, 2)
    assert check_rows("rows", rows, 5) is rows
    assert check_groups("groups", GROUPS) is GROUPS
    assert count_groups(GROUPS) == 3
    with pytest.raises(ValueError, match=r"Expected weight to be .* \(4,D\)"):
        check_rows("weight", rows, 4)
    with pytest.raises(ValueError, match=r"Expected groups to be a LongTensor \(L,\)"):
        check_groups("groups", GROUPS[:0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device():
    rows, labels = draw(5, 2), draw(4, 5) > 0
    assert torch.equal(group_classes(rows.cuda(), 3).cpu(), group_classes(rows, 3))
    found = group_rows(rows.cuda(), GROUPS)
    torch.testing.assert_close(found.cpu(), group_rows(rows, GROUPS))
    # The groups may stay where they are.
    assert torch.equal(group_labels(labels.cuda(), GROUPS).cpu(), group_labels(labels, GROUPS))
