"""The slow metrics against numbers from paper."""

import numpy as np
import pytest
import torch

from tests.helpers import metric_references as ref
from tests.helpers import nets


def share(batch):
    """Two labels with the probabilities s / (s + 1) and 1 / (s + 1), s the sum of the pixels."""
    s = batch.sum((1, 2, 3))
    return torch.stack([torch.log(s), torch.zeros_like(s)], dim=1)


def image(rows):
    return torch.tensor([rows], dtype=torch.float64)


SQUARE = image([[4.0, 2.0], [1.0, 1.0]])  # s = 8, probabilities 8/9 and 1/9


def test_probability():
    assert ref.probability(share, SQUARE, 0) == pytest.approx(8 / 9)
    assert ref.probability(share, 0 * SQUARE, 0) == 0
    net = nets.SmallNet().double().eval()
    x = nets.images(1)[0]
    assert ref.probability(net, x, 2) == pytest.approx(net(x[None]).softmax(1)[0, 2].item())


def test_prepared():
    # ReLU [2 0], Up to 1x4: 2 3/2 1/2 0
    assert ref.prepared([[2, -6]], (1, 4)).tolist() == [[1, 0.75, 0.25, 0]]
    assert (ref.prepared([[3, 3]], (2, 2)) == 0).all()
    assert (ref.prepared([[-3, -1]], (2, 2)) == 0).all()


# Average Drop, Average Increase


def test_drop_and_increase_by_hand():
    # the map -> the mask [1 1/2; 0 0]: s = 4 + 1 = 5, probabilities 5/6 and 1/6
    saliency = [[4, 2], [0, -3]]
    # label 0: (8/9 - 5/6) / (8/9) = 1/16; label 1: (1/9 - 1/6) / (1/9) = -1/2
    assert ref.drop(share, SQUARE, saliency, 0) == pytest.approx(1 / 16)
    assert ref.drop(share, SQUARE, saliency, 1) == 0
    assert ref.drop(share, SQUARE, saliency, 0, signed=True) == pytest.approx(1 / 16)
    assert ref.drop(share, SQUARE, saliency, 1, signed=True) == pytest.approx(-1 / 2)
    assert ref.increase(share, SQUARE, saliency, 0) == 0
    assert ref.increase(share, SQUARE, saliency, 1) == 1


def test_drop_with_a_baseline():
    # baseline 2: 4 + (1 + 1) + 2 + 2 = 10, probability 10/11: (8/9 - 10/11) / (8/9) = -1/44
    saliency = [[4, 2], [0, -3]]
    drop = ref.drop(share, SQUARE, saliency, 0, baseline=2.0, signed=True)
    assert drop == pytest.approx(-1 / 44)
    assert ref.increase(share, SQUARE, saliency, 0, baseline=2.0) == 1


def test_increase_is_strict():
    def constant(batch):
        return torch.zeros(len(batch), 2, dtype=batch.dtype)

    assert ref.increase(constant, SQUARE, [[4, 2], [0, 0]], 0) == 0
    assert ref.drop(constant, SQUARE, [[4, 2], [0, 0]], 0) == 0


def test_averages_by_hand():
    saliency = [[4, 2], [0, -3]]
    both = (share, [SQUARE, SQUARE], [saliency, saliency], [0, 1])
    assert ref.average_drop(*both) == pytest.approx(1 / 32)
    assert ref.average_drop(*both, signed=True) == pytest.approx((1 / 16 - 1 / 2) / 2)
    assert ref.average_increase(*both) == 1 / 2


def test_an_all_zero_map_hides_everything():
    # probability 0 of label 0 behind a mask of zeros
    assert ref.drop(share, SQUARE, [[0, 0], [0, 0]], 0) == 1


# Deletion, Insertion


def test_pixel_order():
    order = ref.pixel_order([[0.5, 0.0, 0.5], [0.0, 1.0, 0.5]])
    assert order == [(1, 1), (0, 0), (0, 2), (1, 2), (0, 1), (1, 0)]


def test_steps():
    assert ref.steps((20, 1)) == [0, 8, 16, 20]
    assert ref.steps((16, 3)) == [0, 24, 48]
    assert ref.steps((5, 7)) == [0, 35]
    counts = ref.steps((224, 224))
    assert (len(counts), counts[1], counts[-1]) == (29, 224 * 8, 224 * 224)


# A column of ten pixels 2 above ten pixels 1 (s = 30), the saliency growing downwards: first the
# eight lowest (8 of s), then two 1s and six 2s (14 of s), then the four upmost 2s (8 of s)
COLUMN = image([[2.0]] * 10 + [[1.0]] * 10)
DOWN = np.arange(20.0)[:, None]


def test_deletion_by_hand():
    # s: 30 22 8 0
    shares, values = ref.curve(share, COLUMN, DOWN, 0, "deletion")
    assert shares == pytest.approx([0, 0.4, 0.8, 1])
    assert values == pytest.approx([30 / 31, 22 / 23, 8 / 9, 0])
    area = 0.4 * (30 / 31 + 22 / 23) / 2 + 0.4 * (22 / 23 + 8 / 9) / 2 + 0.2 * (8 / 9) / 2
    assert ref.deletion(share, COLUMN, DOWN, 0) == pytest.approx(area)


def test_insertion_by_hand():
    # s: 0 8 22 30
    shares, values = ref.curve(share, COLUMN, DOWN, 0, "insertion")
    assert shares == pytest.approx([0, 0.4, 0.8, 1])
    assert values == pytest.approx([0, 8 / 9, 22 / 23, 30 / 31])
    area = 0.4 * (8 / 9) / 2 + 0.4 * (8 / 9 + 22 / 23) / 2 + 0.2 * (22 / 23 + 30 / 31) / 2
    assert ref.insertion(share, COLUMN, DOWN, 0) == pytest.approx(area)
    out = ref.overall(share, COLUMN, DOWN, 0)
    assert out == pytest.approx(area - ref.deletion(share, COLUMN, DOWN, 0))


def test_curves_with_a_baseline():
    # baseline 1: the first eight change nothing, of the next eight six lose 1, then four
    _, values = ref.curve(share, COLUMN, DOWN, 0, "deletion", baseline=1.0)
    assert values == pytest.approx([30 / 31, 30 / 31, 24 / 25, 20 / 21])
    _, values = ref.curve(share, COLUMN, DOWN, 0, "insertion", baseline=1.0)
    assert values == pytest.approx([20 / 21, 20 / 21, 26 / 27, 30 / 31])


def test_ties_go_by_position():
    # a flat or a negative map is all zero: from the top, s = 30 14 4 0
    for saliency in (0 * DOWN, 0 * DOWN + 3, DOWN - 100):
        _, values = ref.curve(share, COLUMN, saliency, 0, "deletion")
        assert values == pytest.approx([30 / 31, 14 / 15, 4 / 5, 0])


def test_a_constant_probability_has_that_area():
    net = nets.SmallNet().double().eval()
    x = nets.images(1, size=(18, 8))[0]
    p = ref.probability(net, x, 1)
    saliency = nets.images(1, 1, (18, 8), seed=4)[0, 0]
    for metric in (ref.deletion, ref.insertion):
        assert metric(net, x, saliency, 1, baseline=x) == pytest.approx(p)


def test_other_kinds_are_refused():
    with pytest.raises(ValueError, match="both"):
        ref.curve(share, SQUARE, SQUARE[0], 0, "both")


def test_area_by_hand():
    assert ref.area([0, 0.5, 1], [0, 1, 1]) == 0.75


# Proportion


def test_boxes_mask():
    mask = ref.boxes_mask([(0, 0, 2, 1), (1, 0, 3, 2)], (3, 4))
    assert mask.astype(int).tolist() == [[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_proportion_by_hand():
    # prepared [1 1/2; 0 1/4], inside the left column 1 of 7/4
    saliency = [[4, 2], [-5, 1]]
    assert ref.proportion(saliency, [[1, 0], [1, 0]]) == pytest.approx(4 / 7)
    assert ref.proportion(saliency, np.ones((2, 2))) == 1
    assert ref.proportion(saliency, np.zeros((2, 2))) == 0
    assert ref.proportion([[0, -1], [0, 0]], np.ones((2, 2))) == 0
    # enlarged: [1 3/4 1/4 0], inside the first two pixels 7/4 of 2
    assert ref.proportion([[2, 0]], [[1, 1, 0, 0]]) == pytest.approx(7 / 8)


def test_proportion_counts_overlapping_boxes_once():
    inside = ref.boxes_mask([(0, 0, 1, 2), (0, 0, 2, 1)], (2, 2))
    assert ref.proportion([[4, 2], [0, 1]], inside) == pytest.approx(6 / 7)


def test_a_box_holds_the_pixels_whose_centre_it_holds():
    assert ref.boxes_mask([(0.5, 0, 1.5, 0.6)], (2, 3)).astype(int).tolist() == [[1, 0, 0], [0] * 3]
    assert not ref.boxes_mask([(0.6, 0, 1.4, 1)], (2, 3)).any()


# Several labels


def test_multi_label_by_hand():
    whole, masked, complement = [0.8, 0.6, 0.5], [0.6, 0.3, 0.5], [0.2, 0.6, 0.0]
    pair = ref.multi_label_pair(whole, masked, complement, 0, [0, 1, 2])
    expected = {"ic": 0, "ad": 1 / 4, "ado": 1 / 4, "ar": 3 / 4, "aro": 1 / 2, "others": True}
    assert pair == pytest.approx(expected)
    alone = ref.multi_label_pair(whole, masked, complement, 0, [0])
    assert alone == pytest.approx({**expected, "ado": 0, "aro": 0, "others": False})
    first = (whole, masked, complement, 0, [0, 1, 2])
    second = (whole, masked, complement, 0, [0])
    both = ref.multi_label([first, second, (whole, masked, complement, 1, [0])], "macro", "zero")
    assert both["ado"] == pytest.approx(1 / 8)
    assert both["f1_minus"] == pytest.approx(1 / 4)  # of 1/4 and 1/4
    left_out = ref.multi_label([first, second], "micro", "exclude")
    assert left_out["aro"] == pytest.approx(1 / 2)
    assert left_out["f1_plus"] == pytest.approx(2 * 0.75 * 0.25 / 1)


def test_multi_label_macro_and_micro():
    rows = [([0.5, 0.5], [o, 0.5], [0.5, 0.5], 0, [0]) for o in (0.0, 0.0, 0.5)]
    rows.append(([0.5, 0.5], [0.5, 0.5], [0.5, 0.5], 1, [1]))
    assert ref.multi_label(rows, "micro", "zero")["ad"] == pytest.approx(1 / 2)
    assert ref.multi_label(rows, "macro", "zero")["ad"] == pytest.approx(1 / 3)
