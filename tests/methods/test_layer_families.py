"""The layer chosen in each family of torchvision's and timm's networks, with random weights."""

import math

import pytest
import torch
import torchvision
from torchvision.models import GoogLeNet, Inception3, MaxVit, SwinTransformer, VisionTransformer
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

from captum_cluster.functional.attribution import TokensToMaps, channels_last_to_maps
from captum_cluster.methods import find_layer, find_reshape_transform, stages

LAST = channels_last_to_maps


def swin(depths=(1, 1), **options):
    return SwinTransformer([4, 4], 12, list(depths), [2] * len(depths), [4, 4], **options)


def swin_v2():
    return swin(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)


def maxvit():
    return MaxVit((64, 64), 8, 2, [8, 16], [1, 1], 8, 0.0, num_classes=3)


# Of each family: a model, the side of its images, the layer, what makes maps of it.
TORCHVISION = {
    "alexnet": ("alexnet", 96, "features", None),
    "densenet": ("densenet121", 64, "features", None),
    "efficientnet": ("efficientnet_b0", 64, "features", None),
    "efficientnet_v2": ("efficientnet_v2_s", 64, "features", None),
    "convnext": ("convnext_tiny", 64, "features", None),
    "googlenet": (
        lambda: GoogLeNet(aux_logits=False, init_weights=False),
        64,
        "inception5b",
        None,
    ),
    "inception": (
        lambda: Inception3(aux_logits=False, init_weights=False),
        160,
        "Mixed_7c",
        None,
    ),
    "mnasnet": ("mnasnet0_5", 64, "layers", None),
    "mobilenet_v2": ("mobilenet_v2", 64, "features", None),
    "mobilenet_v3": ("mobilenet_v3_small", 64, "features", None),
    "regnet": ("regnet_y_400mf", 64, "trunk_output", None),
    "resnet": ("resnet18", 64, "layer4", None),
    "shufflenet": ("shufflenet_v2_x0_5", 64, "conv5", None),
    "squeezenet": ("squeezenet1_1", 64, "classifier.2", None),
    "vgg": ("vgg11", 64, "features", None),
    "vit": (
        lambda: VisionTransformer(64, 16, 3, 2, 16, 32),
        64,
        "encoder.layers.encoder_layer_2.ln_1",
        TokensToMaps((4, 4), 1),
    ),
    "swin": (swin, 64, "norm", LAST),
    "swin_v2": (swin_v2, 64, "norm", LAST),
    "maxvit": (maxvit, 64, "blocks.1", None),
}


def built(model):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = model() if callable(model) else torchvision.models.get_model(model, weights=None)
    return made.eval()


def maps_of(model, layer, transform, image):
    """Return the maps (1,C,h,w) of a layer, from a hook of the test's own."""
    given = []
    handle = model.get_submodule(layer).register_forward_hook(lambda *call: given.append(call[2]))
    with torch.no_grad():
        model(image)
    handle.remove()
    return given[-1] if transform is None else transform(given[-1])


def check(model, size, layer, transform):
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    name, module = find_layer(model, image)
    assert name == layer
    assert module is model.get_submodule(layer)
    assert find_reshape_transform(model, module, image) == transform
    maps = maps_of(model, layer, transform, image)
    assert maps.ndim == 4
    assert math.prod(maps.shape[2:]) > 1
    assert maps.shape[2] == maps.shape[3]


@pytest.mark.parametrize("family", TORCHVISION)
def test_torchvision(family):
    model, *expected = TORCHVISION[family]
    check(built(model), *expected)


TIMM = {
    "resnet18": ("layer4", None),
    "vgg11": ("features", None),
    "efficientnet_b0": ("conv_head", None),
    "convnext_atto": ("stages", None),
    "mobilenetv3_small_050": ("blocks", None),
    "regnetx_002": ("s4", None),
    "vit_tiny_patch16_224": ("blocks.11.norm1", TokensToMaps((14, 14), 1)),
    "deit_tiny_distilled_patch16_224": ("blocks.11.norm1", TokensToMaps((14, 14), 2)),
    "vit_medium_patch16_gap_240": ("norm", TokensToMaps((15, 15), 0)),
    "eva02_tiny_patch14_224": ("blocks.11", TokensToMaps((16, 16), 1)),
    "cait_xxs24_224": ("blocks_token_only.1.norm1", TokensToMaps((14, 14), 1)),
    "mixer_s32_224": ("norm", TokensToMaps((7, 7), 0)),
    "pit_ti_224": ("transformers.2.blocks.3.norm1", TokensToMaps((7, 7), 1)),
    "levit_128s": ("stages", TokensToMaps((4, 4), 0)),
    "swin_tiny_patch4_window7_224": ("norm", LAST),
    "swinv2_tiny_window8_256": ("norm", LAST),
    "maxvit_rmlp_pico_rw_256": ("stages", None),
    "coatnet_nano_rw_224": ("stages", None),
    "mobilevit_xxs": ("final_conv", None),
    "xcit_nano_12_p16_224": ("cls_attn_blocks.1.norm1", TokensToMaps((14, 14), 1)),
}


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model(name, pretrained=False).eval()
    check(model, model.default_cfg["input_size"][-1], *TIMM[name])


def test_registers_of_timm():
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_small_patch14_reg4_dinov2", img_size=56).eval()
    check(model, 56, "blocks.11.norm1", TokensToMaps((4, 4), 5))


# Why these layers


def gradient_at(model, layer, image):
    """Return for each place the length of the top logit's gradient at a layer (h,w)."""
    given = []
    handle = model.get_submodule(layer).register_forward_hook(lambda *call: given.append(call[2]))
    top = model(image).max()
    handle.remove()
    (gradient,) = torch.autograd.grad(top, given[-1], allow_unused=True)
    transform = find_reshape_transform(model, layer, image)
    return (gradient if transform is None else transform(gradient)).norm(dim=1)[0]


def test_behind_the_last_attention_of_a_vision_transformer_patches_have_no_gradient():
    model, image = built(TORCHVISION["vit"][0]), torch.rand(1, 3, 64, 64)
    torch.nn.init.normal_(model.heads.head.weight)
    assert (gradient_at(model, "encoder.layers.encoder_layer_2.ln_1", image) > 0).all()
    for later in ("encoder.layers.encoder_layer_2", "encoder.ln"):
        assert (gradient_at(model, later, image) == 0).all()


def test_grad_cam_at_the_last_normalisation_of_swin_sums_to_the_logit():
    model, image = built(swin), torch.rand(1, 3, 64, 64)
    maps = maps_of(model, "norm", LAST, image)
    cam = (model.head.weight[5][None, :, None, None] * maps).sum(dim=1)  # weights by hand
    logit = model(image)[0, 5]
    torch.testing.assert_close(cam.mean() + model.head.bias[5], logit)


@pytest.mark.parametrize("model", [lambda: swin((1, 1, 1)), swin_v2])
def test_stages_of_swin(model):
    found = stages(built(model), torch.rand(1, 3, 64, 64))
    assert found == [f"features.{number}" for number in (1, 3, 5)][: len(found)]
    assert len(found) == (2 if model is swin_v2 else 3)


def test_stages_of_maxvit_and_none_of_a_vision_transformer():
    assert stages(built(maxvit), torch.rand(1, 3, 64, 64)) == ["stem", "blocks.0", "blocks.1"]
    with pytest.raises(ValueError, match="Expected layers to be given for a model without parts"):
        stages(built(TORCHVISION["vit"][0]), torch.rand(1, 3, 64, 64))
