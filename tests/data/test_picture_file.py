"""Where a scene's picture lies, and how its pixels and boxes come back to the stored ones."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from captum_cluster.data import ImageFolder, PictureFile, TaggedFolder
from captum_cluster.functional.metrics import tight_box
from tests.helpers.trees import write_picture, write_table


def write_turned(path, orientation, size=(5, 8)):
    """Write a picture that viewers turn, lossless; return the stored pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_pixels_and_boxes_come_back_to_the_stored_ones(tmp_path, orientation):
    stored = write_turned(tmp_path / "cat" / "1.png", orientation)
    dataset = ImageFolder(tmp_path)
    scene, turn = dataset[0], dataset.picture_of(0).turn()
    with Image.open(tmp_path / "cat" / "1.png") as image:
        assert ImageOps.exif_transpose(image).size == scene.size[::-1]
    back = (turn.pixels(scene.image) * 255).round().byte().permute(1, 2, 0)
    assert torch.equal(back, torch.from_numpy(stored))
    marked = torch.zeros(scene.size, dtype=torch.bool)
    marked[1:3, 0:4] = True
    box = turn.box((0, 1, 4, 3), scene.size)
    assert tight_box(turn.pixels(marked)) == box


def test_pictures_that_are_read_as_stored_are_not_turned(tmp_path):
    write_turned(tmp_path / "cat" / "1.png", 6)
    rows = [["cat/1.png", 0, 0, 0, 4, 4]]
    header = ("file", "class_index", "x0", "y0", "x1", "y1")
    table = write_table(tmp_path / "boxes.csv", header, rows)
    dataset = ImageFolder(tmp_path, table)
    values = torch.rand(dataset[0].size)
    assert torch.equal(dataset.picture_of(0).turn().pixels(values), values)


def test_a_table_of_tags_is_of_upright_pictures(tmp_path):
    write_turned(tmp_path / "a.png", 6)
    table = write_table(tmp_path / "tags.csv", ("image_name", "tags"), [["a", "cat"]])
    dataset = TaggedFolder(tmp_path, table)
    assert (dataset[0].size, dataset.picture_of(0).name) == ((8, 5), "a.png")
    assert dataset.picture_of(0).turn().swapped


def test_a_file_that_is_no_picture_is_not_turned(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    turn = PictureFile(tmp_path / "a.jpg", tmp_path, upright=True).turn()
    assert turn.box((0, 1, 2, 3), (5, 5)) == (0, 1, 2, 3)


def test_the_name_is_the_path_below_the_folder(tmp_path):
    write_picture(tmp_path / "cat" / "a" / "1.png")
    assert ImageFolder(tmp_path).picture_of(0).name == "cat/a/1.png"
