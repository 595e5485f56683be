"""CAM, the original: the classifier's weights of the maps, and Grad-CAM times the pixels."""

import pytest
import torch
from captum.attr import LayerGradCam

from captum_cluster._checks import LayerError, TargetError
from captum_cluster.attr import LayerClassActivationMap, LayerMinMaxCam
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import CAM, CamConfig, cam
from captum_cluster.training import KernelUsageLinear
from tests.helpers import minmax_references as ref
from tests.helpers import nets
from tests.helpers.method_cases import assert_close, maps_of, margin

IMAGES = nets.images(3, 3, (9, 12))
NETS = {
    "small": (nets.SmallNet(), "relu2", IMAGES),
    "other": (nets.SmallNet(seed=3, channels=7), "relu2", IMAGES),
    "reused": (nets.ReusedReLU(), "relu", IMAGES),
    "flat": (nets.FlatNet(), "layer", IMAGES),
    "hand": (nets.HandNet(), "relu", nets.HandNet.image()),
}


def the_case(name):
    net, layer, images = NETS[name]
    net = net.double().eval()
    return net, getattr(net, layer), images


@pytest.mark.parametrize("name", NETS)
def test_every_network(name):
    net, layer, images = the_case(name)
    result = LayerClassActivationMap(net, layer).explain(images, [1, 0, -1])
    assert result.method == "cam"
    last = net.fc.out_features - 1
    for n, maps in enumerate(maps_of(net, layer, images)):
        for t, target in enumerate([1, 0, last]):
            assert_close(result.maps[n, t], ref.cam(maps, net.fc.weight, target))
            assert_close(result.weights[n, t], net.fc.weight[target], rtol=0)


def test_hand_worked_maps():
    net = nets.HandNet().double().eval()
    found = LayerClassActivationMap(net, net.relu).attribute_targets(nets.HandNet.image(), [0, 1])
    # A_0 + A_2 - A_3 / 2, and half of A_1 + A_3
    assert_close(found[0], [[[8, 4], [0, 4 - 8]], [[2, 1], [0, 16]]])


@pytest.mark.parametrize("name", ["small", "other", "flat", "hand"])
def test_cam_is_captums_grad_cam_times_the_pixels(name):
    net, layer, images = the_case(name)
    found = LayerClassActivationMap(net, layer).attribute(images, 1)
    assert_close(found, LayerGradCam(net, layer).attribute(images, 1) * found[0, 0].numel())


@pytest.mark.parametrize("name", NETS)
def test_the_mean_of_cam_is_the_logit_without_its_bias(name):
    net, layer, images = the_case(name)
    labels = list(range(net.fc.out_features))
    found = LayerClassActivationMap(net, layer).attribute_targets(images, labels)
    assert_close(found.mean(dim=(2, 3)) + net.fc.bias, net(images))


def test_cam_is_minmax_cam_without_other_labels():
    net, layer, images = the_case("small")
    expected = LayerMinMaxCam(net, layer).attribute(images, [2, 3, 0], labels=[[2], [3], [0]])
    assert_close(LayerClassActivationMap(net, layer).attribute(images, [2, 3, 0]), expected)


def test_several_targets_and_images_are_the_single_ones():
    net, layer, images = the_case("small")
    explainer = LayerClassActivationMap(net, layer)
    targets = torch.tensor([[3, 0], [1, 4], [2, 2]])
    together = explainer.attribute_targets(images, targets)
    for t in range(2):
        assert_close(together[:, t], explainer.attribute(images, targets[:, t])[:, 0], rtol=1e-12)
    for n in range(3):
        one = explainer.attribute_targets(images[n : n + 1], targets[n])
        assert_close(together[n], one[0], rtol=1e-12)


def test_one_forward_and_no_backward_pass():
    net, layer, images = the_case("small")
    with count_forwards(net) as count, torch.inference_mode():
        found = LayerClassActivationMap(net, layer).attribute_targets(images, [0, 1, 2])
    assert count.images == 3
    assert not found.requires_grad


def test_the_effective_weight_is_read():
    net = nets.SmallNet().double().eval()
    net.fc = KernelUsageLinear.from_linear(net.fc)
    found = LayerClassActivationMap(net, net.relu2).attribute(IMAGES, 2)
    weight = ref.kernel_usage(net.fc.weight)
    for n, maps in enumerate(maps_of(net, net.relu2, IMAGES)):
        assert_close(found[n, 0], ref.cam(maps, weight, 2))


@pytest.mark.filterwarnings("error")
def test_a_model_with_a_single_output():
    net = nets.ScalarNet().double().eval()
    found = LayerClassActivationMap(net, net.relu).attribute(IMAGES, None)
    for n, maps in enumerate(maps_of(net, net.relu, IMAGES)):
        assert_close(found[n, 0], ref.cam(maps, net.fc.weight, 0))


def test_the_function_itself():
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    weight = torch.tensor([[2.0, 0.0], [1.0, -2.0]])
    result = cam(maps, weight, torch.tensor([[1, 0, 1]]), CamConfig())
    assert result.maps.tolist() == [[[[-5.0, 4.0]], [[2.0, 4.0]], [[-5.0, 4.0]]]]
    assert result.weights.tolist() == [[[1.0, -2.0], [2.0, 0.0], [1.0, -2.0]]]


def test_algorithm():
    assert CAM.id == "cam"
    assert not CAM.gradient
    assert not CAM.contrasts_labels
    assert CAM.linear


def test_another_head_names_the_gradient_form():
    net, _, images = the_case("small")
    with pytest.raises(LayerError, match=r"use the gradient form, .* grad-cam for cam\.$"):
        LayerClassActivationMap(net, net.conv2).attribute(images, 0)


@pytest.mark.parametrize("target", [5, -6, [0, 1, 5]], ids=str)
def test_a_class_that_does_not_exist(target):
    net, layer, images = the_case("small")
    with pytest.raises(TargetError, match="^Expected target to be a class index from 0 to 4"):
        LayerClassActivationMap(net, layer).attribute(images, target)


def test_a_callable_is_no_class():
    net, layer, images = the_case("small")
    with pytest.raises(TargetError) as raised:
        LayerClassActivationMap(net, layer).attribute(images, [margin] * 3)
    assert str(raised.value) == "Expected target to be a class index, but got a callable."


def test_labels_are_no_option():
    net, layer, images = the_case("small")
    with pytest.raises(TypeError, match="'labels'"):
        LayerClassActivationMap(net, layer).attribute(images, 0, labels=[[0]] * 3)
