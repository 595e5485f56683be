"""What a model gives, image by image."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field

import pytest
import torch

from captum_cluster._checks import TargetError
from captum_cluster.functional.attribution.outputs import (
    as_tensor,
    describe_output,
    map_tensors,
    no_tensor,
    split_images,
    tensors_of,
    values_in_graph,
)
from captum_cluster.functional.attribution.scoring import read_scores
from captum_cluster.functional.attribution.targets import select_each, select_shared
from tests.helpers.records import Pair, Record

OUT, AUX = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0], [6.0]])

CONTAINERS = {
    "dictionary": ({"out": OUT, "aux": AUX}, lambda one: (one["out"], one["aux"])),
    "ordered dictionary": (
        OrderedDict(out=OUT, aux=AUX),
        lambda one: (one["out"], one["aux"]),
    ),
    "tuple": ((OUT, AUX), lambda one: one),
    "named tuple": (Pair(OUT, AUX), lambda one: (one.out, one.aux)),
    "dataclass": (Record(OUT, AUX), lambda one: (one.out, one.aux)),
    "nested": ({"a": {"out": OUT}, "b": [AUX, None]}, lambda one: (one["a"]["out"], one["b"][0])),
    "list of dictionaries": (
        [{"out": out, "aux": aux} for out, aux in zip(OUT, AUX, strict=True)],
        lambda one: (one["out"], one["aux"]),
    ),
    "list of tuples": (list(zip(OUT, AUX, strict=True)), lambda one: one),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_each_image_gets_its_own_part(kind):
    whole, read = CONTAINERS[kind]
    outputs = split_images(whole, 2)
    assert len(outputs) == 2
    assert outputs.whole is whole
    for image, one in enumerate(outputs):
        out, aux = read(one)
        assert torch.equal(out, OUT[image])
        assert torch.equal(aux, AUX[image])
        assert torch.equal(read(outputs[image])[0], out)


def test_a_part_keeps_its_class():
    assert isinstance(split_images(Pair(OUT, AUX), 2)[0], Pair)
    assert isinstance(split_images(Record(OUT, AUX), 2)[1], Record)


@pytest.mark.parametrize(
    "whole",
    [
        OUT,
        torch.tensor(1.0),
        None,
        3,
        "ab",
        {},
        (),
        {"out": OUT, "loss": torch.tensor(1.0)},
        {"out": OUT, "anchors": torch.ones(3, 4)},
        (OUT[:1], OUT),
        [OUT],
        [OUT, OUT, OUT],
        {"names": ["a", "b"]},
        Record,
    ],
    ids=repr,
)
def test_there_is_no_telling_the_images_apart(whole):
    assert split_images(whole, 2) is None


def test_a_list_of_tensors_has_one_for_each_image():
    # Boxes (M,6): also where there happen to be as many of them as there are images.
    boxes = [torch.zeros(2, 6), torch.ones(0, 6)]
    assert split_images(boxes, 2)[0] is boxes[0]
    assert split_images([torch.ones(1, 6)], 1)[0].shape == (1, 6)


def test_what_is_done_to_every_tensor():
    half = {"out": OUT.half().requires_grad_(), "labels": torch.tensor([1, 2])}
    outputs = split_images(half, 2)
    assert not outputs.detach()[0]["out"].requires_grad
    assert outputs[0]["out"].requires_grad
    wide = outputs.widened()
    assert wide[1]["out"].dtype == torch.float32
    assert wide[1]["labels"].dtype == torch.int64
    assert split_images({"out": OUT.double()}, 2).widened()[0]["out"].dtype == torch.float64
    turned = split_images({"out": torch.ones(2, 3, 4, 5).permute(0, 2, 3, 1)}, 2)
    assert turned.contiguous().whole["out"].is_contiguous()
    listed = split_images([{"out": OUT.clone().requires_grad_()}, {}], 2)
    assert not listed.detach()[0]["out"].requires_grad


def test_map_tensors_leaves_the_rest():
    value = (3, {"a": OUT, "b": None}, [AUX], Record(OUT, "text"))
    number, named, listed, record = map_tensors(torch.neg, value)
    assert number == 3
    assert torch.equal(named["a"], -OUT)
    assert named["b"] is None
    assert torch.equal(listed[0], -AUX)
    assert torch.equal(record.out, -OUT)
    assert record.aux == "text"
    assert len(tensors_of(value)) == 3


def test_a_dataclass_with_a_field_of_its_own():
    @dataclass(frozen=True)
    class Counted:
        out: torch.Tensor
        count: int = field(init=False, default=7)

    one = split_images(Counted(OUT), 2)[1]
    assert torch.equal(one.out, OUT[1])
    assert one.count == 7


Wide = namedtuple("Wide", [f"out{number}" for number in range(10)])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (OUT, "a tensor of shape (2, 2) and dtype torch.float32"),
        (None, "None (NoneType)"),
        ({"a": 1}, "a dict with 'a'"),
        (OrderedDict(a=1, b=2), "an OrderedDict with 'a', 'b'"),
        ((1, 2, 3), "a tuple of length 3"),
        ([OUT], "a list of length 1"),
        (Pair(1, 2), "a Pair with 'out', 'aux'"),
        (Record(1, 2), "a Record with 'out', 'aux'"),
        ([], "[] (list)"),
        (
            Wide(*range(10)),
            "a Wide with 'out0', 'out1', 'out2', 'out3', 'out4', 'out5', 'out6', 'out7', ...",
        ),
    ],
    ids=repr,
)
def test_describe_output(value, shown):
    assert describe_output(value) == shown


BEGIN = "Expected the model to give a tensor with one row for each of 2 images, but got "
FUNCTION = " Pass output_selector=, a function of it that gives the tensor that is explained."


@pytest.mark.parametrize(
    ("whole", "end"),
    [
        (torch.ones(3, 2), "a tensor of shape (3, 2) and dtype torch.float32."),
        (
            {"out": OUT, "loss": torch.tensor(0.0)},
            "a dict with 'out', 'loss'. "
            "Pass output_selector='out' for the tensor that is explained.",
        ),
        (
            (None, OUT, AUX),
            "a tuple of length 3. Pass output_selector=1 or 2 for the tensor that is explained.",
        ),
        (
            Record(OUT, AUX),
            "a Record with 'out', 'aux'. "
            "Pass output_selector='out' or 'aux' for the tensor that is explained.",
        ),
        ({"a": {"out": OUT}}, "a dict with 'a'." + FUNCTION),
        ([{"out": OUT}] * 2, "a list of length 2." + FUNCTION),
        (None, "None (NoneType)." + FUNCTION),
    ],
    ids=repr,
)
def test_the_message_names_the_selectors_that_help(whole, end):
    assert no_tensor(whole, 2) == BEGIN + end


def test_as_tensor():
    assert as_tensor(OUT) is OUT
    with pytest.raises(TargetError) as caught:
        as_tensor(split_images({"out": OUT}, 2), otherwise=" Or not.")
    assert str(caught.value) == no_tensor({"out": OUT}, 2) + " Or not."


# Targets and scores of such outputs


def test_a_callable_is_given_the_part_of_its_own_image():
    outputs = split_images({"out": OUT, "aux": AUX}, 2)
    each = select_each([lambda one: one["out"][0], lambda one: one["aux"][0]], images=2)
    rows = torch.tensor([0, 1])
    assert each(outputs, rows).tolist() == [[1.0], [6.0]]
    assert each(outputs, rows.flip(0)).tolist() == [[5.0], [3.0]]  # the rows are of images 1 and 0
    shared = select_shared([lambda one: one["out"].sum(), lambda one: one["aux"]], images=2)
    assert shared(outputs, rows).tolist() == [[3.0, 5.0], [7.0, 6.0]]


@pytest.mark.parametrize("target", [0, None, [0, 1], (1, 0)], ids=repr)
def test_other_targets_need_a_tensor(target):
    outputs = split_images({"out": OUT, "aux": AUX}, 2)
    with pytest.raises(TargetError) as caught:
        select_each(target, images=2)(outputs, torch.tensor([0, 1]))
    assert str(caught.value) == (
        no_tensor(outputs.whole, 2) + " Or pass as targets callables of one image's output."
    )


@pytest.mark.parametrize(
    ("target", "got"),
    [
        (lambda one: one["logits"][0], "KeyError: 'logits'"),
        (lambda one: one[0, :], "KeyError: (0, slice(None, None, None))|TypeError: unhashable"),
        (lambda one: one.shape, "AttributeError: 'dict' object has no attribute 'shape'"),
        (lambda one: one["out"][9], "IndexError: index 9 is out of bounds"),
    ],
)
def test_a_callable_that_does_not_fit(target, got):
    outputs = split_images({"out": OUT}, 2)
    with pytest.raises(TargetError) as caught:
        select_each(target, images=2)(outputs, torch.tensor([0, 1]))
    message = str(caught.value)
    begin = "Expected target to fit one image's output, a dict with 'out', but got "
    assert any(message.startswith(begin + one) for one in got.split("|")), message
    assert message.endswith(". output_selector= picks a tensor of it.")
    assert caught.value.__cause__ is not None


def test_a_callables_own_error_at_a_tensor_stays():
    with pytest.raises(KeyError, match="mine"):
        select_each(lambda one: {}["mine"], images=2)(OUT, torch.tensor([0, 1]))


def test_counts_are_numbers_too():
    values = select_each(lambda one: (one > 1).sum(), images=2)(OUT, torch.tensor([0, 1]))
    assert values.dtype == torch.float32
    assert values.tolist() == [[1.0], [2.0]]


def test_the_logit_leaves_outputs_as_they_are():
    outputs = split_images({"out": OUT.bfloat16()}, 2)
    read = read_scores(outputs, "logit")
    assert torch.equal(read[0]["out"], OUT[0])
    assert read[0]["out"].dtype == torch.float32


@pytest.mark.parametrize("reading", ["probability", "sigmoid", lambda one: one["out"]])
def test_other_readings_need_a_tensor(reading):
    outputs = split_images({"out": OUT}, 2)
    with pytest.raises(TargetError) as caught:
        read_scores(outputs, reading)
    assert str(caught.value) == (
        no_tensor(outputs.whole, 2) + " Or pass as targets callables of one image's output, and "
        "'logit' as score_function (and sufficient_score)."
    )


# Gradients


def test_values_that_depend_on_no_output_have_no_gradient():
    out = OUT.clone().requires_grad_()
    outputs = split_images({"out": out * 2, "labels": torch.tensor([1, 2])}, 2)
    constant = torch.zeros(2, 1)
    values = values_in_graph(constant, outputs)
    assert torch.equal(values, constant)
    assert torch.autograd.grad(values.sum(), out, allow_unused=True) == (None,)
    depends = out.sum()
    assert values_in_graph(depends, outputs) is depends
    assert values_in_graph(constant, out * 2).requires_grad
    # No box at all: nothing says that the model has cut the graph.
    empty = split_images([{"boxes": torch.zeros(0, 4)}] * 2, 2)
    assert values_in_graph(constant, empty).requires_grad


def test_outputs_without_a_graph_stay_without():
    constant = torch.zeros(2, 1)
    assert values_in_graph(constant, OUT) is constant
    assert values_in_graph(constant, split_images({"out": OUT}, 2)) is constant
