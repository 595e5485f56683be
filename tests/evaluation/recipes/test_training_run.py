"""The settings of a run, and runs of several processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from captum_cluster.evaluation.recipes import TrainingConfig, load_network
from captum_cluster.evaluation.recipes.training_run import chosen_settings

SCRIPT = Path(__file__).with_name("train_script.py")


def test_the_small_preset_is_that_of_the_data():
    digits = chosen_settings(TrainingConfig("baseline"))
    photographs = chosen_settings(TrainingConfig("baseline", "voc:x"))
    assert (digits.lr, digits.top_share, digits.image_size) == (0.01, 1.0, None)
    assert (photographs.lr, photographs.top_share, photographs.image_size) == (1e-3, 0.25, 224)


@pytest.mark.parametrize(
    ("recipe", "epochs", "size"),
    [
        ("baseline", 61, 224),
        ("sub-category", 61, 224),
        ("class-grouping", 100, 224),
        ("kernel-usage", 110, 512),
    ],
)
def test_the_papers_presets(recipe, epochs, size):
    found = chosen_settings(TrainingConfig(recipe, "voc:x", preset="paper"))
    assert (found.epochs, found.image_size) == (epochs, size)


def test_what_is_given_goes_before_the_preset():
    config = TrainingConfig(
        "kernel-usage", "voc:x", preset="paper", epochs=10, lr=0.5, batch_size=4, top_share=0.1
    )
    found = chosen_settings(config)
    assert (found.epochs, found.lr, found.batch_size, found.top_share) == (10, 0.5, 4, 0.1)
    assert found.head_epochs == 10


def test_random_weights_are_trained_as_a_whole():
    config = TrainingConfig("baseline", "voc:x", weights="none")
    assert chosen_settings(config).top_share == 1.0
    kept = TrainingConfig("baseline", "voc:x", weights="none", top_share=0.5)
    assert chosen_settings(kept).top_share == 0.5


def test_two_processes(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[3])}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "out"), "2"],
        capture_output=True, text=True, timeout=300, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["baseline, round 1"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["config"]["devices"] == 2
    assert report["maps"]["images"]["with_results"] == 3
    state = load_network(tmp_path / "out").state_dict()
    assert all(bool(torch.isfinite(one).all()) for one in state.values())
