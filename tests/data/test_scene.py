import dataclasses
import math

import pytest
import torch

from captum_cluster.data import Scene, collate_scenes


def make_scene(labels=3, height=4, width=5, name="", **options):
    masks = torch.zeros(labels, height, width, dtype=torch.bool)
    masks[1, 1:3, 2:5] = True
    return Scene(torch.rand(3, height, width), masks.flatten(1).any(1), masks, name, **options)


def test_present_lists_the_labels_in_ascending_order():
    masks = torch.zeros(4, 2, 2, dtype=torch.bool)
    scene = Scene(torch.zeros(3, 2, 2), torch.tensor([True, False, False, True]), masks)
    assert scene.present == [0, 3]


def test_boxes_are_tight_and_end_one_past_the_last_pixel():
    scene = make_scene()
    assert scene.boxes_of(1) == [(2, 1, 5, 3)]
    ((x0, y0, x1, y1),) = scene.boxes_of(1)
    mask = scene.masks[1]
    assert mask[y0:y1, x0:x1].all()
    assert int(mask[y0:y1, x0:x1].sum()) == int(mask.sum())


def test_box_spans_all_objects_of_a_label():
    masks = torch.zeros(1, 6, 8, dtype=torch.bool)
    masks[0, 0, 1] = masks[0, 5, 6] = True
    scene = Scene(torch.zeros(3, 6, 8), torch.tensor([True]), masks)
    assert scene.boxes_of(0) == [(1, 0, 7, 6)]


def test_annotated_boxes_come_before_the_tight_one():
    scene = make_scene(boxes=[(1, 0, 0, 1, 1), (1, 2.5, 1, 5, 4)])
    assert scene.boxes == ((1, 0.0, 0.0, 1.0, 1.0), (1, 2.5, 1.0, 5.0, 4.0))
    assert scene.boxes_of(1) == [(0.0, 0.0, 1.0, 1.0), (2.5, 1.0, 5.0, 4.0)]
    assert scene.boxes_of(0) == []


@pytest.mark.parametrize("masks", [None, {}, torch.zeros(1, 2, 2).bool()])
def test_present_label_without_annotation_has_no_place(masks):
    scene = Scene(torch.zeros(3, 2, 2), torch.tensor([True]), masks)
    assert scene.present == [0]
    assert scene.boxes_of(0) == []
    assert scene.region(0) is None
    assert scene.mask(0).shape == (2, 2)
    assert not scene.mask(0).any()
    assert scene.things().shape == (0, 2, 2)
    assert torch.equal(scene.label_map(), torch.zeros(2, 2, dtype=torch.int64))


def test_region_is_the_mask_where_there_is_one():
    scene = make_scene(boxes=[(1, 0, 0, 5, 4)])
    assert torch.equal(scene.region(1), scene.masks[1])


def test_region_is_the_union_of_the_boxes_where_there_is_no_mask():
    boxes = [(0, 0.5, 0.0, 2.4, 1.0), (0, 3.0, 1.6, 4.0, 3.0)]
    scene = Scene(torch.zeros(3, 3, 4), torch.tensor([True, False]), boxes=boxes)
    # Centres: 0.5 is inside from 0.5 on, 2.5 is outside up to 2.4; row 1's centre 1.5 is outside.
    wanted = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]).bool()
    assert torch.equal(scene.region(0), wanted)
    assert scene.region(1) is None


def test_a_box_between_the_centres_of_pixels_has_no_region():
    scene = Scene(torch.zeros(3, 3, 4), torch.tensor([True]), boxes=[(0, 0.6, 0.6, 0.9, 0.9)])
    assert scene.region(0) is None
    assert len(scene.boxes_of(0)) == 1


def test_masks_by_label_are_those_of_the_tensor():
    dense = make_scene()
    sparse = Scene(dense.image, dense.labels, {1: dense.masks[1]})
    assert torch.equal(sparse.dense_masks(), dense.masks)
    for label in range(3):
        assert torch.equal(sparse.mask(label), dense.mask(label))
    assert sparse.boxes_of(1) == dense.boxes_of(1)
    assert torch.equal(sparse.label_map(), dense.label_map())
    assert torch.equal(collate_scenes([sparse])[2], collate_scenes([dense])[2])


def test_mask_of_no_label():
    with pytest.raises(ValueError, match="Expected label to be an integer from 0 to 2, but got 3"):
        make_scene().mask(3)


def test_things_are_the_objects_else_masks_else_boxes():
    objects = torch.zeros(3, 4, 5, dtype=torch.bool)
    objects[0, 0, 0] = objects[2, 3, 3] = True
    assert torch.equal(make_scene(objects=objects).things(), objects[[0, 2]])
    scene = make_scene()
    assert torch.equal(scene.things(), scene.masks[1:2])
    boxes = [(0, 0, 0, 1, 1), (0, 2, 2, 3, 3), (1, 0, 0, 5, 4)]
    mixed = Scene(
        torch.zeros(3, 4, 5), torch.tensor([True, True]), {1: scene.masks[1]}, boxes=boxes
    )
    things = mixed.things()
    assert [thing.nonzero().tolist() for thing in things[:2]] == [[[0, 0]], [[2, 2]]]
    assert torch.equal(things[2:], scene.masks[1:2])


def test_label_map_gives_shared_pixels_to_the_smaller_label():
    masks = torch.zeros(3, 2, 3, dtype=torch.bool)
    masks[0, 0] = True
    masks[1] = True
    masks[2, 0, 0] = True
    ignore = torch.zeros(2, 3, dtype=torch.bool)
    ignore[1, 2] = True
    labels = torch.ones(3, dtype=torch.bool)
    scene = Scene(torch.zeros(3, 2, 3), labels, masks, ignore=ignore)
    assert scene.label_map().tolist() == [[3, 1, 1], [2, 2, 255]]
    assert scene.label_map(ignore_index=-1).tolist() == [[3, 1, 1], [2, 2, -1]]
    with pytest.raises(ValueError, match=r"outside 0 to the number of labels \(3\), but got 3"):
        scene.label_map(ignore_index=3)


def test_scene_is_frozen_and_hashable():
    scene = make_scene()
    with pytest.raises(dataclasses.FrozenInstanceError):
        scene.name = "other"
    assert scene in {scene}
    assert scene != make_scene()


GOOD = {
    "image": torch.zeros(3, 4, 5),
    "labels": torch.tensor([False, True]),
    "masks": torch.zeros(2, 4, 5, dtype=torch.bool),
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": [0]}, TypeError, "Expected image to be a float tensor, but got"),
        ({"image": torch.zeros(3, 4, 5).byte()}, TypeError, "Expected image to be a float tensor"),
        ({"labels": torch.zeros(2)}, TypeError, "Expected labels to be a bool tensor"),
        ({"masks": torch.zeros(2, 4, 5)}, TypeError, "Expected masks to be a bool tensor"),
        ({"name": 3}, TypeError, "Expected name to be a string"),
        ({"masks": {0: torch.zeros(4, 5)}}, TypeError, r"Expected masks\[0\] to be a bool tensor"),
        ({"ignore": torch.zeros(4, 5)}, TypeError, "Expected ignore to be a bool tensor"),
        ({"objects": [1]}, TypeError, "Expected objects to be a bool tensor"),
        ({"boxes": [(0, 1, 2)]}, TypeError, r"tuples \(label, x0, y0, x1, y1\), but got \(0, 1, 2"),
        ({"boxes": [(0.5, 0, 0, 1, 1)]}, TypeError, "boxes to be tuples with an integer label"),
        ({"boxes": [(0, 0, 0, 1, 1)]}, ValueError, "boxes to be of labels that are present"),
        ({"boxes": [(1, 0, 0, 6, 1)]}, ValueError, r"image of 5 x 4 pixels, but got \(1, 0, 0, 6"),
        ({"boxes": [(1, 2, 0, 2, 1)]}, ValueError, "with x0 < x1 and y0 < y1 inside the image"),
        ({"boxes": [(1, 0, 0, math.nan, 1)]}, ValueError, "with x0 < x1 and y0 < y1 inside"),
        ({"ignore": torch.zeros(4, 4).bool()}, ValueError, r"ignore to be of shape \(H,W\)"),
        ({"objects": torch.zeros(4, 5).bool()}, ValueError, r"objects to be of shape \(M,H,W\)"),
        ({"masks": {0: torch.zeros(4, 4).bool()}}, ValueError, r"masks\[0\] to be of shape \(H,W"),
        ({"masks": {0: torch.ones(4, 5).bool()}}, ValueError, r"pixels of the absent labels \[0\]"),
        ({"masks": {7: torch.ones(4, 5).bool()}}, ValueError, r"pixels of the absent labels \[7\]"),
        ({"image": torch.zeros(1, 4, 5)}, ValueError, r"shape \(3,H,W\), but got \(1, 4, 5\)"),
        ({"image": torch.zeros(3, 0, 5)}, ValueError, r"shape \(3,H,W\), but got \(3, 0, 5\)"),
        ({"labels": torch.zeros(2, 1).bool()}, ValueError, r"labels to be of shape \(L,\)"),
        ({"masks": torch.zeros(3, 4, 5).bool()}, ValueError, r"here \(2, 4, 5\), but got \(3, 4"),
        ({"masks": torch.zeros(2, 5, 4).bool()}, ValueError, r"here \(2, 4, 5\), but got \(2, 5"),
        (
            {"image": torch.full((3, 4, 5), 1.5)},
            ValueError,
            r"image to be in \[0,1\].*1\.5 to 1\.5",
        ),
        ({"image": torch.full((3, 4, 5), -0.5)}, ValueError, r"image to be in \[0,1\]"),
        ({"image": torch.full((3, 4, 5), torch.nan)}, ValueError, "image to be finite"),
        (
            {"masks": torch.ones(2, 4, 5).bool(), "labels": torch.zeros(2).bool()},
            ValueError,
            r"pixels of the absent labels \[0, 1\]",
        ),
    ],
)
def test_misfits_are_named(change, error, message):
    Scene(**GOOD)
    with pytest.raises(error, match=message):
        Scene(**(GOOD | change))


def test_collate_stacks_in_order():
    scenes = [make_scene(), make_scene(), make_scene()]
    images, labels, masks = collate_scenes(scenes)
    for number, scene in enumerate(scenes):
        assert torch.equal(images[number], scene.image)
        assert torch.equal(labels[number], scene.labels)
        assert torch.equal(masks[number], scene.masks)
    assert (labels.dtype, masks.dtype) == (torch.bool, torch.bool)


def test_collate_names_the_sizes_that_differ():
    with pytest.raises(ValueError, match=r"one size, but got sizes .* \(3, 4, 5\), \(3, 4, 6\)"):
        collate_scenes([make_scene(), make_scene(width=6)])
    with pytest.raises(ValueError, match="one size, but got no scene"):
        collate_scenes([])
