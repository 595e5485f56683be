"""Scenes with the pixels of masks."""

import pytest
import torch

from captum_cluster.data import DigitScenes, Preparation, Scene
from captum_cluster.training.masked_scenes import MaskedScenes, with_pixels
from captum_cluster.training.sampling import MaskSamples
from tests.helpers.trainings import PLAIN, Blobs, masks_of

SCENES = DigitScenes(3, seed=5)


def test_the_pixels_are_the_masks():
    mask = torch.zeros(8, 8, dtype=torch.uint8)
    mask[2:4, 3] = 4
    mask[0] = 255
    scene = with_pixels(Blobs()[0], mask)
    assert torch.equal(scene.label_map(), mask.long())
    assert scene.present == [3]  # which the mask alone has
    assert scene.boxes is scene.objects is None
    assert torch.equal(scene.image, Blobs()[0].image)
    assert Blobs()[0].present == []


def test_masks_are_a_function_or_a_sequence():
    masks = [masks_of(Blobs()[index]) for index in range(3)]
    for given in (masks, lambda index: masks[index]):
        scenes = MaskedScenes(Blobs(3), given)
        assert len(scenes) == 3
        assert all(torch.equal(scenes[i].label_map(), masks[i]) for i in range(3))


def test_a_mask_of_background_alone_and_one_of_uncertain_pixels():
    for number in (0, 255):
        scene = with_pixels(SCENES[0], torch.full((64, 64), number))
        assert scene.masks == {}
        assert scene.label_map().unique().tolist() == [number]
        assert scene.present == SCENES[0].present


def test_a_mask_is_resized_with_its_image():
    mask = torch.zeros(64, 64, dtype=torch.long)
    mask[:32, 32:] = 3
    mask[32:] = 255
    sample = MaskSamples(MaskedScenes(SCENES, [mask] * 3), Preparation(16))[1]
    small = torch.zeros(16, 16, dtype=torch.long)
    small[:8, 8:] = 3
    small[8:] = 255
    assert torch.equal(sample[1], small)
    assert sample[0].shape == (3, 16, 16)


def test_the_scenes_own_pixels():
    image, mask, index = MaskSamples(SCENES, PLAIN)[2]
    assert torch.equal(mask, SCENES[2].label_map())
    assert torch.equal(image, SCENES[2].image)
    assert index == 2
    with pytest.raises(ValueError, match="the pixels of the labels to be known, of 'blob-1' as of"):
        MaskSamples(Blobs(), PLAIN)[1]


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        (None, TypeError, "masks to be a function of the index, or a sequence of masks"),
        ("ab", TypeError, "masks to be a function of the index, or a sequence of masks"),
        ([torch.zeros(8, 8)], ValueError, "masks to be one for each of the 2 scenes, but got 1"),
    ],
)
def test_what_is_no_masks(masks, error, message):
    with pytest.raises(error, match=message):
        MaskedScenes(Blobs(2), masks)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (None, ValueError, "the mask of 'blob-1' to be there, but got none"),
        (torch.zeros(8, 8), TypeError, "the mask of 'blob-1' to be an integer tensor"),
        (torch.zeros(8, 8).bool(), TypeError, "the mask of 'blob-1' to be an integer tensor"),
        (torch.zeros(8, 7).long(), ValueError, r"the image's size \(8, 8\), but got \(8, 7\)"),
        (torch.full((8, 8), 5), ValueError, r"the number of labels \(4\), or 255, but got 5"),
        (torch.full((8, 8), -1), ValueError, r"the number of labels \(4\), or 255, but got -1"),
    ],
    ids=["none", "float", "bool", "size", "label", "negative"],
)
def test_masks_that_do_not_belong(mask, error, message):
    with pytest.raises(error, match=message):
        MaskedScenes(Blobs(2), lambda index: mask)[1]


def test_of_too_many_labels_one_would_be_taken_for_uncertain():
    def blank(labels):
        return Scene(torch.zeros(3, 1, 2), torch.zeros(labels, dtype=torch.bool))

    mask = torch.tensor([[254, 255]])
    assert torch.equal(with_pixels(blank(254), mask).label_map(), mask)
    with pytest.raises(ValueError, match=r"of at most 254 labels, .* but got 255\."):
        with_pixels(blank(255), mask)
