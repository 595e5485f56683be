"""Runs that are started again, broken off, or made by several processes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from captum_cluster.evaluation.recipes import load_network, training_run
from captum_cluster.evaluation.recipes.course import Course
from tests.evaluation.recipes.tiny import IMAGES, OPTIONS, train_tiny

SCRIPT = Path(__file__).with_name("train_script.py")


def test_started_again_it_gives_its_report_without_training(runs, monkeypatch):
    run = runs("class-grouping")

    def trained(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(Course, "fit", trained)
    said = []
    again = train_tiny("class-grouping", run.output, sizes=[4], say=said.append)
    assert again.report.to_dict() == run.report.to_dict()
    assert torch.equal(again.network(IMAGES), run.network(IMAGES))
    assert not [text for text in said if "Training" in text]


def test_another_training_is_refused(runs):
    run = runs("baseline")
    before = (run.output / "config.yaml").read_text()
    with pytest.raises(ValueError, match=r"holds another \(seed: 0 there, 1 here; .*train"):
        train_tiny("baseline", run.output, seed=1)
    with pytest.raises(ValueError, match='recipe: "baseline" there, "kernel-usage" here'):
        train_tiny("kernel-usage", run.output)
    assert (run.output / "config.yaml").read_text() == before


CUT = RuntimeError("power cut")


def cut_at(place, monkeypatch, error=CUT):
    """Let the power fail when so many epochs have begun; return the list of the epochs begun."""
    from captum_cluster.training import EpochSeed

    begun, begin = [], EpochSeed.on_train_epoch_start

    def start(self, trainer, module):
        if len(begun) == place:
            raise error
        begun.append(trainer.current_epoch)
        begin(self, trainer, module)

    monkeypatch.setattr(EpochSeed, "on_train_epoch_start", start)
    return begun


GROUPED = {"epochs": 2, "sizes": [4]}


@pytest.mark.parametrize(
    ("recipe", "options", "place", "missing", "error"),
    [
        ("baseline", {"epochs": 3}, 2, [2], CUT),
        ("baseline", {"epochs": 3}, 2, [2], KeyboardInterrupt()),
        (
            "sub-category",
            {"epochs": 2, "rounds": 1, "n_sub_categories": 2},
            3,
            [3],
            CUT,
        ),
        ("class-grouping", GROUPED, 3, [1, 0, 1], CUT),
        ("class-grouping", GROUPED, 5, [1], KeyboardInterrupt()),
    ],
    ids=["baseline", "interrupted", "sub-category", "branches", "groups"],
)
def test_a_training_that_was_broken_off_goes_on(
    recipe, options, place, missing, error, tmp_path, monkeypatch
):
    whole = train_tiny(recipe, tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        cut_at(place, patch, error)
        with pytest.raises(type(error)):
            train_tiny(recipe, tmp_path / "cut", **options)
    assert not (tmp_path / "cut" / "baseline.pt").exists()
    # What the networks do not depend on may be another now.
    begun = cut_at(-1, monkeypatch)
    rest = train_tiny(recipe, tmp_path / "cut", **options, test_limit=2, accelerator="cpu")
    assert begun == missing
    for name, network in whole.networks.items():
        found = rest.networks[name].state_dict()
        assert all(torch.equal(one, found[key]) for key, one in network.state_dict().items())


def test_checkpoints_hold_the_network_once(runs):
    folder = runs("sub-category").output / "training" / "sub-category"
    saved = torch.load(folder / "last.ckpt", weights_only=False)
    held = sum(
        one.numel()
        for state in saved["callbacks"].values()
        for one in tensors(state)
        if one.is_floating_point()
    )
    assert held < sum(one.numel() for one in saved["state_dict"].values())
    names = {path.name for path in (folder / "rounds").iterdir()}
    assert names == {"initial.pt", "round-0.pt", "round-1.pt", "round-2.pt"}


def tensors(value):
    """Return all tensors in nested dicts and lists."""
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value
    nested = isinstance(value, (dict, list, tuple))
    return [one for part in inner for one in tensors(part)] if nested else []


def test_what_the_networks_do_not_depend_on_may_change(runs, tmp_path, monkeypatch):
    first = runs("sub-category")
    folder = shutil.copytree(first.output, tmp_path / "copy")
    options = OPTIONS["sub-category"]

    def trained(*arguments, **other):
        raise AssertionError("trained again")

    monkeypatch.setattr(Course, "fit", trained)
    changed = {"metrics": ["object-iou"], "test_limit": 2, "map": "sub_max", "accelerator": "cpu"}
    again = train_tiny("sub-category", folder, **options, **changed)
    assert (first.report.main, again.report.main) == ("round 2: cam", "round 2: sub-category-cam")
    assert {value.name for value in again.report.maps.values} == {"object-iou"}
    assert again.report.maps.images == 2
    assert torch.equal(again.network(IMAGES), first.network(IMAGES))
    assert yaml.safe_load((folder / "config.yaml").read_text())["map"] == "sub_max"
    with pytest.raises(ValueError, match=r"holds another \(n_sub_categories: 3 there, 4 here\)"):
        train_tiny("sub-category", folder, rounds=2, n_sub_categories=4)


@pytest.mark.parametrize(
    ("recipe", "options"), [("baseline", {}), ("sub-category", {"rounds": 1, "epochs": 2})]
)
def test_a_training_that_diverges(recipe, options, tmp_path):
    with pytest.raises(
        RuntimeError,
        match="Expected the training .*lower --lr, now 1e.30.*: the training diverged",
    ):
        train_tiny(recipe, tmp_path, lr=1e30, **options)
    assert not list((tmp_path / "training").glob("*.pt"))
    assert not list((tmp_path / "training").rglob("*.ckpt"))
    run = train_tiny(recipe, tmp_path, **options)  # from the beginning, with a smaller rate
    assert all(torch.isfinite(network(IMAGES)).all() for network in run.networks.values())


def test_a_later_training_that_diverges_leaves_the_others(tmp_path, monkeypatch):
    fit = Course.fit

    def diverging(self, name, module, **others):
        if name == "branches":
            with torch.no_grad():
                module.network.branches[1].parent_head.weight.fill_(float("nan"))
        fit(self, name, module, **others)

    with monkeypatch.context() as patch:
        patch.setattr(Course, "fit", diverging)
        with pytest.raises(RuntimeError, match="the training 'branches' to keep weights and"):
            train_tiny("class-grouping", tmp_path, sizes=[])
    assert (tmp_path / "training" / "baseline.pt").is_file()
    assert not (tmp_path / "training" / "branches").exists()
    said = []
    train_tiny("class-grouping", tmp_path, sizes=[], say=said.append)
    assert [text for text in said if "Training" in text] == ["Training: branches"]


def test_the_random_states_are_left_as_they_were(tmp_path):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    wanted = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    train_tiny("baseline", tmp_path)
    assert (random.random(), np.random.rand(), torch.rand(1)) == wanted


def test_an_interruption_of_a_training(tmp_path, monkeypatch):
    """Lightning ends the program, and ignores Ctrl+C from then on."""
    states = torch.get_rng_state(), signal.getsignal(signal.SIGINT)
    cut_at(0, monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train_tiny("baseline", tmp_path)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert signal.getsignal(signal.SIGINT) == states[1]


def test_another_end_of_the_program_is_none(tmp_path, monkeypatch):
    cut_at(0, monkeypatch, SystemExit(3))
    with pytest.raises(SystemExit) as ended:
        train_tiny("baseline", tmp_path)
    assert ended.value.code == 3


def test_the_preset_may_be_written_out(tmp_path):
    run = train_tiny("class-grouping", tmp_path, branches=1)
    options = {"branches": 1, "sizes": [6, 3], "hierarchy": "from-weights"}
    again = train_tiny("class-grouping", tmp_path, **options)
    assert again.report.maps.to_dict() == run.report.maps.to_dict()
    with pytest.raises(ValueError, match=r'holds another \(hierarchy: "from-weights" there, "fit"'):
        train_tiny("class-grouping", tmp_path, branches=1, hierarchy="fit")


def test_an_interruption_is_not_the_end(tmp_path, monkeypatch):
    def interrupted(self, *arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "classifier_scores", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_tiny("baseline", tmp_path)
    monkeypatch.undo()
    assert train_tiny("baseline", tmp_path).page.is_file()


def test_without_lightning(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    with pytest.raises(ImportError, match=r"pip install 'captum-cluster\[train\]'"):
        train_tiny("baseline", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sizes_that_do_not_fit_the_labels(tmp_path):
    with pytest.raises(ValueError, match=r"sizes to be an integer from 1 to .*labels \(10\)"):
        train_tiny("class-grouping", tmp_path / "out", sizes=[11], branches=1)
    assert not (tmp_path / "out").exists()


def test_a_backbone_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="backbone to be a classification .*'resnet18'"):
        train_tiny("baseline", tmp_path / "out", backbone="resnet1", weights="none")
    assert not (tmp_path / "out").exists()


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
