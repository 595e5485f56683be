"""Methods of somebody else: classes of both hosts, and functions."""

import copy

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerGradCam, LayerGradientXActivation, Saliency
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from captum_cluster.attr import LayerClusterCam, LayerCollectionCam, LayerMinMaxGradCam
from captum_cluster.evaluation.custom import custom_map, custom_name
from captum_cluster.evaluation.registry import run_method
from captum_cluster.grad_cam import ClusterCAM, MinMaxGradCAM, MinMaxTarget
from tests.helpers.nets import SmallNet, images


@pytest.fixture
def net():
    return SmallNet().float().eval()


@pytest.fixture
def image():
    return images(1, size=(16, 12), dtype=torch.float32)


def message(error, *args, **kwargs):
    """The whole message of the error of exactly that type."""
    with pytest.raises(error) as raised:
        custom_map(*args, **kwargs)
    assert raised.type is error
    return str(raised.value)


def relu2_of(net, image):
    """What the layer relu2 gives."""
    with torch.no_grad():
        return net.relu2(net.conv2(net.relu1(net.bn1(net.conv1(image)))))


# Captum


def test_a_layer_attribution_of_captum(net, image):
    found = custom_map(LayerGradCam, net, [net.relu2], image, 3)
    own = LayerGradCam(net, net.relu2).attribute(image, target=3)
    assert found.shape == (1, 4, 3)
    assert torch.equal(found, own[:, 0].detach())
    assert not found.requires_grad


def test_one_with_options_for_attribute(net, image):
    found = custom_map(LayerClusterCam, net, [net.relu2], image, 3, n_clusters=3, beta=0.2)
    cam = LayerClusterCam(net, net.relu2)
    assert torch.equal(found, cam.attribute(image, 3, n_clusters=3, beta=0.2)[:, 0])
    assert not torch.equal(found, cam.attribute(image, 3)[:, 0])


def test_the_channels_of_a_layer_are_summed(net, image):
    found = custom_map(LayerGradientXActivation, net, [net.relu2], image, 3)
    own = relu2_of(net, image) * net.fc.weight[3][:, None, None] / 12
    assert torch.allclose(found, own.sum(dim=1), atol=1e-6)


@pytest.mark.parametrize("method", [Saliency, IntegratedGradients])
def test_the_channels_of_an_input_attribution_are_summed(net, image, method):
    found = custom_map(method, net, [net.relu2], image, 3)
    own = method(net).attribute(image.clone().requires_grad_(), target=3)
    assert found.shape == (1, 16, 12)
    assert torch.allclose(found, own.sum(dim=1).float())
    assert own.shape[1] == 3


def test_a_method_of_several_layers_gets_them_all(net, image):
    layers = [net.relu1, net.relu2]
    found = custom_map(LayerCollectionCam, net, layers, image, 3)
    assert torch.equal(found, LayerCollectionCam(net, layers).attribute(image, 3)[:, 0])


def test_labels_reach_what_contrasts_them(net, image):
    one, other = (
        custom_map(LayerMinMaxGradCam, net, [net.relu2], image, 3, labels=labels)
        for labels in ([3, 1], (0, 3, 4))
    )
    cam = LayerMinMaxGradCam(net, net.relu2)
    assert torch.equal(one, cam.attribute(image, 3, labels=[[3, 1]])[:, 0])
    assert torch.equal(other, cam.attribute(image, 3, labels=[[0, 3, 4]])[:, 0])
    assert not torch.allclose(one, other)


def test_options_beside_labels(net, image):
    found = custom_map(
        LayerMinMaxGradCam, net, [net.relu2], image, 3, labels=[3, 1], decomposed=True
    )
    cam = LayerMinMaxGradCam(net, net.relu2)
    assert torch.equal(found, cam.attribute(image, 3, labels=[[3, 1]], decomposed=True)[:, 0])


def test_labels_do_not_reach_what_does_not_contrast_them(net, image):
    for method in (LayerGradCam, LayerClusterCam, GradCAM, ClusterCAM):
        with_labels = custom_map(method, net, [net.relu2], image, 3, labels=[3, 1])
        assert torch.equal(with_labels, custom_map(method, net, [net.relu2], image, 3))


# pytorch-grad-cam


def test_a_class_of_pytorch_grad_cam(net, image):
    found = custom_map(GradCAM, net, [net.relu2], image, 3)
    own = GradCAM(net, [net.relu2])(image, [ClassifierOutputTarget(3)])
    assert found.shape == (1, 16, 12)
    np.testing.assert_array_equal(found.numpy(), own)


def test_its_options_go_to_the_constructor(net, image):
    found = custom_map(ClusterCAM, net, [net.relu2], image, 3, n_clusters=3)
    targets = [ClassifierOutputTarget(3)]
    own = ClusterCAM(net, [net.relu2], n_clusters=3)(image, targets)
    np.testing.assert_array_equal(found.numpy(), own)
    assert not np.array_equal(own, ClusterCAM(net, [net.relu2])(image, targets))


def test_it_gets_all_layers(net, image):
    layers = [net.relu1, net.relu2]
    found = custom_map(GradCAM, net, layers, image, 3)
    np.testing.assert_array_equal(
        found.numpy(), GradCAM(net, layers)(image, [ClassifierOutputTarget(3)])
    )


def test_labels_travel_in_the_target_of_what_contrasts_them(net, image):
    one, other = (
        custom_map(MinMaxGradCAM, net, [net.relu2], image, 3, labels=labels)
        for labels in ([3, 1], [0, 3, 4])
    )
    cam = MinMaxGradCAM(net, [net.relu2])
    np.testing.assert_array_equal(one.numpy(), cam(image, [MinMaxTarget(3, [3, 1])]))
    np.testing.assert_array_equal(other.numpy(), cam(image, [MinMaxTarget(3, [0, 3, 4])]))
    assert not torch.allclose(one, other)


# Functions


def first_map(model, layer, image, target):
    """A map (1,h,w) that depends on every argument."""
    return relu2_of(model, image)[:, 0] * (target + 1) + layer.weight.sum()


def test_a_function_is_given_model_layer_image_and_target(net, image):
    found = custom_map(first_map, net, [net.conv2], image, 3)
    expected = relu2_of(net, image)[:, 0] * 4 + net.conv2.weight.sum()
    assert torch.equal(found, expected.detach())
    assert not found.requires_grad


def test_a_function_is_given_all_layers_where_there_are_several(net, image):
    given = []

    def method(model, layer, image, target):
        given.append(layer)
        return image[0, 0]

    custom_map(method, net, [net.relu1], image, 3)
    custom_map(method, net, (net.relu1, net.relu2), image, 3)
    assert given == [net.relu1, [net.relu1, net.relu2]]


def test_a_function_with_labels_is_told_them(net, image):
    given = []

    def told(model, layer, image, target, labels=None, *, scale=1):
        given.append((labels, scale))
        return image[0, 0]

    def untold(model, layer, image, target):
        return image[0, 0]

    custom_map(told, net, [net.relu2], image, 3, labels=(3, 1), scale=2)
    custom_map(told, net, [net.relu2], image, 3)
    custom_map(untold, net, [net.relu2], image, 3, labels=[3, 1])
    assert given == [([3, 1], 2), (None, 1)]


class Brightness:
    """A callable that is no function."""

    def __call__(self, model, layer, image, target, labels):
        return image.mean(dim=1) * len(labels)


def test_a_callable_object(net, image):
    found = custom_map(Brightness(), net, [net.relu2], image, 3, labels=[3, 1])
    assert torch.equal(found, 2 * image.mean(dim=1))


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (1, 1, 5, 7), (1, 1, 1, 5, 7)])
@pytest.mark.parametrize("as_numpy", [False, True])
def test_axes_of_one_in_front_do_not_matter(net, image, shape, as_numpy):
    values = torch.arange(35.0).reshape(5, 7)

    def method(model, layer, image, target):
        maps = values.reshape(shape)
        return maps.numpy() if as_numpy else maps

    found = custom_map(method, net, [net.relu2], image, 3)
    assert found.shape == (1, 5, 7)
    assert torch.equal(found[0], values)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_every_real_dtype_becomes_float(net, image, dtype):
    values = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    for given in (values, values.numpy()):
        found = custom_map(lambda *_, given=given: given, net, [net.relu2], image, 3)
        assert found.dtype == torch.float32
        assert found.tolist() == [[[0.0, 1.0], [1.0, 0.0]]]


def test_numpy_arrays_as_libraries_give_them(net, image):
    """Mirrored views, views of every second pixel, arrays that may not be written to."""
    values = np.arange(12.0).reshape(3, 4)
    fixed = values.copy()
    fixed.setflags(write=False)
    for given in (values[::-1], values[:, ::-1], values.T, values[:, ::2], fixed):
        found = custom_map(lambda *_, given=given: given, net, [net.relu2], image, 3)
        np.testing.assert_array_equal(found[0].numpy(), given)


# Errors


def test_a_function_that_gives_no_map(net, image):
    def odd(model, layer, image, target):
        return odd.given

    def got(given):
        odd.given = given
        return message(ValueError, odd, net, [net.relu2], image, 3)

    assert got(None) == "Expected odd to give a map (h,w), but got None (NoneType)."
    assert got([[1.0]]) == "Expected odd to give a map (h,w), but got [[1.0]] (list)."
    assert got(torch.zeros(3)) == (
        "Expected odd to give a map (h,w), but got a tensor of shape (3,) and dtype torch.float32."
    )
    assert got(torch.zeros(2, 2, dtype=torch.complex64)) == (
        "Expected odd to give a map (h,w), "
        "but got a tensor of shape (2, 2) and dtype torch.complex64."
    )
    assert got(np.float32(1)).startswith("Expected odd to give a map (h,w), but got ")
    for shape in ((2, 4, 4), (1, 3, 4, 4), (0, 4), (4, 0), (2, 1, 1)):
        assert got(torch.zeros(shape)) == (
            "Expected odd to give one map (h,w), "
            f"but got a tensor of shape {shape} and dtype torch.float32."
        )
    assert got(np.zeros((2, 1, 1))).startswith("Expected odd to give one map (h,w), but got ")


def test_arrays_that_hold_no_numbers(net, image):
    for given in (np.array([["a", "b"]]), np.array([[None, 1]])):
        found = message(ValueError, lambda *_, given=given: given, net, [net.relu2], image, 3)
        assert found.startswith("Expected <lambda> to give a map (h,w), but got ")


class Several(LayerGradCam):
    """A class of Captum's kind that gives a tuple."""

    def attribute(self, inputs, target=None):
        return (inputs, inputs)


def test_a_class_of_captum_that_gives_several_tensors(net, image):
    found = message(TypeError, Several, net, [net.relu2], image, 3)
    assert found.startswith("Expected Several to give one tensor, but got (tensor(")


def test_what_a_method_raises_is_let_through(net, image):
    def broken(model, layer, image, target):
        raise KeyError("of its own")

    with pytest.raises(KeyError, match="of its own"):
        custom_map(broken, net, [net.relu2], image, 3)
    with pytest.raises(TypeError, match="n_cluster"):
        custom_map(LayerClusterCam, net, [net.relu2], image, 3, n_cluster=3)


def test_names():
    assert custom_name(first_map) == "first_map"
    assert custom_name(GradCAM) == "GradCAM"
    assert custom_name(Brightness()) == "Brightness"


# Through run_method


class Rude:
    """A function that leaves traces everywhere."""

    def __call__(self, model, layer, image, target):
        layer.register_forward_hook(lambda *_: None)
        model(image).sum().backward()
        model.train()
        model.bn1.eval()
        torch.manual_seed(5)
        model.dropout = torch.nn.Identity()
        return image[0, 0]


METHODS = {
    "captum": LayerGradCam,
    "input": Saliency,
    "host": GradCAM,
    "ours": MinMaxGradCAM,
    "function": Rude(),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was_found(net, image, method, training):
    net.bn1.train(training)
    modes = [module.training for module in net.modules()]
    types = [type(module) for module in net.modules()]
    before = copy.deepcopy(net.state_dict())
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.manual_seed(3)
    draw = torch.rand(2)
    torch.manual_seed(3)
    run = run_method(method, net, net.relu2, image, 2, labels=[2, 4])
    assert torch.equal(torch.rand(2), draw)
    assert run.maps.shape[:2] == (1, 1)
    assert run.result is None
    assert run.forwards == 1
    assert [module.training for module in net.modules()] == modes
    assert [type(module) for module in net.modules()] == types
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all((parameter.grad == 1).all() for parameter in net.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in net.modules())


def test_it_is_left_so_after_an_error_too(net, image):
    def broken(model, layer, image, target):
        Rude()(model, layer, image, target)
        raise KeyError("late")

    with pytest.raises(KeyError, match="late"):
        run_method(broken, net, net.relu2, image, 2)
    assert not any(module.training or module._forward_hooks for module in net.modules())
    assert isinstance(net.dropout, torch.nn.Dropout)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_image_is_not_modified(net, image):
    before = image.clone()
    for method in (LayerGradCam, Saliency, GradCAM):
        run_method(method, net, net.relu2, image, 2)
    assert torch.equal(image, before)
    assert image.grad is None
    assert not image.requires_grad


@pytest.mark.parametrize("method", [LayerGradCam, Saliency, GradCAM])
def test_frozen_models_and_inference_mode(net, image, method):
    free = custom_map(method, net, [net.relu2], image, 2)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    assert torch.allclose(custom_map(method, net, [net.relu2], image, 2), free, atol=1e-6)
    with torch.inference_mode():
        assert torch.allclose(custom_map(method, net, [net.relu2], image, 2), free, atol=1e-6)
