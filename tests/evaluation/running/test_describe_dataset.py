"""What tells one dataset from another, of every kind, whatever was read of it before."""

import dataclasses
import importlib.util
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from torch.utils.data import Subset

from captum_cluster.data import (
    CocoScenes,
    Cub200,
    DigitScenes,
    Grids,
    ImageFolder,
    ImageNetBoxes,
    MaskFolder,
    SbdScenes,
    Scene,
    SceneDataset,
    TaggedFolder,
    VocScenes,
)
from captum_cluster.evaluation.running.fingerprint import describe_dataset
from tests.helpers.trees import annotation, write_mask, write_picture, write_table, write_text

needs_pycocotools = pytest.mark.skipif(
    importlib.util.find_spec("pycocotools") is None, reason="pycocotools is not installed"
)
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
HEADER = ("file", "class_index", "x0", "y0", "x1", "y1")


def squares(number):
    """An index mask of 6 x 8."""
    mask = np.zeros((6, 8), dtype=np.uint8)
    mask[1:3, 2:5] = number
    return mask


# Each writes two pictures below a folder, what is known of them with ``place`` in it, and opens it.


def class_folders(root, place):
    for name in ("cat", "dog"):
        write_picture(root / name / "1.png")
    return ImageFolder(root, classes=["cat", f"dog {place}"])


def folder_with_table(root, place):
    for name in ("cat", "dog"):
        write_picture(root / "pictures" / name / "1.png")
    rows = [("cat/1.png", 0, 0, 0, place, 1), ("dog/1.png", 1, 0, 0, 1, 1)]
    return ImageFolder(root / "pictures", write_table(root / "boxes.csv", HEADER, rows))


def imagenet_table(root, place):
    for name in ("n01440764", "n03888257"):
        write_picture(root / "val" / name / "1.JPEG")
    rows = [("n01440764/1.JPEG", 0, 0, 0, place, 1), ("n03888257/1.JPEG", 701, 0, 0, 1, 1)]
    write_table(root / "val_boxes.csv", HEADER, rows)
    return ImageNetBoxes(root)


def imagenet_challenge(root, place):
    for name in ("1", "2"):
        write_picture(root / f"Data/CLS-LOC/val/{name}.JPEG")
        text = annotation([("n03888257", 0, 0, 1, 4, 5)])
        write_text(root / f"Annotations/CLS-LOC/val/{name}.xml", text)
    text = f"n01440764 tench {place}\nn03888257 parachute\n"
    write_text(root / "LOC_synset_mapping.txt", text)
    return ImageNetBoxes(root)


def mask_folder(root, place):
    for name in ("a.png", "b.png"):
        write_picture(root / "images" / name)
        write_mask(root / "masks" / name, squares(place))
    return MaskFolder(root / "images", root / "masks")


def voc(root, place):
    base = root / "VOCdevkit/VOC2012"
    for name in ("1", "2", "3"):
        write_picture(base / f"JPEGImages/{name}.jpg")
        write_mask(base / f"SegmentationClass/{name}.png", squares(8), palette=True)
    write_text(base / "ImageSets/Segmentation/val.txt", f"1\n{place}\n")
    return VocScenes(root)


def sbd(root, place):
    for name in ("1", "2", "3"):
        write_picture(root / f"img/{name}.jpg")
        fields = np.empty((1, 1), dtype=[("Boundaries", object), ("Segmentation", object)])
        fields[0, 0] = (np.zeros(1), squares(8))
        (root / "cls").mkdir(exist_ok=True)
        scipy.io.savemat(root / f"cls/{name}.mat", {"GTcls": fields})
    write_text(root / "train_aug.txt", f"1\n{place}\n")
    return SbdScenes(root, image_set="train_aug")


def coco(root, place):
    sizes = {"height": 6, "width": 8}
    images = [{"id": number, "file_name": f"{number}.jpg", **sizes} for number in (1, 2)]
    for image in images:
        write_picture(root / "images" / image["file_name"])
    note = {"id": 1, "image_id": 1, "category_id": 5, "iscrowd": 0, "bbox": [0, 0, 2, 2]}
    note["segmentation"] = [[0, 0, 10**place, 0, 2, 2, 0, 2]]
    content = {"images": images, "annotations": [note], "categories": [{"id": 5, "name": "cat"}]}
    return CocoScenes(root / "images", write_text(root / "notes.json", json.dumps(content)))


def cub(root, place):
    for number in (1, 2):
        write_picture(root / f"images/001.Albatross/{number}.png")
    write_text(root / "images.txt", "1 001.Albatross/1.png\n2 001.Albatross/2.png\n")
    write_text(root / "image_class_labels.txt", "1 1\n2 1\n")
    write_text(root / "classes.txt", "1 001.Albatross\n")
    write_text(root / "train_test_split.txt", "1 0\n2 0\n")
    write_text(root / "bounding_boxes.txt", f"1 0.0 0.0 {place}.0 6.0\n2 1.0 2.0 3.0 3.0\n")
    return Cub200(root)


def tagged(root, place):
    for number in (0, 1):
        write_picture(root / f"pictures/{number}.jpg")
    rows = [("0", "clear"), ("1", "haze" if place == 2 else "clear haze")]
    table = write_table(root / "tags.csv", ("image_name", "tags"), rows)
    return TaggedFolder(root / "pictures", table)


def grids(root, place):
    return Grids(class_folders(root, place), 2, grid=1, tile=8)


def accepting_grids(root, place):
    def accept(scene):
        return scene.name.endswith("1") or place > 9

    return Grids(class_folders(root, 2), 2, grid=1, tile=8, accept=accept)


KINDS = [
    class_folders,
    folder_with_table,
    imagenet_table,
    imagenet_challenge,
    mask_folder,
    voc,
    sbd,
    pytest.param(coco, marks=needs_pycocotools),
    cub,
    tagged,
    grids,
    accepting_grids,
]


def digest(dataset):
    """The digest alone, as it goes through JSON."""
    return json.loads(json.dumps(describe_dataset(dataset)))["digest"]


@pytest.mark.parametrize("kind", KINDS)
def test_two_roots_with_as_many_pictures_are_told_apart(kind, tmp_path):
    one, two = (kind(tmp_path / name, 2) for name in ("one", "two"))
    assert len(one) == len(two) == 2
    assert digest(one) != digest(two)
    assert digest(kind(tmp_path / "one", 2)) == digest(one)


@pytest.mark.parametrize("kind", KINDS)
def test_other_annotations_in_the_same_place_are_told_apart(kind, tmp_path):
    before = digest(kind(tmp_path, 2))
    other = kind(tmp_path, 3)
    assert len(other) == 2
    assert digest(other) != before
    assert digest(kind(tmp_path, 2)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_reading_scenes_changes_nothing(kind, tmp_path):
    dataset = kind(tmp_path, 2)
    before = describe_dataset(dataset)
    assert [len(scene.name) > 0 for scene in dataset] == [True, True]
    assert [dataset.labels_of(index) == dataset[index].present for index in (0, 1)] == [True, True]
    assert describe_dataset(dataset) == before
    if kind is not accepting_grids:  # a function within a function is not pickled
        assert describe_dataset(pickle.loads(pickle.dumps(dataset))) == before


def test_reading_fills_the_memo_of_grids_alone(tmp_path):
    dataset = accepting_grids(tmp_path, 2)
    assert len(list(dataset)) == 2
    assert dataset._accepted  # there is something that could have changed the digest
    assert "_accepted" not in dataset.facts()
    assert set(dataset.facts()) == set(vars(dataset)) - {"_accepted"}


DIGITS = [
    DigitScenes(2),
    DigitScenes(3),
    DigitScenes(2, split="test"),
    DigitScenes(2, size=48),
    DigitScenes(2, max_digits=1),
    DigitScenes(2, seed=1),
]


def test_made_scenes_are_told_apart_by_their_options():
    found = [digest(one) for one in DIGITS]
    assert len(set(found)) == len(DIGITS)
    assert [len(one[0].present) > 0 for one in DIGITS] == [True] * len(DIGITS)
    assert [digest(one) for one in DIGITS] == found
    assert describe_dataset(DigitScenes(2, seed=1)) == {
        "class": "DigitScenes",
        "length": 2,
        "max_digits": 4,
        "seed": 1,
        "size": DigitScenes(2).size,
        "split": "train",
        "digest": found[-1],
    }


def test_options_of_readers_are_told_apart(tmp_path):
    mask_folder(tmp_path / "masks", 2)
    folders = tmp_path / "masks/images", tmp_path / "masks/masks"
    options = [
        {},
        {"ignore_index": 7},
        {"things": [1]},
        {"things": [1, 2]},
        {"classes": ["a", "b"]},
    ]
    found = [digest(MaskFolder(*folders, **one)) for one in options]
    assert len(set(found)) == len(options)
    cub(tmp_path / "cub", 2)
    assert digest(Cub200(tmp_path / "cub", split="all")) == digest(Cub200(tmp_path / "cub"))
    base = [Grids(DigitScenes(9, max_digits=1), 2, **one) for one in ({}, {"seed": 1}, {"grid": 1})]
    base.append(Grids(DigitScenes(9, max_digits=1, seed=1), 2))
    assert len({digest(one) for one in base}) == 4


# Lists of scenes


def example(**given):
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(2, 4, 5, dtype=torch.bool)
    masks[0, 1:3] = True
    image = torch.rand(3, 4, 5, generator=generator)
    return Scene(image, torch.tensor([True, True]), **{"masks": masks, "name": "a", **given})


def changed(**names):
    """A scene with one number of one tensor changed."""
    found = example(ignore=torch.zeros(4, 5).bool(), objects=torch.zeros(1, 4, 5).bool())
    for name, place in names.items():
        value = getattr(found, name)
        value[place] = ~value[place] if value.dtype == torch.bool else 1 - value[place]
    return found


def test_lists_are_told_apart_by_every_value():
    scenes = [
        example(),
        example(name="b"),
        example(masks=None),
        example(masks={0: torch.ones(4, 5).bool()}),
        example(masks={1: torch.ones(4, 5).bool()}),
        example(boxes=()),
        example(boxes=((0, 0.0, 0.0, 2.0, 2.0),)),
        example(boxes=((0, 0.0, 0.0, 2.0, 3.0),)),
        changed(),
        changed(image=(2, 3, 4)),
        changed(masks=(1, 3, 4)),
        changed(labels=1, masks=(1, 0, 0)),
        changed(ignore=(3, 4)),
        changed(objects=(0, 3, 4)),
    ]
    found = [digest([one, example()]) for one in scenes]
    assert len(set(found)) == len(scenes)
    assert digest([example(), example(name="b")]) != digest([example(name="b"), example()])
    assert digest([example()]) == digest([example()]) == digest((example(),))
    assert digest([]) != digest([example()])


def test_subsets_are_told_apart_by_what_they_are_of():
    sets = [
        Subset(DigitScenes(9), [0, 1]),
        Subset(DigitScenes(9), [0, 2]),
        Subset(DigitScenes(9, seed=1), [0, 1]),
        Subset(DigitScenes(8), [0, 1]),
    ]
    assert len({digest(one) for one in sets}) == len(sets)
    assert digest(Subset(DigitScenes(9), [0, 1])) == digest(sets[0])


# Datasets of others


class Folder:
    def __init__(self, **given):
        self.root, self.size, self.empty = Path("pictures"), 64, None
        self.classes, self.image, self._cache = ["a"], torch.zeros(3), 5
        vars(self).update(given)

    def __len__(self):
        return 7


def test_a_dataset_by_its_simple_attributes():
    found = describe_dataset(Folder())
    expected = {"class": "Folder", "length": 7, "root": "pictures", "size": 64, "empty": None}
    assert len(found.pop("digest")) == 16
    assert found == expected
    found = describe_dataset((1, 2, 3))
    assert len(found.pop("digest")) == 16
    assert found == {"class": "tuple", "length": 3}


def test_other_datasets_by_all_public_attributes():
    one = digest(Folder())
    other = [{"size": 65}, {"classes": ["b"]}, {"image": torch.ones(3)}, {"more": object()}]
    assert len({one, *(digest(Folder(**given)) for given in other)}) == 5
    assert digest(Folder(_cache=6)) == one
    assert digest(Folder(more=object())) == digest(Folder(more=object()))  # no address


@dataclasses.dataclass
class Slotted:
    """A dataset, and a value of one, without a ``__dict__``."""

    __slots__ = ("number",)
    number: int

    def __len__(self):
        return 7


def test_objects_without_a_dict():
    assert describe_dataset(Slotted(1))["length"] == 7
    assert digest(Folder(more=Slotted(1))) != digest(Folder(more=Slotted(2)))
    assert digest(range(3)) == digest(range(3))


class Mine(SceneDataset):
    """A dataset of a user, with something that it remembers."""

    memos = ("_seen",)
    classes = ("a",)

    def __init__(self, numbers):
        self._numbers, self._seen = numbers, {}

    def __len__(self):
        return len(self._numbers)

    def _scene(self, index):
        self._seen[index] = True
        return Scene(torch.full((3, 4, 4), self._numbers[index]), torch.tensor([True]))


def test_datasets_of_users_by_what_they_know_privately():
    dataset = Mine([0.1, 0.2])
    before = digest(dataset)
    assert dataset[1].present == [0]
    assert dataset._seen == {1: True}
    assert digest(dataset) == before
    assert digest(Mine([0.1, 0.3])) != before
    assert describe_dataset(dataset) == {"class": "Mine", "length": 2, "digest": before}
