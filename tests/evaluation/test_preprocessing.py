"""The picture back from a model's input, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

from captum_cluster.evaluation.preprocessing import denormalize

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.1, 0.5]


@pytest.mark.parametrize(
    "transform",
    [
        transforms.Normalize(MEAN, STD),
        transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)]),
        transforms.Compose([transforms.Compose([transforms.Normalize(MEAN, STD)])]),
        v2.Compose([v2.ToImage(), v2.Normalize(MEAN, STD)]),
    ],
)
def test_normalize_is_undone(transform: object) -> None:
    tensor = torch.tensor([1.0, -1.0, 0.0])[:, None, None].expand(3, 2, 2)
    picture = denormalize(tensor, transform)
    torch.testing.assert_close(picture[:, 0, 0], torch.tensor([0.7, 0.3, 0.3]))


def test_preset_of_torchvision() -> None:
    transform = ResNet18_Weights.DEFAULT.transforms()
    image = Image.fromarray(np.full((256, 256, 3), (10, 120, 250), dtype=np.uint8))
    picture = denormalize(transform(image), transform)
    torch.testing.assert_close(picture[:, 5, 5] * 255, torch.tensor([10.0, 120.0, 250.0]))


def test_clamped() -> None:
    picture = denormalize(torch.full((3, 1, 1), 9.0), transforms.Normalize(MEAN, STD))
    assert picture.flatten().tolist() == [1, 1, 1]


@pytest.mark.parametrize("transform", [None, transforms.ToTensor(), lambda image: image])
def test_unknown_transform(transform: object) -> None:
    inside = torch.tensor([0.0, 0.25, 0.5])[:, None, None]
    assert torch.equal(denormalize(inside, transform), inside)
    outside = torch.tensor([-2.0, 0.0, 2.0])[:, None, None]
    assert denormalize(outside, transform).flatten().tolist() == [0, 0.5, 1]


def test_flat_tensor_outside_the_range() -> None:
    assert denormalize(torch.full((3, 2, 2), 7.0)).eq(0).all()


def test_half_precision_and_input_untouched() -> None:
    tensor = torch.full((3, 1, 1), 0.5, dtype=torch.float16, requires_grad=True)
    picture = denormalize(tensor)
    assert picture.dtype == torch.float32
    assert not picture.requires_grad
    picture.zero_()
    assert tensor.detach().eq(0.5).all()


def test_errors() -> None:
    with pytest.raises(TypeError, match="Expected tensor to be a float tensor"):
        denormalize(torch.zeros(3, 2, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"of shape \(3, H, W\), but got .*\(1, 3, 2, 2\)"):
        denormalize(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match="tensor to be finite, but got NaN"):
        denormalize(torch.full((3, 1, 1), torch.nan))
