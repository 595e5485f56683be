"""Proposals of many images: their files by the standard tools, their values, and errors."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torchvision.datasets import CocoDetection

from captum_cluster.data import open_dataset
from captum_cluster.evaluation.weak_outputs import label_boxes as module
from captum_cluster.functional.metrics import (
    best_overlap_compute,
    best_overlaps,
    corloc,
    corloc_compute,
    proposal_recall_compute,
    proposals_update,
)
from captum_cluster.weak import boxes_of, classifier_scores, component_boxes, object_proposals
from tests.data.test_picture_file import write_turned
from tests.evaluation.weak_outputs.tiny import (
    NAMES,
    coco_tree,
    files,
    loaded,
    maps_by_hand,
    net,
    pictures,
    proposals,
    scene,
    scenes,
    sometimes,
    stopped_at,
)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def by_hand(one, boxes="component", without_maps=False, threshold=None):
    """The proposals of a scene with the public functions alone."""
    if not one.present:
        return []
    maps = maps_by_hand(one)
    if boxes == "component":
        return component_boxes(maps, one.present, threshold=threshold or 0.15, size=one.size)
    return object_proposals(
        one.image,
        None if without_maps else maps,
        one.present,
        score_crops=classifier_scores(net(), size=32),
        threshold_relative=threshold or 0.5,
    )


def found(run):
    """The proposals in a file: by image the label, box and score of each."""
    content = json.loads(run.path.read_text())
    names = {one["id"]: one["file_name"] for one in content["images"]}
    listed = {name: [] for name in names.values()}
    for note in content["annotations"]:
        x, y, width, height = note["bbox"]
        box = (x, y, x + width, y + height)
        listed[names[note["image_id"]]].append((note["category_id"] - 1, box, note["score"]))
    return listed


@pytest.mark.parametrize(
    "options",
    [
        {"boxes": "component"},
        {"boxes": "component", "threshold": 0.6},
        {"boxes": "selective-search"},
        {"boxes": "selective-search", "threshold": 0.9},
        {"boxes": "selective-search", "without_maps": True},
    ],
    ids=str,
)
def test_the_proposals_are_those_of_the_functions(tmp_path, options):
    run = proposals(tmp_path, **options)
    listed = found(run)
    pairs, labels, truths = [], [], []
    for one in scenes():
        made = by_hand(one, **options)
        assert listed[f"{one.name}.png"] == [(p.label, p.box, p.score) for p in made]
        for label in one.present:
            pairs.append(boxes_of(made, label))
            labels.append(label)
            truths.append(one.boxes_of(label))
    sums = proposals_update(pairs, labels, truths, num_classes=5)
    assert run.corloc == pytest.approx(float(corloc_compute(sums)))
    assert run.recall == pytest.approx(float(proposal_recall_compute(sums)))
    assert run.best_overlap == pytest.approx(float(best_overlap_compute(sums)))
    assert 0 < run.best_overlap < 1
    assert (run.images, run.empty, run.failed) == (3, 1, ())
    assert run.proposals == sum(map(len, listed.values())) > 0


def whole(name, present, seed=0):
    """A scene whose labels are all over it."""
    one = scene(name, present, seed)
    return dataclasses.replace(one, masks=one.labels[:, None, None].expand(5, 20, 30))


@pytest.mark.parametrize("labels", ["top", "predicted"])
def test_a_label_that_the_image_does_not_have_is_wrong(tmp_path, labels):
    model, explained = net(), [0] if labels == "top" else [0, 3]
    with torch.no_grad():
        model.fc.bias.copy_(torch.tensor([90.0, -50.0, -50.0, 50.0, -50.0]))
    images = [whole("a", [0, 3], 1), whole("b", [4], 2), whole("c", [], 3), whole("d", [0, 1], 4)]
    bare = dataclasses.replace(images[0], masks=torch.zeros(5, 20, 30).bool(), name="e")
    options = {"labels": labels, "probability": "sigmoid", "model": model, "boxes": "component"}
    run = proposals(tmp_path, [*images, bare], **options)
    listed, right = found(run), {label: [] for label in explained}
    for one in images:
        for label in explained:
            made = boxes_of_label(listed[f"{one.name}.png"], label)
            true = one.boxes_of(label)
            right[label].append(bool(true) and bool(corloc([made], [true])[0]))
    shares = [sum(hits) / len(hits) for hits in right.values()]
    assert run.corloc == pytest.approx(sum(shares) / len(shares))
    assert 0 < run.corloc <= 0.5
    # Of the labels that have an object, some are never proposed.
    best = {
        label: [
            float(best_overlaps([boxes_of_label(listed[f"{one.name}.png"], label)], [true])[0])
            for one in images
            for true in [one.boxes_of(label)]
            if true
        ]
        for label in (0, 1, 3, 4)
    }
    assert run.best_overlap == pytest.approx(sum(sum(b) / len(b) for b in best.values()) / 4)
    hits = [sum(iou >= 0.5 for iou in ious) / len(ious) for ious in best.values()]
    assert run.recall == pytest.approx(sum(hits) / 4)
    assert best[4] == [0.0]


def boxes_of_label(listed, label):
    return [box for which, box, _ in listed if which == label]


def test_nothing_proposed_and_nothing_to_find_has_no_numbers(tmp_path):
    model = net()
    with torch.no_grad():
        model.fc.bias.fill_(-90.0)
    options = {"labels": "predicted", "probability": "sigmoid", "boxes": "component"}
    run = proposals(tmp_path, [scene("a", [])], model=model, **options)
    assert (run.corloc, run.recall, run.best_overlap) == (None, None, None)


def test_only_wrong_labels_are_no_success(tmp_path):
    model = net()
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.copy_(torch.arange(5.0))
    run = proposals(tmp_path, [scene("a", [1])], model=model, labels="top", boxes="component")
    assert run.corloc == 0.0


def test_no_map_is_made_without_maps(tmp_path):
    run = proposals(tmp_path, method=sometimes, without_maps=True)
    assert (run.images, run.failed) == (3, ())


def test_boxes_of_large_pictures_are_looked_for_in_smaller_ones(tmp_path):
    one = scene("a", [0, 3], size=(40, 60))
    [listed] = found(proposals(tmp_path / "small", [one], longest=30)).values()
    assert listed
    for _, box, _ in listed:
        assert all(side % 2 == 0 for side in box)
        assert 0 <= box[0] < box[2] <= 60
        assert 0 <= box[1] < box[3] <= 40


def test_the_standard_tools_read_the_files(tmp_path, capsys):
    from pycocotools.coco import COCO

    photos = pictures(tmp_path / "in")
    run = proposals(tmp_path / "out", photos, model=loaded(), preparation=None, boxes="component")
    assert (run.images, len(run.failed), run.corloc) == (4, 1, None)
    opened = CocoDetection(photos, str(run.path))
    assert [image.size for image, _ in opened] == [(20, 12), (20, 12), (10, 16), (14, 9)]
    for image, notes in opened:
        for note in notes:
            x, y, width, height = note["bbox"]
            assert 0 <= x < x + width <= image.size[0]
            assert 0 <= y < y + height <= image.size[1]
    assert [one["name"] for one in opened.coco.cats.values()] == NAMES
    results = COCO(str(run.path)).loadRes(str(run.results))
    assert len(results.anns) == run.proposals == 4


def test_of_a_coco_data_set_images_and_categories_keep_their_numbers(tmp_path, capsys):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    spec, file = coco_tree(tmp_path / "images")
    options = {"model": net(2), "classes": None, "boxes": "component"}
    run = proposals(tmp_path / "out", open_dataset(spec), **options)
    content = json.loads(run.path.read_text())
    assert {(n["image_id"], n["category_id"]) for n in content["annotations"]} == {
        (70, 9),
        (30, 4),
    }
    judged = COCOeval(COCO(str(file)), COCO(str(file)).loadRes(str(run.results)), "bbox")
    judged.evaluate()
    best = {pair: np.max(one) for pair, one in judged.ious.items() if len(one)}
    assert set(best) == {(70, 9), (30, 4)}
    right = np.mean([iou >= 0.5 for iou in best.values()])
    assert run.corloc == pytest.approx(right)


def test_boxes_fit_the_stored_pixels(tmp_path):
    stored = write_turned(tmp_path / "photos" / "a.png", 6, size=(24, 40))
    run = proposals(tmp_path / "out", tmp_path / "photos", boxes="component")
    up = proposals(tmp_path / "up", [scene_of(stored)], boxes="component", labels="top")
    [[(label, box, _)]], [[(other, upright, _)]] = found(run).values(), found(up).values()
    x0, y0, x1, y1 = upright
    assert (label, box) == (other, (y0, 24 - x1, y1, 24 - x0))


def scene_of(stored):
    """The upright scene of a picture that viewers turn to the right."""
    one = scene("a", [], size=(40, 24))
    upright = torch.from_numpy(np.rot90(stored, -1).copy()).permute(2, 0, 1) / 255
    return type(one)(upright.float(), one.labels, name="a")


@pytest.mark.parametrize("call", [1, 2])
def test_a_run_that_was_interrupted_goes_on_to_the_same_files(tmp_path, monkeypatch, call):
    proposals(tmp_path / "whole", boxes="component")
    with (
        stopped_at(monkeypatch, module, "component_boxes", call),
        pytest.raises(KeyboardInterrupt),
    ):
        proposals(tmp_path / "broken", boxes="component")
    assert not (tmp_path / "broken" / "proposals.json").exists()
    proposals(tmp_path / "broken", boxes="component")
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_another_run_is_refused(tmp_path):
    proposals(tmp_path, boxes="component")
    for changed in ({"boxes": "selective-search"}, {"threshold": 0.5}, {"method": "cam"}):
        with pytest.raises(ValueError, match="output to be a directory for this run"):
            proposals(tmp_path, **{"boxes": "component", **changed})


def test_a_method_that_fails_later_is_counted(tmp_path):
    run = proposals(tmp_path, method=sometimes, boxes="component")
    assert (run.images, run.failed) == (2, ("c: RuntimeError: no svd",))


WRONG = {
    "boxes": ({"boxes": "all"}, "boxes to be one of 'selective-search', 'component', but got"),
    "threshold": (
        {"threshold": 2.0, "boxes": "component"}, "threshold to be a number above 0 and at most 1",
    ),
    "peaks": ({"threshold": -0.1}, "threshold to be a number from 0 to 1, but got -0.1"),
    "longest": ({"longest": 0}, "longest to be an integer of at least 1, but got 0"),
    "component": (
        {"boxes": "component", "without_maps": True}, "without_maps to be False with boxes='comp",
    ),
    "threshold of nothing": (
        {"threshold": 0.3, "without_maps": True}, "threshold to be left out without maps, which",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(tmp_path, name):
    options, message = WRONG[name]
    with pytest.raises(ValueError, match="^Expected ") as raised:
        proposals(tmp_path / "out", **options)
    assert message in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_without_scikit_image(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r"pip install 'captum-cluster\[weak\]'"):
        proposals(tmp_path / "out")
    assert proposals(tmp_path / "out", boxes="component").images == 3
