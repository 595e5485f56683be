"""Which part of an output is explained."""

import copy
import operator
import pickle

import pytest
import torch

from captum_cluster.functional.attribution.output_selector import OutputSelector
from tests.helpers.records import ModelOutput, Pair, Record

OUT, AUX = torch.ones(2, 3), torch.zeros(2, 1)


@pytest.mark.parametrize(
    ("pick", "output"),
    [
        (None, OUT),
        (0, (OUT, AUX)),
        (-1, [AUX, OUT]),
        (1, {1: OUT, 0: AUX}),
        ("out", {"out": OUT, "aux": AUX}),
        ("items", {"items": OUT}),  # a key comes before a method of that name
        (0, Pair(OUT, AUX)),
        ("out", Pair(OUT, AUX)),
        ("out", Record(OUT, AUX)),
        ("logits", ModelOutput(logits=OUT, hidden=AUX)),
        (operator.itemgetter("out"), {"out": OUT}),
        (lambda output: output["a"][0], {"a": [OUT]}),
        (OutputSelector("out"), {"out": OUT}),
        (lambda output: output, OUT),
    ],
)
def test_what_is_picked(pick, output):
    assert OutputSelector(pick)(output) is OUT


@pytest.mark.parametrize("pick", [None, 0, "out", operator.itemgetter(0)])
def test_a_selector_can_be_copied_and_pickled(pick):
    selector = OutputSelector(pick)
    for twin in (copy.deepcopy(selector), pickle.loads(pickle.dumps(selector))):
        assert isinstance(twin, OutputSelector)
        assert twin(OUT) is OUT if pick is None else callable(twin)
    if not callable(pick):
        assert pickle.loads(pickle.dumps(selector)) == selector


@pytest.mark.parametrize("pick", [1.0, True, ["out"], ("out",), b"out"])
def test_a_selector_of_a_wrong_type(pick):
    with pytest.raises(TypeError) as caught:
        OutputSelector(pick)
    assert str(caught.value) == (
        "Expected output_selector to be an index, a key, the name of an attribute, a function of "
        f"the output, or None, but got {pick if pick == 1 else repr(pick)}"
        f"{'' if pick == 1 else f' ({type(pick).__name__})'}."
    )


@pytest.mark.parametrize(
    ("pick", "output", "end"),
    [
        ("aux", {"out": OUT}, "a dict with 'out', but got 'aux'."),
        (0, {"out": OUT}, "a dict with 'out', but got 0."),
        (2, (OUT, AUX), "a tuple of length 2, but got 2."),
        ("out", (OUT, AUX), "a tuple of length 2, but got 'out'."),
        (0, Record(OUT), "a Record with 'out', 'aux', but got 0."),
        ("logits", None, "None (NoneType), but got 'logits'."),
    ],
)
def test_nothing_to_pick(pick, output, end):
    with pytest.raises(ValueError, match=r"^Expected output_selector to pick a part") as caught:
        OutputSelector(pick)(output)
    assert str(caught.value).endswith(f"of the model's output, {end}")


@pytest.mark.parametrize("pick", [0, "T"])
def test_of_a_tensor_only_a_function_picks(pick):
    with pytest.raises(ValueError, match=r"^Expected output_selector to be None or") as caught:
        OutputSelector(pick)(OUT)
    assert str(caught.value) == (
        "Expected output_selector to be None or a function, for a model that gives a tensor, "
        f"but got {pick!r}."
    )


def test_a_functions_own_error_stays():
    with pytest.raises(KeyError, match="mine"):
        OutputSelector(lambda output: output["mine"])({})
