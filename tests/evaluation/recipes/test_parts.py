"""Datasets made of others."""

import pytest
import torch

from captum_cluster.data import DigitScenes, ImageFolder, Scene, SceneDataset
from captum_cluster.evaluation.recipes.parts import Joined, Kept, Part
from captum_cluster.evaluation.running.fingerprint import describe_dataset
from tests.helpers.trees import check_dataset, write_picture


class Two(SceneDataset):
    """Two scenes of four labels, with pixels or a mapping of pixels, and boxes."""

    def __init__(self, mapping):
        self.classes = ["cat", "car", "dog", "boat"]
        self.mapping = mapping

    def __len__(self):
        return 2

    def _scene(self, index):
        present = [[0, 2], [1]][index]
        labels = torch.zeros(4, dtype=torch.bool)
        labels[present] = True
        masks = torch.zeros(4, 3, 3, dtype=torch.bool)
        for label in present:
            masks[label, label % 3] = True
        boxes = tuple((label, 0, label % 3, 3, label % 3 + 1) for label in present)
        given = {label: masks[label] for label in present} if self.mapping else masks
        return Scene(torch.zeros(3, 3, 3), labels, given, name=f"two-{index}", boxes=boxes)


ANIMALS = [0, -1, 0, 1]


def test_labels_that_become_one_have_the_places_of_all():
    for mapping in (False, True):
        part = Part(Two(mapping), labels=ANIMALS, classes=["animal", "boat"])
        scene = part[0]
        assert scene.present == [0]
        assert scene.mask(0).tolist() == [[True] * 3, [False] * 3, [True] * 3]
        assert not scene.mask(1).any()
        assert scene.boxes == ((0, 0, 0, 3, 1), (0, 0, 2, 3, 3))
        assert isinstance(scene.masks, dict) == mapping


def test_a_label_that_is_left_out_leaves_its_places():
    part = Part(Two(False), labels=ANIMALS, classes=["animal", "boat"])
    scene = part[1]
    assert (scene.present, scene.boxes) == ([], ())
    assert not scene.masks.any()
    assert part.labels_of(1) == []
    assert part.labels_of(0) == [0]


def test_a_part_has_the_scenes_in_the_order_wanted():
    source = DigitScenes(6)
    part = Part(source, [4, 1])
    assert [scene.name for scene in part] == ["train-0-4", "train-0-1"]
    assert part.labels_of(0) == source.labels_of(4)
    assert part.classes == source.classes


def test_labels_of_agrees_with_the_scenes():
    part = Part(DigitScenes(8), labels=[0, 1, 2, 2, 1, 0, 0, -1, 1, 2], classes=["a", "b", "c"])
    assert [part.labels_of(number) for number in range(8)] == [scene.present for scene in part]


def test_kept_scenes_are_asked_for_once():
    class Counting(DigitScenes):
        asked = 0

        def _scene(self, index):
            type(self).asked += 1
            return super()._scene(index)

    kept = Kept(Counting(3))
    first = [kept[0], kept[0], kept[2]]
    assert Counting.asked == 2
    assert first[0] is first[1]
    assert first[0].masks is None
    assert torch.equal(first[2].image, DigitScenes(3)[2].image)
    assert kept.labels_of(0) == DigitScenes(3).labels_of(0)


def test_what_was_kept_does_not_make_another_dataset():
    kept = Kept(DigitScenes(3))
    before = describe_dataset(kept)
    _ = kept[1]
    assert describe_dataset(kept) == before
    assert describe_dataset(Kept(DigitScenes(3, seed=1))) != before
    assert describe_dataset(Part(DigitScenes(3), [0, 1])) != describe_dataset(
        Part(DigitScenes(3), [0, 2])
    )


def test_datasets_one_after_the_other():
    both = Joined([DigitScenes(2), DigitScenes(3, seed=1)])
    assert [scene.name for scene in check_dataset(both)] == [
        "train-0-0", "train-0-1", "train-1-0", "train-1-1", "train-1-2",
    ]  # fmt: skip
    assert describe_dataset(both) != describe_dataset(Joined([DigitScenes(5)]))
    with pytest.raises(IndexError):
        both.place(5)


def test_the_pictures_are_those_of_the_source(tmp_path):
    for number in range(3):
        write_picture(tmp_path / "cat" / f"{number}.png", seed=number)
    folder = ImageFolder(tmp_path)
    both = Joined([Part(folder, [2, 0]), Kept(folder)])
    assert [both.picture_of(number).path.stem for number in range(len(both))] == list("20012")
