"""Every form of target of both hosts, and the message of every wrong one."""

import re

import numpy as np
import pytest
import torch

from captum_cluster._checks import TargetError
from captum_cluster.functional.attribution.targets import select_each, select_shared

OUTPUTS = torch.arange(12.0).reshape(4, 3)  # row i holds 3i, 3i + 1, 3i + 2
DENSE = torch.arange(48.0).reshape(2, 3, 2, 4)


def label(value):
    """Return the name of a case without addresses, which differ between pytest's workers."""
    return re.sub(r" at 0x\w+", "", str(value))


def first_minus_last(output):
    return output[0] - 2 * output[-1]


def total(output):
    return output.sum()


def read(selector, outputs=OUTPUTS, rows=None):
    return selector(outputs, torch.arange(len(outputs)) if rows is None else rows).tolist()


# One target for each image


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (1, [1, 4, 7, 10]),
        (-1, [2, 5, 8, 11]),
        (np.int64(2), [2, 5, 8, 11]),
        ((2,), [2, 5, 8, 11]),
        (torch.tensor(0), [0, 3, 6, 9]),
        (torch.tensor([2]), [2, 5, 8, 11]),
        (torch.tensor([0, 1, 2, 0]), [0, 4, 8, 9]),
        (torch.tensor([0, 1, 2, 0], dtype=torch.int32), [0, 4, 8, 9]),
        ([2, 0, 1, 1], [2, 3, 7, 10]),
        ([(2,), (0,), (1,), (1,)], [2, 3, 7, 10]),
        ([np.int64(2), np.int64(0), 1, 1], [2, 3, 7, 10]),
        (total, [3, 12, 21, 30]),
        ([total, first_minus_last, total, first_minus_last], [3, -7, 21, -13]),
    ],
    ids=label,
)
def test_select_each(target, expected):
    selector = select_each(target, images=4)
    assert (selector.images, selector.count) == (4, 1)
    assert read(selector) == [[value] for value in expected]


def test_select_each_of_dense_outputs():
    assert read(select_each((2, 1, 3), images=2), DENSE) == [[23], [47]]
    assert read(select_each([(0, 0, 1), (1, 1, 0)], images=2), DENSE) == [[1], [36]]


@pytest.mark.parametrize("outputs", [torch.tensor([5.0, 7.0]), torch.tensor([[5.0], [7.0]])])
def test_select_each_without_a_target(outputs):
    assert read(select_each(None, images=2), outputs) == [[5], [7]]


def test_rows_say_which_image_an_output_belongs_to():
    rows = torch.tensor([3, 0, 0, 2])
    # images 3, 0, 0, 2 have the targets 1, 2, 2, 1
    assert read(select_each([2, 0, 1, 1], images=4), rows=rows) == [[1], [5], [8], [10]]
    functions = [total, total, total, first_minus_last]
    assert read(select_each(functions, images=4), rows=rows) == [[-4], [12], [21], [30]]


# Several targets for each image


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([2, 0], [[2, 0], [5, 3], [8, 6], [11, 9]]),
        ((2, 0), [[2, 0], [5, 3], [8, 6], [11, 9]]),
        (torch.tensor([2, 0]), [[2, 0], [5, 3], [8, 6], [11, 9]]),
        ([1], [[1], [4], [7], [10]]),
        ([[0, 1], [1, 2], [2, 0], [0, 0]], [[0, 1], [4, 5], [8, 6], [9, 9]]),
        (torch.tensor([[0, 1], [1, 2], [2, 0], [0, 0]]), [[0, 1], [4, 5], [8, 6], [9, 9]]),
        ([total, first_minus_last], [[3, -4], [12, -7], [21, -10], [30, -13]]),
        ([(1,), (2,)], [[1, 2], [4, 5], [7, 8], [10, 11]]),
    ],
    ids=label,
)
def test_select_shared(targets, expected):
    selector = select_shared(targets, images=4)
    assert (selector.images, selector.count) == (4, len(expected[0]))
    assert read(selector) == expected


def test_select_shared_of_dense_outputs():
    assert read(select_shared([(2, 1, 3), (0, 0, 0)], images=2), DENSE) == [[23, 0], [47, 24]]


def test_select_shared_of_functions_for_each_image():
    targets = [[total, first_minus_last], [first_minus_last, total]]
    assert read(select_shared(targets, images=2), OUTPUTS[:2]) == [[3, -4], [-7, 12]]


def test_select_shared_of_functions_and_rows():
    targets = [[total, first_minus_last], [first_minus_last, total]]
    rows = torch.tensor([1, 1, 0])
    expected = [[-4, 3], [-7, 12], [21, -10]]
    assert read(select_shared(targets, images=2), OUTPUTS[:3], rows) == expected


def test_a_gradient_passes_through():
    outputs = OUTPUTS.clone().requires_grad_()
    chosen = select_shared([2, 2], images=4)(outputs, torch.arange(4))
    chosen.sum().backward()
    assert outputs.grad.tolist() == [[0, 0, 2]] * 4


# Errors

FORMS = (
    "Expected target to be an integer, a tuple of integers, a tensor of integers, a list of one "
    "integer, tuple or callable for each image, or None, but got "
)


def message(function, *args, **kwargs):
    """The whole message of the TargetError that a call raises."""
    with pytest.raises(TargetError) as raised:
        function(*args, **kwargs)
    return str(raised.value)


@pytest.mark.parametrize(
    ("target", "got"),
    [
        (1.5, "1.5."),
        (True, "True."),
        ("cat", "'cat' (str)."),
        ((), "() (tuple)."),
        ((1, 2.0), "(1, 2.0) (tuple)."),
        ((1, True), "(1, True) (tuple)."),
        ((total, total), "(<function"),
        ([1, 0.5], "0.5."),
        ([1, None], "None (NoneType)."),
        ([1, total], "<function"),
        ([1, [2]], "[2] (list)."),
        (torch.tensor([0.0, 1.0]), "a tensor of shape (2,) and dtype torch.float32."),
        (torch.tensor([True, False]), "a tensor of shape (2,) and dtype torch.bool."),
        ([torch.tensor(1.5), 0], "a tensor of shape () and dtype torch.float32."),
        ([torch.tensor(True), 0], "a tensor of shape () and dtype torch.bool."),
        (np.array([0, 1]), "array([0, 1]) (ndarray)."),
    ],
    ids=label,
)
def test_select_each_of_no_form_of_target(target, got):
    assert message(select_each, target, images=2).startswith(FORMS + got)


@pytest.mark.parametrize("target", [[1], [1, 2, 0], [], torch.tensor([1, 2, 0])], ids=label)
def test_select_each_with_the_wrong_number(target):
    assert message(select_each, target, images=2) == (
        "Expected target to be a list with one entry for each of the 2 images, but got "
        f"{len(target)} entries."
    )


def test_select_each_with_a_tensor_of_two_dimensions():
    assert message(select_each, torch.zeros(2, 2, dtype=torch.long), images=2) == (
        "Expected target to be a tensor of shape (N,), but got "
        "a tensor of shape (2, 2) and dtype torch.int64."
    )


def test_select_each_with_tuples_of_different_lengths():
    assert message(select_each, [(1, 0), (1,)], images=2) == (
        "Expected target to be tuples of one length, but got [[(1, 0)], [(1,)]] (list)."
    )


def test_select_shared_of_a_model_with_one_number_for_each_image():
    outputs, rows = torch.tensor([5.0, 7.0]), torch.tensor([0, 1])
    assert select_shared(None, images=2)(outputs, rows).tolist() == [[5], [7]]


@pytest.mark.parametrize("targets", [[], (), 3, "ab", torch.tensor(3)], ids=label)
def test_select_shared_without_targets(targets):
    text = message(select_shared, targets, images=2)
    assert text.startswith(
        "Expected targets to be a list of one or more targets, or one such list for each image, "
        "but got "
    )


@pytest.mark.parametrize(
    "targets", [[[1], [2], [0]], [[1, 2], [1]], [[], []], [[1], 2], [[1], (2,)]], ids=label
)
def test_select_shared_with_lists_that_do_not_fit(targets):
    assert message(select_shared, targets, images=2) == (
        "Expected targets to be 2 lists of the same length, one for each image, but got "
        f"{targets!r} (list)."
    )


@pytest.mark.parametrize(
    "targets", [[1, 0.5], [1, [2]], [1, total], torch.tensor([0.5])], ids=label
)
def test_select_shared_of_no_form_of_target(targets):
    assert message(select_shared, targets, images=2).startswith(FORMS)


@pytest.mark.parametrize("target", [3, -4, [0, 1, 2, 3]], ids=label)
def test_a_class_outside_the_output(target):
    wrong = 3 if isinstance(target, list) else target
    text = f"Expected target to be a class index from 0 to 2, but got {wrong}."
    assert message(read, select_each(target, images=4)) == text


def test_a_place_outside_a_dense_output():
    text = "Expected target to be an index from 0 to 3 in output dimension 3, but got 4."
    assert message(read, select_each((2, 1, 4), images=2), DENSE) == text


@pytest.mark.parametrize(
    ("target", "outputs", "text"),
    [
        (1, DENSE, "3 integers for an output of shape (2, 3, 2, 4), but got 1 integers."),
        ((1, 0), OUTPUTS[:2], "1 integers for an output of shape (2, 3), but got 2 integers."),
        (0, torch.ones(2), "None for an output of shape (2,), but got 1 integers."),
    ],
)
def test_a_target_of_other_dimensions(target, outputs, text):
    selector = select_each(target, images=2)
    assert message(read, selector, outputs) == f"Expected target to be {text}"


def test_no_target_for_several_outputs():
    assert message(read, select_each(None, images=4)) == (
        "Expected target to be given, since the model's output is of shape (4, 3), but got None."
    )


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda output: output, "a tensor of shape (3,) and dtype torch.float32"),
        (lambda output: float(output[0]), "0.0"),
        (lambda output: None, "None (NoneType)"),
    ],
)
def test_a_callable_that_gives_no_number(function, got):
    assert message(read, select_each(function, images=4)) == (
        "Expected the target callable to give a tensor with one number for one image's output, "
        f"but got {got}."
    )
