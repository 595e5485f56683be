"""Models split over devices, for each row in both faces.

Without a GPU the other device is that of `tests.helpers.elsewhere`, where operations of tensors on
different devices raise as on a GPU.
"""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from tests.conformance.cases import each, rows
from tests.conformance.faces import SIZE, TARGETS, batch, both_faces, explained, net
from tests.helpers.elsewhere import DEVICE, elsewhere

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SEVERAL = [[3, 1], [0, 2], [2, 4]]
LABELS = torch.tensor([[1, 1, 0, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 0, 1]])

every_case = each()
on_devices = pytest.mark.parametrize(
    "devices",
    [
        pytest.param((DEVICE, DEVICE), id="elsewhere"),
        pytest.param((CPU, DEVICE), id="cpu-elsewhere"),
        pytest.param((DEVICE, CPU), id="elsewhere-cpu"),
        pytest.param((CUDA, CPU), id="cuda-cpu", marks=pytest.mark.gpu),
        pytest.param((CPU, CUDA), id="cpu-cuda", marks=pytest.mark.gpu),
    ],
)
# `labels_of` knows no targets.
pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")


class Split(nn.Module):
    """A network up to a layer on one device, the rest on another, as pipelines are."""

    def __init__(self, layer, first, second):
        super().__init__()
        self.last, self.second = layer, second
        device = first
        for name, module in net().named_children():
            self.add_module(name, module.to(device))
            device = second if name == layer else device

    def forward(self, x):
        for name in ("conv1", "bn1", "relu1", "conv2", "relu2", "dropout", "pool"):
            x = getattr(self, name)(x)
            x = x.to(self.second) if name == self.last else x
        return self.fc(x.flatten(1))


def assert_same_everywhere(devices, call, layer="relu1"):
    """Assert that ``call(model, layer, images, device)`` gives on devices what it gives on the CPU.

    The model is divided behind the layer. The device is that of the images and of the first part.
    """
    if CUDA in devices and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model = net()
    expected = torch.as_tensor(call(model, getattr(model, layer), batch(), CPU))
    with elsewhere() if DEVICE in devices else nullcontext():
        model = Split(layer, *devices).eval()
        found = call(model, getattr(model, layer), batch().to(devices[0]), devices[0])
        found = found.cpu() if isinstance(found, torch.Tensor) else torch.as_tensor(found)
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def layer_of(case):
    return "relu2" if case.closed_form or case.sub_head else "relu1"


@every_case
@both_faces
@on_devices
def test_a_model_split_behind_the_layer(case, face, devices):
    def call(model, layer, x, _):
        return explained(case, face, model, layer, x, TARGETS)

    assert_same_everywhere(devices, call, layer_of(case))


@each(name="ablation-cam")
@both_faces
@on_devices
def test_the_closed_form_of_ablation(case, face, devices):
    def call(model, layer, x, _):
        return explained(case, face, model, layer, x, TARGETS, way="closed")

    assert_same_everywhere(devices, call, "relu2")


@each(labelled=False)
@on_devices
def test_what_pytorch_grad_cam_shows_of_the_top_class(case, devices):
    def call(model, layer, x, _):
        return case.cam(model, [layer])(x)

    assert_same_everywhere(devices, call, layer_of(case))


@every_case
@on_devices
def test_several_targets_and_labels(case, devices):
    def call(model, layer, x, device):
        targets, labels = torch.tensor(SEVERAL).to(device), case.given(LABELS.to(device))
        return case.attribute_targets(model, layer, x, targets, **labels)

    assert_same_everywhere(devices, call, layer_of(case))


@each(together=True)
@both_faces
@on_devices
def test_layers_on_different_devices(case, face, devices):
    def call(model, _, x, __):
        layers = [model.relu1, model.relu2]
        if face == "captum":
            cam = case.captum(model, layers)
            return cam.attribute(x, TARGETS, **case._options(x, {}))
        cam = case.cam(model, layers)
        cam(x, case.targets(TARGETS, x))
        return cam.results[0].maps

    assert_same_everywhere(devices, call)


OPTIONS = {
    "score-cam": [{"weighting": "increase"}, {"weighting": "probability"}],
    "cluster-cam": [
        {"baselines": 0.3},
        {"baselines": torch.linspace(-1, 1, SIZE[1], dtype=torch.float64)},
        {"perturbations_per_eval": 1},
        {"precision": "bfloat16"},
        {"resolution": 0.5},
        {"score_function": "probability"},
        {"score_function": lambda outputs: outputs * 2},
    ],
    "collection-cam": [
        {"increase": True},
        {"standardize": True},
        {"relu_after_upsampling": True},
        {"resolution": 0.5},
    ],
    "ablation-cam": [{"way": "full"}, {"way": "tail", "fill": "low"}],
    "minmax-grad-cam": [{"reduction": "sum"}, {"contrast": "sum_positive"}],
}
WITH_OPTIONS = [
    pytest.param(case, options, id=f"{case.name}-{'-'.join(options)}-{number}")
    for case in rows()
    for number, options in enumerate(OPTIONS.get(case.name, []))
]


@pytest.mark.parametrize(("case", "options"), WITH_OPTIONS)
@on_devices
def test_options(case, options, devices):
    def call(model, layer, x, _):
        return case.attribute(model, layer, x, TARGETS, **options)

    assert_same_everywhere(devices, call)


def test_the_other_device_tells_a_tensor_that_was_not_moved():
    with elsewhere():
        here, there = torch.ones(2), torch.ones(2, device=DEVICE)
        assert there.device == DEVICE
        assert (here.to(DEVICE) + there).cpu().tolist() == [2, 2]
        with pytest.raises(RuntimeError, match="on one device, but found cpu, meta"):
            here + there
        with pytest.raises(RuntimeError, match="indices"):
            here[torch.zeros(1, dtype=torch.long, device=DEVICE)]
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
