"""The pictures show the maps of ``explain``, and reach the loggers or the disk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import Logger
from PIL import Image
from torch import nn

from captum_cluster.data import Scene
from captum_cluster.evaluation import CamImageCallback, explain
from captum_cluster.visualization import overlay
from tests.evaluation.monitoring.training import AS_IT_IS, SCENES, Module, digit_net, train


class Taking(Logger):
    """A logger that keeps the pictures it gets, in the manner of one of two hosts."""

    def __init__(self, manner: str) -> None:
        super().__init__()
        self.got: list[tuple[str, object, int]] = []
        self.experiment = SimpleNamespace()
        if manner == "tensorboard":
            self.experiment.add_image = self._add
        elif manner == "wandb":
            self.log_image = self._log

    name, version = "taking", 0

    def _add(self, tag: str, image: np.ndarray, global_step: int, dataformats: str) -> None:
        assert dataformats == "HWC"
        self.got.append((tag, image, global_step))

    def _log(self, key: str, images: list[Image.Image], step: int) -> None:
        assert len(images) == 1
        self.got.append((key, np.asarray(images[0]), step))

    def log_metrics(self, metrics, step=None) -> None: ...

    def log_hyperparams(self, params, *args, **kwargs) -> None: ...


def shower(methods=("cam",), scenes=SCENES, **options) -> CamImageCallback:
    options = {"layer": "1", "limit": 2, "preparation": AS_IT_IS, **options}
    return CamImageCallback(scenes, methods, **options)


@pytest.mark.parametrize("manner", ["tensorboard", "wandb"])
def test_a_logger_that_takes_pictures_gets_them(manner: str, tmp_path: Path) -> None:
    logger = Taking(manner)
    options = {"logger": [Taking("neither"), logger], "default_root_dir": tmp_path}
    train([shower(prefix="maps", every_n_epochs=2)], max_epochs=4, **options)
    steps = [(tag, step) for tag, _, step in logger.got]
    names = ["maps/test-0-0", "maps/test-0-10"]
    assert steps == [(name, step) for step in (4, 8) for name in names]
    for _, picture, _ in logger.got:
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
    assert not np.array_equal(logger.got[0][1], logger.got[2][1]), "the maps never change"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("logged", [True, False])
def test_without_one_they_are_files(logged: bool, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, "logs", "one") if logged else False
    train([shower(limit=1)], max_epochs=2, logger=logger, default_root_dir=tmp_path)
    folder = tmp_path / "logs" / "one" / "cam" if logged else tmp_path / "cam"
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [
        "epoch-0001-0-test-0-0.png",
        "epoch-0002-0-test-0-0.png",
    ]
    with Image.open(files[0]) as picture:
        assert picture.mode == "RGB"


@pytest.mark.parametrize("logger", [True, False])
def test_a_dry_run_writes_nothing(logger: bool, tmp_path: Path) -> None:
    options = {"logger": logger, "default_root_dir": tmp_path}
    train([shower(limit=1)], fast_dev_run=True, **options)
    assert list(tmp_path.iterdir()) == []


def panels(callback: CamImageCallback, monkeypatch: pytest.MonkeyPatch, network, scene):
    """The panels and the rows' labels of the picture of a scene."""
    from captum_cluster.evaluation.monitoring import images

    seen = []

    def note(given, *, title, rows):
        seen.append((given, title, rows))
        return side_by_side(given, title=title, rows=rows)

    side_by_side = images.side_by_side
    monkeypatch.setattr(images, "side_by_side", note)
    callback._picture(network, scene, AS_IT_IS, callback.probability or "sigmoid")
    return seen[0]


def test_each_label_has_a_row_with_the_maps_of_each_method(monkeypatch) -> None:
    torch.manual_seed(0)
    network = digit_net().eval()
    scene = next(scene for scene in SCENES if len(scene.present) == 3)
    callback = shower(["cam", "minmax-cam"], labels=2)
    found, title, rows = panels(callback, monkeypatch, network, scene)
    assert title == scene.name
    assert rows == [SCENES.classes[label] for label in scene.present[:2]]
    lines = [found[:3], found[3:]]
    probabilities = network(scene.image[None]).sigmoid()[0].detach()
    for label, (shown, cam, minmax) in zip(scene.present, lines, strict=False):
        assert torch.equal(shown.image, scene.image)
        assert shown.caption == f"probability {float(probabilities[label]):.2f}"
        for panel, method in ((cam, "cam"), (minmax, "minmax-cam")):
            one = explain(network, scene.image, method, label, "1", labels=scene.present)
            assert np.array_equal(panel.image, overlay(scene.image, one.maps[0, 0]))
            assert panel.title == method


def test_softmax_probabilities_and_maps_without_a_positive_part(monkeypatch) -> None:
    network = digit_net().eval()
    network[-1].weight.data.fill_(-1.0)
    network[-1].bias.data.zero_()
    callback = shower(probability="probability")
    found, _, _ = panels(callback, monkeypatch, network, SCENES[0])
    assert found[0].caption == "probability 0.10"
    assert found[1].caption == "no positive part"


def test_the_network_and_its_probabilities_are_those_of_the_module(monkeypatch) -> None:
    class Single(Module):
        multi_label = False

        def __init__(self) -> None:
            super().__init__()
            self.network, self.other = nn.Sequential(nn.Conv2d(3, 2, 1)), self.network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.other(images)

    asked = []
    monkeypatch.setattr(CamImageCallback, "_pictures", lambda *given: asked.append(given[1:]) or {})
    _, module = train([shower(network="other")], Single, max_epochs=1)
    assert asked == [(module.other, AS_IT_IS, "probability")]
    with pytest.raises(ValueError, match="attribute 'network' to give logits"):
        train([shower()], Single, max_epochs=1)


def test_scenes_without_a_label_are_passed_over() -> None:
    empty = Scene(torch.zeros(3, 64, 64), torch.zeros(10, dtype=torch.bool), name="empty")
    callback = shower(scenes=[empty, SCENES[3]])
    pictures = callback._pictures(digit_net().eval(), AS_IT_IS, "sigmoid")
    assert list(pictures) == [(1, "test-0-3")]
    assert callback._name(4) == "label 4", "a list of scenes has no names"


def test_a_name_that_is_no_file_name(tmp_path: Path) -> None:
    one = SCENES[0]
    scene = Scene(one.image, one.labels, name="a/b: c.jpg")
    train([shower(scenes=[scene])], max_epochs=1, default_root_dir=tmp_path)
    assert [path.name for path in (tmp_path / "cam").iterdir()] == ["epoch-0001-0-a-b-c.jpg.png"]


def test_the_training_is_as_without_the_callback(tmp_path: Path) -> None:
    plain = train([], default_root_dir=tmp_path)[1].state_dict()
    state = torch.get_rng_state()
    watched = train([shower(["gradcam", "cluster-cam"])], default_root_dir=tmp_path)[1]
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(plain[name], one) for name, one in watched.state_dict().items())


BAD = {
    "method": ({"methods": ["grad-cma"]}, ValueError, "close: grad-cam"),
    "a function": ({"methods": [print]}, TypeError, "method to be the name of a method"),
    "a word": ({"methods": "cam"}, ValueError, "methods to be a list of names"),
    "none": ({"methods": []}, ValueError, "methods to be a list of names"),
    "labels": ({"labels": 0}, ValueError, "labels to be an integer of at least 1, but got 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options(case: str) -> None:
    change, error, message = BAD[case]
    with pytest.raises(error, match=message):
        CamImageCallback(SCENES, **change)
