"""Palette PNGs and JSON files, read by the standard tools."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import VOCSegmentation

from captum_cluster.data import VocScenes
from captum_cluster.data.images import load_index_mask
from captum_cluster.weak.formats import save_coco, save_palette_png
from tests.helpers.trees import write_picture, write_text

MASK = torch.tensor([[0, 1, 1, 255], [0, 0, 20, 255], [7, 0, 254, 2]])


@pytest.mark.parametrize("kind", ["int64", "uint8", "array"])
def test_a_mask_is_read_back(tmp_path, kind):
    mask = {"int64": MASK, "uint8": MASK.to(torch.uint8), "array": MASK.numpy()}[kind]
    file = save_palette_png(mask, tmp_path / "mask.png")
    assert file == tmp_path / "mask.png"
    assert np.array_equal(load_index_mask(file), MASK.numpy())
    with Image.open(file) as image:
        assert (image.mode, image.format) == ("P", "PNG")
        assert np.array_equal(np.asarray(image), MASK.numpy())
        seen = np.asarray(image.convert("RGB"))
    assert seen[0, 1].tolist() == [128, 0, 0]
    assert seen[0, 3].tolist() == [224, 224, 192]
    assert seen[1, 2].tolist() == [0, 64, 128]


@pytest.mark.parametrize(
    "mask", [torch.zeros(5, 4).long(), torch.full((1, 1), 255)], ids=["0", "255"]
)
def test_a_mask_of_one_number_keeps_the_whole_palette(tmp_path, mask):
    with Image.open(save_palette_png(mask, tmp_path / "mask.png")) as image:
        assert np.array_equal(np.asarray(image), mask.numpy())
        assert image.mode == "P"
        assert image.getpalette()[3:6] == [128, 0, 0]


def test_torchvision_and_this_package_open_the_masks_as_voc(tmp_path):
    base = tmp_path / "VOCdevkit" / "VOC2012"
    write_picture(base / "JPEGImages" / "a.jpg", size=MASK.shape)
    write_text(base / "ImageSets" / "Segmentation" / "val.txt", "a\n")
    (base / "SegmentationClass").mkdir()
    mask = MASK.clone()
    mask[2, 2] = 3  # VOC has no 254
    save_palette_png(mask, base / "SegmentationClass" / "a.png")
    _, read = VOCSegmentation(tmp_path, image_set="val")[0]
    assert np.array_equal(np.asarray(read), mask.numpy())
    assert torch.equal(VocScenes(tmp_path)[0].label_map(), mask)


def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    file = save_palette_png(MASK, tmp_path / "mask.png")

    def broken(self, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        save_palette_png(0 * MASK, file)
    assert list(tmp_path.iterdir()) == [file]
    assert np.array_equal(load_index_mask(file), MASK.numpy())


WRONG = {
    "floats": (torch.zeros(2, 2), TypeError, "Expected mask to be a tensor or array of integers"),
    "bools": (
        torch.zeros(2, 2).bool(),
        TypeError,
        "Expected mask to be a tensor or array of integ",
    ),
    "list": (
        [[1]],
        TypeError,
        "Expected mask to be a tensor or array of integers (H,W), but got [[1]",
    ),
    "stack": (MASK[None], ValueError, "Expected mask to be of shape (H,W), but got (1, 3, 4)."),
    "high": (
        MASK + 1,
        ValueError,
        "Expected mask to be of numbers from 0 to 255 (of more labels COCO's form holds the "
        "masks), but got numbers from 1 to 256.",
    ),
    "low": (MASK - 1, ValueError, "Expected mask to be of numbers from 0 to 255 (of more labels"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_masks(tmp_path, name):
    mask, kind, text = WRONG[name]
    with pytest.raises(kind, match="^Expected mask") as raised:
        save_palette_png(mask, tmp_path / "mask.png")
    assert str(raised.value).startswith(text)
    assert list(tmp_path.iterdir()) == []


def test_wrong_paths(tmp_path):
    (tmp_path / "folder.png").mkdir()
    cases = [
        (3, TypeError, "Expected path to be a file name ending in .png, but got 3."),
        ("mask.jpg", ValueError, "to be a file name ending in .png, but got 'mask.jpg'."),
        (
            tmp_path / "no" / "mask.png",
            FileNotFoundError,
            "Expected path to be in an existing folder",
        ),
        (
            tmp_path / "folder.png",
            IsADirectoryError,
            "Expected path to be a file, but got the direc",
        ),
    ]
    for path, kind, text in cases:
        with pytest.raises(kind, match="^Expected path") as raised:
            save_palette_png(MASK, path)
        assert text in str(raised.value)


def test_json(tmp_path):
    content = {"images": [{"id": 1}], "annotations": []}
    file = save_coco(content, tmp_path / "a.json")
    assert json.loads(file.read_text()) == content
    assert json.loads(save_coco([{"score": 0.5}], file).read_text()) == [{"score": 0.5}]
    assert list(tmp_path.iterdir()) == [file]


def test_wrong_json(tmp_path):
    with pytest.raises(TypeError, match="^Expected content to be a COCO data set or its results"):
        save_coco("text", tmp_path / "a.json")
    with pytest.raises(TypeError, match="but got 3"):
        save_coco(3, tmp_path / "a.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_coco([{"score": float("nan")}], tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"a file name ending in \.json, but got"):
        save_coco([], tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
