"""`captum-cluster masks` and `captum-cluster proposals`."""

import json
import re

import pytest

from captum_cluster.cli import main
from captum_cluster.evaluation import MasksConfig, ProposalsConfig, read_masks
from captum_cluster.evaluation.recipes import TrainingConfig
from captum_cluster.evaluation.weak_outputs import label_boxes, mask_tasks, opening
from tests.evaluation.weak_outputs.tiny import files, loaded, net, pictures, stopped_at


@pytest.fixture(autouse=True)
def models(monkeypatch):
    """Small networks in place of torchvision's and of the demo's."""
    monkeypatch.setattr(opening, "load_model", lambda name, weights: loaded())
    monkeypatch.setattr(opening, "load_digit_net", lambda: (net(10), False))


def run(command, *arguments):
    return main([command, *[str(argument) for argument in arguments]])


DIGITS = ("--model", "digit-net", "--data", "digit-scenes:4", "--layer", "relu2")


def test_masks_of_a_folder(tmp_path, capsys):
    out = tmp_path / "out"
    assert run("masks", pictures(tmp_path / "in"), "--method", "cluster-cam", "--output", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"4 masks of 4 images: {out / 'masks'}", "1 image failed:"]
    assert "torn.png" in lines[2]
    assert not any("uncertain" in line for line in lines)
    found = read_masks(out)
    assert len(found.names()) == 4
    assert (found.config.method, found.config.labels) == ("cluster-cam", None)


def test_every_option_of_masks(tmp_path, capsys):
    out = tmp_path / "out"
    status = run(
        "masks", *DIGITS, "--method", "grad-cam", "--scales", "0.5,1", "--flip", "--labels",
        "truth", "--power", 4, "--uncertain", 16, "--refine", "random-walk,crf", "--stride", 4,
        "--walk-colour", 20, "--walk-log-steps", 4, "--crf-gaussian", "3,1", "--crf-bilateral",
        "40,13,5", "--walk-features", "layer", "--longest", 48, "--format", "coco", "--limit", 2,
        "--figures", 1, "--size", 32, "--probability", "sigmoid", "--device", "cpu", "--strict",
        "--output", out,
    )  # fmt: skip
    assert status == 0
    printed = capsys.readouterr().out
    assert f"2 masks of 2 images: {out / 'annotations.json'}" in printed
    assert "mIoU with the background: " in printed
    assert "uncertain pixels: " in printed
    config = MasksConfig.load(out / "config.yaml")
    assert config == MasksConfig(
        data="digit-scenes:4", model="digit-net", layer="relu2", method="grad-cam",
        scales=[0.5, 1.0], flip=True, labels="truth", power=4.0, uncertain=16.0,
        refine=["random-walk", "crf"], stride=4, walk_colour=20.0, walk_log_steps=4,
        crf_gaussian=[3.0, 1.0], crf_bilateral=[40.0, 13.0, 5.0], walk_features="layer",
        longest=48, format="coco", limit=2, size=32, probability="sigmoid", device="cpu",
        strict=True, figures=1,
    )  # fmt: skip
    assert sorted(files(out / "figures")) == ["test-0-0.png"]
    facts = json.loads((out / "run.json").read_text())
    assert facts["preparation"]["mode"] == "squash"
    assert facts["method"]["scales"] == [0.5, 1.0]


def test_proposals(tmp_path, capsys):
    out = tmp_path / "out"
    assert run("proposals", *DIGITS, "--boxes", "component", "--output", out) == 0
    printed = capsys.readouterr().out
    assert f"of 4 images: {out / 'proposals.json'}" in printed
    for measure in ("CorLoc", "recall", "mean best overlap"):
        assert re.search(rf"^{measure}: \d+\.\d %$", printed, re.MULTILINE)
    assert ProposalsConfig.load(out / "config.yaml").boxes == "component"


def test_every_option_of_proposals(tmp_path):
    arguments = ("--boxes", "selective-search", "--threshold", 0.9, "--longest", 32)
    arguments += ("--limit", 1, "--figures", 3)
    assert run("proposals", *DIGITS, *arguments, "--format", "coco", "--output", tmp_path) == 0
    config = ProposalsConfig.load(tmp_path / "config.yaml")
    assert (config.threshold, config.longest, config.limit, config.figures) == (0.9, 32, 1, 3)
    assert sorted(files(tmp_path / "figures")) == ["test-0-0.png"]
    plain = ("--without-maps", "--limit", 1, "--output", tmp_path / "plain")
    assert run("proposals", *DIGITS, *plain) == 0
    assert ProposalsConfig.load(tmp_path / "plain" / "config.yaml").without_maps


def test_the_configuration_that_ran_runs_again(tmp_path):
    run("masks", *DIGITS, "--power", 4, "--output", tmp_path / "one")
    config = tmp_path / "one" / "config.yaml"
    assert run("masks", "--config", config, "--output", tmp_path / "two") == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert run("masks", "--config", config, "--limit", 1, "--output", tmp_path / "three") == 0
    assert len(read_masks(tmp_path / "three").names()) == 1


def test_an_interruption_keeps_what_is_done(tmp_path, capsys, monkeypatch):
    with stopped_at(monkeypatch, mask_tasks, "label_mask", 3):
        assert run("masks", *DIGITS, "--output", tmp_path) == 130
    assert "captum-cluster: interrupted" in capsys.readouterr().err
    found = read_masks(tmp_path)
    assert found.names() == ["test-0-0", "test-0-1"]
    assert found.config.data == "digit-scenes:4"
    assert run("masks", *DIGITS, "--output", tmp_path) == 0
    assert len(read_masks(tmp_path).names()) == 4


@pytest.mark.parametrize("call", [1, 3])
@pytest.mark.parametrize(
    ("command", "module", "function", "options"),
    [
        ("masks", mask_tasks, "label_mask", ["--power", 4]),
        ("proposals", label_boxes, "component_boxes", ["--boxes", "component"]),
    ],
    ids=["masks", "proposals"],
)
def test_an_interrupted_run_goes_on_from_its_configuration(
    command, module, function, options, call, tmp_path, monkeypatch
):
    assert run(command, *DIGITS, *options, "--output", tmp_path / "whole") == 0
    with stopped_at(monkeypatch, module, function, call):
        assert run(command, *DIGITS, *options, "--output", tmp_path / "out") == 130
    config = tmp_path / "out" / "config.yaml"
    assert config.read_bytes() == (tmp_path / "whole" / "config.yaml").read_bytes()
    assert run(command, "--config", config, "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_run_that_goes_on_keeps_what_it_was_given_last(tmp_path):
    run("masks", *DIGITS, "--output", tmp_path)
    assert not MasksConfig.load(tmp_path / "config.yaml").strict
    assert run("masks", *DIGITS, "--strict", "--output", tmp_path) == 0
    assert MasksConfig.load(tmp_path / "config.yaml").strict


def test_another_run_leaves_all_as_it_was(tmp_path, capsys):
    run("masks", *DIGITS, "--output", tmp_path)
    before = files(tmp_path)
    assert run("masks", *DIGITS, "--background", 0.5, "--output", tmp_path) == 2
    assert "background: 0.15 there, 0.5 here" in capsys.readouterr().err
    assert files(tmp_path) == before


def test_a_run_that_made_nothing_gives_way(tmp_path, capsys):
    assert run("masks", *DIGITS[:-2], "--layer", "nolayer", "--output", tmp_path / "out") == 2
    assert (tmp_path / "out" / "run.json").is_file()
    boxes = ("--boxes", "component", "--output")
    assert run("proposals", *DIGITS, *boxes, tmp_path / "out") == 0
    assert run("proposals", *DIGITS, *boxes, tmp_path / "plain") == 0
    assert files(tmp_path / "out") == files(tmp_path / "plain")
    assert run("masks", *DIGITS, "--output", tmp_path / "out") == 2
    assert "object proposals" in capsys.readouterr().err


def test_images_without_a_label_are_counted(tmp_path, capsys, monkeypatch):
    flat = net(10)
    for value in flat.fc.parameters():
        value.data.zero_()
    monkeypatch.setattr(opening, "load_digit_net", lambda: (flat, False))
    assert run("masks", *DIGITS, "--labels", "predicted", "--output", tmp_path / "m") == 0
    text = "4 images without a label to explain: all background"
    assert text in capsys.readouterr().out.splitlines()
    predicted = ("--labels", "predicted", "--boxes", "component", "--output", tmp_path / "p")
    assert run("proposals", *DIGITS, *predicted) == 0
    printed = capsys.readouterr().out
    assert "0 proposals of 4 images" in printed
    assert "without a label to explain: without a proposal" in printed
    assert "CorLoc" not in printed  # nothing was explained
    assert "recall: 0.0 %" in printed
    assert json.loads((tmp_path / "p" / "results.json").read_text()) == []


def test_pictures_of_which_none_can_be_read(tmp_path, capsys):
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(b"torn")
    assert run("masks", tmp_path, "--output", tmp_path / "out") == 2
    printed = capsys.readouterr()
    assert "5 images failed:" in printed.out
    assert "  and 2 more" in printed.out
    assert "the images to have one that can be read and explained, but got none" in printed.err


@pytest.mark.parametrize("command", ["masks", "proposals"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the images to be given: as paths, as data, or as those of the training of network"),
        (["nowhere.jpg"], "IMAGE to be an existing file or folder"),
        (["x.png", "--data", "digit-scenes:3"], "as paths or as data, but got both"),
        (["--data", "voc:nowhere"], "nowhere"),
        ([*DIGITS, "--method", "camm"], "method to be one of"),
        ([*DIGITS, "--layer", "relu2,,x"], "--layer to be names with commas between them"),
        ([*DIGITS, "--layer", "conv9"], "conv9"),
        ([*DIGITS, "--scales", "1,x"], "--scales to be numbers with commas between them"),
        ([*DIGITS, "--device", "gpu"], "device to be 'auto', 'cpu' or another one"),
        (["--network", "nowhere"], "network to be the directory of a training"),
        (["--network", "segmenting"], "network to be the directory of a training of a classifier"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
    ids=str,
)
def test_errors_are_one_line(command, arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    TrainingConfig("segmentation", pseudo="masks").save("segmenting")
    assert run(command, *arguments, "--output", "out") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in lines if line.startswith("captum-cluster: error: ")]) == 1
    assert message in lines[-1]


def test_output_that_is_a_file(tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert run("masks", *DIGITS, "--output", tmp_path / "out") == 2
    assert "output to be a directory" in capsys.readouterr().err
