"""Explain one image, from every form in which it may come."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from captum_cluster import LayerClusterCam, explain
from captum_cluster.evaluation import LoadedModel
from captum_cluster.functional.attribution import TokensToMaps
from tests.helpers.nets import OneLogitNet, SmallNet, TokenNet, images


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return resnet18().eval()


@pytest.fixture
def photo():
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (90, 120, 3), dtype=np.uint8))


def test_a_path_a_picture_and_a_tensor_give_the_same(model, photo, tmp_path):
    photo.save(tmp_path / "photo.png")
    from_path = explain(model, tmp_path / "photo.png")
    from_picture = explain(model, photo)
    from_tensor = explain(model, from_path.subject.inputs)
    assert from_path.subject.name == "photo"
    assert from_picture.subject.name == "image"
    assert torch.equal(from_path.maps, from_picture.maps)
    assert torch.equal(from_path.maps, from_tensor.maps)


def test_it_is_the_layer_class_on_the_top_class_at_the_last_layer(model, photo):
    one = explain(model, photo)
    with torch.no_grad():
        logits = model(one.subject.inputs)[0]
    assert one.target == int(logits.argmax())
    assert one.subject.probability == pytest.approx(float(logits.softmax(0).max()), abs=1e-6)
    assert one.subject.layer_name == "layer4"
    maps = LayerClusterCam(model, model.layer4).attribute(one.subject.inputs, one.target)
    assert torch.allclose(one.maps, maps)
    assert one.forwards == 7
    assert one.result.base.shape == (1, 1)


def test_target_layer_method_options_and_names(model, photo):
    names = [f"name {number}" for number in range(1000)]
    one = explain(model, photo, "grad-cam", 217, "layer3", categories=names)
    assert (one.target, one.subject.label, one.subject.layer_name) == (217, "name 217", "layer3")
    assert one.result is None
    assert explain(model, photo, n_clusters=3).forwards == 4
    loaded = LoadedModel("resnet18", model, lambda image: torch.rand(3, 32, 32), names)
    one = explain(loaded, photo)
    assert one.subject.inputs.shape == (1, 3, 32, 32)
    assert one.subject.label == names[one.target]


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"resolution": 0.5}])
def test_options_of_masked_passes(model, photo, options):
    one = explain(model, photo, "cluster-cam", 217, **options)
    face = LayerClusterCam(model, model.layer4)
    assert torch.equal(one.maps, face.attribute(one.subject.inputs, 217, **options))
    assert not torch.equal(one.maps, face.attribute(one.subject.inputs, 217))


def test_saliency_and_overlay_are_at_the_size_of_the_input(model, photo):
    one = explain(model, photo)
    assert one.saliency().shape == (224, 224)
    assert float(one.saliency().min()) == 0
    assert float(one.saliency().max()) in (0, 1)
    assert one.overlay().shape == (224, 224, 3)
    assert one.overlay().dtype == np.uint8


def test_the_picture_shown_is_what_the_model_saw(model):
    grey = Image.new("RGB", (224, 224), (128, 64, 32))
    one = explain(model, grey)
    wanted = torch.tensor([128, 64, 32]) / 255
    assert torch.allclose(one.subject.picture[:, 100, 100], wanted, atol=1e-3)


def test_save_writes_overlay_map_and_facts(model, photo, tmp_path):
    one = explain(model, photo, target=3)
    files = one.save(tmp_path / "out")
    assert [path.name for path in files] == [
        "image-cluster-cam.json",
        "image-cluster-cam.npy",
        "image-cluster-cam.png",
    ]
    assert np.array_equal(np.asarray(Image.open(files[2])), one.overlay())
    assert np.array_equal(np.load(files[1]), one.maps[0, 0].numpy())
    facts = json.loads(files[0].read_text())
    assert facts["target"] == 3
    assert facts["forwards"] == 7
    assert facts["layer"] == "layer4"


def test_save_fails_whole(model, photo, tmp_path, monkeypatch):
    one = explain(model, photo)

    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(json, "dumps", fail)
    with pytest.raises(OSError, match="disk full"):
        one.save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_half_precision_and_double_precision_models_take_any_image():
    net = SmallNet().double().eval()
    one = explain(net, images(1, size=16, dtype=torch.float32)[0], layer="relu2")
    assert one.maps.dtype == torch.float64


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (torch.zeros(2, 3, 8, 8), ValueError, "Expected image to be .*(2, 3, 8, 8)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), TypeError, "Expected image to be a path"),
        (torch.full((3, 8, 8), torch.nan), ValueError, "Expected image to be finite, but got NaN"),
        (torch.full((3, 8, 8), torch.inf), ValueError, "an infinite value"),
        (None, TypeError, "Expected image to be a path"),
        ("missing.jpg", FileNotFoundError, "Expected image to be an existing file"),
    ],
)
def test_bad_images(image, error, words):
    with pytest.raises(error, match=words):
        explain(SmallNet().eval(), image)


def test_bad_models_targets_and_methods(photo):
    net = SmallNet().float().eval()
    image = images(1, size=16, dtype=torch.float32)
    with pytest.raises(ValueError, match="Expected target to be an integer from 0 to 4, but got 5"):
        explain(net, image, target=5)
    with pytest.raises(AssertionError):
        explain(net, image, target=-1)
    with pytest.raises(TypeError, match="Expected target to be an integer"):
        explain(net, image, target="cat")
    with pytest.raises(TypeError, match="Expected model to be an nn.Module"):
        explain("resnet18", photo)
    with pytest.raises(ValueError, match="Expected method to be one of"):
        explain(net, image, "no-cam")
    dense = torch.nn.Conv2d(3, 4, 3).eval()
    with pytest.raises(ValueError, match=r"Expected the model to give logits of shape \(1,L\)"):
        explain(dense, image)


@pytest.mark.parametrize("method", ["cluster-cam", "gradcam"])
def test_reshape_transform(method):
    net = TokenNet().float().eval()
    image = images(1, size=(8, 12), dtype=torch.float32)
    options = {"n_clusters": 3} if method == "cluster-cam" else {}
    given = {"reshape_transform": net.reshape_transform, **options}
    one = explain(net, image, method, layer="block", **given)
    assert one.saliency().shape == (8, 12)
    found = explain(net, image, method, layer="block", **options)
    assert found.subject.reshape_transform == TokensToMaps((2, 3), 1)
    assert torch.equal(found.maps, one.maps)
    wrong = explain(net, image, method, layer="block", reshape_transform=mirrored(net), **options)
    assert not torch.equal(wrong.maps, one.maps)  # what is given comes first


def mirrored(net):
    return lambda tokens: net.reshape_transform(tokens).flip(-1)


def test_tokens_without_a_grid_need_a_reshape_transform():
    class Queries(TokenNet):
        def forward(self, x):
            return self.fc(self.block2(self.block(torch.zeros(len(x), 40, 6)))[:, 0])

    with pytest.raises(
        ValueError, match=r"tokens of a grid that fits images of 8x12, but got .*40"
    ):
        explain(
            Queries().float().eval(), images(1, size=(8, 12), dtype=torch.float32), layer="block"
        )


@pytest.mark.parametrize("method", ["cluster-cam", "grad-cam", "hirescam", "eigencam", "fullgrad"])
def test_a_layer_without_maps_is_refused_for_every_method(method, model, photo):
    with pytest.raises(
        ValueError, match=r"Expected layer to give feature maps of shape \(N,C,h,w\)"
    ):
        explain(model, photo, method, layer="fc")


def test_pictures_of_16_bits_are_scaled_and_not_clipped(model, tmp_path):
    ramp = Image.fromarray((np.arange(224 * 224).reshape(224, 224) + 5000).astype(np.uint16))
    ramp.save(tmp_path / "ramp.png")
    from_picture, from_path = explain(model, ramp), explain(model, tmp_path / "ramp.png")
    assert torch.equal(from_picture.subject.inputs, from_path.subject.inputs)
    assert len(from_picture.subject.picture.unique()) > 50


def test_the_probability_of_a_single_output_is_its_sigmoid():
    net = OneLogitNet().float().eval()
    image = images(1, size=16, dtype=torch.float32)
    one = explain(net, image, layer="relu", n_clusters=3)
    with torch.no_grad():
        assert one.subject.probability == pytest.approx(float(net(image).sigmoid()), abs=1e-6)


def test_one_warning_in_training_mode():
    net = SmallNet().float()
    with pytest.warns(UserWarning, match="training mode") as caught:
        explain(net, images(1, size=16, dtype=torch.float32))
    assert [warning.filename for warning in caught] == [__file__]
    assert net.training


def test_the_layer_that_was_explained_is_the_one_recorded():
    net, image = SmallNet().float().eval(), images(1, size=32, dtype=torch.float32)
    layers = ["relu1", "relu2"]
    assert explain(net, image, "cluster-cam", 1, layers).facts()["layer"] == "relu2"
    assert explain(net, image, "collection-cam", 1, layers).facts()["layer"] == "relu1, relu2"


def test_of_the_labels_present_the_most_probable_is_explained():
    net, image = SmallNet().float().eval(), images(1, size=32, dtype=torch.float32)
    with torch.no_grad():
        order = net(image)[0].argsort().tolist()
    labels = order[:3]  # the top class is not among them
    found = explain(net, image, "minmax-cam", layer="relu2", labels=labels)
    assert found.target == labels[-1]
    assert found.facts()["labels"] == tuple(labels)
