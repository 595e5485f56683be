"""`captum-cluster train`: its arguments, and what it prints."""

import json
from types import SimpleNamespace

import pytest

from captum_cluster.cli import main
from captum_cluster.evaluation import recipes
from captum_cluster.evaluation.recipes import TrainingConfig
from captum_cluster.training import LitCamClassifier


def run(*arguments):
    return main(["train", *[str(argument) for argument in arguments]])


@pytest.fixture
def given(monkeypatch):
    """The configs and directories that a run would have had."""
    seen = []

    def instead(config, output, *, say):
        seen.append((config, output))
        say("Training: baseline")
        return SimpleNamespace(report=SimpleNamespace(table=lambda: "the table"))

    monkeypatch.setattr(recipes, "run_training", instead)
    return seen


def test_a_training_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "out"
    status = run(
        "--recipe", "baseline", "--limit", 16, "--test-limit", 2, "--epochs", 1,
        "--batch-size", 8, "--metrics", "energy", "--output", out,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert status == 0
    assert "Training: baseline" in printed
    assert "baseline: cam" in printed
    assert f"Report: {out / 'report.html'}" in printed
    assert json.loads((out / "report.json").read_text())["config"]["limit"] == 16


def test_what_is_given(given, capsys):
    run(
        "--recipe", "class-grouping", "--data", "voc:here", "--backbone", "resnet50",
        "--weights", "none", "--preset", "paper", "--sizes", "6, 3", "--hierarchy", "fit",
        "--branches", 1, "--orthogonality", 0.5, "--rest", "all", "--kernel-usage",
        "--epochs", 3, "--batch-size", 8, "--lr", 0.1, "--top-share", 0.5, "--size", 96,
        "--seed", 4, "--limit", 9, "--test-limit", 8, "--metrics", "all", "--devices", 2,
        "--accelerator", "cpu", "--output", "there",
    )  # fmt: skip
    wanted = TrainingConfig(
        "class-grouping",
        "voc:here",
        backbone="resnet50",
        weights="none",
        preset="paper",
        sizes=[6, 3],
        hierarchy="fit",
        branches=1,
        orthogonality=0.5,
        rest="all",
        kernel_usage=True,
        epochs=3,
        batch_size=8,
        lr=0.1,
        top_share=0.5,
        size=96,
        seed=4,
        limit=9,
        test_limit=8,
        metrics="all",
        devices=2,
        accelerator="cpu",
    )
    assert given == [(wanted, "there")]
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "the table",
        "",
        "Report: there/report.html",
    ]


def test_what_is_given_of_sub_categories(given):
    run(
        "--recipe", "sub-category", "--rounds", 2, "--n-sub-categories", 5, "--sub-weight", 1,
        "--warm-start", "--map", "sub_max", "--preset", "sub-category-code",
    )  # fmt: skip
    wanted = TrainingConfig(
        "sub-category",
        rounds=2,
        n_sub_categories=5,
        sub_weight=1.0,
        restart=False,
        map="sub_max",
        preset="sub-category-code",
    )
    assert given == [(wanted, "captum-cluster-training")]


def test_what_is_given_of_segmentation(given):
    run(
        "--recipe", "segmentation", "--pseudo", "masks", "--output-stride", 16, "--no-crf",
        "--crf-gaussian", "3, 1", "--crf-bilateral", "67,3,4",
    )  # fmt: skip
    wanted = TrainingConfig(
        "segmentation",
        pseudo="masks",
        output_stride=16,
        crf=False,
        crf_gaussian=[3.0, 1.0],
        crf_bilateral=[67.0, 3.0, 4.0],
    )
    assert given == [(wanted, "captum-cluster-training")]


def test_nothing_but_the_recipe(given):
    assert run("--recipe", "sub-category") == 0
    assert given == [(TrainingConfig("sub-category"), "captum-cluster-training")]


def test_no_levels(given):
    assert run("--recipe", "class-grouping", "--sizes", "none") == 0
    assert given[0][0].sizes == []


def test_what_is_given_goes_before_the_file(given, tmp_path):
    TrainingConfig("sub-category", rounds=2, seed=3).save(tmp_path)
    assert run("--config", tmp_path / "config.yaml", "--seed", 5) == 0
    assert (given[0][0].rounds, given[0][0].seed) == (2, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected --recipe to be given, here or in the --config file, but got neither."),
        (["--recipe", "better"], "recipe to be one of 'baseline'"),
        (["--recipe", "class-grouping", "--sizes", "six"], "--sizes to be integers with commas"),
        (["--recipe", "class-grouping", "--sizes", "99"], "the number of labels (10), but got 99"),
        (["--recipe", "baseline", "--data", "photos"], "data to be digits or one of folder:ROOT"),
        (["--recipe", "baseline", "--data", "voc:nowhere"], "nowhere"),
        (["--recipe", "baseline", "--backbone", "resnet1"], "resnet18"),
        (["--recipe", "baseline", "--metrics", "energie"], "energie"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--recipe", "baseline", "--sizes", "3"], "recipe 'baseline': it belongs to 'class-gr"),
        (["--recipe", "baseline", "--accelerator", "cudaa"], "but got 'cudaa' and 1 (You selected"),
        (["--recipe", "segmentation"], "pseudo to be the folder of the masks that the recipe"),
        (
            ["--recipe", "segmentation", "--pseudo", "x"],
            "one that captum-cluster masks wrote PNG files",
        ),
        (["--recipe", "baseline", "--pseudo", "x"], "'baseline': it belongs to 'segmentation'"),
        (
            ["--recipe", "segmentation", "--pseudo", "x", "--crf-gaussian", "a"],
            "--crf-gaussian to be numbers with commas between them, but got 'a'",
        ),
        (["--recipe", "baseline", "--devices", "3"], "the number of devices (3), but got 32."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "--output", "out") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in lines if line.startswith("captum-cluster: error: ")]) == 1
    assert message in lines[-1]
    assert not (tmp_path / "out").exists()


def test_output_that_is_a_file(tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert run("--recipe", "baseline", "--output", tmp_path / "out") == 2
    assert "output to be a directory" in capsys.readouterr().err


def test_an_interruption(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "run_training", interrupted)
    assert run("--recipe", "baseline") == 130
    assert "interrupted" in capsys.readouterr().err


def test_an_interruption_in_the_middle_of_a_training(tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(LitCamClassifier, "training_step", interrupted)
    arguments = ["--recipe", "baseline", "--limit", 16, "--epochs", 1, "--output", tmp_path / "out"]
    assert run(*arguments) == 130
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["captum-cluster: interrupted"]
    assert "Training: baseline" in printed.out


def test_a_training_that_diverges_is_one_line(tmp_path, capsys):
    arguments = ["--recipe", "baseline", "--limit", 16, "--epochs", 1, "--lr", 1e30]
    assert run(*arguments, "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error == (
        "captum-cluster: error: Expected the training 'baseline' to keep weights and outputs "
        "finite (lower --lr, now 1e+30), but got others: the training diverged."
    )
