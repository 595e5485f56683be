"""Explainers of every kind as the functions that metrics call."""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, Saliency
from captum.metrics import sensitivity_max
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from captum_cluster.attr import LayerClusterCam
from captum_cluster.functional.attribution.grids import upsample
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.grad_cam import ClusterCAM
from captum_cluster.metrics.adapters import explanation_func, maps_of, quantus_explain_func
from tests.helpers.nets import SmallNet, images


@pytest.fixture
def net():
    return SmallNet().eval()


@pytest.fixture
def pictures():
    return images(3, size=16, dtype=torch.float32)


EXPLAINERS = {
    "ours, Captum's face": lambda net: LayerClusterCam(net, net.relu2),
    "ours, its method": lambda net: LayerClusterCam(net, net.relu2).attribute,
    "ours, pytorch-grad-cam's face": lambda net: ClusterCAM(net, [net.relu2]),
    "Captum's LayerGradCam": lambda net: LayerGradCam(net, net.relu2),
    "Captum's Saliency": lambda net: Saliency(net),
    "pytorch-grad-cam's GradCAM": lambda net: GradCAM(net, [net.relu2]),
    "a function": lambda net: lambda inputs, target: net.conv1(inputs).mean(dim=1),
}


def _shift(inputs, radius):
    """A perturbation without chance, other for each sample of an image."""
    batch = inputs[0] if isinstance(inputs, tuple) else inputs
    steps = torch.arange(len(batch)).remainder(2).add(1).reshape(-1, 1, 1, 1)
    ramp = torch.linspace(-1, 1, batch.shape[-1])
    return (batch + radius * steps * ramp,)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_sensitivity_is_its_definition(net, pictures, name):
    explain = explanation_func(EXPLAINERS[name](net))
    labels = torch.tensor([2, 0, 4])
    value = sensitivity_max(
        explain, pictures, _shift, perturb_radius=0.2, n_perturb_samples=2, target=labels
    )
    (whole,) = explain(pictures, target=labels)
    wanted = []
    for row, label in enumerate(labels.tolist()):
        ratios = []
        for step in (1, 2):
            changed = pictures[row : row + 1] + 0.2 * step * torch.linspace(-1, 1, 16)
            (other,) = explain(changed, target=label)
            ratios.append(float((whole[row] - other[0]).norm() / whole[row].norm()))
        wanted.append(max(ratios))
    torch.testing.assert_close(value, torch.tensor(wanted), atol=2e-3, rtol=1e-3)
    assert value.max() > 1e-3


def test_sensitivity_fails_on_the_bare_method(net, pictures):
    """What the adapter is for: a batch is taken apart where a tuple was meant."""
    cam = LayerGradCam(net, net.relu2)
    with pytest.raises((RuntimeError, AssertionError, IndexError, TypeError)):
        sensitivity_max(
            lambda inputs, **options: cam.attribute(inputs, **options), pictures, target=2
        )


def test_the_explanation_is_the_enlarged_map(net, pictures):
    cam = LayerClusterCam(net, net.relu2)
    (found,) = explanation_func(cam)((pictures,), target=2, n_clusters=3)
    wanted = upsample(cam.attribute(pictures, 2, n_clusters=3), (16, 16)).expand(-1, 3, -1, -1)
    assert torch.equal(found, wanted)
    (other,) = explanation_func(cam)((pictures,), target=2)
    assert not torch.equal(found, other)


def test_stock_methods_run_without_gradients(net, pictures):
    with torch.no_grad():
        (found,) = explanation_func(GradCAM(net, [net.relu2]))(pictures, target=2)
    stock = GradCAM(net, [net.relu2])(pictures, [ClassifierOutputTarget(2)] * 3)
    np.testing.assert_array_equal(found[:, 0].numpy(), stock)


TARGETS = [
    2,
    torch.tensor(2),
    [2, 2, 2],
    (2, 2, 2),
    torch.tensor([2, 2, 2]),
    np.array([2, 2, 2]),
    ClassifierOutputTarget(2),
    [lambda output: output[2]] * 3,
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: type(target).__name__)
def test_every_form_of_target_reaches_pytorch_grad_cam(net, pictures, target):
    (found,) = explanation_func(ClusterCAM(net, [net.relu2]))(pictures, target=target)
    wanted = ClusterCAM(net, [net.relu2])(pictures, [ClassifierOutputTarget(2)] * 3)
    np.testing.assert_array_equal(found[:, 1].numpy(), wanted)


def test_without_a_target_pytorch_grad_cam_takes_the_top_class(net, pictures):
    (found,) = explanation_func(ClusterCAM(net, [net.relu2]))(pictures)
    np.testing.assert_array_equal(found[:, 0].numpy(), ClusterCAM(net, [net.relu2])(pictures))


def test_a_frozen_model_is_explained(net, pictures):
    wanted = explanation_func(LayerGradCam(net, net.relu2))(pictures, target=2)
    net.requires_grad_(False)
    for explainer in (LayerGradCam(net, net.relu2), GradCAM(net, [net.relu2])):
        (found,) = explanation_func(explainer)(pictures, target=2)
        top = found.flatten(1).argmax(dim=1)
        assert torch.equal(top, wanted[0].flatten(1).argmax(dim=1))


def test_images_are_left_alone(net, pictures):
    def explain(inputs, target):
        inputs.mul_(0)
        return inputs.sum(dim=1)

    before = pictures.clone()
    explanation_func(explain)(pictures)
    assert torch.equal(pictures, before)


@pytest.mark.parametrize("signed", [False, True])
def test_quantus_form(net, pictures, signed):
    explain = quantus_explain_func(lambda model: LayerClusterCam(model, model.relu2), signed=signed)
    labels = np.array([2, 0, 4])
    found = explain(model=net, inputs=pictures.numpy(), targets=labels, n_clusters=3)
    cam = LayerClusterCam(net, net.relu2)
    maps = cam.attribute(pictures, labels.tolist(), n_clusters=3)
    wanted = (upsample if signed else saliency)(maps, (16, 16))
    assert type(found) is np.ndarray
    assert found.shape == (3, 1, 16, 16)
    np.testing.assert_array_equal(found, wanted.numpy())


def test_quantus_form_explains_the_model_it_is_given(net, pictures):
    explain = quantus_explain_func(lambda model: LayerClusterCam(model, model.relu2))
    other = SmallNet(seed=1).eval()
    found = [
        explain(one, pictures.numpy(), np.array([1] * 3), device="cpu") for one in (net, other)
    ]
    wanted = LayerClusterCam(other, other.relu2).attribute(pictures, 1)
    np.testing.assert_array_equal(found[1], saliency(wanted, (16, 16)).numpy())
    assert not np.allclose(found[0], found[1])


def test_quantus_form_casts_to_the_model(net, pictures):
    explain = quantus_explain_func(lambda model: LayerClusterCam(model, model.relu2))
    doubled = explain(SmallNet().double().eval(), pictures.numpy(), np.array([1] * 3))
    single = explain(net, pictures.double().numpy(), np.array([1] * 3))
    assert (doubled.dtype, single.dtype) == (np.float64, np.float32)


def test_quantus_form_of_input_attributions(net, pictures):
    explain = quantus_explain_func(Saliency, channels="sum", signed=True)
    found = explain(net, pictures.numpy(), np.array([1] * 3))
    wanted = maps_of(Saliency(net).attribute(pictures, 1), channels="sum")
    np.testing.assert_allclose(found[:, 0], wanted.numpy(), rtol=1e-6)


def test_bad_explainers(pictures):
    with pytest.raises(TypeError, match="Expected explainer to be a function, or an object with"):
        explanation_func(3)(pictures)
    with pytest.raises(TypeError, match="Expected explainer_of to be a function of a model"):
        quantus_explain_func(3)
    with pytest.raises(TypeError, match="Expected signed to be True or False"):
        quantus_explain_func(LayerGradCam, signed=1)


def test_bad_targets_for_pytorch_grad_cam(net, pictures):
    explain = explanation_func(ClusterCAM(net, [net.relu2]))
    with pytest.raises(
        ValueError, match="one label, or one for each of 3 images, but got 2 of them"
    ):
        explain(pictures, target=[1, 2])
    with pytest.raises(TypeError, match="Expected target to be a class index or a callable"):
        explain(pictures, target=1.5)


def test_bad_inputs(net, pictures):
    explain = explanation_func(LayerGradCam(net, net.relu2))
    with pytest.raises(ValueError, match="Expected inputs to be one tensor of images"):
        explain((pictures, pictures), target=0)
    with pytest.raises(TypeError, match="Expected maps to be maps"):
        explanation_func(lambda inputs, target: "map")(pictures)
