"""The colours of VOC's palette."""

import pytest
import torch
from PIL import Image

from captum_cluster.functional.weak.palette import voc_palette


def test_the_palette_is_that_of_the_development_kit():
    def colour(number):
        """VOClabelcolormap, line by line."""
        red = green = blue = 0
        for shift in range(7, -1, -1):
            red |= ((number >> 0) & 1) << shift
            green |= ((number >> 1) & 1) << shift
            blue |= ((number >> 2) & 1) << shift
            number >>= 3
        return [red, green, blue]

    palette = voc_palette()
    assert palette.dtype == torch.uint8
    assert palette.tolist() == [colour(number) for number in range(256)]
    assert len({tuple(row) for row in palette.tolist()}) == 256


@pytest.mark.parametrize(
    ("number", "colour"),
    [
        (0, (0, 0, 0)),
        (8, (64, 0, 0)),
        (12, (64, 0, 128)),
        (20, (0, 64, 128)),
        (255, (224, 224, 192)),
    ],
)
def test_known_colours(number, colour):
    assert tuple(voc_palette()[number].tolist()) == colour


@pytest.mark.realdata
def test_the_palette_is_that_of_a_mask_of_voc(data_folder):
    masks = data_folder / "voc" / "VOCdevkit" / "VOC2012" / "SegmentationClass"
    with Image.open(sorted(masks.glob("*.png"))[0]) as mask:
        assert mask.getpalette() == voc_palette().flatten().tolist()
