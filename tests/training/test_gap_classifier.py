"""Classifiers that pool: the formula, CAM's closed form, backbones, weights, messages."""

import copy
import io

import pytest
import torch
import torchvision
from torch import nn

from captum_cluster import LayerClassActivationMap, LayerMinMaxCam
from captum_cluster.methods import closed_form_weight, find_classifier
from captum_cluster.training import GapClassifier, KernelUsageLinear, gap_classifier
from tests.helpers.nets import images

SMALL = ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "resnet18"]


def body_of(channels=6, colours=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(colours, channels, 3), nn.ReLU()).double()


def net_of(labels=4, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return gap_classifier(body_of(), labels, **options).eval()


def state_of(name, classes=5):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        net = torchvision.models.get_model(name, weights=None, num_classes=classes)
    return net.state_dict()


# --- the network ------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel_usage", [True, False])
def test_the_formula(kernel_usage, bias):
    net, x = net_of(kernel_usage=kernel_usage, bias=bias), images(2)
    maps = net.body(x)
    means = maps.sum(dim=(2, 3)) / maps[0, 0].numel()
    weight = net.parent_head.weight
    weight = weight * weight.softmax(dim=0) if kernel_usage else weight
    expected = means @ weight.T + (net.parent_head.bias if bias else 0)
    torch.testing.assert_close(net(x), expected)
    torch.testing.assert_close(net.features(x), means)
    assert torch.equal(net.maps(x), maps)
    assert torch.equal(net.classify(maps), net(x))
    assert (net.parent_head.bias is not None) == bias
    assert net.num_labels == 4


@pytest.mark.parametrize("kernel_usage", [True, False])
def test_the_closed_forms_hold(kernel_usage):
    net, x = net_of(kernel_usage=kernel_usage), images(2)
    head = net.parent_head
    weight = head.effective_weight if kernel_usage else head.weight
    found = closed_form_weight(find_classifier(net), net.maps(x).detach(), net(x))
    assert torch.equal(found, weight)
    (layer,) = net.explained_layers
    assert layer is net.body
    cam = LayerClassActivationMap(net, layer).attribute(x, target=2)
    expected = torch.einsum("c,nchw->nhw", weight[2], net.maps(x))[:, None]
    torch.testing.assert_close(cam, expected)
    both = LayerMinMaxCam(net, layer).attribute(x, target=2, labels=[[0, 2], [2, 3]])
    other = torch.stack([weight[2] - weight[0], weight[2] - weight[3]])
    expected = torch.einsum("nc,nchw->nhw", other, net.maps(x))[:, None]
    torch.testing.assert_close(both, expected)


def test_dropout_of_features_is_that_of_whole_maps():
    net, x = net_of(dropout=0.5), images(2)
    assert torch.equal(net(x), net.parent_head(net.features(x)))
    net.train()
    maps = net.maps(x)
    torch.manual_seed(0)
    found = net(x)
    torch.manual_seed(0)
    dropped = torch.nn.functional.dropout(torch.ones(2, 6, dtype=torch.float64), 0.5)
    expected = net.parent_head((maps * dropped[:, :, None, None]).mean(dim=(2, 3)))
    torch.testing.assert_close(found, expected)
    assert torch.equal(net.features(x), net.features(x))
    assert bool((dropped == 0).any())


def test_gradients_reach_every_parameter():
    net = net_of(kernel_usage=True).train()
    net(images(3)).square().sum().backward()
    assert all(bool((p.grad != 0).any()) for p in net.parameters())


def test_copies_and_state_dicts():
    net, x = net_of(kernel_usage=True), images(2)
    stream = io.BytesIO()
    torch.save(net, stream)
    stream.seek(0)
    loaded = torch.load(stream, weights_only=False)
    other = gap_classifier(copy.deepcopy(body_of()), 4, kernel_usage=True).eval()
    other.load_state_dict(net.state_dict())
    for twin in (copy.deepcopy(net), loaded, other):
        assert torch.equal(twin(x), net(x))
        assert twin.explained_layers == [twin.body]
    assert list(net.state_dict()) == [
        "body.0.weight",
        "body.0.bias",
        "parent_head.weight",
        "parent_head.bias",
    ]


# --- backbones --------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel_usage", [True, False])
@pytest.mark.parametrize("name", SMALL)
def test_torchvision_by_name(name, kernel_usage):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = gap_classifier(name, 7, kernel_usage=kernel_usage)
    assert net.training
    assert type(net.parent_head) is (KernelUsageLinear if kernel_usage else nn.Linear)
    net.eval()
    x = images(2, size=(64, 96), dtype=torch.float32)
    with torch.no_grad():
        maps, logits = net.maps(x), net(x)
        assert closed_form_weight(find_classifier(net), maps, logits).shape == (7, maps.shape[1])
    assert logits.shape == (2, 7)
    assert maps.shape[2] * maps.shape[3] > 1


def test_fresh_weights_follow_the_global_seed():
    def first(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return [p.detach() for p in gap_classifier("squeezenet1_1", 3).parameters()]

    assert all(map(torch.equal, first(0), first(0)))
    assert not torch.equal(first(0)[0], first(1)[0])


def test_a_torchvision_network_as_it_is():
    with torch.random.fork_rng(devices=[]):
        whole = torchvision.models.resnet18(num_classes=4)
        net = gap_classifier(whole, 4)
    assert net.body.layer4 is whole.layer4
    net.parent_head = whole.fc
    x = images(1, size=64, dtype=torch.float32)
    torch.testing.assert_close(net.eval()(x), whole.eval()(x))


def test_a_module_that_gives_maps():
    body = body_of(colours=1)
    net = gap_classifier(body, 3)
    assert net.body is body
    assert net.parent_head.weight.dtype == torch.float64
    assert net(images(2, channels=1)).shape == (2, 3)


@pytest.mark.parametrize("form", ["dict", "file", "checkpoint", "parallel"])
def test_weights_of_a_torchvision_network(form, tmp_path):
    state = state_of("squeezenet1_1")
    kept = {name: value.clone() for name, value in state.items()}
    if form == "parallel":
        weights = {f"module.{name}": value for name, value in state.items()}
    elif form == "dict":
        weights = state
    else:
        weights = tmp_path / "net.pt"
        torch.save({"state_dict": state} if form == "checkpoint" else state, weights)
    net = gap_classifier("squeezenet1_1", 3, weights=weights)
    assert net.training
    for name, value in net.body.state_dict().items():
        assert torch.equal(value, kept[f"features.{name}"])
    assert all(torch.equal(state[name], value) for name, value in kept.items())
    assert net.num_labels == 3


def test_default_weights(monkeypatch):
    state = state_of("squeezenet1_1", classes=1000)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: state)
    net = gap_classifier("squeezenet1_1", 3, weights="DEFAULT")
    assert torch.equal(net.body[0].weight, state["features.0.weight"])


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "options", "error", "message"),
    [
        ("vit_b_16", {}, ValueError, "backbone to be a network of AlexNet.*transformer 'vit_b_16'"),
        ("swin_t", {}, ValueError, "but got the transformer 'swin_t'"),
        ("maxvit_t", {}, ValueError, "but got the transformer 'maxvit_t'"),
        ("resnet17", {}, ValueError, "backbone to be a classification model .*close: 'resnet18'"),
        (None, {}, TypeError, "backbone to be the name of a torchvision classifier, or an nn.Mod"),
        (nn.Flatten(), {}, ValueError, r"backbone to be a module that gives maps \(N,C,h,w\)"),
        (nn.ReLU(), {"weights": "DEFAULT"}, TypeError, "weights to be None for a backbone that is"),
        ("squeezenet1_1", {"weights": {}}, ValueError, "weights to be a state dict .*empty dict"),
        ("squeezenet1_1", {"weights": 3}, TypeError, "weights to be 'DEFAULT' or a file with a st"),
        ("squeezenet1_1", {"weights": "none.pt"}, FileNotFoundError, "'none.pt', which does not e"),
        (nn.ReLU(), {"kernel_usage": 1}, TypeError, "kernel_usage to be True or False"),
        (nn.ReLU(), {"bias": None}, TypeError, "bias to be True or False"),
        (nn.ReLU(), {"dropout": -0.1}, ValueError, "dropout to be a number from 0 to 1"),
        (nn.ReLU(), {"dropout": 1}, ValueError, "dropout to be a number from 0 to below 1"),
        (nn.ReLU(), {"dropout": "half"}, TypeError, "dropout to be a number"),
    ],
)
def test_bad_arguments(backbone, options, error, message):
    with pytest.raises(error, match=message):
        gap_classifier(backbone, 3, **options)


@pytest.mark.parametrize(("labels", "error"), [(0, ValueError), ("3", TypeError)])
def test_bad_number_of_labels(labels, error):
    with pytest.raises(error, match="Expected num_labels to be an integer of at least 1"):
        gap_classifier(nn.ReLU(), labels)


def test_weights_of_another_network():
    message = "Expected weights to be a state dict of squeezenet1_1, but got a state dict: "
    with pytest.raises(ValueError, match=message):
        gap_classifier("squeezenet1_1", 3, weights={"conv.weight": torch.zeros(1)})


def test_bad_parts():
    with pytest.raises(TypeError, match="Expected body to be an nn.Module that gives maps"):
        GapClassifier(None, nn.Linear(3, 2))
    with pytest.raises(TypeError, match="Expected parent_head to be an nn.Linear, but got Conv2d"):
        GapClassifier(nn.ReLU(), nn.Conv2d(3, 2, 1))
    with pytest.raises(ValueError, match="Expected dropout to be a number from 0 to 1"):
        GapClassifier(nn.ReLU(), nn.Linear(3, 2), dropout=2)
