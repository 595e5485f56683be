"""Every example in a docstring runs, and every public name says what it does."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
import torch

import captum_cluster

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(captum_cluster.__path__, "captum_cluster.")
    if not info.name.endswith("__main__")
)
ROOMS = ("functional", "methods", "attr", "grad_cam", "metrics", "data")


def public(module):
    """The public functions and classes that a module defines."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }


def members(value):
    """The public methods and properties that a class defines itself."""
    return {
        name: member
        for name, member in vars(value).items()
        if not name.startswith("_")
        and (
            inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod))
        )
    }


def test_the_modules_are_found():
    for room in ROOMS:
        assert any(name.startswith(f"captum_cluster.{room}.") for name in MODULES), room


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    module = importlib.import_module(name)
    with torch.random.fork_rng(devices=[]):
        failed, _ = doctest.testmod(module)
    assert failed == 0, f"{failed} examples of {name} fail; the output above says which"


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    count = sum(
        bool(test.examples)
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
    )
    assert count >= 30


@pytest.mark.parametrize("name", MODULES)
def test_public_names_have_docstrings(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    if not any(name.startswith(f"captum_cluster.{room}") for room in ROOMS):
        return
    missing = []
    for key, value in public(module).items():
        doc = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
        # A dataclass without a docstring gets its signature as one.
        if not doc or not doc.strip() or doc.startswith(f"{key}("):
            missing.append(key)
        if inspect.isclass(value):
            missing += [
                f"{key}.{part}" for part, member in members(value).items() if not member.__doc__
            ]
    assert not missing, f"without docstring in {name}: {', '.join(missing)}"


@pytest.mark.parametrize("room", ["captum_cluster.attr", "captum_cluster.grad_cam"])
def test_every_class_of_a_face_has_an_example_and_a_reference(room):
    module = importlib.import_module(room)
    for name in module.__all__:
        doc = inspect.getdoc(getattr(module, name))
        assert "Example:\n" in doc, f"{name} has no example"
        assert "References:\n" in doc, f"{name} has no reference"
