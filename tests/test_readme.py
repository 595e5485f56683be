"""What the README shows runs."""

import re
from pathlib import Path

import pytest
import torch
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.transforms._presets import ImageClassification

from captum_cluster import evaluation
from captum_cluster.evaluation import LoadedModel
from tests.helpers import trees

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
    "sub_categories": (32, 10),
    "complete": (2, 1, 2, 2),
}
README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


NEED_FILES = ("cat.jpg", "imagenet-boxes:data")


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if not any(file in block for file in NEED_FILES)]
)
def test_examples_run(block):
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    found = {name: tuple(names[name].shape) for name in SHAPES.keys() & names.keys()}
    assert found
    assert found == {name: SHAPES[name] for name in found}
    if "same" in names:
        torch.testing.assert_close(names["same"], 49 * names["contrast"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("file", NEED_FILES)
def test_examples_with_files_run(file, tmp_path, monkeypatch, capsys):
    trees.write_picture(tmp_path / "cat.jpg", (60, 80))
    write_photographs(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    # no weights are at hand, and small images are quicker
    stand_in = LoadedModel("resnet18", small_resnet(), ImageClassification(crop_size=64), None)
    monkeypatch.setattr(evaluation, "load_model", lambda name: stand_in)
    names = {}
    (block,) = (block for block in BLOCKS if file in block)
    exec(compile(block, "README.md", "exec"), names)
    written = sorted(path.suffix for path in (tmp_path / "out").iterdir())
    if file == "cat.jpg":
        assert written == [".json", ".npy", ".png"]
    else:
        assert {".csv", ".html", ".json", ".jsonl"} <= set(written)
        assert names["report"].images == 4
        assert "centre" in capsys.readouterr().out


def write_photographs(folder):
    """Four photographs of noise, each with a box, in the layout that the README names."""
    files = [f"n0144076{number % 2}/{number}.JPEG" for number in range(4)]
    for number, file in enumerate(files):
        trees.write_picture(folder / "val" / file, (64, 64), seed=number)
    header = ["file", "class_index", "x0", "y0", "x1", "y1"]
    rows = [[file, number % 2, 8, 8, 40, 40] for number, file in enumerate(files)]
    trees.write_table(folder / "val_boxes.csv", header, rows)


def small_resnet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ResNet(BasicBlock, [1, 1, 1, 1]).eval()


def test_both_faces_one_image_and_a_run_are_shown():
    assert len(BLOCKS) == 10
    assert "from captum_cluster import explain" in BLOCKS[6]
    assert "from captum_cluster import evaluate" in BLOCKS[7]
    shown = set().union(*(set(re.findall(r"^ *(\w+) =", block, re.M)) for block in BLOCKS))
    assert shown >= SHAPES.keys()


def test_the_commands_are_single_lines():
    assert len(re.findall(r"^python3 -m venv .* && captum-cluster demo$", README, re.M)) == 1
    assert len(re.findall(r"^python3 -m venv .* && pytest -n 2$", README, re.M)) == 1
