"""What a run depends on: seen where it changes, and said."""

import copy
import functools
import hashlib
import json
import multiprocessing
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from captum_cluster.evaluation.running.fingerprint import (
    enter,
    plain,
    saved_facts,
    state_digest,
)
from captum_cluster.evaluation.running.records import Records
from tests.helpers.nets import SmallNet

ROOT = Path(__file__).resolve().parents[3]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="starts processes by fork")


class Odd(nn.Module):
    """Everything that a state may hold."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, 2, 4, 5, generator=generator))
        self.register_buffer("sixteen", torch.tensor([1.5, 2.5], dtype=torch.float16))
        self.register_buffer("brain", torch.tensor([1.5, 2.5], dtype=torch.bfloat16))
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("scalar", torch.tensor(3))
        self.register_buffer("empty", torch.zeros(0, 4))
        self.register_buffer("wave", torch.tensor([1 + 2j]))
        self.register_buffer("unsaved", torch.tensor([1.0, 2.0]), persistent=False)
        self.register_buffer("absent", None)
        self.extra = {"levels": [1, 2], "name": "a"}

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


STATES = ["weight", "sixteen", "brain", "flags", "scalar", "wave", "unsaved"]


@pytest.mark.parametrize("name", STATES)
def test_a_digest_changes_with_each_part_of_the_state(name):
    model = Odd()
    before = state_digest(model)
    assert len(before) == 16
    assert int(before, 16) >= 0
    flat = getattr(model, name).data.reshape(-1)
    for place in {0, len(flat) - 1}:
        kept = flat[place].clone()
        flat[place] = ~kept if name == "flags" else kept + 1
        changed = state_digest(model)
        assert changed != before
        flat[place] = kept
        assert state_digest(model) == before


def test_a_digest_changes_with_every_tensor_of_a_network():
    net = SmallNet()
    seen = {state_digest(net)}
    for value in net.state_dict().values():
        value.add_(1)
        seen.add(state_digest(net))
    assert len(seen) == len(net.state_dict()) + 1


def test_a_digest_changes_with_the_smallest_step_of_one_number():
    layer = nn.Linear(4, 4)
    before = state_digest(layer)
    with torch.no_grad():
        layer.weight[2, 3] = torch.nextafter(layer.weight[2, 3], torch.tensor(9.0))
    assert state_digest(layer) != before


def test_a_digest_changes_with_extra_state_names_shapes_and_dtypes():
    model = Odd()
    before = state_digest(model)
    model.extra = {"levels": [1, 3], "name": "a"}
    assert state_digest(model) != before
    zeros = [
        nn.ParameterDict({"a": torch.zeros(4)}),
        nn.ParameterDict({"b": torch.zeros(4)}),
        nn.ParameterDict({"a": torch.zeros(2, 2)}),
        nn.ParameterDict({"a": torch.zeros(4, dtype=torch.float64)}),
        nn.ParameterDict({"a": torch.zeros(0, 4)}),
        nn.ParameterDict({"a": torch.zeros(4, 0)}),
        nn.ParameterDict({"a": torch.zeros(2), "b": torch.zeros(2)}),
        nn.ParameterDict({}),
    ]
    assert len({state_digest(one) for one in zeros}) == len(zeros)


def test_a_digest_does_not_change_with_copies_modes_and_layouts():
    model = Odd()
    before = state_digest(model)
    assert state_digest(copy.deepcopy(model)) == before
    assert state_digest(model.to("cpu").train()) == before
    assert state_digest(model.requires_grad_(False)) == before
    model.weight.data = model.weight.data.to(memory_format=torch.channels_last)
    assert not model.weight.is_contiguous()
    assert state_digest(model) == before
    model.weight.data = torch.stack([model.weight.data] * 2, dim=-1)[..., 1]  # every second number
    assert state_digest(model) == before


def test_a_digest_leaves_the_model_alone():
    net = SmallNet().train()
    before = copy.deepcopy(net.state_dict())
    state_digest(net)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.requires_grad for value in net.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_digest_does_not_change_with_the_device():
    model = Odd()
    before = state_digest(model)
    assert state_digest(model.cuda()) == before


@needs_fork
def test_a_digest_is_the_same_in_another_process(tmp_path):
    def digest():
        (tmp_path / "digest.txt").write_text(state_digest(Odd()))

    process = multiprocessing.get_context("fork").Process(target=digest)
    process.start()
    process.join(60)
    assert (tmp_path / "digest.txt").read_text() == state_digest(Odd())


def test_digests_of_one_release_are_those_of_the_next():
    """A run that was begun can go on: the digest of a fixed state is written down."""
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0]]))
        layer.bias.fill_(0.5)
    weight, bias = struct.pack("<2f", 1.0, 2.0), struct.pack("<f", 0.5)
    parts = [b"weight", b"(1, 2) torch.float32", weight, b"bias", b"(1,) torch.float32", bias]
    assert state_digest(layer) == hashlib.sha256(b"".join(parts)).hexdigest()[:16]


# Values


def scale(x, by=1):
    return x * by


class Doubled:
    """A callable object without a name."""

    def __init__(self, by=2):
        self.by = by

    def __call__(self, x):
        return x * self.by


class Shown(Doubled):
    def __repr__(self):
        return f"Shown({self.by})"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("ä", "ä"),
        ((1, (2, "x")), [1, [2, "x"]]),
        ({"a": {1: (2,)}}, {"a": {"1": [2]}}),
        (Path("some") / "file", os.path.join("some", "file")),
        (range(3), [0, 1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (torch.Size([2, 3]), [2, 3]),
        (torch.float32, "torch.float32"),
        (torch.device("cpu"), "device(type='cpu')"),
        (torch.relu, "relu"),
        (Doubled, "Doubled"),
        (Shown(3), "Shown(3)"),
        (functools.partial(torch.relu, by=2), {"partial": ["relu", [], {"by": 2}]}),
        (nn.Linear(2, 1), "Linear(in_features=2, out_features=1, bias=True)"),
        (nn.ReLU, "ReLU"),
        (np.float64(0.5), 0.5),
    ],
)
def test_values_as_json_holds_them(value, expected):
    found = plain(value)
    assert found == expected
    assert json.loads(json.dumps(found)) == expected


OBJECTS = [
    scale,
    lambda x: x,
    Doubled(),
    functools.partial(scale, by=torch.ones(2)),
    functools.partial(Doubled()),
    Doubled().__call__,
    nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()),
    torch.rand(40, 40),
    object(),
    {"nested": [object(), (Doubled(),)]},
    torch.Generator(),
]


@pytest.mark.parametrize("value", OBJECTS, ids=range(len(OBJECTS)))
def test_no_address_is_left(value):
    text = json.dumps(plain(value))
    assert "0x" not in text
    assert json.dumps(plain(value)) == text


def test_tensors_and_arrays_are_told_apart_by_all_their_numbers():
    large = torch.zeros(2000)
    other = large.clone()
    other[1000] = 1  # where printing leaves out
    assert plain(large).startswith("tensor ")
    assert len({plain(one) for one in (large, other, large.reshape(2, 1000))}) == 3
    assert plain(large) == plain(large.clone().requires_grad_())
    assert len({plain(one) for one in (large.numpy(), other.numpy(), large)}) == 3
    assert len({plain(one) for one in (large, large.double(), large.numpy().astype(int))}) == 3
    assert plain(other.numpy().reshape(2, 1000).T) == plain(other.reshape(2, 1000).T.numpy())
    assert plain(other.reshape(2, 1000).T) == plain(other.reshape(2, 1000).T.contiguous())
    words = [np.array(text, dtype=object) for text in (["a", "b"], ["a", "b"], ["a", "c"])]
    assert plain(words[0]) == plain(words[1]) != plain(words[2])
    assert plain(torch.tensor([1.5], dtype=torch.bfloat16)).startswith("tensor ")
    assert plain(torch.tensor(2.0)) != plain(torch.tensor(3.0))


def test_partials_are_told_apart_by_what_they_bind():
    partials = [functools.partial(scale, by=by) for by in (1, 2)]
    partials += [functools.partial(scale, 1), functools.partial(torch.relu, by=1)]
    assert len({json.dumps(plain(one)) for one in partials}) == 4


# Functions


def made(source):
    """The function ``method`` that a source defines."""
    names = {}
    exec(source, names)
    return names["method"]


METHOD = """
def method(model, layer, image, target, by=2, *, low=0):
    if target in {3, 5}:
        return [step * 0.5 + low for step in range(by)]
    return sorted(image.sum(), key=lambda one: one + 1)
"""
EDITS = [
    ("step * 0.5", "step / 0.5"),
    ("0.5", "0.25"),
    ("{3, 5}", "{3, 6}"),
    ("by=2", "by=3"),
    ("by=2", "by='2'"),
    ("low=0", "low=1"),
    ("low=0", "low=None"),
    ("image.sum()", "image.mean()"),
    ("one + 1", "one + 2"),
    ("range(by)", "range(target)"),
    ("model, layer", "labels, layer"),  # a parameter of this name is told the labels
    ("*, low", "low"),
]


def test_edited_functions_are_told_apart():
    sources = [METHOD, *(METHOD.replace(old, new) for old, new in EDITS)]
    assert len(set(sources)) == len(sources)
    found = [plain(made(source)) for source in sources]
    assert len(set(found)) == len(found)
    for one in found:
        name, digest = one.split(" ")
        assert (name, len(digest)) == ("method", 16)
        assert int(digest, 16) >= 0


def test_a_function_is_the_same_wherever_it_stands():
    moved = "import torch\n\n\n" + METHOD.replace("    if", "    # a comment\n\n    if")
    assert plain(made(moved)) == plain(made(METHOD)) == plain(made(METHOD))
    called = made(METHOD)
    for _ in range(20):  # calls that the interpreter specialises
        called(None, None, None, 3)
    assert plain(called) == plain(made(METHOD))
    renamed = made(METHOD.replace("def method", "def other") + "\nmethod = other\n")
    assert plain(renamed).split(" ") == ["other", plain(called).split(" ")[1]]


def closed_over(value):
    def method(x):
        return x * value

    return method


def test_functions_are_told_apart_by_what_they_close_over():
    values = [1, 2, "1", None, [1], torch.zeros(2), torch.ones(2), scale, Shown(1), Shown(2)]
    found = [plain(closed_over(value)) for value in values]
    assert len(set(found)) == len(values)
    assert [plain(closed_over(value)) for value in values] == found
    assert plain(closed_over(closed_over(1))) != plain(closed_over(closed_over(2)))
    assert plain(functools.partial(closed_over(1))) != plain(functools.partial(closed_over(2)))


def test_a_function_may_close_over_nothing_yet():
    def early():
        def method(x):
            return x * later

        found = plain(method)
        later = 2
        return found, plain(method)

    before, after = early()
    assert before != after


def calls_itself(by):
    def method(x):
        return method(x - by) if x > 0 else x

    return method


def call_each_other(by):
    table = {}

    def even(x):
        return x == 0 or table["odd"](x - 1)

    def odd(x):
        return x != 0 and even(x - by)

    table["odd"] = odd
    return even


@pytest.mark.parametrize("make", [calls_itself, call_each_other])
def test_functions_that_call_themselves(make):
    assert plain(make(1)) == plain(make(1))
    assert plain(make(1)) != plain(make(2))


def test_methods_of_objects_are_told_apart_by_their_code():
    source = (
        "class Judge:\n    def accept(self, x):\n        return x > {}\nmethod = Judge().accept"
    )
    found = [plain(made(source.format(number))) for number in (1, 2)]
    assert found[0] != found[1]
    assert found[0].startswith("accept ")
    assert plain(made(source.format(1))) == found[0]


def words(x, kinds=frozenset("abcdefgh")):
    return [one for one in x if one in {"red", "green", "blue", "white"} or one in kinds]


def test_functions_are_the_same_in_another_process():
    """Sets have another order there."""
    code = (
        "from tests.evaluation.running.test_fingerprint import *;"
        "print(plain(words), plain(closed_over({'red', 'green', 'blue'})), plain(calls_itself(2)))"
    )
    expected = [words, closed_over({"red", "green", "blue"}), calls_itself(2)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == " ".join(map(plain, expected)).split()


# Directories

FACTS = {"model": {"class": "Net", "state": "12ab"}, "images": 10, "layer": None, "baseline": 0.0}


def refusal(folder, facts):
    """What is said of a directory that holds another run, without its name."""
    before = (folder / "run.json").read_bytes()
    with pytest.raises(ValueError, match="another") as raised:
        enter(folder, facts)
    assert raised.type is ValueError
    assert (folder / "run.json").read_bytes() == before
    start = f"Expected output to be a directory for this run, but got {str(folder)!r}, which holds "
    text = str(raised.value)
    assert text.startswith(start + "another (")
    assert text.endswith(").")
    return text.removeprefix(start + "another (").removesuffix(").")


def test_a_fresh_directory_is_taken(tmp_path):
    enter(tmp_path, FACTS)
    assert saved_facts(tmp_path) == FACTS
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_the_same_run_goes_on(tmp_path):
    enter(tmp_path, FACTS)
    before = (tmp_path / "run.json").stat().st_mtime_ns
    with Records(tmp_path) as records:
        records.append({"image": 0})
    enter(tmp_path, FACTS)
    enter(tmp_path, dict(reversed(FACTS.items())))
    assert (tmp_path / "run.json").stat().st_mtime_ns == before


def test_facts_are_compared_as_they_are_saved(tmp_path):
    enter(tmp_path, {"sizes": (1, 2), "path": Path("x"), "scale": torch.relu, "by": {1: "ä"}})
    enter(tmp_path, {"sizes": [1, 2], "path": "x", "scale": "relu", "by": {"1": "ä"}})
    assert refusal(tmp_path, {"sizes": [1, 3], "path": "x", "scale": "relu", "by": {"1": "ä"}}) == (
        "sizes: [1, 2] there, [1, 3] here"
    )


def test_one_difference_is_named(tmp_path):
    enter(tmp_path, FACTS)
    assert refusal(tmp_path, {**FACTS, "images": 20}) == "images: 10 there, 20 here"
    assert refusal(tmp_path, {**FACTS, "layer": "fc"}) == 'layer: null there, "fc" here'


def test_every_difference_is_named(tmp_path):
    enter(tmp_path, FACTS)
    other = {**FACTS, "images": 20, "baseline": 0.5}
    assert refusal(tmp_path, other) == "images: 10 there, 20 here; baseline: 0.0 there, 0.5 here"


def test_nested_differences_are_named_by_their_keys(tmp_path):
    enter(tmp_path, FACTS)
    other = {**FACTS, "model": {"class": "Net", "state": "34cd"}}
    assert refusal(tmp_path, other) == 'model: state "12ab" there, "34cd" here'
    other = {**FACTS, "model": {"class": "Other", "state": "34cd", "size": 3}}
    assert refusal(tmp_path, other) == (
        'model: class "Net" there, "Other" here, state "12ab" there, "34cd" here, '
        "size null there, 3 here"
    )
    assert refusal(tmp_path, {**FACTS, "model": "Net"}) == (
        'model: {"class": "Net", "state": "12ab"} there, "Net" here'
    )


def test_missing_and_additional_facts_are_named(tmp_path):
    enter(tmp_path, FACTS)
    assert refusal(tmp_path, {**FACTS, "more": 1}) == "more: null there, 1 here"
    less = {name: value for name, value in FACTS.items() if name != "images"}
    assert refusal(tmp_path, less) == "images: 10 there, null here"


def test_long_values_are_cut_but_not_what_differs(tmp_path):
    names = [f"metric-{number:02d}" for number in range(30)]
    enter(tmp_path, {"metrics": names})
    first = refusal(tmp_path, {"metrics": ["other", *names[1:]]})
    last = refusal(tmp_path, {"metrics": [*names[:-1], "other"]})
    fewer = refusal(tmp_path, {"metrics": names[:-1]})
    short = refusal(tmp_path, {"metrics": ["metric-00"]})
    assert first.startswith('metrics: ["metric-00", "metric-01", ')
    assert '... there, ["other", "metric-01", ' in first
    assert '"metric-29"] there, ...' in last
    assert last.endswith('"other"] here')
    assert fewer.endswith('"metric-28"] here')
    assert '"metric-28", "metric-29"] there' in fewer
    assert short.endswith('... there, ["metric-00"] here')
    for found in (first, last, fewer, short):
        assert len(found) < 200


def test_the_changed_option_of_one_of_many_methods_is_shown(tmp_path):
    methods = [{"name": f"method-{n}", "options": {"n_clusters": 7}} for n in range(5)]
    changed = copy.deepcopy(methods)
    changed[3]["options"]["n_clusters"] = 9
    enter(tmp_path, {"methods": methods})
    found = refusal(tmp_path, {"methods": changed})
    assert '"n_clusters": 7}' in found.split(" there, ")[0]
    assert '"n_clusters": 9}' in found.split(" there, ")[1]


def test_results_without_facts_are_not_touched(tmp_path):
    with Records(tmp_path) as records:
        records.append({"image": 0})
    with pytest.raises(ValueError, match="results and no run.json") as raised:
        enter(tmp_path, FACTS)
    assert str(raised.value) == (
        "Expected output to be a directory for this run, "
        f"but got {str(tmp_path)!r}, which has results and no run.json."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["records-0.jsonl"]


def test_files_without_a_result_do_not_matter(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with Records(tmp_path):
        pass
    enter(tmp_path, FACTS)
    assert saved_facts(tmp_path) == FACTS


@pytest.mark.parametrize("damage", ["", '{"images": 1', "[1, 2]", "3", "null", "\x00" * 20])
def test_damaged_facts_are_said_to_be(tmp_path, damage):
    path = tmp_path / "run.json"
    path.write_text(damage)
    for read in (saved_facts, lambda folder: enter(folder, FACTS)):
        with pytest.raises(ValueError, match="run.json") as raised:
            read(tmp_path)
        assert str(raised.value).startswith(f"Expected {path} to be the facts of a run, but got ")
    assert path.read_text() == damage


def test_facts_that_are_no_text(tmp_path):
    (tmp_path / "run.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="to be the facts of a run"):
        saved_facts(tmp_path)


def test_a_directory_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        saved_facts(tmp_path)
    assert str(raised.value) == (
        f"Expected the directory to be one of a run, but got {str(tmp_path)!r} without run.json."
    )


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        enter(tmp_path / "absent", FACTS)


@needs_fork
def test_two_processes_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)
    facts = {**FACTS, "long": ["x" * 100] * 1000}  # a file that is not written in one step

    def begin():
        start.wait(60)
        enter(tmp_path, facts)
        assert saved_facts(tmp_path) == facts

    processes = [context.Process(target=begin) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert saved_facts(tmp_path) == facts
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
