"""The tutorials run from top to bottom; the first one trains the demo's network on the way."""

import json
from pathlib import Path

import pytest

from captum_cluster.data import DigitScenes
from captum_cluster.evaluation.digit_classifier import load_digit_net, macro_average_precision

TUTORIALS = sorted((Path(__file__).parents[1] / "tutorials").glob("*.ipynb"))


def sources(path):
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_outputs_are_empty_and_text_comes_first(path):
    cells = json.loads(path.read_text())["cells"]
    assert cells[0]["cell_type"] == "markdown"
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_swap_the_method_name(tmp_path, monkeypatch):
    monkeypatch.setenv("CAPTUM_CLUSTER_CACHE", str(tmp_path))
    names = {"__name__": "tutorial"}
    for source in sources(TUTORIALS[0]):
        exec(compile(source, TUTORIALS[0].name, "exec"), names)
    assert names["cluster_cam"].shape == (1, 1, 16, 16)
    assert names["several"].shape == (1, len(names["scene"].present), 16, 16)
    assert names["cluster_map"].shape == (1, 64, 64)
    model, trained = load_digit_net(progress=False)
    assert not trained
    unseen = DigitScenes(300, split="test", seed=11)
    assert macro_average_precision(model, unseen) >= 0.95
