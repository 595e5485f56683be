import numpy as np
import pytest
import torch

from captum_cluster.data import Grids, ImageFolder, ImageNetBoxes, Scene, SceneDataset
from tests.helpers.trees import check_dataset, same, write_picture


class Colours(SceneDataset):
    """Scene i is of one colour, i / 20, and of class i % n_classes."""

    def __init__(self, length=20, n_classes=5, size=(4, 4), labels=1):
        self.length, self.size, self.n_labels = length, size, labels
        self.classes = [f"class {number}" for number in range(n_classes)]

    def __len__(self):
        return self.length

    def _scene(self, index):
        labels = torch.zeros(len(self.classes), dtype=torch.bool)
        labels[[(index + step) % len(self.classes) for step in range(self.n_labels)]] = True
        return Scene(torch.full((3, *self.size), index / 20), labels, name=str(index))

    def _labels(self, index):
        return sorted((index + step) % len(self.classes) for step in range(self.n_labels))


@pytest.mark.parametrize("grid", [1, 2])
def test_tiles_of_different_classes_whose_places_are_known(grid):
    dataset = Colours()
    grids = Grids(dataset, 8, grid=grid, tile=4)
    assert grids.classes == dataset.classes
    for number, scene in enumerate(check_dataset(grids)):
        sources = grids.sources(number)
        assert scene.size == (4 * grid, 4 * grid)
        assert len(scene.present) == grid**2
        for place, source in enumerate(sources):
            top, left = 4 * (place // grid), 4 * (place % grid)
            wanted = torch.zeros(scene.size, dtype=torch.bool)
            wanted[top : top + 4, left : left + 4] = True
            assert torch.equal(scene.region(source % 5), wanted)
            assert scene.boxes_of(source % 5) == [(left, top, left + 4, top + 4)]
            assert torch.equal(scene.image[:, wanted].unique(), torch.tensor([source / 20]))


def test_a_grid_depends_on_its_number_and_seed_alone():
    first, other = Grids(Colours(), 4, tile=4), Grids(Colours(), 9, tile=4)
    torch.manual_seed(1)
    for number in reversed(range(4)):
        assert same(first[number], other[number])
    assert len({tuple(first.sources(number)) for number in range(4)}) == 4
    assert Grids(Colours(), 4, seed=1, tile=4).sources(0) != first.sources(0)
    assert Grids(Colours(), 4, seed=1, tile=4)[0].name == "grid-1-0"


def test_sources_are_the_first_of_each_class_in_a_random_order():
    grids = Grids(Colours(), 5, seed=7)
    for number in range(5):
        wanted = []
        for source in np.random.default_rng([7, number]).permutation(20).tolist():
            if all(source % 5 != other % 5 for other in wanted) and len(wanted) < 4:
                wanted.append(source)
        assert grids.sources(number) == wanted


def test_only_accepted_scenes_are_taken_and_each_is_asked_once():
    asked = []

    def accept(scene):
        asked.append(scene.name)
        assert scene.size == (6, 6)
        return int(scene.name) < 10

    grids = Grids(Colours(), 30, tile=6, accept=accept)
    sources = [number for index in range(30) for number in grids.sources(index)]
    assert set(sources) == set(range(10))
    assert len(set(asked)) == len(asked)
    assert [same(grids[3], Grids(Colours(), 9, tile=6, accept=accept)[3])] == [True]


def test_pictures_of_another_size_are_squashed(tmp_path):
    for seed, name in enumerate("abcd"):
        write_picture(tmp_path / name / "1.png", (5 + seed, 9), seed)
    scene = Grids(ImageFolder(tmp_path), 1, tile=7)[0]
    assert scene.size == (14, 14)
    assert scene.present == [0, 1, 2, 3]


def test_all_tiles_are_drawn_equally_often():
    grids = Grids(Colours(), 400, tile=4)
    count = torch.tensor([grids.sources(number) for number in range(400)]).flatten().bincount()
    # 1600 draws of 20 scenes: 80 each, standard deviation below 9.
    assert 80 - 45 < int(count.min()) <= int(count.max()) < 80 + 45


def test_too_few_classes():
    message = "acceptable scenes of at least 4 classes, but got 3 such classes"
    with pytest.raises(ValueError, match=message):
        Grids(Colours(n_classes=3), 1)[0]
    with pytest.raises(ValueError, match="at least 4 classes, but got 2 such classes"):
        Grids(Colours(), 1, accept=lambda scene: scene.present[0] < 2)[0]


@pytest.mark.parametrize("labels", [0, 2])
def test_scenes_with_no_or_several_labels(labels):
    with pytest.raises(
        ValueError, match=r"scenes have one label each, but got the labels \[.*scene"
    ):
        Grids(Colours(labels=labels), 1)[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dataset": [1]}, TypeError, r"dataset to be a dataset of scenes, but got \[1\]"),
        ({"length": -1}, ValueError, "length to be an integer of at least 0, but got -1"),
        ({"grid": 0}, ValueError, "grid to be an integer of at least 1, but got 0"),
        ({"tile": 0}, ValueError, "tile to be an integer of at least 1, but got 0"),
        ({"seed": 0.5}, TypeError, "seed to be an integer of at least 0, but got 0.5"),
        ({"accept": True}, TypeError, "accept to be a function of a scene, or None, but got True"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        Grids(**({"dataset": Colours(), "length": 1} | options))


@pytest.mark.realdata
def test_grids_of_photographs(data_folder):
    dataset = ImageNetBoxes(data_folder / "imagenette")
    grids = Grids(dataset, 3)
    scene = grids[2]
    assert scene.size == (448, 448)
    sources = grids.sources(2)
    assert scene.present == sorted(dataset.labels_of(number)[0] for number in sources)
    # The pictures are of the tile's size, so the pixels are theirs.
    assert torch.equal(scene.image[:, 224:, :224], dataset[sources[2]].image)
