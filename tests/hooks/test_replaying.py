"""What is before a layer is given again, what is behind it runs, and nothing stays exchanged."""

import threading

import pytest
import torch
from torch import nn

from captum_cluster._checks import LayerError
from captum_cluster.hooks import ReplayError, count_forwards, given, record, replayed
from tests.conformance.cases import assert_same_state, state_of
from tests.helpers import nets
from tests.helpers.ablation_nets import Blocks, Branches, Plain, Shared


def ready(net):
    return net.double().eval()


def watch(model, layer, x, **options):
    with torch.no_grad(), record(model, layer, **options) as recorded:
        outputs = model(x)
    return recorded, outputs


def play(model, recorded, x, value=None, outputs=None):
    outputs = [step.output for step in recorded.steps] if outputs is None else outputs
    value = recorded.value if value is None else value
    with torch.no_grad(), replayed(recorded, outputs, value):
        return model(x)


def names_of(model, recorded):
    names = {module: name for name, module in model.named_modules()}
    return [names[step.module] for step in recorded.steps]


X = nets.images(2)

STEPS = [
    (nets.SmallNet, "conv1", []),
    (nets.SmallNet, "relu2", ["conv1", "bn1", "relu1", "conv2"]),
    (nets.SmallNet, "fc", ["conv1", "bn1", "relu1", "conv2", "relu2", "dropout", "pool"]),
    (Plain, "features.3", ["count", "features.0", "features.1", "features.2"]),
    (Plain, "classifier.0", ["count", "features"]),
    (Plain, "features", ["count"]),
    (Branches, "three.0", ["count", "stem", "one"]),
    (Branches, "five", ["count", "stem", "one", "three"]),
    (Shared, "block", ["count", "stem", "block", "block"]),
    (Shared, "relu", ["count", "stem", "block", "block", "block.0"]),
    (nets.ReusedReLU, "relu", ["conv1", "relu", "conv2"]),
    (nets.TupleNet, "layer", []),
    (nets.TokenNet, "block2", ["embed", "block"]),
]


@pytest.mark.parametrize(("kind", "name", "steps"), STEPS)
def test_the_outermost_modules_that_finished_before_the_last_call(kind, name, steps):
    model = ready(kind())
    x = nets.images(2, size=(8, 12)) if kind is nets.TokenNet else X
    recorded, outputs = watch(model, model.get_submodule(name), x)
    assert recorded.replayable
    found = names_of(model, recorded)
    # A module with several names is found under the first.
    assert [one.replace("block.1", "relu") for one in found] == steps
    assert torch.equal(play(model, recorded, x), outputs)


@pytest.mark.parametrize(("kind", "name", "steps"), STEPS)
def test_what_the_layer_takes(kind, name, steps):
    model = ready(kind())
    x = nets.images(2, size=(8, 12)) if kind is nets.TokenNet else X
    recorded, outputs = watch(model, model.get_submodule(name), x, of_input=True)
    assert isinstance(recorded.value, tuple)
    assert torch.equal(play(model, recorded, x), outputs)
    changed = tuple(part + 1 for part in recorded.value)
    with torch.no_grad(), given(recorded, lambda taken: tuple(part + 1 for part in taken)):
        expected = model(x)
    assert torch.allclose(play(model, recorded, x, changed), expected, atol=1e-12)
    assert not torch.allclose(expected, outputs)


def test_nothing_before_the_layer_runs_and_all_behind_it():
    model = ready(Blocks("add"))
    recorded, outputs = watch(model, model.layer, X)
    model.count.calls.clear()
    modules = (model.stem, model.first, model.layer, model.second, model.head)
    ran = []
    handles = [
        module.register_forward_pre_hook(lambda module, _: ran.append(module)) for module in modules
    ]
    before = [module.forward for module in modules]
    found = play(model, recorded, X, 2 * recorded.value)
    assert ran == list(modules)  # called they are, so that the user's hooks see it
    assert model.count.calls == []
    assert [module.forward for module in modules] == before
    for handle in handles:
        handle.remove()
    with torch.no_grad(), given(recorded, lambda maps: 2 * maps):
        whole = model(X)
    assert model.count.calls == [2]
    assert torch.allclose(found, whole, atol=1e-12)
    assert not torch.allclose(found, outputs)


def test_one_row_before_the_layer_is_enough_for_many_behind_it():
    model = ready(Blocks("add"))
    recorded, outputs = watch(model, model.layer, X)
    rows = [step.output[:1] for step in recorded.steps]
    found = play(model, recorded, X[:1], recorded.value[:1].expand(5, -1, -1, -1), rows)
    assert torch.allclose(found, outputs[:1].expand(5, -1), atol=1e-12)


def test_copies_are_recorded_that_later_operations_do_not_change():
    model = ready(Blocks("x += out"))
    recorded, _ = watch(model, model.layer, X)
    with torch.no_grad():
        stem = model.stem(X)
    assert torch.equal(recorded.steps[1].output, stem)
    plain = ready(Plain())
    recorded, _ = watch(plain, plain.features[3], X)
    assert (recorded.value < 0).any(), "the ReLU behind it works in place"


def test_the_widest_tensor_behind_the_layer():
    model = ready(Plain())
    recorded, _ = watch(model, model.features[2], X)
    assert recorded.widest == 6 * 4 * 4 * 8
    recorded, _ = watch(model, model.classifier[0], X)
    assert recorded.widest == 10 * 8
    recorded, _ = watch(model, model.classifier[0], X, of_input=True)
    assert recorded.widest == 6 * 4 * 4 * 8


def test_a_users_hook_that_changes_an_output_changes_it_once():
    model = ready(Blocks("add"))
    handle = model.stem.register_forward_hook(lambda _, __, output: output + 1)
    own = model.layer.register_forward_hook(lambda _, __, output: 3 * output)
    recorded, outputs = watch(model, model.layer, X)
    assert torch.equal(play(model, recorded, X), outputs)
    handle.remove()
    own.remove()
    with torch.no_grad():
        assert not torch.allclose(model(X), outputs)


def test_a_forward_of_an_instance_is_back_afterwards():
    model = ready(Blocks("add"))
    original = model.stem.forward

    def own(x):
        return original(x) * 2

    model.stem.forward = own
    recorded, outputs = watch(model, model.layer, X)
    before = state_of(model, X)
    assert torch.equal(play(model, recorded, X), outputs)
    assert vars(model.stem)["forward"] is own
    assert "forward" not in vars(model.first)
    assert_same_state(before, state_of(model, X))


class Raising(nn.Module):
    def forward(self, x):
        raise KeyError("mine")


@pytest.mark.parametrize("of_input", [False, True])
def test_everything_is_back_after_a_tail_that_raises(of_input):
    model = ready(Blocks("add"))
    model.stem.forward = model.stem.forward
    own = model.stem.forward
    recorded, outputs = watch(model, model.layer, X, of_input=of_input)
    before = state_of(model, X)
    head, model.head = model.head, Raising()
    with pytest.raises(KeyError, match="mine"):
        play(model, recorded, X)
    with pytest.raises(KeyError, match="mine"), given(recorded, lambda value: value):
        model(X)
    with pytest.raises(KeyError, match="mine"):
        watch(model, model.layer, X)
    model.head = head
    assert vars(model.stem)["forward"] is own
    assert all("forward" not in vars(one) for one in model.modules() if one is not model.stem)
    assert_same_state(before, state_of(model, X))
    assert torch.equal(model(X), outputs)


def test_a_pass_with_other_calls_is_no_replay():
    model = ready(Blocks("add"))
    recorded, _ = watch(model, model.layer, X)
    with pytest.raises(ReplayError, match=r"^Expected the pass to call the recorded modules"):
        play(lambda x: model.first(model.stem(x)), recorded, X)
    with pytest.raises(ReplayError, match=r"^Expected the pass to call the layer again"):
        play(lambda x: model.stem(model.count(x)), recorded, X)
    with pytest.raises(ReplayError, match=r"^Expected the pass to call the recorded modules"):
        play(lambda x: model.layer(x), recorded, X)


def test_a_changed_pass_that_does_not_get_to_the_layers_last_call():
    model = ready(nets.ReusedReLU())
    recorded, _ = watch(model, model.relu, X)
    assert recorded.calls == 2
    match = r"call the layer 2 times.*but got 1\.$"
    with pytest.raises(LayerError, match=match), given(recorded, lambda maps: maps):
        model.relu(X)


def test_a_model_behind_a_function_is_not_replayed_but_what_its_layer_gives_is_there():
    model = ready(nets.SmallNet())
    with torch.no_grad(), record(lambda x: model(x), model.relu2) as recorded:
        model(X)
    assert not recorded.replayable
    assert recorded.steps == []
    assert recorded.value.shape == (2, 12, 2, 2)
    only, _ = watch(model, model.relu2, X, steps=False)
    assert (only.replayable, only.steps) == (False, [])


def test_a_bound_method_is_replayed():
    model = ready(nets.SmallNet())
    with torch.no_grad(), record(model.forward, model.relu2) as recorded:
        outputs = model.forward(X)
    assert names_of(model, recorded) == ["conv1", "bn1", "relu1", "conv2"]
    assert torch.equal(play(model.forward, recorded, X), outputs)


def scripted():
    model = ready(nets.SmallNet())
    model.bn1 = torch.jit.script(model.bn1)
    return model


def compiled():
    model = ready(nets.SmallNet())
    model.bn1.compile(backend="eager")
    return model


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("build", [scripted, compiled], ids=["scripted", "compiled"])
def test_modules_whose_forward_cannot_be_exchanged(build):
    model = build()
    with record(model, model.relu2) as recorded:
        assert not recorded.replayable


def test_a_data_parallel_model():
    model = ready(nets.SmallNet())
    with record(nn.DataParallel(model), model.relu2) as recorded:
        assert not recorded.replayable


def test_other_threads_run_the_model_as_always():
    model = ready(Blocks("add"))
    recorded, outputs = watch(model, model.layer, X)
    found = {}

    def other():
        with torch.no_grad():
            found["other"] = model(X)

    model.count.calls.clear()
    with torch.no_grad(), replayed(recorded, [step.output for step in recorded.steps], None):
        worker = threading.Thread(target=other)
        worker.start()
        worker.join()
        with given(recorded, lambda value: recorded.value):
            model(X)
    assert model.count.calls == [2], "of the other thread"
    assert torch.equal(found["other"], outputs)


def test_one_thread_at_a_time_exchanges_what_modules_run():
    model = ready(Blocks("add"))
    recorded, outputs = watch(model, model.layer, X)
    entered, found = threading.Event(), {}

    def other():
        own, _ = watch(model, model.layer, X)
        with torch.no_grad(), replayed(own, [step.output for step in own.steps], own.value):
            entered.set()
            found["other"] = model(X)

    worker = threading.Thread(target=other)
    with (
        torch.no_grad(),
        replayed(recorded, [step.output for step in recorded.steps], recorded.value),
    ):
        worker.start()
        assert not entered.wait(0.2)
        found["this"] = model(X)
    worker.join()
    assert entered.is_set()
    assert torch.equal(found["this"], outputs)
    assert torch.equal(found["other"], outputs)
    assert all("forward" not in vars(module) for module in model.modules())


def test_a_module_that_raises_and_is_caught_does_not_disturb_the_replay():
    class Catching(nn.Module):
        def __init__(self):
            super().__init__()
            self.raising = nn.Sequential(nn.Identity(), Raising())
            self.net = nets.SmallNet()

        def forward(self, x):
            try:
                return self.raising(x)
            except KeyError:
                return self.net(x)

    model = ready(Catching())
    recorded, outputs = watch(model, model.net.relu2, X)
    assert torch.allclose(play(model, recorded, X), outputs)


def test_the_model_is_called_as_often_as_the_pass_is_made():
    model = ready(nets.SmallNet())
    recorded, _ = watch(model, model.relu2, X)
    with count_forwards(model) as count:
        play(model, recorded, X)
    assert (count.calls, count.images) == (1, 2)
