"""A sparse matrix whose rows are short, times a narrow dense one, alike on every device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A sparse matrix (R,S), kept row by row.

    The product sums each row on its own, in order: the same numbers at every run, also on a GPU,
    where adding at an index is not. Measured faster than PyTorch's sparse layouts at the sizes of
    images (0.5 ms against 0.9 for CSR and 12 for COO: 3000 rows of 69, 21 columns, one core).

    Attributes:
        columns: LongTensor (E,), the columns of the entries, row after row.
        starts: LongTensor (R,), each row's first entry.
        weights: (E,) float, the entries.

    Example:
        >>> entries = torch.tensor([[0, 0, 2], [0, 1, 1]]), torch.tensor([1.0, 2.0, 3.0])
        >>> SparseRows.of(*entries, rows=3) @ torch.tensor([[1.0], [10.0]])
        tensor([[21.],
                [ 0.],
                [30.]])
    """

    columns: Tensor
    starts: Tensor
    weights: Tensor

    @classmethod
    def of(cls, indices: Tensor, weights: Tensor, *, rows: int) -> SparseRows:
        """Return the matrix with these entries.

        Args:
            indices: LongTensor (2,E), rows and columns, in any order.
            weights: (E,) float.
            rows: Number of rows R.
        """
        places, order = indices[0].sort(stable=True)
        starts = torch.searchsorted(places, torch.arange(rows, device=places.device))
        return cls(indices[1][order], starts, weights[order])

    def __matmul__(self, values: Tensor) -> Tensor:
        """Return the product (R,C) with values (S,C) of the weights' dtype."""
        return F.embedding_bag(
            self.columns, values, self.starts, mode="sum", per_sample_weights=self.weights
        )
