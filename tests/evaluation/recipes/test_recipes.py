"""Each recipe from the images to the report, on a few digit scenes."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from captum_cluster.attr import LayerSubCategoryCam
from captum_cluster.evaluation.recipes import TrainingConfig, load_network
from captum_cluster.evaluation.recipes.judging import Judged
from captum_cluster.evaluation.recipes.recipes import level_sizes
from captum_cluster.training import KernelUsageLinear, MultiLevelNetwork, TwoBranch
from tests.evaluation.recipes.tiny import IMAGES, OPTIONS, train_tiny


@pytest.mark.parametrize(
    ("recipe", "networks", "methods", "files"),
    [
        ("baseline", ["baseline"], ["baseline: cam", "baseline: minmax-cam"], ["baseline.pt"]),
        (
            "sub-category",
            ["baseline", "round 1", "round 2"],
            [
                *("baseline: cam", "round 1: cam"),
                *("round 1: sub-category-cam", "round 2: sub-category-cam"),
            ],
            ["round-1.pt", "network.pt", "assignments.npz", "figures/sub-categories.png"],
        ),
        (
            "class-grouping",
            ["baseline", "branches", "groups"],
            ["baseline: cam", "branches: multi-branch-cam", "groups: multi-level-cam"],
            ["branches.pt", "network.pt", "hierarchy.json", "figures/hierarchy.png"],
        ),
        (
            "kernel-usage",
            ["baseline", "kernel usage"],
            ["baseline: cam", "kernel usage: cam", "kernel usage: d-minmax-cam"],
            ["network.pt", "figures/weights.png", "figures/shared-kernels.png"],
        ),
    ],
)
def test_a_recipe(recipe, networks, methods, files, runs):
    run = runs(recipe)
    assert list(run.networks) == networks
    assert set(methods) <= set(run.report.maps.methods)
    assert run.report.maps.reference == "baseline: cam"
    assert run.report.maps.images == 3
    for name in (*files, "baseline.pt", "report.html", "report.md", "config.yaml"):
        assert (run.output / name).is_file(), name
    report = json.loads((run.output / "report.json").read_text())
    assert list(report["classifiers"]) == networks
    assert report["config"]["recipe"] == recipe
    assert report["main"] in run.report.maps.methods


@pytest.mark.parametrize("recipe", list(OPTIONS))
def test_networks_are_built_again_from_their_files(recipe, runs):
    run = runs(recipe)
    names = {"baseline": run.baseline}
    if recipe != "baseline":
        names["network"] = run.network
    for name, network in names.items():
        built = load_network(run.output, name)
        assert type(built) is type(network)
        assert not built.training
        assert torch.equal(built(IMAGES), network(IMAGES))


def test_the_baseline_is_the_same_in_each_recipe(runs):
    logits = [runs(recipe).baseline(IMAGES) for recipe in OPTIONS]
    for other in logits[1:]:
        torch.testing.assert_close(other, logits[0], rtol=1e-6, atol=1e-6)


def test_networks_were_trained_and_differ(runs):
    for recipe in ("sub-category", "class-grouping", "kernel-usage"):
        run = runs(recipe)
        assert not torch.allclose(run.network(IMAGES), run.baseline(IMAGES))
        assert not any(one.training for one in run.networks.values())


def test_the_head_of_the_sub_categories_is_kept(runs):
    run = runs("sub-category")
    head = run.network.sub_category_head
    assert tuple(head.weight.shape) == (30, 64)
    assert not hasattr(run.baseline, "sub_category_head")
    found = np.load(run.output / "assignments.npz")
    assert found["assignments"].shape == (32, 10)
    assert found["assignments"].max() == 2
    sizes = json.loads((run.output / "report.json").read_text())["sub_categories"]
    assert sum(map(sum, sizes.values())) == (found["assignments"] >= 0).sum()


def test_the_maximum_over_sub_categories(runs):
    network = runs("sub-category").network
    maps, weight = network.maps(IMAGES[:1])[0], network.sub_category_head.weight
    slow = torch.zeros(16, 16)
    for k in range(3):
        one = sum(weight[4 * 3 + k, c] * maps[c] for c in range(64))
        slow = torch.maximum(slow, one)
    found = LayerSubCategoryCam(network, network.body).attribute(IMAGES[:1], 4)
    torch.testing.assert_close(found[0, 0], slow, rtol=1e-4, atol=1e-5)


def test_the_levels_of_class_grouping(runs):
    run = runs("class-grouping")
    assert isinstance(run.network, MultiLevelNetwork)
    assert isinstance(run.networks["branches"], TwoBranch)
    assert [int(groups.max()) + 1 for groups in run.network.groups] == [4]
    groups = json.loads((run.output / "report.json").read_text())["groups"]
    assert len(groups[0]) == 4


def test_kernel_usage_beside_the_plain_head(runs):
    run = runs("kernel-usage")
    assert isinstance(run.network.parent_head, KernelUsageLinear)
    assert not isinstance(run.baseline.parent_head, KernelUsageLinear)
    numbers = json.loads((run.output / "report.json").read_text())["kernel_usage"]
    assert set(numbers) == {"before", "after"}


def test_groups_alone_by_training_at_each_level(tmp_path):
    run = train_tiny(
        "class-grouping", tmp_path, branches=1, sizes=[5, 2], hierarchy="fit", kernel_usage=True
    )
    assert list(run.networks) == ["baseline", "groups"]
    assert run.network.base is run.baseline
    assert (tmp_path / "training" / "grouping-1.pt").is_file()
    assert not (tmp_path / "training" / "grouping-2.pt").exists()  # the last level's are not needed
    heads = [network.parent_head for network in run.network.networks]
    assert [head.out_features for head in heads] == [10, 5, 2]
    assert all(isinstance(head, KernelUsageLinear) for head in heads)
    assert torch.equal(load_network(tmp_path)(IMAGES), run.network(IMAGES))


def test_branches_alone(tmp_path):
    run = train_tiny("class-grouping", tmp_path, sizes=[], orthogonality=0.1)
    assert list(run.networks) == ["baseline", "branches"]
    assert run.report.main == "branches: multi-branch-cam"
    assert isinstance(load_network(tmp_path), TwoBranch)
    assert not (tmp_path / "hierarchy.json").exists()


@pytest.fixture(scope="module")
def one_class(tmp_path_factory):
    """A folder of pictures of one class."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "cat").mkdir()
    for number in range(20):
        Image.new("RGB", (32, 32), (12 * number, 0, 99)).save(folder / "cat" / f"{number}.png")
    return f"folder:{folder}"


@pytest.mark.parametrize("recipe", list(OPTIONS))
def test_data_of_one_label(recipe, one_class, tmp_path):
    options = {"backbone": "digit-net", "size": 32, "metrics": ["average-drop"]}
    given = {**OPTIONS[recipe], **options, **({"sizes": [1]} if "group" in recipe else {})}
    run = train_tiny(recipe, tmp_path, data=one_class, **given)
    assert run.report.scores["baseline"].f1 == 1
    assert run.report.maps.values[0].name == "average-drop"
    assert run.page.is_file()


@pytest.mark.parametrize(
    ("preset", "sizes", "labels", "found"),
    [
        ("small", None, 10, [6, 3]),
        ("small", None, 20, [12, 6]),
        ("small", None, 1, [1, 1]),
        ("class-grouping", None, 20, [12, 6]),
        ("paper", None, 20, [12, 8, 5]),
        ("paper", None, 10, [6, 4, 2]),
        ("paper", None, 1, [1, 1, 1]),
        ("paper", (4, 2), 10, [4, 2]),
        ("small", (4, 2), 10, [4, 2]),
        ("small", [], 9, []),
    ],
)
def test_sizes_of_levels(preset, sizes, labels, found):
    config = TrainingConfig("class-grouping", preset=preset, sizes=sizes)
    assert level_sizes(config, labels) == found


def test_the_papers_preset_trains_at_each_level(tmp_path):
    options = {"preset": "paper", "branches": 1, "size": 32, "lr": 0.01}
    run = train_tiny("class-grouping", tmp_path, **options)
    assert [int(groups.max()) + 1 for groups in run.network.groups] == [6, 4, 2]
    trained = {path.stem for path in (tmp_path / "training").glob("*.pt")}
    levels = {"level-1", "level-2", "level-3"}
    assert trained == {"baseline", "grouping-1", "grouping-2"} | levels
    text = (tmp_path / "report.md").read_text()
    assert "6, 4, 2 groups, found by training at each level" in text


def test_the_networks_judged_have_layers_to_explain(runs):
    for recipe in OPTIONS:
        for network in runs(recipe).networks.values():
            assert isinstance(Judged("x", network, ("cam",)).network.explained_layers, list)
            assert all(isinstance(layer, nn.Module) for layer in network.explained_layers)


def test_the_configuration_is_beside_the_report(runs):
    saved = yaml.safe_load((runs("sub-category").output / "config.yaml").read_text())
    assert (saved["recipe"], saved["rounds"], saved["limit"]) == ("sub-category", 2, 32)
