"""Proposals from maps and candidates, against one candidate at a time."""

import pytest
import torch
from torch import nn

from captum_cluster.weak import (
    Proposal,
    boxes_of,
    classifier_scores,
    component_boxes,
    object_proposals,
)
from tests.helpers import localization_references as where
from tests.helpers import proposal_references as ref
from tests.helpers.metric_references import prepared

SIZE = (12, 16)


def image():
    return torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))


def candidates(seed, count=30):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * torch.tensor([13.0, 9.0])
    side = 1 + torch.rand(count, 2, generator=generator) * 8
    boxes = torch.cat([low, low + side], dim=1).floor()
    return boxes.minimum(torch.tensor([16.0, 12.0, 16.0, 12.0])).long()


def score_crop(crop, label):
    """Some number that depends on the whole crop and the label."""
    return float((crop.double().sum() * (label + 1) * 7.3) % 1)


def score_crops(crops, labels):
    return torch.tensor([[score_crop(crop, label) for label in labels] for crop in crops])


def as_rows(proposals):
    return [(one.label, one.box, pytest.approx(one.score), one.peak) for one in proposals]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("grid", [SIZE, (5, 6)], ids=["same size", "coarse"])
def test_proposals_are_the_reference(seed, grid):
    maps = torch.randn(3, *grid, generator=torch.Generator().manual_seed(seed)).double()
    labels, boxes, picture = [4, 0, 2], candidates(seed), image()
    found = object_proposals(
        picture,
        maps,
        labels,
        score_crops=score_crops,
        candidates=boxes,
        distance=2,
        threshold_relative=0.4,
    )

    def score(box, label):
        x0, y0, x1, y1 = box
        return score_crop(picture[:, y0:y1, x0:x1], label)

    masks = [prepared(one, SIZE) for one in maps]
    tuples = [tuple(box) for box in boxes.tolist()]
    assert as_rows(found) == ref.proposals(masks, labels, tuples, score, 2, 0.4)
    assert len(found) > 3


def test_labels_as_flags_choose_their_maps():
    maps = torch.rand(5, *SIZE, generator=torch.Generator().manual_seed(1))
    options = {"score_crops": score_crops, "candidates": candidates(1)}
    flags = torch.tensor([True, False, True, False, False])
    found = object_proposals(image(), maps, flags, **options)
    assert found == object_proposals(image(), maps[[0, 2]], [0, 2], **options)
    assert found == object_proposals(image(), maps[[0, 2]], torch.tensor([0, 2]), **options)
    assert {one.label for one in found} == {0, 2}


def test_without_maps_the_best_of_all_candidates():
    boxes, picture = candidates(2), image()
    found = object_proposals(picture, None, [3, 1], score_crops=score_crops, candidates=boxes)
    assert [(one.label, one.peak) for one in found] == [(3, None), (1, None)]
    for one in found:
        scores = [
            score_crop(picture[:, y0:y1, x0:x1], one.label) for x0, y0, x1, y1 in boxes.tolist()
        ]
        assert one.score == pytest.approx(max(scores))
        assert list(one.box) == boxes[scores.index(max(scores))].tolist()
    flags = torch.tensor([False, True, False, True])
    again = object_proposals(picture, None, flags, score_crops=score_crops, candidates=boxes)
    assert again == found[::-1]


def test_one_score_for_all_labels():
    maps = torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(3))
    options = {"candidates": candidates(3), "distance": 30}

    def sizes(crops, labels):
        return torch.tensor([float(crop[0].numel()) for crop in crops])

    for one in object_proposals(image(), maps, [0, 1], score_crops=sizes, **options):
        y, x = one.peak
        around = [b for b in candidates(3).tolist() if b[0] <= x < b[2] and b[1] <= y < b[3]]
        assert one.score == max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in around)


def test_crops_are_scored_once_and_only_around_peaks():
    calls = []

    def counted(crops, labels):
        calls.append((len(crops), labels))
        return score_crops(crops, labels)

    maps = torch.zeros(2, *SIZE)
    maps[0, 2, 2] = maps[1, 9, 13] = 1.0
    boxes = [(0, 0, 4, 4), (1, 1, 3, 3), (10, 8, 16, 12), (5, 5, 6, 6)]
    object_proposals(image(), maps, [8, 9], score_crops=counted, candidates=boxes)
    assert calls == [(3, [8, 9])]
    for nothing in (torch.zeros(2, *SIZE), -torch.ones(2, *SIZE), torch.ones(2, *SIZE)):
        assert (
            object_proposals(image(), nothing, [8, 9], score_crops=counted, candidates=boxes) == []
        )
    assert object_proposals(image(), maps, [8, 9], score_crops=counted, candidates=boxes[3:]) == []
    assert object_proposals(image(), maps[:0], [], score_crops=counted, candidates=boxes) == []
    assert object_proposals(image(), None, [], score_crops=counted, candidates=boxes) == []
    assert object_proposals(image(), None, [1], score_crops=counted, candidates=[]) == []
    assert len(calls) == 1


def test_peaks_of_one_object_share_its_box():
    maps = torch.zeros(1, *SIZE)
    maps[0, 2, 2], maps[0, 2, 8], maps[0, 10, 14] = 0.9, 1.0, 0.8
    boxes = [(0, 0, 12, 5), (12, 8, 16, 12)]

    def heights(crops, labels):
        return torch.tensor([float(crop.shape[1]) for crop in crops])

    found = object_proposals(image(), maps, [0], score_crops=heights, candidates=boxes, distance=2)
    # The stronger of the two peaks is named.
    assert found == [
        Proposal(0, (0, 0, 12, 5), 5.0, (2, 8)),
        Proposal(0, (12, 8, 16, 12), 4.0, (10, 14)),
    ]


def test_of_equal_scores_the_first():
    maps = torch.zeros(1, *SIZE)
    maps[0, 5, 5] = 1.0
    boxes = [(4, 4, 7, 7), (0, 0, 9, 9), (3, 3, 8, 8)]

    def even(crops, labels):
        return torch.full((len(crops),), -2.0)

    for order in (boxes, boxes[::-1]):
        found = object_proposals(image(), maps, [0], score_crops=even, candidates=order)
        assert [one.box for one in found] == [order[0]]


def test_proposals_lie_inside_the_image():
    maps = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(5))
    boxes = [(-9.5, -3.0, 40.0, 99.0), (2.3, 1.7, 9.9, 30.0)]
    for one in object_proposals(image(), maps, [0], score_crops=score_crops, candidates=boxes):
        x0, y0, x1, y1 = one.box
        assert 0 <= x0 < x1 <= 16
        assert 0 <= y0 < y1 <= 12
        assert all(isinstance(edge, int) for edge in one.box)


def test_an_object_of_one_pixel():
    maps = torch.zeros(1, *SIZE)
    maps[0, 11, 15] = 3.0
    boxes = [(0, 0, 15, 11), (15, 11, 16, 12)]
    found = object_proposals(image(), maps, [6], score_crops=score_crops, candidates=boxes)
    assert [(one.box, one.peak) for one in found] == [((15, 11, 16, 12), (11, 15))]


def test_the_default_candidates_and_distance():
    pytest.importorskip("skimage")
    picture = torch.full((3, 32, 32), 0.2)
    picture[:, 4:12, 5:15] = 0.9
    picture[:, 20:29, 18:30] = 0.8
    maps = (picture[:1] > 0.5).float()

    def snug(crops, labels):
        return torch.stack([crop.mean() + 0.001 * crop[0].numel() ** 0.5 for crop in crops])

    found = object_proposals(picture, maps, [1], score_crops=snug)
    assert {one.box for one in found} == {(5, 4, 15, 12), (18, 20, 30, 29)}
    near = object_proposals(picture, maps, [1], score_crops=snug, distance=2)
    assert found == near  # a 16th of 32


def test_inputs_are_left_alone():
    picture, maps, boxes = image(), torch.rand(2, *SIZE).requires_grad_(), candidates(0)
    before = [one.detach().clone() for one in (picture, maps, boxes)]
    object_proposals(picture, maps, [0, 1], score_crops=score_crops, candidates=boxes)
    component_boxes(maps, [0, 1])
    for one, other in zip((picture, maps, boxes), before, strict=True):
        assert torch.equal(one, other)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    maps = torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(6))
    options = {"score_crops": score_crops, "candidates": candidates(6)}
    expected = object_proposals(image(), maps, [0, 1], **options)
    found = object_proposals(image().cuda(), maps.cuda(), [0, 1], **options)
    assert as_rows(found) == as_rows(expected)
    boxes = [one.box for one in component_boxes(maps.cuda(), [0, 1])]
    assert boxes == [one.box for one in component_boxes(maps, [0, 1])]


MAPS = torch.rand(2, *SIZE)


@pytest.mark.parametrize(
    ("picture", "maps", "labels", "error", "text"),
    [
        (
            MAPS[0],
            MAPS,
            [0, 1],
            ValueError,
            "Expected image to be of shape (3,H,W), but got (12, 16).",
        ),
        (
            image(),
            MAPS,
            [0],
            ValueError,
            "Expected maps to be of shape (T,h,w) with T = 1, but got (2, 12, 16).",
        ),
        (
            image(),
            MAPS,
            torch.tensor([True, False, True]),
            ValueError,
            "Expected maps to be of shape (L,h,w) with L = 3, but got (2, 12, 16).",
        ),
        (
            image(),
            MAPS[0],
            list(range(12)),
            ValueError,
            "Expected maps to be of shape (T,h,w) with T = 12, but got (12, 16).",
        ),
        (
            image(),
            MAPS * torch.nan,
            [0, 1],
            ValueError,
            "Expected maps to be finite, but got NaN at index [0, 0, 0].",
        ),
        (
            image(),
            MAPS,
            [1, 1],
            ValueError,
            "Expected labels to be different numbers, but got [1, 1].",
        ),
        (
            image(),
            MAPS,
            [0, -1],
            ValueError,
            "Expected labels to be an integer of at least 0, but got -1.",
        ),
        (
            image(),
            MAPS,
            [0, 0.5],
            TypeError,
            "Expected labels to be an integer of at least 0, but got 0.5.",
        ),
        (
            image().numpy(),
            MAPS,
            [0, 1],
            TypeError,
            "Expected image to be a float tensor (3,H,W), but got array(",
        ),
        (
            (255 * image()).to(torch.uint8),
            MAPS,
            [0, 1],
            TypeError,
            "Expected image to be a float tensor (3,H,W), but got a tensor of shape (3, 12, 16) "
            "and dtype torch.uint8.",
        ),
        (
            255 * torch.ones(3, *SIZE),
            MAPS,
            [0, 1],
            ValueError,
            "Expected image to be in [0,1], but got values from 255 to 255.",
        ),
        (
            image()[:1],
            MAPS,
            [0, 1],
            ValueError,
            "Expected image to be of shape (3,H,W), but got (1, 12, 16).",
        ),
        (
            image(),
            MAPS.numpy(),
            [0, 1],
            TypeError,
            "Expected maps to be a float tensor (T,h,w), but got array(",
        ),
        (
            image(),
            (9 * MAPS).long(),
            [0, 1],
            TypeError,
            "Expected maps to be a float tensor (T,h,w), but got a tensor of shape (2, 12, 16) and "
            "dtype torch.int64.",
        ),
        (
            image(),
            MAPS[:, :0],
            [0, 1],
            ValueError,
            "Expected maps to be of shape (T,h,w) with T = 2, but got (2, 0, 16).",
        ),
        (
            image(),
            MAPS,
            1,
            TypeError,
            "Expected labels to be numbers, or a tensor (T,) or (L,), but got 1.",
        ),
        (
            image(),
            MAPS,
            torch.ones(1, 2, dtype=torch.bool),
            ValueError,
            "Expected labels to be numbers, or a tensor (T,) or (L,), but got a tensor of shape "
            "(1, 2) and dtype torch.bool.",
        ),
    ],
    ids=[
        "image", "count", "flags", "axes", "nan", "twice", "negative", "fraction", "array", "bytes",
        "range", "grey", "maps as an array", "maps of integers", "maps without pixels",
        "one label", "labels of a batch",
    ],
)  # fmt: skip
def test_what_does_not_belong_together(picture, maps, labels, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        object_proposals(
            picture, maps, labels, score_crops=score_crops, candidates=[(0, 0, 16, 12)]
        )
    assert str(raised.value).startswith(text)


def test_rounding_may_leave_the_range():
    pytest.importorskip("skimage")
    picture = image()
    picture[0, 0, 0] = 1 + 1e-5
    assert object_proposals(picture, None, [0], score_crops=score_crops)


class Classifier(nn.Module):
    """Of images of the default size: the second label's score is the share of red."""

    def forward(self, images):
        assert images.shape[1:] == (3, 224, 224)
        return torch.stack([images[:, 1], images[:, 0]], dim=1).mean(dim=(2, 3))


def test_the_classifier_scores_crops():
    picture = torch.zeros(3, *SIZE)
    picture[0, 3:8, 2:6], picture[1, 4:9, 9:14] = 1.0, 1.0
    boxes = [(0, 0, 16, 12), (2, 3, 6, 8), (9, 4, 14, 9), (9, 4, 11, 9)]
    maps = torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(7))
    given = {"candidates": boxes, "distance": 3}
    for here in (None, maps):
        found = object_proposals(picture, here, [1, 0], score_crops=Classifier(), **given)
        scores = classifier_scores(Classifier())
        assert found == object_proposals(picture, here, [1, 0], score_crops=scores, **given)
    best = object_proposals(picture, None, [1, 0], score_crops=Classifier(), **given)
    assert [one.box for one in best] == [(2, 3, 6, 8), (9, 4, 14, 9)]


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (None, "None (NoneType)."),
        ("resnet18", "'resnet18' (str)."),
        (Classifier, "<class 'tests.weak.test_object_proposals.Classifier'> (type)."),
        (torch.zeros(2), "a tensor of shape (2,) and dtype torch.float32."),
    ],
    ids=["none", "name", "class", "tensor"],
)
def test_what_scores_no_crops(wrong, got):
    with pytest.raises(TypeError, match="^Expected score_crops to be a classifier") as raised:
        object_proposals(image(), MAPS, [0, 1], score_crops=wrong, candidates=[(0, 0, 16, 12)])
    text = "Expected score_crops to be a classifier (an nn.Module) or a function of crops and"
    assert str(raised.value) == f"{text} labels, but got {got}"


@pytest.mark.parametrize(
    ("scores", "error", "text"),
    [
        ([0.0], TypeError, "Expected score_crops to give a tensor, but got [0.0] (list)."),
        (
            torch.zeros(1, 3),
            ValueError,
            "Expected score_crops to give scores of shape (1,) or (1,2), but got (1, 3).",
        ),
        (
            torch.tensor([torch.nan]),
            ValueError,
            "Expected the scores of the crops to be finite, but got NaN at index [0].",
        ),
    ],
    ids=["list", "shape", "nan"],
)
def test_what_score_crops_must_not_give(scores, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        object_proposals(
            image(),
            MAPS,
            [0, 1],
            score_crops=lambda crops, labels: scores,
            candidates=[(0, 0, 16, 12)],
        )
    assert str(raised.value) == text


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.15, 0.6, 1.0])
def test_component_boxes_are_the_reference(seed, threshold):
    maps = torch.randn(4, 6, 7, generator=torch.Generator().manual_seed(seed)).double()
    found = component_boxes(maps, [3, 2, 1, 0], threshold=threshold, size=SIZE)
    assert [one.label for one in found] == [3, 2, 1, 0]
    for one, proposal in zip(maps, found, strict=True):
        part = max(where.components(where.cut(one, SIZE, threshold)), key=len)
        values = {place: prepared(one, SIZE)[place] for place in part}
        assert proposal.box == where.box_around(part)
        assert proposal.score == pytest.approx(sum(values.values()) / len(part))
        assert values[proposal.peak] == pytest.approx(max(values.values()))


def test_component_boxes_of_little():
    maps = torch.zeros(4, *SIZE)
    maps[1, 3, 4] = 1.0
    maps[2] = 5.0
    maps[3] = -1.0
    assert component_boxes(maps, [0, 1, 2, 3]) == [Proposal(1, (4, 3, 5, 4), 1.0, (3, 4))]
    flags = torch.tensor([True, True, False, False])
    assert component_boxes(maps, flags) == component_boxes(maps, [0, 1, 2, 3])
    assert component_boxes(maps[:0], []) == []


def test_what_component_boxes_refuse():
    with pytest.raises(ValueError, match="^Expected threshold") as raised:
        component_boxes(MAPS, [0, 1], threshold=0)
    assert str(raised.value) == (
        "Expected threshold to be a number above 0 and at most 1, but got 0."
    )
    with pytest.raises(TypeError, match="^Expected maps to be a float tensor .* but got None"):
        component_boxes(None, [0])
    with pytest.raises(TypeError, match="^Expected maps to be a float tensor .* torch.int64.$"):
        component_boxes((9 * MAPS).long(), [0, 1])


@pytest.mark.parametrize(
    ("size", "error", "text"),
    [
        (40, TypeError, "a height and a width, but got 40."),
        ("ab", TypeError, "a height and a width, but got 'ab' (str)."),
        ((40,), ValueError, "a height and a width, but got (40,)."),
        ((40, 60, 3), ValueError, "a height and a width, but got (40, 60, 3)."),
        ((0, 60), ValueError, "an integer of at least 1, but got 0."),
        ((40, 6.5), TypeError, "an integer of at least 1, but got 6.5."),
    ],
    ids=str,
)
def test_sizes_that_component_boxes_refuse(size, error, text):
    with pytest.raises(error, match="^Expected size") as raised:
        component_boxes(MAPS, [0, 1], size=size)
    assert str(raised.value) == f"Expected size to be {text}"


def test_boxes_of_a_label():
    found = [
        Proposal(1, (0, 0, 2, 2), 0.2),
        Proposal(2, (0, 0, 3, 3), 0.9),
        Proposal(1, (1, 1, 2, 2), 0.5),
    ]
    assert boxes_of(found, 1).tolist() == [[1, 1, 2, 2], [0, 0, 2, 2]]
    assert boxes_of(found, 7).shape == (0, 4)
    assert boxes_of([], 1).dtype == torch.int64
