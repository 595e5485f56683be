"""What is captured is right, and everything is as it was found: also when the model raises."""

import threading
import warnings
from collections import namedtuple

import pytest
import torch
from torch import nn

from captum_cluster._checks import LayerError
from captum_cluster.attr import LayerScoreCam
from captum_cluster.hooks import (
    capture,
    check_layer,
    count_forwards,
    grads_kept,
    structure_kept,
    trace_shapes,
    untouched,
)
from tests.helpers import nets

X = nets.images(2)


def ready(net):
    return net.double().eval()


def hook_count(model):
    """Number of hooks of every kind on every module."""
    kinds = [
        "_forward_hooks",
        "_forward_pre_hooks",
        "_backward_hooks",
        "_backward_pre_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_pre_hooks_with_kwargs",
        "_forward_hooks_always_called",
    ]
    return [len(getattr(module, kind)) for module in model.modules() for kind in kinds]


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)


# Activations


def test_activations_are_those_of_the_layer():
    net = ready(nets.SmallNet())
    with torch.no_grad(), capture([net.relu2, net.conv1]) as captured:
        net(X)
    with torch.no_grad():
        conv1 = net.conv1(X)
        relu2 = net.conv2(net.bn1(conv1).relu()).relu()
    assert_close(captured.activations(0), (relu2,))
    assert_close(captured.activations(1), (conv1,))


def test_hand_worked_maps():
    net = ready(nets.HandNet())
    with capture([net.relu]) as captured:
        output = net(net.image())
    assert output.tolist() == [nets.HAND_LOGITS]
    assert captured.activations(0)[0].tolist() == [nets.HAND_MAPS]


@pytest.mark.parametrize("gradients", [False, True])
def test_an_inplace_relu_does_not_change_what_was_captured(gradients):
    net, plain = ready(nets.SmallNet(inplace=True)), ready(nets.SmallNet())
    with capture([net.conv2], gradients=gradients) as captured:
        output = net(X)
    with capture([plain.conv2]) as expected:
        assert_close(output.detach(), plain(X).detach())
    assert_close(captured.activations(0), expected.activations(0))
    assert captured.activations(0)[0].min() < 0


def test_activations_are_detached_copies():
    net = ready(nets.SmallNet())
    with capture([net.conv2], gradients=True) as captured:
        net(X)
    (kept,) = captured.activations(0)
    assert not kept.requires_grad
    kept.zero_()
    assert captured.nodes[0][0].abs().max() > 0


def test_the_input_of_a_layer():
    net = ready(nets.SmallNet(inplace=True))
    plain = ready(nets.SmallNet())
    with capture([net.relu2], of_input=True) as captured:
        net(X)
    with capture([plain.conv2]) as expected:
        plain(X)
    assert_close(captured.activations(0), expected.activations(0))


class KeywordNet(nn.Module):
    """Calls its layer with a keyword."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1, dtype=torch.float64)

    def forward(self, x):
        return self.layer(input=2 * x).mean(dim=(2, 3))


def test_the_input_of_a_layer_that_is_called_with_a_keyword():
    net = KeywordNet()
    with capture([net.layer], of_input=True) as captured:
        net(X)
    assert_close(captured.activations(0), (2 * X,))


def test_a_module_used_twice_gives_its_last_call():
    net = ready(nets.ReusedReLU())
    with capture([net.relu]) as captured:
        net(X)
    with torch.no_grad():
        expected = net.relu(net.conv2(net.relu(net.conv1(X))))
    assert_close(captured.activations(0), (expected,))


def test_the_last_of_several_passes():
    net = ready(nets.SmallNet())
    with capture([net.relu2]) as captured:
        net(X)
        net(X[:1])
    assert len(captured.activations(0)[0]) == 1


def test_several_tensors_of_a_layer():
    net = ready(nets.TupleNet())
    with capture([net.layer]) as captured:
        net(X)
    with torch.no_grad():
        assert_close(captured.activations(0), net.layer(X))


@pytest.mark.parametrize("depth", [1, 3])
def test_a_layer_inside_wrappers(depth):
    net = model = ready(nets.SmallNet())
    for _ in range(depth):
        model = nets.Wrapped(model)
    with capture([net.relu2], gradients=True) as captured:
        output = model.eval()(X)
    with capture([net.relu2], gradients=True) as expected:
        direct = net(X)
    assert_close(captured.activations(0), expected.activations(0))
    assert_close(captured.gradients_of(output[:, 1], 0), expected.gradients_of(direct[:, 1], 0))


def test_a_layer_that_is_not_called():
    net = ready(nets.SmallNet())
    unused = nn.ReLU()
    message = "^Expected layer to be a module that the forward pass calls, but got one that it does"
    with capture([net.relu2, unused], gradients=True) as captured:
        output = net(X)
    assert len(captured.activations(0)) == 1
    with pytest.raises(LayerError, match=message):
        captured.activations(1)
    with pytest.raises(LayerError, match=message):
        captured.gradients_of(output, 1)


class OddLayer(nn.Module):
    """Gives something that holds no tensor."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value


@pytest.mark.parametrize("value", [None, {"maps": X}, "text", (), (1, 2)], ids=str)
def test_a_layer_that_gives_no_tensor(value):
    net = nn.Sequential(OddLayer(value))
    before = hook_count(net)
    message = "^Expected layer to be a module that gives a tensor or a tuple of tensors, but got "
    match = f"{message}one that gives {type(value).__name__}\\. Pass reshape_transform=, "
    with capture([net[0]]) as captured:
        net(X)
    with pytest.raises(LayerError, match=match):
        captured.activations(0)
    found = captured.output(0)
    assert found.keys() == value.keys() if isinstance(value, dict) else found == value
    assert hook_count(net) == before


# Gradients


def head_gradient(net, label, grid):
    """The gradient of a logit at the maps before global average pooling and ``fc``."""
    row = net.fc.weight.detach()[label]
    return (row / (grid[0] * grid[1]))[None, :, None, None].expand(len(X), -1, *grid)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("no_grad", [False, True])
@pytest.mark.parametrize("inplace", [False, True])
def test_gradients_by_hand(frozen, no_grad, inplace):
    net = ready(nets.SmallNet(inplace=inplace)).requires_grad_(not frozen)
    with torch.set_grad_enabled(not no_grad):
        with capture([net.conv2, net.relu2], gradients=True) as captured:
            values = net(X)[:, 3]
            at_conv = captured.gradients_of(values, 0, retain_graph=True)
            at_relu = captured.gradients_of(values, 1, retain_graph=True)
        assert torch.is_grad_enabled() is not no_grad
    expected = head_gradient(net, 3, (2, 2))
    assert_close(at_relu, (expected,))
    assert_close(at_conv, (expected * (captured.activations(0)[0] > 0),))


def test_gradients_after_the_context_is_left_under_no_grad():
    net = ready(nets.SmallNet())
    with torch.no_grad():
        with capture([net.relu2], gradients=True) as captured:
            values = net(X)[:, 3]
        assert_close(captured.gradients_of(values, 0), (head_gradient(net, 3, (2, 2)),))


def test_hand_worked_gradients():
    net = ready(nets.HandNet())
    with capture([net.relu], gradients=True) as captured:
        output = net(net.image())
    (gradient,) = captured.gradients_of(output[:, 0], 0)
    expected = torch.tensor([0.25, 0.0, 0.25, -0.125], dtype=torch.float64)
    assert torch.equal(gradient, expected[None, :, None, None].expand(1, 4, 2, 2))


def test_gradients_of_several_values_and_with_retained_graph():
    net = ready(nets.SmallNet())
    with capture([net.relu2], gradients=True) as captured:
        output = net(X)
    (first,) = captured.gradients_of(output[:, 0], 0, retain_graph=True)
    (second,) = captured.gradients_of(output[:, 1], 0, retain_graph=True)
    (both,) = captured.gradients_of(output[:, :2], 0)
    assert_close(first + second, both)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("wants", [False, True])
def test_gradients_of_the_input_of_a_layer(frozen, wants):
    net = ready(nets.SmallNet()).requires_grad_(not frozen)
    x = X.clone().requires_grad_(wants)
    with torch.no_grad(), capture([net.conv1], of_input=True, gradients=True) as captured:
        values = net(x)[:, 2]
        (gradient,) = captured.gradients_of(values, 0)
    leaf = X.clone().requires_grad_()
    expected = torch.autograd.grad(net(leaf)[:, 2].sum(), leaf)[0]
    assert_close(gradient, expected)
    assert x.grad is None
    assert x.requires_grad is wants


def test_gradients_of_a_module_used_twice_are_those_of_its_last_call():
    net = ready(nets.ReusedReLU()).requires_grad_(False)
    with capture([net.relu], gradients=True) as captured:
        output = net(X)
    (gradient,) = captured.gradients_of(output[:, 1], 0)
    assert_close(gradient, head_gradient(net, 1, (2, 2)))


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_of_several_tensors(frozen):
    net = ready(nets.TupleNet()).requires_grad_(not frozen)
    with capture([net.layer], gradients=True) as captured:
        output = net(X)
    first, second = captured.gradients_of(output[:, 2], 0)
    row = net.fc.weight.detach()[2] / 16
    assert_close(first, row[None, :6, None, None].expand_as(first))
    assert_close(second, row[None, 6:, None, None].expand_as(second))


def test_gradients_of_layers_one_behind_the_other():
    net = ready(nets.SmallNet()).requires_grad_(False)
    layers = [net.relu2, net.conv1, net.relu1]
    with capture(layers, gradients=True) as captured:
        output = net(X)
    found = [captured.gradients_of(output[:, 0], k, retain_graph=True)[0] for k in range(3)]
    for number, layer in enumerate(layers):
        with capture([layer], gradients=True) as alone:
            values = net(X)[:, 0]
        assert_close(found[number], alone.gradients_of(values, 0)[0])
        assert found[number].abs().max() > 0


def test_a_layer_named_twice():
    net = ready(nets.SmallNet()).requires_grad_(False)
    with capture([net.conv2, net.conv2], gradients=True) as captured:
        output = net(X)
    first = captured.gradients_of(output[:, 0], 0, retain_graph=True)
    assert_close(first, captured.gradients_of(output[:, 0], 1))


Pair = namedtuple("Pair", ["maps", "rest"])


class ContainerLayer(nn.Module):
    """Gives its maps in a container beside something else."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 4, 3, dtype=torch.float64)

    def forward(self, x):
        maps = self.conv(x)
        if self.kind is Pair:
            return Pair(maps, "rest")
        return self.kind([maps, "rest"])


class ContainerNet(nn.Module):
    """Reads the first entry, and keeps the container it was given."""

    def __init__(self, kind):
        super().__init__()
        self.layer = ContainerLayer(kind)
        self.seen = None

    def forward(self, x):
        self.seen = self.layer(x)
        return self.seen[0].mean(dim=(2, 3))


@pytest.mark.parametrize("kind", [tuple, list, Pair])
@pytest.mark.parametrize("gradients", [False, True])
def test_containers_keep_their_kind(kind, gradients):
    net = ContainerNet(kind)
    with capture([net.layer], gradients=gradients) as captured:
        output = net(X)
    assert type(net.seen) is kind
    assert net.seen[1] == "rest"
    assert_close(captured.activations(0), (net.layer.conv(X).detach(),))
    if gradients:
        (gradient,) = captured.gradients_of(output[:, 1], 0)
        expected = torch.zeros_like(gradient)
        expected[:, 1] = 1 / 36
        assert_close(gradient, expected)


class PoolNet(nn.Module):
    """``pool`` gives maps and, beside them, integers: where each maximum was."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(2, return_indices=True)

    def forward(self, x):
        maps, self.places = self.pool(x)
        return maps.mean(dim=(2, 3))


def test_a_layer_that_gives_integers_too():
    net = PoolNet()
    with capture([net.pool], gradients=True) as captured:
        output = net(X)
    maps, places = captured.activations(0)
    assert torch.equal(places, net.places)
    gradients = captured.gradients_of(output[:, 1], 0)
    expected = torch.zeros_like(maps)
    expected[:, 1] = 1 / 16
    assert_close(gradients[0], expected)
    assert all(gradient.abs().max() == 0 for gradient in gradients[1:])


class DeadBranch(nn.Module):
    """``dead`` is called, and what it gives is thrown away."""

    def __init__(self):
        super().__init__()
        self.dead = nn.Conv2d(3, 2, 1, dtype=torch.float64)
        self.live = nn.Conv2d(3, 2, 1, dtype=torch.float64)

    def forward(self, x):
        self.dead(x)
        return self.live(x).mean(dim=(2, 3))


def test_zeros_where_a_layer_does_not_influence_the_values():
    net = DeadBranch()
    with capture([net.dead], gradients=True) as captured:
        output = net(X)
    (gradient,) = captured.gradients_of(output[:, 0], 0)
    assert torch.equal(gradient, torch.zeros(2, 2, 8, 8, dtype=torch.float64))


class NoGradients(DeadBranch):
    """A network that lets no gradient through, as one made for inference alone."""

    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


@pytest.mark.parametrize("net", [NoGradients(), DeadBranch().requires_grad_(False)])
def test_values_that_have_no_graph_are_an_error_and_no_zeros(net):
    with capture([net.dead], gradients=True) as captured:
        output = net(X)
    with pytest.raises(RuntimeError, match="the model to let gradients through"):
        captured.gradients_of(output[:, 0], 0)


def test_gradients_that_were_not_asked_for():
    net = ready(nets.SmallNet())
    with capture([net.relu2]) as captured:
        output = net(X)
    message = r"^Expected gradients to be True for capture\(\), but got False\.$"
    with pytest.raises(RuntimeError, match=message):
        captured.gradients_of(output, 0)


# Everything as found


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("of_input", [False, True])
def test_capture_takes_its_hooks_back(gradients, of_input):
    net = ready(nets.SmallNet())
    calls = []
    net.relu2.register_forward_hook(lambda *_: calls.append(1))
    before = hook_count(net)
    with capture([net.relu2, net.conv1], of_input=of_input, gradients=gradients):
        assert hook_count(net) != before
        net(X)
    assert hook_count(net) == before
    assert calls == [1]


def test_gradients_write_nobodys_grad():
    net = ready(nets.SmallNet())
    net(X)[:, 0].sum().backward()
    before = [parameter.grad.clone() for parameter in net.parameters()]
    wanted = [parameter.requires_grad for parameter in net.parameters()]
    with capture([net.relu2], gradients=True) as captured:
        output = net(X)
    captured.gradients_of(output[:, 1], 0)
    for parameter, grad in zip(net.parameters(), before, strict=True):
        assert torch.equal(parameter.grad, grad)
    assert [parameter.requires_grad for parameter in net.parameters()] == wanted


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("gradients", [False, True])
def test_capture_after_an_error(error, gradients):
    net = ready(nets.RaisingNet(after=2))
    before = hook_count(net)
    grad_enabled = torch.is_grad_enabled()

    def run():
        with capture([net.relu, net.conv], gradients=gradients):
            net(X)
            if error is KeyboardInterrupt:
                raise KeyboardInterrupt
            net(X)

    with torch.no_grad():
        with pytest.raises(error):
            run()
        assert not torch.is_grad_enabled()
    assert hook_count(net) == before
    assert torch.is_grad_enabled() == grad_enabled


def test_capture_of_a_layer_that_takes_no_hook():
    net = ready(nets.SmallNet())
    before = hook_count(net)
    with pytest.raises(AttributeError), capture([net.relu2, "relu2"]):
        pass
    assert hook_count(net) == before


# Modes and random state


def modes(net):
    return [module.training for module in net.modules()]


def mixed(net):
    """Root and some parts in eval mode, others in training mode."""
    net.eval()
    net.dropout.train()
    net.bn1.train()
    return net


def reverse(net):
    """The root in training mode, some parts in eval mode."""
    net.train()
    net.bn1.eval()
    return net


class Stubborn(nets.SmallNet):
    """Overrides ``train`` as models do whose stem is frozen: batch norm never trains."""

    def train(self, mode=True):
        super().train(mode)
        if "bn1" in self._modules:
            self.bn1.training = False
        return self


class Unwilling(nets.SmallNet):
    """Its ``train`` must not be called at all."""

    def train(self, mode=True):
        raise AssertionError("train() was called")


MODELS = {
    "eval": lambda: nets.SmallNet().eval(),
    "train": lambda: nets.SmallNet().train(),
    "mixed": lambda: mixed(nets.SmallNet()),
    "reverse": lambda: reverse(nets.SmallNet()),
    "stubborn": lambda: Stubborn().train(),
    "unwilling": Unwilling,
}


@pytest.mark.filterwarnings("ignore:The model is in training mode")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_untouched_puts_modes_and_random_state_back(name, error):
    net = MODELS[name]()
    before, state = modes(net), torch.get_rng_state()
    buffers = {key: value.clone() for key, value in net.state_dict().items()}

    def run():
        with untouched(net):
            assert not any(modes(net))
            net(X.float())
            torch.rand(7)
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(error):
            run()
    assert modes(net) == before
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in net.state_dict().items():
        assert torch.equal(value, buffers[key])


def test_untouched_of_a_bound_method():
    net = mixed(nets.SmallNet())
    before = modes(net)
    with untouched(net.forward):
        assert not any(modes(net))
    assert modes(net) == before


def test_untouched_of_another_callable():
    net, state = mixed(nets.SmallNet()), torch.get_rng_state()
    before = modes(net)
    with untouched(lambda x: net(x)):
        assert modes(net) == before
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_untouched_of_wrappers():
    net = nets.Wrapped(nets.Wrapped(mixed(nets.SmallNet())))
    before = modes(net)
    with pytest.warns(UserWarning, match="training mode"), untouched(net):
        assert not any(modes(net))
    assert modes(net) == before


def test_the_warning_in_training_mode():
    text = r"^The model is in training mode\. It is explained in eval mode, and put back after\.$"
    with pytest.warns(UserWarning, match=text), untouched(nets.SmallNet().train()):
        pass


def test_no_warning_in_eval_mode():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with untouched(nets.SmallNet().eval()), untouched(len):
            pass


# Is the layer in the model?


def test_check_layer_accepts_any_part_of_the_model():
    net = nets.SmallNet()
    for model in (net, nets.Wrapped(nets.Wrapped(net)), net.forward, lambda x: net(x)):
        check_layer(model, net.relu2)
    check_layer(net, net)
    # what a plain function calls cannot be known
    check_layer(lambda x: x, nn.ReLU())


@pytest.mark.parametrize("of", [lambda net: net, lambda net: net.forward])
def test_check_layer_of_another_model(of):
    message = (
        r"^Expected layer to be a module of the model \(SmallNet\), "
        r"but got a ReLU that is not in it\.$"
    )
    with pytest.raises(LayerError, match=message):
        check_layer(of(nets.SmallNet()), nets.SmallNet().relu2)


@pytest.mark.parametrize(("layer", "name"), [("relu2", "str"), (None, "NoneType"), ([], "list")])
def test_check_layer_of_no_module(layer, name):
    message = f"^Expected layer to be an nn.Module of the model, but got {name}\\.$"
    with pytest.raises(TypeError, match=message):
        check_layer(nets.SmallNet(), layer)


# Counting


def test_count_forwards():
    net = ready(nets.SmallNet())
    before = hook_count(net)
    with count_forwards(net) as count:
        net(X)
        net(X[:1])
    net(X)
    assert (count.images, count.calls) == (3, 2)
    assert hook_count(net) == before


def test_count_forwards_of_keywords():
    net = ready(nets.ArgsNet())
    with count_forwards(net) as count:
        net(x=X, scale=torch.ones(2, 1, dtype=torch.float64))
        net(X, torch.ones(2, 1, dtype=torch.float64), flag=False)
    assert (count.images, count.calls) == (4, 2)


def test_count_forwards_without_an_axis_of_images():
    net = nn.Identity()
    with count_forwards(net) as count:
        net(torch.tensor(3.0))
        net("text")
    assert (count.images, count.calls) == (2, 2)


def test_count_forwards_takes_its_hook_back_after_an_error():
    net = ready(nets.RaisingNet(after=1))
    before = hook_count(net)
    with pytest.raises(RuntimeError, match="fails"), count_forwards(net) as count:
        net(X)
    assert hook_count(net) == before
    assert (count.images, count.calls) == (2, 1)


# Shapes


def test_trace_shapes():
    net = nets.SmallNet().double().eval()
    found = [(name, shape) for name, _, shape in trace_shapes(net, X)]
    assert found == [
        ("conv1", (2, 8, 4, 4)),
        ("bn1", (2, 8, 4, 4)),
        ("relu1", (2, 8, 4, 4)),
        ("conv2", (2, 12, 2, 2)),
        ("relu2", (2, 12, 2, 2)),
        ("dropout", (2, 12, 2, 2)),
        ("pool", (2, 12, 1, 1)),
        ("fc", (2, 5)),
        ("", (2, 5)),
    ]
    assert all(
        dict(net.named_modules())[name] is module for name, module, _ in trace_shapes(net, X)
    )


def test_trace_shapes_counts_a_module_at_its_last_call():
    net = ready(nets.ReusedReLU())
    found = [(name, shape) for name, _, shape in trace_shapes(net, X)]
    assert [name for name, _ in found] == ["conv1", "conv2", "relu", "pool", "fc", ""]
    assert dict(found)["relu"] == (2, 6, 2, 2)


def test_trace_shapes_leaves_out_what_gives_no_single_tensor():
    net = ready(nets.TupleNet())
    names = [name for name, _, _ in trace_shapes(net, X)]
    assert names == ["layer.first", "layer.second", "fc", ""]


@pytest.mark.filterwarnings("ignore:The model is in training mode")
def test_trace_shapes_leaves_everything_as_found():
    net = reverse(nets.SmallNet().double())
    before, state, hooks = modes(net), torch.get_rng_state(), hook_count(net)
    running = net.bn1.running_mean.clone()
    trace_shapes(net, X)
    assert (modes(net), hook_count(net)) == (before, hooks)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(net.bn1.running_mean, running)


def test_trace_shapes_after_an_error():
    net = nets.RaisingNet(after=1).double().eval()
    net.relu.train()
    before, hooks = modes(net), hook_count(net)
    with pytest.raises(RuntimeError, match="fails"):
        trace_shapes(net, X)
    assert (modes(net), hook_count(net)) == (before, hooks)


def test_the_warning_in_training_mode_points_at_the_caller():
    net = nets.SmallNet().double()
    with pytest.warns(UserWarning, match="training mode") as caught:
        LayerScoreCam(net, net.relu2).attribute(nets.images(1), 0)
    assert [warning.filename for warning in caught] == [__file__]


def test_passes_of_another_thread_are_not_captured():
    net = nets.SmallNet().double().eval()
    mine, other = nets.images(1, seed=1), nets.images(1, seed=2)
    with torch.no_grad(), capture([net.relu2]) as captured:
        net(mine)
        thread = threading.Thread(target=net, args=(other,))
        thread.start()
        thread.join()
    with torch.no_grad(), capture([net.relu2]) as alone:
        net(mine)
    assert torch.equal(captured.activations(0)[0], alone.activations(0)[0])


def test_structure_kept_puts_back_modules_and_hooks():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    first, before = net[0], hook_count(net)
    with pytest.raises(RuntimeError, match="half way"), structure_kept(net):
        net[0] = nn.Identity()
        net.add_module("more", nn.ReLU())
        net[1].register_forward_hook(lambda *_: None)
        raise RuntimeError("half way")
    assert list(net.children()) == [first, net[1]]
    assert hook_count(net) == before


def test_grads_kept():
    net = nn.Linear(2, 1)
    net.weight.grad = torch.full((1, 2), 7.0)
    with grads_kept(net):
        net(torch.ones(1, 2)).sum().backward()
    assert net.weight.grad.tolist() == [[7.0, 7.0]]
    assert net.bias.grad is None


def test_a_layer_in_training_mode_behind_a_function_gives_a_warning():
    net = nets.SmallNet().double()
    with pytest.warns(UserWarning, match="cannot be put into eval mode") as caught:
        LayerScoreCam(lambda x: net(x), net.relu2).attribute(nets.images(2), 0)
    assert [warning.filename for warning in caught] == [__file__]
