"""The numbers of a head's weights, against slow ones and by hand."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from scipy.stats import skew
from torch import nn

from captum_cluster.evaluation import kernel_usage_statistics
from captum_cluster.training import KernelUsageConv2d, KernelUsageLinear

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(4, 25, generator=GENERATOR)


def linear(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data.copy_(weight)
    return layer


def slow(weight: np.ndarray, top: int) -> dict[str, float]:
    """The means over pairs of labels, one pair at a time."""
    pairs = list(itertools.combinations(range(len(weight)), 2))
    best = [set(sorted(range(len(row)), key=lambda k: -row[k])[:top]) for row in weight]
    negative = [value for value in weight.flatten() if value < 0]
    return {
        "correlation": np.mean([abs(np.corrcoef(weight[i], weight[j])[0, 1]) for i, j in pairs]),
        "shared": np.mean([len(best[i] & best[j]) / top for i, j in pairs]),
        "negative": len(negative) / weight.size,
        "negative_weight": -sum(negative) / abs(weight).sum(),
        "skewness": skew(weight.flatten()),
    }


@pytest.mark.parametrize("top", [1, 10])
def test_the_numbers_are_those_of_the_weights(top: int) -> None:
    after = torch.rand(4, 12, generator=GENERATOR) ** 3 - 0.1
    found = kernel_usage_statistics(linear(WEIGHT), after, top=top)
    for name, weight in {"before": WEIGHT, "after": after}.items():
        expected = slow(weight.double().numpy(), top)
        assert {key: found[name][key] for key in expected} == pytest.approx(expected, abs=1e-6)
        assert (found[name]["labels"], found[name]["kernels"]) == tuple(weight.shape)
        assert found[name]["top"] == top


def test_the_histogram_counts_each_label() -> None:
    found = kernel_usage_statistics(WEIGHT, WEIGHT, bins=7)["before"]["histogram"]
    edges, counts = found["edges"], found["counts"]
    assert len(edges) == 8
    assert [sum(row) for row in counts] == [25] * 4
    for row, values in zip(counts, WEIGHT.double().tolist(), strict=True):
        for place in range(7):
            last = place == 6
            inside = [edges[place] <= v and (v < edges[place + 1] or last) for v in values]
            assert row[place] == sum(inside)


def test_effective_weights_count() -> None:
    plain = linear(WEIGHT)
    head = KernelUsageLinear.from_linear(plain)
    folded = kernel_usage_statistics(plain, head.to_linear())
    assert kernel_usage_statistics(plain, head) == folded
    assert folded["before"]["correlation"] != folded["after"]["correlation"]
    conv = KernelUsageConv2d(25, 4)
    conv.weight.data.copy_(WEIGHT[..., None, None])
    assert kernel_usage_statistics(plain, conv) == folded


def test_by_hand() -> None:
    weight = torch.tensor([[3.0, -1.0, 0.0], [3.0, 0.0, -1.0]])
    found = kernel_usage_statistics(weight, torch.eye(2, 3), top=2)
    # Rows less their means: (7, -5, -2)/3 and (7, -2, -5)/3; r = (49 + 10 + 10)/78.
    assert found["before"]["correlation"] == pytest.approx(69 / 78)
    assert found["before"]["shared"] == 0.5  # kernels {0, 2} and {0, 1}
    assert found["before"]["negative"] == pytest.approx(1 / 3)
    assert found["before"]["negative_weight"] == 0.25
    assert found["after"]["correlation"] == pytest.approx(0.5)
    assert found["after"]["shared"] == 1.0  # of equal weights the first: {0, 1} and {1, 0}
    assert found["after"]["negative"] == 0.0


def test_the_numbers_are_ready_for_json() -> None:
    one = torch.zeros(1, 3)
    found = kernel_usage_statistics(one, one)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["before"]["correlation"] is None
    assert found["before"]["shared"] is None
    assert found["before"]["skewness"] is None
    assert found["before"]["negative_weight"] == 0.0
    assert found["before"]["top"] == 3  # there are no ten


def test_the_heads_are_left_as_they_are() -> None:
    head = linear(WEIGHT)
    kernel_usage_statistics(head, head)
    assert torch.equal(head.weight, WEIGHT)
    assert head.weight.grad is None


BAD = {
    "no weights": ((nn.ReLU(), WEIGHT), TypeError, "before to be a linear layer, a 1x1 conv"),
    "integers": ((WEIGHT, WEIGHT.int()), TypeError, "after to be a linear layer"),
    "kernels": ((nn.Conv2d(3, 2, 3), WEIGHT), ValueError, "before to be .* L >= 1 and C >= 2"),
    "one kernel": ((WEIGHT[:, :1], WEIGHT), ValueError, "L >= 1 and C >= 2"),
    "no label": ((WEIGHT[:0], WEIGHT), ValueError, "L >= 1 and C >= 2"),
    "nan": ((WEIGHT * torch.nan, WEIGHT), ValueError, "before to be finite"),
    "labels": ((WEIGHT, WEIGHT[:3]), ValueError, "the 4 labels of the head before, but got 3 lab"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_heads(case: str) -> None:
    heads, error, message = BAD[case]
    with pytest.raises(error, match=message):
        kernel_usage_statistics(*heads)


def test_bad_numbers() -> None:
    with pytest.raises(ValueError, match="top to be an integer of at least 1, but got 0"):
        kernel_usage_statistics(WEIGHT, WEIGHT, top=0)
    with pytest.raises(TypeError, match="bins to be an integer of at least 1, but got 1.5"):
        kernel_usage_statistics(WEIGHT, WEIGHT, bins=1.5)
