import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from captum_cluster.data import ImageFolder
from tests.helpers.trees import check_dataset, write_picture, write_table, write_text

HEADER = ("file", "class_index", "x0", "y0", "x1", "y1")


@pytest.fixture
def root(tmp_path):
    """Two pictures of 6 x 8 in each of the folders cat and dog, and one further down."""
    names = ("dog/1.png", "dog/2.png", "cat/1.png", "cat/2.png", "cat/old/3.png")
    for seed, name in enumerate(names):
        write_picture(tmp_path / "root" / name, seed=seed)
    return tmp_path / "root"


def table(root, *rows):
    return write_table(root.parent / "boxes.csv", HEADER, rows)


def test_class_folders_are_labels_as_in_torchvision(root):
    scenes = check_dataset(ImageFolder(root))
    theirs = datasets.ImageFolder(root)
    assert ImageFolder(root).classes == theirs.classes == ["cat", "dog"]
    assert len(theirs) == len(scenes)
    by_name = {scene.name: scene for scene in scenes}
    for path, label in theirs.samples:
        scene = by_name[path[len(str(root)) + 1 : -4]]
        assert scene.present == [label]
        pixels = np.asarray(Image.open(path))
        assert np.array_equal((scene.image * 255).round().byte().permute(1, 2, 0), pixels)
    assert all(scene.boxes is None and scene.region(scene.present[0]) is None for scene in scenes)


def test_uc_merced(tmp_path):
    # UCMerced_LandUse/Images/<class>/<class>NN.tif, 256 x 256 RGB.
    for seed, name in enumerate(("agricultural", "airplane", "tenniscourt")):
        for number in range(2):
            path = tmp_path / "Images" / name / f"{name}{number:02}.tif"
            write_picture(path, (256, 256), seed)
    scenes = check_dataset(ImageFolder(tmp_path / "Images"))
    assert [scene.name for scene in scenes][2:4] == ["airplane/airplane00", "airplane/airplane01"]
    assert [scene.present for scene in scenes] == [[0], [0], [1], [1], [2], [2]]
    assert scenes[0].size == (256, 256)


def test_boxes_of_a_table(root):
    rows = [
        ("cat/1.png", 4, 1, 2, 3, 4.5),
        ("dog/1.png", 0, 0, 0, 8, 6),
        ("cat/1.png", 4, 5, 1, 7, 2),
    ]
    dataset = ImageFolder(root, table(root, *rows))
    scenes = {scene.name: scene for scene in check_dataset(dataset)}
    assert dataset.classes == ["dog", "label 1", "label 2", "label 3", "cat"]
    assert scenes["cat/1"].boxes == ((4, 1.0, 2.0, 3.0, 4.5), (4, 5.0, 1.0, 7.0, 2.0))
    assert scenes["dog/1"].boxes == ((0, 0.0, 0.0, 8.0, 6.0),)
    # Without a row: the label of the folder, and no ground truth.
    for name, label in (("cat/2", 4), ("cat/old/3", 4), ("dog/2", 0)):
        assert scenes[name].present == [label]
        assert scenes[name].boxes == ()
        assert scenes[name].region(label) is None


def test_boxes_are_clipped_and_those_outside_left_out(root):
    rows = [
        ("cat/1.png", 0, -3, 2, 20, 4),
        ("cat/1.png", 0, 8, 0, 9, 6),
        ("cat/1.png", 0, 3, 3, 3, 5),
        ("dog/1.png", 1, 90, 90, 95, 95),
    ]
    scenes = {scene.name: scene for scene in ImageFolder(root, table(root, *rows))}
    assert scenes["cat/1"].boxes == ((0, 0.0, 2.0, 8.0, 4.0),)
    assert scenes["dog/1"].boxes == ()
    assert scenes["dog/1"].present == [1]


def test_a_row_without_corners_tells_a_label_alone(root):
    rows = [("cat/1.png", 1, "", "", "", ""), ("dog/1.png", 0, "", "", "", "")]
    dataset = ImageFolder(root, table(root, *rows))
    assert [dataset.labels_of(number) for number in range(5)] == [[1], [1], [1], [0], [0]]
    assert all(scene.boxes == () for scene in dataset)


def test_one_picture_can_have_several_labels(tmp_path):
    write_picture(tmp_path / "root" / "a.png")
    rows = [("a.png", 2, 0, 0, 2, 2), ("a.png", 1, 2, 2, 4, 4)]
    dataset = ImageFolder(tmp_path / "root", table(tmp_path / "root", *rows))
    (scene,) = check_dataset(dataset)
    assert scene.present == [1, 2]
    assert scene.boxes_of(1) == [(2.0, 2.0, 4.0, 4.0)]


def test_imagenets_folders_have_imagenets_labels(tmp_path):
    root = tmp_path / "root"
    write_picture(root / "n01440764" / "1.png")
    write_picture(root / "n03888257" / "1.png")
    rows = [("n01440764/1.png", 0, 0, 0, 1, 1), ("n03888257/1.png", 701, 0, 0, 1, 1)]
    dataset = ImageFolder(root, table(root, *rows))
    assert len(dataset.classes) == 1000
    assert (dataset.classes[0], dataset.classes[701]) == ("tench", "parachute")
    assert [scene.present for scene in dataset] == [[0], [701]]
    assert ImageFolder(root).classes == ["n01440764", "n03888257"]
    message = r"class_index to be an integer from 0 to 999, but got '1000' \(.*boxes\.csv', line 2"
    with pytest.raises(ValueError, match=message):
        ImageFolder(root, table(root, ("n01440764/1.png", 1000, 0, 0, 1, 1)))


def test_number_and_names_of_the_labels(root):
    assert ImageFolder(root, num_labels=4).classes == ["cat", "dog", "label 2", "label 3"]
    assert len(ImageFolder(root, num_labels=4)[0].labels) == 4
    assert ImageFolder(root, classes=["a", "b"]).classes == ["a", "b"]
    with pytest.raises(ValueError, match=r"at least the number of class folders \(2\), but got 1"):
        ImageFolder(root, num_labels=1)
    with pytest.raises(ValueError, match="classes to be the names of 2 labels, but got 1 names"):
        ImageFolder(root, classes=["a"])
    with pytest.raises(ValueError, match="num_labels to be an integer of at least 1, but got 0"):
        ImageFolder(root, num_labels=0)


def test_annotated_pictures_are_read_as_they_are_stored(tmp_path):
    # Turned by a quarter by EXIF: boxes refer to the stored pixels, which are 6 high and 8 wide.
    exif = Image.Exif()
    exif[0x0112] = 6
    write_picture(tmp_path / "root" / "cat" / "1.png", exif=exif)
    assert ImageFolder(tmp_path / "root")[0].size == (8, 6)
    boxes = table(tmp_path / "root", ("cat/1.png", 0, 0, 0, 8, 6))
    scene = ImageFolder(tmp_path / "root", boxes)[0]
    assert scene.size == (6, 8)
    assert torch.equal(scene.region(0), torch.ones(6, 8, dtype=torch.bool))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            ("cat/9.png", 0, 0, 0, 1, 1),
            r"file to be a picture below root, but got 'cat/9\.png' \(.*line 2",
        ),
        (
            ("cat/1.png", "x", 0, 0, 1, 1),
            r"class_index to be an integer of at least 0, but got 'x'",
        ),
        (
            ("cat/1.png", -1, 0, 0, 1, 1),
            r"class_index to be an integer of at least 0, but got '-1'",
        ),
        (("cat/1.png", 0, 0, "nan", 1, 1), r"y0 to be a finite number, but got 'nan' \(.*line 2"),
        (("cat/1.png", 0, 0, "", 1, 1), r"y0 to be a finite number, but got ''"),
    ],
)
def test_bad_rows(root, row, message):
    with pytest.raises(ValueError, match=message):
        ImageFolder(root, table(root, row))


def test_a_picture_whose_label_nothing_tells(root):
    message = r"to give the label of 'dog/1\.png', but got no row for it, and the labels \[\] in"
    with pytest.raises(ValueError, match=message):
        ImageFolder(root, table(root, ("cat/1.png", 0, 0, 0, 1, 1)))
    rows = [
        ("cat/1.png", 0, 0, 0, 1, 1),
        ("cat/2.png", 1, 0, 0, 1, 1),
        ("dog/1.png", 2, 0, 0, 1, 1),
    ]
    with pytest.raises(
        ValueError, match=r"label of 'cat/old/3\.png', .* the labels \[0, 1\] in its"
    ):
        ImageFolder(root, table(root, *rows))


def test_a_damaged_picture_is_told_of_when_it_is_asked_for(root):
    (root / "cat" / "2.png").write_bytes(b"no picture")
    dataset = ImageFolder(root)
    assert dataset[0].name == "cat/1"
    assert dataset.labels_of(1) == [0]
    with pytest.raises(ValueError, match=r"image in a format that Pillow reads, but got '.*cat/2"):
        dataset[1]


def test_bad_folders(tmp_path, root):
    with pytest.raises(FileNotFoundError, match="root to be an existing folder"):
        ImageFolder(tmp_path / "no")
    with pytest.raises(FileNotFoundError, match="boxes to be an existing file"):
        ImageFolder(root, tmp_path / "no.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="root to be a folder with pictures"):
        ImageFolder(tmp_path / "empty")
    with pytest.raises(ValueError, match="a folder of pictures for each class, but got '.*outside"):
        ImageFolder(root / "dog")
    with pytest.raises(ValueError, match="the columns file, class_index, x0, y0, x1, y1, but got"):
        ImageFolder(root, write_text(tmp_path / "other.csv", "file,label\n"))
