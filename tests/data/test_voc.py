import numpy as np
import pytest
import scipy.io
import torch
from torchvision import datasets

from captum_cluster.data import SbdScenes, VocScenes
from captum_cluster.data.voc import VOC_CLASSES
from tests.helpers.trees import annotation, check_dataset, write_mask, write_picture, write_text

CAT, PERSON = VOC_CLASSES.index("cat"), VOC_CLASSES.index("person")


def numbers(*parts):
    """An index mask of 6 x 8: (number, y0, y1, x0, x1), later ones on top."""
    mask = np.zeros((6, 8), dtype=np.uint8)
    for number, y0, y1, x0, x1 in parts:
        mask[y0:y1, x0:x1] = number
    return mask


@pytest.fixture
def root(tmp_path):
    """Three pictures in VOC's layout: two with a mask, two with an annotation."""
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for seed, name in enumerate(("2007_000001", "2007_000002", "2007_000003")):
        write_picture(base / "JPEGImages" / f"{name}.jpg", seed=seed)
    masks = base / "SegmentationClass"
    parts = (255, 0, 6, 0, 5), (CAT + 1, 1, 5, 1, 4), (PERSON + 1, 0, 2, 6, 8)
    write_mask(masks / "2007_000001.png", numbers(*parts), palette=True)
    write_mask(masks / "2007_000002.png", numbers(), palette=True)
    objects = [
        ("cat", 0, 2, 2, 4, 5),
        ("person", 1, 7, 1, 8, 2),
        ("cat", 0, 1, 1, 99, 99),
        ("dog", 0, 1, 1, 2, 2),
    ]
    write_text(base / "Annotations" / "2007_000001.xml", annotation(objects))
    write_text(base / "Annotations" / "2007_000003.xml", annotation([("person", 1, 1, 1, 8, 6)]))
    write_text(base / "ImageSets/Segmentation/val.txt", "2007_000001\n2007_000002\n")
    write_text(base / "ImageSets/Main/val.txt", "2007_000001\n2007_000003\n")
    return tmp_path


def test_segmentation(root):
    dataset = VocScenes(root)
    assert len(dataset.classes) == 20
    first, second = check_dataset(dataset)
    assert (first.name, second.name) == ("2007_000001", "2007_000002")
    assert first.present == [CAT, PERSON]
    mask = numbers((255, 0, 6, 0, 5), (CAT + 1, 1, 5, 1, 4), (PERSON + 1, 0, 2, 6, 8))
    assert np.array_equal(first.label_map(), mask)
    assert np.array_equal(first.ignore, mask == 255)
    assert np.array_equal(first.region(CAT), mask == CAT + 1)
    # Counted from 0, clipped; the dog has no pixels and the difficult person no box.
    assert first.boxes == ((CAT, 1.0, 1.0, 4.0, 5.0), (CAT, 0.0, 0.0, 8.0, 6.0))
    assert second.present == []
    assert second.boxes is None
    assert not second.ignore.any()


def test_segmentation_is_that_of_torchvision(root):
    theirs = datasets.VOCSegmentation(root, year="2012", image_set="val")
    for scene, (image, mask) in zip(VocScenes(root), theirs, strict=True):
        assert np.array_equal(scene.label_map(), np.asarray(mask))
        pixels = (scene.image * 255).round().byte().permute(1, 2, 0)
        assert np.array_equal(pixels, np.asarray(image))


def test_detection(root):
    first, second = check_dataset(VocScenes(root, task="detection"))
    assert first.present == [CAT, VOC_CLASSES.index("dog")]
    assert first.boxes[0] == (CAT, 1.0, 1.0, 4.0, 5.0)
    assert first.masks is None
    assert int(first.region(VOC_CLASSES.index("dog")).sum()) == 4
    assert (second.present, second.boxes) == ([], ())


def test_difficult_objects_as_an_option(root):
    first, second = check_dataset(VocScenes(root, task="detection", difficult=True))
    assert first.present == [CAT, VOC_CLASSES.index("dog"), PERSON]
    assert second.boxes == ((PERSON, 0.0, 0.0, 8.0, 6.0),)
    assert (PERSON, 6.0, 0.0, 8.0, 2.0) in VocScenes(root, difficult=True)[0].boxes


def test_the_test_set_of_2007(tmp_path):
    base = tmp_path / "VOCdevkit" / "VOC2007"
    write_picture(base / "JPEGImages/000001.jpg")
    write_text(base / "Annotations/000001.xml", annotation([("tvmonitor", 0, 1, 1, 8, 6)]))
    write_text(base / "ImageSets/Main/test.txt", "000001\n")
    (scene,) = VocScenes(tmp_path, year="2007", image_set="test", task="detection")
    assert scene.present == [19]


def test_damage_is_named_when_the_scene_is_asked_for(root):
    base = root / "VOCdevkit" / "VOC2012"
    segmentation, detection = VocScenes(root), VocScenes(root, task="detection")
    write_mask(base / "SegmentationClass/2007_000001.png", np.ones((5, 8)))
    with pytest.raises(
        ValueError, match=r"height and width \(6, 8\), but got \(5, 8\) for '.*01\.j"
    ):
        segmentation[0]
    write_text(base / "SegmentationClass/2007_000001.png", "no picture")
    with pytest.raises(ValueError, match=r"Pillow reads, but got '.*Class/2007_000001\.png'"):
        segmentation[0]
    (base / "SegmentationClass/2007_000001.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"an existing file, but got '.*2007_000001\.png'"):
        segmentation[0]
    write_text(base / "Annotations/2007_000001.xml", annotation([("yeti", 0, 1, 1, 2, 2)]))
    with pytest.raises(ValueError, match=r"one of VOC's classes, but got 'yeti' \(.*000001\.xml"):
        detection[0]
    (base / "Annotations/2007_000003.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"the annotation to be an existing file, but got"):
        detection[1]


def test_what_is_not_there(tmp_path, root):
    with pytest.raises(FileNotFoundError, match="root to be an existing folder"):
        VocScenes(tmp_path / "no")
    with pytest.raises(FileNotFoundError, match="the folder that holds VOCdevkit/VOC2007, but got"):
        VocScenes(root, year="2007")
    with pytest.raises(FileNotFoundError, match="with the list of 'train', but got '.*train.txt'"):
        VocScenes(root, image_set="train")
    with pytest.raises(ValueError, match="year to be one of '2007', .*, but got '2013'"):
        VocScenes(root, year="2013")
    with pytest.raises(ValueError, match="'train', 'val', 'trainval', but got 'test'"):
        VocScenes(root, image_set="test")
    with pytest.raises(ValueError, match="task to be one of 'segmentation', 'detection', but got"):
        VocScenes(root, task="boundaries")
    with pytest.raises(TypeError, match="difficult to be True or False, but got 1"):
        VocScenes(root, difficult=1)


def test_download_is_passed_on(tmp_path, monkeypatch):
    asked = []

    def fetch(url, root, **options):
        asked.append((url, str(root)))
        raise OSError("no network")

    monkeypatch.setattr(datasets.voc, "download_and_extract_archive", fetch)
    monkeypatch.setattr(datasets.sbd, "download_and_extract_archive", fetch)
    for kind in (VocScenes, SbdScenes):
        with pytest.raises(OSError, match="no network"):
            kind(tmp_path / "new", download=True)
    assert ["VOC" in asked[0][0], "contours" in asked[1][0]] == [True, True]
    assert [root for _, root in asked] == [str(tmp_path / "new")] * 2


@pytest.fixture
def sbd(tmp_path):
    """Two pictures in SBD's layout."""
    for seed, name in enumerate(("2008_000001", "2008_000002")):
        write_picture(tmp_path / "img" / f"{name}.jpg", seed=seed)
        _write_mat(tmp_path / "cls" / f"{name}.mat", numbers((seed + 1, 0, 2, 0, 3)))
    write_text(tmp_path / "train_noval.txt", "2008_000002\n2008_000001\n")
    return tmp_path


def _write_mat(path, mask):
    path.parent.mkdir(exist_ok=True)
    dtype = [("Boundaries", object), ("Segmentation", object), ("CategoriesPresent", object)]
    fields = np.empty((1, 1), dtype=dtype)
    fields[0, 0] = (np.zeros(1), mask, np.unique(mask))
    scipy.io.savemat(path, {"GTcls": fields})


def test_sbd_is_that_of_torchvision(sbd):
    dataset = SbdScenes(sbd)
    scenes = check_dataset(dataset)
    assert [scene.name for scene in scenes] == ["2008_000002", "2008_000001"]
    assert [scene.present for scene in scenes] == [[1], [0]]
    theirs = datasets.SBDataset(sbd, "train_noval", mode="segmentation")
    for scene, (_, mask) in zip(scenes, theirs, strict=True):
        assert np.array_equal(scene.label_map(), np.asarray(mask))
        assert scene.boxes is None


@pytest.mark.parametrize(
    "lines",
    ["2008_000001\n", "/JPEGImages/2008_000001.jpg /SegmentationClassAug/2008_000001.png\n"],
)
def test_the_list_train_aug(sbd, lines):
    with pytest.raises(FileNotFoundError, match=r"the list to be an existing file.*train_aug\.txt"):
        SbdScenes(sbd, image_set="train_aug")
    write_text(sbd / "train_aug.txt", lines)
    (scene,) = check_dataset(SbdScenes(sbd, image_set="train_aug"))
    assert (scene.name, scene.present) == ("2008_000001", [0])


def test_damage_in_sbd(sbd):
    dataset = SbdScenes(sbd)
    write_text(sbd / "cls/2008_000002.mat", "no matrix" * 50)
    with pytest.raises(ValueError, match=r"in the form of SBD, but got '.*2008_000002\.mat'"):
        dataset[0]
    (sbd / "cls/2008_000002.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"the mask to be an existing file, but got"):
        dataset[0]
    with pytest.raises(FileNotFoundError, match=r"the list to be an existing file, .*val\.txt"):
        SbdScenes(sbd, image_set="val")
    with pytest.raises(ValueError, match="image_set to be one of 'train', 'val', 'train_noval'"):
        SbdScenes(sbd, image_set="test")


@pytest.mark.realdata
def test_the_real_pictures(data_folder):
    scenes = [
        scene
        for image_set in ("train", "val")
        for scene in VocScenes(data_folder / "voc", image_set=image_set)
    ]
    names = {scene.name for scene in scenes}
    assert names == {path.stem for path in (data_folder / "voc").rglob("*.jpg")}
    assert all(scene.present for scene in scenes)
    assert all(0 < float(scene.ignore.float().mean()) < 0.2 for scene in scenes)
    found = {scene.name: [VOC_CLASSES[label] for label in scene.present] for scene in scenes}
    assert found["2007_000063"] == ["chair", "dog"]
    assert torch.equal(scenes[0].label_map() == 255, scenes[0].ignore)
