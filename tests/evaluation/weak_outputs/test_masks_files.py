"""Masks of many images: their files, by the standard tools and by their numbers."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CocoDetection, VOCSegmentation

from captum_cluster.data import ImageFolder, imagenet_names, open_dataset
from captum_cluster.evaluation import read_masks
from captum_cluster.evaluation.weak_outputs import numbering
from captum_cluster.functional.weak import voc_palette
from tests.data.test_picture_file import write_turned
from tests.evaluation.weak_outputs.tiny import (
    NAMES,
    coco_tree,
    loaded,
    masks,
    net,
    pictures,
    scene,
)
from tests.helpers.trees import write_picture, write_text

# pycocotools 2.0 with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_pillow_reads_the_palette(tmp_path):
    masks(tmp_path, uncertain=0.5)
    with Image.open(tmp_path / "masks" / "a.png") as image:
        assert (image.mode, image.size) == ("P", (30, 20))
        assert image.getpalette()[: 3 * 256] == voc_palette().flatten().tolist()
        values = np.asarray(image)
    assert set(np.unique(values)) == {0, 1, 4, 255}
    table = json.loads((tmp_path / "classes.json").read_text())
    assert table == {"classes": NAMES, "labels": [0, 1, 2, 3, 4], "uncertain": 255}


def test_torchvision_reads_the_masks_as_those_of_voc(tmp_path):
    pictures_of = tmp_path / "VOCdevkit/VOC2012/JPEGImages"
    for number in range(2):
        write_picture(pictures_of / f"{number}.jpg", (12, 17), seed=number)
    masks(tmp_path / "out", str(pictures_of))
    shutil.copytree(tmp_path / "out" / "masks", pictures_of.parent / "SegmentationClass")
    write_text(pictures_of.parent / "ImageSets/Segmentation/train.txt", "0\n1\n")
    found = VOCSegmentation(tmp_path, image_set="train")
    assert len(found) == 2
    for image, mask in found:
        assert image.size == mask.size == (17, 12)
        assert set(np.unique(np.asarray(mask))) <= {0, 1, 2, 3, 4, 5}
        assert np.asarray(mask).any()


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_masks_fit_the_stored_pixels(tmp_path, orientation):
    stored = write_turned(tmp_path / "photos" / "a.png", orientation, size=(24, 40))
    run = masks(tmp_path / "png", tmp_path / "photos", labels="top")
    mask = read_masks(run.directory).mask_of("a")
    assert mask.shape == stored.shape[:2]
    dataset = ImageFolder(tmp_path)  # upright, with a label that is not read
    upright = dataset[0]
    masks(tmp_path / "up", [upright], labels="top")
    other = read_masks(tmp_path / "up").mask_of("photos/a")
    assert torch.equal(mask, dataset.picture_of(0).turn().pixels(other))
    masks(tmp_path / "coco", tmp_path / "photos", labels="top", format="coco")
    content = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert (content["images"][0]["height"], content["images"][0]["width"]) == stored.shape[:2]


def test_pictures_of_all_kinds(tmp_path):
    run = masks(tmp_path / "out", pictures(tmp_path / "in"), model=loaded(), preparation=None)
    assert (run.images, run.empty, run.mean_iou) == (4, 0, None)
    assert len(run.failed) == 1
    assert run.failed[0].startswith("torn: Expected image to be an image in a format")
    found = read_masks(run.directory)
    sizes = {name: tuple(found.mask_of(name).shape) for name in found.names()}
    assert sizes == {
        "a.jpg": (12, 20), "a.png": (12, 20), "deep/grey": (16, 10), "deep/opaque": (9, 14),
    }  # fmt: skip
    assert found.classes == NAMES
    assert found.mask_of("torn") is None


def test_coco_files_hold_the_same_masks(tmp_path, capsys):
    from pycocotools.coco import COCO

    photos = pictures(tmp_path / "in")
    options = {"model": loaded(), "preparation": None, "uncertain": 0.6}
    masks(tmp_path / "png", photos, **options)
    run = masks(tmp_path / "coco", photos, format="coco", **options)
    assert run.path == tmp_path / "coco" / "annotations.json"
    found, plain = CocoDetection(photos, str(run.path)), read_masks(tmp_path / "png")
    coco = found.coco
    assert [one["name"] for one in coco.cats.values()] == NAMES
    assert len(found) == 4
    for number, (image, notes) in zip(found.ids, found, strict=True):
        entry = coco.imgs[number]
        name = entry["file_name"] if "deep" not in entry["file_name"] else entry["file_name"][:-4]
        mask = plain.mask_of(name).numpy()
        assert image.size == (entry["width"], entry["height"]) == mask.shape[::-1]
        assert {note["category_id"] for note in notes} == set(np.unique(mask)) - {0, 255}
        for note in notes:
            assert np.array_equal(coco.annToMask(note), mask == note["category_id"])
            assert note["area"] == (mask == note["category_id"]).sum()
            assert 0 < note["score"] < 1
    results = COCO(str(run.path)).loadRes(str(tmp_path / "coco" / "results.json"))
    assert len(results.anns) == len(coco.anns) == 4


def test_of_a_coco_data_set_images_and_categories_keep_their_numbers(tmp_path, capsys):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    spec, file = coco_tree(tmp_path / "images")
    run = masks(
        tmp_path / "out", open_dataset(spec), model=net(2), classes=None, format="coco",
        background=0.0,
    )  # fmt: skip
    content = json.loads(run.path.read_text())
    assert content["categories"] == [{"id": 4, "name": "cat"}, {"id": 9, "name": "dog"}]
    assert {(n["image_id"], n["category_id"]) for n in content["annotations"]} == {
        (70, 9),
        (30, 4),
    }
    assert 0 < run.mean_iou < 1
    truth = COCO(str(file))
    judged = COCOeval(truth, truth.loadRes(str(tmp_path / "out" / "results.json")), "segm")
    judged.evaluate()
    ious = {pair: np.max(found) for pair, found in judged.ious.items() if len(found)}
    assert set(ious) == {(70, 9), (30, 4)}
    assert all(0 < iou <= 1 for iou in ious.values())


def test_a_scene_without_a_name_has_that_of_its_place(tmp_path):
    masks(tmp_path, [scene("", [0])])
    assert read_masks(tmp_path).names() == ["image-0"]


# More labels than a PNG has numbers


def test_of_many_labels_those_that_are_found_get_numbers(tmp_path):
    images = [scene("a", [700], labels=1000), scene("b", [3, 700], labels=1000)]
    run = masks(tmp_path, images, model=net(1000), classes=None, background=0.0)
    found = read_masks(tmp_path)
    assert (found.classes, found.labels) == (["label 700", "label 3"], [700, 3])
    assert set(found.mask_of("a").unique().tolist()) == {0, 1}
    assert set(found.mask_of("b").unique().tolist()) <= {0, 1, 2}
    assert run.mean_iou is not None


def test_more_than_254_labels_found_have_no_number(tmp_path, monkeypatch):
    monkeypatch.setattr(numbering, "MOST", 2)
    images = [scene("a", [0, 3]), scene("b", [4])]
    with pytest.raises(ValueError, match=r"at most 2 in PNG masks \(in COCO's.*'emu' beside 2 oth"):
        masks(tmp_path / "png", images)
    assert read_masks(tmp_path / "png").classes == ["cat", "elk"]
    assert masks(tmp_path / "coco", images, format="coco").images == 2


def test_a_1000_class_model_on_a_folder_of_pictures(tmp_path):
    model = loaded(1000, imagenet_names())
    run = masks(
        tmp_path / "out", pictures(tmp_path / "in"), model=model, preparation=None, classes=None
    )
    found = read_masks(tmp_path / "out")
    assert run.images == 4
    assert 1 <= len(found.classes) <= 4
    assert found.classes == [imagenet_names()[label] for label in found.labels]
