"""Candidate boxes: scikit-image's regions, merged, in a fixed order."""

import sys

import pytest
import torch

from captum_cluster.data import DigitScenes
from captum_cluster.functional.metrics import tight_box
from captum_cluster.functional.metrics.proposals import box_iou
from captum_cluster.functional.weak.region_grouping import describe_regions, group_regions
from captum_cluster.weak import candidate_boxes

segmentation = pytest.importorskip("skimage.segmentation")

ONE = {"scale": 50, "colours": ["rgb"], "measures": [["colour", "size"]]}


def two_tones():
    """A bright rectangle on a dark ground."""
    image = torch.full((3, 40, 50), 0.2)
    image[:, 10:20, 5:30] = 0.9
    return image


def rows(boxes):
    return [tuple(box) for box in boxes.tolist()]


def test_the_object_is_a_candidate_and_the_image_is_the_first():
    image = two_tones()
    boxes = candidate_boxes(image)
    assert boxes.dtype == torch.int64
    assert rows(boxes)[0] == (0, 0, 50, 40)
    assert (5, 10, 30, 20) in rows(boxes)
    assert len(set(rows(boxes))) == len(boxes)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= torch.tensor([50, 40])).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()


def test_one_hierarchy_from_its_top():
    image = DigitScenes(1)[0].image
    segments = segmentation.felzenszwalb(
        image.permute(1, 2, 0).double().numpy(), scale=50, sigma=0.5, min_size=7
    )
    regions = describe_regions(torch.from_numpy(segments), image.double())
    made = rows(group_regions(regions, measures=["colour", "size"]))
    found = candidate_boxes(image, sigma=0.5, min_size=7, **ONE)
    assert rows(found) == list(dict.fromkeys(reversed(made)))


def test_several_ways_are_joined_rank_by_rank():
    image = DigitScenes(2)[1].image
    ways = [
        {**ONE, "colours": [colours], "scale": scale}
        for colours in ("hsv", "lab")
        for scale in (30, 60)
    ]
    alone = [rows(candidate_boxes(image, **way)) for way in ways]
    joined = rows(candidate_boxes(image, **{**ONE, "colours": ("hsv", "lab"), "scale": (30, 60)}))
    assert set(joined) == set().union(*alone)
    # what is high in some hierarchy comes early
    assert all(joined.index(way[1]) < len(joined) / 2 for way in alone)


def test_nothing_is_random_and_nothing_is_changed():
    image = DigitScenes(3)[2].image
    before, state = image.clone(), torch.get_rng_state()
    first = candidate_boxes(image, **ONE)
    assert torch.equal(first, candidate_boxes(image.double().requires_grad_(), **ONE))
    assert torch.equal(image, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_sides_and_limit():
    image = DigitScenes(4)[3].image
    every = candidate_boxes(image, **ONE)
    large = candidate_boxes(image, min_side=12, **ONE)
    assert rows(large) == [
        box for box in rows(every) if box[2] - box[0] >= 12 and box[3] - box[1] >= 12
    ]
    assert 1 < len(large) < len(every)
    assert torch.equal(candidate_boxes(image, min_side=12, limit=2, **ONE), large[:2])


def test_the_least_size_follows_the_scale_and_the_image():
    image = DigitScenes(5)[4].image  # 64 x 64: a 400th is 10 pixels
    assert torch.equal(candidate_boxes(image, **ONE), candidate_boxes(image, min_size=10, **ONE))
    fine = {**ONE, "scale": 3}
    assert torch.equal(candidate_boxes(image, **fine), candidate_boxes(image, min_size=3, **fine))


@pytest.mark.parametrize("colours", ["rgb", "hsv", "lab", "grey"])
def test_each_colour_space(colours):
    boxes = candidate_boxes(two_tones(), **{**ONE, "colours": [colours]})
    assert (5, 10, 30, 20) in rows(boxes)


def test_a_colour_that_grey_does_not_see():
    image = two_tones()
    image[:] = 0.5
    image[0, 10:20, 5:30] = 0.9
    image[1, 10:20, 5:30] -= 0.4 * 0.2125 / 0.7154  # as bright as the rest
    assert len(candidate_boxes(image, **{**ONE, "colours": ["grey"]})) == 1
    assert (5, 10, 30, 20) in rows(candidate_boxes(image, **{**ONE, "colours": ["lab"]}))


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 1), (2, 2)], ids=str)
def test_tiny_and_flat_images(size):
    boxes = candidate_boxes(torch.full((3, *size), 0.3))
    assert rows(boxes) == [(0, 0, size[1], size[0])]


def test_an_object_of_one_pixel():
    image = torch.zeros(3, 12, 12)
    image[:, 4, 7] = 1.0
    boxes = candidate_boxes(image, sigma=0, min_size=1, **{**ONE, "scale": 0.1})
    assert (7, 4, 8, 5) in rows(boxes)


def test_digits_are_among_the_candidates():
    best = []
    for scene in list(DigitScenes(6, split="test")):
        boxes = candidate_boxes(scene.image)
        truth = [tight_box(mask) for mask in scene.masks if mask.any()]
        best += box_iou(boxes, truth).amax(dim=0).tolist()
    assert min(best) > 0.5
    assert sum(best) / len(best) > 0.7


IMAGE = torch.zeros(3, 8, 8)


@pytest.mark.parametrize(
    ("image", "options", "error", "text"),
    [
        (IMAGE[:1], {}, ValueError, "Expected image to be of shape (3,H,W), but got (1, 8, 8)."),
        (
            IMAGE.byte(),
            {},
            TypeError,
            "Expected image to be a float tensor (3,H,W), but got a tensor of shape (3, 8, 8) and "
            "dtype torch.uint8.",
        ),
        (IMAGE[:, :0], {}, ValueError, "Expected image to be of shape (3,H,W), but got (3, 0, 8)."),
        (
            IMAGE + 2,
            {},
            ValueError,
            "Expected image to be in [0,1], but got values from 2 to 2.",
        ),
        (
            IMAGE / 0,
            {},
            ValueError,
            "Expected image to be finite, but got NaN at index [0, 0, 0].",
        ),
        (IMAGE, {"scale": 0}, ValueError, "Expected scale to be a number above 0, but got 0."),
        (
            IMAGE,
            {"scale": []},
            ValueError,
            "Expected scale to be a sequence of at least one, but got [].",
        ),
        (
            IMAGE,
            {"sigma": -1},
            ValueError,
            "Expected sigma to be a number of at least 0, but got -1.",
        ),
        (
            IMAGE,
            {"min_size": 0},
            ValueError,
            "Expected min_size to be an integer of at least 1, but got 0.",
        ),
        (
            IMAGE,
            {"min_side": 0},
            ValueError,
            "Expected min_side to be an integer of at least 1, but got 0.",
        ),
        (
            IMAGE,
            {"limit": 0},
            ValueError,
            "Expected limit to be an integer of at least 1, but got 0.",
        ),
        (
            IMAGE,
            {"colours": "rgb"},
            ValueError,
            "Expected colours to be a sequence of at least one, but got 'rgb'.",
        ),
        (
            IMAGE,
            {"colours": ["cmyk"]},
            ValueError,
            "Expected colours to be one of 'rgb', 'hsv', 'lab', 'grey', but got 'cmyk'.",
        ),
        (
            IMAGE,
            {"measures": []},
            ValueError,
            "Expected measures to be a sequence of at least one, but got [].",
        ),
        (
            IMAGE,
            {"measures": ["size"]},
            ValueError,
            "Expected measures to be at least one of 'colour', 'texture', 'size', 'fill', "
            "but got 'size'.",
        ),
    ],
    ids=[
        "channels", "bytes", "empty", "range", "nan", "scale", "no scale", "sigma", "min_size",
        "min_side", "limit", "colours a string", "colours", "no measures", "measures flat",
    ],
)  # fmt: skip
def test_what_is_refused(image, options, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        candidate_boxes(image, **options)
    assert str(raised.value) == text


def test_without_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.color", None)
    with pytest.raises(ImportError, match="^Expected skimage") as raised:
        candidate_boxes(IMAGE)
    assert str(raised.value) == (
        "Expected skimage.color to be installed, but it is not: pip install 'captum-cluster[weak]'."
    )
