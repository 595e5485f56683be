"""The layer to explain, found or named."""

import pytest
import torch
import torchvision
from torch import nn

from captum_cluster._checks import LayerError
from captum_cluster.methods import find_layer, find_layers, own_layers
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


# Transformers


class Head(nn.Module):
    """Reads the class token of a transformer, or the mean of its tokens."""

    def __init__(self, encoder, width, pool, classes=3):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.class_token = nn.Parameter(torch.rand(1, 1, width))
        self.encoder, self.norm, self.pool = encoder, nn.LayerNorm(width), pool
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        if self.pool == "class":
            tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = self.norm(self.encoder(tokens))
        return self.head(tokens[:, 0] if self.pool == "class" else tokens.mean(dim=1))


def transformer(pool, norm_first=True, depth=2):
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    encoder = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
    return Head(encoder, 8, pool).eval()


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (transformer("class"), "encoder.layers.1.norm1"),
        # normalised behind the attention: the block before gives what the last attention takes
        (transformer("class", norm_first=False), "encoder.layers.0"),
        (transformer("mean"), "norm"),
        (transformer("class", depth=1), "encoder.layers.0.norm1"),
    ],
    ids=["class", "class-post-norm", "mean", "one-block"],
)
def test_of_a_transformer_the_last_layer_in_which_every_patch_counts(model, layer):
    name, module = find_layer(model, torch.rand(2, 3, 24, 16))
    assert name == layer
    assert module is model.get_submodule(layer)


def test_a_classifier_of_zeros_hides_nothing():
    model = transformer("class")
    nn.init.zeros_(model.head.weight)
    assert find_layer(model, torch.rand(1, 3, 24, 16))[0] == "encoder.layers.1.norm1"


def test_a_frozen_model_in_training_mode_under_no_grad_and_inference_mode():
    model = transformer("class").requires_grad_(False).train()
    with torch.no_grad(), pytest.warns(UserWarning, match="train"):
        assert find_layer(model, torch.rand(1, 3, 24, 16))[0] == "encoder.layers.1.norm1"
    assert model.training
    with torch.inference_mode():
        assert find_layer(model.eval(), torch.rand(1, 3, 24, 16))[0] == "encoder.layers.1.norm1"
    assert not any(module._forward_hooks for module in model.modules())


def test_random_numbers_are_left_alone():
    model, state = transformer("class"), torch.get_rng_state()
    find_layer(model, torch.zeros(1, 3, 24, 16))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_transformer_whose_tokens_come_first_is_not_guessed_at():
    class TokensFirst(Head):
        def forward(self, images):
            tokens = self.norm(self.patches(images).flatten(2).transpose(1, 2))
            tokens = self.encoder(tokens.transpose(0, 1))  # (T,N,C)
            return self.head(tokens.mean(dim=0))

    block = nn.TransformerEncoderLayer(8, 2, 16)
    model = TokensFirst(nn.TransformerEncoder(block, 2, enable_nested_tensor=False), 8, "mean")
    with pytest.raises(LayerError, match="Expected layer to be given for a transformer of an unk"):
        find_layer(model.eval(), torch.rand(1, 3, 24, 16))


def test_attention_between_convolutions_is_passed_over():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.values = nn.Linear(4, 4)

        def forward(self, maps):
            return self.values(maps.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(maps.shape)

    model = nn.Sequential(
        nn.Conv2d(3, 4, 4, stride=4), Attention(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 2),
    ).eval()  # fmt: skip
    assert find_layer(model, torch.rand(1, 3, 16, 16))[0] == "1"


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
