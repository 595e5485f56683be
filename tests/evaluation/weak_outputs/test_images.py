"""The pictures of a run, what they are called, and what is known of their files."""

import os

import pytest

from captum_cluster.data import DigitScenes, ImageFolder
from captum_cluster.evaluation.recipes.parts import Kept, Part
from captum_cluster.evaluation.weak_outputs.images import (
    Pictures,
    as_dataset,
    coco_source,
    picture_of,
    with_places,
)
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
