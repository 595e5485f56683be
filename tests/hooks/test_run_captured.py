"""Passes whose graph starts at the layer, where that shows nowhere."""

import pytest
import torch
from torch import nn

from captum_cluster.hooks import capture, count_forwards, run_captured

X = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Net(nn.Module):
    """Two convolutions, the gate of a third, and ``fc``; subclasses switch autograd."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.layer = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
            self.gate, self.fc = nn.Conv2d(4, 4, 1), nn.Linear(4, 3)
        self.double().eval()

    def forward(self, x):
        maps = self.layer(self.first(x).relu())
        return self.fc((maps * self.gate(maps).sigmoid()).mean(dim=(2, 3)))


class Switching(Net):
    """Puts autograd on for parts of it, as fine-tuning code does."""

    def forward(self, x):
        with torch.set_grad_enabled(True):
            maps = self.layer(self.first(x).relu())
        gate = self.gate(maps).sigmoid()
        with torch.set_grad_enabled(True):
            return self.fc((maps * gate).mean(dim=(2, 3)))


class Backbone(Net):
    """Puts autograd on for what ends with the layer."""

    def forward(self, x):
        with torch.set_grad_enabled(True):
            maps = self.layer(self.first(x).relu())
        return self.fc((maps * self.gate(maps).sigmoid()).mean(dim=(2, 3)))


def found_by(net, layer, model=None):
    """Outputs, gradients at a layer, and how many passes were made."""
    with count_forwards(net) as count, torch.no_grad():
        outputs, captured = run_captured(model or net, [layer], lambda: net(X), gradients=True)
    return outputs, captured.gradients_of(outputs[:, 1], 0)[0], count.calls


def expected_of(net, layer):
    with capture([layer], gradients=True) as captured:
        outputs = net(X)
    return captured.gradients_of(outputs[:, 1], 0)[0]


def test_nothing_before_the_layer_keeps_a_graph():
    net, seen = Net(), []
    net.first.register_forward_hook(lambda _, __, output: seen.append(output.requires_grad))
    outputs, gradient, passes = found_by(net, net.layer)
    assert (passes, seen, outputs.requires_grad) == (1, [False], True)
    torch.testing.assert_close(gradient, expected_of(net, net.layer), rtol=0, atol=0)


def test_the_mode_of_autograd_is_put_back():
    net = Net()
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            before = torch.is_grad_enabled()
            run_captured(net, [net.layer], lambda: net(X), gradients=True)
            assert torch.is_grad_enabled() is before


@pytest.mark.parametrize("build", [Switching, Backbone])
def test_a_model_that_switches_autograd_itself(build):
    net = build()
    _, gradient, passes = found_by(net, net.layer)
    assert passes == 2
    torch.testing.assert_close(gradient, expected_of(net, net.layer), rtol=0, atol=0)


def retain(_, __, output):
    output.retain_grad()


def hooked(_, __, output):
    output.register_hook(lambda gradient: None)


def of_its_node(_, __, output):
    output.grad_fn.register_hook(lambda *_: None)


@pytest.mark.parametrize("hook", [retain, hooked, of_its_node])
@pytest.mark.parametrize("place", ["first", "layer"])
def test_hooks_that_want_a_graph(hook, place):
    net = Net()
    net.get_submodule(place).register_forward_hook(hook)
    _, gradient, passes = found_by(net, net.layer)
    assert passes == 2
    plain = Net()
    torch.testing.assert_close(gradient, expected_of(plain, plain.layer), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_backward_hooks_get_the_gradients_of_a_whole_graph(kind):
    net, taken = Net(), []
    getattr(net.layer, kind)(lambda *args: taken.append(args[-1][0] is not None))
    _, gradient, passes = found_by(net, net.layer)
    assert passes == 1
    plain = Net()
    torch.testing.assert_close(gradient, expected_of(plain, plain.layer), rtol=0, atol=0)


def test_a_function_that_hides_its_model_keeps_its_whole_graph():
    net, seen = Net(), []
    net.first.register_forward_hook(lambda _, __, output: seen.append(output.requires_grad))
    _, gradient, passes = found_by(net, net.layer, model=lambda x: net(x))
    assert (passes, seen) == (1, [True])
    torch.testing.assert_close(gradient, expected_of(net, net.layer), rtol=0, atol=0)


def test_other_errors_come_out_of_the_first_pass():
    net = Net()

    def fails(*_):
        raise ValueError("the input is strange")

    net.first.register_forward_hook(fails)
    with count_forwards(net) as count, pytest.raises(ValueError, match="strange"):
        run_captured(net, [net.layer], lambda: net(X), gradients=True)
    assert count.calls == 1
    assert torch.is_grad_enabled()
