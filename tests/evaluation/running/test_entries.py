"""The methods of a run: every way to give one, and a clear word on what is none."""

import functools

import pytest
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM

from captum_cluster.attr import LayerClusterCam, MultiScale
from captum_cluster.evaluation import explain
from captum_cluster.evaluation.registry import method_names, run_method
from captum_cluster.evaluation.running.entries import Entry, method_entries
from captum_cluster.functional.attribution import Views
from captum_cluster.grad_cam import ClusterCAM, MultiScaleCAM
from tests.helpers.nets import SmallNet


def edges(model, layer, image, target):
    return image.diff(dim=3).abs().sum(dim=1)


def message(error, methods):
    """The whole message of the error of exactly that type."""
    with pytest.raises(error) as raised:
        method_entries(methods)
    assert raised.type is error
    return str(raised.value)


def test_every_name_is_an_entry_of_its_own():
    names = method_names()
    assert method_entries(names) == [Entry(name, name, {}, None) for name in names]


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (LayerGradCam, "LayerGradCam"),
        (LayerClusterCam, "LayerClusterCam"),
        (GradCAM, "GradCAM"),
        (edges, "edges"),
        (functools.partial(edges), "partial"),
    ],
)
def test_classes_and_functions_have_their_own_name(method, name):
    assert method_entries([method]) == [Entry(name, method, {}, None)]
    assert method_entries([{"method": method, "name": "mine"}]) == [Entry("mine", method)]


def test_a_mapping_gives_name_options_and_layer():
    layer = torch.nn.ReLU()
    wide = {
        "name": "wide",
        "method": "cluster-cam",
        "options": {"n_clusters": 9},
        "layer": [layer, "fc"],
    }
    [found] = method_entries((wide,))
    assert found == Entry("wide", "cluster-cam", {"n_clusters": 9}, [layer, "fc"])
    assert found.options is not wide["options"]


@pytest.mark.parametrize("options", [None, {}])
def test_a_mapping_may_say_no_more_than_the_method(options):
    assert method_entries([{"method": "rise"}]) == [Entry("rise", "rise", {}, None)]
    assert method_entries([{"method": "rise", "options": options}]) == [Entry("rise", "rise")]


def test_the_order_is_kept_and_one_method_may_come_twice_under_two_names():
    twice = {"name": "again", "method": "grad-cam"}
    found = method_entries([twice, "rise", "grad-cam"])
    assert [entry.name for entry in found] == ["again", "rise", "grad-cam"]


@pytest.mark.parametrize(
    ("methods", "got"),
    [
        ("grad-cam", "'grad-cam' (str)"),
        ({"method": "grad-cam"}, "{'method': 'grad-cam'} (dict)"),
        (None, "None (NoneType)"),
        ({"grad-cam"}, "{'grad-cam'} (set)"),
        (3, "3"),
    ],
)
def test_methods_that_are_no_list(methods, got):
    assert (
        message(TypeError, methods) == f"Expected methods to be a list of methods, but got {got}."
    )


def test_no_method():
    assert message(ValueError, []) == "Expected methods to be at least one method, but got none."


@pytest.mark.parametrize(
    "methods",
    [["rise", "rise"], ["rise", {"method": "cam", "name": "rise"}], ["cam", "rise", "rise"]],
)
def test_two_of_one_name(methods):
    assert message(ValueError, methods) == (
        "Expected methods to be of different names (give one a 'name' of its own), "
        "but got 'rise' more than once."
    )


def test_an_unknown_name():
    found = message(ValueError, ["grad-cam", "clustercam"])
    assert found.startswith("Expected method to be one of ")
    assert "(close: " in found
    assert found.endswith("but got 'clustercam'.")
    assert message(ValueError, [{"method": "clustercam"}]) == found


@pytest.mark.parametrize("method", [3, None, ["grad-cam"]])
def test_what_is_no_method(method):
    for given in (method, {"method": method}):
        found = message(TypeError, [given])
        assert found.startswith("Expected method to be the name of a method, but got ")


def test_explainers_that_were_made_already_are_refused():
    net = SmallNet().float().eval()
    made = [
        LayerGradCam(net, net.relu2),
        LayerClusterCam(net, net.relu2),
        GradCAM(net, [net.relu2]),
        ClusterCAM(net, [net.relu2]),
        MultiScale(LayerGradCam(net, net.relu2)),
        MultiScaleCAM(GradCAM(net, [net.relu2])),
    ]
    image = torch.rand(1, 3, 16, 16)
    for one in made:
        text = (
            "Expected method to be the class, a name or a function, not an instance, which is of "
            f"one model and layer, but got an instance of {type(one).__name__}."
        )
        assert message(TypeError, [one]) == text
        assert message(TypeError, [{"method": one}]) == text
        for read in (
            lambda one=one: run_method(one, net, net.relu2, image, 1),
            lambda one=one: explain(net, image, one),
        ):
            with pytest.raises(TypeError) as raised:
                read()
            assert str(raised.value) == text


def test_keys_that_a_mapping_does_not_have():
    keys = "name, method, options, layer, scales, flip"
    what = f"Expected a method to be described by {keys}, but got "
    assert message(ValueError, [{"name": "x"}]) == what + "no 'method'."
    assert message(ValueError, [{}]) == what + "no 'method'."
    unknown = {"method": "cam", "option": {}}
    assert message(ValueError, [unknown]) == what + "the unknown key 'option'."


@pytest.mark.parametrize(
    ("options", "got"), [([1], "[1] (list)"), ("n", "'n' (str)"), ({1: 2}, "{1: 2} (dict)")]
)
def test_options_that_are_none(options, got):
    assert message(TypeError, [{"method": "cam", "options": options}]) == (
        f"Expected options to be a mapping of names to values, but got {got}."
    )


@pytest.mark.parametrize(("name", "got"), [("", "'' (str)"), (3, "3"), (None, "None (NoneType)")])
def test_names_that_are_none(name, got):
    assert message(TypeError, [{"method": "cam", "name": name}]) == (
        f"Expected name to be a name, but got {got}."
    )


# Views


@pytest.mark.parametrize(
    ("given", "views"),
    [
        ({"scales": [0.5, 1, 1.5, 2], "flip": True}, Views()),
        ({"scales": (0.5, 2)}, Views((0.5, 2.0), flip=False)),
        ({"flip": True}, Views((1.0,), flip=True)),
        ({"scales": None, "flip": True}, Views((1.0,), flip=True)),
        ({"scales": [1], "flip": False}, None),
        ({"scales": None, "flip": None}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("method", ["cam", LayerGradCam, edges])
def test_a_mapping_gives_views(given, views, method):
    [found] = method_entries([{"method": method, **given}])
    assert found.views == views
    assert found.options == {}


def test_views_are_facts_only_where_there_are_some():
    scaled = {"method": "cam", "name": "scaled", "scales": [0.5, 1], "flip": True}
    plain, seen = method_entries(["cam", scaled])
    assert plain.facts() == {}
    assert seen.facts() == {"scales": [0.5, 1.0], "flip": True}


@pytest.mark.parametrize(
    ("given", "error", "got"),
    [
        ({"scales": []}, ValueError, "scales to be a list of at least one number, but got an emp"),
        ({"scales": [0]}, ValueError, "each of scales to be a number above 0, but got 0"),
        ({"scales": 2}, TypeError, "scales to be a list of numbers, but got 2"),
        ({"scales": "0.5"}, TypeError, "scales to be a list of numbers, but got '0.5' (str)"),
        ({"flip": "yes"}, TypeError, "flip to be True or False, but got 'yes' (str)"),
    ],
)
def test_views_that_are_none(given, error, got):
    assert message(error, [{"method": "cam", **given}]).startswith(f"Expected {got}")
