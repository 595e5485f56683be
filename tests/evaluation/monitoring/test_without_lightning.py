"""Everything but the callbacks works without Lightning; they say how to install it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import captum_cluster.evaluation as evaluation

NAMES = ["CamImageCallback", "CamMetricsCallback"]


@pytest.mark.parametrize("name", NAMES)
def test_the_error_says_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(evaluation), name, raising=False)
    for module in [one for one in sys.modules if one.split(".")[0] == "lightning"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(ImportError, match=r"pip install 'captum-cluster\[train\]'"):
        getattr(evaluation, name)


@pytest.mark.parametrize("name", NAMES)
def test_the_names_are_there(name: str) -> None:
    assert name in dir(evaluation)
    assert getattr(evaluation, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'CamSoundCallback'"):
        evaluation.CamSoundCallback  # noqa: B018


def test_the_room_is_imported_without_lightning() -> None:
    code = "import sys, captum_cluster.evaluation; print('lightning' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.stdout.strip() == "False", done.stderr[-2000:]
