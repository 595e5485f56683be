import numpy as np
import pytest
import torch
from PIL import Image

from captum_cluster.data import Cub200
from tests.helpers.trees import check_dataset, write_mask, write_picture, write_text

PATHS = (
    "001.Black_footed_Albatross/Black_1.png",
    "001.Black_footed_Albatross/Black_2.png",
    "002.Laysan_Albatross/Laysan_1.png",
)


@pytest.fixture
def root(tmp_path):
    """Three birds in CUB's layout, the first of the training set."""
    base = tmp_path / "CUB_200_2011"
    for seed, path in enumerate(PATHS):
        write_picture(base / "images" / path, seed=seed)
    lines = "".join(f"{number} {path}\n" for number, path in enumerate(PATHS, start=1))
    write_text(base / "images.txt", lines)
    write_text(base / "image_class_labels.txt", "1 1\n2 1\n3 2\n")
    write_text(base / "classes.txt", "2 002.Laysan_Albatross\n1 001.Black_footed_Albatross\n")
    write_text(base / "train_test_split.txt", "1 1\n2 0\n3 0\n")
    boxes = "1 0.0 0.0 8.0 6.0\n2 1.0 2.0 3.0 3.0\n3 5.0 1.0 9.0 4.0\n"
    write_text(base / "bounding_boxes.txt", boxes)
    return tmp_path


def test_boxes_and_labels(root):
    dataset = Cub200(root)
    assert dataset.classes == ["Black_footed_Albatross", "Laysan_Albatross"]
    first, second = check_dataset(dataset)
    assert first.name == "001.Black_footed_Albatross/Black_2"
    assert (first.present, second.present) == ([0], [1])
    assert first.boxes == ((0, 1.0, 2.0, 4.0, 5.0),)
    assert second.boxes == ((1, 5.0, 1.0, 8.0, 5.0),)
    assert int(first.region(0).sum()) == 9
    assert first.masks is None


def test_splits_and_both_roots(root):
    assert [len(Cub200(root, split=split)) for split in ("test", "train", "all")] == [2, 1, 3]
    assert Cub200(root / "CUB_200_2011", split="train")[0].name.endswith("Black_1")


@pytest.mark.parametrize("folder", ["segmentations", "CUB_200_2011/segmentations"])
def test_segmentations_are_those_of_the_majority(root, folder):
    # Grey is the share of five annotators: 102 are two of them, 153 three.
    grey = np.repeat([[0, 51, 102, 127, 128, 153, 204, 255]], 6, axis=0)
    for path in PATHS:
        write_mask(root / folder / path, grey)
    with_opacity = Image.merge("LA", [Image.open(root / folder / PATHS[2]), Image.new("L", (8, 6))])
    with_opacity.save(root / folder / PATHS[2])
    for scene in check_dataset(Cub200(root)):
        wanted = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]).bool().expand(6, 8)
        assert torch.equal(scene.region(scene.present[0]), wanted)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "images.txt",
            "1 a b\n",
            r"number and 1 cells, but got '1 a b' \(.*images\.txt', line 1\)",
        ),
        ("images.txt", "\nx a.jpg\n", r"but got 'x a\.jpg' \(.*images\.txt', line 2\)"),
        ("image_class_labels.txt", "1 1\n2 9\n", r"in classes\.txt, but got 9 for image 2 \("),
        ("image_class_labels.txt", "1 1\n", r"in classes\.txt, but got nothing for image 2 \("),
        ("bounding_boxes.txt", "2 1 x 3 4\n", r"width and height, but got 1 x 3 4 for image 2 \("),
        ("bounding_boxes.txt", "1 1 2 3 4\n", r"width and height, but got nothing for image 2 \("),
    ],
)
def test_damaged_lists(root, file, text, message):
    write_text(root / "CUB_200_2011" / file, text)
    with pytest.raises(ValueError, match=message):
        Cub200(root)


def test_what_is_not_there(root, tmp_path):
    (root / "CUB_200_2011" / "bounding_boxes.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"existing file, but got '.*bounding_boxes\.txt'"):
        Cub200(root)
    with pytest.raises(FileNotFoundError, match="root to be an existing folder"):
        Cub200(tmp_path / "no")
    with pytest.raises(
        ValueError, match="split to be one of 'test', 'train', 'all', but got 'val'"
    ):
        Cub200(root, split="val")
