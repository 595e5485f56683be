import numpy as np
import pytest
import torch

from captum_cluster.data import Scene, SceneDataset
from captum_cluster.data.scene_dataset import position
from tests.helpers.trees import check_dataset


class Counting(SceneDataset):
    classes = ("even", "odd")

    def __len__(self):
        return 5

    def _scene(self, index):
        labels = torch.tensor([index % 2 == 0, index % 2 == 1])
        return Scene(torch.zeros(3, 2, 2), labels, name=str(index))


def test_the_contract_holds_without_more_than_scene_and_length():
    scenes = check_dataset(Counting())
    assert [scene.name for scene in scenes] == ["0", "1", "2", "3", "4"]
    assert Counting().labels_of(-2) == [1]


@pytest.mark.parametrize("index", [2, -3, np.int64(2)])
def test_positions(index):
    assert position(index, 5) == 2


@pytest.mark.parametrize("index", [5, -6, 100])
def test_positions_outside(index):
    with pytest.raises(IndexError, match=f"index to be within the 5 scenes, but got {index}"):
        position(index, 5)
    with pytest.raises(IndexError, match="index to be asked for only where there are scenes"):
        position(index, 0)


@pytest.mark.parametrize("index", [True, 1.0, "1", None])
def test_positions_of_another_type(index):
    with pytest.raises(TypeError, match="Expected index to be an integer"):
        position(index, 5)


def test_a_base_alone_has_no_scenes():
    with pytest.raises(NotImplementedError):
        len(SceneDataset())
