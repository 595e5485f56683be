"""The command line: what it prints, writes and refuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from captum_cluster.cli import main


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
        torch.save(resnet18().state_dict(), path)
    return path


@pytest.fixture
def photo(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "photo.jpg"
    Image.fromarray(rng.integers(0, 255, (240, 250, 3), dtype=np.uint8)).save(path)
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_explain(weights, photo, tmp_path, capsys):
    out = tmp_path / "out"
    status = run(
        "explain", photo, "--model", "resnet18", "--weights", weights, "--method", "cluster-cam",
        "--target", 217, "--layer", "layer4", "--output", out,
    )  # fmt: skip
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "photo-cluster-cam.json",
        "photo-cluster-cam.npy",
        "photo-cluster-cam.png",
    ]
    facts = json.loads((out / "photo-cluster-cam.json").read_text())
    assert (facts["target"], facts["layer"], facts["forwards"]) == (217, "layer4", 7)
    assert facts["label"] == "English springer"
    printed = capsys.readouterr().out
    assert "English springer" in printed
    assert "7 forward passes" in printed
    assert str(out / "photo-cluster-cam.png") in printed


def test_compare_ours_with_stock_names(weights, photo, tmp_path, capsys):
    out = tmp_path / "out"
    methods = "grad-cam, cluster-cam,gradcam++"
    assert run("compare", photo, "--weights", weights, "--methods", methods, "--output", out) == 0
    assert [path.name for path in out.iterdir()] == ["photo-comparison.png"]
    printed = capsys.readouterr().out
    assert all(name.strip() in printed for name in methods.split(","))


def test_compare_several_labels(weights, photo, tmp_path, capsys):
    out = tmp_path / "out"
    status = run(
        "compare", photo, "--weights", weights, "--methods", "cam,d-minmax-cam",
        "--labels", "217,482", "--output", out,
    )  # fmt: skip
    assert status == 0
    printed = capsys.readouterr().out
    assert "English springer" in printed
    assert "cassette player" in printed
    assert printed.count("d-minmax-cam") == 2


def test_explain_several_layers(weights, photo, tmp_path):
    out = tmp_path / "out"
    status = run(
        "explain", photo, "--weights", weights, "--method", "collection-cam",
        "--layer", "layer3, layer4", "--output", out,
    )  # fmt: skip
    assert status == 0
    facts = json.loads((out / "photo-collection-cam.json").read_text())
    assert facts["layer"] == "layer3, layer4"


def test_methods(capsys):
    assert run("methods") == 0
    lines = capsys.readouterr().out.splitlines()
    heading = ["method", "from", "gradient", "forward", "passes", "labels", "layers", "paper"]
    assert lines[0].split() == heading
    row = next(line for line in lines if line.startswith("minmax-grad-cam"))
    assert row.split()[1:6] == ["captum_cluster", "yes", "1", "multi", "one"]
    assert any(line.startswith("ablationcam ") for line in lines)


def test_ablation(weights, photo, tmp_path, capsys):
    out = tmp_path / "out"
    status = run(
        "ablation", "cluster-cam-clustering", photo, "--weights", weights, "--stride", "14",
        "--output", out,
    )  # fmt: skip
    assert status == 0
    assert [path.name for path in out.iterdir()] == ["cluster-cam-clustering.png"]
    printed = capsys.readouterr().out
    assert "spectral, SSIM" in printed
    assert "means over 1 images" in printed


@pytest.mark.parametrize("labels", ["217,dog", "", "217,,3"])
def test_labels_that_are_no_numbers(labels, weights, photo, capsys):
    line = bad(capsys, "compare", photo, "--weights", weights, "--labels", labels)
    assert "class indices with commas between them" in line


def test_minmax_needs_labels_of_a_softmax_classifier(weights, photo, tmp_path, capsys):
    line = bad(
        capsys, "explain", photo, "--weights", weights, "--method", "minmax-cam",
        "--output", tmp_path,
    )  # fmt: skip
    assert "pass labels=" in line


def bad(capsys, *arguments):
    """Run a command that must fail with one line, and return that line."""
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("captum-cluster: error: ")
    return captured.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "existing file"),
        (b"", "0 bytes"),
        (b"not an image at all", "format that Pillow reads"),
        ("truncated", "complete and readable"),
    ],
)
def test_bad_image_files(content, words, weights, photo, tmp_path, capsys):
    path = tmp_path / "bad.jpg"
    if content == "truncated":
        path.write_bytes(photo.read_bytes()[:2000])
    elif content is not None:
        path.write_bytes(content)
    out = tmp_path / "out"
    assert words in bad(capsys, "explain", path, "--weights", weights, "--output", out)
    assert not out.exists()


def test_an_image_beyond_the_limit_of_pillow(weights, photo, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "MAX_IMAGE_PIXELS" in bad(capsys, "explain", photo, "--weights", weights)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "I;16"])
def test_images_of_every_mode_work(mode, weights, tmp_path):
    if mode == "I;16":
        image = Image.fromarray((np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16))
    else:
        image = Image.effect_noise((64, 64), 50).convert("RGB").convert(mode)
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image.save(path)
    assert run("explain", path, "--weights", weights, "--output", tmp_path / "out") == 0


def test_bad_arguments_leave_nothing_behind(weights, photo, tmp_path, capsys):
    out = tmp_path / "out"
    common = ("explain", photo, "--output", out)
    other = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(2, 2)}, other)
    pickled = tmp_path / "pickled.pth"
    torch.save({"run": os.system}, pickled)
    cases = {
        "from 0 to 999, but got 1000": ("--weights", weights, "--target", 1000),
        "close: layer4": ("--weights", weights, "--layer", "layer44"),
        "Expected method to be one of": ("--weights", weights, "--method", "clustercam"),
        "Expected name to be a classification model": ("--weights", weights, "--model", "resnt18"),
        "which does not exist": ("--weights", tmp_path / "none.pth"),
        "state dict of resnet18": ("--weights", other),
        "pickled code": ("--weights", pickled),
        "feature maps of shape (N,C,h,w)": ("--weights", weights, "--layer", "fc"),
    }
    for words, arguments in cases.items():
        assert words in bad(capsys, *common, *arguments)
        assert not out.exists()


def test_an_output_that_is_a_file(weights, photo, capsys):
    line = bad(capsys, "compare", photo, "--weights", weights, "--output", photo)
    assert "Expected output to be a directory" in line


def test_a_missing_image_is_found_before_weights_are_loaded(tmp_path, capsys, monkeypatch):
    def fail(*_args, **_kwargs):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("captum_cluster.evaluation.load_model", fail)
    for command in ("explain", "compare"):
        assert "existing file" in bad(capsys, command, tmp_path / "none.jpg")


def test_help_and_version(capsys):
    for arguments in (["--help"], ["explain", "--help"], ["demo", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
    assert "captum-cluster 0.1.0" in capsys.readouterr().out


def test_no_command_is_an_error(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2


def test_an_interrupt_ends_quietly(monkeypatch, weights, photo, capsys):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("captum_cluster.evaluation.explain", interrupt)
    assert run("explain", photo, "--weights", weights) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error():
    command = [sys.executable, "-c", "from captum_cluster.cli import main; main(['methods'])"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert errors == b""
