"""Configurations: what they name, what they refuse, and that they survive their file."""

import pytest

from captum_cluster.evaluation import MasksConfig, ProposalsConfig, read_masks
from captum_cluster.evaluation.recipes import sources
from captum_cluster.weak import DenseCRF, RandomWalk
from tests.evaluation.weak_outputs.trained import SCENES, TEST, WATCHING, trained


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few digit scenes watch."""
    monkeypatch.setattr(sources, "WATCHING_SCENES", WATCHING)


def test_a_configuration_survives_its_file(tmp_path):
    config = MasksConfig(
        paths=["a", "b"], method={"method": "cluster-cam", "options": {"n_clusters": 2}},
        scales=[0.5, 1.0], refine=["random-walk", "crf"], stride=4, power=16.0, labels="top",
    )  # fmt: skip
    config.save(tmp_path)
    again = MasksConfig.load(tmp_path / "config.yaml")
    assert again == config
    assert again.steps() == [RandomWalk(stride=4), "crf"]
    assert again.entry()["scales"] == [0.5, 1.0]
    ProposalsConfig(data="digit-scenes:3").save(tmp_path / "p")
    assert ProposalsConfig.load(tmp_path / "p" / "config.yaml").data == "digit-scenes:3"


WRONG = {
    "no images": ({"paths": []}, "the images to be given: as paths, as data, or as those"),
    "both": ({"data": "digit-scenes:3"}, "the images to be given as paths or as data, but got bo"),
    "part": ({"part": "test"}, "part to be left out where paths or data are given"),
    "part of none": ({"paths": [], "network": "n", "part": "val"}, "part to be one of 'train', 't"),
    "network name": ({"network_name": "baseline"}, "network_name to be given with network alone"),
    "two models": ({"network": "n", "model": "resnet18"}, "model to be left out where network is"),
    "weights": ({"network": "n", "weights": "w.pt"}, "weights to be left out where network is"),
    "labels": ({"labels": "truth"}, "labels to be 'predicted' or 'top' for pictures whose labels"),
    "labels of none": ({"labels": "best"}, "labels to be one of 'truth', 'predicted', 'top'"),
    "probability": ({"probability": "p"}, "probability to be one of 'probability', 'sigmoid'"),
    "method": ({"method": "camm"}, "method to be one of"),
    "scales": ({"scales": [0]}, "scale"),
    "size": ({"size": 0}, "size to be an integer of at least 1, but got 0"),
    "limit": ({"limit": 0}, "limit to be an integer of at least 1, but got 0"),
    "two backgrounds": (
        {"background": 0.2, "power": 4},
        "the background to be either a score or a power, but got both",
    ),
    "background": ({"background": 1.5}, "background to be a number from 0 to 1, but got 1.5"),
    "stride": ({"stride": 4}, "stride to be given with refine='random-walk' alone, but got 4"),
    "no stride": ({"stride": 0, "refine": ["random-walk"]}, "stride to be an integer of at least"),
    "colour": ({"walk_colour": 4.0, "refine": ["crf"]}, "walk_colour to be given with refine='ran"),
    "steps": ({"walk_log_steps": 4}, "walk_log_steps to be given with refine='random-walk' alone"),
    "gaussian": ({"crf_gaussian": [3.0, 1.0]}, "crf_gaussian to be given with refine='crf' alone"),
    "bilateral": (
        {"crf_bilateral": [3.0, 1.0], "refine": ["crf"]},
        "bilateral to be a sequence of 3 numbers",
    ),
    "refine": ({"refine": ["walk"]}, "refine to be 'random-walk' or 'crf', or objects"),
    "format": ({"format": "npy"}, "format to be one of 'png', 'coco', but got 'npy'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values(name):
    options, message = WRONG[name]
    with pytest.raises(ValueError) as raised:  # noqa: PT011 the message is looked at below
        MasksConfig(**{"paths": ["a"], **options})
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": "a"}, "paths to be a list of files and folders, but got 'a'"),
        ({"data": 3}, "data to be text, but got 3"),
        ({"paths": ["a"], "device": None}, "device to be text, but got None"),
        ({"paths": ["a"], "flip": 1}, "flip to be True or False, but got 1"),
        ({"paths": ["a"], "strict": "no"}, "strict to be True or False"),
        ({"paths": ["a"], "refine": "crf"}, "refine to be a list of names, but got 'crf'"),
        ({"paths": ["a"], "method": 3}, "method to be the name of a method, but got 3"),
    ],
)
def test_values_of_a_wrong_type(options, message):
    with pytest.raises(TypeError) as raised:
        MasksConfig(**options)
    assert message in str(raised.value)


def test_wrong_values_of_proposals():
    with pytest.raises(ValueError, match="boxes to be one of 'selective-search', 'component'"):
        ProposalsConfig(paths=["a"], boxes="edge")
    with pytest.raises(ValueError, match="format to be one of 'coco', but got 'png'"):
        ProposalsConfig(paths=["a"], format="png")
    with pytest.raises(ValueError, match="made of paths, data, network.*the unknown key 'power'"):
        ProposalsConfig.from_mapping({"paths": ["a"], "power": 4})


def test_the_numbers_of_the_refinements():
    config = MasksConfig(
        paths=["a"], refine=["crf", "random-walk"], stride=2, walk_colour=0.0, walk_log_steps=3,
        crf_gaussian=[1.0, 2.0], crf_bilateral=[8.0, 13.0, 4.0],
    )  # fmt: skip
    crf = DenseCRF(gaussian=(1.0, 2.0), bilateral=(8.0, 13.0, 4.0))
    assert config.steps() == [crf, RandomWalk(stride=2, colour=0.0, log_steps=3)]
    part = MasksConfig(paths=["a"], refine=["random-walk", "crf"], walk_log_steps=3)
    assert part.steps() == [RandomWalk(log_steps=3), "crf"]


def test_a_function_is_no_word():
    with pytest.raises(TypeError, match="walk_features to be one of 'none', 'layer', but got"):
        MasksConfig(paths=["a"], refine=["random-walk"], walk_features=len)


# What is run


def test_masks_of_a_training(tmp_path):
    network = str(trained(tmp_path / "net"))
    config = MasksConfig(network=network, method="cam", refine=["random-walk"], stride=2)
    run = config.run(tmp_path / "out", progress=False)
    assert run.images == SCENES + WATCHING
    assert 0 < run.mean_iou < 1
    found = read_masks(tmp_path / "out")
    assert found.config == config
    assert tuple(found.mask_of("train-0-1").shape) == (64, 64)


def test_proposals_of_a_training(tmp_path):
    config = ProposalsConfig(
        network=str(trained(tmp_path / "net")), part="test", method="cam", boxes="component"
    )
    run = config.run(tmp_path / "out", progress=False)
    assert run.images == TEST
    assert 0 <= run.corloc <= 1
    assert ProposalsConfig.load(tmp_path / "out" / "config.yaml") == config
