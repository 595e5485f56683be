"""The numbers logged are those of ``evaluate``, and the training is as without them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from captum_cluster.data import Scene
from captum_cluster.evaluation import CamMetricsCallback, evaluate
from captum_cluster.evaluation.digit_classifier import DigitNet
from captum_cluster.training import LitCamClassifier
from tests.evaluation.monitoring.training import AS_IT_IS, SCENES, Bare, Module, loaders, train
from tests.helpers.trainings import (
    PLAIN,
    Blobs,
    UsersModule,
    discovery,
    scene_data,
    tiny_network,
)
from tests.helpers.trainings import trainer as tiny_trainer

WIDE = {"name": "four", "method": "cluster-cam", "options": {"n_clusters": 4}}
METRICS = ("energy", "average-drop")


def watcher(methods=("cam",), metrics=METRICS, **options) -> CamMetricsCallback:
    options = {"layer": "1", "limit": 3, "preparation": AS_IT_IS, **options}
    return CamMetricsCallback(SCENES, methods, metrics, **options)


def cam_values(metrics) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if name.startswith("cam/")}


@pytest.mark.parametrize("kind", [Module, Bare])
def test_the_numbers_are_those_of_evaluate(kind: type[Module]) -> None:
    layer = "1" if kind is Module else "relu"
    trainer, module = train([watcher(["minmax-cam", WIDE], layer=layer)], kind, max_epochs=1)
    network = module.network if kind is Module else module
    report = evaluate(
        network.eval(), layer, SCENES, ["minmax-cam", WIDE], METRICS, limit=3,
        probability="sigmoid", preparation=AS_IT_IS, progress=False,
    )  # fmt: skip
    expected = {
        f"cam/{method}/{name}": report.value(method, name)
        for method in ("minmax-cam", "four")
        for name in METRICS
    }
    assert cam_values(trainer.callback_metrics) == pytest.approx(expected, rel=1e-5)


def test_gradients_are_there_in_a_validation_that_forbids_them() -> None:
    watch = watcher(["gradcam", "minmax-grad-cam"], limit=1)
    trainer, module = train([watch], max_epochs=1)
    during = cam_values(trainer.callback_metrics)
    trainer.validate(module, loaders()[1], verbose=False)  # in inference mode
    assert cam_values(trainer.callback_metrics) == pytest.approx(during, rel=1e-5)
    assert len(during) == 4


class Validated(UsersModule):
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.training_step(batch, batch_idx), batch_size=len(batch[0]))


KINDS = {"a user's": Validated, "ours": lambda: LitCamClassifier(tiny_network())}


@pytest.mark.parametrize("network", [None, ""], ids=["its network", "the module"])
@pytest.mark.parametrize("kind", KINDS)
def test_closed_forms_while_sub_categories_are_found(kind: str, network: str | None) -> None:
    methods = ["cam", "minmax-cam", *(["sub-category-cam"] if network == "" else [])]
    watch = CamMetricsCallback(
        Blobs(3), methods, ["average-drop"], limit=2, preparation=PLAIN, network=network
    )
    training = tiny_trainer(2, discovery(rounds=1, epochs_per_round=1), watch)
    training.fit(KINDS[kind](), scene_data(val=2))
    names = {f"cam/{method}/average-drop" for method in methods}
    assert set(cam_values(training.callback_metrics)) == names


def test_options_reach_evaluate() -> None:
    watch = watcher(probability="probability", explained="top", prefix="maps", limit=5)
    trainer, module = train([watch], max_epochs=1)
    report = evaluate(
        module.network.eval(), "1", SCENES, ["cam"], METRICS, limit=5, explained="top",
        probability="probability", preparation=AS_IT_IS, progress=False,
    )  # fmt: skip
    found = float(trainer.callback_metrics["maps/cam/average-drop"])
    assert found == pytest.approx(report.value("cam", "average-drop"), rel=1e-5)


def noisy(model: object, layer: object, image: torch.Tensor, target: int) -> torch.Tensor:
    """A map drawn from the global generators."""
    rows = [random.random(), float(np.random.rand())]
    return torch.rand(1, 2, 2) + torch.tensor(rows)


def states() -> list[object]:
    return [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()]


def seeded(callbacks: list) -> tuple[dict[str, torch.Tensor], list[object]]:
    random.seed(5)
    np.random.seed(5)
    _, module = train(callbacks, seed=5)
    return module.state_dict(), states()


def test_the_training_is_as_without_the_callback() -> None:
    """Dropout and the order of the images follow the global generators."""
    # rise and kmeans++ draw numbers, the stock method accumulates gradients.
    watch = watcher(
        [{"method": "rise", "options": {"n_masks": 8}}, "cluster-cam", "gradcam", noisy]
    )
    plain, state = seeded([])
    watched, after = seeded([watch])
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert state == after


def test_checkpoints_can_follow_the_numbers_and_loggers_get_them(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="cam/cam/energy", mode="max", filename="best")
    logger = CSVLogger(tmp_path, "logs")
    options = {"enable_checkpointing": True, "logger": logger}
    trainer, _ = train([watcher(), keep], max_epochs=2, **options)
    assert Path(keep.best_model_path).name == "best.ckpt"
    lines = (Path(trainer.log_dir) / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("cam/cam/energy")
    values = [line.split(",")[column] for line in lines[1:] if line.split(",")[column]]
    assert len(values) == 2
    best = float(keep.best_model_score)
    assert best == pytest.approx(max(map(float, values)), rel=1e-5)


def test_a_value_without_ground_truth_is_left_out() -> None:
    blank = [Scene(scene.image, scene.labels, name=scene.name) for scene in list(SCENES)[:2]]
    watch = CamMetricsCallback(blank, ["cam"], METRICS, layer="1", limit=2, preparation=AS_IT_IS)
    trainer, _ = train([watch], max_epochs=1)
    assert list(cam_values(trainer.callback_metrics)) == ["cam/cam/average-drop"]


def test_the_layer_may_be_left_open() -> None:
    class WithFeatures(Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = DigitNet()

    trainer, _ = train([watcher(layer=None, limit=1)], WithFeatures, max_epochs=1)
    assert len(cam_values(trainer.callback_metrics)) == 2


class Headless(Module):
    """Its ``network`` is the body alone."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.head = self.network[:2], self.network[2:]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.network(images))


def test_a_network_that_gives_no_logits_is_named() -> None:
    message = (
        r"Expected the module's attribute 'network' to give logits \(N,10\), one for each label "
        r"of the scenes, but got a tensor of shape \(1, 8, 15, 15\).*network= names another, "
    )
    with pytest.raises(ValueError, match=message):
        train([watcher()], Headless, max_epochs=1)


def test_other_labels_than_the_scenes_are_judged_by_the_top_one() -> None:
    class Wide(Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.Sequential(*self.network[:-1], nn.Linear(8, 12))

    with pytest.raises(ValueError, match=r"attribute 'wide' to give logits .*shape \(1, 12\)"):
        train([watcher(network="wide")], Wide, max_epochs=1)
    trainer, _ = train([watcher(network="wide", explained="top")], Wide, max_epochs=1)
    assert "cam/cam/average-drop" in cam_values(trainer.callback_metrics)


def test_a_network_that_fails_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"'network.5' to give logits .* but got an error \(.*mat1 "
    ):
        train([watcher(network="network.5")], max_epochs=1)


def test_the_network_can_be_given() -> None:
    found = []
    for network, layer in [("", "network.1"), (lambda module: module, "network.1")]:
        trainer, _ = train([watcher(network=network, layer=layer)], Headless, max_epochs=1)
        found.append(cam_values(trainer.callback_metrics))
    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_a_module_with_single_labels_is_read_by_softmax() -> None:
    class Single(Module):
        multi_label = False

    values = [
        cam_values(train([watcher(**options)], kind, max_epochs=1)[0].callback_metrics)
        for options, kind in [({}, Single), ({"probability": "probability"}, Module), ({}, Module)]
    ]
    assert values[0] == values[1] != values[2]


def test_a_method_that_fails_ends_the_training() -> None:
    with pytest.raises(ValueError, match="cam on test-0-0: "):
        train([watcher(["collection-cam", "cam"], layer="5")], max_epochs=1)


BAD = {
    "method": ({"methods": ["grad-cma"]}, ValueError, "close: grad-cam"),
    "a word": ({"methods": "cam"}, TypeError, "methods to be a list of methods"),
    "metric": ({"metrics": ["energie"]}, ValueError, "metrics to be 'all' or among"),
    "explained": ({"explained": "all"}, ValueError, "explained to be one of 'truth'"),
    "limit": ({"limit": 0}, ValueError, "limit to be an integer of at least 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options(case: str) -> None:
    change, error, message = BAD[case]
    with pytest.raises(error, match=message):
        CamMetricsCallback(SCENES, **change)
