"""Sparse matrices row by row: against the dense product, empty rows, gradients."""

import pytest
import torch

from captum_cluster.functional.weak.sparse_rows import SparseRows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "columns", "entries"), [(5, 7, 12), (9, 2, 3), (1, 1, 4)])
def test_the_product_is_that_of_the_dense_matrix(rows, columns, entries, dtype):
    generator = torch.Generator().manual_seed(0)
    at = [torch.randint(0, size, (entries,), generator=generator) for size in (rows, columns)]
    weights = torch.rand(entries, generator=generator, dtype=dtype)
    values = torch.rand(columns, 3, generator=generator, dtype=dtype)
    dense = torch.zeros(rows, columns, dtype=dtype).index_put_(tuple(at), weights, accumulate=True)
    found = SparseRows.of(torch.stack(at), weights, rows=rows) @ values
    torch.testing.assert_close(found, dense @ values)


def test_empty_rows_give_0():
    matrix = SparseRows.of(torch.tensor([[2], [0]]), torch.tensor([5.0]), rows=4)
    assert (matrix @ torch.ones(1, 1)).flatten().tolist() == [0, 0, 5, 0]
