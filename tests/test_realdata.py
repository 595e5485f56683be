"""Real photographs with ground-truth boxes: Cluster-CAM against stock Grad-CAM."""

import pytest
import torch
from captum.attr import LayerGradCam

from captum_cluster import LayerClusterCam
from captum_cluster.functional.metrics import energy_inside

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def batch(real_photographs):
    """Images (30,3,224,224), their classes (30,), the pixels inside their boxes (30,224,224)."""
    images = torch.stack([photograph.image for photograph in real_photographs])
    classes = torch.tensor([photograph.class_index for photograph in real_photographs])
    inside = torch.stack([photograph.inside for photograph in real_photographs])
    return images, classes, inside


def test_the_data_is_what_its_description_says(batch, real_resnet18):
    images, classes, inside = batch
    assert images.shape == (30, 3, 224, 224)
    assert classes.bincount()[classes.unique()].tolist() == [3] * 10
    share = inside.float().mean(dim=(1, 2))
    assert share.min() > 0.02
    assert share.max() <= 1
    with torch.no_grad():
        right = (real_resnet18(images).argmax(dim=1) == classes).sum()
    assert right >= 15, "fewer than half of the images are classified right"


def test_cluster_cam_keeps_as_much_energy_inside_the_boxes_as_grad_cam(batch, real_resnet18):
    images, classes, inside = batch
    layer = real_resnet18.layer4
    stock = LayerGradCam(real_resnet18, layer).attribute(images, classes, relu_attributions=True)
    ours = LayerClusterCam(real_resnet18, layer).attribute(images, classes)
    assert ours.shape == stock.shape == (30, 1, 7, 7)
    grad_cam = energy_inside(stock.detach()[:, 0], inside).mean().item()
    cluster_cam = energy_inside(ours[:, 0], inside).mean().item()
    assert cluster_cam >= grad_cam - 0.05, f"Cluster-CAM {cluster_cam}, Grad-CAM {grad_cam}"
