"""When and by whom maps are watched."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy
from torch import nn

from captum_cluster.data import Preparation
from captum_cluster.evaluation.monitoring.watching import Monitor, by_the_first
from tests.evaluation.monitoring import training
from tests.evaluation.monitoring.training import SCENES, Bare, Module, train

OPTIONS = {
    "layer": None,
    "limit": 2,
    "every_n_epochs": 1,
    "preparation": None,
    "probability": None,
    "prefix": "cam",
    "network": None,
}


class Noting(Monitor):
    """Notes the epochs in which it would look."""

    def __init__(self, **options: object) -> None:
        super().__init__(SCENES, **{**OPTIONS, **options})
        self.epochs: list[int] = []

    def _watch(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epochs.append(trainer.current_epoch)


def test_each_epoch_is_watched_and_the_sanity_check_is_not() -> None:
    watch = Noting()
    train([watch], max_epochs=3, num_sanity_val_steps=2)
    assert watch.epochs == [0, 1, 2]


def test_some_epochs_are_watched() -> None:
    watch = Noting(every_n_epochs=2)
    trainer, module = train([watch], max_epochs=5)
    assert watch.epochs == [1, 3]
    trainer.validate(module, training.loaders()[1], verbose=False)
    assert len(watch.epochs) == 3, "a validation that is asked for is watched in any case"


def test_there_is_a_warning_where_nothing_is_validated() -> None:
    with pytest.warns(UserWarning, match="Noting works after validation, of which there is none"):
        train([Noting()], max_epochs=1, limit_val_batches=0)


def test_the_network_is_the_one_that_the_module_trains() -> None:
    module, bare = Module(), Bare()
    assert Noting()._network(module) is module.network
    assert Noting()._network(bare) is bare
    bare.network = "resnet18"
    assert Noting()._network(bare) is bare


def test_the_network_can_be_named_or_found_by_a_function() -> None:
    module = Module()
    module.teacher = nn.Sequential(module.network)
    assert Noting(network="teacher")._network(module) is module.teacher
    assert Noting(network="teacher.0")._network(module) is module.network
    assert Noting(network="")._network(module) is module
    assert Noting(network=lambda module: module.teacher)._network(module) is module.teacher
    for network in ("student", lambda module: "teacher"):
        message = "network to be a module of the Module, its name, or a function that gives it, but"
        with pytest.raises(ValueError, match=message):
            Noting(network=network)._network(module)


def test_how_probabilities_are_read() -> None:
    module = Module()
    assert Noting()._read(module) == "sigmoid"
    module.multi_label = True
    assert Noting()._read(module) == "sigmoid"
    module.multi_label = False
    assert Noting()._read(module) == "probability"
    assert Noting(probability="sigmoid")._read(module) == "sigmoid"


def test_the_preparation() -> None:
    own, of_scenes = Preparation(32), Preparation(48)
    trainer = SimpleNamespace(
        datamodule=SimpleNamespace(val=SimpleNamespace(preparation=of_scenes))
    )
    assert Noting(preparation=own)._prepared(trainer) is own
    assert Noting()._prepared(trainer) is of_scenes
    assert Noting()._prepared(SimpleNamespace()) == Preparation()
    assert (
        Noting()._prepared(SimpleNamespace(datamodule=SimpleNamespace(val=None))) == Preparation()
    )


def processes(work: object) -> list[object]:
    """What each of two processes gets of the work, one after the other."""
    sent: list[object] = []

    def broadcast(value: object) -> object:
        sent.append(value)
        return sent[0]

    found: list[object] = []
    for first in (True, False):
        strategy = SimpleNamespace(broadcast=broadcast)
        trainer = SimpleNamespace(is_global_zero=first, strategy=strategy)
        try:
            found.append(by_the_first(trainer, work))
        except Exception as error:
            found.append(error)
    assert len(sent) == 2, "a process that does not take part leaves the others waiting"
    return found


def test_the_first_process_works_for_all() -> None:
    calls: list[int] = []

    def work() -> str:
        calls.append(1)
        return "found"

    assert processes(work) == ["found", "found"]
    assert len(calls) == 1


def test_an_error_of_the_first_process_is_raised_in_all() -> None:
    def work() -> None:
        raise KeyError("cam")

    first, other = processes(work)
    assert isinstance(first, KeyError)
    assert isinstance(other, RuntimeError)
    assert str(other) == "Expected the first process to succeed, but got KeyError: 'cam'."


def test_a_network_in_parts_is_refused() -> None:
    watch = Noting()
    watch.setup(SimpleNamespace(strategy=DDPStrategy()), Module(), "fit")
    with pytest.raises(ValueError, match="keeps the network whole .* but got FSDPStrategy"):
        watch.setup(SimpleNamespace(strategy=FSDPStrategy()), Module(), "fit")


BAD = {
    "limit": ({"limit": 0}, ValueError, "limit to be an integer of at least 1, but got 0"),
    "epochs": ({"every_n_epochs": 0}, ValueError, "every_n_epochs to be an integer of at least 1"),
    "preparation": ({"preparation": 64}, TypeError, "preparation to be a Preparation, but got 64"),
    "probability": ({"probability": "tanh"}, ValueError, "probability to be one of 'probability'"),
    "network": ({"network": 3}, TypeError, "network to be a name, a function of the module or"),
    "prefix": ({"prefix": ""}, TypeError, "prefix to be a name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options(case: str) -> None:
    change, error, message = BAD[case]
    with pytest.raises(error, match=message):
        Noting(**change)


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [(7, TypeError, "dataset to be a dataset with a length"), ([], ValueError, "at least one")],
    ids=["no dataset", "empty"],
)
def test_bad_datasets(dataset: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Monitor(dataset, **OPTIONS)


def test_two_processes_find_the_same(two_processes: Path) -> None:
    """Neither deadlock nor different numbers, with a method that calls ``backward()``."""
    folder = two_processes / "watched"
    first, other = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == other
    assert {"cam/cam/energy", "cam/gradcam/average-drop"} <= first["metrics"].keys()
    assert [path.name for path in (folder / "cam").iterdir()] == ["epoch-0001-0-test-0-0.png"]
