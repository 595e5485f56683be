"""Which images are learned from, which watch the training, and which are judged."""

import pytest
import torch
from PIL import Image

from captum_cluster.evaluation.recipes import open_sources


def pictures(folder, classes, count, size=8):
    """Write pictures into a folder for each class."""
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (size, size), (number, 0, 0)).save(folder / name / f"{number}.png")


def names(dataset):
    return {dataset[number].name for number in range(len(dataset))}


def test_digits_learn_from_other_digits_than_those_judged():
    sources = open_sources("digits", seed=3, limit=5, test_limit=4)
    assert names(sources.train) == {f"train-3-{number}" for number in range(5)}
    assert names(sources.test) == {f"test-12-{number}" for number in range(4)}
    assert all(name.startswith("train-4294967296-") for name in names(sources.watching))
    assert (sources.several, sources.preparation.mode) == (True, "none")
    assert sources.test[0].masks is not None
    other = open_sources("digits", seed=4, limit=5, test_limit=4)
    assert names(other.test) == names(sources.test)
    assert not names(other.train) & names(sources.train)
    assert names(other.watching) == names(sources.watching)
    with pytest.raises(ValueError, match="seed to be an integer from 0 to 4294967295"):
        open_sources("digits", seed=2**32)  # the scenes that watch


@pytest.mark.parametrize(
    ("tags", "several"),
    [(["a", "b"] * 5, False), (["a", ""] * 5, True), (["a", "a b"] * 5, True)],
    ids=["one each", "one or none", "one or two"],
)
def test_images_have_several_labels_where_some_has_not_exactly_one(tags, several, tmp_path):
    pictures(tmp_path, ["all"], 10)
    lines = [f"all/{number}.png,{tag}" for number, tag in enumerate(tags)]
    (tmp_path / "tags.csv").write_text("\n".join(["image_name,tags", *lines]) + "\n")
    sources = open_sources(f"tags:{tmp_path},{tmp_path / 'tags.csv'}")
    assert sources.several == several


def test_a_plain_folder_is_shared_once_for_all_seeds(tmp_path):
    pictures(tmp_path, ["a", "b"], 10)
    sources = open_sources(f"folder:{tmp_path}")
    parts = [names(part) for part in (sources.train, sources.watching, sources.test)]
    assert [len(part) for part in parts] == [17, 1, 2]
    assert len(set.union(*parts)) == 20
    assert not sources.several
    again = open_sources(f"folder:{tmp_path}", seed=7)
    assert [names(part) for part in (again.train, again.watching, again.test)] == parts


def test_a_folder_with_train_and_val_keeps_them_apart(tmp_path):
    pictures(tmp_path / "train", ["a", "b"], 10)
    pictures(tmp_path / "val", ["a", "b"], 3)
    sources = open_sources(f"folder:{tmp_path}", limit=5)
    assert len(sources.test) == 6
    assert len(sources.train) == 5
    assert len(sources.watching) == 2
    assert {name.split("/")[0] for name in names(sources.train)} == {"a", "b"}
    (tmp_path / "val" / "b").rename(tmp_path / "val" / "c")
    with pytest.raises(ValueError, match=r"folders of the same classes, but got 'b'"):
        open_sources(f"folder:{tmp_path}")


def imagenet(root, train, val):
    """Write ImageNet's folders: of each class its WordNet id and its number."""
    pictures(root / "train", train, 6)
    pictures(root / "val", val, 2)
    rows = [
        f"{name}/{number}.png,{label},0,0,4,4" for name, label in val.items() for number in (0, 1)
    ]
    (root / "val_boxes.csv").write_text("\n".join(["file,class_index,x0,y0,x1,y1", *rows]) + "\n")


def test_imagenet_has_the_labels_of_its_training_folders(tmp_path):
    imagenet(
        tmp_path,
        ["n01440764", "n02102040"],
        {"n01440764": 0, "n02102040": 217, "n02979186": 482},
    )
    sources = open_sources(f"imagenet-boxes:{tmp_path}")
    assert sources.classes == ["tench", "English springer"]
    assert sources.test.classes == sources.classes
    assert len(sources.test) == 4  # those of the third class have no label here
    scene = sources.test[3]
    assert (scene.present, scene.boxes) == ([1], ((1, 0, 0, 4, 4),))
    for part in (sources.train, sources.watching):
        for index in range(len(part)):
            folder = part[index].name.split("/")[0]
            assert part[index].present == [["n01440764", "n02102040"].index(folder)]
    assert (len(sources.train), len(sources.watching), sources.several) == (11, 1, False)


def test_imagenet_with_boxes_of_the_training_images(tmp_path):
    imagenet(tmp_path, {"n02102040": 217}, {"n01440764": 0, "n02102040": 217})
    rows = [f"n02102040/{number}.png,217,0,0,4,4" for number in range(6)]
    text = "\n".join(["file,class_index,x0,y0,x1,y1", *rows]) + "\n"
    (tmp_path / "train_boxes.csv").write_text(text)
    sources = open_sources(f"imagenet-boxes:{tmp_path}")
    assert sources.classes == ["English springer"]
    assert len(sources.test) == 2
    assert sources.train[0].present == [0]


def test_imagenet_with_a_class_that_cannot_be_judged(tmp_path):
    imagenet(tmp_path, ["n01440764", "n02102040"], {"n01440764": 0})
    with pytest.raises(ValueError, match="a folder of classes that val has too, .*'n02102040'"):
        open_sources(f"imagenet-boxes:{tmp_path}")


@pytest.mark.realdata
def test_the_real_pictures(data_folder):
    sources = open_sources(f"imagenet-boxes:{data_folder / 'imagenette'}", limit=20)
    assert (len(sources.classes), len(sources.test), len(sources.train)) == (10, 150, 20)
    assert len({label for index in range(20) for label in sources.train.labels_of(index)}) == 10
    voc = open_sources(f"voc:{data_folder / 'voc'}")
    assert voc.several
    assert (len(voc.classes), len(voc.test), len(voc.train)) == (20, 11, 10)


@pytest.mark.parametrize(
    ("crop", "mode", "resize"), [(False, "squash", 32), (True, "center-crop", 32)]
)
def test_images_are_brought_to_a_size(crop, mode, resize, tmp_path):
    pictures(tmp_path, ["a", "b"], 5, size=50)
    preparation = open_sources(f"folder:{tmp_path}", size=32, crop=crop).preparation
    assert (preparation.size, preparation.mode, preparation.resize) == (32, mode, resize)
    assert torch.tensor(preparation.mean).mean() > 0.4  # ImageNet's


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digit", "data to be digits or one of folder:ROOT"),
        ("digits:30", "data to be digits or one of"),
        ("imagenet-boxes:", "imagenet-boxes:ROOT"),
    ],
)
def test_data_that_are_none(data, message):
    with pytest.raises(ValueError, match=message):
        open_sources(data)


def test_data_that_are_no_text():
    with pytest.raises(TypeError, match=r"data to be digits or one of .* but got 3"):
        open_sources(3)


def test_too_few_images(tmp_path):
    pictures(tmp_path, ["a"], 2)
    with pytest.raises(ValueError, match="images to learn from to be at least 2, but got 1"):
        open_sources(f"folder:{tmp_path}")
