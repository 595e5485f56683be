import dataclasses

import pytest
import torch

from captum_cluster.data import Scene, collate_scenes


def make_scene(labels=3, height=4, width=5, name=""):
    masks = torch.zeros(labels, height, width, dtype=torch.bool)
    masks[1, 1:3, 2:5] = True
    return Scene(torch.rand(3, height, width), masks.flatten(1).any(1), masks, name)


def test_present_lists_the_labels_in_ascending_order():
    masks = torch.zeros(4, 2, 2, dtype=torch.bool)
    scene = Scene(torch.zeros(3, 2, 2), torch.tensor([True, False, False, True]), masks)
    assert scene.present == [0, 3]


def test_boxes_are_tight_and_end_one_past_the_last_pixel():
    scene = make_scene()
    assert scene.boxes() == [(1, 2, 1, 5, 3)]
    ((label, x0, y0, x1, y1),) = scene.boxes()
    mask = scene.masks[label]
    assert mask[y0:y1, x0:x1].all()
    assert int(mask[y0:y1, x0:x1].sum()) == int(mask.sum())


def test_box_spans_all_objects_of_a_label():
    masks = torch.zeros(1, 6, 8, dtype=torch.bool)
    masks[0, 0, 1] = masks[0, 5, 6] = True
    assert Scene(torch.zeros(3, 6, 8), torch.tensor([True]), masks).boxes() == [(0, 1, 0, 7, 6)]


def test_present_label_without_pixels_has_no_box():
    scene = Scene(torch.zeros(3, 2, 2), torch.tensor([True]), torch.zeros(1, 2, 2).bool())
    assert scene.present == [0]
    assert scene.boxes() == []


def test_scene_is_frozen_and_hashable():
    scene = make_scene()
    with pytest.raises(dataclasses.FrozenInstanceError):
        scene.name = "other"
    assert scene in {scene}
    assert scene != make_scene()


GOOD = {
    "image": torch.zeros(3, 4, 5),
    "labels": torch.zeros(2, dtype=torch.bool),
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
            {"masks": torch.ones(2, 4, 5).bool()},
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
