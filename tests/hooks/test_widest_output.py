"""The largest tensor that a model makes of an image, and the passes that it leads to."""

import threading

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet18

from captum_cluster import ClusterCAM, LayerClusterCam
from captum_cluster.hooks import widest_output
from tests.conformance.cases import hooks_of


def small():
    """A network whose largest tensor is that of the transposed convolution: 4x16x16 floats."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 1),
        nn.ConvTranspose2d(2, 4, 2, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 3),
    )


def test_the_largest_tensor_counts_for_one_image():
    net = small()
    with torch.no_grad(), widest_output(net) as widest:
        assert widest.bytes == 0
        net(torch.zeros(5, 1, 8, 8))
    assert widest.bytes == 4 * 16 * 16 * 4
    assert not hooks_of(net)


def test_parts_of_other_kinds_are_passed_over():
    net = small()
    for model in (lambda x: net(x), torch.jit.trace(net.eval(), torch.zeros(1, 1, 8, 8))):
        with torch.no_grad(), widest_output(model) as widest:
            model(torch.zeros(1, 1, 8, 8))
        assert widest.bytes == 0
    assert not hooks_of(net)


def test_passes_of_other_threads_do_not_count():
    net = small()
    with torch.no_grad(), widest_output(net) as widest:
        other = threading.Thread(target=lambda: net(torch.zeros(1, 1, 8, 8)))
        other.start()
        other.join()
    assert widest.bytes == 0


def test_the_hooks_are_gone_after_an_error():
    net = small()
    with pytest.raises(RuntimeError), widest_output(net):
        net(torch.zeros(1, 1, 9, 9))
    assert not hooks_of(net)


def by_captum(model, layer, images):
    LayerClusterCam(model, layer).attribute(images, 1, n_clusters=24)


def by_grad_cam(model, layer, images):
    ClusterCAM(model, [layer], n_clusters=24)(images)


@pytest.mark.parametrize(
    ("family", "rows"),
    # Of eight images of 224x224 their largest activations are 24.5 and 36.8 MiB.
    [(resnet18, 8), (mobilenet_v2, 6)],
)
@pytest.mark.parametrize("explain", [by_captum, by_grad_cam])
def test_passes_are_as_large_as_the_activations_allow(family, rows, explain):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, image = family(num_classes=3).eval(), torch.rand(1, 3, 224, 224)
    layer = model.layer4 if family is resnet18 else model.features[-1]
    sizes = []
    with model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0]))):
        explain(model, layer, image)
    assert sizes == [1] + [rows] * (24 // rows)
