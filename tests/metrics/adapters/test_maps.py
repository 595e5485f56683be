"""Maps of every library in one form, and in the forms that the libraries take."""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, Saliency
from captum.metrics import infidelity
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.metrics.road import ROADMostRelevantFirst, ROADMostRelevantFirstAverage
from pytorch_grad_cam.utils.model_targets import (
    ClassifierOutputSoftmaxTarget,
    ClassifierOutputTarget,
)

from captum_cluster.attr import LayerClusterCam
from captum_cluster.functional.attribution.grids import upsample
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics import average_drop, average_increase, energy_inside
from captum_cluster.grad_cam import ClusterCAM
from captum_cluster.metrics import EnergyProportion, PointingGame
from captum_cluster.metrics.adapters import as_cams, as_input_attributions, maps_of
from tests.helpers.nets import SmallNet, images


@pytest.fixture
def net():
    return SmallNet().eval()


@pytest.fixture
def pictures():
    return images(3, size=16, dtype=torch.float32)


MAPS = torch.tensor([[[1.0, -2.0], [0.0, 4.0]], [[3.0, 1.0], [2.0, 0.5]]])


@pytest.mark.parametrize(
    "found",
    [
        MAPS,
        MAPS[:, None],
        MAPS.numpy(),
        MAPS[:, None].numpy(),
        [MAPS],
        (MAPS[:, None],),
        MAPS.clone().requires_grad_(),
        MAPS.flip(0).numpy()[::-1],
    ],
    ids=["(N,h,w)", "Captum", "grad-cam", "Quantus", "torchcam", "tuple", "graph", "backwards"],
)
def test_every_form_gives_the_same_maps(found):
    maps = maps_of(found)
    assert torch.equal(maps, MAPS)
    assert not maps.requires_grad


def test_channels_are_summed_or_taken_as_targets():
    found = torch.stack([MAPS, -2 * MAPS], dim=1)
    assert torch.equal(maps_of(found, channels="sum"), -MAPS)
    assert torch.equal(maps_of(found, channels="abs"), 3 * MAPS.abs())
    rows = torch.stack([MAPS[0], -2 * MAPS[0], MAPS[1], -2 * MAPS[1]])
    assert torch.equal(maps_of(found, channels="pairs"), rows)


def test_integers_become_floating_point_and_doubles_stay():
    assert maps_of(np.ones((1, 2, 2), dtype=np.uint8)).dtype == torch.float32
    assert maps_of(MAPS.double()).dtype == torch.float64


def test_an_array_is_copied():
    array = np.zeros((1, 2, 2))
    maps_of(array)[0, 0, 0] = 1
    assert array.sum() == 0


@pytest.mark.parametrize(
    ("found", "error", "message"),
    [
        (torch.ones(2, 2), ValueError, r"to be maps \(N,h,w\), or \(N,1,h,w\).*shape \(2, 2\)"),
        (torch.ones(2, 3, 2, 2), ValueError, r"of one channel \(N,1,h,w\).*shape \(2, 3, 2, 2\)"),
        ([MAPS, MAPS], ValueError, r"those of one layer \(torchcam's fuse_cams.*a list of 2"),
        ([], ValueError, "a list of 0"),
        ("map", TypeError, r"Expected maps to be .*but got 'map' \(str\)"),
        (None, TypeError, "but got None"),
        (torch.ones(1, 2, 2, dtype=torch.complex64), TypeError, "complex64"),
    ],
)  # fmt: skip
def test_what_is_no_map(found, error, message):
    with pytest.raises(error, match=message):
        maps_of(found)


def test_channels_out_of_the_choice():
    with pytest.raises(ValueError, match="Expected channels to be one of 'sum', 'abs', 'pairs'"):
        maps_of(MAPS, channels="mean")
    with pytest.raises(TypeError, match="Expected channels to be one of"):
        maps_of(MAPS, channels=1)


def test_input_attributions_are_the_enlarged_map_in_every_channel():
    pictures = torch.zeros(2, 3, 4, 6, dtype=torch.float64)
    found = as_input_attributions(MAPS[:, None], (pictures,))
    assert found.dtype == torch.float64
    for channel in range(3):
        assert torch.equal(found[:, channel], upsample(MAPS.double(), (4, 6)))


def test_attributions_of_the_input_stay(net, pictures):
    attributions = Saliency(net).attribute(pictures, target=1)
    assert torch.equal(as_input_attributions(attributions, pictures), attributions)
    summed = as_input_attributions(attributions, pictures, channels="sum")
    assert torch.equal(summed[:, 2], attributions.sum(dim=1))


def test_attributions_that_do_not_fit():
    with pytest.raises(ValueError, match="Expected maps to be one for each of 3 images, but got 2"):
        as_input_attributions(MAPS, torch.zeros(3, 1, 4, 4))
    with pytest.raises(ValueError, match=r"Expected inputs to be one tensor of images \(N,c,H,W\)"):
        as_input_attributions(MAPS, (torch.zeros(2, 1, 4, 4), torch.zeros(2, 1)))


def _noise(inputs):
    generator = torch.Generator().manual_seed(len(inputs))
    noise = 0.1 * torch.randn(inputs.shape, generator=generator)
    return noise, inputs - noise


@pytest.mark.parametrize("face", ["captum", "grad-cam"])
def test_infidelity_is_its_definition(net, pictures, face):
    if face == "captum":
        found = LayerClusterCam(net, net.relu2).attribute(pictures, target=2)
    else:
        found = ClusterCAM(net, [net.relu2])(pictures, [ClassifierOutputTarget(2)] * 3)
    attributions = as_input_attributions(found, pictures)
    value = infidelity(net, _noise, pictures, attributions, target=2, n_perturb_samples=4)
    noise, perturbed = _noise(pictures.repeat_interleave(4, dim=0))
    with torch.no_grad():
        fall = net(pictures)[:, 2].repeat_interleave(4) - net(perturbed)[:, 2]
    enlarged = upsample(maps_of(found), (16, 16)).repeat_interleave(4, dim=0)
    wanted = ((noise * enlarged[:, None]).sum(dim=(1, 2, 3)) - fall) ** 2
    torch.testing.assert_close(value, wanted.reshape(3, 4).mean(dim=1))


def test_infidelity_refuses_the_map_itself(net, pictures):
    """What the adapter is for."""
    found = LayerClusterCam(net, net.relu2).attribute(pictures, target=2)
    with pytest.raises(AssertionError, match="must have matching shapes"):
        infidelity(net, _noise, pictures, found, target=2)


def test_cams_are_saliency_maps():
    cams = as_cams(MAPS[:, None].double(), (4, 6))
    assert cams.dtype == np.float32
    assert cams.shape == (2, 4, 6)
    np.testing.assert_allclose(cams, saliency(MAPS, (4, 6)).numpy(), atol=1e-6)
    assert (cams.min(axis=(1, 2)), cams.max()) == (pytest.approx([0, 0]), 1)


def test_grad_cams_confidence_metrics_of_ours(net, pictures):
    labels = [0, 3, 1]
    found = LayerClusterCam(net, net.relu2).attribute(pictures, target=labels)
    cams = as_cams(found, (16, 16))
    targets = [ClassifierOutputSoftmaxTarget(label) for label in labels]
    drop = DropInConfidence()(pictures, cams, targets, net)
    increase = IncreaseInConfidence()(pictures, cams, targets, net)
    masked = pictures * saliency(found, (16, 16))
    with torch.no_grad():
        before = net(pictures).softmax(dim=1)[range(3), labels]
        after = net(masked).softmax(dim=1)[range(3), labels]
    assert (drop > 0).any()
    relative = torch.from_numpy(drop) / before  # the host does not divide
    torch.testing.assert_close(relative.mean(), average_drop(before, after))
    assert increase.mean() == pytest.approx(float(average_increase(before, after)))


@pytest.mark.parametrize(
    "metric", [ROADMostRelevantFirst(75), ROADMostRelevantFirstAverage([60, 90])]
)
def test_road_of_ours(net, pictures, metric):
    """ROAD ranks pixels: our map through it is what it makes of the same pixels marked by hand."""
    found = LayerClusterCam(net, net.relu2).attribute(pictures, target=2)
    targets = [ClassifierOutputTarget(2)] * 3
    by_hand = saliency(found[:, 0], (16, 16)).numpy()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        value = metric(pictures, as_cams(found, (16, 16)), targets, net)
        torch.manual_seed(0)
        wanted = metric(pictures, by_hand, targets, net)
        torch.manual_seed(0)
        other = metric(pictures, 1 - by_hand, targets, net)
    np.testing.assert_array_equal(value, wanted)
    assert np.isfinite(value).all()
    assert not np.allclose(value, other, atol=1e-3)


def test_road_takes_the_face_itself(net, pictures):
    cams = ClusterCAM(net, [net.relu2])(pictures, [ClassifierOutputTarget(2)] * 3)
    value = ROADMostRelevantFirst(75)(pictures, cams, [ClassifierOutputTarget(2)] * 3, net)
    assert value.shape == (3,)
    assert np.isfinite(value).all()


def test_stock_maps_of_three_libraries_through_ours(net, pictures):
    """Grad-CAM of each library: the same energy inside a region but for how it is enlarged."""
    torchcam = pytest.importorskip("torchcam.methods")
    region = torch.zeros(3, 16, 16, dtype=torch.bool)
    region[:, :8] = True
    layer = net.relu2
    captum = LayerGradCam(net, layer).attribute(pictures, 2).detach()
    with torchcam.GradCAM(net, layer) as extractor:
        theirs = extractor(2, net(pictures), normalized=False)
    stock = GradCAM(net, [layer])(pictures, [ClassifierOutputTarget(2)] * 3)
    wanted = energy_inside(saliency(captum[:, 0], (16, 16)), region)
    torch.testing.assert_close(energy_inside(maps_of(captum), region), wanted)
    torch.testing.assert_close(energy_inside(maps_of(theirs), region), wanted)
    torch.testing.assert_close(energy_inside(maps_of(stock), region), wanted, atol=1e-3, rtol=0)
    for found in (captum, theirs, stock):
        energy, game = EnergyProportion(), PointingGame()
        energy.update(maps_of(found), masks=region)
        game.update(maps_of(found), masks=region)
        assert float(energy.compute()) == pytest.approx(float(wanted.mean()), abs=1e-3)
        top = saliency(captum[:, 0], (16, 16)).flatten(1).argmax(dim=1)
        assert float(game.compute()) == pytest.approx(float((top < 8 * 16).float().mean()))
    assert wanted.unique().numel() > 1
