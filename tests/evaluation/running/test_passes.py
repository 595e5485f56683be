"""Passes that methods and metrics share, against one image at a time."""

import dataclasses

import numpy as np
import pytest
import torch

from captum_cluster.evaluation.running.passes import (
    COMPLEMENT,
    CURVES,
    MASKED,
    Answers,
    SharedPasses,
)
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics import deletion_insertion, perturbation_steps
from captum_cluster.functional.metrics.reading import Reader
from captum_cluster.hooks import count_forwards
from tests.helpers import metric_references as ref
from tests.helpers.nets import SmallNet, images

ALL = frozenset({MASKED, COMPLEMENT, CURVES})
SIZE = (19, 11)  # three steps, the last one smaller
TARGETS = torch.tensor([4, 0, 1])


@pytest.fixture
def net():
    return SmallNet().double().eval()


def reader(net):
    """Probabilities of images, without gradients."""

    def read(batch):
        with torch.no_grad():
            return net(batch).softmax(dim=1)

    return read


def shared(net, *, rows=3, baseline=0.0, size=SIZE, seed=0):
    image = images(1, size=size, seed=seed)
    read = reader(net)
    bare = read(torch.full_like(image, baseline))[0]
    return SharedPasses(Reader(read), image, read(image)[0], bare, rows, baseline)


def maps(count=3, size=SIZE, seed=3):
    """Saliency maps (P,H,W) in [0,1], with ties."""
    found = saliency(images(count, 1, (4, 3), seed=seed)[:, 0], size)
    return (found * 20).round() / 20


# A plain loop


def blended(image, weight, baseline):
    """The image (c,H,W) where the weight (H,W) is 1, the baseline where it is 0."""
    found = torch.empty_like(image)
    for c, i, j in np.ndindex(*image.shape):
        found[c, i, j] = image[c, i, j] * weight[i, j] + baseline * (1 - weight[i, j])
    return found


def answer(net, image):
    with torch.no_grad():
        return net(image[None]).softmax(dim=1)[0]


def slowly(net, passes, weights, targets):
    """The four answers, each image rendered and passed alone."""
    image, baseline = passes.image[0], passes.baseline
    masked = [answer(net, blended(image, one, baseline)) for one in weights]
    complement = [answer(net, blended(image, 1 - one, baseline)) for one in weights]
    curves = {"deletion": [], "insertion": []}
    for one, target in zip(weights, targets.tolist(), strict=True):
        order = ref.pixel_order(one)
        for kind, found in curves.items():
            start = image if kind == "deletion" else torch.full_like(image, baseline)
            end = torch.full_like(image, baseline) if kind == "deletion" else image
            values = []
            for count in ref.steps(tuple(image.shape[1:])):
                changed = start.clone()
                for i, j in order[:count]:
                    changed[:, i, j] = end[:, i, j]
                values.append(answer(net, changed)[target])
            found.append(torch.stack(values))
    return Answers(*map(torch.stack, (masked, complement, *curves.values())))


@pytest.mark.parametrize("baseline", [0.0, 0.7, -1.5])
@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_every_answer_is_that_of_a_plain_loop(net, baseline, rows):
    passes = shared(net, rows=rows, baseline=baseline)
    found = passes.ask(maps(), TARGETS, ALL)
    expected = slowly(net, passes, maps(), TARGETS)
    for field in dataclasses.fields(Answers):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        assert one.shape == other.shape, field.name
        assert torch.allclose(one, other, atol=1e-12), field.name


@pytest.mark.parametrize("size", [(8, 9), (5, 12), (16, 16), (24, 3)])
def test_images_of_one_step_and_of_steps_that_divide(net, size):
    passes, weights = shared(net, size=size), maps(2, size)
    found = passes.ask(weights, TARGETS[:2], ALL)
    expected = slowly(net, passes, weights, TARGETS[:2])
    assert found.deletion.shape == (2, len(perturbation_steps(*size)))
    assert torch.allclose(found.deletion, expected.deletion, atol=1e-12)
    assert torch.allclose(found.insertion, expected.insertion, atol=1e-12)
    assert torch.allclose(found.complement, expected.complement, atol=1e-12)


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_curves_are_those_of_the_metric(net, baseline):
    passes, weights = shared(net, baseline=baseline), maps()
    found = passes.ask(weights, TARGETS, frozenset({CURVES}))
    inputs = passes.image.expand(3, -1, -1, -1)
    deletion, insertion = deletion_insertion(
        reader(net), inputs, weights, TARGETS, baseline=baseline
    )
    assert torch.allclose(found.deletion, deletion, atol=1e-12)
    assert torch.allclose(found.insertion, insertion, atol=1e-12)


def test_the_ends_of_the_curves_are_what_is_passed_in(net):
    given = shared(net)
    passes = dataclasses.replace(
        given, whole=torch.arange(5.0).double() / 10, bare=torch.arange(5.0).double() / 100
    )
    found = passes.ask(maps(), TARGETS, frozenset({CURVES}))
    assert found.deletion[:, 0].tolist() == found.insertion[:, -1].tolist() == [0.4, 0.0, 0.1]
    assert found.deletion[:, -1].tolist() == found.insertion[:, 0].tolist() == [0.04, 0.0, 0.01]


@pytest.mark.parametrize(
    "wants",
    [set(), {MASKED}, {COMPLEMENT}, {CURVES}, {MASKED, CURVES}, {COMPLEMENT, CURVES}, set(ALL)],
)
@pytest.mark.parametrize("rows", [1, 4, 1000])
def test_only_what_is_wanted_is_passed_each_once(net, wants, rows):
    passes, steps = shared(net, rows=rows), len(perturbation_steps(*SIZE)) - 1
    with count_forwards(net) as count:
        found = passes.ask(maps(), TARGETS, frozenset(wants))
    each = len(wants & {MASKED, COMPLEMENT}) + (2 * (steps - 1) if CURVES in wants else 0)
    assert steps == 3
    assert count.images == 3 * each
    assert count.calls == -(-3 * each // rows)
    everything = passes.ask(maps(), TARGETS, ALL)
    for name, want in zip(
        ("masked", "complement", "deletion", "insertion"),
        (MASKED, COMPLEMENT, CURVES, CURVES),
        strict=True,
    ):
        if want in wants:
            assert torch.allclose(getattr(found, name), getattr(everything, name), atol=1e-12)
        else:
            assert getattr(found, name) is None


def test_all_answers_cost_2_and_2_times_27_passes_at_224():
    seen = []

    def read(batch):
        seen.append(len(batch))
        return batch.mean(dim=(2, 3)).abs().clamp(max=1)

    image = torch.ones(1, 3, 224, 224)
    passes = SharedPasses(Reader(read), image, torch.ones(3), torch.zeros(3), rows=13)
    passes.ask(torch.rand(2, 224, 224), torch.tensor([0, 2]), ALL)
    assert sum(seen) == 2 * (2 + 2 * 27)
    assert seen == [13] * 8 + [8]


def test_no_map_is_no_pass(net):
    passes = shared(net)
    with count_forwards(net) as count:
        found = passes.ask(torch.zeros(0, *SIZE), torch.zeros(0, dtype=torch.long), ALL)
    assert count.images == 0
    assert found.masked.shape == found.complement.shape == (0, 5)
    assert found.deletion.shape == found.insertion.shape == (0, 4)


def test_maps_that_keep_all_or_nothing(net):
    """A map of ones hides nothing, one of zeros everything; both curves go by position."""
    passes = shared(net, baseline=0.3)
    weights = torch.stack([torch.ones(SIZE), torch.zeros(SIZE)]).double()
    found = passes.ask(weights, TARGETS[:2], ALL)
    assert torch.allclose(found.masked, torch.stack([passes.whole, passes.bare]), atol=1e-12)
    assert torch.allclose(found.complement, torch.stack([passes.bare, passes.whole]), atol=1e-12)
    one, other = (passes.ask(weights[[place]], TARGETS[:1], ALL).deletion for place in (0, 1))
    assert torch.equal(one, other)


def test_nothing_is_modified(net):
    passes, weights = shared(net, baseline=0.5), maps()
    before = passes.image.clone(), weights.clone(), passes.whole.clone()
    passes.ask(weights, TARGETS, ALL)
    assert torch.equal(passes.image, before[0])
    assert torch.equal(weights, before[1])
    assert torch.equal(passes.whole, before[2])


def test_the_order_of_pixels_does_not_depend_on_the_precision_of_the_model(net):
    """Saliency that half precision cannot tell apart still has an order."""
    passes = shared(net)
    weights = torch.linspace(0.5, 0.5001, SIZE[0] * SIZE[1]).double().reshape(1, *SIZE)

    def read(batch):
        assert batch.dtype == torch.float16
        return reader(net)(batch.double())

    half = dataclasses.replace(passes, reader=Reader(read), image=passes.image.half())
    found = half.ask(weights, TARGETS[:1], frozenset({CURVES}))
    expected = passes.ask(weights, TARGETS[:1], frozenset({CURVES}))
    assert torch.allclose(found.deletion, expected.deletion, atol=1e-2)
    turned = passes.ask(weights.flip(1, 2), TARGETS[:1], frozenset({CURVES}))
    assert not torch.allclose(turned.deletion, expected.deletion, atol=1e-2)


def test_several_methods_share_whole_and_bare(net):
    """Two questions to one image cost no further pass of the whole image."""
    passes = shared(net, rows=1000)
    with count_forwards(net) as count:
        first = passes.ask(maps(seed=3), TARGETS, ALL)
        second = passes.ask(maps(seed=4), TARGETS, ALL)
    assert count.images == 2 * 3 * (2 + 2 * 2)
    assert not torch.allclose(first.masked, second.masked)
    assert torch.equal(first.deletion[:, 0], second.deletion[:, 0])


def test_a_run_finds_out_once_that_a_model_needs_the_usual_layout():
    """Two questions to two images, and one failure."""

    class ViewNet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3, stride=4)
            self.fc = torch.nn.Linear(4 * 5 * 3, 5)

        def forward(self, batch):
            return self.fc(self.conv(batch).view(len(batch), -1))

    model = ViewNet().eval()
    once, calls = Reader(reader(model)), []
    model.register_forward_pre_hook(lambda _, args: calls.append(args[0].is_contiguous()))
    for seed in (0, 1):
        given = shared(model.double(), rows=1000, seed=seed)
        float32 = {name: getattr(given, name).float() for name in ("image", "whole", "bare")}
        exact = given.ask(maps(), TARGETS, ALL)
        model.float()
        passes = dataclasses.replace(given, reader=once, **float32)
        for _ in range(2):
            found = passes.ask(maps().float(), TARGETS, ALL)
            assert torch.allclose(found.deletion.double(), exact.deletion, atol=1e-6)
            assert torch.allclose(found.complement.double(), exact.complement, atol=1e-6)
    assert calls.count(False) == 1


def test_the_order_of_pixels_is_found_only_for_curves(net, monkeypatch):
    def never(_):
        raise AssertionError

    monkeypatch.setattr("captum_cluster.evaluation.running.passes.saliency_order", never)
    shared(net).ask(maps(), TARGETS, frozenset({MASKED, COMPLEMENT}))
    with pytest.raises(AssertionError):
        shared(net).ask(maps(), TARGETS, frozenset({CURVES}))
