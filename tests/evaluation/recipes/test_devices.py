"""The devices of a training are there, and share its batches, before anything is written."""

import warnings
from unittest import mock

import pytest
import torch

from captum_cluster.evaluation.recipes import TrainingConfig
from captum_cluster.evaluation.recipes.course import Course
from captum_cluster.evaluation.recipes.devices import (
    check_devices,
    first_process,
    judging_device,
)
from captum_cluster.training import TrainingSettings
from tests.evaluation.recipes.tiny import train_tiny

WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def config(**options):
    return TrainingConfig("baseline", **options)


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
@pytest.mark.parametrize("devices", [1, 2])
def test_what_is_there_passes_without_a_word(accelerator, devices):
    if accelerator == "auto" and torch.cuda.is_available():
        pytest.skip("auto are the GPUs there are")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_devices(config(accelerator=accelerator, devices=devices), TrainingSettings())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"accelerator": "gpu"},
            r"accelerator and devices to be available on this machine, but got 'gpu' and 1 \(No sup"
            r".*\)\.$",
            marks=WITHOUT_GPU,
        ),
        pytest.param(
            {"accelerator": "cuda", "devices": 4, "batch_size": 8},
            r"machine, but got 'cuda' and 4 \(",
            marks=WITHOUT_GPU,
        ),
        (
            {"accelerator": "cudaa"},
            r"machine, but got 'cudaa' and 1 \(.*invalid accelerator name.*Available.*\)\.$",
        ),
        (
            {"devices": 3, "batch_size": 32},
            r"^Expected batch_size to be a multiple of the number of devices \(3\), but got 32\.$",
        ),
    ],
    ids=["no GPU", "too many", "no name", "batch"],
)
def test_what_is_not_there_is_refused_before_anything_is_written(
    options, message, tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(Course, "fit", mock.Mock(side_effect=AssertionError("trained")))
    with pytest.raises(ValueError, match=message) as raised:
        train_tiny("baseline", tmp_path / "out", say=said.append, **options)
    assert "\n" not in str(raised.value)
    assert not said
    assert not (tmp_path / "out").exists()


def test_the_batch_of_the_preset_is_checked_too():
    check_devices(config(devices=4), TrainingSettings(batch_size=20))
    with pytest.raises(ValueError, match=r"number of devices \(4\), but got 22"):
        check_devices(config(devices=4), TrainingSettings(batch_size=22))


def test_networks_are_judged_where_they_were_trained():
    assert judging_device(config(accelerator="cpu")).type == "cpu"
    there = "cuda" if torch.cuda.is_available() else "cpu"
    assert {judging_device(config(accelerator=name)).type for name in ("auto", "gpu", "cuda")} == {
        there
    }


@pytest.mark.parametrize(
    ("rank", "node", "first"),
    [(None, None, True), ("0", "0", True), ("1", "0", False), ("0", "1", False)],
)
def test_the_first_process_is_the_one_that_writes(rank, node, first, monkeypatch):
    for name, value in (("LOCAL_RANK", rank), ("NODE_RANK", node)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert first_process() == first
