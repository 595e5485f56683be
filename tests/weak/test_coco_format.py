"""Data sets and results in COCO's form, opened by pycocotools, torchvision and this package."""

import contextlib
import importlib.util
import io
import math

import numpy as np
import pytest
import torch
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2

from captum_cluster.data import CocoScenes
from captum_cluster.functional.metrics import box_region
from captum_cluster.weak.coco_format import CocoImage, coco_dataset, coco_results
from captum_cluster.weak.formats import save_coco
from captum_cluster.weak.object_proposals import Proposal
from tests.helpers.trees import write_picture

# pycocotools 2.0 with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
HERE = importlib.util.find_spec("pycocotools") is not None
needs_pycocotools = pytest.mark.skipif(not HERE, reason="pycocotools is not installed")

CLASSES = ["cat", "cow", "dog"]
SIZE = (6, 8)


def numbers(*parts):
    """A mask of 6 x 8: (number, y0, y1, x0, x1), later ones on top."""
    mask = torch.zeros(SIZE, dtype=torch.long)
    for number, y0, y1, x0, x1 in parts:
        mask[y0:y1, x0:x1] = number
    return mask


# A label in two parts that touch at no corner, one beside it, uncertain pixels; nothing; one pixel.
FIRST = numbers((255, 0, 3, 0, 5), (1, 1, 3, 1, 4), (1, 5, 6, 7, 8), (3, 0, 2, 6, 8))
MASKS = [FIRST, numbers(), numbers((2, 5, 6, 0, 1))]
PROPOSALS = [
    Proposal(label=1, box=(1, 0, 4, 5), score=0.75),
    Proposal(label=0, box=(0, 0, 8, 6), score=-2.5),
    Proposal(label=0, box=(7, 5, 8, 6), score=math.nan),
]


def of_masks(**options):
    images = [CocoImage(f"{number}.png", SIZE, mask) for number, mask in enumerate(MASKS)]
    return coco_dataset(images, CLASSES, **options)


def of_boxes(**options):
    images = [CocoImage("0.png", SIZE, proposals=PROPOSALS), CocoImage("1.png", SIZE)]
    return coco_dataset(images, CLASSES, **options)


def opened(content, folder):
    """The data set as pycocotools opens it."""
    from pycocotools.coco import COCO

    file = save_coco(content, folder / "instances.json")
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(file))


@pytest.fixture
def pictures(tmp_path):
    for number in range(3):
        write_picture(tmp_path / f"{number}.png", size=SIZE, seed=number)
    return tmp_path


@needs_pycocotools
@pytest.mark.parametrize("ids", [None, [90, 5, 17]], ids=["counted", "given"])
def test_pycocotools_reads_the_masks_back(tmp_path, ids):
    coco = opened(of_masks(category_ids=ids), tmp_path)
    numbered = ids or [1, 2, 3]
    assert [coco.cats[number]["name"] for number in numbered] == CLASSES
    for number, mask in enumerate(MASKS, start=1):
        drawn = torch.zeros(SIZE, dtype=torch.long)
        for note in coco.imgToAnns[number]:
            pixels = torch.from_numpy(coco.annToMask(note)).bool()
            assert note["area"] == pixels.sum()
            drawn[pixels] = numbered.index(note["category_id"]) + 1
        assert torch.equal(drawn, mask.masked_fill(mask == 255, 0))
        assert coco.imgs[number]["file_name"] == f"{number - 1}.png"


@needs_pycocotools
def test_the_connected_parts_are_annotations_of_their_own(tmp_path):
    coco = opened(of_masks(parts="component"), tmp_path)
    notes = coco.imgToAnns[1]
    assert [note["category_id"] for note in notes] == [1, 1, 3]
    assert [note["bbox"] for note in notes] == [[1, 1, 3, 2], [7, 5, 1, 1], [6, 0, 2, 2]]
    assert [note["area"] for note in notes] == [6, 1, 4]
    together = sum(coco.annToMask(note) for note in notes[:2])
    assert np.array_equal(together, FIRST == 1)
    whole = of_masks()["annotations"]
    assert [note["bbox"] for note in whole[:2]] == [[1, 1, 7, 5], [6, 0, 2, 2]]


def test_pixels_that_touch_at_a_corner_are_one_part():
    mask = torch.eye(4, dtype=torch.long)
    content = coco_dataset([CocoImage("a", (4, 4), mask)], ["cat"], parts="component")
    assert [note["area"] for note in content["annotations"]] == [4]


@needs_pycocotools
def test_boxes_with_scores(tmp_path):
    coco = opened(of_boxes(), tmp_path)
    notes = coco.imgToAnns[1]
    assert [note["category_id"] for note in notes] == [2, 1, 1]
    assert [note["bbox"] for note in notes] == [[1, 0, 3, 5], [0, 0, 8, 6], [7, 5, 1, 1]]
    assert [note.get("score") for note in notes] == [0.75, -2.5, None]
    assert [note["area"] for note in notes] == [15, 48, 1]
    for note, proposal in zip(notes, PROPOSALS, strict=True):
        assert np.array_equal(coco.annToMask(note), box_region([proposal.box], SIZE))
    assert coco.imgToAnns[2] == []


@needs_pycocotools
def test_torchvision_reads_masks_and_boxes(pictures):
    file = save_coco(of_masks(), pictures / "instances.json")
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = wrap_dataset_for_transforms_v2(
            CocoDetection(pictures, str(file)), target_keys=["boxes", "labels", "masks"]
        )
    _, target = dataset[0]
    assert target["labels"].tolist() == [1, 3]
    assert target["boxes"].tolist() == [[1, 1, 8, 6], [6, 0, 8, 2]]
    assert torch.equal(target["masks"].bool(), torch.stack([FIRST == 1, FIRST == 3]))


@needs_pycocotools
def test_this_package_reads_masks_and_boxes(pictures):
    scenes = CocoScenes(pictures, save_coco(of_masks(), pictures / "masks.json"))
    assert scenes.classes == CLASSES
    assert [scenes[number].present for number in range(3)] == [[0, 2], [], [1]]
    for number, mask in enumerate(MASKS):
        assert torch.equal(scenes[number].label_map(), mask.masked_fill(mask == 255, 0))
    boxes = CocoScenes(pictures, save_coco(of_boxes(), pictures / "boxes.json"))[0].boxes
    assert boxes == tuple((one.label, *map(float, one.box)) for one in PROPOSALS)


@needs_pycocotools
def test_results_are_scored_by_pycocotools(tmp_path):
    from pycocotools.cocoeval import COCOeval

    truth = opened(of_masks(), tmp_path)
    results = coco_results(of_masks())
    assert [result["score"] for result in results] == [1.0] * 3
    for kind in ("segm", "bbox"):
        with contextlib.redirect_stdout(io.StringIO()):
            found = truth.loadRes(str(save_coco(results, tmp_path / "results.json")))
            judged = COCOeval(truth, found, kind)
            judged.evaluate()
            judged.accumulate()
            judged.summarize()
        assert judged.stats[0] == pytest.approx(1.0)
    half = [result for result in results if result["category_id"] != 1]
    with contextlib.redirect_stdout(io.StringIO()):
        judged = COCOeval(truth, truth.loadRes(half), "segm")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    assert judged.stats[0] == pytest.approx(2 / 3)


@needs_pycocotools
def test_results_of_boxes(tmp_path):
    truth = opened(of_boxes(), tmp_path)
    results = coco_results(of_boxes())
    assert [result["score"] for result in results] == [0.75, -2.5, 1.0]
    assert all("segmentation" not in result for result in results)
    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes(results)
    first = found.imgToAnns[1][0]
    assert np.array_equal(found.annToMask(first), box_region([PROPOSALS[0].box], SIZE))


def test_masks_and_boxes_of_one_image_and_ids():
    image = CocoImage("a.jpg", SIZE, FIRST, PROPOSALS[:1], image_id=42)
    content = coco_dataset([image], CLASSES, description="pseudo")
    assert content["info"] == {"description": "pseudo"}
    assert content["images"] == [{"id": 42, "file_name": "a.jpg", "height": 6, "width": 8}]
    notes = content["annotations"]
    assert [note["id"] for note in notes] == [1, 2, 3]
    assert {note["image_id"] for note in notes} == {42}
    assert [note["category_id"] for note in notes] == [1, 3, 2]
    assert all(note["iscrowd"] == 0 for note in notes)


def test_another_number_for_uncertain_pixels():
    mask = torch.tensor([[0, -1, 2]])
    content = coco_dataset([CocoImage("a", (1, 3), mask)], CLASSES, ignore_index=-1)
    assert [note["category_id"] for note in content["annotations"]] == [2]


def test_of_300_labels_none_is_taken_for_uncertain():
    names = [str(number) for number in range(300)]
    mask = torch.tensor([[255, 254, -1]])
    content = coco_dataset([CocoImage("a", (1, 3), mask)], names)
    assert [note["category_id"] for note in content["annotations"]] == [254, 255]
    few = coco_dataset([CocoImage("a", (1, 2), mask[:, :2])], names[:254])
    assert [note["category_id"] for note in few["annotations"]] == [254]


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_label_is_no_number_for_uncertain_pixels(number):
    with pytest.raises(ValueError, match="^Expected ignore_index") as raised:
        coco_dataset([ONE], CLASSES, ignore_index=number)
    assert str(raised.value) == (
        f"Expected ignore_index to be outside 0 to the number of labels (3), but got {number}."
    )


def test_a_box_is_cut_to_the_image():
    wide = Proposal(label=0, box=(-3, 2, 99, 99), score=1.0)
    content = coco_dataset([CocoImage("a", SIZE, proposals=[wide])], CLASSES)
    assert content["annotations"][0]["bbox"] == [0, 2, 8, 4]


def test_no_image():
    content = coco_dataset([], CLASSES)
    assert content["images"] == content["annotations"] == coco_results(content) == []
    assert len(content["categories"]) == 3


ONE = CocoImage("a.jpg", SIZE, numbers((2, 0, 1, 0, 1)))
WRONG = {
    "a mask's number": (
        lambda: coco_dataset([ONE], ["cat"]),
        ValueError,
        "Expected a label to be an integer from 0 to 0, but got 1.",
    ),
    "a label": (
        lambda: coco_dataset(
            [CocoImage("a", SIZE, proposals=[Proposal(3, (0, 0, 1, 1), 1.0)])], CLASSES
        ),
        ValueError,
        "Expected a label to be an integer from 0 to 2, but got 3.",
    ),
    "a box outside": (
        lambda: coco_dataset(
            [CocoImage("a", SIZE, proposals=[Proposal(0, (20, 0, 30, 1), 1.0)])], CLASSES
        ),
        ValueError,
        "Expected a box to be in the image of size (6, 8), but got (20, 0, 30, 1).",
    ),
    "names twice": (
        lambda: coco_dataset([ONE], ["cat", "cat"]),
        ValueError,
        "Expected classes to be different from each other, but got 'cat' twice.",
    ),
    "ids twice": (
        lambda: coco_dataset([ONE], CLASSES, category_ids=[1, 7, 7]),
        ValueError,
        "Expected category_ids to be different from each other, but got 7 twice.",
    ),
    "too few ids": (
        lambda: coco_dataset([ONE], CLASSES, category_ids=[1]),
        ValueError,
        "Expected category_ids to be one for each of the 3 classes, but got 1.",
    ),
    "images twice": (
        lambda: coco_dataset([CocoImage("a", SIZE, image_id=2), CocoImage("b", SIZE)], CLASSES),
        ValueError,
        "Expected image_id to be different from each other, but got 2 twice.",
    ),
    "parts": (
        lambda: coco_dataset([ONE], CLASSES, parts="pixel"),
        ValueError,
        "Expected parts to be one of 'label', 'component', but got 'pixel'.",
    ),
    "one name": (
        lambda: coco_dataset([ONE], "cat"),
        TypeError,
        "Expected classes to be a list of names, but got 'cat' (str).",
    ),
    "no CocoImage": (
        lambda: coco_dataset(["a.jpg"], CLASSES),
        TypeError,
        "Expected images to be a sequence of CocoImage, but got 'a.jpg' (str).",
    ),
    "name": (
        lambda: CocoImage(7, SIZE),
        TypeError,
        "Expected file_name to be a string, but got 7.",
    ),
    "size": (
        lambda: CocoImage("a", (0, 8)),
        ValueError,
        "Expected size to be an integer of at least 1, but got 0.",
    ),
    "id": (
        lambda: CocoImage("a", SIZE, image_id=-1),
        ValueError,
        "Expected image_id to be an integer of at least 0, but got -1.",
    ),
    "mask's size": (
        lambda: CocoImage("a", (6, 9), FIRST),
        ValueError,
        "Expected mask to be of shape (6, 9), but got (6, 8).",
    ),
    "mask's dtype": (
        lambda: CocoImage("a", SIZE, FIRST.float()),
        TypeError,
        "Expected mask to be an integer tensor (H,W), but got a tensor of shape (6, 8) and dtype "
        "torch.float32.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    make, kind, text = WRONG[name]
    with pytest.raises(kind, match="^Expected") as raised:
        make()
    assert str(raised.value) == text
