"""The names of the room: there with Lightning, and the plain ones without it."""

import subprocess
import sys
from pathlib import Path

import pytest

import captum_cluster.training as room

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("lightning", "pytorch_lightning"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import captum_cluster.training as room
"""


def run(code):
    command = [sys.executable, "-c", WITHOUT + code]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize("name", sorted(room.__all__))
def test_every_name_is_there(name):
    assert getattr(room, name) is not None
    assert name in dir(room)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="'captum_cluster.training' has no attribute 'None_'"):
        _ = room.None_


def test_without_lightning():
    plain = sorted(set(room.__all__) - set(room._NEED_LIGHTNING))
    lazy = sorted(room._NEED_LIGHTNING)
    done = run(f"""
for name in {plain!r}:
    getattr(room, name)
for name in {lazy!r}:
    try:
        getattr(room, name)
    except ImportError as error:
        print(error)
""")
    assert done.returncode == 0, done.stderr
    message = (
        "Expected lightning.pytorch to be installed, but it is not: "
        "pip install 'captum-cluster[train]'."
    )
    assert done.stdout.splitlines() == [message] * len(lazy)
