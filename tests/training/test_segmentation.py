"""Segmentation networks: shapes, head, modes, and what they refuse."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3

from captum_cluster.evaluation.digit_classifier import DigitNet
from captum_cluster.training import SegmentationNetwork, segmentation_network


@torch.no_grad()
@pytest.mark.parametrize(
    ("backbone", "stride"),
    [("resnet18", 8), ("mobilenet_v3_small", 16), ("vgg11", 16), (None, 8)],
    ids=["resnet", "mobilenet", "vgg", "digit-net"],
)
@pytest.mark.parametrize("size", [(65, 47), (64, 64)])
def test_each_pixel_has_logits_of_background_and_labels(backbone, stride, size):
    given = backbone or DigitNet().features
    net = segmentation_network(given, 5, output_stride=stride, channels=8).eval()
    assert net(torch.rand(2, 3, *size)).shape == (2, 6, *size)
    probabilities = net.probabilities(torch.rand(1, 3, *size))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(1, *size))
    assert probabilities.min() >= 0


@torch.no_grad()
def test_it_is_torchvisions_deeplab():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        theirs = models.segmentation.deeplabv3_resnet50(
            weights=None, weights_backbone=None, num_classes=4
        ).eval()
    ours = segmentation_network("resnet50", 3).eval()
    assert isinstance(theirs, DeepLabV3)
    ours.parent_head.load_state_dict(theirs.classifier.state_dict())
    ours.body.load_state_dict(theirs.backbone.state_dict())
    images = torch.rand(1, 3, 41, 56, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(images), theirs(images)["out"], rtol=1e-3, atol=1e-4)


def test_the_head_has_the_rates_and_channels_asked_for():
    head = segmentation_network(nn.Conv2d(3, 8, 3), 4, atrous_rates=(2, 3), channels=16).parent_head
    rates = [conv[0].dilation for conv in head[0].convs if isinstance(conv[0], nn.Conv2d)]
    assert rates == [(1, 1), (2, 2), (3, 3)]
    assert head[-1].weight.shape == (5, 16, 1, 1)
    default = segmentation_network(nn.Conv2d(3, 8, 3), 4).parent_head
    theirs = DeepLabHead(8, 5)
    shapes = [
        {name: value.shape for name, value in one.state_dict().items()} for one in (default, theirs)
    ]
    assert shapes[0] == shapes[1]


def test_weights_of_a_classifier(tmp_path):
    source = models.squeezenet1_1(num_classes=7)
    torch.save(source.state_dict(), tmp_path / "seven.pt")
    for weights in (source.state_dict(), tmp_path / "seven.pt"):
        net = segmentation_network("squeezenet1_1", 3, weights=weights, output_stride=None)
        assert torch.equal(next(net.body.parameters()), source.features[0].weight)


def test_without_an_output_stride_a_module_is_used_as_it_is():
    body = nn.Conv2d(3, 8, 3)
    assert segmentation_network(body, 2, output_stride=None).body is body
    assert segmentation_network(body.double(), 2).parent_head[-1].weight.dtype == torch.float64


def test_one_image_alone_cannot_be_trained_on():
    net = segmentation_network(nn.Conv2d(3, 8, 3), 2, channels=4)
    image = torch.rand(1, 3, 16, 16)
    with pytest.raises(ValueError, match=r"^Expected images to be at least 2 in training, but got"):
        net(image)
    assert net(torch.rand(2, 3, 16, 16)).shape == (2, 3, 16, 16)
    assert net.eval()(image).shape == (1, 3, 16, 16)
    own = SegmentationNetwork(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 1))  # nothing is normalised
    assert own(image).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_labels": 0}, ValueError, "num_labels to be an integer of at least 1, but got 0"),
        ({"channels": 0}, ValueError, "channels to be an integer of at least 1"),
        ({"output_stride": 0}, ValueError, "output_stride to be an integer of at least 1"),
        ({"output_stride": "8"}, TypeError, "output_stride to be an integer"),
        ({"atrous_rates": 6}, TypeError, "atrous_rates to be a sequence of integers"),
        ({"atrous_rates": "6"}, TypeError, "atrous_rates to be a sequence of integers"),
        ({"atrous_rates": ()}, ValueError, "atrous_rates to be a sequence of .*, but got none"),
        ({"atrous_rates": (0,)}, ValueError, "a rate to be an integer of at least 1"),
        ({"backbone": "resnet1"}, ValueError, "'resnet18'"),
        ({"backbone": "vit_b_16"}, ValueError, "the transformer 'vit_b_16'"),
        ({"backbone": nn.Flatten()}, ValueError, "a module that gives maps"),
        ({"weights": "DEFAULT"}, TypeError, "None for a backbone that is a module"),
    ],
)
def test_bad_options(options, error, message):
    given = {"backbone": nn.Conv2d(3, 8, 3), "num_labels": 2, **options}
    with pytest.raises(error, match=message):
        segmentation_network(given.pop("backbone"), given.pop("num_labels"), **given)


@pytest.mark.parametrize(
    ("parts", "name"), [((None, nn.Conv2d(8, 3, 1)), "body"), ((nn.ReLU(), 3), "parent_head")]
)
def test_parts_that_are_no_modules(parts, name):
    with pytest.raises(TypeError, match=f"{name} to be an nn.Module"):
        SegmentationNetwork(*parts)
