"""Checks of the probabilities and labels that metrics are given."""

import numpy as np
import pytest
import torch

from captum_cluster.functional.metrics.probabilities import check_probabilities, check_target


def test_the_rounding_of_a_softmax_is_allowed():
    assert check_probabilities("values", torch.tensor([1 + 1e-6])).item() > 1
    for wrong in (1.001, -1e-6, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^Expected values to be probabilities in \[0,1\]"):
            check_probabilities("values", torch.tensor([wrong]))


@pytest.mark.parametrize(
    "target",
    [2, np.int64(2), torch.tensor(2), [2, 2], (2, 2), torch.tensor([2, 2], dtype=torch.uint8)],
    ids=str,
)
def test_every_form_of_a_target(target):
    labels = check_target(target, 2, 3)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [2, 2]


def test_no_target_at_all():
    for empty in ([], torch.zeros(0), torch.zeros(0, dtype=torch.long)):
        assert check_target(empty, 0, 3).shape == (0,)


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ([True, False], TypeError, "Expected target to be integers of shape (P,), but got "),
        ([0.5, 1], TypeError, "Expected target to be integers of shape (P,), but got "),
        ([[0], [1, 2]], TypeError, "Expected target to be integers of shape (P,), but got "),
        ([[0, 1]], ValueError, "Expected target to be of shape (P,) with P = 2, but got (1, 2)."),
        ([0, -2], ValueError, "Expected target to be labels of at least 0, but got -2."),
    ],
    ids=str,
)
def test_what_is_no_target(target, error, text):
    with pytest.raises(error, match="^Expected target") as raised:
        check_target(target, 2)
    assert str(raised.value).startswith(text)
