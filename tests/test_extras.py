"""Packages that only a part of the project needs: there, absent, broken."""

import sys

import pytest

from captum_cluster._extras import require


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder that Python imports from; what was imported of it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("extra_"):
            del sys.modules[name]


def test_a_package_that_is_there_is_returned(packages):
    (packages / "extra_there.py").write_text("answer = 42\n")
    assert require("extra_there", "train").answer == 42


def test_a_part_of_a_package_is_returned_itself(packages):
    (packages / "extra_whole").mkdir()
    (packages / "extra_whole" / "__init__.py").touch()
    (packages / "extra_whole" / "part.py").write_text("name = 'part'\n")
    assert require("extra_whole.part", "coco").name == "part"


@pytest.mark.parametrize(
    ("package", "extra"), [("extra_absent", "train"), ("extra_absent.part", "coco")]
)
def test_the_message_says_how_to_install_it(package, extra):
    with pytest.raises(ImportError) as raised:
        require(package, extra)
    assert raised.type is ImportError
    assert str(raised.value) == (
        f"Expected {package} to be installed, but it is not: pip install 'captum-cluster[{extra}]'."
    )
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)


def test_a_package_that_lacks_another_says_which(packages):
    (packages / "extra_broken.py").write_text("import extra_deeper\n")
    with pytest.raises(ModuleNotFoundError) as raised:
        require("extra_broken", "train")
    assert raised.value.name == "extra_deeper"
    assert "captum-cluster[" not in str(raised.value)


@pytest.mark.parametrize("body", ["raise ImportError('too old')", "raise RuntimeError('broken')"])
def test_what_a_package_raises_is_let_through(packages, body):
    (packages / "extra_raising.py").write_text(body + "\n")
    with pytest.raises((ImportError, RuntimeError), match="too old|broken") as raised:
        require("extra_raising", "train")
    assert "captum-cluster[" not in str(raised.value)
