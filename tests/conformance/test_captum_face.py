"""What every class of the Captum face owes its host, for each row of the table."""

import copy
import inspect
import pickle
import random
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam, NoiseTunnel
from torch import nn

from captum_cluster._checks import TargetError
from captum_cluster.hooks import count_forwards
from tests.conformance.cases import (
    CASES,
    assert_same_state,
    each,
    hooks_of,
    ids,
    modes_of,
    state_of,
)
from tests.conformance.nets import (
    ArgsNet,
    DenseNet2d,
    FlatNet,
    NaNNet,
    OneLogitNet,
    RaisingNet,
    ReusedReLU,
    ScalarNet,
    SmallNet,
    TokenNet,
    TupleNet,
    Wrapped,
    images,
)

SIZE = (16, 24)
GRID = (4, 6)
TARGETS = [3, 0, 2]
METHOD_NAMES = ["attribute", "attribute_targets", "explain"]

every_case = each()

# `labels_of` knows no targets.
pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")


def net(dtype=torch.float64, **kwargs):
    return SmallNet(**kwargs).eval().to(dtype)


def batch(n=3, dtype=torch.float64, seed=0):
    return images(n, size=SIZE, dtype=dtype, seed=seed)


def assert_close(actual, expected, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def activations(model, layer, inputs):
    """The layer's maps by a hook of our own."""
    found = []
    handle = layer.register_forward_hook(lambda _, __, out: found.append(out.detach().clone()))
    with torch.no_grad():
        model(inputs)
    handle.remove()
    return found[-1]


def _of_each(case, model, layer, inputs):
    """The result behind ``attribute``: one target for each image."""
    return case.explain(model, layer, inputs, [[target] for target in TARGETS])


# Signatures


@every_case
def test_the_constructor_takes_what_captum_passes_by_position(case):
    model = net()
    cam = case.captum(model, model.relu2, None)
    assert isinstance(cam, LayerAttribution)
    assert cam.forward_func is model
    assert cam.layer is model.relu2
    assert cam.device_ids is None
    stock = list(inspect.signature(LayerGradCam).parameters.values())
    ours = list(inspect.signature(case.captum).parameters.values())
    assert [(p.name, p.default) for p in ours[:3]] == [(p.name, p.default) for p in stock]
    extra = {p.kind for p in ours[3:]}
    assert extra <= {inspect.Parameter.KEYWORD_ONLY}


@every_case
def test_attribute_begins_as_in_captum(case):
    stock = list(inspect.signature(LayerGradCam.attribute).parameters.values())[:6]
    ours = list(inspect.signature(case.captum.attribute).parameters.values())[:6]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in stock]
    names = ["self", "inputs", "target", "additional_forward_args"]
    assert [p.name for p in ours] == [*names, "attribute_to_layer_input", "relu_attributions"]


@every_case
@pytest.mark.parametrize("method", METHOD_NAMES)
def test_the_options_stand_in_the_signature_with_the_defaults_of_the_config(case, method):
    shown = inspect.signature(getattr(case.captum, method)).parameters
    config = case.config()
    run = case.run_options if case.scores else case.given(None)
    assert set(list(shown)[5 if method == "explain" else 6 :]) == vars(config).keys() | run.keys()
    for name, default in {**vars(config), **run}.items():
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY, name
        assert shown[name].default == default, name
    assert not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in shown.values())


DEFAULTS = {
    "cluster-cam": {
        "n_clusters": 6,
        "clustering": "kmeans",
        "beta": 0.5,
        "combine": "score",
        "map_scale": "none",
        "normalize_masks": True,
        "n_init": 1,
        "random_state": 0,
    },
    "score-cam": {"weighting": "softmax", "align_corners": False},
    "ablation-cam": {"fill": "zero", "score_function": "logit", "way": "auto"},
    "rise": {"n_masks": 4000},
    "collection-cam": {
        "partition_sizes": (2, 3),
        "denoise_quantile": 0.4,
        "standardize": False,
        "relu_after_upsampling": False,
        "increase": False,
        "score_function": "logit",
        "sufficient": False,
        "exponents": (3.0, 2.0, 1.5, 1.0, 0.7, 0.4),
        "sufficient_score": "probability",
    },
    "minmax-grad-cam": {
        "decomposed": False,
        "contrast": "positive_sum",
        "label_threshold": 0.5,
        "max_predicted": 20,
        "reduction": "mean",
        "labels": None,
    },
    "minmax-cam": {
        "decomposed": False,
        "contrast": "positive_sum",
        "label_threshold": 0.5,
        "max_predicted": 20,
        "labels": None,
    },
    "multi-level-cam": {
        "rest": "present",
        "label_threshold": 0.5,
        "max_predicted": 20,
        "labels": None,
    },
}
READS = {
    "cluster-cam": "logit",
    "score-cam": "logit",
    "rise": "probability",
    "collection-cam": "logit",
}


@pytest.mark.parametrize("method", sorted(DEFAULTS))
def test_the_defaults_are_those_of_the_specification(method):
    case = next(case for case in CASES if case.method == method)
    shown = inspect.signature(case.captum.attribute).parameters
    for name, default in DEFAULTS[method].items():
        assert shown[name].default == default, name


@pytest.mark.parametrize("method", sorted(READS))
def test_how_the_output_is_read_is_that_of_the_specification(method):
    case = next(case for case in CASES if case.method == method)
    assert case.config().reads == READS[method]


def test_base_and_scissors_read_probabilities():
    case = next(case for case in CASES if case.method == "cluster-cam")
    assert case.config(combine="base_scissors").reads == "probability"


# Values


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_map_has_the_layers_grid_and_the_models_precision(case, dtype):
    model = net(dtype)
    layer = getattr(model, case.layer)
    maps = case.attribute(model, layer, batch(dtype=dtype), TARGETS)
    assert isinstance(maps, torch.Tensor)
    assert maps.shape == (3, 1, *(GRID if case.at_layer else SIZE))
    assert maps.dtype == dtype
    assert not maps.requires_grad
    if case.at_layer:
        stock = LayerGradCam(model, layer).attribute(batch(dtype=dtype), TARGETS)
        assert maps.shape == stock.shape


@each(weighted=True)
def test_the_map_is_a_weighted_sum_of_the_layers_maps(case):
    model, x = net(), batch()
    layer = getattr(model, case.layer)
    result = case.explain(model, layer, x, TARGETS)
    maps = activations(model, layer, x)
    assert result.maps.shape == (3, 3, *GRID)
    assert result.weights.shape == (3, 3, 12)
    for image in range(3):
        for target in range(3):
            weights = result.weights[image, target]
            expected = sum(w * a for w, a in zip(weights, maps[image], strict=True))
            assert_close(result.maps[image, target], expected)


@each(scaled=False)
def test_the_map_is_not_normalised(case):
    model, x = net(), batch()
    maps = case.attribute(model, getattr(model, case.layer), x, TARGETS)
    assert not torch.allclose(maps.flatten(1).amax(1), torch.ones(3, dtype=maps.dtype))


@each(weighted=True)
def test_the_map_is_signed(case):
    model, x = net(), batch()
    maps = case.attribute(model, getattr(model, case.layer), x, TARGETS)
    assert (maps < 0).any()


def _twice_the_maps_half_the_weights(model):
    """The same outputs, from twice the maps of the last layer."""
    twice = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twice.conv2.parameters():
            parameter *= 2
        twice.fc.weight /= 2
    return twice


@each(weighted=True, scores=True)
def test_twice_the_maps_and_the_same_scores_give_twice_the_map(case):
    model, x = net(), batch()
    maps = case.attribute(model, model.conv2, x, TARGETS)
    twice = _twice_the_maps_half_the_weights(model)
    assert_close(case.attribute(twice, twice.conv2, x, TARGETS), 2 * maps)


@each(weighted=True, scores=False)
def test_the_map_grows_with_the_outputs_and_not_with_the_maps_alone(case):
    model, x = net(), batch()
    maps = case.attribute(model, getattr(model, case.layer), x, TARGETS)
    twice = _twice_the_maps_half_the_weights(model)
    assert_close(case.attribute(twice, getattr(twice, case.layer), x, TARGETS), maps)
    with torch.no_grad():
        for parameter in model.fc.parameters():
            parameter *= 2
    assert_close(case.attribute(model, getattr(model, case.layer), x, TARGETS), 2 * maps)


@every_case
def test_relu_attributions_sets_negative_values_to_zero(case):
    model, x = net(), batch()
    layer = getattr(model, case.layer)
    maps = case.attribute(model, layer, x, TARGETS)
    relued = case.attribute(model, layer, x, TARGETS, relu_attributions=True)
    assert torch.equal(relued, maps.clamp(min=0))
    many = case.attribute_targets(model, layer, x, TARGETS, relu_attributions=True)
    raw = case.attribute_targets(model, layer, x, TARGETS)
    assert torch.equal(many, raw.clamp(min=0))


@each(closed_form=False)
def test_the_input_of_a_layer_is_the_output_of_the_one_before(case):
    model, x = net(), batch()
    before = case.attribute(model, model.conv2, x, TARGETS)
    at_input = case.attribute(model, model.relu2, x, TARGETS, attribute_to_layer_input=True)
    assert torch.equal(at_input, before)
    if case.of_layer:
        after = case.attribute(model, model.relu2, x, TARGETS)
        assert not torch.allclose(after, before)


@each(closed_form=True)
def test_the_input_of_the_pooling_is_the_layer_that_is_pooled(case):
    model, x = net(), batch()
    pooled = case.attribute(model, model.relu2, x, TARGETS)
    at_input = case.attribute(model, model.pool, x, TARGETS, attribute_to_layer_input=True)
    assert torch.equal(at_input, pooled)
    behind = case.attribute(model, model.pool, x, TARGETS)
    assert_close(behind, pooled.mean(dim=(2, 3), keepdim=True))


class TwoBranches(nn.Module):
    """What the layer of ``TupleNet`` gives, each of its tensors from one module."""

    def __init__(self, layer):
        super().__init__()
        self.first = nn.Sequential(layer.first, nn.ReLU())
        self.second = nn.Sequential(layer.second, nn.ReLU())

    def forward(self, x):
        return self.first(x), self.second(x)


@each(closed_form=False)
def test_a_layer_with_several_outputs_gives_several_maps(case):
    model, x = TupleNet().eval().double(), batch()
    maps = case.attribute(model, model.layer, x, [0, 1, 2])
    assert isinstance(maps, tuple)
    assert len(maps) == 2
    # The same network with the ReLUs in modules of their own, each one a layer.
    model.layer = TwoBranches(model.layer)
    for ours, layer in zip(maps, (model.layer.first, model.layer.second), strict=True):
        assert torch.equal(ours, case.attribute(model, layer, x, [0, 1, 2]))
    many = case.attribute_targets(model, model.layer, x, [0, 1, 2])
    assert [part.shape for part in many] == [(3, 3, *part.shape[2:]) for part in maps]


@every_case
def test_the_maps_can_be_enlarged_as_in_captum(case):
    model = net()
    maps = case.attribute(model, model.relu2, batch(), TARGETS)
    large = case.captum.interpolate(maps, SIZE, "bilinear")
    expected = nn.functional.interpolate(maps, SIZE, mode="bilinear")
    assert torch.equal(large, expected)


# Inputs


class Scaled(nn.Module):
    """Images times a factor of their own, (N,1), or plus it, before a network."""

    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x, factor, flag=True):
        factor = factor[:, :, None, None]
        return self.net(x * factor if flag else x + factor)


FACTORS = torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)


@every_case
def test_additional_arguments_go_with_their_images(case):
    model, x = Scaled().eval(), batch()
    options = {"perturbations_per_eval": 2} if case.masked else {}
    layer = model.net.relu2
    together = case.attribute(model, layer, x, TARGETS, FACTORS, **options)
    for i, target in enumerate(TARGETS):

        def folded(image, i=i):
            return model(image, FACTORS[i : i + 1])

        one = slice(i, i + 1)
        alone = case.attribute(folded, layer, x[one], target, of=model.net)
        assert_close(together[one], alone)


@each(closed_form=False)
@pytest.mark.filterwarnings("ignore:The model's outputs lie in")  # some scaled ones do
def test_additional_arguments_may_be_numbers_of_the_output(case):
    model, x = ArgsNet().eval().double(), batch()
    together = case.attribute(model, model.relu, x, [0, 1, 2], FACTORS)
    for i in range(3):

        def folded(image, i=i):
            return model(image, FACTORS[i])

        alone = case.attribute(folded, model.relu, x[i : i + 1], i, of=model)
        assert_close(together[i : i + 1], alone)


@every_case
def test_additional_arguments_may_be_other_objects(case):
    model, x = Scaled().eval(), batch()
    layer = model.net.relu2
    together = case.attribute(
        model, layer, x, TARGETS, additional_forward_args=(FACTORS[:1], False)
    )

    def folded(image):
        return model(image, FACTORS[:1], flag=False)

    assert_close(together, case.attribute(folded, layer, x, TARGETS, of=model.net))
    other = case.attribute(model, layer, x, TARGETS, additional_forward_args=(FACTORS[:1], True))
    assert not torch.allclose(together, other)


@every_case
def test_inputs_without_a_grid_pass_unmasked(case):
    model, x = Scaled().eval(), batch()
    pair = case.attribute(model, model.net.relu2, (x, FACTORS), TARGETS)
    assert_close(pair, case.attribute(model, model.net.relu2, x, TARGETS, FACTORS))


def _joined(model):
    """A model as a function of the first channel of its input and of the others."""
    return lambda first, second: model(torch.cat([first, second], dim=1))


@every_case
def test_a_tuple_of_inputs(case):
    model, x = net(), batch()
    parts = (x[:, :1], x[:, 1:])
    pair = case.attribute(_joined(model), model.relu2, parts, TARGETS, of=model)
    assert_close(pair, case.attribute(model, model.relu2, x, TARGETS))


@each(masked=True)
def test_every_image_of_a_tuple_of_inputs_is_masked(case):
    model, x = net(), batch()
    joined, parts = _joined(model), (x[:, :1], x[:, 1:])
    based = case.attribute(joined, model.relu2, parts, TARGETS, baselines=(0.5, 0.5))
    assert_close(based, case.attribute(model, model.relu2, x, TARGETS, baselines=0.5))
    # Base and scissors may be the same clusters after all, but never with the same scores.
    cam = case.captum(joined, model.relu2)
    plain = cam.explain(parts, [0, 1], **case.options).scores
    other = cam.explain(parts, [0, 1], baselines=(0.5, 0.5), **case.options).scores
    assert not torch.allclose(plain, other, equal_nan=True)


@every_case
def test_a_tuple_of_one_input_gives_a_tensor(case):
    model, x = net(), batch()
    single = case.attribute(model, model.relu2, (x,), TARGETS)
    assert torch.equal(single, case.attribute(model, model.relu2, x, TARGETS))


@every_case
def test_one_image(case):
    model, x = net(), batch(1)
    maps = case.attribute(model, model.relu2, x, 3)
    assert maps.shape[:2] == (1, 1)
    assert_close(maps, case.attribute(model, model.relu2, batch(), 3)[:1])


@every_case
def test_a_batch_equals_its_images_one_by_one(case):
    model, x = net(), batch(4)
    targets = [3, 0, 2, 2]
    together = case.attribute(model, model.relu2, x, targets)
    for i, target in enumerate(targets):
        assert_close(together[i : i + 1], case.attribute(model, model.relu2, x[i : i + 1], target))
    order = [2, 0, 3, 1]
    moved = case.attribute(model, model.relu2, x[order], [targets[i] for i in order])
    assert_close(moved, together[order])


@each(masked=True)
@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_the_size_of_a_pass_changes_nothing(case, chunk):
    model, x = net(), batch()
    expected = case.attribute(model, model.relu2, x, TARGETS)
    sizes = []
    handle = model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    maps = case.attribute(model, model.relu2, x, TARGETS, perturbations_per_eval=chunk)
    handle.remove()
    assert_close(maps, expected)
    assert max(sizes[1:]) <= 3 * chunk
    if chunk == 1:
        masked = case.passes(12, _of_each(case, model, model.relu2, x)) - 3
        assert len(sizes) == 1 + -(-masked // 3)
    if chunk == 1000:
        assert len(sizes) == 1 + case.rounds


# Targets

CALLABLE = {"callable", "list of callables", "callables"}


def with_forms(forms):
    """Every row with every form of target that it takes."""
    pairs = [
        pytest.param(case, form, id=f"{case.name}-{form}")
        for case in CASES
        for form in forms
        if not (case.index_targets and form in CALLABLE)
    ]
    return pytest.mark.parametrize(("case", "form"), pairs)


FORMS = {
    "int": (2, [2, 2, 2]),
    "numpy integer": (np.int64(2), [2, 2, 2]),
    "tensor without dimensions": (torch.tensor(2), [2, 2, 2]),
    "tensor of one element": (torch.tensor([2]), [2, 2, 2]),
    "tensor (N,)": (torch.tensor(TARGETS), TARGETS),
    "tensor (N,) of int32": (torch.tensor(TARGETS, dtype=torch.int32), TARGETS),
    "list of integers": (TARGETS, TARGETS),
    "tuple": ((2,), [2, 2, 2]),
    "list of tuples": ([(3,), (0,), (2,)], TARGETS),
    "callable": (lambda output: output[2], [2, 2, 2]),
    "list of callables": ([lambda o, t=t: o[t] for t in TARGETS], TARGETS),
}


@with_forms(FORMS)
def test_targets_in_every_form(case, form):
    model, x = net(), batch()
    target, meant = FORMS[form]
    options = {"perturbations_per_eval": 2} if case.masked else {}
    maps = case.attribute(model, model.relu2, x, target, **options)
    alone = [
        case.attribute(model, model.relu2, x[i : i + 1], label) for i, label in enumerate(meant)
    ]
    assert_close(maps, torch.cat(alone))
    assert not torch.allclose(maps, case.attribute(model, model.relu2, x, 4))


DENSE = {
    "tuple": ((1, 3, 5), [(1, 3, 5)] * 3),
    "list of tuples": ([(1, 3, 5), (0, 0, 0), (2, 15, 23)], [(1, 3, 5), (0, 0, 0), (2, 15, 23)]),
    "list of callables": (
        [lambda o, t=t: o[t, 1, 2] for t in range(3)],
        [(0, 1, 2), (1, 1, 2), (2, 1, 2)],
    ),
}


@each(index_targets=True)
@pytest.mark.parametrize("form", sorted(CALLABLE - {"callables"}))
def test_a_method_of_labels_takes_no_callables(case, form):
    model, x = net(), batch()
    before = state_of(model, x)
    with pytest.raises(TargetError, match="^Expected target to be a class index, but got a call"):
        case.attribute(model, model.relu2, x, FORMS[form][0])
    assert_same_state(before, state_of(model, x))


@each(index_targets=False)
@pytest.mark.parametrize("form", DENSE)
def test_targets_of_a_model_with_an_output_for_every_pixel(case, form):
    model, x = DenseNet2d().eval().double(), batch()
    target, places = DENSE[form]
    maps = case.attribute(model, model.relu, x, target)
    for i, (label, row, column) in enumerate(places):

        def one(image, label=label, row=row, column=column):
            return model(image)[:, :, row, column]  # the labels at one pixel

        assert_close(maps[i : i + 1], case.attribute(one, model.relu, x[i : i + 1], label))


@each(index_targets=True)
def test_a_method_of_labels_takes_no_output_for_every_pixel(case):
    model, x = DenseNet2d().eval().double(), batch()
    # A 1x1 convolution that is never called, so that the closed forms find some classifier.
    model.spare = nn.Conv2d(6, 3, 1).double()
    with pytest.raises(ValueError, match=r"^Expected the model to give one row of logits \(N,L\)"):
        case.attribute(model, model.relu, x, (1, 3, 5))


@every_case
@pytest.mark.parametrize("kind", [OneLogitNet, ScalarNet])
@pytest.mark.filterwarnings("ignore:The model's outputs lie in")  # one of the logits does
def test_a_model_with_one_output_needs_no_target(case, kind):
    model, x = kind().eval().double(), batch()
    labels = case.given([[0]] * 3)
    maps = case.attribute(model, model.relu, x, **labels)
    if case.closed_form:
        own = model.fc.weight[0, :, None, None] * activations(model, model.relu, x)
        assert_close(maps, own.sum(dim=1, keepdim=True).detach())
    elif case.sub_head:
        rows = model.sub_category_head.weight
        cams = torch.einsum("kc,nchw->nkhw", rows, activations(model, model.relu, x))
        assert_close(maps, cams.relu().amax(dim=1, keepdim=True))
    else:

        def two(image):  # One logit is the difference of two: sigmoid and softmax agree.
            logit = model(image).reshape(-1, 1)
            return torch.cat([logit, torch.zeros_like(logit)], dim=1)

        assert_close(maps, case.attribute(two, model.relu, x, 0, **labels))
    if kind is OneLogitNet:
        assert_close(maps, case.attribute(model, model.relu, x, 0, **labels))


WRONG = {
    "above the range": 5,
    "far below the range": -6,
    "one of a tensor": torch.tensor([0, 1, 5]),
    "one of a list": [0, 1, 5],
    "list too short": [0, 1],
    "list too long": [0, 1, 2, 3],
    "tensor too short": torch.tensor([0, 1]),
    "tensor of two dimensions": torch.zeros(3, 2, dtype=torch.long),
    "tuple too long": (1, 2),
    "list of tuples too long": [(1, 2), (0, 1), (1, 1)],
    "tensor of floats": torch.tensor([0.0, 1.0, 2.0]),
    "tensor of bools": torch.tensor([True, False, True]),
    "float": 1.5,
    "bool": True,
    "string": "1",
    "none, of five outputs": None,
    "empty list": [],
    "list of callables too short": [lambda output: output[0]],
    "callable out of range": lambda output: output[7],
    "callable that gives a vector": lambda output: output,
}


@every_case
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_target_is_a_value_error_and_an_assertion_error(case, wrong):
    model, x = net(), batch()
    before = state_of(model, x)
    with pytest.raises(ValueError, match=r"(?s)^Expected .*target.* to .*, but got") as caught:
        case.attribute(model, model.relu2, x, WRONG[wrong])
    assert isinstance(caught.value, AssertionError)
    assert_same_state(before, state_of(model, x))


@each(masked=True)
def test_a_wrong_target_is_found_before_the_masked_passes(case):
    model, x = net(), batch()
    with count_forwards(model) as count, pytest.raises(ValueError, match="0 to 4"):
        case.attribute(model, model.relu2, x, 5)
    assert count.images <= 3


# Several targets

SEVERAL = {
    "list": [3, 0, 2, 3],
    "tuple": (3, 0, 2, 3),
    "tensor (T,)": torch.tensor([3, 0, 2, 3]),
    "list for each image": [[3, 0, 2, 3]] * 3,
    "tensor (N,T)": torch.tensor([[3, 0, 2, 3]] * 3),
    "callables": [lambda o, t=t: o[t] for t in [3, 0, 2, 3]],
}


@with_forms(SEVERAL)
def test_several_targets_from_one_set_of_passes(case, form):
    model, x = net(), batch()
    with count_forwards(model) as count:
        maps = case.attribute_targets(model, model.relu2, x, SEVERAL[form])
    result = case.explain(model, model.relu2, x, SEVERAL[form])
    assert count.images == case.passes(12, result)
    calls = [case.attribute(model, model.relu2, x, target) for target in [3, 0, 2, 3]]
    assert_close(maps, torch.cat(calls, dim=1))
    assert not torch.allclose(maps[:, 0], maps[:, 1])


@every_case
def test_several_targets_that_differ_between_images(case):
    model, x = net(), batch()
    targets = [[0, 1], [2, 3], [4, 0]]
    maps = case.attribute_targets(model, model.relu2, x, targets)
    assert torch.equal(maps, case.attribute_targets(model, model.relu2, x, torch.tensor(targets)))
    for i, row in enumerate(targets):
        for t, target in enumerate(row):
            alone = case.attribute(model, model.relu2, x[i : i + 1], target)
            assert_close(maps[i, t], alone[0, 0])


@every_case
@pytest.mark.parametrize("targets", [[], [[0], [1]], [[0], [1, 2], [3]], 3, [0, 5]])
def test_wrong_lists_of_targets(case, targets):
    model, x = net(), batch()
    with pytest.raises(ValueError, match=r"^Expected target") as caught:
        case.attribute_targets(model, model.relu2, x, targets)
    assert isinstance(caught.value, AssertionError)


# Passes


@every_case
@pytest.mark.parametrize("targets", [1, 10])
def test_the_number_of_forward_passes(case, targets):
    model, x = net(num_classes=10), batch(2)
    with count_forwards(model) as count:
        case.attribute_targets(model, model.relu2, x, list(range(targets)))
    result = case.explain(model, model.relu2, x, list(range(targets)))
    assert count.images == case.passes(12, result)
    with count_forwards(model) as count:
        case.attribute(model, model.relu2, x[:1], 0)
    result = case.explain(model, model.relu2, x[:1], [0])
    assert count.images == case.passes(12, result)


@every_case
def test_a_flat_layer_gives_finite_maps(case):
    model, x = FlatNet().eval().double(), batch()
    labels = case.given([[0, 1, 2]] * 3)
    with count_forwards(model) as count, warnings.catch_warnings():
        warnings.simplefilter("error")
        maps = case.attribute(model, model.layer, x, [0, 1, 2], **labels)
    assert torch.isfinite(maps).all()
    if case.of_layer:
        assert maps.shape == (3, 1, *((3, 2) if case.at_layer else SIZE))
        assert_close(maps.flatten(1).amax(1), maps.flatten(1).amin(1))
    result = case.explain(model, model.layer, x, [[0], [1], [2]], **labels)
    assert count.images == case.passes(1, result), "all flat maps of an image share one pass"


@each(of_layer=True)
def test_a_layer_of_zeros_gives_zeros(case):
    model, x = net(), batch()
    with torch.no_grad():
        model.conv2.weight.zero_()
        model.conv2.bias.fill_(-1.0)
    maps = case.attribute(model, model.relu2, x, TARGETS)
    assert torch.equal(maps, torch.zeros_like(maps))


@every_case
def test_some_dead_maps_share_a_pass(case):
    model, x = net(), batch()
    with torch.no_grad():
        model.conv2.weight[:5].zero_()
        model.conv2.bias[:5] = -1.0
    with count_forwards(model) as count:
        maps = case.attribute(model, model.relu2, x, TARGETS)
    assert torch.isfinite(maps).all()
    result = _of_each(case, model, model.relu2, x)
    assert count.images == case.passes(7 + 1, result)


# The host's tools


@every_case
def test_noise_tunnel(case):
    model, x = net(), batch()
    cam = case.captum(model, model.relu2)
    assert callable(case.captum.attribute.__wrapped__)
    expected = cam.attribute(x, TARGETS, **case.options)  # labels: those predicted
    settings = {"nt_type": "smoothgrad", "nt_samples": 2, **case.options, "target": TARGETS}
    tunnel = NoiseTunnel(cam)
    assert_close(tunnel.attribute(x, stdevs=0.0, **settings), expected)
    split = tunnel.attribute(x, stdevs=0.0, nt_samples_batch_size=1, **settings)
    assert_close(split, expected)
    torch.manual_seed(0)
    noisy = tunnel.attribute(x, stdevs=0.2, **settings)
    assert noisy.shape == expected.shape
    assert torch.isfinite(noisy).all()
    assert not torch.allclose(noisy, expected)


@every_case
@pytest.mark.parametrize(
    "copier", [copy.deepcopy, lambda cam: pickle.loads(pickle.dumps(cam))], ids=["copy", "pickle"]
)
def test_the_object_can_be_copied(case, copier):
    model, x = net(), batch()
    cam = case.captum(model, model.relu2)
    expected = cam.attribute(x, TARGETS, **case.options)
    again = copier(cam)
    assert again.forward_func is not model
    assert_close(again.attribute(x, TARGETS, **case.options), expected)


# The model


@every_case
@pytest.mark.parametrize("kind", ["lambda", "bound method", "wrapped"])
def test_the_model_may_be_any_callable(case, kind):
    model, x = net(), batch()
    callables = {"lambda": lambda x: model(x), "bound method": model.forward}
    function = callables.get(kind) or Wrapped(model).eval()
    maps = case.attribute(function, model.relu2, x, TARGETS, of=model)
    assert_close(maps, case.attribute(model, model.relu2, x, TARGETS))


@each(closed_form=False)
def test_an_in_place_relu_behind_the_layer(case):
    x = batch()
    plain, in_place = net(), net(inplace=True)
    maps = case.attribute(in_place, in_place.conv2, x, TARGETS)
    assert torch.equal(maps, case.attribute(plain, plain.conv2, x, TARGETS))
    at_input = case.attribute(in_place, in_place.relu2, x, TARGETS, attribute_to_layer_input=True)
    assert torch.equal(at_input, maps)


@every_case
def test_a_module_used_twice_gives_its_last_call(case):
    class TwoReLUs(ReusedReLU):
        def forward(self, x):
            x = torch.relu(self.conv1(x))
            x = self.relu(self.conv2(x))
            return self.fc(self.pool(x).flatten(1))

    x = batch()
    reused, once = ReusedReLU().eval().double(), TwoReLUs().eval().double()
    maps = case.attribute(reused, reused.relu, x, [0, 1, 2])
    assert_close(maps, case.attribute(once, once.relu, x, [0, 1, 2]))


@each(closed_form=False)
def test_tokens_become_maps_through_reshape_transform(case):
    model, x = TokenNet().eval().double(), images(2, size=(8, 12))
    transform = model.reshape_transform
    result = case.explain(model, model.block, x, [0, 1], reshape_transform=transform)
    if case.weighted:
        maps = transform(activations(model, model.block, x))
        assert_close(result.maps, torch.einsum("ntc,nchw->nthw", result.weights, maps))
    assert torch.isfinite(result.maps).all()


# Autograd, precision


@every_case
def test_without_gradients(case):
    model, x = net(), batch()
    expected = case.attribute(model, model.relu2, x, TARGETS)
    with torch.no_grad():
        assert_close(case.attribute(model, model.relu2, x, TARGETS), expected)
    with torch.inference_mode():
        assert_close(case.attribute(model, model.relu2, x, TARGETS), expected)
        assert_close(case.attribute(model, model.relu2, batch(), TARGETS), expected)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert_close(case.attribute(model, model.relu2, x, TARGETS), expected)


@every_case
def test_inputs_that_need_a_gradient(case):
    model, x = net(), batch()
    expected = case.attribute(model, model.relu2, x, TARGETS)
    x.requires_grad_()
    maps = case.attribute(model, model.relu2, x, TARGETS)
    assert_close(maps, expected)
    assert not maps.requires_grad
    assert x.requires_grad
    assert x.grad is None
    through = case.attribute(model, model.relu2, x * 1.0, TARGETS)  # not a leaf
    assert_close(through, expected)


@every_case
def test_single_and_double_precision_agree(case):
    single = net(torch.float32)
    double = net(torch.float64)
    maps = case.attribute(single, single.relu2, batch(dtype=torch.float32), TARGETS)
    expected = case.attribute(double, double.relu2, batch(), TARGETS)
    # Ablation-CAM divides by the score, and one of the images' is near 0.
    scale = max(1.0, float(expected.abs().max())) if case.ablates else 1.0
    assert_close(maps.double(), expected, atol=1e-5 * scale)


@every_case
def test_autocast_in_half_precision_stays_close_to_single(case):
    model, x = net(torch.float32), batch(dtype=torch.float32)
    expected = case.attribute(model, model.relu2, x, TARGETS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = case.attribute(model, model.relu2, x, TARGETS)
    assert maps.dtype == torch.float32
    if case.ablates:  # it divides by the score, which is rounded, and near 0 for an image
        maps, expected = (found / found.abs().amax((2, 3), True) for found in (maps, expected))
    far = (maps - expected).abs() > (0.05 if case.ablates else 0.02) * expected.abs().max()
    assert far.float().mean() <= (0.02 if case.denoised else 0)
    assert not torch.equal(maps, expected), "autocast had no effect: the test shows nothing"


@every_case
def test_a_model_in_half_precision(case):
    model, x = net(torch.float32), batch(dtype=torch.float32)
    expected = case.attribute(model, model.relu2, x, TARGETS)
    half = net(torch.bfloat16)
    maps = case.attribute(half, half.relu2, x.bfloat16(), TARGETS)
    assert maps.dtype == torch.float32
    assert torch.isfinite(maps).all()
    flat, other = maps.flatten(1), expected.flatten(1)
    assert torch.cosine_similarity(flat, other).min() > 0.95


# What is left behind


@pytest.fixture
def seeded():
    """Random states that are not those of a fresh interpreter."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.manual_seed(5)
    np.random.seed(6)
    random.seed(7)
    yield
    torch.set_rng_state(before[0])
    np.random.set_state(before[1])
    random.setstate(before[2])


@every_case
@pytest.mark.usefixtures("seeded")
def test_everything_is_as_it_was(case):
    model, x = net(), batch()
    model(x).sum().backward()  # .grad of the user's own
    model.fc.bias.requires_grad_(False)
    model.bn1.train()  # mixed modes, with the model itself in eval mode
    handle = model.conv1.register_forward_hook(lambda *_: None)
    before = state_of(model, x)
    for method in (case.attribute, case.attribute_targets, case.explain):
        method(model, model.relu2, x, TARGETS)
        assert_same_state(before, state_of(model, x))
    assert any("conv1" in str(hook) for hook in hooks_of(model))
    handle.remove()


@every_case
def test_a_model_in_training_mode_is_explained_in_eval_mode_and_put_back(case):
    model, x = net(), batch()
    expected = case.attribute(model, model.relu2, x, TARGETS)
    model.train()
    model.bn1.eval()
    before = state_of(model, x)
    with pytest.warns(UserWarning, match="training mode"):
        maps = case.attribute(model, model.relu2, x, TARGETS)
    assert_close(maps, expected)
    assert_same_state(before, state_of(model, x))


@every_case
def test_a_model_in_eval_mode_gives_no_warning(case):
    model = net()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        case.attribute(model, model.relu2, batch(), TARGETS, **case.given([TARGETS] * 3))


RAISING = [
    pytest.param(case, after, id=f"{case.name}-{after}")
    for case in CASES
    for after in ([1, 2, 3] if case.masked else [1])
]


@pytest.mark.parametrize(("case", "after"), RAISING)
@pytest.mark.usefixtures("seeded")
def test_everything_is_as_it_was_after_a_model_that_raises(case, after):
    model, x = RaisingNet(after=after).eval().double(), batch()
    options = {"perturbations_per_eval": 1} if case.masked else {}
    modes = modes_of(model)
    before = state_of(model, x)
    with pytest.raises(RuntimeError, match=f"forward pass {after} fails"):
        case.attribute(model, model.relu, x, 0, **options)
    assert_same_state(before, state_of(model, x))
    assert modes_of(model) == modes
    model.train()
    model.calls = 0
    before = state_of(model, x)
    with pytest.warns(UserWarning, match="training"), pytest.raises(RuntimeError):
        case.attribute(model, model.relu, x, 0, **options)
    assert_same_state(before, state_of(model, x))


@each(masked=True)
@pytest.mark.usefixtures("seeded")
def test_everything_is_as_it_was_after_scores_that_are_nan(case):
    model, x = NaNNet().eval().double(), batch()
    before = state_of(model, x)
    with pytest.raises(ValueError, match=r"scores.*NaN"):
        case.attribute(model, model.relu, x, 0)
    assert_same_state(before, state_of(model, x))


class Noisy(nn.Module):
    """A model that draws random numbers in each pass."""

    def __init__(self):
        super().__init__()
        self.net = SmallNet().double()

    def forward(self, x):
        return self.net(x) + 0 * torch.rand(1, dtype=x.dtype)


@every_case
@pytest.mark.usefixtures("seeded")
def test_a_model_that_draws_random_numbers_leaves_the_generator_as_it_was(case):
    model, x = Noisy().eval(), batch()
    before = state_of(model, x)
    case.attribute(model, model.net.relu2, x, TARGETS)
    assert_same_state(before, state_of(model, x))


@every_case
@pytest.mark.usefixtures("seeded")
def test_the_global_random_state_has_no_influence(case):
    model, x = net(), batch()
    first = case.attribute(model, model.relu2, x, TARGETS)
    torch.manual_seed(123)
    np.random.seed(124)
    random.seed(125)
    assert torch.equal(case.attribute(model, model.relu2, x, TARGETS), first)


@every_case
def test_no_hooks_remain_between_calls(case):
    model, x = net(), batch()
    cam = case.captum(model, model.relu2)
    assert hooks_of(model) == hooks_of(net())
    cam.attribute(x, TARGETS, **case.options)
    assert hooks_of(model) == hooks_of(net())


@every_case
def test_the_names_of_the_table_are_unique(case):
    assert Counter(ids(CASES))[case.name] == 1
