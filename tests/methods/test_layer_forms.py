"""What layers give, and what makes maps of it."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import ResNet, SwinTransformer, VisionTransformer
from torchvision.models.resnet import BasicBlock

from captum_cluster._checks import LayerError
from captum_cluster.functional.attribution import TokensToMaps, channels_last_to_maps
from captum_cluster.methods import find_reshape_transform, shared_transform
from tests.helpers.nets import TokenNet


def vit(**options):
    return VisionTransformer(32, 8, 2, 2, 16, 32, **options).eval()


def swin(width=12):
    return SwinTransformer([4, 4], width, [1, 1], [2, 2], [4, 4], num_classes=3).eval()


@pytest.mark.parametrize(
    "layer", ["encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1.ln_1", "encoder"]
)
def test_tokens_of_a_vision_transformer(layer):
    found = find_reshape_transform(vit(), layer, torch.rand(2, 3, 32, 32))
    assert found == TokensToMaps((4, 4), 1)


@pytest.mark.parametrize("size", [(8, 12), (12, 8), (4, 20)])
def test_tokens_of_images_that_are_not_square(size):
    net = TokenNet(image_size=size).float().eval()
    image = torch.rand(1, 3, *size)
    found = find_reshape_transform(net, net.block, image)
    assert found == TokensToMaps(net.grid, 1)
    tokens = torch.rand(2, 1 + net.grid[0] * net.grid[1], 5)
    assert torch.equal(found(tokens), net.reshape_transform(tokens))


@pytest.mark.parametrize(
    ("size", "tokens", "expected"),
    [
        ((32, 32), 17, TokensToMaps((4, 4), 1)),
        ((32, 64), 33, TokensToMaps((4, 8), 1)),
        ((64, 32), 34, TokensToMaps((8, 4), 2)),
        ((48, 64), 12, TokensToMaps((3, 4), 0)),
        ((96, 32), 80, TokensToMaps((15, 5), 5)),
    ],
)
def test_tokens_that_were_not_made_of_maps(size, tokens, expected):
    """Of patches that are folded out by hand: the grid of the images' aspect."""

    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(3, 8)

        def forward(self, images):
            return self.embed(torch.zeros(len(images), tokens, 3)).mean(dim=1)

    assert find_reshape_transform(Folded().eval(), "embed", torch.rand(1, 3, *size)) == expected


def test_registers_do_not_change_the_grid():
    class Registers(TokenNet):
        def forward(self, x):
            patches = self.embed(x).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.class_token.expand(len(x), 5, -1), patches], dim=1)
            return self.fc(self.block(tokens)[:, 0])

    # 5 + 4 tokens are also a grid of 3 x 3
    net = Registers(image_size=(8, 8)).float().eval()
    assert find_reshape_transform(net, "block", torch.rand(1, 3, 8, 8)) == TokensToMaps((2, 2), 5)


@pytest.mark.parametrize("width", [4, 8, 12])
@pytest.mark.parametrize("size", [(32, 32), (32, 64)])
@pytest.mark.parametrize("layer", ["features.1", "features.3", "features.3.0.norm1", "norm"])
def test_channels_last(width, size, layer):
    """Also where the maps have as many channels as rows and columns: (1,8,8,8)."""
    assert (
        find_reshape_transform(swin(width), layer, torch.rand(1, 3, *size)) is channels_last_to_maps
    )


@pytest.mark.parametrize("layer", ["features.0.0", "permute"])
def test_maps_inside_a_network_with_its_channels_last(layer):
    assert find_reshape_transform(swin(8), layer, torch.rand(1, 3, 32, 32)) is None


def test_maps_as_wide_as_they_have_channels():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout())
    for layer in net.eval():
        assert find_reshape_transform(net, layer, torch.rand(1, 3, 8, 8)) is None
    assert find_reshape_transform(nn.Sequential(net), net, torch.rand(1, 3, 8, 8)) is None


@pytest.mark.parametrize("layer", ["features", "features.1", "features.1.0", "features.7.2"])
def test_maps_of_a_convnext(layer):
    net = torchvision.models.convnext_tiny(weights=None).eval()
    assert find_reshape_transform(net, layer, torch.rand(1, 3, 64, 64)) is None


def test_maps_of_another_aspect_are_maps():
    net = nn.Sequential(nn.Conv2d(3, 8, (1, 2), stride=(1, 2)), nn.MaxPool2d((8, 1))).eval()
    assert find_reshape_transform(net, net[0], torch.rand(1, 3, 8, 8)) is None
    assert find_reshape_transform(net, net[1], torch.rand(1, 3, 8, 8)) is None


@pytest.mark.parametrize("layer", ["heads", "heads.head"])
def test_what_has_no_places(layer):
    with pytest.raises(LayerError) as raised:
        find_reshape_transform(vit(), layer, torch.rand(1, 3, 32, 32))
    assert str(raised.value) == (
        "Expected layer to give maps, or tokens of a grid that fits images of 32x32, but got a "
        "tensor of shape (1, 1000). Pass reshape_transform=, a function of it that returns the "
        "maps (N,C,h,w)."
    )


def test_tokens_of_no_grid():
    net = nn.Sequential(nn.Flatten(2), nn.Linear(1024, 7)).eval()
    net = nn.Sequential(net[0], net[1], nn.ConvTranspose1d(3, 34, 1))
    with pytest.raises(LayerError, match=r"but got tokens of shape \(1, 34, 7\)\. Pass reshape"):
        find_reshape_transform(net, "2", torch.rand(1, 3, 32, 32))


def test_layers_that_are_not_there():
    net, image = vit(), torch.rand(1, 3, 32, 32)
    with pytest.raises(LayerError, match="name of a module of VisionTransformer, but got 'block'"):
        find_reshape_transform(net, "block", image)
    with pytest.raises(LayerError, match="Expected layer to be a module of the model"):
        find_reshape_transform(net, nn.Linear(2, 2), image)
    with pytest.raises(LayerError, match="calls and that gives one tensor, but got a Multihead"):
        find_reshape_transform(net, "encoder.layers.encoder_layer_1.self_attention", image)


def test_several_layers_share_a_transform():
    net, image = vit(), torch.rand(1, 3, 32, 32)
    blocks = list(net.encoder.layers)
    assert shared_transform(net, blocks, image) == TokensToMaps((4, 4), 1)
    with pytest.raises(LayerError) as raised:
        shared_transform(net, [net.conv_proj, blocks[0]], image)
    assert str(raised.value) == (
        "Expected layers to be ones that need the same reshape_transform, where none is given, but "
        "got None and TokensToMaps(grid=(4, 4), prefix_tokens=1)."
    )
    # of what has no places whoever looks at the maps says more
    assert shared_transform(net, [net.heads], image) is None


def test_maps_need_one_pass_at_most():
    net = ResNet(BasicBlock, [1, 1, 1, 1]).eval()
    image, calls = torch.rand(1, 3, 64, 64), []
    net.register_forward_hook(lambda *_: calls.append(1))
    assert shared_transform(net, [net.layer3, net.layer4], image) is None
    assert len(calls) == 1
    known = torch.rand(1, 3, 2, 2)  # three channels on a grid of 2 x 2 are no grid of 3 x 2
    assert shared_transform(net, [net.layer4], image, [known]) is None
    assert len(calls) == 1


def test_as_many_channels_as_rows_and_columns():
    """Maps of a network that normalises no last axis; channels last where it does."""
    net, calls = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()).eval(), []
    net.register_forward_hook(lambda *_: calls.append(1))
    assert shared_transform(net, [net[1]], torch.rand(1, 3, 8, 8)) is None
    assert len(calls) == 1
    model = swin(8)
    found = shared_transform(model, [model.features[1]], torch.rand(1, 3, 32, 32))  # (1,8,8,8)
    assert found is channels_last_to_maps
