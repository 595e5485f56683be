"""Insertion and deletion against one pixel at a time."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

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


# Layouts and memory


class Largest(TorchDispatchMode):
    """Notes the most values that any tensor has that is made."""

    def __init__(self):
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.values = max(self.values, found.untyped_storage().nbytes() // found.itemsize)
        return found


@pytest.mark.parametrize("rows", [1, 4])
def test_no_more_than_a_batch_is_held(rows):
    images = nets.images(2, 3, (32, 4)).sigmoid().float()
    maps = maps_for(images).float()
    with Largest() as largest:
        deletion_insertion(lambda x: x.mean(dim=(2, 3)), images, maps, 0, rows=rows)
    inputs, batch = images.numel(), rows * images[0].numel()
    assert largest.values == max(inputs, batch)


@pytest.mark.parametrize("baseline", [None, 0.3])
def test_float32_gives_the_curves_of_float64(baseline):
    """Its images come channels last, the model and what is given stay as they are."""
    net, images = nets.SmallNet().float().eval(), nets.images(2, 3, (19, 11)).float()
    maps = prepare(maps_for(images).float(), (19, 11))
    before = images.clone(), maps.clone(), copy.deepcopy(net.state_dict())
    formats = [one.stride() for one in (images, maps, *net.state_dict().values())]
    seen = []
    net.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    found = torch.stack(deletion_insertion(reading(net), images, maps, 0, baseline=baseline))
    assert set(seen) == {True}
    assert torch.equal(images, before[0])
    assert torch.equal(maps, before[1])
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[2][name])
    assert formats == [one.stride() for one in (images, maps, *net.state_dict().values())]
    exact = deletion_insertion(
        reading(net.double()), images.double(), maps.double(), 0, baseline=baseline
    )
    assert torch.allclose(found.double(), torch.stack(exact), atol=1e-6)
    assert set(seen[len(seen) // 2 :]) == {False}


def test_a_model_that_needs_the_usual_layout():
    """`view` behind a map of more than one pixel fails on images that come channels last."""

    class ViewNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3, stride=4), nn.Linear(4 * 5 * 3, 3)
            self.calls = 0

        def forward(self, images):
            self.calls += 1
            return self.fc(self.conv(images).view(len(images), -1))

    net, images = ViewNet().eval(), nets.images(2, 3, (19, 11)).float()
    maps = prepare(maps_for(images).float(), (19, 11))
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        net(images.contiguous(memory_format=torch.channels_last))
    net.calls = 0
    found = torch.stack(deletion_insertion(reading(net), images, maps, [0, 2], rows=3))
    assert net.calls == 1 + 4  # 12 images
    exact = deletion_insertion(reading(net.double()), images.double(), maps.double(), [0, 2])
    assert torch.allclose(found.double(), torch.stack(exact), atol=1e-6)


def test_a_model_that_gives_its_input():
    """What is read must not change with the images drawn later."""
    images = nets.images(2, 3, (4, 5)).sigmoid().float()
    maps = nets.images(2, 1, (4, 5), seed=2)[:, 0].float()
    found = deletion_insertion(lambda x: x[:, :, 1, 2], images, maps, [0, 2], step=3)
    exact = deletion_insertion(lambda x: x[:, :, 1, 2] + 0, images, maps, [0, 2], step=3)
    assert torch.equal(torch.stack(found), torch.stack(exact))
    for n, target in enumerate((0, 2)):
        gone = ref.pixel_order(prepare(maps, (4, 5))[n]).index((1, 2)) // 3 + 1
        value = images[n, target, 1, 2].item()
        assert found[0][n].tolist() == [value] * gone + [0.0] * (8 - gone)
        assert found[1][n].tolist() == [0.0] * gone + [value] * (8 - gone)


def test_images_that_need_gradients_are_read_without():
    images = nets.images(1, 3, (8, 8)).float().sigmoid().requires_grad_()
    found = torch.cat(deletion_insertion(Counting(), images, images[:, 0], 0))
    assert not found.requires_grad
    assert images.grad is None


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
