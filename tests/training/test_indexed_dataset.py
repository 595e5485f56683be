"""Samples with their number."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from captum_cluster.training import IndexedDataset


def test_the_number_comes_third_in_batches_too():
    images, labels = torch.rand(5, 3, 4, 4), torch.eye(5)
    samples = IndexedDataset(TensorDataset(images, labels))
    image, label, number = samples[3]
    assert torch.equal(image, images[3])
    assert torch.equal(label, labels[3])
    assert (number, len(samples)) == (3, 5)
    batch = next(iter(DataLoader(samples, 2, sampler=[4, 1])))
    assert batch[2].tolist() == [4, 1]


@pytest.mark.parametrize("sample", [5, (1, 2, 3)], ids=["number", "three"])
def test_other_samples_are_refused(sample):
    with pytest.raises(TypeError, match=r"Expected dataset to give \(image, label\), but got"):
        IndexedDataset([sample])[0]
