"""The maps of a module that was trained with sub-categories, in both faces."""

import pytest
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from captum_cluster.attr import (
    LayerClassActivationMap,
    LayerMinMaxCam,
    LayerSubCategoryCam,
)
from captum_cluster.evaluation import explain
from captum_cluster.grad_cam import CAM, MinMaxCAM, MinMaxTarget, SubCategoryCAM
from captum_cluster.training import LitCamClassifier
from tests.helpers import minmax_references as ref
from tests.helpers import nets, sub_category_references
from tests.helpers.method_cases import assert_close, maps_of
from tests.helpers.trainings import (
    UsersModule,
    discovery,
    loader,
    scene_data,
    tiny_network,
    trainer,
)

IMAGES = nets.images(2, 3, 8, dtype=torch.float32)


def users_module():
    module = UsersModule()
    trainer(6, discovery()).fit(module, loader())
    return module.eval(), module.stem[1]


def lightning_classifier():
    module = LitCamClassifier(tiny_network())
    trainer(6, discovery()).fit(module, scene_data())
    return module.eval(), module.network.body


@pytest.fixture(scope="module", params=[users_module, lightning_classifier])
def trained(request):
    """A module after a training with sub-categories, and its pooled layer."""
    return request.param()


def close(found, expected):
    assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_cam_in_both_faces_after_the_discovery(trained):
    module, layer = trained
    found = LayerClassActivationMap(module, layer).attribute(IMAGES, 1)
    for n, maps in enumerate(maps_of(module, layer, IMAGES)):
        close(found[n, 0], ref.cam(maps, module.parent_head.weight, 1))
    cam = CAM(module, [layer])
    cam(IMAGES, [ClassifierOutputTarget(1)] * 2)
    close(cam.results[0].maps, found)
    close(explain(module, IMAGES[0], "cam", 1, layer).maps[0], found[0])


def test_minmax_cam_in_both_faces_after_the_discovery(trained):
    module, layer = trained
    labels = [[0, 1]] * 2
    found = LayerMinMaxCam(module, layer).attribute(IMAGES, 1, labels=labels)
    for n, maps in enumerate(maps_of(module, layer, IMAGES)):
        close(found[n, 0], ref.minmax_cam(maps, module.parent_head.weight, 1, [0, 1]))
    cam = MinMaxCAM(module, [layer])
    cam(IMAGES, [MinMaxTarget(1, labels=[0, 1])] * 2)
    close(cam.results[0].maps, found)


def test_the_maps_of_sub_categories_after_the_discovery(trained):
    module, layer = trained
    found = LayerSubCategoryCam(module, layer).attribute(IMAGES, 1)
    assert found.max() > 0
    weight = module.sub_category_head.weight
    for n, maps in enumerate(maps_of(module, layer, IMAGES)):
        close(found[n, 0], sub_category_references.sub_category_cam(maps, weight, 1, 3))
    cam = SubCategoryCAM(module, [layer])
    cam(IMAGES, [ClassifierOutputTarget(1)] * 2)
    close(cam.results[0].maps, found)
