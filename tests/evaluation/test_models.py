"""Weights from files of every kind, into networks of torchvision; nothing is downloaded."""

from __future__ import annotations

import argparse
import os
import pickle
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from captum_cluster.evaluation.models import load_model

SMALL = "shufflenet_v2_x0_5"  # 1.4 million parameters


def net(name: str = SMALL, **options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torchvision.models.get_model(name, weights=None, **options).eval()


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    return net()


@pytest.fixture(scope="module")
def state(reference: nn.Module) -> dict[str, Tensor]:
    return reference.state_dict()


def write(content: object, folder: Path) -> Path:
    path = folder / "weights.pt"
    torch.save(content, path)
    return path


def light(network: nn.Module) -> dict[str, Tensor]:
    """A state dict of the same names and shapes that takes no room in a file."""
    one = torch.tensor(0.01, device="cpu")
    return {key: one.expand(value.shape) for key, value in network.state_dict().items()}


def test_state_dict(tmp_path: Path, reference: nn.Module, state: dict[str, Tensor]) -> None:
    loaded = load_model(SMALL, write(state, tmp_path))
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(x), reference(x), rtol=0, atol=0)
    assert loaded.name == SMALL
    assert not any(module.training for module in loaded.model.modules())
    assert loaded.categories is not None
    assert loaded.categories[0] == "tench"
    assert loaded.transform(Image.new("RGB", (30, 40))).shape == (3, 224, 224)


def test_path_as_text(tmp_path: Path, state: dict[str, Tensor]) -> None:
    assert load_model(SMALL, str(write(state, tmp_path))).name == SMALL


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoint(tmp_path: Path, state: dict[str, Tensor], key: str, prefix: str) -> None:
    inner = {prefix + name: value for name, value in state.items()}
    loaded = load_model(SMALL, write({"epoch": 3, key: inner}, tmp_path))
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, state[name])


def test_data_parallel(tmp_path: Path, reference: nn.Module, state: dict[str, Tensor]) -> None:
    loaded = load_model(SMALL, write(nn.DataParallel(reference).state_dict(), tmp_path))
    assert torch.equal(loaded.model.state_dict()["fc.weight"], state["fc.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(tmp_path: Path, state: dict[str, Tensor], dtype: torch.dtype) -> None:
    half = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    weight = load_model(SMALL, write(half, tmp_path)).model.state_dict()["fc.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, state["fc.weight"].to(dtype).float())


@pytest.mark.parametrize("classes", [1, 7])
def test_another_number_of_classes(tmp_path: Path, classes: int) -> None:
    loaded = load_model(SMALL, write(light(net(num_classes=classes)), tmp_path))
    assert loaded.categories is None
    assert loaded.model(torch.zeros(1, 3, 64, 64)).shape == (1, classes)


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "densenet121", "googlenet", "inception_v3", "mnasnet0_5", "mobilenet_v2"),
        *("resnet18", "squeezenet1_1", "vgg11", "vit_b_16"),
    ],
)
def test_architectures(tmp_path: Path, name: str) -> None:
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    # The large ones with their usual classes: they are built once instead of twice.
    classes = 1000 if name in ("alexnet", "vgg11", "vit_b_16") else 3
    with torch.device("meta"):
        network = net(name, num_classes=classes, **options)
    loaded = load_model(name, write(light(network), tmp_path))
    size = loaded.transform(Image.new("RGB", (30, 40))).shape
    with torch.no_grad():
        output = loaded.model(torch.zeros(1, *size))
    assert output.shape == (1, classes)
    # Heads for training only are left out: a search for the last layer must not find them.
    assert not any("aux" in key.lower() for key in loaded.model.state_dict())


def test_googlenet_sees_its_input_as_with_default_weights(tmp_path: Path) -> None:
    network = net("googlenet", init_weights=False)
    assert load_model("googlenet", write(light(network), tmp_path)).model.transform_input is True


def test_old_names_of_densenet(tmp_path: Path) -> None:
    with torch.device("meta"):
        state = light(net("densenet121"))
    old = {}
    for key, value in state.items():
        for word in ("norm", "conv"):
            if "denselayer" in key:
                key = key.replace(f".{word}1.", f".{word}.1.").replace(f".{word}2.", f".{word}.2.")
        old[key] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert load_model("densenet121", write(old, tmp_path)).categories is not None


def test_global_random_state_stays(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = write(state, tmp_path)
    before = torch.get_rng_state()
    load_model(SMALL, path)
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_name() -> None:
    message = r"name to be a classification model of torchvision \(close: .*'resnet18'.* 'ResNet8'"
    with pytest.raises(ValueError, match=message):
        load_model("ResNet8")


@pytest.mark.parametrize("name", ["zzz", ""])
def test_unknown_name_without_a_close_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"such as 'resnet18', but got '{name}'"):
        load_model(name)


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "quantized_resnet18"])
def test_no_classifier(name: str) -> None:
    with pytest.raises(ValueError, match="classification model"):
        load_model(name)


def test_wrong_types(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Expected name to be"):
        load_model(18)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Expected weights to be 'DEFAULT' or a file"):
        load_model(SMALL, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [urllib.error.URLError("no network"), RuntimeError("bad hash")])
def test_failed_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    message = rf"weights of {SMALL}, but got a failed download .*{error}.*--weights FILE"
    with pytest.raises(OSError, match=message.replace("<", ".").replace(">", ".")) as caught:
        load_model(SMALL)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("name", [SMALL, "googlenet", "inception_v3"])
def test_default_weights(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # torchvision's files of these two hold the heads for training as well.
    options = {} if name == SMALL else {"aux_logits": True, "init_weights": False}
    with torch.device("meta"):
        content = light(net(name, **options))
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *_, **__: content
    )
    loaded = load_model(name, "DEFAULT")
    assert loaded.categories is not None
    assert len(loaded.categories) == 1000
    assert not loaded.model.training
    assert not any("aux" in key.lower() for key in loaded.model.state_dict())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"weights to be 'DEFAULT' or .* does not exist"):
        load_model(SMALL, tmp_path / "no.pt")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="but got the directory"):
        load_model(SMALL, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n0000", b"PK\x05\x06" + b"\0" * 18]
)
def test_no_torch_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights to be a file written by torch.save.*a\.pt"):
        load_model(SMALL, path)


def test_truncated_file(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = write(state, tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"a file written by torch.save"):
        load_model(SMALL, path)


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["zip", "old", "pickle"])
def test_pickled_code_is_refused(tmp_path: Path, how: str) -> None:
    proof, path = tmp_path / "it ran", tmp_path / "a.pt"
    content = {"conv.weight": Malicious(proof)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(ValueError, match=r"of tensors only .* holds pickled code.* is refused"):
        load_model(SMALL, path)
    assert not proof.exists()


def test_pickled_objects_are_named(tmp_path: Path) -> None:
    path = write({"model": {}, "args": argparse.Namespace()}, tmp_path)
    with pytest.raises(ValueError, match=r"pickled code \(argparse\.Namespace\)"):
        load_model(SMALL, path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.zeros(2), r"a tensor of shape \(2,\)"),
        ([torch.zeros(2)], r"list"),
        ({}, "an empty dict"),
        ({"model": {}}, "an empty dict"),
        ({"a": 3}, r"a dict of keys \['a'\]"),
        ({0: torch.zeros(2)}, r"a dict of keys \[0\]"),
    ],
)
def test_no_state_dict(tmp_path: Path, content: object, words: str) -> None:
    message = rf"a file with a state dict \(tensors by name\), but got '.*' with .*{words}"
    with pytest.raises(ValueError, match=message):
        load_model(SMALL, write(content, tmp_path))


def test_another_architecture(tmp_path: Path) -> None:
    path = write(light(net("mobilenet_v3_small")), tmp_path)
    message = (
        rf"weights to be a state dict of {SMALL}, but got '.*': "
        r"\d+ tensors missing \(first: 'conv1\.0\.weight'\), "
        r"\d+ unexpected \(first: 'features\.0\.0\.weight'\)"
    )
    with pytest.raises(ValueError, match=message):
        load_model(SMALL, path)


def test_all_kinds_of_misfit_are_counted(tmp_path: Path, state: dict[str, Tensor]) -> None:
    bad = dict(state)
    del bad["conv5.0.weight"]
    bad["extra.1"] = bad["extra.2"] = torch.zeros(1)
    bad["conv1.0.weight"] = torch.zeros(24, 3, 5, 5)
    message = (
        r"1 tensors missing \(first: 'conv5\.0\.weight'\), 2 unexpected \(first: 'extra\.1'\), "
        r"1 of another shape "
        r"\(first: 'conv1\.0\.weight' has \(24, 3, 5, 5\) instead of \(24, 3, 3, 3\)\)"
    )
    with pytest.raises(ValueError, match=message):
        load_model(SMALL, write(bad, tmp_path))


def test_classifier_whose_parts_disagree(tmp_path: Path, state: dict[str, Tensor]) -> None:
    bad = {**state, "fc.weight": torch.zeros(5, 1024), "fc.bias": torch.zeros(6)}
    with pytest.raises(ValueError, match="2 of another shape"):
        load_model(SMALL, write(bad, tmp_path))
