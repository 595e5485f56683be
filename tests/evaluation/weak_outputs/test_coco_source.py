"""Which image of which COCO data set a scene is, through datasets made of others."""

from captum_cluster.data import DigitScenes, open_dataset
from captum_cluster.evaluation.recipes.parts import Joined, Kept, Part
from captum_cluster.evaluation.weak_outputs.images import coco_source
from tests.evaluation.weak_outputs.tiny import coco_tree


def test_the_source_of_an_image(tmp_path):
    dataset = open_dataset(coco_tree(tmp_path / "images")[0])
    assert coco_source(dataset, 1) == (dataset, 1)
    part = Part(dataset, [1, 0])
    assert coco_source(part, 0) == (dataset, 1)
    assert coco_source(Joined([DigitScenes(3), Kept(part)]), 4) == (dataset, 0)
    renamed = Part(dataset, labels=[1, 0], classes=["dog", "cat"])
    assert coco_source(renamed, 0) is None
