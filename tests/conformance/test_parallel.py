"""Data-parallel models, and those inside compiled functions, for each row in both faces."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from captum_cluster import LayerMultiLevelCam
from captum_cluster._checks import LayerError
from captum_cluster.training import MultiLevelNetwork
from tests.conformance.cases import CASES, assert_same_state, each, ids, state_of
from tests.conformance.faces import FACES, TARGETS, batch, both_faces, explained, explainer, net
from tests.conformance.nets import Wrapped, images
from tests.helpers.trainings import tiny_network

every_case = each()
# `labels_of` knows no targets.
pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")


def assert_close(actual, expected, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


class Threaded(nn.DataParallel):
    """What ``DataParallel`` over two devices does, on the CPU: copies, each in its own thread."""

    def __init__(self, module):
        super().__init__(module)
        self.device_ids, self.dim = [0, 1], 0
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        grads = torch.is_grad_enabled()

        def run(part):
            with torch.set_grad_enabled(grads):
                return _replica(self.module)(part)

        with ThreadPoolExecutor(2) as pool:
            return torch.cat(list(pool.map(run, x.chunk(2))))


def _replica(module):
    """A copy as ``torch.nn.parallel.replicate`` makes it: the hooks are those of the module."""
    replica = module._replicate_for_data_parallel()
    for name, child in module._modules.items():
        replica._modules[name] = _replica(child)
    for name, parameter in module._parameters.items():
        replica._parameters[name] = parameter
    return replica


def test_the_copies_hide_the_layer():
    model = Threaded(net()).eval()
    calls = []
    model.module.relu2.register_forward_hook(lambda module, *_: calls.append(module))
    model(batch())
    assert len(calls) == 2
    assert all(module is not model.module.relu2 for module in calls)


@every_case
@both_faces
def test_a_data_parallel_model_over_two_devices(case, face):
    plain, x = net(), batch()
    expected = explained(case, face, plain, plain.relu2, x, TARGETS)
    model = Threaded(net()).eval()
    before = state_of(model, x)
    assert_close(explained(case, face, model, model.module.relu2, x, TARGETS), expected)
    assert_same_state(before, state_of(model, x))
    # Masks are scored by all devices.
    assert (model.passes > 0) == case.masked


@each(closed_form=True)
@pytest.mark.parametrize("wrap", [nn.DataParallel, Threaded])
def test_the_head_of_a_data_parallel_model_is_its_own(case, wrap):
    plain, x = net(), batch()
    plain.parent_head = plain.fc
    plain.auxiliary = nn.Linear(12, 5).double()  # the last linear layer, which is not its head
    model = wrap(copy.deepcopy(plain)).eval()
    for face in FACES:
        expected = explained(case, face, plain, plain.relu2, x, TARGETS)
        assert_close(explained(case, face, model, model.module.relu2, x, TARGETS), expected)


@pytest.mark.parametrize("wrap", [nn.DataParallel, Threaded])
def test_the_levels_of_a_data_parallel_model_are_found(wrap):
    levels = MultiLevelNetwork(
        tiny_network(4, seed=0), [tiny_network(2, seed=1)], [torch.tensor([0, 0, 1, 1])]
    )
    levels, x, labels = levels.double().eval(), images(2, size=(16, 16)), [[0, 1], [0, 2]]
    expected = LayerMultiLevelCam(levels, levels.explained_layers).attribute(x, 0, labels=labels)
    base = levels.networks[0]
    alone = LayerMultiLevelCam(base, base.explained_layers).attribute(x, 0, labels=labels)
    assert not torch.allclose(alone, expected)
    found = LayerMultiLevelCam(wrap(levels).eval(), levels.explained_layers)
    assert_close(found.attribute(x, 0, labels=labels), expected)


@every_case
@both_faces
def test_a_data_parallel_part_of_a_model_is_named(case, face):
    model, x = Wrapped(Threaded(net())).eval(), batch()
    before = state_of(model, x)
    message = "^Expected layer to be a module that .* DataParallel runs copies"
    with pytest.raises(LayerError, match=message):
        explained(case, face, model, model.module.module.relu2, x, TARGETS, of=model.module.module)
    assert_same_state(before, state_of(model, x))


# One row of each kind: scores of masks, of the rest of the network, gradients, a head.
_FEW = [
    case
    for case in CASES
    if case.name in ("cluster-cam", "ablation-cam-tail", "collection-cam", "minmax-cam")
]


@pytest.mark.parametrize("case", _FEW, ids=ids(_FEW))
@both_faces
def test_inside_a_compiled_function(case, face):
    torch._dynamo.reset()
    model, x = net(), batch()
    maps = explainer(case, face, model, model.relu2)
    expected = maps(x, TARGETS)

    @torch.compile(backend="eager")
    def step(images):
        return maps(images, TARGETS), model(images)

    found, outputs = step(x)
    torch._dynamo.reset()
    assert_close(found, expected)
    assert_close(outputs, model(x))
