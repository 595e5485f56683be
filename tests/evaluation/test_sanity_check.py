"""Explanations of a model that forgets: what must change does, what cannot does not."""

import math
import warnings
from dataclasses import asdict, replace

import pytest
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM
from scipy.stats import spearmanr
from torch import nn
from torchmetrics.functional.image import structural_similarity_index_measure

from captum_cluster._checks import LayerError
from captum_cluster.evaluation.randomisation import copied, module_names, randomised
from captum_cluster.evaluation.sanity_check import SanityCheck, SanityRow, sanity_check
from captum_cluster.functional.attribution.masks import saliency
from tests.conformance.cases import assert_same_state, state_of
from tests.helpers.nets import SmallNet, images

STEPS = ["fc", "conv2", "bn1", "conv1"]


@pytest.fixture
def net():
    return SmallNet().eval()


@pytest.fixture
def pictures():
    return images(2, size=16, dtype=torch.float32)


def edges(model, layer, image, target):
    return image.diff(dim=3).abs().sum(dim=1)


@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_an_edge_detector_does_not_change(net, pictures, mode):
    found = sanity_check(net, net.relu2, pictures, 1, edges, mode=mode)
    assert [row.module for row in found.rows] == STEPS
    for row in found.rows:
        assert row.spearman == pytest.approx((1.0, 1.0))
        assert row.ssim == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize("method", ["grad-cam", "cluster-cam", "cam", LayerGradCam, GradCAM])
def test_what_depends_on_the_model_falls(net, pictures, method):
    found = sanity_check(net, net.relu2, pictures, [1, 3], method)
    last = found.rows[-1]
    assert last.mean_spearman < 0.7
    assert last.mean_ssim < 0.7
    assert max(row.mean_spearman for row in found.rows) <= 1 + 1e-9


def test_only_the_modules_that_a_map_depends_on_matter(net, pictures):
    """The first layer's mean map: the same until that layer is random."""

    def first(model, layer, image, target):
        return layer(image).abs().mean(dim=1)

    found = sanity_check(net, net.conv1, pictures, 0, first, mode="independent")
    values = {row.module: row.mean_spearman for row in found.rows}
    assert values["conv1"] < 0.99
    assert [values[name] for name in ("fc", "conv2", "bn1")] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_the_numbers_are_their_definition(net, pictures, mode):
    found = sanity_check(net, net.relu2, pictures, [1, 3], "grad-cam", mode=mode, seed=4)

    def maps(model, layer):
        cam = LayerGradCam(model, layer)
        one_by_one = [cam.attribute(pictures[k : k + 1], label) for k, label in ((0, 1), (1, 3))]
        return saliency(torch.cat(one_by_one).detach(), (16, 16)).double()

    original = maps(*_one(copied(net, [net.relu2])))
    steps = randomised(net, [net.relu2], module_names(net), mode=mode, seed=4)
    for row, (name, other, (layer,)) in zip(found.rows, steps, strict=True):
        assert row.module == name
        for k, (a, b) in enumerate(zip(original, maps(other, layer), strict=True)):
            rank = spearmanr(a.flatten(), b.flatten()).statistic
            structure = structural_similarity_index_measure(a[None], b[None], data_range=1.0)
            assert row.spearman[k] == pytest.approx(rank)
            assert row.ssim[k] == pytest.approx(float(structure), abs=1e-5)


def _one(pair):
    return pair[0], pair[1][0]


def test_the_same_again(net, pictures):
    once, twice = (sanity_check(net, net.relu2, pictures, 1, "cluster-cam") for _ in range(2))
    assert once == twice
    assert once != sanity_check(net, net.relu2, pictures, 1, "cluster-cam", seed=1)


def test_each_image_for_itself(net, pictures):
    both = sanity_check(net, net.relu2, pictures, [1, 3], "grad-cam")
    alone = sanity_check(net, net.relu2, pictures[1:], 3, "grad-cam")
    for row, other in zip(both.rows, alone.rows, strict=True):
        assert row.spearman[1] == pytest.approx(other.spearman[0])
        assert row.ssim[1] == pytest.approx(other.ssim[0])


def test_chance_in_the_method_is_not_taken_for_a_change(net, pictures):
    def noise(model, layer, image, target):
        return torch.rand(8, 8)

    found = sanity_check(net, net.relu2, pictures, 1, noise)
    assert [row.mean_spearman for row in found.rows] == pytest.approx([1.0] * 4)


def test_model_images_and_random_state_are_left_alone(net, pictures):
    net.train()
    net.bn1.eval()
    before = state_of(net, pictures)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a copy in eval mode is nothing to warn of
        sanity_check(net, net.relu2, pictures, 1, "grad-cam")
    assert_same_state(before, state_of(net, pictures))


def test_state_is_restored_after_an_error(net, pictures):
    calls = []

    def fails(model, layer, image, target):
        calls.append(torch.rand(1))
        if len(calls) > 3:
            raise RuntimeError("no more")
        return image[:, 0]

    before = state_of(net, pictures)
    with pytest.raises(RuntimeError, match="no more"):
        sanity_check(net, net.relu2, pictures, 1, fails)
    assert_same_state(before, state_of(net, pictures))


def test_a_function_sees_the_copy_and_its_layer(net, pictures):
    seen = []

    def record(model, layer, image, target):
        seen.append((model is net, layer is model.relu2, image.shape, target))
        return image[:, 0]

    sanity_check(net, net.relu2, pictures, torch.tensor([1, 3]), record, modules=["fc"])
    shape = (1, 3, 16, 16)
    assert seen == [(False, True, shape, 1), (False, True, shape, 3)] * 2


def test_chosen_modules_with_all_they_hold(pictures):
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    ).eval()
    seen = []

    def record(model, layer, image, target):
        pairs = zip(net.parameters(), model.parameters(), strict=True)
        seen.append([bool((learnt != own).any()) for learnt, own in pairs])
        return image[:, 0]

    found = sanity_check(net, net[0], pictures[:1], 1, record, modules=["3", "0"])
    assert [row.module for row in found.rows] == ["3", "0"]
    assert seen == [[False] * 6, [False] * 4 + [True] * 2, [True] * 6]


def test_labels_and_options_reach_the_method(net, pictures):
    two = {"labels": [[0, 1], [1, 3]]}
    found = sanity_check(net, net.relu2, pictures, [0, 3], "minmax-grad-cam", **two)
    other = sanity_check(net, net.relu2, pictures, [0, 3], "minmax-grad-cam", labels=[[0], [3]])
    assert found != other
    three = sanity_check(net, net.relu2, pictures, 1, "cluster-cam", n_clusters=3)
    assert three != sanity_check(net, net.relu2, pictures, 1, "cluster-cam")


def test_several_layers(net, pictures):
    found = sanity_check(
        net, [net.relu1, net.relu2], pictures, 1, "collection-cam", partition_sizes=[2]
    )
    assert found.rows[-1].mean_spearman < 0.95


def test_a_flat_map_has_no_rank_correlation(net, pictures):
    def flat(model, layer, image, target):
        forgot = not torch.equal(model.fc.weight, net.fc.weight)
        return image[:, 0] * (0 if forgot and torch.equal(image[0], pictures[0]) else 1)

    row = sanity_check(net, net.relu2, pictures, 1, flat, modules=["fc"]).rows[0]
    assert math.isnan(row.spearman[0])
    assert row.mean_spearman == row.spearman[1] == pytest.approx(1)
    assert row.ssim[0] < 0.5


def test_the_table():
    rows = (
        SanityRow("fc", (0.5, math.nan), (0.25, 0.75)),
        SanityRow("layer4.0", (0.0, -0.5), (0.1, 0.1)),
    )
    table = SanityCheck("cluster-cam", "cascading", 0, rows).table()
    assert table.splitlines() == [
        "cluster-cam, cascading randomisation, 2 images",
        "randomised  Spearman   SSIM",
        "fc             0.500  0.500  (flat, so without Spearman: 1)",
        "layer4.0      -0.250  0.100",
    ]
    assert math.isnan(replace(rows[0], spearman=(math.nan, math.nan)).mean_spearman)
    assert asdict(rows[1])["ssim"] == (0.1, 0.1)


def test_the_models_own_parameters_have_a_name(pictures):
    class Net(SmallNet):
        def __init__(self):
            super().__init__()
            self.own = nn.Parameter(torch.ones(1))

    net = Net().eval()
    found = sanity_check(net, net.relu2, pictures, 1, edges)
    assert [row.module for row in found.rows] == [*STEPS, "(the model's own)"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mode": "both"}, ValueError, "Expected mode to be one of 'cascading', 'independent'"),
        ({"seed": -1}, ValueError, "Expected seed to be an integer of at least 0, but got -1"),
        ({"method": "clustercam"}, ValueError, "Expected method to be one of .*close: cluster-cam"),
        ({"method": 3}, TypeError, "Expected method to be the name of a method"),
        ({"model": edges}, TypeError, r"Expected model to be an nn\.Module"),
        ({"layer": nn.ReLU()}, LayerError, "Expected layer to be a module of the model"),
        ({"layer": []}, ValueError, "Expected layer to be at least one module of the model"),
        ({"images": torch.zeros(3, 8, 8)}, ValueError, "Expected images to be a batch of images"),
        ({"targets": [1, 2, 3]}, ValueError, "one label, or one for each of 2 images, but got 3"),
        ({"targets": 1.0}, TypeError, "Expected targets to be an integer of at least 0"),
        ({"targets": -1}, ValueError, "Expected targets to be an integer of at least 0"),
        ({"labels": [[1]]}, ValueError, "Expected labels to be a list of labels for each of 2"),
        ({"modules": ["nothing"]}, ValueError, "names of modules of the model that have param"),
        (
            {"method": lambda model, layer, image, target: image[:, 0] * math.nan},
            ValueError,
            "Expected the map of image 0 before anything is random to be finite, but got NaN",
        ),
    ],
)
def test_bad_input(net, pictures, change, error, message):
    given = {"model": net, "layer": net.relu2, "images": pictures, "targets": 1, "method": edges}
    with pytest.raises(error, match=message):
        sanity_check(**{**given, **change})


def test_a_map_that_breaks_on_the_way_is_named(net, pictures):
    def breaks(model, layer, image, target):
        return image[:, 0] if torch.equal(model.bn1.weight, net.bn1.weight) else image[:, 0] / 0

    with pytest.raises(ValueError, match="the map of image 0 with bn1 random to be finite"):
        sanity_check(net, net.relu2, pictures, 1, breaks)
