"""The layer to explain, found or named."""

import pytest
import torch
import torchvision
from torch import nn

from captum_cluster._checks import LayerError
from captum_cluster.evaluation.layers import find_layer, find_layers, own_layers
from captum_cluster.training import MultiLevelNetwork, TwoBranch, gap_classifier


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4"),
        ("vgg11", "features"),
        ("mobilenet_v3_small", "features"),
        ("squeezenet1_1", "classifier.2"),
        ("densenet121", "features"),
    ],
)
def test_last_convolutional_layer_of_torchvision(name, layer):
    model = torchvision.models.get_model(name, weights=None).eval()
    assert find_layer(model, torch.rand(1, 3, 64, 64))[0] == layer


def test_a_bare_convolution_goes_on_into_its_normalisation_and_activation():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    ).eval()
    name, module = find_layer(net, torch.rand(1, 3, 9, 9))
    assert name == "4"
    assert module is net[4]


def test_a_convolution_after_pooling_gives_no_maps_and_is_passed_over():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 1), nn.Flatten()
    ).eval()
    assert find_layer(net, torch.rand(1, 3, 9, 9))[0] == "0"


def test_by_name_and_by_module():
    model = torchvision.models.resnet18().eval()
    images = torch.rand(1, 3, 64, 64)
    assert find_layer(model, images, "layer3.1") == ("layer3.1", model.layer3[1])
    assert find_layer(model, images, model.layer2) == ("layer2", model.layer2)


def test_errors():
    model = torchvision.models.resnet18().eval()
    images = torch.rand(1, 3, 64, 64)
    with pytest.raises(ValueError, match=r"Expected layer to be the name .*layer4.*'layer5'"):
        find_layer(model, images, "layer5")
    with pytest.raises(ValueError, match="Expected layer to be a module of the model"):
        find_layer(model, images, nn.ReLU())
    with pytest.raises(TypeError, match="Expected layer to be an nn.Module"):
        find_layer(model, images, 4)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    with pytest.raises(ValueError, match="without a convolution"):
        find_layer(flat, torch.rand(1, 3, 2, 2))


@pytest.mark.parametrize("name", ["swin_t", "vit_b_32"])
def test_transformers_need_a_layer(name):
    model = torchvision.models.get_model(name, weights=None).eval()
    with pytest.raises(ValueError, match="Expected layer to be given for a transformer"):
        find_layer(model, torch.rand(1, 3, 224, 224))


# The model's own


def body():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


def multi_level():
    base, level = TwoBranch(body, 3), gap_classifier(body(), 2)
    return MultiLevelNetwork(base, [level], [torch.tensor([0, 0, 1])]).eval()


def test_a_model_that_names_its_layers():
    image = torch.rand(1, 3, 9, 9)
    one, two = gap_classifier(body(), 3).eval(), TwoBranch(body, 3).eval()
    assert own_layers(one) == [one.body]
    assert find_layers(one, image) == [("body", one.body)]
    names = ["branches.0.body", "branches.1.body"]
    assert [name for name, _ in find_layers(two, image)] == names
    assert find_layer(two, image)[0] == names[1]
    assert find_layers(two, image, "branches.0.body.0") == [
        ("branches.0.body.0", two.branches[0].body[0])
    ]


def test_of_several_networks_the_layers_of_the_one_that_the_forward_pass_runs():
    model = multi_level()
    assert own_layers(model) == model.base.explained_layers
    assert len(model.explained_layers) == 3
    names = [name for name, _ in find_layers(model, torch.rand(1, 3, 9, 9))]
    assert names == ["base.branches.0.body", "base.branches.1.body"]


def test_a_model_that_names_none():
    net = torchvision.models.resnet18().eval()
    image = torch.rand(1, 3, 64, 64)
    assert own_layers(net) == []
    assert [name for name, _ in find_layers(net, image)] == ["layer4"]
    both = find_layers(net, image, ["layer3", net.layer4])
    assert [name for name, _ in both] == ["layer3", "layer4"]
    with pytest.raises(LayerError, match="Expected layer to be the name of a module"):
        find_layers(net, image, ["layer3", "layer9"])
    with pytest.raises(TypeError, match="Expected layer to be an nn.Module"):
        find_layers(net, image, [])
