"""The layer to explain, found or named."""

import pytest
import torch
import torchvision
from torch import nn

from captum_cluster.evaluation.layers import find_layer


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
