"""The regularised heads: as layers, beside nn.Linear and nn.Conv2d, and behind the explainers."""

import copy
import inspect
import io
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from captum_cluster.attr import LayerClassActivationMap, LayerMinMaxCam, LayerMinMaxGradCam
from captum_cluster.functional.training import kernel_usage_weight
from captum_cluster.training import KernelUsageConv2d, KernelUsageLinear
from tests.helpers.minmax_references import kernel_usage
from tests.helpers.nets import SmallNet, images

C, L = 12, 5
FORMS = ["linear", "convolution"]


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def make(form, *, seed=0, dtype=torch.float64, **options):
    """A head with weights that spread over the labels."""
    kind = KernelUsageLinear if form == "linear" else KernelUsageConv2d
    head = kind(C, L, dtype=dtype, **options)
    with torch.no_grad():
        head.weight.copy_(draw(*head.weight.shape, seed=seed))
        if head.bias is not None:
            head.bias.copy_(draw(L, seed=seed + 1))
    return head


def features(form, n=3, dtype=torch.float64):
    return draw(n, C, *(() if form == "linear" else (2, 4)), seed=7, dtype=dtype)


def fold(head):
    return head.to_linear() if isinstance(head, KernelUsageLinear) else head.to_conv()


def plain(form, **options):
    if form == "linear":
        return nn.Linear(C, L, dtype=torch.float64, **options)
    return nn.Conv2d(C, L, 1, dtype=torch.float64, **options)


# --- what the layer gives ---------------------------------------------------------------------


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_the_output_is_that_of_the_reference(form, bias, magnitude):
    head, x = make(form, bias=bias, magnitude=magnitude), features(form)
    weight = torch.from_numpy(kernel_usage(head.weight.detach().flatten(1), magnitude))
    expected = torch.einsum("lc,nc...->nl...", weight, x)
    if bias:
        expected = expected + head.bias.reshape(1, L, *(1,) * (x.ndim - 2))
    torch.testing.assert_close(head(x), expected)
    torch.testing.assert_close(head.effective_weight.flatten(1), weight)


def test_by_hand():
    head = KernelUsageLinear(2, 2, dtype=torch.float64)
    log3 = math.log(3.0)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[log3, 1.0], [0.0, 1.0]], dtype=torch.float64))
        head.bias.copy_(torch.tensor([10.0, 20.0]))
    # effective weights [[3/4 log 3, 1/2], [0, 1/2]]
    found = head(torch.tensor([[4.0, 6.0]], dtype=torch.float64))
    expected = torch.tensor([[10 + 3 * log3 + 3, 20 + 3]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("magnitude", [False, True])
def test_pooling_before_the_linear_form_or_after_the_convolution(magnitude):
    linear = make("linear", magnitude=magnitude)
    convolution = make("convolution", magnitude=magnitude, seed=5)
    state = linear.state_dict()
    state["weight"] = state["weight"][:, :, None, None]
    convolution.load_state_dict(state)
    maps = draw(2, C, 3, 4)
    torch.testing.assert_close(convolution(maps).mean(dim=(2, 3)), linear(maps.mean(dim=(2, 3))))
    cells = linear(maps.movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(convolution(maps), cells)


def test_any_leading_dimensions():
    head, x = make("linear"), draw(2, 3, 4, C)
    assert head(x).shape == (2, 3, 4, L)
    torch.testing.assert_close(head(x)[1, 2, 3], head(x[1, 2, 3]))
    assert make("convolution")(draw(C, 2, 4)).shape == (L, 2, 4)


@pytest.mark.parametrize("form", FORMS)
def test_equal_weights_give_a_share_of_the_plain_layer(form):
    head, x = make(form, bias=False), features(form)
    with torch.no_grad():
        head.weight.fill_(0.3)
    torch.testing.assert_close(head(x), 0.3 / L * x.sum(dim=1, keepdim=True).expand_as(head(x)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision(form, dtype):
    head, x = make(form), features(form)
    expected = head(x)
    low = copy.deepcopy(head).to(dtype)
    found = low(x.to(dtype))
    assert found.dtype == low.effective_weight.dtype == fold(low).weight.dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), expected, rtol=16 * eps, atol=16 * eps)


@pytest.mark.parametrize("form", FORMS)
def test_autocast(form):
    head, x = make(form, dtype=torch.float32), features(form, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = head(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), head(x), rtol=0.05, atol=0.05)


# --- beside the host's layers -----------------------------------------------------------------


def test_the_constructor_is_that_of_linear():
    ours = list(inspect.signature(KernelUsageLinear).parameters.values())
    hosts = list(inspect.signature(nn.Linear).parameters.values())
    assert [(p.name, p.kind, p.default) for p in ours[: len(hosts)]] == [
        (p.name, p.kind, p.default) for p in hosts
    ]
    assert [(p.name, p.kind, p.default) for p in ours[len(hosts) :]] == [
        ("magnitude", inspect.Parameter.KEYWORD_ONLY, False)
    ]
    head = KernelUsageLinear(C, L, False, "cpu", torch.float64)
    assert head.bias is None
    assert head.weight.dtype == torch.float64
    with pytest.raises(TypeError):
        KernelUsageLinear(C, L, True, None, None, True)


@pytest.mark.parametrize("form", FORMS)
def test_the_initial_weights_are_those_of_the_host(form):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        host = plain(form)
        torch.manual_seed(3)
        kind = KernelUsageLinear if form == "linear" else KernelUsageConv2d
        head = kind(C, L, dtype=torch.float64)
    assert torch.equal(head.weight, host.weight)
    assert torch.equal(head.bias, host.bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_state_dicts_go_both_ways(form, bias):
    head, host = make(form, bias=bias), plain(form, bias=bias)
    assert list(head.state_dict()) == list(host.state_dict())
    host.load_state_dict(head.state_dict(), strict=True)
    assert torch.equal(host.weight, head.weight)
    again = make(form, bias=bias, seed=5)
    again.load_state_dict(host.state_dict(), strict=True)
    assert torch.equal(again(features(form)), head(features(form)))


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("linear", "KernelUsageLinear(in_features=12, out_features=5, bias=True, magnitude=True)"),
        (
            "convolution",
            "KernelUsageConv2d(12, 5, kernel_size=(1, 1), stride=(1, 1), magnitude=True)",
        ),
    ],
)
def test_it_is_a_layer_of_the_host_and_shows_its_option(form, shown):
    head = make(form, magnitude=True)
    assert isinstance(head, type(plain(form)))
    assert repr(head) == shown


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_copies(form, magnitude):
    head, x = make(form, magnitude=magnitude), features(form)
    stream = io.BytesIO()
    torch.save(head, stream)
    stream.seek(0)
    loaded = torch.load(stream, weights_only=False)
    for twin in (copy.deepcopy(head), pickle.loads(pickle.dumps(head)), loaded):
        assert type(twin) is type(head)
        assert twin.magnitude is magnitude
        assert twin.weight is not head.weight
        assert torch.equal(twin(x), head(x))


@pytest.mark.parametrize("form", FORMS)
def test_parametrizations_are_left_to_the_user(form):
    class Halved(nn.Module):
        def forward(self, weight):
            return weight / 2

    head, x = make(form, bias=False), features(form)
    assert not parametrize.is_parametrized(head)
    raw = head.weight.detach().clone()
    parametrize.register_parametrization(head, "weight", Halved())
    expected = kernel_usage_weight(raw / 2)
    assert torch.equal(head.effective_weight, expected)
    torch.testing.assert_close(head(x), torch.einsum("lc,nc...->nl...", expected.flatten(1), x))
    assert torch.equal(fold(head).weight, expected)
    parametrize.remove_parametrizations(head, "weight", leave_parametrized=False)
    assert torch.equal(head.weight, raw)


# --- training ---------------------------------------------------------------------------------


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_gradients(form, magnitude):
    head = make(form, magnitude=magnitude)
    x = features(form, n=2).requires_grad_()

    def logits(x, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(head, parameters, (x,))

    assert torch.autograd.gradcheck(logits, (x, head.weight, head.bias))


@pytest.mark.parametrize("form", FORMS)
def test_a_step_of_training_changes_the_raw_weight_and_lowers_the_loss(form):
    head, x = make(form), features(form, n=6)
    labels = (draw(*head(x).shape, seed=3) > 0).double()
    before, raw = head.effective_weight.detach(), head.weight.detach().clone()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        loss = F.binary_cross_entropy_with_logits(head(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    assert bool((head.weight != raw).any())
    assert bool((head.effective_weight != before).any())


# --- from and to plain layers -----------------------------------------------------------------


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_from_linear_takes_over_the_parameters(bias, magnitude):
    linear = plain("linear", bias=bias).eval()
    linear.weight.requires_grad_(False)
    state = torch.random.get_rng_state()
    head = KernelUsageLinear.from_linear(linear, magnitude=magnitude)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert head.weight is linear.weight
    assert head.bias is linear.bias
    assert head.magnitude is magnitude
    assert not head.training
    assert [name for name, _ in head.named_parameters()] == list(linear.state_dict())
    expected = kernel_usage_weight(linear.weight, magnitude=magnitude)
    assert torch.equal(head(features("linear")), F.linear(features("linear"), expected, head.bias))


def test_from_linear_of_a_subclass():
    class Mine(KernelUsageLinear):
        pass

    assert type(Mine.from_linear(nn.Linear(3, 2))) is Mine


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_folding_keeps_the_outputs_and_detaches_the_parameters(form, bias, magnitude):
    head, x = make(form, bias=bias, magnitude=magnitude), features(form)
    state = torch.random.get_rng_state()
    folded = fold(head)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert type(folded) is type(plain(form))
    assert torch.equal(folded(x), head(x))
    assert repr(folded) == repr(plain(form, bias=bias))
    kept = head(x).detach()
    for parameter in folded.parameters():
        assert parameter.is_leaf
        assert parameter.requires_grad
        with torch.no_grad():
            parameter.add_(1)
    assert torch.equal(head(x), kept)
    folded(x).sum().backward()
    assert head.weight.grad is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("training", [True, False])
def test_folding_keeps_mode_type_and_what_is_trained(form, training):
    head = make(form, dtype=torch.float32).train(training)
    head.weight.requires_grad_(False)
    folded = fold(head)
    assert folded.training is training
    assert folded.weight.dtype == folded.bias.dtype == torch.float32
    assert folded.weight.device == head.weight.device
    assert not folded.weight.requires_grad
    assert folded.bias.requires_grad
    with torch.no_grad():
        assert fold(make(form)).weight.requires_grad


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("form", FORMS)
def test_folding_keeps_the_device(form):
    head, x = make(form), features(form)
    expected = head(x)
    head = head.cuda()
    folded = fold(head)
    assert folded.weight.device == folded.bias.device == head.weight.device
    torch.testing.assert_close(folded(x.cuda()), head(x.cuda()))
    torch.testing.assert_close(head(x.cuda()).cpu(), expected)


# --- behind the explainers --------------------------------------------------------------------


class CellsFirst(nn.Module):
    """Maps -> 1x1 convolution -> pooling -> flatten: (N,L)."""

    def __init__(self, net, head):
        super().__init__()
        self.net = net
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = head

    def forward(self, x):
        maps = self.net.relu1(self.net.bn1(self.net.conv1(x)))
        maps = self.net.relu2(self.net.conv2(maps))
        return self.pool(self.head(maps)).flatten(1)


def net_with(head):
    """A small network that ends in the head, and the layer that is pooled."""
    net = SmallNet(channels=C, num_classes=L).double().eval()
    if isinstance(head, nn.Conv2d):
        net.fc = nn.Identity()
        return CellsFirst(net, head).eval(), net.relu2
    net.fc = head
    return net, net.relu2


LABELS = [[0, 1, 3], [1, 2]]
CALLS = [
    (LayerClassActivationMap, {}),
    (LayerMinMaxCam, {"labels": LABELS}),
    (LayerMinMaxCam, {"labels": LABELS, "decomposed": True}),
]


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize(("explainer", "options"), CALLS)
@pytest.mark.parametrize("form", FORMS)
def test_the_closed_forms_read_the_effective_weight(form, explainer, options, magnitude):
    x, head = images(2), make(form, magnitude=magnitude).eval()
    found = explainer(*net_with(head)).attribute(x, target=1, **options)
    folded = explainer(*net_with(fold(head))).attribute(x, target=1, **options)
    assert torch.equal(found, folded)
    raw = plain(form).eval()
    raw.load_state_dict(head.state_dict())
    unregularised = explainer(*net_with(raw)).attribute(x, target=1, **options)
    assert not torch.allclose(found, unregularised, rtol=0.1)


@pytest.mark.parametrize("form", FORMS)
def test_cam_by_its_formula(form):
    x, head = images(2), make(form).eval()
    net, layer = net_with(head)
    maps = []
    handle = layer.register_forward_hook(lambda module, inputs, output: maps.append(output))
    net(x)
    handle.remove()
    weight = torch.from_numpy(kernel_usage(head.weight.detach().flatten(1)))
    expected = torch.einsum("c,nchw->nhw", weight[3], maps[0])[:, None]
    found = LayerClassActivationMap(net, layer).attribute(x, target=3)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_form_agrees(form, magnitude, decomposed):
    x = images(2, size=(8, 12))
    net, layer = net_with(make(form, magnitude=magnitude).eval())
    options = {"target": 1, "labels": LABELS, "decomposed": decomposed}
    closed = LayerMinMaxCam(net, layer).attribute(x, **options)
    gradient = LayerMinMaxGradCam(net, layer).attribute(x, **options)
    assert closed.shape == (2, 1, 2, 3)
    torch.testing.assert_close(closed, gradient * 6)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [KernelUsageLinear, KernelUsageConv2d])
@pytest.mark.parametrize("magnitude", [1, None, "yes"])
def test_magnitude_is_no_bool(kind, magnitude):
    with pytest.raises(TypeError, match="Expected magnitude to be True or False, but got "):
        kind(3, 2, magnitude=magnitude)


def test_from_linear_of_a_bad_magnitude():
    with pytest.raises(TypeError, match="Expected magnitude to be True or False, but got 0"):
        KernelUsageLinear.from_linear(nn.Linear(3, 2), 0)


@pytest.mark.parametrize("linear", [None, nn.Conv2d(3, 2, 1), nn.Identity(), torch.zeros(2, 3)])
def test_from_linear_of_something_else(linear):
    message = "Expected linear to be an nn.Linear whose weight is a plain parameter, but got "
    with pytest.raises(TypeError, match=message):
        KernelUsageLinear.from_linear(linear)


def test_from_linear_of_a_parametrized_layer():
    linear = parametrize.register_parametrization(nn.Linear(3, 2), "weight", nn.ReLU())
    with pytest.raises(TypeError, match="whose weight is a plain parameter"):
        KernelUsageLinear.from_linear(linear)
