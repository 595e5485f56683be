"""The bodies of torchvision's networks: what is kept, what they give, what is refused."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from captum_cluster.training.backbones import (
    InputScaling,
    classifier_body,
    count_channels,
    is_known,
)


def network(name, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torchvision.models.get_model(name, weights=None, num_classes=5, **options).eval()


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def head_of(name, net, maps):
    """What torchvision's forward does behind the maps, written out for a few networks."""
    means = maps.mean(dim=(2, 3))
    if name == "squeezenet1_1":
        return net.classifier(maps).flatten(1)
    if name == "shufflenet_v2_x0_5" or name.startswith("res"):
        return net.fc(means)
    if name == "googlenet":
        return net.fc(means)
    return net.classifier(means)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "shufflenet_v2_x0_5",
        "mobilenet_v3_small",
        "mnasnet0_5",
        "squeezenet1_1",
        "densenet121",
    ],
)
def test_the_maps_are_those_behind_the_logits(name):
    net, images = network(name), draw(1, 3, 64, 96)
    body = classifier_body(net)
    with torch.no_grad():
        maps = body(images)
        torch.testing.assert_close(head_of(name, net, maps), net(images))
    assert count_channels(body) == maps.shape[1]
    if name != "mobilenet_v3_small":  # its last activation is a Hardswish
        assert float(maps.min()) >= 0


def test_googlenet_takes_images_as_the_other_networks():
    net = network("googlenet", aux_logits=False, init_weights=False, transform_input=True)
    images = draw(1, 3, 64, 64)
    body = classifier_body(net)
    with torch.no_grad():
        torch.testing.assert_close(net.fc(body(images).mean(dim=(2, 3))), net(images))
        torch.testing.assert_close(InputScaling()(images), net._transform_input(images))
    net.transform_input = False
    assert "transform_input" not in dict(classifier_body(net).named_children())


def test_auxiliary_heads_are_left_out():
    net = network("googlenet", aux_logits=True, init_weights=False)
    names = [name for name, _ in classifier_body(net).named_children()]
    assert names[0] == "conv1"
    assert names[-1] == "inception5b"
    assert not {"aux1", "aux2", "avgpool", "dropout", "fc"} & set(names)


@pytest.mark.parametrize("layers", [11, 16])
def test_vgg_and_alexnet_lose_their_last_pooling(layers):
    # Built small: the dense layers of the real ones are 500 MB.
    net = torchvision.models.VGG.__new__(torchvision.models.VGG)
    nn.Module.__init__(net)
    setup = torchvision.models.vgg.cfgs[{11: "A", 16: "D"}[layers]]
    with torch.random.fork_rng(devices=[]):
        net.features = torchvision.models.vgg.make_layers(setup)
    images, body = draw(1, 3, 32, 64), classifier_body(net)
    with torch.no_grad():
        maps = body(images)
        assert maps.shape == (1, 512, 2, 4)
        torch.testing.assert_close(F.max_pool2d(maps, 2), net.features(images))


def test_the_modules_are_the_network_s_own():
    net = network("resnet18")
    body = classifier_body(net)
    assert body.layer4 is net.layer4
    assert all(name in net.state_dict() for name in body.state_dict())


def test_a_network_derived_from_a_known_one():
    class Mine(torchvision.models.SqueezeNet):
        pass

    assert is_known(Mine())
    assert count_channels(classifier_body(Mine())) == 512


@pytest.mark.parametrize("name", ["swin_t"])
def test_a_network_that_is_not_known(name):
    with torch.device("meta"):
        net = torchvision.models.get_model(name, weights=None)
    assert not is_known(net)
    with pytest.raises(ValueError, match="Expected backbone to be a network of AlexNet, .*Swin"):
        classifier_body(net)


# --- counting ---------------------------------------------------------------------------------


def test_counting_leaves_the_module_as_it_was():
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(), nn.ReLU())
    body[2].eval()
    state, random = {k: v.clone() for k, v in body.state_dict().items()}, torch.get_rng_state()
    assert count_channels(body) == 8
    assert body.training
    assert not body[2].training
    assert all(torch.equal(value, state[name]) for name, value in body.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in body.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("colours", [1, 3, 4])
def test_counting_with_any_colours_and_type(colours, dtype):
    assert count_channels(nn.Conv2d(colours, 7, 3, dtype=dtype)) == 7


def test_counting_without_parameters_and_with_large_images():
    assert count_channels(nn.Identity()) == 3
    assert count_channels(nn.Conv2d(3, 5, 100)) == 5  # 64 pixels are too few


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (nn.Flatten(), r"\(N,C,h,w\), but got a tensor of shape \(1, "),
        (nn.Linear(5, 2), r"of images of 64 or 224 pixels, but got an error \(.*mat1 and mat2"),
        (nn.Conv2d(3, 5, 300), r"of images of 64 or 224 pixels, but got an error \("),
        (nn.Bilinear(2, 2, 2), r"but got an error \("),
    ],
    ids=["flat", "linear", "large", "two-inputs"],
)
def test_no_maps(body, message):
    with pytest.raises(
        ValueError, match="Expected backbone to be a module that gives maps .*" + message
    ):
        count_channels(body)
