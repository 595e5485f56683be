"""The pictures of a run, what they are called, and what is known of their files."""

import os

import pytest
from PIL import Image

from captum_cluster.data import DigitScenes, ImageFolder
from captum_cluster.data.listing import SUFFIXES
from captum_cluster.evaluation import read_masks
from captum_cluster.evaluation.recipes.parts import Kept, Part
from captum_cluster.evaluation.weak_outputs.images import (
    Pictures,
    as_dataset,
    coco_source,
    picture_of,
    with_places,
)
from tests.evaluation.weak_outputs.tiny import masks
from tests.helpers.trees import check_dataset, write_picture


@pytest.fixture
def folder(tmp_path):
    for name in ("x/a.png", "x/a.tif", "x/deep/b.jpg", "y/c.png"):
        write_picture(tmp_path / name, (4, 5))
    return tmp_path


def test_pictures_of_a_folder_are_scenes_without_labels(folder):
    dataset = Pictures([folder / "x"])
    scenes = check_dataset(dataset)
    assert [scene.name for scene in scenes] == ["a.png", "a.tif", "deep/b"]
    assert (dataset.classes, scenes[0].present, scenes[0].size) == ([], [], (4, 5))
    assert dataset.picture_of(2).name == "deep/b.jpg"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x/deep", "y"], ["x/deep/b", "y/c"]),
        (["y/c.png"], ["c"]),
        (["y/c.png", "x/a.png"], ["y/c", "x/a"]),
        (["x/a.png", "x", "x/deep/../a.png"], ["a.png", "a.tif", "deep/b"]),
    ],
)
def test_names_are_paths_below_what_all_have_in_common(folder, monkeypatch, paths, names):
    monkeypatch.chdir(folder)
    assert [scene.name for scene in Pictures(paths)] == names
    assert Pictures(paths).root.is_absolute()


def test_pictures_of_all_kinds_of_files_are_explained(tmp_path):
    for suffix in SUFFIXES:
        write_picture(tmp_path / "in" / f"a{suffix}", (8, 12))
    frames = [Image.new("RGB", (12, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "in" / "moving.gif", save_all=True, append_images=frames[1:])
    scenes = {scene.name: scene for scene in check_dataset(Pictures([tmp_path / "in"]))}
    assert scenes.keys() == {f"a{suffix}" for suffix in SUFFIXES} | {"moving"}
    assert scenes["moving"].image[:, 0, 0].tolist() == [1, 0, 0]  # the first frame
    run = masks(tmp_path / "out", tmp_path / "in")
    assert (run.images, run.failed) == (len(SUFFIXES) + 1, ())
    assert read_masks(tmp_path / "out").names() == sorted(scenes)


def test_what_is_taken_for_pictures(folder):
    assert len(as_dataset(str(folder))) == len(as_dataset([folder])) == 4
    digits = DigitScenes(2)
    assert as_dataset(digits) is digits
    listed = list(digits)
    assert as_dataset(listed) is listed


def test_where_there_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="IMAGE to be an existing file or folder, but got"):
        Pictures([tmp_path / "no"])
    with pytest.raises(ValueError, match="IMAGE to be a folder with pictures in it, but got"):
        Pictures([tmp_path])


def test_the_file_of_an_image(folder):
    dataset = ImageFolder(folder)
    assert picture_of(Part(dataset, [1]), 0).path == dataset.files[1]
    assert picture_of(DigitScenes(1), 0) is None
    assert picture_of(list(DigitScenes(1)), 0) is None
    assert os.path.samefile(picture_of(dataset, 0).root, folder)


def test_what_was_kept_in_memory_has_its_places_again():
    digits = DigitScenes(2)
    assert with_places(Kept(digits)) is digits
    assert with_places(digits) is digits


def test_what_is_not_of_coco():
    assert coco_source(Part(DigitScenes(2), [0]), 0) is None
    assert coco_source(list(DigitScenes(1)), 0) is None
