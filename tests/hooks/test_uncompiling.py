"""Compiled models run as they were where hooks look into them, and compiled everywhere else."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from captum_cluster.hooks import uncompiled
from tests.conformance.cases import assert_same_state, each, state_of
from tests.conformance.faces import TARGETS, batch, both_faces, explained, net

pytestmark = [
    pytest.mark.filterwarnings("ignore:Target .* is not in its labels"),
    pytest.mark.filterwarnings("ignore:.*torch._dynamo"),
]


class Calls:
    """A backend that counts the calls of what it compiled."""

    def __init__(self):
        self.count = 0

    def __call__(self, graph, _):
        def run(*args):
            self.count += 1
            return graph.forward(*args)

        return run


@pytest.fixture
def calls():
    torch._dynamo.reset()
    yield Calls()
    torch._dynamo.reset()


@each(masked=True)
@both_faces
def test_masked_passes_stay_compiled(case, face, calls):
    model, x = net(), batch()
    compiled = torch.compile(model, backend=calls)
    explained(case, face, compiled, model.relu2, x, TARGETS)
    assert calls.count > 0


@each(gradient=True)
@both_faces
@pytest.mark.parametrize("in_place", [False, True])
def test_gradients_of_a_model_whose_backward_pass_is_compiled(case, face, in_place, calls):
    plain, model, x = net(), net(), batch()
    compiled = model if in_place else torch.compile(model, backend="aot_eager")
    if in_place:
        model.compile(backend="aot_eager")
    outputs = compiled(x)
    before = state_of(model, x)
    maps = explained(case, face, compiled, model.relu2, x, TARGETS)
    expected = explained(case, face, plain, plain.relu2, x, TARGETS)
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-10)
    assert_same_state(before, state_of(model, x))
    torch.testing.assert_close(compiled(x), outputs)


def run_inside(model, x):
    with uncompiled():
        model(x)


def test_the_last_thread_that_leaves_lets_it_be_compiled_again(calls):
    model, x = net(), batch()
    compiled = torch.compile(model, backend=calls)
    with uncompiled():
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: run_inside(compiled, x), range(4)))
        compiled(x)
        assert calls.count == 0
    compiled(x)
    assert calls.count > 0


def test_it_is_compiled_again_after_an_error(calls):
    compiled, x = torch.compile(net(), backend=calls), batch()
    with pytest.raises(RuntimeError, match="of the test"), uncompiled():
        raise RuntimeError("of the test")
    compiled(x)
    assert calls.count > 0
