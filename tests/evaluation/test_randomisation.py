"""Copies of a model with random parameters: which change, from what they are drawn, what stays."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from captum_cluster.evaluation.randomisation import (
    copied,
    drawn_from,
    module_names,
    randomise,
    randomised,
)
from tests.conformance.cases import assert_same_state, state_of
from tests.helpers.nets import SmallNet, TokenNet


@pytest.fixture
def net():
    return SmallNet()


def changed(one, other):
    """Names of the modules with a parameter of their own that differs."""
    theirs = dict(other.named_parameters())
    return {
        name.rpartition(".")[0]
        for name, parameter in one.named_parameters()
        if not torch.equal(parameter, theirs[name])
    }


def test_every_module_with_parameters_last_first(net):
    assert module_names(net) == ["fc", "conv2", "bn1", "conv1"]
    assert module_names(TokenNet())[-1] == ""  # the class token is the model's own


def test_names_that_were_asked_for(net):
    assert module_names(net, ["conv1", ""]) == ["conv1", ""]


@pytest.mark.parametrize(
    ("modules", "error", "message"),
    [
        ("fc", TypeError, "Expected modules to be a list of names of modules, but got 'fc'"),
        ([], TypeError, "a list of names"),
        (["fc", "conv3"], ValueError, "modules of the model that have parameters.*'conv3'"),
        (["relu1"], ValueError, "but got 'relu1'"),
        ([3], ValueError, "but got 3"),
    ],
)
def test_bad_names(net, modules, error, message):
    with pytest.raises(error, match=message):
        module_names(net, modules)


def test_a_model_without_parameters():
    with pytest.raises(ValueError, match="Expected model to be a module with parameters"):
        module_names(nn.ReLU())


def test_the_cascade_keeps_what_is_random(net):
    names = module_names(net)
    found = [(name, changed(net, other)) for name, other, _ in randomised(net, [], names)]
    assert found == [(name, set(names[: k + 1])) for k, name in enumerate(names)]


def test_one_at_a_time_restores(net):
    steps = randomised(net, [], module_names(net), mode="independent")
    assert all(changed(net, other) == {name} for name, other, _ in steps)


def test_a_module_is_given_the_same_in_both_modes(net):
    names = module_names(net)
    cascade = {
        name: [one.clone() for one in other.get_submodule(name).parameters()]
        for name, other, _ in randomised(net, [], names, seed=5)
    }
    for name, other, _ in randomised(net, [], names, mode="independent", seed=5):
        for one, wanted in zip(other.get_submodule(name).parameters(), cascade[name], strict=True):
            assert torch.equal(one, wanted)


def test_modules_of_one_shape_differ():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    *_, (_, other, _) = randomised(net, [], ["1", "0"])
    assert not torch.equal(other[0].weight, other[1].weight)


def test_the_seed_decides(net):
    def last(seed):
        *_, (_, other, _) = randomised(net, [], module_names(net), seed=seed)
        return torch.cat([one.flatten() for one in other.parameters()])

    assert torch.equal(last(3), last(3))
    assert not torch.equal(last(3), last(4))


def test_whole_modules():
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2))
    (step,) = randomised(net, [], ["0"], whole=True)
    assert changed(net, step[1]) == {"0.0", "0.1"}
    (step,) = randomised(net, [], ["0"])
    assert changed(net, step[1]) == set()


def test_the_layers_are_those_of_the_copy(net):
    for _, other, (first, second) in randomised(net, [net.relu2, net.conv1], ["fc", "conv1"]):
        assert first is other.relu2
        assert second is other.conv1


def test_model_and_random_state_are_left_alone(net):
    net.train()
    net.bn1.eval()
    before = state_of(net)
    for _, other, _ in randomised(net, [], module_names(net)):
        assert not any(module.training for module in other.modules())
    assert_same_state(before, state_of(net))


def test_running_statistics_stay(net):
    (_, other, _), *_ = randomised(net, [], ["bn1"])
    assert torch.equal(other.bn1.running_mean, net.bn1.running_mean)
    assert torch.equal(other.bn1.running_var, net.bn1.running_var)
    assert other.bn1.num_batches_tracked == net.bn1.num_batches_tracked
    assert other.bn1.weight.tolist() == [1.0] * 8


def test_a_module_with_its_own_way_uses_it():
    layer = nn.Linear(100, 50)
    nn.init.constant_(layer.weight, 7.0)
    randomise(layer)
    assert layer.weight.abs().max() <= 0.1  # torch's bound is 1/sqrt(100)
    assert layer.weight.std() > 0.04


def test_a_module_without_draws_numbers_alike():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(3 + 2 * torch.randn(100, 100))
            self.constant = nn.Parameter(torch.ones(4))
            self.short = nn.Parameter(torch.ones(4).half())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Scale()
        before = module.scale.detach().clone()
        randomise(module)
    assert not torch.equal(module.scale, before)
    assert module.scale.mean().item() == pytest.approx(before.mean().item(), abs=0.1)
    assert module.scale.std().item() == pytest.approx(before.std().item(), abs=0.1)
    assert module.constant.tolist() == [1.0] * 4  # nothing to tell their spread from
    assert module.short.dtype == torch.float16


def test_what_the_modules_own_way_forgets_is_drawn_too():
    class Extra(nn.Linear):
        def __init__(self):
            super().__init__(3, 3)
            self.extra = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    module = Extra()
    randomise(module)
    assert not any(parameter.isnan().any() for parameter in module.parameters())
    assert module.extra.tolist() != [1.0, 2.0, 3.0]


def test_modules_inside_are_not_reset_with_it():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 3)
            self.own = nn.Parameter(torch.tensor([1.0, 2.0]))

        def reset_parameters(self):
            nn.init.zeros_(self.own)
            self.inner.reset_parameters()

    module = Outer()
    before = module.inner.weight.clone()
    randomise(module)
    assert module.own.tolist() == [0.0, 0.0]
    assert torch.equal(module.inner.weight, before)


def test_parametrised_weights():
    net = nn.Sequential(weight_norm(nn.Linear(3, 3)))
    net(torch.ones(1, 3))
    *_, (_, other, _) = randomised(net, [], module_names(net))
    assert not torch.equal(other[0].weight, net[0].weight)
    assert other(torch.ones(1, 3)).isfinite().all()


def test_numbers_that_are_not_real_stay():
    net = nn.Linear(2, 2)
    net.count = nn.Parameter(torch.tensor([3]), requires_grad=False)
    randomise(net)
    assert net.count.tolist() == [3]


def test_in_inference_mode(net):
    with torch.inference_mode():
        *_, (_, other, _) = randomised(net, [net.relu2], module_names(net))
        assert changed(net, other) == set(module_names(net))
    assert not any(parameter.is_inference() for parameter in other.parameters())


def test_drawn_from_puts_the_random_state_back():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), drawn_from(3, nn.ReLU()):
        drawn = torch.rand(2)
        math.floor(1 / 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn, torch.rand(2, generator=torch.Generator().manual_seed(3)))


def test_a_copy_shares_nothing(net):
    other, (layer,) = copied(net, [net])
    assert layer is other
    other.fc.weight.data.zero_()
    assert net.fc.weight.abs().sum() > 0
