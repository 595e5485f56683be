import pytest

from captum_cluster.data import TaggedFolder
from tests.helpers.trees import check_dataset, write_picture, write_table


@pytest.fixture
def tree(tmp_path):
    for number in range(3):
        write_picture(tmp_path / f"train-jpg/train_{number}.jpg", seed=number)
    return tmp_path


def opened(tree, *rows, **options):
    table = write_table(tree / "train_v2.csv", ("image_name", "tags"), rows)
    return TaggedFolder(tree / "train-jpg", table, **options)


def test_tags_are_labels(tree):
    dataset = opened(
        tree, ("train_2", "haze primary"), ("train_0.jpg", "water clear primary"), ("train_1", "")
    )
    assert dataset.classes == ["clear", "haze", "primary", "water"]
    scenes = check_dataset(dataset)
    assert [scene.name for scene in scenes] == ["train_2", "train_0", "train_1"]
    assert [scene.present for scene in scenes] == [[1, 2], [0, 2, 3], []]
    assert all(scene.region(label) is None for scene in scenes for label in scene.present)


def test_names_in_another_order(tree):
    dataset = opened(tree, ("train_0", "b a"), classes=["b", "c", "a"])
    assert dataset[0].present == [0, 2]
    with pytest.raises(
        ValueError, match=r"tags to be among the classes, but got 'a' \(.*, line 2\)"
    ):
        opened(tree, ("train_0", "b a"), classes=["b"])


def test_bad_rows(tree):
    with pytest.raises(
        ValueError, match=r"picture in the folder, but got 'train_7' \(.*, line 3\)"
    ):
        opened(tree, ("train_0", "a"), ("train_7", "b"))
    with pytest.raises(
        ValueError, match=r"the table once, but got 'train_0\.jpg' again \(.*line 3"
    ):
        opened(tree, ("train_0", "a"), ("train_0.jpg", "b"))
    with pytest.raises(
        ValueError, match=r"a CSV file with rows, but got '.*train_v2\.csv' without"
    ):
        opened(tree)


def test_what_is_not_there(tree):
    with pytest.raises(FileNotFoundError, match="images to be an existing folder"):
        TaggedFolder(tree / "no", tree / "no.csv")
    with pytest.raises(FileNotFoundError, match="table to be an existing file"):
        TaggedFolder(tree / "train-jpg", tree / "no.csv")
