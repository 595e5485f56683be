"""What a training is described by, in Python and as a file."""

import dataclasses

import pytest
import yaml

from captum_cluster.evaluation.recipes import TrainingConfig
from captum_cluster.training import PRESETS


def test_a_config_survives_its_file(tmp_path):
    config = TrainingConfig(
        "class-grouping", data="voc:somewhere", sizes=(6, 3), lr=0.5, metrics=["energy"], branches=1
    )
    config.save(tmp_path)
    loaded = TrainingConfig.load(tmp_path / "config.yaml")
    assert loaded.to_dict() == config.to_dict()
    assert loaded.sizes == [6, 3]
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["lr"] == 0.5


@pytest.mark.parametrize(
    ("data", "backbone", "chosen"),
    [
        ("digits", None, "digit-net"),
        ("voc:x", None, "resnet18"),
        ("digits", "resnet50", "resnet50"),
    ],
)
def test_the_backbone_follows_from_the_data(data, backbone, chosen):
    assert TrainingConfig("baseline", data, backbone=backbone).chosen_backbone == chosen


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, "from-weights"),
        ({"preset": "paper"}, "fit"),
        ({"preset": "class-grouping"}, "from-weights"),
        ({"preset": "paper", "hierarchy": "from-weights"}, "from-weights"),
        ({"hierarchy": "fit"}, "fit"),
    ],
    ids=["default", "paper", "settings alone", "given", "given with the default"],
)
def test_the_hierarchy_follows_from_the_preset(options, chosen):
    assert TrainingConfig("class-grouping", **options).chosen_hierarchy == chosen


def test_kernel_usage_is_the_recipes_or_an_option_of_every_other():
    assert TrainingConfig("kernel-usage").kernel_usage
    assert not TrainingConfig("sub-category").kernel_usage
    assert TrainingConfig("sub-category", kernel_usage=True).kernel_usage


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"recipe": "better"}, ValueError, "recipe to be one of 'baseline', 'sub-category'"),
        ({"preset": "large"}, ValueError, "preset to be one of 'small', 'paper', .*'last-layer'"),
        ({"hierarchy": "drawn"}, ValueError, "hierarchy to be one of 'from-weights', 'fit'"),
        ({"rest": "none"}, ValueError, "rest to be one of 'present', 'groupmates', 'all'"),
        ({"restart": 1}, TypeError, "restart to be True or False"),
        ({"data": 3}, TypeError, "data to be text"),
        ({"weights": None}, TypeError, "weights to be text"),
        ({"accelerator": 1}, TypeError, "accelerator to be text"),
        ({"seed": -1}, ValueError, "seed to be an integer from 0 to 4294967295, but got -1"),
        ({"seed": 2**32}, ValueError, "seed to be an integer from 0 to 4294967295, but got 4294"),
        ({"map": "mean"}, ValueError, "map to be one of 'parent', 'sub_max', but got 'mean'"),
        ({"epochs": 0}, ValueError, "epochs to be an integer of at least 1"),
        ({"rounds": None}, TypeError, "rounds to be an integer of at least 1"),
        ({"n_sub_categories": 0}, ValueError, "n_sub_categories to be an integer of at least 1"),
        ({"branches": 3}, ValueError, "branches to be an integer from 1 to 2, but got 3"),
        ({"sub_weight": -1}, ValueError, "sub_weight to be a number of at least 0"),
        ({"orthogonality": "1"}, TypeError, "orthogonality to be a number"),
        ({"lr": 0}, ValueError, "lr to be a number above 0"),
        ({"top_share": 2}, ValueError, "top_share to be a number from 0 to 1"),
        ({"sizes": 6}, TypeError, "sizes to be a list of integers"),
        ({"sizes": [3, 6]}, ValueError, r"none larger than the one before, but got \[3, 6\]"),
        ({"sizes": [0]}, ValueError, "a size to be an integer of at least 1"),
        ({"sizes": [], "branches": 1}, ValueError, "sizes to be given where there is one branch"),
        ({"metrics": ["energie"]}, ValueError, "energie"),
        ({"output_stride": 0}, ValueError, "output_stride to be an integer of at least 1"),
        ({"crf": 1}, TypeError, "crf to be True or False"),
        ({"crf_gaussian": (1, 2, 3)}, ValueError, "gaussian to be a sequence of 2 numbers"),
        ({"crf_bilateral": 3}, TypeError, "bilateral to be a sequence of 3 numbers"),
        ({"pseudo": 3}, TypeError, "pseudo to be text"),
        ({"weights": "a.pth"}, ValueError, "weights to be 'none' for digit-net, but got 'a.pth'"),
    ],
)
def test_options_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        TrainingConfig(**{"recipe": "class-grouping", **options})


OF_RECIPES = {
    "sub-category": {
        "rounds": 2,
        "n_sub_categories": 5,
        "sub_weight": 1.0,
        "restart": False,
        "map": "sub_max",
    },
    "class-grouping": {
        "sizes": [3],
        "hierarchy": "fit",
        "branches": 1,
        "orthogonality": 0.0,
        "rest": "all",
    },
    "segmentation": {
        "pseudo": "masks",
        "output_stride": 16,
        "crf": False,
        "crf_gaussian": (3.0, 1.0),
        "crf_bilateral": [67.0, 3.0, 4.0],
    },
}
NEEDED = {"segmentation": {"pseudo": "masks"}}


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, own in OF_RECIPES.items() for name in own]
)
def test_options_of_another_recipe_are_refused(owner, name):
    value = OF_RECIPES[owner][name]
    given = {**NEEDED.get(owner, {}), name: value}
    assert getattr(TrainingConfig(owner, **given), name) == value
    default = {one.name: one.default for one in dataclasses.fields(TrainingConfig)}[name]
    for recipe in {"baseline", "kernel-usage", *OF_RECIPES} - {owner}:
        message = f"{name} to be left out with the recipe '{recipe}': it belongs to '{owner}', but"
        needed = NEEDED.get(recipe, {})
        with pytest.raises(ValueError, match=message):
            TrainingConfig(recipe, **{**needed, name: value})
        TrainingConfig(recipe, **{**needed, name: default})


@pytest.mark.parametrize(("name", "value"), [("kernel_usage", True), ("metrics", ["energy"])])
def test_options_of_classifiers_are_refused_by_segmentation(name, value):
    message = f"{name} to be left out with the recipe 'segmentation', which trains no classifier"
    with pytest.raises(ValueError, match=message):
        TrainingConfig("segmentation", pseudo="masks", **{name: value})


def test_segmentation_needs_masks(tmp_path):
    with pytest.raises(ValueError, match="pseudo to be the folder of the masks that the recipe"):
        TrainingConfig("segmentation")
    config = TrainingConfig("segmentation", pseudo="masks")
    config.save(tmp_path)
    assert TrainingConfig.load(tmp_path / "config.yaml").to_dict() == config.to_dict()


@pytest.mark.parametrize("name", ["small", "paper", *PRESETS])
def test_presets_have_names(name):
    assert TrainingConfig("baseline", preset=name).preset == name


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("data: [", ValueError, "to be YAML"),
        ("- recipe", TypeError, "the configuration to be a mapping"),
        ("data: digits", ValueError, "made of recipe, data, .* but got no 'recipe'"),
        ("recipe: baseline\nepoch: 3", ValueError, "the unknown key 'epoch'"),
    ],
)
def test_files_that_are_no_configuration(text, error, message, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(error, match=message):
        TrainingConfig.load(path)
