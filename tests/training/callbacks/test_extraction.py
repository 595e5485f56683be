"""Batches taken apart, and labels of either form."""

import pytest
import torch

from captum_cluster.training.callbacks.extraction import multi_hot, parts_of


def test_three_parts_are_taken_as_they_are():
    batch = [torch.zeros(2, 3), torch.ones(2, 4), torch.arange(2)]
    assert all(one is other for one, other in zip(parts_of(batch), batch, strict=True))
    assert parts_of(tuple(batch))[2] is batch[2]


@pytest.mark.parametrize("batch", [torch.zeros(3, 2), {"x": 1}], ids=["tensor", "dictionary"])
def test_other_batches(batch):
    with pytest.raises(TypeError, match=r"a batch to be \(images, labels, index\), but got"):
        parts_of(batch)


def test_labels_of_either_form():
    several = torch.tensor([[1, 0, 1], [0, 0, 0]])
    assert multi_hot(several, 3).tolist() == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    assert multi_hot(torch.tensor([2, 0]), 3).tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize("labels", [torch.zeros(2, 4), torch.zeros(2)], ids=["four", "floats"])
def test_labels_of_another_shape(labels):
    with pytest.raises(ValueError, match=r"labels to be of shape \(N,3\), one column for each"):
        multi_hot(labels, 3)
