"""Coefficients of maps, by hand and against sums written out."""

import math

import numpy as np
import pytest
import torch

from captum_cluster.functional.attribution.weights import (
    base_and_scissors,
    base_scissors_weights,
    fuse,
    softmax_weights,
    spread_over_members,
)
from tests.helpers import references as ref

NAN = math.nan


def scores_of(*rows):
    """Scores (N,K,1) of one row of numbers for each image."""
    return torch.tensor(rows, dtype=torch.float64)[..., None]


def test_softmax_weights():
    scores = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.manual_seed(0)) * 5
    weights = softmax_weights(scores)
    for n in range(2):
        for t in range(3):
            np.testing.assert_allclose(
                weights[n, :, t], ref.softmax(scores[n, :, t].tolist()), rtol=1e-13
            )


def test_softmax_weights_leave_out_missing_masks():
    weights = softmax_weights(scores_of([0.0, math.log(3), NAN], [NAN, -7.0, NAN]))
    np.testing.assert_allclose(weights[..., 0], [[0.25, 0.75, 0], [0, 1, 0]], rtol=1e-15)


@pytest.mark.parametrize(
    ("row", "base", "scissors"),
    [
        ([0.2, 0.7, 0.1], 1, 2),
        ([0.7, 0.2, 0.2], 0, 1),  # ties go to the lowest cluster
        ([0.1, 0.7, 0.7], 1, 0),
        ([0.4, 0.4, 0.4], 0, 0),
        ([NAN, 0.3, 0.1], 1, 2),
        ([0.3, 0.1, NAN], 0, 1),
        ([-5.0, -9.0, NAN], 0, 1),
        ([0.3, NAN, NAN], 0, -1),  # a single cluster has no scissors
        ([NAN, -0.3, NAN], 1, -1),
    ],
)
def test_base_and_scissors(row, base, scissors):
    found = base_and_scissors(scores_of(row))
    assert [part.tolist() for part in found] == [[[base]], [[scissors]]]


def test_base_and_scissors_of_many_ties():
    # long enough for a vectorised argmax
    scores = torch.zeros(1, 200, 1)
    scores[0, [50, 150]], scores[0, [70, 170]] = 1.0, -1.0
    assert [int(part) for part in base_and_scissors(scores)] == [50, 70]


def test_base_and_scissors_of_every_image_and_target():
    scores = torch.tensor([[[1.0, 5.0], [2.0, 4.0], [3.0, 6.0]], [[9.0, 0.0], [8.0, 1.0], [7, 2]]])
    base, scissors = base_and_scissors(scores)
    assert base.tolist() == [[2, 2], [0, 2]]
    assert scissors.tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
def test_base_scissors_weights(beta):
    base, scissors = torch.tensor([[1, 0]]), torch.tensor([[2, 1]])
    weights = base_scissors_weights(base, scissors, beta, 3)
    assert weights.dtype == torch.float64
    expected = [[0.0, beta], [beta, -(1 - beta)], [-(1 - beta), 0.0]]
    np.testing.assert_allclose(weights[0], expected, rtol=1e-15)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_base_scissors_weights_of_a_single_cluster(beta):
    weights = base_scissors_weights(torch.tensor([[0]]), torch.tensor([[-1]]), beta, 2)
    assert weights[0, :, 0].tolist() == [beta, 0.0]


def test_base_scissors_weights_of_equal_scores():
    weights = base_scissors_weights(torch.tensor([[0]]), torch.tensor([[0]]), 0.75, 2)
    assert weights[0, :, 0].tolist() == [0.5, 0.0]


def test_spread_over_members():
    weights = torch.tensor([[[6.0, 3.0], [-1.0, 5.0], [9.0, 9.0]], [[1.0, 2.0]] * 3])
    labels = torch.tensor([[0, 1, 0, 0], [2, 2, 2, 2]])
    expected = [
        [[2.0, -1.0, 2.0, 2.0], [1.0, 5.0, 1.0, 1.0]],
        [[0.25] * 4, [0.5] * 4],
    ]
    assert spread_over_members(weights, labels).tolist() == expected


def test_spread_weights_give_the_same_map_as_cluster_means():
    generator = torch.manual_seed(0)
    maps = torch.randn(1, 7, 3, 2, dtype=torch.float64, generator=generator)
    labels = torch.tensor([[0, 2, 1, 1, 0, 2, 2]])
    weights = torch.randn(1, 3, 2, dtype=torch.float64, generator=generator)
    means = torch.from_numpy(ref.cluster_means(maps[0], labels[0]))[None]
    torch.testing.assert_close(
        fuse(spread_over_members(weights, labels), maps), fuse(weights.transpose(1, 2), means)
    )


def test_fuse_is_the_sum_written_out():
    generator = torch.manual_seed(1)
    weights = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)
    maps = torch.randn(2, 4, 2, 5, dtype=torch.float64, generator=generator)
    result = fuse(weights, maps)
    for n in range(2):
        for t in range(3):
            expected = sum(weights[n, t, k] * maps[n, k] for k in range(4))
            torch.testing.assert_close(result[n, t], expected)


def test_fuse_keeps_the_precision_of_the_maps():
    weights = torch.tensor([[[1.0]]], dtype=torch.float64)
    maps = torch.full((1, 1, 1, 1), 1.0001, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = fuse(weights, maps)
    assert result.dtype == torch.float32
    assert torch.equal(result[0], maps[0])
