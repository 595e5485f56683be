"""Captum's generated cases that name ``LayerGradCam``, run with our classes in its place.

Cases with feature maps run as Captum's own target tests do: a batch against its examples one by
one. The others explain layers without a grid, which is a documented error.
"""

import copy

import pytest
import torch
from captum.attr import LayerGradCam
from captum.testing.attr.helpers.gen_test_utils import get_target_layer, parse_test_config

from captum_cluster._checks import LayerError
from tests.conformance.cases import assert_same_state, each, state_of
from tests.conformance.nets import SubHead

with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)  # The inputs of the cases are drawn when this is imported.
    from captum.testing.attr.helpers.test_config import config

GENERATED = [entry for entry in config if LayerGradCam in entry["algorithms"]]


def _is_image(inputs):
    return isinstance(inputs, torch.Tensor) and inputs.ndim == 4


WITH_MAPS = [entry for entry in GENERATED if _is_image(entry["attribute_args"]["inputs"])]
WITHOUT_MAPS = [entry for entry in GENERATED if not _is_image(entry["attribute_args"]["inputs"])]

# The convolutional case explains one label; the forms of target come from the other cases.
TARGETS = {
    "as generated": None,
    "int": 0,
    "list": [0, 1, 1, 0],
    "tensor": torch.tensor([0, 1, 1, 0]),
    "list of tuples": [(0,), (1,), (1,), (0,)],
}

every_case = each()
fits_any_layer = each(closed_form=False)


def names(entries):
    return [entry["name"] for entry in entries]


def prepared(entry, case):
    """The model, its layer and the arguments of a generated case, copied."""
    _, model, args, layer_name, _, _ = parse_test_config(entry)
    model = copy.deepcopy(model).eval()
    layer = get_target_layer(model, layer_name)
    args = {**copy.deepcopy(args), **case.options}
    # For sub-category-cam; no other method looks at it.
    model.sub_category_head = SubHead(*sizes_of(model, layer, args["inputs"]))
    return model, layer, args


def sizes_of(model, layer, inputs):
    """The numbers of labels and of channels, where the layer has maps."""
    if not _is_image(inputs):
        return 2, 3
    seen = []
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        return model(inputs).shape[1], seen[0].shape[1]
    finally:
        handle.remove()


def largest_value(model, layer, inputs):
    """The largest value that the layer gives."""
    seen = []
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        model(inputs)
    finally:
        handle.remove()
    return seen[-1].abs().max().item()


def test_captum_still_generates_cases_of_both_kinds():
    assert WITH_MAPS
    assert WITHOUT_MAPS


@fits_any_layer
@pytest.mark.parametrize("entry", WITH_MAPS, ids=names(WITH_MAPS))
@pytest.mark.parametrize("form", TARGETS)
@pytest.mark.filterwarnings("ignore:The model's outputs lie in")  # it ends in a softmax
def test_a_batch_against_its_examples(entry, case, form):
    model, layer, args = prepared(entry, case)
    if TARGETS[form] is not None:
        args["target"] = TARGETS[form]
    inputs, target = args.pop("inputs"), args.pop("target")
    cam = case.captum(model, layer)
    before = state_of(model, inputs)
    together = cam.attribute(inputs, target, **args)
    assert_same_state(before, state_of(model, inputs))
    if case.at_layer:
        stock = LayerGradCam(model, layer).attribute(inputs, target)
        assert together.shape == stock.shape
    assert torch.isfinite(together).all()
    for i in range(len(inputs)):
        one = target if isinstance(target, int) else target[i]
        alone = cam.attribute(inputs[i : i + 1], one, **args)
        # Captum's tolerance is 1e-4 for values of about 1; these maps go to thousands.
        atol = 1e-4 * max(1.0, alone.abs().max().item())
        if case.ablates:  # here all differences of scores are rounding, divided by a score of 0.08
            atol = max(atol, 1e-4 * largest_value(model, layer, inputs))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=atol)


@every_case
@pytest.mark.parametrize("entry", WITH_MAPS, ids=names(WITH_MAPS))
def test_wrong_targets_raise_as_captums_own_tests_expect(entry, case):
    model, layer, args = prepared(entry, case)
    for wrong in (1000, [0, 1], torch.tensor([0, 1, 1]), [(0, 0)] * 4, None):
        with pytest.raises(AssertionError):
            case.captum(model, layer).attribute(**{**args, "target": wrong})


@each(closed_form=True)
@pytest.mark.parametrize("entry", WITH_MAPS, ids=names(WITH_MAPS))
@pytest.mark.filterwarnings("ignore:The model's outputs lie in")
def test_a_closed_form_names_the_form_that_explains_such_a_network(entry, case):
    model, layer, args = prepared(entry, case)
    before = state_of(model)
    with pytest.raises(LayerError, match="gradient form"):
        case.captum(model, layer).attribute(**args)
    assert_same_state(before, state_of(model))


@every_case
@pytest.mark.parametrize("entry", WITHOUT_MAPS, ids=names(WITHOUT_MAPS))
def test_a_layer_without_maps_is_a_clear_error(entry, case):
    model, layer, args = prepared(entry, case)
    before = state_of(model)
    with pytest.raises((LayerError, ValueError), match=r"^Expected (layer|inputs) to .*, but got"):
        case.captum(model, layer).attribute(**args)
    assert_same_state(before, state_of(model))
