"""What the README shows runs."""

import re
from pathlib import Path

import pytest
import torch

SHAPES = {
    "maps": (2, 1, 7, 7),
    "several": (2, 3, 7, 7),
    "saliency": (2, 224, 224),
    "fused": (2, 1, 224, 224),
    "sharp": (2, 1, 224, 224),
    "contrast": (2, 1, 7, 7),
    "every": (2, 2, 7, 7),
    "focused": (2, 224, 224),
    "stock": (2, 224, 224),
}
README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("block", [block for block in BLOCKS if "cat.jpg" not in block])
def test_examples_run(block):
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    found = {name: tuple(names[name].shape) for name in SHAPES.keys() & names.keys()}
    assert found
    assert found == {name: SHAPES[name] for name in found}
    if "same" in names:
        torch.testing.assert_close(names["same"], 49 * names["contrast"], rtol=1e-3, atol=1e-3)


def test_both_faces_and_one_image_are_shown():
    assert len(BLOCKS) == 6
    assert "from captum_cluster import explain" in BLOCKS[-1]
    shown = set().union(*(set(re.findall(r"^ *(\w+) =", block, re.M)) for block in BLOCKS))
    assert shown >= SHAPES.keys()


def test_the_commands_are_single_lines():
    assert len(re.findall(r"^python3 -m venv .* && captum-cluster demo$", README, re.M)) == 1
    assert len(re.findall(r"^python3 -m venv .* && pytest -n 2$", README, re.M)) == 1
