"""What the README shows runs."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("block", [block for block in BLOCKS if "cat.jpg" not in block])
def test_examples_run(block):
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    if "maps" in names:
        assert names["maps"].shape == (2, 1, 7, 7)
        assert names["several"].shape == (2, 3, 7, 7)
        assert names["result"].cluster_maps.shape == (2, 4, 7, 7)
    else:
        assert names["saliency"].shape == (2, 224, 224)


def test_both_faces_and_one_image_are_shown():
    assert len(BLOCKS) == 3
    assert "from captum_cluster import explain" in BLOCKS[2]


def test_the_commands_are_single_lines():
    assert len(re.findall(r"^python3 -m venv .* && captum-cluster demo$", README, re.M)) == 1
    assert len(re.findall(r"^python3 -m venv .* && pytest -n 2$", README, re.M)) == 1
