"""The replacement test: a user's script with one name changed."""

import difflib

import numpy as np
import pytest
import torch

CAPTUM_SCRIPT = """\
import torch
from torch import nn
from captum.attr import LayerGradCam as Method

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 8, 3, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(8, 16, 3, stride=2, padding=1),
    nn.ReLU(inplace=True),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(16, 10),
).eval()
x = torch.rand(4, 3, 32, 32)

explainer = Method(model, model[2])
attributions = explainer.attribute(x, target=torch.tensor([1, 2, 3, 4]), relu_attributions=True)
heatmaps = Method.interpolate(attributions, (32, 32), interpolate_mode="bilinear")
"""

GRAD_CAM_SCRIPT = """\
import torch
from torch import nn
from pytorch_grad_cam import ScoreCAM as Method
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 8, 3, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(8, 16, 3, stride=2, padding=1),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(16, 10),
).eval()
x = torch.randn(1, 3, 32, 32)

with Method(model=model, target_layers=[model[3]]) as cam:
    cam.batch_size = 32
    heatmaps = cam(input_tensor=x, targets=[ClassifierOutputTarget(2)])
"""

CAPTUM_LINE = "from captum.attr import LayerGradCam as Method"
GRAD_CAM_LINE = "from pytorch_grad_cam import ScoreCAM as Method"


def run(script):
    """Run a script and return its names; the global random state is as before."""
    names = {"__name__": "__main__"}
    with torch.random.fork_rng(devices=[]):
        exec(compile(script, "script.py", "exec"), names)
    return names


def swapped(script, old, new):
    """Change one line of a script, and no other."""
    changed = script.replace(old, new)
    lines = difflib.ndiff(script.splitlines(), changed.splitlines())
    assert [line for line in lines if line[0] in "+-"] == [f"- {old}", f"+ {new}"]
    return changed


@pytest.mark.parametrize("name", ["LayerClusterCam", "LayerScoreCam", "LayerMinMaxGradCam"])
def test_a_script_for_captum(name):
    stock = run(CAPTUM_SCRIPT)
    ours = run(swapped(CAPTUM_SCRIPT, CAPTUM_LINE, f"from captum_cluster import {name} as Method"))
    assert type(ours["explainer"]).__name__ == name
    assert ours["attributions"].shape == stock["attributions"].shape == (4, 1, 8, 8)
    assert ours["attributions"].dtype == stock["attributions"].dtype
    assert ours["heatmaps"].shape == stock["heatmaps"].shape == (4, 1, 32, 32)
    assert (ours["attributions"] >= 0).all()
    assert (ours["attributions"] > 0).any()
    assert not torch.allclose(ours["attributions"], stock["attributions"].detach())


def test_a_script_for_captum_with_maps_of_the_inputs_size():
    line = "from captum_cluster import LayerCollectionCam as Method"
    ours = run(swapped(CAPTUM_SCRIPT, CAPTUM_LINE, line))
    assert ours["attributions"].shape == ours["heatmaps"].shape == (4, 1, 32, 32)
    assert (ours["attributions"] >= 0).all()
    assert (ours["attributions"].amax(dim=(1, 2, 3)) > 0).all()
    assert torch.allclose(ours["heatmaps"], ours["attributions"], atol=1e-6)


# The layer that is pooled, which is what the closed forms explain.
POOLED_SCRIPT = CAPTUM_SCRIPT.replace("Method(model, model[2])", "Method(model, model[3])")


def test_a_script_for_captum_at_the_layer_that_is_pooled():
    stock = run(POOLED_SCRIPT)["attributions"].detach()
    maps = {}
    for name in ("LayerClassActivationMap", "LayerMinMaxCam", "LayerMinMaxGradCam"):
        line = f"from captum_cluster import {name} as Method"
        ours = run(swapped(POOLED_SCRIPT, CAPTUM_LINE, line))
        assert type(ours["explainer"]).__name__ == name
        assert ours["heatmaps"].shape == (4, 1, 32, 32)
        maps[name] = ours["attributions"]
    assert stock.max() > 0
    assert torch.allclose(maps["LayerClassActivationMap"], 8 * 8 * stock, atol=1e-5)
    minmax = maps["LayerMinMaxCam"]
    assert (minmax > 0).any()
    assert torch.allclose(minmax, 8 * 8 * maps["LayerMinMaxGradCam"], atol=1e-5)
    assert not torch.allclose(minmax, maps["LayerClassActivationMap"], atol=1e-3)


GRAD_CAM_NAMES = ["ClusterCAM", "ScoreCAM", "CollectionCAM", "MinMaxGradCAM", "MinMaxCAM", "CAM"]


@pytest.mark.parametrize("name", GRAD_CAM_NAMES)
def test_a_script_for_pytorch_grad_cam(name, capfd):
    stock = run(GRAD_CAM_SCRIPT)
    capfd.readouterr()
    line = f"from captum_cluster import {name} as Method"
    ours = run(swapped(GRAD_CAM_SCRIPT, GRAD_CAM_LINE, line))
    assert capfd.readouterr() == ("", "")
    assert type(ours["cam"]).__module__.startswith("captum_cluster")
    assert ours["heatmaps"].shape == stock["heatmaps"].shape == (1, 32, 32)
    assert ours["heatmaps"].dtype == stock["heatmaps"].dtype == np.float32
    assert ours["heatmaps"].min() >= 0
    assert 0.99 < ours["heatmaps"].max() <= 1
    if name == "ScoreCAM":  # The same method; it differs by how masks are enlarged.
        alike = np.corrcoef(ours["heatmaps"].ravel(), stock["heatmaps"].ravel())[0, 1]
        assert alike > 0.99
    else:
        assert not np.allclose(ours["heatmaps"], stock["heatmaps"], atol=1e-3)
