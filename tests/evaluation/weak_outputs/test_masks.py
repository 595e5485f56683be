"""Masks of many images: their files by the standard tools, their values, going on, and errors."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CocoDetection, VOCSegmentation

from captum_cluster.data import DigitScenes, ImageFolder, Preparation, open_dataset
from captum_cluster.evaluation import read_masks
from captum_cluster.evaluation.registry import run_method
from captum_cluster.evaluation.weak_outputs import masks as module
from captum_cluster.functional.metrics.segmentation import confusion, mean_iou_compute
from captum_cluster.functional.weak import voc_palette
from captum_cluster.weak import RandomWalk, pseudo_masks
from tests.data.test_picture_file import write_turned
from tests.evaluation.weak_outputs.tiny import (
    NAMES,
    SMALL,
    files,
    loaded,
    masks,
    net,
    pictures,
    scene,
    scenes,
    stopped_at,
)
from tests.helpers.trees import write_mask, write_picture, write_text

# pycocotools 2.0 with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def by_hand(one, method="grad-cam", **options):
    """The mask of a scene with the public functions alone."""
    prepared = SMALL.normalize(SMALL.prepare(one).image)[None]
    if not one.present:
        return torch.zeros(one.size, dtype=torch.int64)
    model = net()
    run = run_method(method, model, model.relu2, prepared, one.present, labels=one.present)
    maps = torch.zeros(1, 5, *run.maps.shape[2:])
    maps[0, one.present] = run.maps[0].float()
    return pseudo_masks([one.image], maps, one.labels[None], **options).labels[0]


# Values


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"background": 0.4},
        {"power": 4.0},
        {"uncertain": 0.5},
        {"power": 4.0, "uncertain": 16.0},
        {"refine": [RandomWalk(stride=2)]},
        {"refine": ["random-walk", "crf"], "power": 16},
    ],
    ids=str,
)
def test_the_masks_are_those_of_the_functions(tmp_path, options):
    run = masks(tmp_path, **options)
    found = read_masks(tmp_path)
    assert (run.images, run.empty, run.failed, run.path) == (3, 1, (), tmp_path / "masks")
    assert found.names() == ["a", "c", "folder/b"]
    sums = {}
    for one in scenes():
        mask = by_hand(one, **options)
        assert torch.equal(found.mask_of(one.name), mask)
        truth = one.label_map(-1)
        counts = confusion(mask, truth, mask != 255, 6)
        sums = {name: sums.get(name, 0) + count for name, count in counts.items()}
    assert run.mean_iou == pytest.approx(float(mean_iou_compute(sums)))


def test_features_of_the_layer_guide_the_walk(tmp_path):
    walk = RandomWalk(stride=1, colour=0, position=0, layer=2.0)
    one = scene("a", [0, 3])
    model = net()
    prepared = SMALL.normalize(SMALL.prepare(one).image)[None]
    with torch.no_grad():
        layers = model.relu2(model.conv2(model.relu1(model.bn1(model.conv1(prepared)))))
    masks(tmp_path, [one], refine=[walk], walk_features="layer")
    mask = by_hand(one, refine=[walk], features=layers)
    assert torch.equal(read_masks(tmp_path).mask_of("a"), mask)
    assert not torch.equal(mask, by_hand(one, refine=[walk]))


def test_large_pictures_are_refined_smaller(tmp_path):
    one = scene("a", [0, 3], size=(40, 60))
    masks(tmp_path, [one], refine=[RandomWalk(stride=2)], longest=30)
    found = read_masks(tmp_path).mask_of("a")
    assert found.shape == (40, 60)
    blocks = found.reshape(20, 2, 30, 2)
    assert torch.equal(blocks[:, :1, :, :1].expand_as(blocks), blocks)
    assert len(found.unique()) > 1


@pytest.mark.parametrize("labels", ["top", "predicted"])
def test_labels_by_the_model(tmp_path, labels):
    masks(tmp_path, labels=labels, probability="sigmoid", method="cam", classes=NAMES)
    model, found = net(), read_masks(tmp_path)
    for one in scenes():
        with torch.no_grad():
            whole = model(SMALL.normalize(SMALL.prepare(one).image)[None]).sigmoid()[0]
        wanted = [int(whole.argmax())] if labels == "top" else (whole > 0.5).nonzero().flatten()
        shown = set(found.mask_of(one.name).unique().tolist()) - {0}
        assert shown <= {int(label) + 1 for label in wanted}
        assert shown or not len(wanted)


def test_an_image_of_which_nothing_is_predicted_is_all_background(tmp_path):
    flat = net()
    with torch.no_grad():
        flat.fc.weight.zero_()
        flat.fc.bias.zero_()
    run = masks(tmp_path, model=flat, labels="predicted")
    assert (run.images, run.empty) == (3, 3)
    found = read_masks(tmp_path)
    assert all(not found.mask_of(name).any() for name in found.names())


def mean(model, layer, image, target):
    """A method of somebody else."""
    return layer(image).mean(dim=1) * (1 + target)


def test_methods_of_every_kind(tmp_path):
    from captum.attr import LayerGradCam
    from pytorch_grad_cam import GradCAM

    wide = {"method": "cluster-cam", "options": {"n_clusters": 3}, "scales": [0.5, 1.0]}
    methods = {"g": LayerGradCam, "p": GradCAM, "h": "gradcam++", "f": mean, "o": wide}
    for name, method in methods.items():
        run = masks(tmp_path / name, [scene("a", [0, 3])], method=method)
        assert run.images == 1
        assert read_masks(tmp_path / name).mask_of("a").shape == (20, 30)
    one, other = (read_masks(tmp_path / name).mask_of("a") for name in "gp")
    assert (one == other).float().mean() > 0.98  # the hosts enlarge maps in their own ways


def test_a_map_that_is_not_finite_marks_nothing(tmp_path):
    def broken(model, layer, image, target):
        return torch.full((4, 4), torch.nan)

    masks(tmp_path, [scene("a", [1])], method=broken)
    assert not read_masks(tmp_path).mask_of("a").any()


# Files


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
    assert run.failed[0].startswith("image-4: Expected image to be an image in a format")
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


def coco_tree(folder):
    """Two pictures with a pixel of a cat and of a dog, and numbers of their own."""
    notes, images = [], []
    for number, category in ((70, 9), (30, 4)):
        write_picture(folder / f"{number}.png", (8, 12), seed=number)
        images.append({"id": number, "file_name": f"{number}.png", "height": 8, "width": 12})
        box = {"bbox": [1, 1, 6, 5], "area": 30, "iscrowd": 0}
        outline = [[1, 1, 7, 1, 7, 6, 1, 6]]
        place = {"id": number, "image_id": number, "category_id": category}
        notes.append({**place, **box, "segmentation": outline})
    categories = [{"id": 4, "name": "cat"}, {"id": 9, "name": "dog"}]
    content = {"images": images, "annotations": notes, "categories": categories}
    file = write_text(folder.parent / "instances.json", json.dumps(content))
    return f"coco:{folder},{file}", file


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
    from captum_cluster.evaluation.weak_outputs import numbering

    monkeypatch.setattr(numbering, "MOST", 2)
    images = [scene("a", [0, 3]), scene("b", [4])]
    with pytest.raises(ValueError, match=r"at most 2 in PNG masks \(in COCO's.*'emu' beside 2 oth"):
        masks(tmp_path / "png", images)
    assert read_masks(tmp_path / "png").classes == ["cat", "elk"]
    assert masks(tmp_path / "coco", images, format="coco").images == 2


def test_a_1000_class_model_on_a_folder_of_pictures(tmp_path):
    from captum_cluster.data import imagenet_names

    model = loaded(1000, imagenet_names())
    run = masks(
        tmp_path / "out", pictures(tmp_path / "in"), model=model, preparation=None, classes=None
    )
    found = read_masks(tmp_path / "out")
    assert run.images == 4
    assert 1 <= len(found.classes) <= 4
    assert found.classes == [imagenet_names()[label] for label in found.labels]


# Going on


@pytest.mark.parametrize("form", ["png", "coco"])
@pytest.mark.parametrize("call", [1, 3])
def test_a_run_that_was_interrupted_goes_on_to_the_same_files(tmp_path, monkeypatch, form, call):
    options = {"format": form, "model": net(1000), "classes": None, "background": 0.0}
    images = [scene(name, [label], labels=1000) for name, label in (("a", 9), ("b", 2), ("c", 9))]
    masks(tmp_path / "whole", images, **options)
    with (
        stopped_at(monkeypatch, module, "label_mask", call),
        pytest.raises(KeyboardInterrupt),
    ):
        masks(tmp_path / "broken", images, **options)
    kept = files(tmp_path / "broken")
    assert len(kept["records-0.jsonl"].splitlines()) == call - 1
    with (tmp_path / "broken" / "records-0.jsonl").open("a") as file:
        file.write('{"image": 2, "na')  # a line that a kill has torn
    calls = []
    original = module.label_mask
    monkeypatch.setattr(module, "label_mask", lambda *a: calls.append(a) or original(*a))
    masks(tmp_path / "broken", images, **options)
    assert len(calls) == 3 - (call - 1)
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_a_run_that_is_done_makes_nothing_again(tmp_path, monkeypatch):
    first = masks(tmp_path)
    before = files(tmp_path)
    monkeypatch.setattr(module, "label_mask", None)
    assert masks(tmp_path) == first
    assert files(tmp_path) == before


def test_a_mask_that_is_gone_is_made_again(tmp_path):
    first = masks(tmp_path)
    before = files(tmp_path)
    (tmp_path / "masks" / "c.png").unlink()
    assert masks(tmp_path) == first
    assert files(tmp_path / "masks") == {
        name.removeprefix("masks/"): one for name, one in before.items() if "masks" in name
    }


def test_a_picture_that_was_mended_is_read_again(tmp_path):
    photos = pictures(tmp_path / "in")
    assert len(masks(tmp_path / "out", photos).failed) == 1
    write_picture(photos / "torn.png", (5, 6))
    run = masks(tmp_path / "out", photos)
    assert (run.images, run.failed) == (5, ())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": net(5).double()}, "model: state"),
        ({"method": "cluster-cam"}, 'method: name "grad-cam" there, "cluster-cam" here'),
        ({"images": scenes()[:2]}, "dataset: length 3 there, 2 here"),
        ({"background": 0.3}, "background: 0.15 there, 0.3 here"),
        ({"layer": "relu1"}, 'layer: "relu2" there, "relu1" here'),
        ({"format": "coco"}, 'results: "masks as PNG files" there'),
        ({"refine": ["crf"]}, "refine: "),
        ({"classes": ["a", "b", "c", "d", "e"]}, "classes: "),
        ({"limit": 1}, "images: 3 there, 1 here"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_run_is_refused(tmp_path, changed, message):
    masks(tmp_path)
    before = files(tmp_path)
    with pytest.raises(ValueError, match="output to be a directory for this run") as raised:
        masks(tmp_path, **changed)
    assert message in str(raised.value)
    assert files(tmp_path) == before


# What goes wrong


def test_a_method_that_fails_at_once_stops_the_run(tmp_path):
    def broken(model, layer, image, target):
        raise RuntimeError("no svd")

    with pytest.raises(RuntimeError, match="^broken on a: no svd$"):
        masks(tmp_path, method=broken)


def sometimes(model, layer, image, target):
    """Fails for one label."""
    if target == 4:
        raise RuntimeError("no svd")
    return layer(image).mean(dim=1)


def test_a_method_that_fails_later_is_counted(tmp_path):
    run = masks(tmp_path, method=sometimes)
    assert (run.images, run.failed) == (2, ("c: RuntimeError: no svd",))
    assert read_masks(tmp_path).mask_of("c") is None
    with pytest.raises(RuntimeError, match="^sometimes on c: no svd$"):
        masks(tmp_path, method=sometimes, strict=True)


def test_strict_stops_at_a_picture_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="format that Pillow reads.*torn"):
        masks(tmp_path / "out", pictures(tmp_path / "in"), strict=True)


def test_two_scenes_of_one_name(tmp_path):
    with pytest.raises(ValueError, match="to have different names, but got 'a' for the images 0"):
        masks(tmp_path, [scene("a", [0]), scene("a", [1])])


@pytest.mark.parametrize("name", ["/a", "../a", "a//b", "a\\b", "a/../../b"])
def test_a_name_that_no_file_can_have(tmp_path, name):
    with pytest.raises(ValueError, match="name of a scene to be a relative path, which can name"):
        masks(tmp_path / "out", [scene(name, [0])])
    assert list(tmp_path.rglob("*.png")) == []


def test_a_scene_without_a_name_has_that_of_its_place(tmp_path):
    masks(tmp_path, [scene("", [0])])
    assert read_masks(tmp_path).names() == ["image-0"]


WRONG = {
    "format": ({"format": "jpg"}, ValueError, "format to be one of 'png', 'coco', but got 'jpg'"),
    "labels": ({"labels": "all"}, ValueError, "labels to be one of 'truth', 'predicted', 'top'"),
    "background": ({"background": 2}, ValueError, "background to be a number from 0 to 1, but g"),
    "power": ({"power": 0}, ValueError, "power to be a number above 0, but got 0"),
    "uncertain": ({"uncertain": 3}, ValueError, "uncertain to be a number from 0 to 1, but got 3"),
    "uncertain power": (
        {"power": 4, "uncertain": 0}, ValueError, "uncertain to be a number above 0, but got 0",
    ),
    "refine": ({"refine": "walk"}, ValueError, "refine to be 'random-walk' or 'crf', or objects"),
    "features": (
        {"walk_features": "all"}, ValueError, "walk_features to be one of 'none', 'layer', but",
    ),
    "features of nothing": (
        {"walk_features": "layer"}, ValueError, "walk_features to be 'none' where nothing is",
    ),
    "longest": ({"longest": 0}, ValueError, "longest to be an integer of at least 1, but got 0"),
    "limit": ({"limit": 0}, ValueError, "limit to be an integer of at least 1, but got 0"),
    "model": ({"model": "resnet18"}, TypeError, "model to be an nn.Module or a LoadedModel, but"),
    "classes": ({"classes": ["a"]}, ValueError, "classes to be the names of 5 labels, but got 1"),
    "no classes": ({"classes": "abcde"}, TypeError, "classes to be a list of names, but got 'abc"),
    "method": ({"method": "camm"}, ValueError, "method to be one of cluster-cam"),
    "images": ({"images": []}, ValueError, "the images to be at least one file or folder, but got"),
    "no images": ({"images": 3}, TypeError, "dataset to be a dataset with a length that gives"),
    "path": ({"images": "nowhere"}, FileNotFoundError, "IMAGE to be an existing file or folder"),
    "other labels": (
        {"images": DigitScenes(2)}, ValueError,
        "the dataset to have the model's 5 labels (or labels='top'), but got 10",
    ),
    "strict": ({"strict": 1}, TypeError, "strict to be True or False, but got 1"),
    "probability": (
        {"probability": "logit"}, ValueError, "probability to be one of 'probability', 'sigmoid'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(tmp_path, name):
    options, kind, message = WRONG[name]
    with pytest.raises(kind) as raised:
        masks(tmp_path / "out", **options)
    assert message in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_labels_of_pictures_are_not_known(tmp_path):
    write_picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match="'predicted' or 'top' for pictures whose labels are not"):
        masks(tmp_path / "out", tmp_path / "a.png", labels="truth")


def test_a_model_that_gives_no_logits(tmp_path):
    with pytest.raises(ValueError, match=r"the model to give logits \(N,L\), but got a tensor of"):
        masks(tmp_path, model=torch.nn.Conv2d(3, 2, 1).eval())


def test_a_preparation_that_cuts_is_taken_whole(tmp_path):
    masks(tmp_path / "cut", preparation=Preparation(32, mode="center-crop", resize=40))
    masks(tmp_path / "whole", preparation=Preparation(32, resize=40))
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_masks_that_are_known_are_those_of_the_labels(tmp_path):
    numbers = np.zeros((6, 8))
    numbers[:, 4:] = 1
    write_picture(tmp_path / "images/a.png", (6, 8))
    write_mask(tmp_path / "masks/a.png", numbers)
    dataset = open_dataset(f"masks:{tmp_path / 'images'},{tmp_path / 'masks'}")
    run = masks(tmp_path / "out", dataset, model=net(1), classes=None, background=1.0)
    assert run.mean_iou == pytest.approx(24 / 48 / 2)  # half is background, of which all is found
