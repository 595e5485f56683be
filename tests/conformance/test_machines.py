"""Compiled, scripted and data-parallel models, precisions and devices, for each row."""

import warnings

import pytest
import torch
from torch import nn

from captum_cluster._checks import LayerError
from tests.conformance.cases import assert_same_state, each, state_of
from tests.conformance.faces import TARGETS, batch, both_faces, explained, net

every_case = each()

pytestmark = [
    pytest.mark.filterwarnings("ignore:Target .* is not in its labels"),
    pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated"),
    # Of torch.compile, about other things than what is asked here.
    pytest.mark.filterwarnings("ignore:.*torch._dynamo"),
    pytest.mark.filterwarnings("ignore:Dynamo"),
]


def assert_close(actual, expected, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# torch.compile


def compiled(model, kind):
    """Return a model that is compiled as a whole, in a part, or in place."""
    torch._dynamo.reset()
    if kind == "submodule":
        model.conv2 = torch.compile(model.conv2, backend="eager")
    if kind == "in place":
        model.compile(backend="eager")
    return torch.compile(model, backend="eager") if kind == "whole" else model


@every_case
@both_faces
@pytest.mark.parametrize("kind", ["whole", "submodule", "in place"])
def test_a_compiled_model(case, face, kind):
    plain, own = net(), net()
    model = compiled(own, kind)
    with torch.no_grad():
        model(batch(seed=9))  # it is compiled before it gets hooks, as in use
    before = state_of(model)
    for seed in (0, 1):  # another call sees its own images
        x = batch(seed=seed)
        maps = explained(case, face, model, own.relu2, x, TARGETS)
        assert_close(maps, explained(case, face, plain, plain.relu2, x, TARGETS))
    assert_same_state(before, state_of(model))


@every_case
@both_faces
def test_a_layer_named_through_the_compiled_model(case, face):
    plain, model, x = net(), compiled(net(), "whole"), batch()
    maps = explained(case, face, model, model._orig_mod.relu2, x, TARGETS)
    assert_close(maps, explained(case, face, plain, plain.relu2, x, TARGETS))


@each(closed_form=False)
@both_faces
def test_a_compiled_submodule_is_the_layer(case, face):
    if case.sub_head:
        pytest.skip("the method explains the layer behind it")
    plain, model, x = net(), compiled(net(), "submodule"), batch()
    with torch.no_grad():
        model(x)
    maps = explained(case, face, model, model.conv2, x, TARGETS)
    assert_close(maps, explained(case, face, plain, plain.conv2, x, TARGETS))


# torch.jit


def scripted(model, kind, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(model, x) if kind == "trace" else torch.jit.script(model)


class Hidden(nn.Module):
    """A network without the head of sub-categories, which takes no forward pass to script."""

    def __init__(self):
        super().__init__()
        own = net()
        self.conv1, self.bn1, self.relu1 = own.conv1, own.bn1, own.relu1
        self.conv2, self.relu2, self.pool, self.fc = own.conv2, own.relu2, own.pool, own.fc

    def forward(self, x):
        x = self.relu2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.fc(self.pool(x).flatten(1))


@every_case
@both_faces
@pytest.mark.parametrize("kind", ["trace", "script"])
def test_a_layer_inside_a_scripted_model_is_not_seen(case, face, kind):
    x, of = batch(), net()
    model = scripted(Hidden().eval(), kind, x)
    before = state_of(model, x)
    with pytest.raises(LayerError, match=r"^Expected layer .* torch\.jit"):
        explained(case, face, model, model.relu2, x, TARGETS, of=of)
    assert_same_state(before, state_of(model, x))


@every_case
@both_faces
@pytest.mark.parametrize("kind", ["trace", "script"])
def test_a_scripted_module_of_an_eager_model(case, face, kind):
    plain, model, x = net(), net(), batch()
    maps = explained(case, face, plain, plain.relu2, x, TARGETS)
    taken = plain.conv2(plain.relu1(plain.bn1(plain.conv1(x))))
    model.relu2 = scripted(model.relu2, kind, taken)
    model.conv1 = scripted(model.conv1, kind, x)
    before = state_of(model, x)
    assert_close(explained(case, face, model, model.relu2, x, TARGETS), maps)
    assert_same_state(before, state_of(model, x))


@every_case
@both_faces
def test_a_frozen_part_has_no_mode(case, face):
    plain, model, x = net(), net(), batch()
    model.bn1 = torch.jit.freeze(torch.jit.script(model.bn1))
    assert not hasattr(model.bn1, "training")
    maps = explained(case, face, model, model.relu2, x, TARGETS)
    assert_close(maps, explained(case, face, plain, plain.relu2, x, TARGETS))
    model.dropout.train()
    maps = explained(case, face, model, model.relu2, x, TARGETS)
    assert_close(maps, explained(case, face, plain, plain.relu2, x, TARGETS))
    assert model.dropout.training


# Data-parallel models


@every_case
@both_faces
def test_a_data_parallel_model_on_the_cpu(case, face):
    plain, x = net(), batch()
    model = nn.DataParallel(net()).eval()
    before = state_of(model, x)
    maps = explained(case, face, model, model.module.relu2, x, TARGETS)
    assert_close(maps, explained(case, face, plain, plain.relu2, x, TARGETS))
    assert_same_state(before, state_of(model, x))


@every_case
def test_device_ids_are_taken_and_kept(case):
    model, x = net(), batch()
    cam = case.captum(nn.DataParallel(model).eval(), model.relu2, [0])
    assert cam.device_ids == [0]
    maps = cam.attribute(x, TARGETS, **case._options(x, {}))
    assert_close(maps, explained(case, "captum", model, model.relu2, x, TARGETS))


# Layout and precision


@every_case
@both_faces
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_channels_last(case, face, dtype):
    x, plain = batch(dtype=dtype), net(dtype)
    model = net(dtype).to(memory_format=torch.channels_last)
    given = x.contiguous(memory_format=torch.channels_last)
    before = state_of(model, given), given.stride()
    maps = explained(case, face, model, model.relu2, given, TARGETS)
    expected = explained(case, face, plain, plain.relu2, x, TARGETS)
    assert_close(maps, expected, atol=1e-5 * max(1.0, float(expected.abs().max())))
    assert_same_state(before[0], state_of(model, given))
    assert given.stride() == before[1]
    assert model.conv2.weight.is_contiguous(memory_format=torch.channels_last)


# GPUs


def gpus(number):
    return [
        pytest.mark.gpu,
        pytest.mark.skipif(torch.cuda.device_count() < number, reason=f"needs {number} GPU(s)"),
    ]


class TestOneGPU:
    pytestmark = gpus(1)

    @every_case
    @both_faces
    def test_the_map_is_that_of_the_cpu(self, case, face):
        plain, x = net(), batch()
        model = net().cuda()
        maps = explained(case, face, model, model.relu2, x.cuda(), TARGETS)
        assert_close(maps.cpu(), explained(case, face, plain, plain.relu2, x, TARGETS), 1e-8)

    @every_case
    @both_faces
    def test_a_model_split_over_the_cpu_and_a_gpu(self, case, face):
        plain, x, model = net(), batch(), net()
        model.dropout = nn.Sequential(model.dropout, _To("cuda")).eval()
        model.fc.cuda()
        maps = explained(case, face, model, model.relu2, x, TARGETS)
        assert_close(maps.cpu(), explained(case, face, plain, plain.relu2, x, TARGETS), 1e-8)


class TestTwoGPUs:
    pytestmark = gpus(2)

    @every_case
    @both_faces
    def test_a_data_parallel_model(self, case, face):
        plain, x = net(), batch()
        model = nn.DataParallel(net().cuda()).eval()
        maps = explained(case, face, model, model.module.relu2, x.cuda(), TARGETS)
        assert_close(maps.cpu(), explained(case, face, plain, plain.relu2, x, TARGETS), 1e-8)


class _To(nn.Module):
    def __init__(self, device):
        super().__init__()
        self.device = device

    def forward(self, x):
        return x.to(self.device)
