"""Layers, hooks and interruptions that are not as in a textbook, for each row in both faces."""

import copy

import pytest
import torch
from torch import nn
from tqdm.auto import tqdm

from captum_cluster.functional.attribution import scoring
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import ablating
from tests.conformance.cases import assert_same_state, each, hooks_of, state_of
from tests.conformance.faces import (
    TARGETS,
    batch,
    both_faces,
    explained,
    explainer,
    net,
    tiny_net,
    with_sub_categories,
)
from tests.conformance.nets import ReusedReLU, SmallNet

every_case = each()

pytestmark = [
    pytest.mark.filterwarnings("ignore:Target .* is not in its labels"),
    pytest.mark.filterwarnings("ignore:The model's outputs lie in"),
]


def assert_close(actual, expected, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# Modules and weights that are there twice


class TwoReLUs(ReusedReLU):
    """The same network, in which the explained module is called once."""

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.fc(self.pool(x).flatten(1))


@every_case
@both_faces
def test_a_module_used_twice_gives_its_last_call(case, face):
    x = batch()
    reused, once = ReusedReLU().eval().double(), TwoReLUs().eval().double()
    maps = explained(case, face, reused, reused.relu, x, [0, 1, 2])
    assert_close(maps, explained(case, face, once, once.relu, x, [0, 1, 2]))


class Unrolled(nn.Module):
    """A block of several modules, twice in a row: one block, or two of the same weights."""

    def __init__(self, first, second):
        super().__init__()
        stem = tiny_net(channels=4)
        self.stem, self.first, self.second = stem.layers[:2], first, second
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), stem.layers[4]
        with_sub_categories(self, 3, 4)

    def forward(self, x):
        return self.fc(self.pool(self.second(self.first(self.stem(x)))).flatten(1))


def block(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())


@every_case
@both_faces
def test_a_block_used_twice_is_explained_at_its_last_call(case, face):
    x, own = batch(), block()
    twice = Unrolled(own, own).eval().double()
    unrolled = Unrolled(own, copy.deepcopy(own)).eval().double()
    maps = explained(case, face, twice, twice.first, x, [0, 1, 2])
    expected = explained(case, face, unrolled, unrolled.second, x, [0, 1, 2])
    assert_close(maps, expected)
    if case.of_layer and not (case.closed_form or case.sub_head):
        earlier = explained(case, face, unrolled, unrolled.first, x, [0, 1, 2])
        assert not torch.allclose(maps, earlier), "the test shows nothing"


@every_case
@both_faces
def test_a_module_under_two_names(case, face):
    model, x = net(), batch()
    expected = explained(case, face, model, model.relu2, x, TARGETS)
    model.alias = nn.Sequential(model.relu2)  # never called itself
    before = state_of(model, x)
    assert_close(explained(case, face, model, model.alias[0], x, TARGETS), expected, atol=0)
    assert_same_state(before, state_of(model, x))


@every_case
@both_faces
def test_tied_weights(case, face):
    x = batch()
    apart = Unrolled(block(), block()).eval().double()
    tied = Unrolled(block(), block()).eval().double()
    tied.second[0].weight = tied.first[0].weight
    tied.second[0].bias = tied.first[0].bias
    layer = "second"
    before = state_of(tied, x)
    maps = explained(case, face, tied, getattr(tied, layer), x, [0, 1, 2])
    assert_close(maps, explained(case, face, apart, getattr(apart, layer), x, [0, 1, 2]))
    assert_same_state(before, state_of(tied, x))
    assert tied.second[0].weight is tied.first[0].weight


# Hooks of the user's own on the explained layer


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


@every_case
@both_faces
def test_a_users_hook_that_changes_the_layers_output_is_a_part_of_the_model(case, face):
    x, hooked, built = batch(), net(), net()
    handle = hooked.relu2.register_forward_hook(lambda _, __, output: 3 * output)
    built.relu2 = nn.Sequential(built.relu2, Times(3)).eval()
    before = state_of(hooked, x)
    maps = explained(case, face, hooked, hooked.relu2, x, TARGETS)
    assert_close(maps, explained(case, face, built, built.relu2, x, TARGETS))
    assert_same_state(before, state_of(hooked, x))
    plain = net()
    if not case.scaled and case.of_layer:  # else the factor cannot show
        assert not torch.allclose(maps, explained(case, face, plain, plain.relu2, x, TARGETS))
    handle.remove()


@every_case
@both_faces
def test_a_users_hook_that_changes_the_layers_input_is_a_part_of_the_model(case, face):
    x, hooked, built = batch(), net(), net()
    handle = hooked.relu2.register_forward_pre_hook(lambda _, args: (args[0] + 0.25,))
    built.conv2.bias.data += 0.25
    maps = explained(case, face, hooked, hooked.relu2, x, TARGETS)
    assert_close(maps, explained(case, face, built, built.relu2, x, TARGETS))
    assert len(hooked.relu2._forward_pre_hooks) == 1
    handle.remove()


@every_case
@both_faces
def test_a_users_hooks_see_the_layer_as_without_us(case, face):
    model, x, seen = net(), batch(), []
    expected = explained(case, face, model, model.relu2, x, TARGETS)
    model.relu2.register_forward_hook(lambda _, __, output: seen.append(output.detach().clone()))
    model.relu2.register_full_backward_hook(lambda *_: None)
    model.fc.register_full_backward_hook(lambda *_: None)
    model(x)
    before = state_of(model, x)
    assert_close(explained(case, face, model, model.relu2, x, TARGETS), expected)
    assert_same_state(before, state_of(model, x))
    assert_close(seen[1], seen[0], atol=0)  # the unmasked pass is that of the user


# Interruptions


class Interrupted(SmallNet):
    """Raises KeyboardInterrupt in pass number ``at``, behind the layer. ``calls`` counts."""

    calls, at = 0, None

    def forward(self, x):
        self.calls += 1
        x = self.relu2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        if self.calls == self.at:
            raise KeyboardInterrupt
        return self.fc(self.pool(self.dropout(x)).flatten(1))


@every_case
@both_faces
@pytest.mark.parametrize("when", ["first", "second", "middle", "last"])
def test_everything_is_as_it_was_after_ctrl_c(case, face, when):
    model, x = Interrupted().eval().double(), batch()
    model.bn1.train()  # a mode that is not the model's
    call = explainer(case, face, model, model.relu2, rows=2 if case.scores else None)
    expected = call(x, TARGETS)
    passes = model.calls
    if passes == 1 and when != "first":
        pytest.skip("the method makes one pass")
    model.at = {"first": 1, "second": 2, "middle": (passes + 1) // 2, "last": passes}[when]
    model.calls = 0
    before = state_of(model, x)
    with pytest.raises(KeyboardInterrupt):
        call(x, TARGETS)
    assert model.calls == model.at
    assert_same_state(before, state_of(model, x))
    model.at = None
    assert_close(call(x, TARGETS), expected, atol=0)


@every_case
@both_faces
def test_everything_is_as_it_was_after_ctrl_c_in_training_mode(case, face):
    model, x = Interrupted().double(), batch()
    model.at = 2 if case.masked else 1
    before = state_of(model, x)
    with pytest.warns(UserWarning, match="training mode"), pytest.raises(KeyboardInterrupt):
        explained(case, face, model, model.relu2, x, TARGETS)
    assert_same_state(before, state_of(model, x))
    assert model.training


class InterruptedBar(tqdm):
    """A progress bar that Ctrl-C meets at its second step."""

    def __iter__(self):
        for number, one in enumerate(super().__iter__()):
            if number:
                raise KeyboardInterrupt
            yield one

    def update(self, n=1):
        if self.n:
            raise KeyboardInterrupt
        return super().update(n)


@each(scores=True)
@both_faces
def test_everything_is_as_it_was_after_ctrl_c_in_the_progress_bar(case, face, monkeypatch, capfd):
    model, x = net(), batch()
    options = {"way": "tail"} if case.ablates else {}  # the closed form shows no bar
    call = explainer(case, face, model, model.relu2, rows=2, show_progress=True, **options)
    expected = call(x, TARGETS)
    before, bars = state_of(model, x), len(tqdm._instances)
    with monkeypatch.context() as patched:
        for module in (scoring, ablating):
            patched.setattr(module, "tqdm", InterruptedBar)
        with pytest.raises(KeyboardInterrupt):
            call(x, TARGETS)
    assert_same_state(before, state_of(model, x))
    assert_close(call(x, TARGETS), expected, atol=0)
    assert len(tqdm._instances) == bars


@each(gradient=True)
@both_faces
def test_everything_is_as_it_was_after_ctrl_c_in_the_backward_pass(case, face):
    model, x = net(), batch()

    def interrupt(*_):
        raise KeyboardInterrupt

    handle = model.fc.register_full_backward_hook(interrupt)
    before = state_of(model, x)
    call = explainer(case, face, model, model.relu2)
    with pytest.raises(KeyboardInterrupt):
        call(x, TARGETS)
    assert_same_state(before, state_of(model, x))
    handle.remove()
    fresh = net()
    assert_close(call(x, TARGETS), explained(case, face, fresh, fresh.relu2, x, TARGETS))
    assert hooks_of(model) == hooks_of(fresh)


# A large batch


@every_case
@both_faces
def test_a_batch_of_1000_is_its_images_one_by_one(case, face):
    if case.options.get("clustering") == "spectral":
        pytest.skip("1,000 spectral clusterings take long; the passes are those of cluster-cam")
    model, x = tiny_net(), batch(1000, size=(6, 6))
    targets = [number % 3 for number in range(1000)]
    sizes = []
    handle = model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    with count_forwards(model) as count:
        maps = explained(case, face, model, model.layers[1], x, targets)
    handle.remove()
    assert maps.shape[:2] == (1000, 1)
    assert sizes[0] == 1000
    # 128 rows are the most on a CPU; a replayed pass gives the model a row that it does not run.
    assert max(sizes[1:], default=0) <= 128
    assert count.images > 1000 or not case.masked
    for number in (0, 1, 499, 998, 999):
        one = slice(number, number + 1)
        alone = explained(case, face, model, model.layers[1], x[one], targets[one])
        assert_close(maps[one], alone)
