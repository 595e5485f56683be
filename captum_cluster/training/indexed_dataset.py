"""Samples that carry their number."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from captum_cluster._checks import describe, expected


class IndexedDataset(Dataset[tuple[Any, ...]]):
    """A data set of (image, label) with the sample's number as a third part.

    ``SubCategoryDiscovery`` finds each sample's pseudo labels by this number.

    Args:
        dataset: Gives tuples or lists; those of two parts get the third.

    Raises:
        TypeError: When a sample is asked for that is no tuple of two parts.

    Example:
        >>> import torch
        >>> from torch.utils.data import TensorDataset
        >>> samples = IndexedDataset(TensorDataset(torch.rand(4, 3, 8, 8), torch.eye(4)))
        >>> len(samples), samples[2][2]
        (4, 2)
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        count: int = len(self.dataset)  # type: ignore[arg-type]
        return count

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return (image, label, index)."""
        sample = self.dataset[index]
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise TypeError(expected("dataset", "to give (image, label)", describe(sample)))
        return (*sample, index)
