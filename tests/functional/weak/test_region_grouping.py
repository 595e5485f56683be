"""Selective search on given regions, against pixels and pairs one at a time."""

import numpy as np
import pytest
import torch

from captum_cluster.functional.weak.region_grouping import (
    MEASURES,
    describe_regions,
    group_regions,
)
from tests.helpers import proposal_references as ref


def scene(seed, size=(9, 10), regions=7, channels=3):
    """Regions around random places, and an image that follows them."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(regions, 2, generator=generator) * torch.tensor(size)
    places = torch.stack(
        torch.meshgrid(*(torch.arange(s) + 0.5 for s in size), indexing="ij"), dim=-1
    )
    segments = torch.cdist(places.reshape(-1, 2), centres).argmin(dim=1).reshape(size)
    base = torch.rand(channels, regions, generator=generator)[:, segments]
    noise = torch.rand(channels, *size, generator=generator)
    return segments * 3 + 2, (0.7 * base + 0.3 * noise).double()


def test_regions_are_the_reference():
    segments, image = scene(0)
    regions = describe_regions(segments, image)
    gradients = ref.textures(image)
    for number, name in enumerate(segments.unique().tolist()):
        part = list(map(tuple, np.argwhere((segments == name).numpy()).tolist()))
        assert regions.sizes[number] == len(part)
        assert tuple(regions.boxes[number].tolist()) == ref.box_around(part)
        colour = ref.histogram(part, list(image.numpy()), 25)
        assert regions.colour[number].tolist() == pytest.approx(colour)
        texture = ref.histogram(part, gradients, 10)
        assert regions.texture[number].tolist() == pytest.approx(texture)
    assert regions.pixels == 90


def test_neighbours_share_an_edge():
    segments = torch.tensor([[4, 4, 9], [7, 4, 9], [7, 7, 4]])
    regions = describe_regions(segments, torch.zeros(1, 3, 3))
    # 4 is in two parts; 9 and 7 touch it, and each other only at a corner
    assert regions.neighbours.tolist() == [[0, 1], [0, 2]]


@pytest.mark.parametrize(
    "measures",
    [MEASURES, MEASURES[1:], ("colour",), ("texture",), ("size",), ("fill",), ("size", "fill")],
    ids="+".join,
)
@pytest.mark.parametrize("seed", [1, 2])
def test_groups_are_the_reference(measures, seed):
    segments, image = scene(seed)
    found = group_regions(describe_regions(segments, image), measures=measures)
    assert [tuple(box) for box in found.tolist()] == ref.selective_search(segments, image, measures)


def test_another_number_of_channels():
    segments, image = scene(3, channels=1)
    found = group_regions(describe_regions(segments, image))
    assert [tuple(box) for box in found.tolist()] == ref.selective_search(segments, image, MEASURES)


def test_one_region():
    regions = describe_regions(torch.full((3, 4), 8), torch.rand(3, 3, 4))
    assert group_regions(regions).tolist() == [[0, 0, 4, 3]]
    assert regions.neighbours.shape == (0, 2)


def test_many_regions_end_as_the_whole_image():
    segments = torch.arange(30 * 40).reshape(30, 40)
    image = torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(0))
    boxes = group_regions(describe_regions(segments, image))
    assert boxes.shape == (2 * 1200 - 1, 4)
    assert boxes[-1].tolist() == [0, 0, 40, 30]
    assert (boxes[:, :2] < boxes[:, 2:]).all()


def test_a_flat_image_has_no_texture():
    # Rounding of the filter on a flat channel would be blown up to textures.
    regions = describe_regions(torch.arange(48).reshape(6, 8) // 16, torch.full((3, 6, 8), 0.1))
    assert torch.equal(regions.texture, regions.texture[:1].expand(3, -1))
    assert regions.texture[0, ::10].sum() == pytest.approx(1)


def test_precision_and_input():
    segments, image = scene(4)
    before = segments.clone(), image.clone()
    double = group_regions(describe_regions(segments, image))
    assert torch.equal(group_regions(describe_regions(segments.int(), image)), double)
    assert torch.equal(segments, before[0])
    assert torch.equal(image, before[1])


SEGMENTS, IMAGE = torch.zeros(2, 3, dtype=torch.long), torch.zeros(3, 2, 3)


@pytest.mark.parametrize(
    ("segments", "image", "error", "text"),
    [
        (
            SEGMENTS,
            IMAGE[:, :1],
            ValueError,
            "Expected segments and image to be of shapes (H,W) and (C,H,W), "
            "but got (2, 3) and (3, 1, 3).",
        ),
        (
            SEGMENTS[:0],
            IMAGE[:, :0],
            ValueError,
            "Expected segments and image to be of shapes (H,W) and (C,H,W), "
            "but got (0, 3) and (3, 0, 3).",
        ),
        (
            SEGMENTS.float(),
            IMAGE,
            TypeError,
            "Expected segments to be a tensor of integers, "
            "but got a tensor of shape (2, 3) and dtype torch.float32.",
        ),
        (
            SEGMENTS,
            IMAGE / 0,
            ValueError,
            "Expected image to be finite, but got NaN at index [0, 0, 0].",
        ),
    ],
    ids=["shapes", "empty", "floats", "nan"],
)
def test_what_is_no_segmentation(segments, image, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        describe_regions(segments, image)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("measures", "error", "text"),
    [
        (
            (),
            ValueError,
            "Expected measures to be at least one of 'colour', 'texture', 'size', 'fill', "
            "but got ().",
        ),
        (
            "size",
            ValueError,
            "Expected measures to be at least one of 'colour', 'texture', 'size', 'fill', "
            "but got 'size'.",
        ),
        (
            ("shape",),
            ValueError,
            "Expected measures to be one of 'colour', 'texture', 'size', 'fill', but got 'shape'.",
        ),
        (
            (1,),
            TypeError,
            "Expected measures to be one of 'colour', 'texture', 'size', 'fill', but got 1.",
        ),
    ],
    ids=["none", "string", "unknown", "number"],
)
def test_what_is_no_measure(measures, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        group_regions(describe_regions(SEGMENTS, IMAGE), measures=measures)
    assert str(raised.value) == text
