"""The slow derivations of object proposals, against numbers from paper."""

import numpy as np
import pytest

from tests.helpers import proposal_references as ref


def test_peaks():
    values = [[0, 8, 0, 9, 9, 9, 0, 2]]
    assert ref.peaks(values, 1, 0.5) == [(0, 4), (0, 1)]
    assert ref.peaks(values, 1, 0.0) == [(0, 4), (0, 1), (0, 7)]
    assert ref.peaks(values, 1, 0.9) == [(0, 4)]
    assert ref.peaks(values, 2, 0.5) == [(0, 4)]  # 9 is two columns from 8
    assert ref.peaks([[5, 5, 5, 6]], 1, 0.5) == [(0, 3)]  # the fives are the shoulder of the six
    assert ref.peaks([[0, -1]], 1, 0.5) == []


def test_gradients_of_a_ramp():
    ramp = np.tile(np.arange(12.0), (12, 1))
    east, south_east, south, _, west, *_ = ref.directed_gradients(ramp)
    assert east[6, 6] == pytest.approx(1, abs=2e-3)  # the bell is cut at four pixels
    assert south_east[6, 6] == pytest.approx(np.sqrt(0.5), abs=2e-3)
    assert south[6, 6] == pytest.approx(0, abs=1e-12)
    assert west[6, 6] == 0


def test_histogram():
    assert ref.histogram([(0, 0), (0, 1)], [np.array([[0.0, 1.0]])], 2) == [0.5, 0.5]
    assert ref.histogram([(0, 1)], [np.array([[0.0, 0.5]])] * 2, 2) == [0, 0.5, 0, 0.5]


def test_selective_search():
    image = [[[0.1, 0.2, 0.9, 0.9]]]
    # The two bright pixels first: their colours are one.
    boxes = ref.selective_search([[0, 1, 2, 3]], image, {"colour"})
    assert boxes[:4] == [(0, 0, 1, 1), (1, 0, 2, 1), (2, 0, 3, 1), (3, 0, 4, 1)]
    assert boxes[4:] == [(2, 0, 4, 1), (0, 0, 2, 1), (0, 0, 4, 1)]
    # By size alone the earliest pair, then the two single pixels that are left.
    boxes = ref.selective_search([[0, 1, 2, 3]], image, {"size"})
    assert boxes[4:] == [(0, 0, 2, 1), (2, 0, 4, 1), (0, 0, 4, 1)]


def test_judge():
    pairs = [
        ([(0, 0, 2, 2), (4, 0, 6, 2)], 3, [(0, 0, 2, 2), (4, 0, 6, 4)]),
        ([(9, 9, 10, 10)], 3, [(0, 0, 1, 1)]),
        ([], 5, [(0, 0, 1, 1)]),
        ([(0, 0, 1, 1)], 5, []),
    ]
    counts = ref.judge(pairs)
    assert counts == {3: [1, 2, 2, 1.5, 3], 5: [0, 1, 0, 0.0, 1]}
    assert ref.share_of(counts, 0, 1, "macro") == 0.25
    assert ref.share_of(counts, 0, 1, "micro") == pytest.approx(1 / 3)
    assert ref.share_of(counts, 3, 4, "micro") == pytest.approx(1.5 / 4)
