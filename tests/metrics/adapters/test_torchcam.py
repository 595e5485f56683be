"""Our methods, and any other, through torchcam's own metrics."""

import functools

import pytest
import torch
from captum.attr import LayerGradCam

from captum_cluster.attr import LayerClusterCam
from captum_cluster.functional.metrics import (
    average_drop,
    average_increase,
    deletion_insertion,
    perturbation_area,
    perturbation_steps,
)
from captum_cluster.grad_cam import ClusterCAM
from captum_cluster.metrics.adapters import TorchcamExtractor, maps_of
from tests.helpers.nets import SmallNet, images

torchcam_metrics = pytest.importorskip("torchcam.metrics")
torchcam_methods = pytest.importorskip("torchcam.methods")

SOFTMAX = functools.partial(torch.softmax, dim=-1)
LABELS = [3, 0, 4]


@pytest.fixture
def net():
    return SmallNet().double().eval()


@pytest.fixture
def pictures():
    return images(3, size=16)


FACES = {
    "Captum's face": lambda net: LayerClusterCam(net, net.relu2),
    "pytorch-grad-cam's face": lambda net: ClusterCAM(net, [net.relu2]),
    "stock": lambda net: LayerGradCam(net, net.relu2),
    "a function": lambda net: lambda inputs, target: inputs.abs().sum(dim=1),
}


def _probabilities(net, pictures):
    with torch.no_grad():
        return net(pictures).softmax(dim=1)[range(3), LABELS]


@pytest.mark.parametrize("name", FACES)
def test_the_classification_metric_equals_ours(net, pictures, name):
    extractor = TorchcamExtractor(net, FACES[name](net))
    metric = torchcam_metrics.ClassificationMetric(extractor, SOFTMAX)
    metric.update(pictures, LABELS)
    extractor.model(pictures)
    (maps,) = extractor(LABELS)
    before, after = (_probabilities(net, x) for x in (pictures, pictures * maps[:, None]))
    summary = metric.summary()
    assert summary["avg_drop"] == pytest.approx(float(average_drop(before, after)), abs=1e-5)
    assert summary["conf_increase"] == float(average_increase(before, after))
    assert 0 < summary["avg_drop"] < 1


def test_batches_add_up(net, pictures):
    extractor = TorchcamExtractor(net, LayerClusterCam(net, net.relu2))
    whole, parts = (torchcam_metrics.ClassificationMetric(extractor, SOFTMAX) for _ in range(2))
    whole.update(pictures, LABELS)
    for picture, label in zip(pictures, LABELS, strict=True):
        parts.update(picture[None], label)
    assert parts.summary() == pytest.approx(whole.summary())


def test_the_deletion_insertion_metric_equals_ours(net, pictures):
    cam = LayerClusterCam(net, net.relu2)
    metric = torchcam_metrics.DeletionInsertionMetric(TorchcamExtractor(net, cam), SOFTMAX)
    metric.update(pictures, LABELS)
    maps = maps_of(cam.attribute(pictures, LABELS))
    step = 13  # torchcam takes 20 steps: ceil(256 / 20) pixels in each
    curves = deletion_insertion(lambda x: net(x).softmax(dim=1), pictures, maps, LABELS, step)
    places = perturbation_steps(16, 16, step)
    deletion, insertion = (float(perturbation_area(one, places).mean()) for one in curves)
    summary = metric.summary()
    assert summary["deletion_auc"] == pytest.approx(deletion, abs=1e-6)
    assert summary["insertion_auc"] == pytest.approx(insertion, abs=1e-6)
    assert deletion != pytest.approx(insertion, abs=1e-3)


def test_without_a_class_torchcam_takes_the_top_one(net, pictures):
    seen = []

    def explain(inputs, target):
        seen.append(target)
        return inputs.sum(dim=1)

    extractor = TorchcamExtractor(net, explain)
    torchcam_metrics.ClassificationMetric(extractor).update(pictures)
    assert seen == [net(pictures).argmax(dim=1).tolist()]


def test_callable_targets(net, pictures):
    cam = LayerClusterCam(net, net.relu2)
    metric = torchcam_metrics.ClassificationMetric(TorchcamExtractor(net, cam), SOFTMAX)
    metric.update(pictures, targets=[lambda output, label=label: output[label] for label in LABELS])
    other = torchcam_metrics.ClassificationMetric(TorchcamExtractor(net, cam), SOFTMAX)
    other.update(pictures, LABELS)
    assert metric.summary() == pytest.approx(other.summary())


def test_maps_as_the_explainer_gives_them(net, pictures):
    cam = LayerClusterCam(net, net.relu2)
    extractor = TorchcamExtractor(net, cam, n_clusters=3)
    extractor.model(pictures)
    (maps,) = extractor(2, normalized=False)
    assert torch.equal(maps, cam.attribute(pictures, 2, n_clusters=3)[:, 0])
    (other,) = extractor(2, normalized=False, n_clusters=4)
    assert torch.equal(other, cam.attribute(pictures, 2, n_clusters=4)[:, 0])


def test_the_stock_extractors_map_is_captums(net, pictures):
    """The interface is torchcam's: its own Grad-CAM and Captum's behind it agree."""
    with torchcam_methods.GradCAM(net, net.relu2) as theirs:
        (wanted,) = theirs(LABELS, net(pictures), normalized=False)
    ours = TorchcamExtractor(net, LayerGradCam(net, net.relu2))
    scores = ours.model(pictures)
    (found,) = ours(LABELS, scores, normalized=False)
    torch.testing.assert_close(found.relu(), wanted)


def test_the_model_is_left_alone(net, pictures):
    net.train()
    net.fc.eval()
    flags = [module.training for module in net.modules()]
    names = list(dict(net.named_modules()))
    extractor = TorchcamExtractor(net, lambda inputs, target: inputs.sum(dim=1))
    torchcam_metrics.ClassificationMetric(extractor, SOFTMAX).update(pictures, LABELS)
    assert [module.training for module in net.modules()] == flags
    assert list(dict(net.named_modules())) == names
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_masked_images_are_not_remembered(net, pictures):
    extractor = TorchcamExtractor(net, lambda inputs, target: inputs.sum(dim=1))
    torchcam_metrics.ClassificationMetric(extractor).update(pictures, 1)
    (maps,) = extractor(1, normalized=False)
    assert torch.equal(maps, pictures.sum(dim=1))


def test_bad_input(net, pictures):
    with pytest.raises(TypeError, match=r"Expected model to be an nn\.Module"):
        TorchcamExtractor(lambda x: x, LayerGradCam(net, net.relu2))
    extractor = TorchcamExtractor(net, LayerGradCam(net, net.relu2))
    with pytest.raises(
        ValueError, match="the extractor's model to be called before .* no images yet"
    ):
        extractor(1)
    with pytest.raises(ValueError, match="one of class_idx and targets to be given"):
        extractor()
    with pytest.raises(ValueError, match="one of class_idx and targets to be given"):
        extractor(1, targets=lambda output: output[0])
