"""MultiScale around this package's attributions and Captum's own, against a slow sum of views."""

import copy

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, NoiseTunnel, Saliency

from captum_cluster import (
    LayerClassActivationMap,
    LayerClusterCam,
    LayerMinMaxGradCam,
    LayerRise,
    MultiScale,
)
from tests.conformance.cases import assert_same_state, state_of
from tests.helpers import level_references as ref
from tests.helpers import references
from tests.helpers.nets import SmallNet, TupleNet, images

SIZE = (16, 24)
SCALES = (0.5, 1.0, 1.5)
LABELS = [3, 0, 2]


def net():
    return SmallNet().eval().double()


def batch(n=3):
    return images(n, size=SIZE)


def slow_sum(explain, x, scales=SCALES, flip=True):
    """The sum over the views of one image x (c,H,W), pixel by pixel; ``explain`` gives (h,w)."""
    total = np.zeros(x.shape[1:])
    for scale in scales:
        size = (round(scale * x.shape[1]), round(scale * x.shape[2]))
        seen = torch.nn.functional.interpolate(
            x[None], size, mode="bilinear", align_corners=False, antialias=scale < 1
        )
        for mirrored in (False, True) if flip else (False,):
            maps = references.array(explain(torch.flip(seen, [3]) if mirrored else seen))
            maps = maps[:, ::-1] if mirrored else maps
            total += references.up(np.maximum(maps, 0), x.shape[1:])
    return ref.by_maximum(total)


METHODS = {
    "cam": (LayerClassActivationMap, {}),
    "cluster-cam": (LayerClusterCam, {"n_clusters": 3}),
    "rise": (LayerRise, {"n_masks": 6, "grid_size": 4}),
    "captum": (LayerGradCam, {}),
}


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("name", METHODS)
def test_against_the_slow_sum(name, flip):
    model, x = net(), batch(2)
    kind, options = METHODS[name]
    cam = kind(model, model.relu2)
    found = MultiScale(cam, SCALES, flip).attribute(x, [3, 0], **options)
    assert found.shape == (2, 1, *SIZE)
    assert not found.requires_grad
    for n, target in enumerate([3, 0]):

        def explain(image, target=target):
            return cam.attribute(image, target, **options)[0, 0]

        np.testing.assert_allclose(found[n, 0], slow_sum(explain, x[n], flip=flip), atol=1e-9)
        assert found[n].amax() == 1


def test_an_attribution_of_the_input_is_summed_over_its_channels():
    model, x = net(), batch(1)
    saliency = Saliency(model)

    def explain(image):
        return saliency.attribute(image.requires_grad_(), 3, abs=False)[0].sum(dim=0)

    x.requires_grad_()
    found = MultiScale(saliency, SCALES).attribute(x, 3, abs=False)
    np.testing.assert_allclose(found[0, 0], slow_sum(explain, x.detach()[0]), atol=1e-9)
    assert x.grad is None


def test_one_view_is_the_map_itself():
    model, x = net(), batch()
    cam = LayerGradCam(model, model.relu2)
    found = MultiScale(cam, scales=[1.0], flip=False).attribute(x, LABELS)
    large = LayerGradCam.interpolate(cam.attribute(x, LABELS).detach().relu(), SIZE, "bilinear")
    torch.testing.assert_close(found, large / large.amax(dim=(2, 3), keepdim=True))


def test_a_symmetric_image_gives_a_symmetric_map():
    model, x = net(), batch()
    x = (x + x.flip(3)) / 2
    cam = MultiScale(LayerGradCam(model, model.relu2))
    maps = cam.attribute(x, LABELS)
    torch.testing.assert_close(maps, maps.flip(3))
    once = MultiScale(LayerGradCam(model, model.relu2), flip=False).attribute(x, LABELS)
    assert not torch.allclose(once, once.flip(3), atol=0.05)


def test_each_view_counts_by_its_size():
    """The map of a view in which the label has a large score weighs more."""
    model, x = net(), batch(1)
    cam = LayerGradCam(model, model.relu2)
    views = [MultiScale(cam, [scale], flip=False).attribute(x, 3) for scale in (1.0, 2.0)]
    both = MultiScale(cam, [1.0, 2.0], flip=False).attribute(x, 3)
    mean = sum(views) / 2
    assert not torch.allclose(both, mean / mean.amax(), atol=0.01)


def test_several_targets():
    model, x = net(), batch()
    cam = MultiScale(LayerClusterCam(model, model.relu2), SCALES)
    found = cam.attribute_targets(x, [3, 0], n_clusters=3)
    assert found.shape == (3, 2, *SIZE)
    for t, target in enumerate([3, 0]):
        alone = cam.attribute(x, target, n_clusters=3)
        torch.testing.assert_close(found[:, t : t + 1], alone)


def test_labels_go_to_every_view():
    model, x = net(), batch(1)
    cam = LayerMinMaxGradCam(model, model.relu2)
    found = MultiScale(cam, SCALES).attribute(x, 3, labels=[[3, 1]])

    def explain(image):
        return cam.attribute(image, 3, labels=[[3, 1]])[0, 0]

    np.testing.assert_allclose(found[0, 0], slow_sum(explain, x[0]), atol=1e-9)


def test_a_tuple_of_inputs():
    model, x = net(), batch()
    factor = torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)

    def function(image, factor):
        return model(image * factor[:, :, None, None])

    cam = MultiScale(LayerGradCam(function, model.relu2), SCALES)
    found = cam.attribute((x, factor), LABELS)
    for n in range(3):
        one = slice(n, n + 1)
        alone = cam.attribute((x[one], factor[one]), LABELS[n])
        torch.testing.assert_close(found[one], alone)


def test_with_noise_tunnel_on_either_side():
    model, x = net(), batch()
    cam = LayerGradCam(model, model.relu2)
    expected = MultiScale(cam, SCALES).attribute(x, LABELS)
    assert callable(MultiScale.attribute.__wrapped__)
    settings = {"nt_type": "smoothgrad", "nt_samples": 2, "stdevs": 0.0, "target": LABELS}
    outside = NoiseTunnel(MultiScale(cam, SCALES)).attribute(x, **settings)
    torch.testing.assert_close(outside, expected)
    inside = MultiScale(NoiseTunnel(cam), SCALES)
    del settings["target"]
    torch.testing.assert_close(inside.attribute(x, LABELS, **settings), expected)


def test_everything_is_as_it_was():
    model, x = net(), batch()
    model(x).sum().backward()
    before = state_of(model, x)
    MultiScale(LayerGradCam(model, model.relu2)).attribute(x, LABELS)
    MultiScale(LayerClusterCam(model, model.relu2)).attribute_targets(x, [0, 1])
    assert_same_state(before, state_of(model, x))


def test_the_object_can_be_copied():
    model, x = net(), batch()
    cam = MultiScale(LayerClassActivationMap(model, model.relu2), SCALES)
    again = copy.deepcopy(cam)
    assert again.forward_func is not model
    assert torch.equal(again.attribute(x, LABELS), cam.attribute(x, LABELS))


def test_errors():
    model, x = net(), batch()
    cam = LayerGradCam(model, model.relu2)
    with pytest.raises(TypeError, match=r"^Expected attribution_method to be an object with a met"):
        MultiScale(model)
    with pytest.raises(ValueError, match=r"^Expected each of scales to be a number above 0"):
        MultiScale(cam, [0])
    with pytest.raises(TypeError, match=r"^Expected attribution_method to have attribute_targets"):
        MultiScale(cam).attribute_targets(x, [0, 1])
    with pytest.raises(ValueError, match=r"^Expected inputs to be a batch of images of shape"):
        MultiScale(cam).attribute(x[0], 0)
    pair = TupleNet().eval().double()
    two = MultiScale(LayerClusterCam(pair, pair.layer))
    with pytest.raises(TypeError, match=r"^Expected the attribution to be one tensor \(N,C,h,w\)"):
        two.attribute(x, 0, n_clusters=2)
