"""Images, outputs and sizes at the edge of what there is, and very many calls."""

import gc
import warnings

import pytest
import torch

from tests.conformance.cases import assert_same_state, each, hooks_of, state_of
from tests.conformance.faces import TARGETS, batch, both_faces, explained, explainer, net, tiny_net

every_case = each()

pytestmark = [
    pytest.mark.filterwarnings("ignore:Target .* is not in its labels"),
    pytest.mark.filterwarnings("ignore:The model's outputs lie in"),
]


def assert_close(actual, expected, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def relative(maps):
    """Maps with 1 as their largest absolute value; zeros stay zeros."""
    maps = maps.double()
    largest = maps.abs().amax(dim=(2, 3), keepdim=True)
    return torch.where(largest > 0, maps / largest, maps)


def assert_same_map(case, maps, expected):
    assert torch.isfinite(maps).all()
    far = (relative(maps) - relative(expected)).abs() > 0.01
    assert far.double().mean() <= (0.02 if case.denoised else 0)


# Values


@every_case
@both_faces
def test_images_of_extreme_values_in_single_precision(case, face):
    """The map is that of double precision, whose range is far larger."""
    x = batch(dtype=torch.float32) * 1e30
    single, double = net(torch.float32), net()
    before = state_of(single, x)
    maps = explained(case, face, single, single.relu2, x, TARGETS)
    assert_same_state(before, state_of(single, x))
    expected = explained(case, face, double, double.relu2, x.double(), TARGETS)
    assert_same_map(case, maps, expected)


@every_case
@both_faces
@pytest.mark.parametrize("scale", [1e30, 1e-30], ids=["large", "small"])
def test_maps_of_extreme_values_in_single_precision(case, face, scale):
    """The classifier takes the scale back, so the outputs are those of ordinary maps."""
    x, single, double = batch(dtype=torch.float32), net(torch.float32), net()
    for model in (single, double):
        with torch.no_grad():
            model.conv2.weight *= scale
            model.conv2.bias *= scale
            model.fc.weight /= scale
            model.sub_category_head.weight /= scale
    maps = explained(case, face, single, single.relu2, x, TARGETS)
    expected = explained(case, face, double, double.relu2, x.double(), TARGETS)
    assert_same_map(case, maps, expected)


@every_case
@both_faces
@pytest.mark.parametrize("where", ["layer", "outputs"])
def test_values_that_overflow_are_an_error(case, face, where):
    model, x = net(torch.float32), batch(dtype=torch.float32)
    with torch.no_grad():
        (model.conv2 if where == "layer" else model.fc).weight.fill_(3e38)
    before = state_of(model, x)
    match = "finite feature maps" if where == "layer" else r"Expected the model's .*finite"
    call = explainer(case, face, model, model.relu2)
    with pytest.raises(ValueError, match=match):
        call(10 * x.abs(), TARGETS)
    assert_same_state(before, state_of(model, x))


@every_case
@both_faces
@pytest.mark.parametrize("value", [0.0, 1.0], ids=["black", "constant"])
def test_images_without_anything_in_them(case, face, value):
    model, x = net(), torch.full((3, 3, 16, 24), value, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Target .* is not in its labels")
        warnings.filterwarnings("ignore", message="The model's outputs lie in")
        maps = explained(case, face, model, model.relu2, x, [1, 1, 1])
    assert torch.isfinite(maps).all()
    assert_close(maps[1], maps[0])  # the same image
    assert_close(maps[2], maps[0])


@each(scaled=False)
@both_faces
def test_a_class_that_the_model_never_predicts(case, face):
    """Its logit is lower by 1e4 and its probability 0."""
    plain, model, x = net(), net(), batch()
    with torch.no_grad():
        model.fc.bias[1] -= 1e4
        assert (model(x).softmax(dim=1)[:, 1] == 0).all()
    maps = explained(case, face, model, model.relu2, x, [1, 1, 1])
    assert torch.isfinite(maps).all()
    if case.method == "rise":
        assert (maps == 0).all()
    if case.gradient or case.closed_form or case.sub_head:
        labels = {"labels": [[0, 1]] * 3} if case.labelled and face == "captum" else {}
        maps = explained(case, face, model, model.relu2, x, [1, 1, 1], **labels)
        assert_close(maps, explained(case, face, plain, plain.relu2, x, [1, 1, 1], **labels), 1e-6)


# Sizes


@every_case
@both_faces
def test_images_of_one_channel_are_those_of_three_of_which_two_do_not_count(case, face):
    one, three = tiny_net(channels_in=1), tiny_net(channels_in=3)
    with torch.no_grad():
        three.layers[0].weight.zero_()
        three.layers[0].weight[:, :1] = one.layers[0].weight
        three.layers[0].bias.copy_(one.layers[0].bias)
        three.layers[4].load_state_dict(one.layers[4].state_dict())
    x = batch()
    labels = {"labels": [[0, 1]] * 3} if case.labelled and face == "captum" else {}
    if case.labelled and not labels:
        pytest.skip("the labels of the table's targets depend on all channels")
    maps = explained(case, face, one, one.layers[1], x[:, :1].contiguous(), [0, 1, 2], **labels)
    expected = explained(case, face, three, three.layers[1], x, [0, 1, 2], **labels)
    assert_close(maps, expected, 1e-6)


@every_case
@both_faces
@pytest.mark.parametrize(("size", "channels"), [(2, 6), (8, 1), (2, 1)])
def test_maps_of_one_place_or_one_channel(case, face, size, channels):
    model, x = tiny_net(channels=channels), batch(size=(size, size))
    one_map = {"n_clusters": 1, "partition_sizes": (1,)}  # more is an error, which says so
    fewer = {name: one_map[name] for name in one_map if channels == 1 and name in case.options}
    maps = explained(case, face, model, model.layers[1], x, [0, 1, 2], **fewer)
    assert torch.isfinite(maps).all()
    side = size // 2 if case.at_layer else size
    assert maps.shape == (3, 1, side, side)
    for number in range(3):
        one = slice(number, number + 1)
        alone = explained(case, face, model, model.layers[1], x[one], [number], **fewer)
        assert_close(maps[one], alone)
    if case.method == "cam":  # its mean is the logit without the bias
        logits = (model(x) - model.layers[4].bias).diagonal()
        assert_close(maps.mean(dim=(1, 2, 3)), logits.detach())


# Many calls


def live_tensors():
    gc.collect()
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())


@pytest.fixture(scope="module")
def only_new_objects():
    """What was there before the test is not looked through, which takes long."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _repeat(case, face, calls):
    """Return the live tensors after some calls, and after many more, by one object and by new."""
    model, x = tiny_net(), batch(1, size=(6, 6))
    call, hooks = explainer(case, face, model, model.layers[1]), hooks_of(model)
    expected, counts = call(x, [1]), []
    for rounds in (5, calls):
        for _ in range(rounds):
            maps = call(x, [1])
        explained(case, face, model, model.layers[1], x, [1])
        assert hooks_of(model) == hooks
        assert torch.equal(maps, expected)
        counts.append(live_tensors())
    return counts


@every_case
@both_faces
@pytest.mark.usefixtures("only_new_objects")
def test_forty_calls_leave_no_tensors_and_no_hooks(case, face):
    early, late = _repeat(case, face, 40)
    assert late == early


@pytest.mark.slow
@every_case
@both_faces
@pytest.mark.usefixtures("only_new_objects")
def test_10000_calls_leave_no_tensors_and_no_hooks(case, face):
    early, late = _repeat(case, face, 10_000)
    assert late == early
