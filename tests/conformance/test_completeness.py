"""Names what is missing of a method: its faces, its row of tests, its reference, its mention."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import captum_cluster
import captum_cluster.attr
import captum_cluster.grad_cam
import captum_cluster.methods
from captum_cluster.methods import Algorithm
from tests.conformance.cases import CASES
from tests.helpers import (
    ablation_references,
    collection_references,
    level_references,
    minmax_references,
    references,
    sub_category_references,
)

REFERENCES = (
    ablation_references,
    references,
    collection_references,
    minmax_references,
    level_references,
    sub_category_references,
)
ROOT = Path(__file__).resolve().parents[2]


def stems_and_algorithms():
    """The algorithms defined in the modules of ``captum_cluster.methods``, with their stems."""
    found = {}
    for info in pkgutil.iter_modules(captum_cluster.methods.__path__):
        module = importlib.import_module(f"captum_cluster.methods.{info.name}")
        for value in vars(module).values():
            if isinstance(value, Algorithm):
                found[info.name] = value
    return found


FOUND = stems_and_algorithms()
every_method = pytest.mark.parametrize("stem", sorted(FOUND))


def classes(room, stem):
    """The public classes of one room that belong to the algorithm."""
    return {
        name: value
        for name, value in vars(room).items()
        if inspect.isclass(value) and getattr(value, "algorithm", None) is FOUND[stem]
    }


def test_the_methods_of_the_first_issues_are_there():
    ids = {algorithm.id for algorithm in FOUND.values()}
    assert {"cluster-cam", "score-cam", "rise"} <= ids
    assert {"collection-cam", "minmax-grad-cam", "minmax-cam", "cam"} <= ids
    assert {"ablation-cam", "multi-branch-cam", "multi-level-cam", "sub-category-cam"} <= ids
    assert len(ids) == len(FOUND), "two methods share an id"


@every_method
def test_the_names_of_a_method(stem):
    algorithm = FOUND[stem]
    assert algorithm.id == stem.replace("_", "-")
    exported = [
        name
        for name in captum_cluster.methods.__all__
        if getattr(captum_cluster.methods, name) is algorithm
    ]
    assert exported == [stem.upper()], f"captum_cluster.methods does not export {stem.upper()}"
    assert algorithm.run is getattr(captum_cluster.methods, stem)
    assert algorithm.config.__name__ in captum_cluster.methods.__all__


@every_method
@pytest.mark.parametrize("room", [captum_cluster.attr, captum_cluster.grad_cam])
def test_a_class_in_each_face(stem, room):
    found = classes(room, stem)
    assert found, f"{room.__name__} has no class of {FOUND[stem].id}"
    for name, value in found.items():
        assert name in room.__all__, f"{room.__name__}.__all__ lacks {name}"
        home = f"{room.__name__}.{stem}"
        assert value.__module__ == home, f"{name} is not in {home}"


@every_method
@pytest.mark.parametrize("room", [captum_cluster.attr, captum_cluster.grad_cam])
def test_an_export_in_the_root(stem, room):
    for name, value in classes(room, stem).items():
        assert name in captum_cluster.__all__, f"captum_cluster.__all__ lacks {name}"
        assert getattr(captum_cluster, name) is value


@every_method
def test_a_row_in_the_table_of_cases(stem):
    rows = [case for case in CASES if case.method == FOUND[stem].id]
    assert rows, f"tests/conformance/cases.py has no row of {FOUND[stem].id}"
    for case in rows:
        assert case.captum in classes(captum_cluster.attr, stem).values()
        assert case.grad_cam in classes(captum_cluster.grad_cam, stem).values()
        assert case.config is FOUND[stem].config


@every_method
def test_the_options_of_the_rows_differ(stem):
    rows = [case.config(**case.options) for case in CASES if case.method == FOUND[stem].id]
    assert all(a != b for i, a in enumerate(rows) for b in rows[:i]), "two rows test the same"


@every_method
def test_the_fields_of_the_rows_are_those_of_the_algorithm(stem):
    for case in CASES:
        if case.method == FOUND[stem].id:
            assert case.weighted is FOUND[stem].linear


def test_every_row_is_of_a_method():
    assert {case.method for case in CASES} <= {algorithm.id for algorithm in FOUND.values()}


@every_method
def test_a_reference(stem):
    found = [room for room in REFERENCES if inspect.isfunction(getattr(room, stem, None))]
    names = ", ".join(room.__name__ for room in REFERENCES)
    assert found, f"none of {names} has a function {stem}"


@every_method
def test_a_file_of_tests(stem):
    path = ROOT / "tests" / "methods" / f"test_{stem}.py"
    assert path.is_file(), f"tests/methods/test_{stem}.py is missing"
    assert "def test_" in path.read_text()


@every_method
def test_a_mention_in_the_readme(stem):
    readme = ROOT / "README.md"
    assert readme.is_file(), "README.md is missing"
    rows = [line for line in readme.read_text().splitlines() if line.lstrip().startswith("|")]
    assert any(FOUND[stem].id in row for row in rows), f"no table row of README.md has {stem}"
