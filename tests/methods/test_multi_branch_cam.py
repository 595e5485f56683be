"""Multi-branch CAM against the second derivation, and on numbers from paper."""

import pytest
import torch
from torch import nn

from captum_cluster.attr import LayerMultiBranchCam
from captum_cluster.methods import (
    MapsAndGradients,
    MultiBranchCamConfig,
    multi_branch_cam,
)
from captum_cluster.training import TwoBranch
from tests.helpers import level_references as ref
from tests.helpers import nets
from tests.helpers.collection_references import activations, gradients
from tests.helpers.method_cases import CASES, assert_close, case

CONFIG = MultiBranchCamConfig()


def two_branches(seed=0):
    """A `TwoBranch` of fixed numbers, whose branches look at grids of one size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = lambda: nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU())  # noqa: E731
        return TwoBranch(body, 5).double().eval()


@pytest.mark.parametrize("name", CASES)
def test_one_layer(name):
    net, layer, images, targets = case(name)
    found = LayerMultiBranchCam(net, layer).attribute(images, targets)
    for image, target, maps in zip(images, targets, found, strict=True):
        own = activations(net, layer, image)
        expected = ref.multi_branch_cam([(own, gradients(net, layer, image, target))])
        assert_close(maps[0], expected)


@pytest.mark.parametrize("names", [("relu1", "relu2"), ("relu2", "relu1"), ("bn1", "conv1")])
def test_two_layers_of_one_network(names):
    net, images = nets.SmallNet().double().eval(), nets.images(2, size=(9, 12))
    layers = [getattr(net, name) for name in names]
    result = LayerMultiBranchCam(net, layers).explain(images, [0, 3, 4])
    assert result.weights is None
    for n, image in enumerate(images):
        for t, target in enumerate([0, 3, 4]):
            pairs = [
                (activations(net, layer, image), gradients(net, layer, image, target))
                for layer in layers
            ]
            assert_close(result.maps[n, t], ref.multi_branch_cam(pairs))
            for part, pair in zip(result.layers, pairs, strict=True):
                assert_close(part[n, t], ref.grad_cam(*pair))
    assert result.maps.amin() >= 0
    assert result.maps.amax() <= 1


def test_the_branches_of_a_two_branch_network_by_their_own_logits():
    net, images = two_branches(), nets.images(3, size=(9, 11))
    found = LayerMultiBranchCam(net, net.explained_layers).attribute_targets(images, [1, 4])
    for n, image in enumerate(images):
        for t, target in enumerate([1, 4]):
            # Of each branch alone, not of the mean of both: half the gradient, and the same map.
            pairs = [
                (
                    activations(branch, branch.body, image),
                    gradients(branch, branch.body, image, target),
                )
                for branch in net.branches
            ]
            assert_close(found[n, t], ref.multi_branch_cam(pairs))
    one = LayerMultiBranchCam(net, net.explained_layers[0]).attribute_targets(images, [1, 4])
    assert not torch.allclose(one, found, atol=0.05)


def layer(maps, gradients):
    """One image with one channel and one target."""
    return MapsAndGradients(torch.tensor([[maps]]), torch.tensor([[[gradients]]]))


def test_numbers_by_hand():
    first = layer([[1.0, 4.0], [-2.0, 0.0]], [[2.0, 2.0], [2.0, 2.0]])  # Grad-CAM 2 A
    second = layer([[10.0, 10.0], [0.0, 20.0]], [[1.0, 0.0], [0.0, 1.0]])  # A / 2
    result = multi_branch_cam([first, second], CONFIG)
    assert result.method == "multi-branch-cam"
    expected = torch.tensor([[[[(0.25 + 0.5) / 2, (1 + 0.5) / 2], [0.0, 0.5]]]])
    torch.testing.assert_close(result.maps, expected)
    torch.testing.assert_close(result.layers[0], 2 * first.maps)
    torch.testing.assert_close(result.layers[1], second.maps / 2)


def test_the_size_of_a_branchs_values_does_not_matter():
    first = layer([[1.0, 4.0], [-2.0, 0.0]], [[2.0, 2.0], [2.0, 2.0]])
    second = layer([[10.0, 10.0], [0.0, 20.0]], [[1.0, 0.0], [0.0, 1.0]])
    huge = MapsAndGradients(1e4 * second.maps, second.gradients)
    both = multi_branch_cam([first, second], CONFIG).maps
    torch.testing.assert_close(multi_branch_cam([first, huge], CONFIG).maps, both)
    torch.testing.assert_close(multi_branch_cam([second, first], CONFIG).maps, both)


def test_a_branch_without_a_positive_value_counts_as_zero():
    first = layer([[1.0, 4.0]], [[1.0, 1.0]])
    negative = layer([[1.0, 4.0]], [[-1.0, -1.0]])
    maps = multi_branch_cam([first, negative], CONFIG).maps
    torch.testing.assert_close(maps, torch.tensor([[[[0.125, 0.5]]]]))
    assert not multi_branch_cam([negative], CONFIG).maps.any()


def test_a_smaller_grid_is_enlarged_to_the_larger():
    coarse = layer([[3.0]], [[1.0]])
    fine = layer([[0.0, 8.0], [2.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]])
    maps = multi_branch_cam([coarse, fine], CONFIG).maps
    torch.testing.assert_close(maps[0, 0], torch.tensor([[0.5, 1.0], [0.625, 0.75]]))
    wide, high = layer([[1.0, 2.0, 4.0]], [[1.0] * 3]), layer([[1.0], [2.0]], [[1.0], [1.0]])
    maps = multi_branch_cam([wide, high], CONFIG).maps
    expected = torch.tensor([[0.25, 0.5, 1.0], [0.25, 0.5, 1.0]])
    expected = (expected + torch.tensor([[0.5], [1.0]])) / 2
    torch.testing.assert_close(maps[0, 0], expected)
