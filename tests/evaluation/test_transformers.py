"""Transformers by name: no layer and no reshape_transform is given."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_grad_cam import AblationCAM, GradCAM
from pytorch_grad_cam.ablation_layer import AblationLayerVit
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchvision.models import SwinTransformer, VisionTransformer

from captum_cluster import (
    LayerMinMaxGradCam,
    TokensToMaps,
    channels_last_to_maps,
    compare,
    evaluate,
    explain,
)
from captum_cluster.cli import main
from captum_cluster.data import DigitScenes, Preparation
from captum_cluster.evaluation import make_masks, make_proposals, run_ablation, sanity_check
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.registry import OWN, method_names, run_method

LN = "encoder.layers.encoder_layer_1.ln_1"
TOKENS = TokensToMaps((4, 4), 1)
# The host's own limits: FullGrad adds the biases of all layers up, and no one transform makes maps
# of them; Shapley-CAM does not transform the products that it takes.
WITHOUT = {"fullgrad", "shapleycam"}
CLOSED = {"cam", "minmax-cam", "d-minmax-cam", "sub-category-cam"}


def seeded(model):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = model()
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return made.eval()


def vit(size=32, patch=8):
    return seeded(lambda: VisionTransformer(size, patch, 2, 2, 16, 32, num_classes=10))


def swin():
    return seeded(lambda: SwinTransformer([4, 4], 12, [1, 1], [2, 2], [4, 4], num_classes=10))


@pytest.fixture
def image():
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("method", [*sorted({*method_names()} - WITHOUT - CLOSED)])
@pytest.mark.parametrize(
    ("model", "layer", "transform"),
    [(vit, LN, TOKENS), (swin, "norm", channels_last_to_maps)],
    ids=["vit", "swin"],
)
def test_explain_finds_layer_and_transform(method, model, layer, transform, image):
    net, options = model(), {"n_masks": 8} if method == "rise" else {}
    found = explain(net, image, method, labels=[1, 3], **options)
    assert found.layer_name == layer
    assert found.subject.reshape_transform == transform
    given = run_method(
        method, net, net.get_submodule(layer), image, found.target,
        labels=[1, 3], reshape_transform=transform, **options,
    )  # fmt: skip
    assert torch.equal(found.maps, given.maps)
    assert torch.isfinite(found.maps).all()
    at_layer = method in OWN and "collection" not in method and method != "rise"
    assert found.maps.shape[2:] == ((4, 4) if at_layer or method == "grad-cam" else (32, 32))


@pytest.mark.parametrize("method", sorted(WITHOUT))
def test_what_the_host_cannot_do_is_said(method, image):
    with pytest.raises(RuntimeError, match=f"Expected the stock method {method} to run here, but"):
        explain(swin(), image, method)


@pytest.mark.parametrize("method", sorted(CLOSED - {"sub-category-cam"}))
def test_closed_forms(method, image):
    with pytest.raises(ValueError, match="Expected the model to be global average pooling and a"):
        explain(vit(), image, method, labels=[1, 3])
    assert explain(swin(), image, method, labels=[1, 3]).maps.shape == (1, 1, 4, 4)


def test_grad_cam_of_captum_is_that_of_pytorch_grad_cam_made_small(image):
    net = vit()
    ours = explain(net, image, "grad-cam", target=3).maps.clamp(min=0)
    with GradCAM(net, [net.get_submodule(LN)], TOKENS) as cam:
        cam(image, [ClassifierOutputTarget(3)])
        maps = torch.from_numpy(cam.activations_and_grads.activations[0].numpy())
        gradients = cam.activations_and_grads.gradients[0]
    by_hand = (gradients.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True)
    torch.testing.assert_close(ours, by_hand.clamp(min=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", [vit, swin])
def test_ablation_cam_of_pytorch_grad_cam_leaves_out_channels_not_places(model, image):
    net = model()
    one = explain(net, image, "ablationcam", target=3)
    layer, transform = net.get_submodule(one.layer_name), one.subject.reshape_transform
    cam = AblationCAM(net, [layer], transform, ablation_layer=AblationLayerVit())
    by_hand = cam(image, [ClassifierOutputTarget(3)])
    torch.testing.assert_close(one.maps[0], torch.from_numpy(by_hand))


def test_compare():
    net = vit(size=48, patch=12)
    both = compare(net, torch.rand(3, 48, 48), ["grad-cam", "gradcam", "cluster-cam"])
    assert both.subject.layer_name == LN
    assert [one.saliency().shape for one in both.explanations] == [(48, 48)] * 3


def test_images_that_are_not_square():
    found = explain(swin(), torch.rand(3, 32, 64), "grad-cam")
    assert found.maps.shape == (1, 1, 4, 8)


def own(model, layer, image, target):
    return image[0, 0]


METHODS = ["grad-cam", "gradcam", "cluster-cam", GradCAM, LayerMinMaxGradCam, own]


def judged(model, tmp_path=None, **options):
    return evaluate(
        model, None, DigitScenes(2), METHODS, ["energy"], probability="sigmoid",
        preparation=Preparation(32), progress=False, strict=True, output=tmp_path, **options,
    )  # fmt: skip


def lines(folder):
    files = sorted(folder.glob("*.jsonl"))
    found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return {(one["image"], one["method"]): one["sums"] for one in found}


@pytest.mark.parametrize(
    ("model", "transform"), [(vit, TOKENS), (swin, channels_last_to_maps)], ids=["vit", "swin"]
)
def test_evaluate(model, transform, tmp_path):
    report = judged(model(), tmp_path / "found")
    assert report.images == 2
    assert report.methods[-3:] == ("GradCAM", "LayerMinMaxGradCam", "own")
    found = lines(tmp_path / "found")
    assert len(found) == 2 * len(METHODS)
    # the class of the host is what its name stands for
    assert all(found[n, "GradCAM"] == found[n, "gradcam"] for n in (0, 1))
    recorded = json.loads((tmp_path / "found" / "run.json").read_text())
    assert recorded["reshape_transform"] is recorded["layer"] is None  # as they were given
    methods = [method for method in METHODS if method is not own]
    evaluate(
        model(), None, DigitScenes(2), methods, ["energy"], probability="sigmoid",
        preparation=Preparation(32), progress=False, output=tmp_path / "given", strict=True,
        reshape_transform=transform,
    )  # fmt: skip
    given = lines(tmp_path / "given")
    assert all(found[key] == sums for key, sums in given.items())
    recorded = json.loads((tmp_path / "given" / "run.json").read_text())["reshape_transform"]
    assert recorded in ("TokensToMaps(grid=(4, 4), prefix_tokens=1)", "channels_last_to_maps") or (
        recorded.startswith("channels_last_to_maps ")
    )


def test_masks_and_proposals(tmp_path):
    given = {"probability": "sigmoid", "preparation": Preparation(32), "progress": False}
    scenes = DigitScenes(2)
    masks = make_masks(
        vit(), None, scenes, "grad-cam", output=tmp_path / "masks", strict=True,
        refine="random-walk", walk_features="layer", **given,
    )  # fmt: skip
    assert (masks.images, masks.failed) == (2, ())
    boxes = make_proposals(
        swin(), None, scenes, output=tmp_path / "boxes", boxes="component", strict=True, **given
    )
    assert boxes.images == 2


def test_a_study_of_layers():
    found = run_ablation(swin(), [torch.rand(3, 32, 32)], "collection-cam-layers", stride=2)
    assert {name for row in found.rows for name in row.setting.layers} == {
        "features.1",
        "features.3",
    }


@pytest.mark.parametrize("method", ["minmax-grad-cam", "cluster-cam", "gradcam++", GradCAM])
def test_sanity_check_finds_the_transform(method, image):
    net = vit()
    layer, options = net.get_submodule(LN), {"modules": ["heads"], "labels": [[3]]}
    found = sanity_check(net, layer, image, 3, method, **options)
    given = sanity_check(net, layer, image, 3, method, reshape_transform=TOKENS, **options)
    assert found.rows[0].ssim == given.rows[0].ssim
    with pytest.raises(ValueError, match="Expected reshape_transform to give"):
        sanity_check(net, layer, image, 3, "cluster-cam", reshape_transform=lambda x: x, **options)


def test_sanity_check_of_a_function_gives_it_no_transform():
    net = vit()

    def edges(model, layer, image, target):
        return image.diff(dim=3).abs().sum(dim=1)

    check = sanity_check(net, net.get_submodule(LN), torch.rand(1, 3, 32, 32), 3, edges)
    assert check.rows[0].ssim == (1.0,)


@pytest.mark.parametrize("model", [vit, swin])
def test_from_a_shell(model, tmp_path, capsys, monkeypatch):
    loaded = LoadedModel("a transformer", model(), prepared, [str(n) for n in range(10)])
    monkeypatch.setattr("captum_cluster.evaluation.load_model", lambda *_, **__: loaded)
    picture, output = tmp_path / "image.png", tmp_path / "out"
    Image.new("RGB", (40, 40), "red").save(picture)
    main(["explain", str(picture), "--model", "vit", "--method", "cluster-cam",
          "--output", str(output)])  # fmt: skip
    layer = LN if model is vit else "norm"
    assert json.loads(next(output.glob("*.json")).read_text())["layer"] == layer


def prepared(image):
    """Return a picture as a model for 32x32 takes it."""
    return torch.from_numpy(np.array(image.resize((32, 32)))).permute(2, 0, 1).float() / 255
