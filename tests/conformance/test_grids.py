"""Signals and volumes: the same network on a flat grid of two dimensions is the reference.

A signal (N,c,L) is an image (N,c,1,L), and an image (N,c,H,W) a volume (N,c,1,H,W), for a network
whose kernels are flat there: every method must give the same map. RISE draws other cells for each
number of dimensions, and is compared with its definition.
"""

import numpy as np
import pytest
import torch
from pytorch_grad_cam.utils.image import scale_cam_image
from torch import nn

from captum_cluster import (
    RISE,
    LayerMinMaxGradCam,
    LayerRise,
    LayerScoreCam,
    MinMaxGradCAM,
    MultiScale,
    MultiScaleCAM,
    ScoreCAM,
)
from captum_cluster._checks import LayerError
from tests.conformance.cases import assert_same_state, each, labels_of, state_of
from tests.conformance.nets import GridNet
from tests.helpers.grid_nets import SpectrogramNet, batch

EXACT = {"rtol": 1e-9, "atol": 1e-11}
LABELS = [1, 0, 4]
KERNELS = {1: (3,), 3: (3, 3, 3)}
SIZES = {1: (40,), 3: (6, 8, 10)}
GRIDS = {1: (20,), 3: (3, 4, 5)}

pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")

of_layer = each(of_layer=True)
every_case = each()
every_grid = pytest.mark.parametrize("dims", [1, 3])


def layer_of(case, model):
    """The deepest layer with negative values that the method can explain."""
    return model.relu2 if case.closed_form or case.sub_head else model.conv2


def maps_of(case, model, x, like=None, **options):
    """Return each image's map; the labels present depend on ``like`` alone."""
    own = {**case.options, **case.given(labels_of(x if like is None else like)), **options}
    return case.captum(model, layer_of(case, model)).attribute(x, LABELS, **own)


@of_layer
def test_a_signal_is_an_image_of_height_one(case):
    image = batch(1, 40)
    found = maps_of(case, GridNet((3,)), image[:, :, 0], like=image)
    assert found.shape == (3, 1, 20 if case.at_layer else 40)
    torch.testing.assert_close(found, maps_of(case, GridNet((1, 3)), image)[:, :, 0], **EXACT)


@of_layer
def test_a_volume_of_depth_one_is_an_image(case):
    image = batch(12, 16)
    found = maps_of(case, GridNet((1, 3, 3)), image[:, :, None], like=image)
    assert found.shape == (3, 1, 1, *((6, 8) if case.at_layer else (12, 16)))
    torch.testing.assert_close(found[:, :, 0], maps_of(case, GridNet((3, 3)), image), **EXACT)


def turned(model):
    """Return a network of volumes whose axes (D,H,W) are another one's (W,D,H)."""
    other = GridNet((3, 3, 3))
    with torch.no_grad():
        for own, given in zip(other.parameters(), model.parameters(), strict=True):
            own.copy_(given.permute(0, 1, 4, 2, 3) if given.ndim == 5 else given)
    return other


# Another order of a map's cells may lead k-means to other clusters; many starts agree.
@of_layer
def test_the_axes_of_a_volume_are_alike(case):
    starts = {"n_init": 20} if case.method == "cluster-cam" else {}
    x, model = batch(6, 8, 10), GridNet((3, 3, 3))
    found = maps_of(case, model, x, **starts)
    wanted = maps_of(case, turned(model), x.permute(0, 1, 4, 2, 3), like=x, **starts)
    assert found.shape == (3, 1, *((3, 4, 5) if case.at_layer else (6, 8, 10)))
    torch.testing.assert_close(found.permute(0, 1, 4, 2, 3), wanted, **EXACT)


def rise_masks(result, size, seed_of=0):
    """RISE's masks by the letter of its definition, one cell border at a time, in NumPy."""
    masks = []
    for grid, shift in zip(result.masks.grids.numpy(), result.masks.shifts.numpy(), strict=True):
        values = grid.astype(np.float64)
        for axis, length in enumerate(size):
            cells = grid.shape[axis]
            cell = -(-length // cells)
            places = (np.arange((cells + 1) * cell) + 0.5) * cells / ((cells + 1) * cell) - 0.5
            places = places.clip(0, cells - 1)[int(shift[axis] * cell) :][:length]
            low = np.floor(places).astype(int)
            high = np.minimum(low + 1, cells - 1)
            share = (places - low).reshape(-1, *(1,) * (values.ndim - 1 - axis))
            below, above = values.take(low, axis), values.take(high, axis)
            values = below * (1 - share) + above * share
        masks.append(values)
    return torch.from_numpy(np.stack(masks))


@every_grid
def test_rise_is_the_mean_of_its_masks_by_what_the_model_says(dims):
    x, model = batch(*SIZES[dims], images=1), GridNet(KERNELS[dims])
    options = {"n_masks": 10, "grid_size": 4, "score_function": "logit"}
    result = LayerRise(model, model.conv2).explain(x, [1], **options)
    assert result.masks.grids.shape == (10, *(4,) * dims)
    masks = rise_masks(result, SIZES[dims])
    with torch.no_grad():
        scores = torch.stack([model(x * mask)[0, 1] for mask in masks])
    wanted = torch.tensordot(scores, masks, 1) / (10 * 0.5)
    torch.testing.assert_close(result.maps[0, 0], wanted, rtol=1e-6, atol=1e-6)
    assert len({float(share) for share in result.masks.shifts.flatten()}) == 10 * dims


@every_case
@every_grid
def test_both_faces_give_the_same_maps(case, dims):
    x, model = batch(*SIZES[dims]), GridNet(KERNELS[dims])
    layer = layer_of(case, model)
    before = state_of(model, x)
    maps = maps_of(case, model, x)
    cam = case.cam(model, [layer])
    shown = cam(x, case.targets(LABELS, x))
    assert shown.shape == (3, *SIZES[dims])
    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert shown.max() <= 1
    torch.testing.assert_close(cam.results[0].maps, maps, **EXACT)
    assert_same_state(before, state_of(model, x))


def test_the_saliency_map_of_a_signal_is_enlarged_linearly():
    x, model = batch(40), GridNet((3,))
    cam = MinMaxGradCAM(model, [model.conv2])
    shown = cam(x)
    grid = (np.arange(40) + 0.5) / 2 - 0.5
    for row, own in zip(shown, cam.results[0].maps[:, 0].numpy(), strict=True):
        positive = own.clip(0)
        scaled = (positive - positive.min()) / (1e-7 + positive.max() - positive.min())
        wanted = np.interp(grid, np.arange(20), scaled)
        wanted = (wanted - wanted.min()) / (1e-7 + wanted.max() - wanted.min())
        np.testing.assert_allclose(row, wanted, atol=1e-6)


def test_the_saliency_map_of_a_volume_is_enlarged_as_the_host_does():
    x, model = batch(6, 8, 10), GridNet((3, 3, 3))
    cam = MinMaxGradCAM(model, [model.conv2])
    shown = cam(x)
    positive = np.maximum(cam.results[0].maps[:, 0].numpy(), 0)
    wanted = scale_cam_image(np.maximum(scale_cam_image(positive, (10, 8, 6)), 0))
    np.testing.assert_allclose(shown, wanted, atol=1e-6)


@every_case
@every_grid
def test_a_batch_equals_its_images_one_by_one(case, dims):
    x, model = batch(*SIZES[dims]), GridNet(KERNELS[dims])
    layer, labels = layer_of(case, model), labels_of(x)
    together = maps_of(case, model, x)
    for number, label in enumerate(LABELS):
        options = {**case.options, **case.given(labels[number : number + 1])}
        alone = case.captum(model, layer).attribute(x[number : number + 1], label, **options)
        torch.testing.assert_close(alone[0], together[number], **EXACT)


@each(masked=True)
@every_grid
def test_a_baseline_lies_under_the_masks(case, dims):
    x, model = batch(*SIZES[dims]), GridNet(KERNELS[dims])
    baseline = batch(*SIZES[dims], images=1, seed=3)
    # The model of x - b with the baseline 0 is that of x with the baseline b.
    moved = nn.Sequential(Shift(baseline), model).eval()
    found = maps_of(case, model, x, baselines=baseline)
    options = {**case.options, "baselines": torch.zeros_like(baseline)}
    cam = case.captum(moved, model.conv2)
    torch.testing.assert_close(cam.attribute(x - baseline, LABELS, **options), found, **EXACT)


class Shift(nn.Module):
    """Adds a constant."""

    def __init__(self, amount):
        super().__init__()
        self.register_buffer("amount", amount)

    def forward(self, x):
        """Return the sum."""
        return x + self.amount


@each(masked=True)
@every_grid
def test_lower_resolution_scores_averages(case, dims):
    seen = []
    x, model = batch(*SIZES[dims]), GridNet(KERNELS[dims])
    with model.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[2:])):
        maps = maps_of(case, model, x, resolution=0.5)
    assert seen[0] == SIZES[dims]
    assert set(seen[1:]) == {torch.Size(side // 2 for side in SIZES[dims])}
    assert maps.shape[2:] == (GRIDS[dims] if case.at_layer else SIZES[dims])
    assert torch.isfinite(maps).all()


@pytest.mark.parametrize("dims", [1, 3])
def test_a_signal_and_a_table_go_together(dims):
    model = GridNet(KERNELS[dims])
    weight = torch.ones(4, 5, dtype=torch.float64)
    table = batch(images=3, channels=4)[:, :]

    def both(x, numbers):
        return model(x) + numbers @ weight

    x = batch(*SIZES[dims])
    maps = LayerScoreCam(both, model.conv2).attribute((x, table), LABELS)
    # The softmax does not see what every masked image has in common.
    alone = LayerScoreCam(model, model.conv2).attribute(x, LABELS)
    torch.testing.assert_close(maps, alone, **EXACT)


def test_maps_of_a_spectrogram_inside_the_model_are_explained_by_gradients():
    model, x = SpectrogramNet(), batch(256, channels=1)
    found = LayerMinMaxGradCam(model, model.conv2).attribute(x, LABELS)
    image = GridNet((3, 3), channels=1)
    wanted = LayerMinMaxGradCam(image, image.conv2).attribute(x.unflatten(2, (16, 16)), LABELS)
    assert found.shape == (3, 1, 8, 8)
    torch.testing.assert_close(found, wanted, **EXACT)


@pytest.mark.parametrize("face", ["captum", "grad_cam"])
def test_maps_of_a_spectrogram_inside_the_model_are_no_masks(face):
    model, x = SpectrogramNet(), batch(256, channels=1)
    what = r"^Expected layer to give maps \(N,C,l\), to mask inputs of size \(256,\), but got maps"
    with pytest.raises(LayerError, match=what):
        if face == "captum":
            LayerScoreCam(model, model.conv2).attribute(x, LABELS)
        else:
            ScoreCAM(model, [model.conv2])(x)


@pytest.mark.parametrize("face", ["captum", "grad_cam"])
@every_grid
def test_inputs_of_another_form_than_the_models(face, dims):
    model, x = GridNet((3, 3)), batch(*SIZES[dims])
    batches = r"Expected input\w* to be a batch \(N,c,H,W\), as the model's convolutions take it"
    with pytest.raises(ValueError, match=batches):
        if face == "captum":
            LayerRise(model, model.conv2).attribute(x, LABELS)
        else:
            RISE(model, [model.conv2])(x)


@every_grid
def test_flips_and_scales_are_for_images(dims):
    x, model = batch(*SIZES[dims]), GridNet(KERNELS[dims])
    cam = MinMaxGradCAM(model, [model.conv2])
    with pytest.raises(ValueError, match=r"^Expected aug_smooth to be False for what is no batch"):
        cam(x, aug_smooth=True)
    with pytest.raises(
        ValueError, match=r"^Expected input_tensor to be a batch of images of shape"
    ):
        MultiScaleCAM(cam)(x)
    with pytest.raises(ValueError, match=r"^Expected inputs to be a batch of images of shape"):
        MultiScale(LayerMinMaxGradCam(model, model.conv2)).attribute(x, LABELS)


@every_grid
def test_the_principal_component_of_the_weighted_maps(dims):
    x, model = batch(*SIZES[dims]), GridNet(KERNELS[dims])
    shown = MinMaxGradCAM(model, [model.conv2])(x, eigen_smooth=True)
    assert shown.shape == (3, *SIZES[dims])
    assert shown.std() > 0
