"""Dilated bodies give the maps of their own body, and those between."""

import pytest
import torch
from torch import nn
from torchvision import models

from captum_cluster.evaluation.digit_classifier import DigitNet
from captum_cluster.training.backbones import classifier_body
from captum_cluster.training.dilation import dilated
from captum_cluster.training.gap_classifier import backbone_body


def body_of(name):
    """Return a body whose maps are neither tiny nor huge, as a trained one's."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        body = backbone_body(name)
        for module in body.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        body(IMAGES.repeat(2, 1, 1, 1))
        return body.eval()


IMAGES = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "regnet_x_400mf", "resnext50_32x4d"])
def test_the_maps_of_the_body_are_among_those_of_the_dilated_one(name, stride):
    body = body_of(name)
    plain, large = body(IMAGES), dilated(body, stride)(IMAGES)
    assert large.shape[2:] == (64 // stride, 96 // stride)
    step = 32 // stride
    torch.testing.assert_close(large[..., ::step, ::step], plain, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(large[..., 1::step, ::step], plain, rtol=0.1, atol=0.1)


@torch.no_grad()
@pytest.mark.parametrize(
    ("stride", "layers"), [(8, [False, True, True]), (16, [False, False, True])]
)
def test_it_is_torchvisions_dilation(stride, layers):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = models.resnet50(replace_stride_with_dilation=layers).eval()
        ours = models.resnet50().eval()
    ours.load_state_dict(theirs.state_dict())
    found = dilated(classifier_body(ours), stride)(IMAGES)
    torch.testing.assert_close(found, classifier_body(theirs)(IMAGES), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_body_of_large_maps_is_copied_as_it_is():
    body = DigitNet().features.eval()
    copy = dilated(body, 8)
    assert torch.equal(copy(IMAGES), body(IMAGES))
    assert copy[0][0].weight is not body[0][0].weight


@torch.no_grad()
def test_a_dilation_of_the_body_itself_is_multiplied():
    body = DigitNet().features.eval()  # of stride 4, dilated by 2 at the end
    large = dilated(body, 2)
    assert [block[0].dilation[0] for block in large] == [1, 1, 1, 2, 4]
    torch.testing.assert_close(large(IMAGES)[..., ::2, ::2], body(IMAGES), atol=1e-5, rtol=1e-4)


def test_the_body_stays_as_it_is():
    body = body_of("resnet18").train()
    state = {name: value.clone() for name, value in body.state_dict().items()}
    large = dilated(body, 8)
    assert body.layer4[0].conv1.stride == (2, 2)
    assert body.training
    assert large.training
    for other in (body, large):
        assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())


class Whole(nn.Module):
    """Two strides inside of one module that is no row."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 4, 3, stride=2, padding=1)

    def forward(self, images):
        return self.second(self.first(images))


@pytest.mark.parametrize(
    ("body", "stride", "error", "message"),
    [
        (body_of("vgg11"), 8, ValueError, "least 16 for this backbone, whose MaxPool2d can"),
        (body_of("densenet121"), 16, ValueError, "least 32 for this .*AvgPool2d cannot be dilated"),
        (body_of("convnext_tiny"), 8, ValueError, "whose Conv2d cannot be dilated, but got 8"),
        (Whole(), 2, ValueError, "whose Whole cannot be dilated, but got 2"),
        (Whole(), 0, ValueError, "output_stride to be an integer of at least 1, but got 0"),
        (Whole(), 2.0, TypeError, "output_stride to be an integer"),
    ],
    ids=["max", "mean", "even", "whole", "zero", "float"],
)
def test_what_cannot_be_dilated(body, stride, error, message):
    with pytest.raises(error, match=message):
        dilated(body, stride)
