"""Our methods through Quantus' own metrics.

Quantus asks for ``opencv-python``, pytorch-grad-cam for ``opencv-python-headless``, and the two
overwrite each other: so Quantus is installed without its requirements, in an environment of its
own that sees the development one ::

    python -m venv quantus
    python -c "import site; print(site.getsitepackages()[0])" > dev.txt  # in the development one
    cp dev.txt quantus/lib/python3.*/site-packages/dev.pth
    quantus/bin/pip install --no-deps quantus cachetools pandas scikit-image imageio tifffile \
lazy_loader pytz
    quantus/bin/python -m pytest tests/metrics/adapters/test_quantus.py

Elsewhere these tests are skipped.
"""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, Saliency

from captum_cluster.attr import LayerClusterCam
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics import energy_inside
from captum_cluster.grad_cam import ClusterCAM
from captum_cluster.metrics.adapters import maps_of, quantus_explain_func
from tests.helpers.nets import SmallNet, images

quantus = pytest.importorskip("quantus")

LABELS = np.array([2, 0, 4])
MAKERS = {
    "Captum's face": lambda model: LayerClusterCam(model, model.relu2),
    "pytorch-grad-cam's face": lambda model: ClusterCAM(model, [model.relu2]),
    "stock": lambda model: LayerGradCam(model, model.relu2),
}


@pytest.fixture
def net():
    return SmallNet().eval()


@pytest.fixture
def pictures():
    return images(3, size=16, dtype=torch.float32)


def _call(metric, net, pictures, explain, **options):
    return metric(
        model=net, x_batch=pictures.numpy(), y_batch=LABELS, explain_func=explain, **options
    )


def _quiet(metric, **options):
    return metric(disable_warnings=True, display_progressbar=False, **options)


@pytest.mark.parametrize("name", MAKERS)
def test_relevance_mass_is_the_energy_inside(net, pictures, name):
    explain = quantus_explain_func(MAKERS[name])
    regions = torch.zeros(3, 1, 16, 16)
    regions[:, :, :8, 4:] = 1
    metric = _quiet(quantus.RelevanceMassAccuracy, normalise=False)
    value = _call(metric, net, pictures, explain, s_batch=regions.numpy())
    maps = maps_of(explain(net, pictures.numpy(), LABELS))
    wanted = energy_inside(maps, regions[:, 0].bool())
    np.testing.assert_allclose(value, wanted.numpy(), rtol=1e-4)
    assert 0 < min(value) < max(value) < 1


def test_pointing_game(net, pictures):
    explain = quantus_explain_func(MAKERS["Captum's face"])
    maps = maps_of(explain(net, pictures.numpy(), LABELS))
    regions = torch.zeros(3, 1, 16, 16)
    top = maps.flatten(1).argmax(dim=1)
    regions.flatten(1)[range(2), top[:2]] = 1  # the third region is elsewhere
    regions[2, 0][maps[2] < maps[2].max()] = 1
    value = _call(_quiet(quantus.PointingGame), net, pictures, explain, s_batch=regions.numpy())
    assert list(value) == [1, 1, 0]


def test_pixel_flipping_is_its_definition(net, pictures):
    explain = quantus_explain_func(MAKERS["Captum's face"])
    metric = _quiet(
        quantus.PixelFlipping, features_in_step=64, perturb_baseline=0.0, normalise=False
    )
    value = _call(metric, net, pictures, explain, softmax=True)
    attributions = np.broadcast_to(explain(net, pictures.numpy(), LABELS), (3, 3, 16, 16))
    order = np.argsort(-attributions.reshape(3, -1), axis=1)
    for row, label in enumerate(LABELS):
        changed = pictures[row].clone().flatten()
        for step in range(12):
            changed[order[row, 64 * step : 64 * (step + 1)].copy()] = 0.0
            with torch.no_grad():
                wanted = net(changed.reshape(1, 3, 16, 16)).softmax(dim=1)[0, label]
            assert value[row][step] == pytest.approx(float(wanted), abs=1e-5)


def test_sensitivity_explains_again(net, pictures):
    explain = quantus_explain_func(MAKERS["Captum's face"], signed=True)
    metric = _quiet(quantus.MaxSensitivity, nr_samples=2, lower_bound=0.2, normalise=False)
    value = _call(metric, net, pictures, explain)
    assert len(value) == 3
    assert np.isfinite(value).all()
    assert max(value) > 0


def test_parameter_randomisation_explains_the_changed_model(net, pictures):
    """Quantus passes copies with other weights; an explainer that keeps the first model gives 1."""
    options = {
        "layer_order": "top_down",
        "similarity_func": quantus.similarity_func.correlation_spearman,
    }
    before = {name: value.clone() for name, value in net.state_dict().items()}

    def stuck(model):
        return LayerClusterCam(net, net.relu2)

    values = {}
    for name, make in (("followed", MAKERS["Captum's face"]), ("stuck", stuck)):
        explain = quantus_explain_func(make)
        with torch.random.fork_rng(devices=[]):  # Quantus seeds the global state
            values[name] = _call(_quiet(quantus.MPRT, **options), net, pictures, explain)
    assert np.allclose(list(values["stuck"].values()), 1.0)
    assert min(np.mean(step) for step in values["followed"].values()) < 0.9
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_options_reach_the_explainer(net, pictures):
    seen = []

    class Explainer:
        def attribute(self, inputs, target, **options):
            seen.append((target.tolist(), options))
            return inputs.sum(dim=1)

    explain = quantus_explain_func(lambda model: Explainer())
    regions = np.ones((3, 1, 16, 16))
    options = {"explain_func_kwargs": {"n_clusters": 3}, "device": "cpu", "s_batch": regions}
    value = _call(_quiet(quantus.RelevanceMassAccuracy), net, pictures, explain, **options)
    assert seen == [(LABELS.tolist(), {"n_clusters": 3})]
    np.testing.assert_allclose(value, 1.0, rtol=1e-5)


def test_maps_of_quantus_through_ours(net, pictures):
    """Quantus' own call of a stock method of Captum, read by ``maps_of``."""
    found = quantus.explain(net, pictures.numpy(), LABELS, method="Saliency", device="cpu")
    wanted = Saliency(net).attribute(pictures, torch.from_numpy(LABELS)).sum(dim=1)
    top = saliency(maps_of(found), (16, 16)).flatten(1).argmax(dim=1)
    assert torch.equal(top, wanted.flatten(1).argmax(dim=1))
