import json

import pytest

from captum_cluster import data
from captum_cluster.data import open_dataset
from captum_cluster.data.opening import KINDS
from tests.helpers.trees import (
    annotation,
    check_dataset,
    write_mask,
    write_picture,
    write_table,
    write_text,
)

BOXES = ("file", "class_index", "x0", "y0", "x1", "y1")


@pytest.fixture
def tree(tmp_path):
    """One small dataset of several kinds."""
    for number, name in enumerate(("n01440764", "n01443537", "n01484850", "n01491361")):
        write_picture(tmp_path / f"net/val/{name}/1.png", seed=number)
        write_mask(tmp_path / f"masks/{name}/1.png", [[number + 1] * 8] * 6)
    names = sorted(path.parent.name for path in (tmp_path / "net/val").glob("*/*"))
    rows = [(f"{name}/1.png", number, 0, 0, 4, 4) for number, name in enumerate(names)]
    write_table(tmp_path / "net/val_boxes.csv", BOXES, rows)
    write_table(tmp_path / "tags.csv", ("image_name", "tags"), [(f"{names[0]}/1", "a b")])
    base = tmp_path / "voc/VOCdevkit/VOC2007"
    write_picture(base / "JPEGImages/1.jpg")
    write_text(base / "Annotations/1.xml", annotation([("cat", 0, 1, 1, 3, 3)]))
    write_text(base / "ImageSets/Main/test.txt", "1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "kind", "length"),
    [
        ("folder:{0}/net/val", data.ImageFolder, 4),
        ("folder:{0}/net/val,{0}/net/val_boxes.csv", data.ImageFolder, 4),
        ("imagenet-boxes:{0}/net", data.ImageNetBoxes, 4),
        ("imagenet-boxes: {0}/net , split=val", data.ImageNetBoxes, 4),
        ("voc:{0}/voc,year=2007,image_set=test,task=detection", data.VocScenes, 1),
        ("masks:{0}/net/val,{0}/masks", data.MaskFolder, 4),
        ("tags:{0}/net/val,{0}/tags.csv", data.TaggedFolder, 1),
        ("grids:{0}/net,length=3,tile=16", data.Grids, 3),
        ("digit-scenes:3,size=48", data.DigitScenes, 3),
    ],
)
def test_kinds(tree, spec, kind, length):
    dataset = open_dataset(spec.format(tree))
    assert type(dataset) is kind
    assert len(check_dataset(dataset)) == length


def test_grids_are_a_hundred_and_digits_those_of_the_test_split(tree):
    assert len(open_dataset(f"grids:{tree}/net")) == 100
    assert open_dataset("digit-scenes:1000")[999].name == "test-0-999"
    assert open_dataset("digit-scenes:5,split=train,seed=2")[0].name == "train-2-0"


def test_options_go_before_the_text(tree):
    dataset = open_dataset(f"grids:{tree}/net,length=3,seed=1", length=7, accept=lambda scene: True)
    assert len(dataset) == 7
    assert dataset.seed == 1
    assert (
        open_dataset(f"masks:{tree}/net/val,{tree}/masks", classes=list("abcd")).classes[1] == "b"
    )


def test_things_are_a_range(tree):
    dataset = open_dataset(f"masks:{tree}/net/val,{tree}/masks,things=2-3")
    assert [len(scene.things()) for scene in dataset] == [0, 1, 1, 0]


def test_all_kinds_are_described():
    for name, kind in KINDS.items():
        assert f"``{name}:" in open_dataset.__doc__, name
        assert kind.form.startswith(f"{name}:")
        for option in kind.options:
            assert f"``{option}``" in open_dataset.__doc__, option


@pytest.mark.parametrize("spec", ["photos:DIR", "folder", "", ":", "DIR"])
def test_unknown_kinds(spec):
    message = r"data to be one of folder:ROOT\[,BOXES\.csv\], imagenet-boxes:ROOT, .*, but got"
    with pytest.raises(ValueError, match=message):
        open_dataset(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("folder:", r"of the form folder:ROOT\[,BOXES\.csv\], but got 'folder:'"),
        ("masks:A", "of the form masks:IMAGES,MASKS, but got 'masks:A'"),
        ("cub:A,B", "of the form cub:ROOT, but got 'cub:A,B'"),
        ("voc:A,colour=red", "the options of voc:ROOT to be among year, image_set, task, but got"),
        ("cub:A,splt=all", "the options of cub:ROOT to be among split, but got 'splt'"),
        ("coco:A,B,x=1", "the options of coco:.* to be among no options, but got 'x'"),
        ("masks:A,B,things=7", "things to be a range such as 1-90, but got '7'"),
        ("grids:A,length=x", "length to be an integer, but got 'x'"),
        ("digit-scenes:many", "of the form digit-scenes:LENGTH, but got 'many'"),
    ],
)
def test_bad_forms(spec, message):
    with pytest.raises(ValueError, match=message):
        open_dataset(spec)


def test_a_path_with_a_sign_of_equality(tmp_path):
    write_picture(tmp_path / "a=b" / "cat" / "1.png")
    assert len(open_dataset(f"folder:{tmp_path}/a=b")) == 1


@pytest.mark.parametrize("kind", ["folder", "imagenet-boxes", "voc", "sbd", "cub", "grids"])
def test_folders_that_are_not_there(kind, tmp_path):
    with pytest.raises(FileNotFoundError, match="root to be an existing folder, but got '.*no'"):
        open_dataset(f"{kind}:{tmp_path}/no")


@pytest.mark.parametrize("kind", ["folder", "imagenet-boxes", "voc", "sbd", "cub", "grids"])
def test_empty_folders(kind, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match="Expected .*, but got '"):
        open_dataset(f"{kind}:{tmp_path}")


def test_other_types():
    with pytest.raises(TypeError, match="data to be text of the form KIND:PATH, but got 3"):
        open_dataset(3)


def test_coco_and_sbd_and_cub_are_opened_with_their_arguments(monkeypatch, tmp_path):
    pytest.importorskip("pycocotools")
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    path = write_text(tmp_path / "instances.json", json.dumps(content))
    dataset = open_dataset(f"coco:{tmp_path},{path}")
    assert (len(dataset), dataset.classes) == (0, ["cat"])
