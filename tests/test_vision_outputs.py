"""torchvision's detection and segmentation models in both faces."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam.utils.model_targets import (
    FasterRCNNBoxScoreTarget,
    SemanticSegmentationTarget,
)
from pytorch_grad_cam.utils.reshape_transforms import fasterrcnn_reshape_transform
from torchvision.models import detection, segmentation

from captum_cluster import (
    AblationCAM,
    ClusterCAM,
    CollectionCAM,
    LayerAblationCam,
    LayerClusterCam,
    LayerCollectionCam,
    LayerMultiBranchCam,
    MultiBranchCAM,
)

FEW = {"n_clusters": 3, "score_function": "logit"}
FACES = {
    "cluster-cam": (LayerClusterCam, ClusterCAM, FEW),
    "collection-cam": (LayerCollectionCam, CollectionCAM, {"partition_sizes": (2, 3)}),
    "multi-branch-cam": (LayerMultiBranchCam, MultiBranchCAM, {}),
}
every_method = pytest.mark.parametrize("method", FACES)


@pytest.fixture(scope="module")
def detector():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = detection.fasterrcnn_mobilenet_v3_large_320_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=5,
            min_size=64,
            max_size=64,
            box_detections_per_img=8,
        )
        return model.eval(), torch.rand(2, 3, 64, 64)


def best_of(label):
    """The score of the best box of a label, 0 without one."""

    def target(found):
        scores = found["scores"][found["labels"] == label]
        return scores.max() if len(scores) else torch.tensor(0.0)

    return target


def boxes_of(model, images):
    with torch.no_grad():
        found = model(images)
    return [
        FasterRCNNBoxScoreTarget(one["labels"][:2].tolist(), one["boxes"][:2].numpy(), 0.3)
        for one in found
    ]


@every_method
def test_detections_in_both_faces(detector, method):
    model, images = detector
    captum, grad_cam, options = FACES[method]
    layer, targets = model.backbone.body["6"], boxes_of(model, images)
    cam = grad_cam(model, [layer], **options)
    shown = cam(images, targets)
    assert shown.shape == (2, 64, 64)
    maps = captum(model, layer).attribute(images, targets, **options)
    torch.testing.assert_close(maps, cam.results[0].maps, rtol=1e-4, atol=1e-5)
    assert maps.abs().max() > 0
    single = captum(model, layer).attribute(images[1:], targets[1:], **options)
    torch.testing.assert_close(maps[1:], single, rtol=1e-3, atol=1e-4)


def test_the_scores_are_those_of_the_masked_images(detector):
    model, images = detector
    target = best_of(1)
    result = LayerClusterCam(model, model.backbone.body["6"]).explain(images, [target], **FEW)
    for image in range(2):
        masks = result.render_masks(image, (64, 64))
        with torch.no_grad():
            expected = torch.stack([target(one) for one in model(images[image] * masks[:, None])])
        torch.testing.assert_close(result.scores[image, :, 0], expected, rtol=1e-3, atol=1e-4)


def test_no_box_that_matches_gives_zeros(detector):
    model, images = detector
    missing = [FasterRCNNBoxScoreTarget([99], np.array([[0.0, 0.0, 1.0, 1.0]]))] * 2
    layer = model.backbone.body["6"]
    assert (MultiBranchCAM(model, [layer])(images, missing) == 0).all()
    assert (LayerMultiBranchCam(model, layer).attribute(images, best_of(99)) == 0).all()
    cam = ClusterCAM(model, [layer], **FEW)
    assert np.isfinite(cam(images, missing)).all()
    assert (cam.results[0].scores == 0).all()


def test_the_hosts_transform_of_a_feature_pyramid(detector):
    model, images = detector
    cam = ClusterCAM(model, [model.backbone], fasterrcnn_reshape_transform, **FEW)
    shown = cam(images, boxes_of(model, images))
    assert shown.shape == (2, 64, 64)
    assert np.isfinite(shown).all()


@pytest.fixture(scope="module")
def segmenter():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = segmentation.lraspp_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=4
        )
        # Without one of many maps the scores differ little.
        return model.eval().double(), torch.rand(2, 3, 64, 64, dtype=torch.float64)


@pytest.mark.parametrize("method", [*FACES, "ablation-cam"])
def test_segmentation_in_both_faces(segmenter, method):
    model, images = segmenter
    ablation = (LayerAblationCam, AblationCAM, {})
    captum, grad_cam, options = {**FACES, "ablation-cam": ablation}[method]
    where = np.zeros((64, 64), dtype=np.float32)
    where[10:30, 20:50] = 1
    targets, layer = [SemanticSegmentationTarget(2, where)] * 2, model.backbone["16"]
    cam = grad_cam(model, [layer], output_selector="out", **options)
    assert cam(images, targets).shape == (2, 64, 64)
    maps = captum(model, layer, output_selector="out").attribute(images, targets, **options)
    torch.testing.assert_close(maps, cam.results[0].maps, rtol=1e-4, atol=1e-5)
    assert maps.abs().max() > 0
    # The same without a selector: the target picks.
    picking = [lambda one: targets[0](one["out"])] * 2
    again = captum(model, layer).attribute(images, picking, **options)
    torch.testing.assert_close(maps, again, rtol=1e-4, atol=1e-5)


def test_ablated_scores_of_a_part_of_the_output(segmenter):
    model, images = segmenter
    layer, target = model.backbone["16"], lambda out: out[2, 20:30, 10:40].sum()
    result = LayerAblationCam(model, layer, output_selector="out").explain(images, [target])

    def without(channel):
        def hook(_, __, output):
            output = output.clone()
            output[:, channel] = 0
            return output

        handle = layer.register_forward_hook(hook)
        with torch.no_grad():
            scores = torch.stack([target(one) for one in model(images)["out"]])
        handle.remove()
        return scores

    for channel in (0, 100, 959):
        expected = without(channel)
        torch.testing.assert_close(result.scores[:, channel, 0], expected, rtol=1e-9, atol=0)


def test_one_pixel_as_in_captum(segmenter):
    model, images = segmenter
    cam = LayerMultiBranchCam(model, model.backbone["16"], output_selector="out")
    maps = cam.attribute(images, (2, 20, 30))
    expected = cam.attribute(images, lambda out: out[2, 20, 30])
    torch.testing.assert_close(maps, expected)
