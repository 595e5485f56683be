"""`captum-cluster evaluate`, and the configuration file of a run."""

import json

import pytest
import torch
import yaml
from torch import nn

from captum_cluster.cli import main
from captum_cluster.evaluation import RunConfig, run_config


@pytest.fixture(autouse=True)
def digit_net(monkeypatch):
    """A network in place of the demo's, which would be trained first."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 10),
        ).eval()
    monkeypatch.setattr(run_config, "load_digit_net", lambda: (net, False))


def run(*arguments):
    return main(["evaluate", *[str(argument) for argument in arguments]])


DIGITS = ("--model", "digit-net", "--data", "digit-scenes:5", "--layer", "1")


def test_a_run_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "out"
    status = run(
        *DIGITS, "--methods", "grad-cam,cluster-cam", "--metrics", "average-drop,energy",
        "--limit", 3, "--output", out,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert status == 0
    assert "cluster-cam" in printed
    assert str(out / "report.html") in printed
    report = json.loads((out / "report.json").read_text())
    assert report["run"]["probability"] == "sigmoid"
    assert report["run"]["images"] == 3
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert (config["limit"], config["methods"]) == (3, ["grad-cam", "cluster-cam"])
    assert config["layer"] == "1"


def test_the_configuration_that_ran_runs_again(tmp_path, capsys):
    run(*DIGITS, "--metrics", "energy", "--output", tmp_path / "one")
    assert run("--config", tmp_path / "one" / "config.yaml", "--output", tmp_path / "two") == 0
    one, two = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "two"))
    assert one == two
    tables = capsys.readouterr().out.split("Report: ")
    assert tables[0].splitlines()[-3] == tables[1].splitlines()[-3]


def test_what_is_given_goes_before_the_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "data: digit-scenes:4\nmodel: digit-net\nlayer: '1'\nmetrics: [energy]\nlimit: 4\n"
        "methods:\n  - grad-cam\n  - {name: few, method: cluster-cam, options: {n_clusters: 2}}\n"
    )
    assert run("--config", path, "--limit", 2, "--output", tmp_path / "out") == 0
    config = RunConfig.load(tmp_path / "out" / "config.yaml")
    assert (config.limit, config.metrics) == (2, ["energy"])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["name"] for one in report["run"]["methods"]] == ["grad-cam", "few"]


def test_another_run_leaves_the_configuration(tmp_path, capsys):
    run(*DIGITS, "--metrics", "energy", "--output", tmp_path)
    before = (tmp_path / "config.yaml").read_text()
    assert run(*DIGITS, "--metrics", "average-drop", "--output", tmp_path) == 2
    assert 'metrics: ["energy"] there, ["average-drop"] here' in capsys.readouterr().err
    assert (tmp_path / "config.yaml").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected --data to be given, here or in the --config file, but got neither."),
        (["--data", "photos"], "Expected data to be one of"),
        (["--data", "voc:nowhere"], "nowhere"),
        (["--data", "digit-scenes:3", "--model", "resnet1"], "resnet18"),
        ([*DIGITS, "--methods", "grad-cam,,x"], "--methods to be names with commas"),
        ([*DIGITS, "--methods", "clustercam"], "cluster-cam"),
        ([*DIGITS, "--metrics", "drop"], "average-drop"),
        ([*DIGITS, "--preparation", "stretch"], "preparation to be one of 'squash'"),
        ([*DIGITS, "--layer", "conv9"], "conv9"),
        ([*DIGITS, "--explained", "all"], "explained to be one of"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in lines if line.startswith("captum-cluster: error: ")]) == 1
    assert message in lines[-1]


def test_output_that_is_a_file(tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert run(*DIGITS, "--output", tmp_path / "out") == 2
    assert "output to be a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("data: [", ValueError, "to be YAML"),
        ("- data", TypeError, "the configuration to be a mapping"),
        ("model: resnet18", ValueError, "made of data, model, weights"),
        ("data: x\nmethod: y", ValueError, "the unknown key 'method'"),
    ],
)
def test_files_that_are_no_configuration(text, error, message, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(error, match=message):
        RunConfig.load(path)


def test_a_configuration_survives_its_file(tmp_path):
    config = RunConfig(
        "digit-scenes:3",
        model="digit-net",
        layer=["0", "1"],
        methods=["cam", {"method": "cluster-cam", "options": {"n_clusters": 3}}],
        metrics=["energy"],
        limit=2,
    )
    config.save(tmp_path)
    assert RunConfig.load(tmp_path / "config.yaml") == config
