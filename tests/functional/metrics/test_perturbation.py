"""Insertion and deletion against one pixel at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.attribution.masks import saliency as prepare
from captum_cluster.functional.metrics import (
    area_compute,
    area_update,
    curves_of,
    deletion_insertion,
    overall_compute,
    overall_update,
    perturb,
    perturbation_area,
    perturbation_plan,
    perturbation_steps,
    saliency_ranks,
)
from tests.helpers import metric_references as ref
from tests.helpers import nets
from tests.helpers.metric_cases import NETS, maps_for, probabilities

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


# Curves step by step


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("baseline", [None, -0.4, nets.images(1, 3, 1, seed=8)[0]])
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


# Both curves of a model


def reading(net):
    """The model's probabilities (M,L)."""

    def forward(images):
        outputs = net(images)
        return outputs.sigmoid() if outputs.shape[1] == 1 else outputs.softmax(dim=1)

    return forward


class Counting:
    """Gives the share of bright pixels as the only probability; counts its passes."""

    def __init__(self):
        self.passes = []

    def __call__(self, images):
        self.passes.append(len(images))
        assert not torch.is_grad_enabled()
        return images.mean(dim=(2, 3))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("baseline", [None, 0.3, nets.images(1, 3, 1, seed=8)[0]])
@pytest.mark.parametrize("rows", [None, 1, 7])
def test_both_curves_are_the_reference(name, baseline, rows):
    net, images, targets = NETS[name]
    net = net.double().eval()
    maps = prepare(maps_for(images), images.shape[2:])
    before = images.clone()
    deletion, insertion = deletion_insertion(
        reading(net), images, maps, torch.tensor(targets), baseline=baseline, rows=rows
    )
    for n, target in enumerate(targets):
        for kind, found in (("deletion", deletion), ("insertion", insertion)):
            _, values = ref.curve(net, images[n], maps[n], target, kind, baseline=baseline)
            np.testing.assert_allclose(found[n], values, atol=1e-12)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("size", "step"), [((20, 6), None), ((4, 5), 3), ((4, 5), 99), ((8, 8), 16)]
)
def test_an_image_costs_two_passes_for_each_step(size, step):
    forward = Counting()
    images = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(0))
    n = len(perturbation_steps(*size, step)) - 1
    curves = deletion_insertion(forward, images, images[:, 0], 0, step, rows=5)
    assert [tuple(curve.shape) for curve in curves] == [(3, n + 1)] * 2
    assert sum(forward.passes) == 3 * (2 + 2 * (n - 1))
    assert max(forward.passes) <= 5


def test_both_curves_by_hand():
    # the share of brightness left: 8 in all, the most salient pixels hold 1, 4, 3, 0
    images = torch.tensor([[[[3.0, 1.0], [0.0, 4.0]]]]) / 8
    maps = torch.tensor([[[2.0, 9.0], [-4.0, 5.0]]])
    deletion, insertion = deletion_insertion(lambda x: x.sum(dim=(2, 3)), images, maps, [0], step=1)
    assert deletion.tolist() == [[1.0, 7 / 8, 3 / 8, 0.0, 0.0]]
    assert insertion.tolist() == [[0.0, 1 / 8, 5 / 8, 1.0, 1.0]]
    # a last, smaller step
    deletion, insertion = deletion_insertion(lambda x: x.sum(dim=(2, 3)), images, maps, [0], step=3)
    assert deletion.tolist() == [[1.0, 0.0, 0.0]]
    assert insertion.tolist() == [[0.0, 1.0, 1.0]]


def test_a_map_of_the_layer_is_upsampled_first():
    images = nets.images(2, 1, (16, 12)).sigmoid()
    coarse = maps_for(images)
    found = deletion_insertion(Counting(), images, coarse, 0)
    whole = deletion_insertion(Counting(), images, prepare(coarse, (16, 12)), 0)
    assert torch.equal(found[0], whole[0])
    assert torch.equal(found[1], whole[1])


def test_a_perfect_and_a_worst_map():
    # a model that sees the upper half alone: all is lost with the first step, or with the last
    images = torch.ones(1, 1, 32, 4)
    eyes = torch.zeros(1, 32, 4)
    eyes[:, :8] = 1
    forward = lambda x: x[:, :, :8].mean(dim=(2, 3))  # noqa: E731
    good = deletion_insertion(forward, images, eyes, 0)
    bad = deletion_insertion(forward, images, torch.linspace(0, 1, 128).reshape(1, 32, 4), 0)
    steps = perturbation_steps(32, 4)
    for curves, deletion, insertion in ((good, 1 / 8, 7 / 8), (bad, 7 / 8, 1 / 8)):
        areas = [area_compute(area_update(curve, steps=steps)).item() for curve in curves]
        assert areas == [deletion, insertion]
        overall = overall_compute(overall_update(*curves, steps=steps))
        assert overall.item() == insertion - deletion


def test_the_plan_covers_every_step_once():
    for steps in ([0, 5], [0, 2, 5], [0, 1, 2, 3, 5]):
        counts, insert = perturbation_plan(steps)
        assert len(counts) == 2 * (len(steps) - 1)
        # one number for each image that differs: what is left of a ramp of pixels
        images = torch.arange(1.0, 6.0).reshape(1, 1, 1, 5)
        ranks = saliency_ranks(torch.arange(5.0).reshape(1, 1, 5))
        left = [
            perturb(images, ranks, int(c), insert=bool(i)).sum().item()
            for c, i in zip(counts, insert, strict=True)
        ]
        assert len(set(left)) == len(left)
        deletion, insertion = curves_of(torch.tensor([left]))
        for k, count in enumerate(steps):
            assert deletion[0, k] == perturb(images, ranks, count, insert=False).sum()
            assert insertion[0, k] == perturb(images, ranks, count, insert=True).sum()


@pytest.mark.parametrize("shape", [(4,), (1, 3), (1, 0), (1, 1, 2)])
def test_answers_to_no_plan(shape):
    with pytest.raises(ValueError, match="^Expected values") as raised:
        curves_of(torch.zeros(shape))
    assert str(raised.value) == f"Expected values to be of shape (N,2n), but got {shape}."


IMAGES, MAPS = torch.rand(2, 3, 8, 8), torch.rand(2, 4, 4)
PAIRS = "Expected inputs and maps to be of shapes (N,c,H,W) and (N,h,w), N at least 1, but got "


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"maps": MAPS[:1]}, ValueError, PAIRS + "inputs (2, 3, 8, 8) and maps (1, 4, 4)."),
        ({"inputs": IMAGES[0]}, ValueError, PAIRS + "inputs (3, 8, 8) and maps (2, 4, 4)."),
        (
            {"inputs": IMAGES[:0], "maps": MAPS[:0]},
            ValueError,
            PAIRS + "inputs (0, 3, 8, 8) and maps (0, 4, 4).",
        ),
        (
            {"maps": MAPS / 0 * 0},
            ValueError,
            "Expected maps to be finite, but got NaN at index [0, 0, 0].",
        ),
        ({"step": 0}, ValueError, "Expected step to be an integer of at least 1, but got 0."),
        ({"step": 1.5}, TypeError, "Expected step to be an integer of at least 1, but got 1.5."),
        ({"rows": 0}, ValueError, "Expected rows to be an integer of at least 1, but got 0."),
        ({"target": 3}, ValueError, "Expected target to be labels below 3, but got 3."),
        ({"target": [0, -1]}, ValueError, "Expected target to be labels below 3, but got -1."),
        (
            {"target": [0]},
            ValueError,
            "Expected target to be of shape (P,) with P = 2, but got (1,).",
        ),
        ({"target": 0.5}, TypeError, "Expected target to be integers of shape (P,), but got 0.5."),
        (
            {"target": "cat"},
            TypeError,
            "Expected target to be integers of shape (P,), but got 'cat' (str).",
        ),
        (
            {"baseline": torch.zeros(7)},
            ValueError,
            "Expected baseline to be a number or a tensor that broadcasts to the inputs "
            "(2, 3, 8, 8), but got (7,).",
        ),
        (
            {"baseline": float("inf")},
            ValueError,
            "Expected baseline to be finite, but got an infinite value.",
        ),
        (
            {"forward": lambda x: x.mean(dim=(1, 2, 3))},
            ValueError,
            "Expected forward to give probabilities of shape (M,L) for M = 4 images, but got (4,).",
        ),
        (
            {"forward": lambda x: 3 + x.mean(dim=(2, 3))},
            ValueError,
            "Expected the probabilities to be probabilities in [0,1], but got others.",
        ),
    ],
)
def test_wrong_arguments(change, error, text):
    arguments = {
        "forward": lambda x: x.mean(dim=(2, 3)),
        "inputs": IMAGES,
        "maps": MAPS,
        "target": [0, 1],
        **change,
    }
    with pytest.raises(error, match="^Expected") as raised:
        deletion_insertion(**arguments)
    assert str(raised.value) == text
