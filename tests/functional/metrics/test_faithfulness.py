"""Average drop, average increase, insertion and deletion against one pixel at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.attribution.masks import saliency as prepare
from captum_cluster.functional.metrics import (
    average_drop,
    average_increase,
    perturb,
    perturbation_area,
    perturbation_steps,
    saliency_ranks,
)
from tests.helpers import metric_references as ref
from tests.helpers import nets

NETS = {
    "small": (nets.SmallNet(), nets.images(4, 3, (19, 11)), [4, 1, 0, 2]),
    "other": (nets.SmallNet(seed=7, num_classes=3), nets.images(3, 3, 16, seed=2), [0, 0, 2]),
    "one logit": (nets.OneLogitNet(), nets.images(3, 3, (8, 9)), [0, 0, 0]),
    "tuple": (nets.TupleNet(), nets.images(2, 3, (17, 10)), [2, 1]),
}


def probabilities(net, images, targets):
    """p_c of each image."""
    with torch.no_grad():
        outputs = net(images)
    read = outputs.sigmoid() if outputs.shape[1] == 1 else outputs.softmax(dim=1)
    return read[torch.arange(len(images)), targets]


def maps_for(images, seed=3):
    """A coarse signed map for each image."""
    return nets.images(len(images), 1, (3, 4), seed=seed)[:, 0]


# Average drop and increase


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("baseline", [None, 0.7])
def test_drop_and_increase_are_the_reference(name, baseline):
    net, images, targets = NETS[name]
    net = net.double().eval()
    maps = maps_for(images)
    masks = prepare(maps, images.shape[2:])[:, None]
    hidden = images * masks + (0.0 if baseline is None else baseline) * (1 - masks)
    before, after = (probabilities(net, x, targets) for x in (images, hidden))
    for signed in (False, True):
        expected = ref.average_drop(net, images, maps, targets, baseline=baseline, signed=signed)
        found = average_drop(before, after, signed=signed)
        assert float(found) == pytest.approx(expected, abs=1e-12)
    expected = ref.average_increase(net, images, maps, targets, baseline=baseline)
    assert float(average_increase(before, after)) == expected


def test_the_networks_above_rise_and_fall():
    values = []
    for net, images, targets in NETS.values():
        maps = maps_for(images)
        values.append(ref.average_increase(net.double().eval(), images, maps, targets))
    assert min(values) < 1
    assert max(values) > 0


def test_drop_and_increase_by_hand():
    before = torch.tensor([0.8, 0.5, 0.4, 0.1], dtype=torch.float64)
    after = torch.tensor([0.6, 0.9, 0.4, 0.0], dtype=torch.float64)
    # drops 1/4, 0 (a gain of 4/5), 0, 1
    assert float(average_drop(before, after)) == pytest.approx(1.25 / 4, abs=1e-15)
    assert float(average_drop(before, after, signed=True)) == pytest.approx(0.45 / 4, abs=1e-15)
    # an equal probability is no increase
    assert float(average_increase(before, after)) == 0.25


def test_a_probability_of_zero_cannot_drop():
    before, after = torch.tensor([0.0, 0.5, 0.0]), torch.tensor([0.3, 0.25, 0.0])
    for signed in (False, True):
        assert float(average_drop(before, after, signed=signed)) == pytest.approx(0.5 / 3)
    assert float(average_increase(before, after)) == pytest.approx(1 / 3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_drop_of_any_probabilities(pairs):
    before, after = torch.tensor(pairs, dtype=torch.float64).unbind(dim=1)
    drop = float(average_drop(before, after))
    signed = float(average_drop(before, after, signed=True))
    assert 0 <= drop <= 1
    assert signed <= drop
    gains = sum(max(0.0, o - y) / y for y, o in pairs) / len(pairs)
    assert drop - signed == pytest.approx(gains, abs=1e-9)
    falls = sum(o <= y for y, o in pairs) / len(pairs)
    assert float(average_increase(before, after)) == pytest.approx(1 - falls)


SHAPES = "Expected before and after to be of one shape (P,), P at least 1, but got "


@pytest.mark.parametrize("function", [average_drop, average_increase])
@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ([0.5, 0.5], [0.5], SHAPES + "(2,) and (1,)."),
        ([[0.5]], [[0.5]], SHAPES + "(1, 1) and (1, 1)."),
        ([], [], SHAPES + "(0,) and (0,)."),
        ([1.5], [0.5], "Expected before to be probabilities in [0,1], but got others."),
        ([0.5], [-0.1], "Expected after to be probabilities in [0,1], but got others."),
        ([0.5], [np.nan], "Expected after to be probabilities in [0,1], but got others."),
        ([np.nan], [0.5], "Expected before to be probabilities in [0,1], but got others."),
    ],
)
def test_wrong_probabilities(function, before, after, text):
    with pytest.raises(ValueError, match="Expected") as raised:
        function(torch.tensor(before), torch.tensor(after))
    assert str(raised.value) == text


def test_signed_is_a_flag():
    with pytest.raises(TypeError, match="^Expected signed to be True or False, but got 1"):
        average_drop(torch.ones(1), torch.ones(1), signed=1)


# The order of the pixels


def expected_ranks(saliency):
    ranks = np.zeros(tuple(saliency.shape), dtype=int)
    for place, position in enumerate(ref.pixel_order(saliency)):
        ranks[position] = place
    return ranks


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), st.integers(0, 99)
)
def test_ranks_are_the_reference_and_ties_go_by_position(images, h, w, values, seed):
    generator = torch.Generator().manual_seed(seed)
    saliency = torch.randint(-1, values, (images, h, w), generator=generator).float()
    ranks = saliency_ranks(saliency)
    assert ranks.dtype == torch.int64
    for one, found in zip(saliency, ranks, strict=True):
        np.testing.assert_array_equal(found, expected_ranks(one))


def test_ranks_of_a_large_map_with_ties():
    # sorting algorithms that are not stable show it on many equal values
    saliency = (nets.images(1, 1, (60, 70))[:, 0] * 2).round().clamp(min=0)
    np.testing.assert_array_equal(saliency_ranks(saliency)[0], expected_ranks(saliency[0]))


def test_ranks_by_hand():
    saliency = torch.tensor([[[0.5, 1.0], [0.0, 1.0]], [[0.0, -0.0], [0.0, 0.0]]])
    assert saliency_ranks(saliency).tolist() == [[[2, 0], [3, 1]], [[0, 1], [2, 3]]]


@pytest.mark.parametrize("shape", [(2, 2), (1, 1, 2, 2)])
def test_ranks_of_another_shape(shape):
    with pytest.raises(ValueError, match="saliency") as raised:
        saliency_ranks(torch.zeros(shape))
    assert str(raised.value) == f"Expected saliency to be of shape (P,H,W), but got {shape}."


# Steps


@pytest.mark.parametrize("size", [(224, 224), (20, 10), (16, 5), (7, 9), (1, 1), (9, 4), (448, 3)])
def test_steps_are_the_reference(size):
    assert perturbation_steps(*size) == ref.steps(size)


def test_steps_by_hand():
    steps = perturbation_steps(224, 224)
    assert len(steps) == 28 + 1
    assert steps[:2] == [0, 1792]
    assert steps[-1] == 224 * 224
    # a last, smaller step
    assert perturbation_steps(20, 10) == [0, 80, 160, 200]
    assert perturbation_steps(3, 10) == [0, 30]


# Insertion and deletion


@pytest.mark.parametrize("insert", [False, True])
def test_perturbed_images_by_hand(insert):
    images = torch.tensor([[[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]])
    ranks = saliency_ranks(torch.tensor([[[0.1, 0.9, 0.5]]]))
    found = perturb(images, ranks, 2, -1.0, insert=insert)
    expected = [[-1.0, 2.0, 3.0], [-1.0, 5.0, 6.0]] if insert else [[1.0, -1, -1], [4.0, -1, -1]]
    assert found[0, :, 0].tolist() == expected
    assert images[0, 0, 0].tolist() == [1.0, 2.0, 3.0]


BASELINES = {
    "number": 0.3,
    "integer": 2,
    "per channel": nets.images(1, 3, 1)[0],
    "one image": nets.images(1, 3, (5, 4)),
    "each": nets.images(2, 3, (5, 4), seed=5),
    "float32": nets.images(2, 3, (5, 4), seed=5).float(),
}


@pytest.mark.parametrize("baselines", BASELINES.values(), ids=BASELINES.keys())
@pytest.mark.parametrize("insert", [False, True])
def test_every_baseline(baselines, insert):
    images = nets.images(2, 3, (5, 4), seed=1)
    saliency = nets.images(2, 1, (5, 4), seed=2)[:, 0]
    ranks = saliency_ranks(saliency)
    fill = (torch.zeros_like(images) + baselines).to(images)
    for count in (0, 1, 7, 20):
        found = perturb(images, ranks, count, baselines, insert=insert)
        start, end = (fill, images) if insert else (images, fill)
        for n in range(2):
            expected = start[n].clone()
            for i, j in ref.pixel_order(saliency[n])[:count]:
                expected[:, i, j] = end[n, :, i, j]
            assert torch.equal(found[n], expected)
        assert found.dtype == images.dtype


def test_insertion_and_deletion_share_the_pixels():
    images = nets.images(2, 3, (6, 5))
    ranks = saliency_ranks(nets.images(2, 1, (6, 5), seed=2)[:, 0])
    for count in perturbation_steps(6, 5):
        inserted = perturb(images, ranks, count, insert=True)
        deleted = perturb(images, ranks, count, insert=False)
        assert torch.equal(inserted + deleted, images)


# The area


def test_area_by_hand():
    # steps of 2, 2 and 1 of 5: 2/5 (1 + 1/2)/2 + 2/5 (1/2 + 0)/2 + 1/5 (0 + 1)/2
    probabilities = torch.tensor([[1.0, 0.5, 0.0, 1.0], [0.25, 0.25, 0.25, 0.25]])
    np.testing.assert_allclose(perturbation_area(probabilities, [0, 2, 4, 5]), [0.5, 0.25])


@pytest.mark.parametrize("steps", [[0, 80, 160, 200], [0, 30], [0, 1, 2, 3, 4, 5]], ids=str)
def test_area_is_the_reference(steps):
    values = torch.rand(3, len(steps), generator=torch.Generator().manual_seed(0)).double()
    found = perturbation_area(values, steps)
    shares = [count / steps[-1] for count in steps]
    for row, one in zip(values.tolist(), found.tolist(), strict=True):
        assert one == pytest.approx(ref.area(shares, row), abs=1e-14)


@pytest.mark.parametrize("shape", [(3,), (1, 4), (1, 1, 3)])
def test_area_of_another_shape(shape):
    with pytest.raises(ValueError, match="probabilities") as raised:
        perturbation_area(torch.zeros(shape), [0, 1, 2])
    assert str(raised.value) == (
        f"Expected probabilities to be of shape (P,S) with S = 3 steps, but got {shape}."
    )


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("baseline", [None, -0.4, nets.images(1, 3, 1, seed=8)[0]], ids=str)
@pytest.mark.parametrize("kind", ["insertion", "deletion"])
def test_whole_curves_are_the_reference(name, baseline, kind):
    net, images, targets = NETS[name]
    net = net.double().eval()
    # prepared already, as rounding decides among the equal values at an enlarged map's border
    size = images.shape[2:]
    maps = prepare(maps_for(images), size)
    ranks = saliency_ranks(maps)
    steps = perturbation_steps(*size)
    fill = 0.0 if baseline is None else baseline
    curves = [
        probabilities(net, perturb(images, ranks, count, fill, insert=kind == "insertion"), targets)
        for count in steps
    ]
    found = perturbation_area(torch.stack(curves, dim=1), steps)
    for n, target in enumerate(targets):
        expected = getattr(ref, kind)(net, images[n], maps[n], target, baseline=baseline)
        assert float(found[n]) == pytest.approx(expected, abs=1e-12)
