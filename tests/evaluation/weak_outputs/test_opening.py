"""What is opened of what a configuration names: models, trainings, images, devices."""

import dataclasses
import shutil

import pytest
import torch

from captum_cluster.data import Preparation
from captum_cluster.evaluation import MasksConfig, ProposalsConfig, read_masks
from captum_cluster.evaluation.recipes import TrainingConfig, run_settings, sources
from captum_cluster.evaluation.weak_outputs import opening
from captum_cluster.evaluation.weak_outputs.opening import chosen_device, open_run
from tests.evaluation.weak_outputs.tiny import loaded, pictures
from tests.evaluation.weak_outputs.trained import SCENES, TEST, WATCHING, trained
from tests.helpers.trees import write_picture


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few digit scenes watch, and a small network stands for torchvision's."""
    monkeypatch.setattr(sources, "WATCHING_SCENES", WATCHING)
    monkeypatch.setattr(opening, "load_model", lambda name, weights: loaded())


@pytest.fixture
def photographs(tmp_path):
    """Twenty pictures of one label each, and a training with them."""
    for number in range(20):
        write_picture(tmp_path / f"data/{'ab'[number % 2]}/{number:02}.png", (12, 9), seed=number)
    return trained(
        tmp_path / "net", f"folder:{tmp_path / 'data'}", 2, backbone="squeezenet1_1",
        weights="none", size=64,
    )  # fmt: skip


def test_devices(monkeypatch):
    assert chosen_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="device to be 'auto', 'cpu' or another one that is here"):
        chosen_device("gpu")


def test_a_torchvision_model_sees_whole_pictures_of_its_size(tmp_path):
    opened = open_run(MasksConfig(paths=[str(pictures(tmp_path))]))
    assert (opened.preparation.mode, opened.preparation.size) == ("squash", 32)
    assert (opened.probability, len(opened.classes)) == ("probability", 5)
    larger = open_run(MasksConfig(paths=[str(tmp_path)], size=64))
    assert larger.preparation == dataclasses.replace(opened.preparation, size=64)


def test_the_images_of_a_training_are_those_it_was_trained_with(tmp_path):
    network = str(trained(tmp_path / "net", seed=3))
    opened = open_run(MasksConfig(network=network))
    names = [scene.name for scene in opened.images]
    assert names[:SCENES] == [f"train-3-{number}" for number in range(SCENES)]
    assert names[SCENES:] == [f"train-{2**32}-{number}" for number in range(WATCHING)]
    assert all(scene.masks is not None for scene in opened.images)
    assert opened.probability == "sigmoid"
    assert opened.classes == [str(digit) for digit in range(10)]
    test = open_run(MasksConfig(network=network, part="test", network_name="baseline"))
    assert [scene.name for scene in test.images] == [f"test-12-{n}" for n in range(TEST)]


def test_a_training_on_pictures_of_one_label(photographs, tmp_path):
    opened = open_run(MasksConfig(network=str(photographs)))
    assert opened.probability == "probability"
    assert opened.preparation == Preparation(64, mode="squash", resize=64)
    assert opened.classes == ["a", "b"]
    run = MasksConfig(network=str(photographs), method="cam", limit=2).run(tmp_path / "out")
    assert (run.images, run.mean_iou) == (2, None)
    assert read_masks(tmp_path / "out").classes == ["a", "b"]


def test_no_training(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"network to be the directory of a training \(cap"):
        open_run(MasksConfig(network=str(tmp_path)))


# Pictures that are not the training's


def test_pictures_of_ones_own_do_not_need_the_data_of_the_training(photographs, tmp_path):
    picture = str(shutil.copy(tmp_path / "data/a/00.png", tmp_path / "own.png"))
    config = MasksConfig(network=str(photographs), paths=[picture], method="cam")
    before, first = open_run(config), config.run(tmp_path / "before", progress=False)
    shutil.rmtree(tmp_path / "data")
    after, second = open_run(config), config.run(tmp_path / "after", progress=False)
    for name in ("preparation", "probability", "classes"):
        assert getattr(after, name) == getattr(before, name)
    assert second.images == first.images == 1
    known = [read_masks(run.directory) for run in (first, second)]
    assert known[1].classes == ["a", "b"]
    assert torch.equal(known[1].mask_of("own"), known[0].mask_of("own"))
    proposed = ProposalsConfig(
        network=str(photographs), paths=[picture], method="cam", boxes="component"
    )
    assert proposed.run(tmp_path / "proposals", progress=False).images == 1
    with pytest.raises(FileNotFoundError, match="data"):
        open_run(MasksConfig(network=str(photographs)))


@pytest.mark.parametrize("given", ["paths", "data"])
def test_of_other_images_the_data_of_the_training_are_not_opened(given, tmp_path, monkeypatch):
    network = trained(tmp_path / "net")
    write_picture(tmp_path / "a.png")
    images = {"paths": [str(tmp_path / "a.png")], "data": "digit-scenes:3"}

    def opened(*arguments, **options):
        raise AssertionError("opened")

    monkeypatch.setattr(run_settings, "open_sources", opened)
    found = open_run(MasksConfig(network=str(network), **{given: images[given]}))
    assert len(found.images) == {"paths": 1, "data": 3}[given]
    assert (found.probability, len(found.classes)) == ("sigmoid", 10)
    with pytest.raises(AssertionError, match="opened"):
        open_run(MasksConfig(network=str(network)))


def test_a_training_that_did_not_write_its_labels(photographs, tmp_path):
    (photographs / "labels.json").unlink()
    picture = str(shutil.copy(tmp_path / "data/a/00.png", tmp_path / "own.png"))
    config = MasksConfig(network=str(photographs), paths=[picture])
    assert open_run(config).classes == ["a", "b"]
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(FileNotFoundError, match="data"):
        open_run(config)


@pytest.mark.parametrize("kind", [MasksConfig, ProposalsConfig])
@pytest.mark.parametrize("paths", [[], ["a.png"]], ids=["own", "paths"])
def test_a_segmentation_network_is_refused(kind, paths, tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    TrainingConfig("segmentation", "folder:gone", pseudo="gone").save("net")
    message = r"network to be the directory of a training of a classifier.*'net' with a segment"
    with pytest.raises(ValueError, match=message):
        kind(network="net", paths=paths).run("out", progress=False)
    assert not (tmp_path / "out").exists()
