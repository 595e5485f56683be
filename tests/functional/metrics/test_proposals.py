"""CorLoc, recall and best overlap against one box at a time."""

import pytest
import torch

from captum_cluster.functional.metrics.proposals import (
    best_overlap_compute,
    best_overlaps,
    box_iou,
    corloc,
    corloc_compute,
    proposal_recall,
    proposal_recall_compute,
    proposals_update,
)
from tests.helpers import localization_references as where
from tests.helpers import proposal_references as ref


def draw(seed, pairs=9):
    """Random pairs: their proposals, labels and objects, of coarse edges so that IoUs meet 0.5."""
    generator = torch.Generator().manual_seed(seed)

    def boxes(most):
        count = int(torch.randint(0, most, (), generator=generator))
        low = torch.randint(0, 4, (count, 2), generator=generator)
        side = torch.randint(1, 4, (count, 2), generator=generator)
        return torch.cat([low, low + side], dim=1).tolist()

    target = torch.randint(0, 3, (pairs,), generator=generator)
    return [boxes(4) for _ in range(pairs)], target, [boxes(3) for _ in range(pairs)]


def test_iou_is_the_reference():
    proposals, _, objects = draw(0, pairs=20)
    for some, others in zip(proposals, objects, strict=True):
        found = box_iou(some, others)
        assert found.shape == (len(some), len(others))
        expected = [where.box_iou(one, other) for one in some for other in others]
        assert found.flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sums_are_the_reference(seed):
    proposals, target, objects = draw(seed)
    sums = proposals_update(proposals, target, objects, num_classes=4)
    counts = ref.judge(zip(proposals, target.tolist(), objects, strict=True))
    for place, name in enumerate(("hits", "pairs", "found", "overlap", "objects")):
        expected = [counts.get(label, [0] * 5)[place] for label in range(4)]
        assert sums[name].tolist() == pytest.approx(expected)
    assert sums["skipped"] == sum(not some for some in objects)
    computes = [
        (corloc_compute, 0, 1),
        (proposal_recall_compute, 2, 4),
        (best_overlap_compute, 3, 4),
    ]
    for compute, part, whole in computes:
        for average in ("macro", "micro"):
            value = float(compute(sums, average=average))
            assert value == pytest.approx(ref.share_of(counts, part, whole, average))


def test_values_of_single_pairs():
    proposals = [[(0, 0, 2, 2), (4, 0, 6, 2)], [(9, 9, 10, 10), (0, 0, 1, 1)], []]
    objects = [[(0, 0, 2, 2), (4, 0, 6, 8)], [(0, 0, 1, 1)], [(0, 0, 1, 1)]]
    assert corloc(proposals, objects).tolist() == [True, False, False]
    assert [one.tolist() for one in best_overlaps(proposals, objects)] == [[1, 0.25], [1], [0]]
    assert proposal_recall(proposals, objects).tolist() == [0.5, 1, 0]
    assert proposal_recall(proposals, objects, iou=0.25).tolist() == [1, 1, 0]


def test_wrong_labels_are_misses():
    proposals = [[(0, 0, 2, 2)], [(0, 0, 2, 2)], [], [(0, 0, 2, 2)]]
    objects = [[(0, 0, 2, 2)], [], [], []]
    sums = proposals_update(
        proposals, [0, 0, 1, 1], objects, num_classes=3, wrong=[False, True, True, False]
    )
    assert (sums["hits"].tolist(), sums["pairs"].tolist()) == ([1, 0, 0], [2, 1, 0])
    assert (sums["objects"].tolist(), int(sums["skipped"])) == ([1, 0, 0], 1)
    assert float(corloc_compute(sums)) == 0.25


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ([True, False], "Expected wrong to be one for each of the 1 pairs, but got of shape (2,)."),
        ([True], "Expected wrong to be False for pairs with an object, but got True."),
    ],
)
def test_pairs_that_cannot_be_wrong(wrong, text):
    pair = [[(0, 0, 2, 2)]]
    with pytest.raises(ValueError, match="^Expected") as raised:
        proposals_update(pair, [0], pair, num_classes=1, wrong=wrong)
    assert str(raised.value) == text


def test_exactly_the_iou_is_right():
    pair = [[(0, 0, 2, 2)]], [[(0, 0, 2, 4)]]
    assert corloc(*pair, iou=0.5).tolist() == [True]
    assert corloc(*pair, iou=0.51).tolist() == [False]


def test_only_the_first_proposal_counts_for_corloc():
    objects = [[(0, 0, 2, 2)]]
    assert not corloc([[(5, 5, 6, 6), (0, 0, 2, 2)]], objects)
    assert proposal_recall([[(5, 5, 6, 6), (0, 0, 2, 2)]], objects) == 1


def test_no_objects_and_no_pairs():
    assert corloc([[(0, 0, 1, 1)]], [[]]).tolist() == [False]
    assert proposal_recall([[(0, 0, 1, 1)]], [[]]).isnan().all()
    assert corloc([], []).shape == proposal_recall([], []).shape == (0,)
    sums = proposals_update([], [], [], num_classes=2)
    assert all(compute(sums).isnan() for compute in (corloc_compute, best_overlap_compute))


def test_boxes_may_be_tensors():
    proposals, target, objects = draw(5)
    expected = proposals_update(proposals, target, objects, num_classes=3)
    tensors = [
        [torch.tensor(some).reshape(-1, 4) for some in many] for many in (proposals, objects)
    ]
    found = proposals_update(tensors[0], target, tensors[1], num_classes=3)
    assert {name: one.tolist() for name, one in found.items()} == {
        name: one.tolist() for name, one in expected.items()
    }


@pytest.mark.parametrize(
    ("proposals", "boxes", "options", "error", "text"),
    [
        (
            [[(0, 0, 1, 1)]],
            [],
            {},
            ValueError,
            "Expected proposals to be one list for each of the 0 pairs, but got 1.",
        ),
        (
            [[(0, 0, 0, 1)]],
            [[(0, 0, 1, 1)]],
            {},
            ValueError,
            "Expected proposals to be with x0 < x1 and y0 < y1, but got [0.0, 0.0, 0.0, 1.0].",
        ),
        (
            [[(0, 0, 1, 1)]],
            [[(0, 0, 1)]],
            {},
            ValueError,
            "Expected boxes to be of shape (K,4), but got (1, 3).",
        ),
        (
            [[(0, 0, "a", 1)]],
            [[(0, 0, 1, 1)]],
            {},
            TypeError,
            "Expected proposals to be numbers x0, y0, x1, y1, but got [(0, 0, 'a', 1)] (list).",
        ),
        (
            [[(0, 0, float("inf"), 1)]],
            [[(0, 0, 1, 1)]],
            {},
            ValueError,
            "Expected proposals to be finite, but got an infinite value at index [0, 2].",
        ),
        (
            [],
            [],
            {"iou": 0},
            ValueError,
            "Expected iou to be a number above 0 and at most 1, but got 0.",
        ),
    ],
    ids=["count", "area", "shape", "string", "infinite", "iou"],
)
def test_what_is_refused(proposals, boxes, options, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        corloc(proposals, boxes, **options)
    assert str(raised.value) == text


def test_what_is_no_box():
    with pytest.raises(ValueError, match="^Expected others") as raised:
        box_iou([(0, 0, 1, 1)], [(2, 0, 1, 1)])
    text = "Expected others to be with x0 < x1 and y0 < y1, but got [2.0, 0.0, 1.0, 1.0]."
    assert str(raised.value) == text


def test_other_labels_and_averages():
    with pytest.raises(ValueError, match="^Expected target") as raised:
        proposals_update([[]], [3], [[]], num_classes=3)
    assert "but got 3." in str(raised.value)
    sums = proposals_update([[]], [0], [[(0, 0, 1, 1)]], num_classes=1)
    with pytest.raises(ValueError, match="^Expected average to be one of 'macro', 'micro'"):
        corloc_compute(sums, average="mean")
