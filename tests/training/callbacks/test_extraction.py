"""Batches taken apart, and labels of either form."""

from types import SimpleNamespace

import pytest
import torch

from captum_cluster.training.callbacks import extraction
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


@pytest.mark.parametrize("count", [10, 11])
def test_rows_of_several_processes_are_exchanged_in_parts(count, monkeypatch):
    monkeypatch.setattr(extraction, "_ROWS", 2)
    everything = torch.rand(count, 3)
    shares = [everything[rank::2] for rank in (0, 1)]
    at_once = []

    def all_gather(rows):
        """The same rows of both processes; the last may be padded with zeros."""
        start = sum(at_once)
        at_once.append(len(rows))
        others = [torch.nn.functional.pad(share, (0, 0, 0, 1)) for share in shares]
        return torch.stack([one[start : start + len(rows)] for one in others])

    module = SimpleNamespace(
        trainer=SimpleNamespace(world_size=2), all_gather=all_gather, device=torch.device("cpu")
    )
    assert torch.equal(extraction._gathered(module, shares[1], count), everything)
    assert max(at_once) == 2
