import numpy as np
import pytest
import torch

from captum_cluster.data import MaskFolder
from tests.helpers.trees import check_dataset, write_mask, write_picture, write_text


@pytest.fixture
def tree(tmp_path):
    """Two pictures with masks of the numbers 3, 40 and 255, and one without."""
    for seed, name in enumerate(("a.jpg", "b/c.png", "d.jpg")):
        write_picture(tmp_path / "images" / name, seed=seed)
    first, second = np.zeros((2, 6, 8), dtype=np.uint8)
    first[0:2], first[4:6, 0:4] = 40, 255
    second[3:5, 3:5], second[0, 0] = 3, 40
    write_mask(tmp_path / "masks/a.png", first, palette=True)
    write_mask(tmp_path / "masks/b/c.png", second)
    return tmp_path


def opened(tree, **options):
    return MaskFolder(tree / "images", tree / "masks", **options)


def test_numbers_are_labels_in_ascending_order(tree):
    dataset = opened(tree)
    assert dataset.classes == ["3", "40"]
    first, second = check_dataset(dataset)
    assert (first.name, second.name) == ("a", "b/c")
    assert (first.present, second.present) == ([1], [0, 1])
    assert first.label_map().tolist() == [[2] * 8] * 2 + [[0] * 8] * 2 + [[255] * 4 + [0] * 4] * 2
    assert first.ignore.sum() == 8
    assert second.region(0).nonzero().tolist() == [[3, 3], [3, 4], [4, 3], [4, 4]]
    assert second.things().sum(dim=(1, 2)).tolist() == [4, 1]
    assert not second.ignore.any()


def test_without_a_number_to_ignore(tree):
    dataset = opened(tree, ignore_index=None)
    assert dataset.classes == ["3", "40", "255"]
    assert dataset[0].present == [1, 2]
    assert dataset[0].ignore is None
    assert opened(tree, ignore_index=3)[1].present == [0]


def test_names_by_number_or_in_sequence(tree):
    dataset = opened(tree, classes={40: "bed", 3: "car", 7: "owl"})
    assert dataset.classes == ["car", "owl", "bed"]
    assert [scene.present for scene in dataset] == [[2], [0, 2]]
    names = [str(number) for number in range(1, 41)]
    assert [scene.present for scene in opened(tree, classes=names)] == [[39], [2, 39]]


def test_things_are_objects(tree):
    dataset = opened(tree, things=range(1, 20))
    first, second = check_dataset(dataset)
    assert first.things().shape == (0, 6, 8)
    assert torch.equal(second.things(), second.masks[0][None])


def test_numbers_without_a_class_are_named(tree):
    dataset = opened(tree, classes={40: "bed"})
    assert dataset[0].present == [0]
    with pytest.raises(
        ValueError, match=r"only the numbers of the classes, but got \[3\] in '.*c\.p"
    ):
        dataset[1]


def test_a_damaged_mask_is_told_of_when_it_is_asked_for(tree):
    write_text(tree / "masks/b/c.png", "no picture")
    dataset = opened(tree)
    assert dataset.classes == ["40"]
    with pytest.raises(
        ValueError, match=r"image in a format that Pillow reads, but got '.*c\.png'"
    ):
        dataset[1]
    write_picture(tree / "masks/b/c.png")
    with pytest.raises(
        ValueError, match=r"c\.png': an index mask has one channel of integers, not"
    ):
        dataset[1]


def test_what_does_not_belong_together(tree):
    write_mask(tree / "masks/e.png", np.ones((6, 8)))
    with pytest.raises(ValueError, match="with a picture for each mask, but got '.*' without 'e'"):
        opened(tree)
    with pytest.raises(FileNotFoundError, match="masks to be an existing folder"):
        MaskFolder(tree / "images", tree / "no")
    with pytest.raises(FileNotFoundError, match="images to be an existing folder"):
        MaskFolder(tree / "no", tree / "masks")
    (tree / "empty").mkdir()
    with pytest.raises(ValueError, match="masks to be a folder with pictures"):
        MaskFolder(tree / "images", tree / "empty")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ignore_index": 0}, ValueError, "ignore_index to be an integer of at least 1, but got 0"),
        ({"classes": "cat"}, TypeError, "a sequence of names, or a mapping from number to name"),
        ({"classes": {0: "cat"}}, ValueError, "classes to be an integer of at least 1, but got 0"),
        ({"classes": 3}, TypeError, "a sequence of names, or a mapping from number to name"),
    ],
)
def test_bad_options(tree, options, error, message):
    with pytest.raises(error, match=message):
        opened(tree, **options)


@pytest.mark.realdata
def test_the_real_coco_pictures(data_folder):
    folder = data_folder / "coco"
    dataset = MaskFolder(
        folder / "images",
        folder / "masks",
        classes={number: str(number) for number in range(1, 201)},
        things=range(1, 91),
    )
    assert len(dataset) == 100
    for number in range(0, 100, 10):
        scene = dataset[number]
        assert scene.present
        assert len(scene.things()) == sum(label < 90 for label in scene.present)
        share = torch.stack([scene.region(label) for label in scene.present]).sum(dim=0)
        assert int(share.max()) == 1
