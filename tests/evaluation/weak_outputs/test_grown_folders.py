"""Runs over folders whose pictures come and go."""

import json

import pytest

from captum_cluster.evaluation import read_masks
from captum_cluster.evaluation.weak_outputs import label_boxes
from captum_cluster.evaluation.weak_outputs import mask_tasks as module
from tests.evaluation.weak_outputs.tiny import NAMES, files, masks, net, proposals
from tests.helpers.trees import write_picture


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(("b", "d/e", "f")):
        write_picture(tmp_path / "in" / f"{name}.png", (12, 20), seed=number)
    return tmp_path / "in"


def results(folder):
    """The files that users read."""
    return {name: one for name, one in files(folder).items() if "records" not in name}


def grow(photos):
    """A picture more at the beginning and in the middle, one that goes, and one that fails."""
    write_picture(photos / "a.png", (9, 7), seed=5)
    write_picture(photos / "d" / "d.png", (8, 8), seed=6)
    (photos / "f.png").unlink()
    (photos / "c.png").write_bytes(b"torn")


@pytest.mark.parametrize("form", ["png", "coco"])
def test_a_grown_folder_goes_on(tmp_path, photos, monkeypatch, form):
    options = {"format": form, "background": 0.4}
    masks(tmp_path / "out", photos, **options)
    grow(photos)
    calls, original = [], module.label_mask
    monkeypatch.setattr(module, "label_mask", lambda *a: calls.append(a[0].name) or original(*a))
    run = masks(tmp_path / "out", photos, **options)
    assert calls == ["a", "d/d"]
    fresh = masks(tmp_path / "fresh", photos, **options)
    assert (run.images, run.failed) == (fresh.images, fresh.failed) == (4, run.failed)
    assert [text.split(":")[0] for text in run.failed] == ["c"]
    assert run.uncertain == fresh.uncertain
    assert results(tmp_path / "out") == results(tmp_path / "fresh")
    if form == "png":
        assert read_masks(tmp_path / "out").names() == ["a", "b", "d/d", "d/e"]


def test_the_numbers_of_images_are_those_of_their_places(tmp_path, photos):
    options = {"format": "coco", "background": 0.0}
    masks(tmp_path / "out", photos, **options)
    grow(photos)
    content = json.loads(masks(tmp_path / "out", photos, **options).path.read_text())
    numbers = {one["file_name"]: one["id"] for one in content["images"]}
    # Of "c.png" there is no image, but a place.
    assert numbers == {"a.png": 1, "b.png": 2, "d/d.png": 4, "d/e.png": 5}
    assert {note["image_id"] for note in content["annotations"]} == set(numbers.values())
    assert [note["id"] for note in content["annotations"]] == [1, 2, 3, 4]
    listed = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["image_id"] for one in listed] == [1, 2, 4, 5]


def test_proposals_of_a_grown_folder(tmp_path, photos, monkeypatch):
    proposals(tmp_path / "out", photos, boxes="component")
    grow(photos)
    calls, original = [], label_boxes.component_boxes
    counted = lambda *a, **k: calls.append(1) or original(*a, **k)  # noqa: E731
    monkeypatch.setattr(label_boxes, "component_boxes", counted)
    run = proposals(tmp_path / "out", photos, boxes="component")
    assert (len(calls), run.images, run.proposals) == (2, 4, 4)
    proposals(tmp_path / "fresh", photos, boxes="component")
    assert results(tmp_path / "out") == results(tmp_path / "fresh")


def test_fewer_pictures_and_then_all_again(tmp_path, photos):
    whole = masks(tmp_path / "out", photos)
    before = results(tmp_path / "out")
    assert masks(tmp_path / "out", photos, limit=2).images == 2
    assert read_masks(tmp_path / "out").names() == ["b", "d/e"]
    assert masks(tmp_path / "out", photos) == whole
    assert results(tmp_path / "out") == before


def test_a_picture_whose_name_another_one_makes_longer(tmp_path, photos):
    masks(tmp_path / "out", photos)
    write_picture(photos / "b.jpg", (5, 6))
    run = masks(tmp_path / "out", photos)
    assert read_masks(tmp_path / "out").names() == ["b.jpg", "b.png", "d/e", "f"]
    assert run.images == 4


def test_numbers_of_many_labels_stay_when_a_picture_goes(tmp_path, photos):
    options = {"model": net(1000), "classes": None, "background": 0.0}
    masks(tmp_path / "out", photos, **options)
    found = read_masks(tmp_path / "out")
    kept = {name: found.mask_of(name) for name in ("d/e", "f")}
    (photos / "b.png").unlink()
    write_picture(photos / "a.png", (9, 7), seed=5)
    masks(tmp_path / "out", photos, **options)
    again = read_masks(tmp_path / "out")
    assert again.labels[: len(found.labels)] == found.labels
    for name, mask in kept.items():
        assert again.mask_of(name).equal(mask)


def test_pictures_of_another_folder_are_another_run(tmp_path, photos):
    masks(tmp_path / "out", photos)
    before = files(tmp_path / "out")
    with pytest.raises(ValueError, match="dataset: root "):
        masks(tmp_path / "out", photos / "d")
    with pytest.raises(ValueError, match="classes: "):
        masks(tmp_path / "out", photos, classes=NAMES[::-1])
    assert files(tmp_path / "out") == before
