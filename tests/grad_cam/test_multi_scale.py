"""MultiScaleCAM around this package's CAMs and the host's own."""

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from captum_cluster import (
    CollectionCAM,
    LayerClusterCam,
    LayerCollectionCam,
    LayerMinMaxGradCam,
    LayerMultiBranchCam,
    MinMaxTarget,
    MultiScale,
    MultiScaleCAM,
)
from captum_cluster.grad_cam import ClusterCAM, MinMaxGradCAM, MultiBranchCAM
from tests.attr.test_multi_scale import slow_sum
from tests.conformance.cases import assert_same_state, state_of
from tests.helpers.nets import SmallNet, images

SIZE = (16, 24)
SCALES = (0.5, 1.0, 1.5)
LABELS = [3, 0, 2]


def net():
    return SmallNet().eval().double()


def batch(n=3):
    return images(n, size=SIZE)


def targets(labels=LABELS):
    return [ClassifierOutputTarget(label) for label in labels]


@pytest.mark.parametrize("name", ["GradCAM", "HiResCAM", "EigenCAM"])
def test_the_hosts_own_maps_are_summed_as_they_are_shown(name):
    model, x = net(), batch(2)
    stock = getattr(pytorch_grad_cam, name)(model, [model.relu2])
    found = MultiScaleCAM(stock, SCALES)(x, targets([3, 0]))
    assert found.shape == (2, *SIZE)
    assert found.dtype == np.float32
    for n, label in enumerate([3, 0]):

        def explain(image, label=label):
            return stock(image, targets([label]))[0]

        np.testing.assert_allclose(found[n], slow_sum(explain, x[n]), atol=1e-5)
        assert found[n].max() == 1


@pytest.mark.parametrize(
    ("face", "captum", "layers"),
    [
        (ClusterCAM, LayerClusterCam, ["relu2"]),
        (MultiBranchCAM, LayerMultiBranchCam, ["relu1", "relu2"]),
        (CollectionCAM, LayerCollectionCam, ["relu1", "relu2"]),
    ],
)
def test_both_faces_give_the_same(face, captum, layers):
    model, x = net(), batch()
    modules = [getattr(model, name) for name in layers]
    shown = MultiScaleCAM(face(model, modules), SCALES)(x, targets())
    cam = captum(model, modules if len(modules) > 1 else modules[0])
    expected = MultiScale(cam, SCALES).attribute(x, LABELS)[:, 0]
    np.testing.assert_allclose(shown, expected.numpy(), atol=1e-6)


def test_labels_travel_in_the_targets():
    model, x = net(), batch()
    labels = [[3, 1], [0, 4], [2, 0]]
    own = [MinMaxTarget(*pair) for pair in zip(LABELS, labels, strict=True)]
    shown = MultiScaleCAM(MinMaxGradCAM(model, [model.relu2]), SCALES)(x, own)
    cam = MultiScale(LayerMinMaxGradCam(model, model.relu2), SCALES)
    expected = cam.attribute(x, LABELS, labels=labels)[:, 0]
    np.testing.assert_allclose(shown, expected.numpy(), atol=1e-6)


def test_without_targets_every_view_explains_the_top_class_of_the_image_as_it_is():
    model, x = SmallNet(seed=3).eval().double(), batch()
    top = model(x).argmax(dim=1).tolist()
    smaller = torch.nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)
    assert model(smaller).argmax(dim=1).tolist() != top, "the test shows nothing"
    for cam in (ClusterCAM(model, [model.relu2]), pytorch_grad_cam.GradCAM(model, [model.relu2])):
        scaled = MultiScaleCAM(cam, SCALES)
        np.testing.assert_array_equal(scaled(x), scaled(x, targets(top)))


def test_what_is_averaged_or_smoothed_is_taken_as_it_is_shown():
    model, x = net(), batch(1)
    cam = ClusterCAM(model, [model.relu1, model.relu2])

    def explain(image):
        return cam(image, targets([3]))[0]

    found = MultiScaleCAM(cam, SCALES)(x, targets([3]))
    np.testing.assert_allclose(found[0], slow_sum(explain, x[0]), atol=1e-5)
    one = ClusterCAM(model, [model.relu2])

    def smooth(image):
        return one(image, targets([3]), eigen_smooth=True)[0]

    found = MultiScaleCAM(one, SCALES)(x, targets([3]), eigen_smooth=True)
    np.testing.assert_allclose(found[0], slow_sum(smooth, x[0]), atol=1e-5)


def test_everything_is_as_it_was():
    model, x = net(), batch()
    model(x).sum().backward()
    before = state_of(model, x)
    MultiScaleCAM(ClusterCAM(model, [model.relu2]))(x)
    assert_same_state(before, state_of(model, x))


def test_errors():
    model, x = net(), batch()
    with pytest.raises(TypeError, match=r"^Expected cam to be an object of a BaseCAM class"):
        MultiScaleCAM(model)
    cam = ClusterCAM(model, [model.relu2])
    with pytest.raises(ValueError, match=r"^Expected each of scales to be a number above 0"):
        MultiScaleCAM(cam, [-1.0])
    scaled = MultiScaleCAM(cam, [1.0])
    with pytest.raises(ValueError, match=r"^Expected targets to be a list with one callable"):
        scaled(x, targets([0]))
    with pytest.raises(ValueError, match=r"^Expected input_tensor to be a batch of images"):
        scaled(x[0])
    with pytest.raises(TypeError, match=r"^Expected aug_smooth to be True or False"):
        scaled(x, targets(), aug_smooth=1)
