"""From sums to means."""

import warnings

import numpy as np
import pytest
import torch

from captum_cluster.functional.metrics.sums import (
    by_class,
    mean_of_classes,
    ratio,
    sums_by_class,
    total,
)


def test_total_is_exact():
    # float32 would stop at 2 to the power of 24
    assert total(torch.full((3,), 2.0**24 + 2, dtype=torch.float32)) == 3 * (2.0**24 + 2)
    tenths = torch.full((1000,), 0.1, dtype=torch.float16)
    assert total(tenths).item() == pytest.approx(1000 * float(tenths[0]), abs=1e-9)
    assert total(tenths > 0).dtype == torch.int64
    assert total(tenths[:0]).item() == 0


def test_by_class_is_a_loop():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(20, generator=generator)
    target = torch.randint(0, 4, (20,), generator=generator)
    expected = [0.0] * 6
    for value, label in zip(values.tolist(), target.tolist(), strict=True):
        expected[label] += value
    np.testing.assert_allclose(by_class(values, target, 6), expected)
    counts = by_class(values > 0.5, target, 6)
    assert counts.dtype == torch.int64
    assert int(counts.sum()) == int((values > 0.5).sum())


def test_pairs_that_do_not_count_are_skipped():
    values, target = torch.tensor([0.5, 1.0, 4.0, 0.25]), torch.tensor([2, 0, 2, 2])
    counted = torch.tensor([True, True, False, True])
    sums = sums_by_class("share", values, counted, target, 3)
    assert {name: value.tolist() for name, value in sums.items()} == {
        "share": [1.0, 0.0, 0.75],
        "pairs": [1, 0, 2],
        "skipped": 1,
    }
    assert sums["share"].dtype == torch.float64
    assert sums["pairs"].dtype == sums["skipped"].dtype == torch.int64


def test_means_leave_out_what_is_not_there():
    sums, counts = (
        torch.tensor([[2.0, 0.0, 3.0], [0.0, 0.0, 0.0]]),
        torch.tensor([[4, 0, 3], [0] * 3]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(ratio(sums, counts)[0], [0.5, np.nan, 1.0])
        np.testing.assert_array_equal(mean_of_classes(sums, counts), [0.75, np.nan])
