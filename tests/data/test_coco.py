import importlib.util
import json
import sys

import numpy as np
import pytest
import torch

from captum_cluster.data import CocoScenes
from tests.helpers.trees import check_dataset, write_picture, write_text

# pycocotools 2.0 with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
HERE = importlib.util.find_spec("pycocotools") is not None
needs_pycocotools = pytest.mark.skipif(not HERE, reason="pycocotools is not installed")


def note(number, image, category, *, box, outline=None, crowd=0):
    x, y, width, height = box
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": list(box),
        "area": width * height,
        "iscrowd": crowd,
        "segmentation": [corners] if outline is None else outline,
    }


def run_lengths(mask):
    """COCO's uncompressed run lengths of a mask (H,W), column by column, zeros first."""
    flat = np.asarray(mask, dtype=int).T.flatten()
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    bounds = [0, *changes, len(flat)]
    return {"size": list(np.shape(mask)), "counts": np.diff(bounds).tolist()}


def instances():
    """Three pictures of 6 x 8: two persons that overlap and a cat in a crowd; a crowd; nothing."""
    images = [
        {"id": number, "file_name": f"00{number}.jpg", "height": 6, "width": 8}
        for number in (9, 7, 8)
    ]
    crowd = np.zeros((6, 8))
    crowd[:, 4:] = 1
    notes = [
        note(1, 7, 90, box=(0, 0, 3, 3)),
        note(2, 7, 90, box=(1, 1, 3, 3)),
        note(3, 7, 5, box=(6, 4, 2, 2)),
        note(4, 7, 90, box=(4, 0, 4, 6), outline=run_lengths(crowd), crowd=1),
        note(5, 8, 5, box=(4, 0, 4, 6), outline=run_lengths(crowd), crowd=1),
    ]
    categories = [{"id": 90, "name": "person"}, {"id": 5, "name": "cat"}]
    return {"images": images, "annotations": notes, "categories": categories}


@pytest.fixture
def tree(tmp_path):
    for number in (7, 8, 9):
        write_picture(tmp_path / f"images/00{number}.jpg", seed=number)
    return tmp_path


def opened(tree, content):
    return CocoScenes(tree / "images", write_text(tree / "instances.json", json.dumps(content)))


@needs_pycocotools
def test_objects_labels_and_crowds(tree, capsys):
    dataset = opened(tree, instances())
    assert capsys.readouterr().out == ""
    assert dataset.classes == ["cat", "person"]
    first, second, third = check_dataset(dataset)
    assert [first.name, second.name, third.name] == ["007", "008", "009"]
    assert first.present == [0, 1]
    one, two, cat = torch.zeros(3, 6, 8, dtype=torch.bool)
    one[0:3, 0:3] = two[1:4, 1:4] = cat[4:6, 6:8] = True
    assert torch.equal(first.objects, torch.stack([one, two, cat]))
    assert torch.equal(first.region(1), one | two)
    assert torch.equal(first.region(0), cat)
    assert first.boxes == (
        (1, 0.0, 0.0, 3.0, 3.0),
        (1, 1.0, 1.0, 4.0, 4.0),
        (0, 6.0, 4.0, 8.0, 6.0),
    )
    crowd = torch.zeros(6, 8, dtype=torch.bool)
    crowd[:, 4:] = True
    assert torch.equal(first.ignore, crowd & ~cat)
    assert torch.equal(second.ignore, crowd)
    assert (second.present, second.region(0), second.boxes) == ([0], None, ())
    assert (third.present, third.ignore) == ([], None)


@needs_pycocotools
def test_the_numbers_and_files_of_the_annotations(tree):
    dataset = opened(tree, instances())
    assert [dataset.image_id(number) for number in range(3)] == [7, 8, 9]
    assert dataset.category_ids == [5, 90]
    assert dataset.picture_of(1).path == tree / "images/008.jpg"


@needs_pycocotools
def test_names_of_pictures_that_differ_in_their_suffix_alone(tree):
    content = instances()
    write_picture(tree / "images/007.png")
    content["images"][2]["file_name"] = "007.png"
    assert [scene.name for scene in check_dataset(opened(tree, content))] == [
        "007.jpg",
        "007.png",
        "009",
    ]


@needs_pycocotools
def test_damaged_annotations_are_named(tree):
    content = instances()
    content["annotations"][0]["category_id"] = 3
    content["annotations"][4]["segmentation"] = {"size": [6, 8], "counts": None}
    dataset = opened(tree, content)
    with pytest.raises(ValueError, match="one of the categories, but got 3 in annotation 1"):
        dataset[0]
    with pytest.raises(ValueError, match="polygons or run lengths, but got annotation 5: "):
        dataset[1]
    content = instances()
    content["annotations"][0]["segmentation"] = [["x", 1, 2, 3, 4, 5]]
    with pytest.raises(ValueError, match="polygons or run lengths, but got annotation 1: "):
        opened(tree, content)[0]


@needs_pycocotools
def test_sizes_that_do_not_belong_together_are_named(tree):
    content = instances()
    content["images"][1]["height"] = 7
    with pytest.raises(ValueError, match="polygons or run lengths, but got annotation 4: "):
        opened(tree, content)[0]
    del content["annotations"][3]
    with pytest.raises(ValueError, match=r"width \(6, 8\), but got \(7, 8\) for '.*007\.jpg'"):
        opened(tree, content)[0]


@needs_pycocotools
@pytest.mark.parametrize("text", ["", "[1, 2]", '{"images": [{}]}'])
def test_no_json_of_cocos_form(tree, text):
    path = write_text(tree / "instances.json", text)
    with pytest.raises(
        ValueError, match=r"a JSON file in COCO's form, but got '.*instances\.json'"
    ):
        CocoScenes(tree / "images", path)


def test_what_is_not_there(tree):
    with pytest.raises(FileNotFoundError, match="images to be an existing folder"):
        CocoScenes(tree / "no", tree / "no.json")
    with pytest.raises(FileNotFoundError, match="annotations to be an existing file"):
        CocoScenes(tree / "images", tree / "no.json")


def test_without_pycocotools_the_command_is_told(tree, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    path = write_text(tree / "instances.json", json.dumps(instances()))
    with pytest.raises(ImportError, match=r"pycocotools.*pip install 'captum-cluster\[coco\]'"):
        CocoScenes(tree / "images", path)
