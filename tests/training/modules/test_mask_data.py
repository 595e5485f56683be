"""Batches of scenes with masks: what they hold, their order and their changes."""

import pytest
import torch

from captum_cluster.data import DigitScenes
from captum_cluster.training import Augmentation
from captum_cluster.training.modules import MaskData, SceneData
from tests.helpers.trainings import PLAIN, Blobs, mask_data, masks_of, scene_data


def test_batches_hold_images_masks_and_numbers():
    seen = []
    for images, masks, index in mask_data().train_dataloader():
        assert masks.dtype == torch.int64
        for image, mask, number in zip(images, masks, index.tolist(), strict=True):
            assert torch.equal(image, Blobs()[number].image)
            assert torch.equal(mask, masks_of(Blobs()[number]))
            seen.append(number)
    assert sorted(seen) == [*range(12)]


def test_order_and_images_are_those_of_scene_data():
    changes = Augmentation(flip=True, scale=(0.5, 1), jitter=0.2)
    own = [*mask_data(augmentation=changes, seed=3).train_dataloader()]
    theirs = [*scene_data(augmentation=changes, seed=3).train_dataloader()]
    for (images, _, index), (others, _, numbers) in zip(own, theirs, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(index, numbers)


def test_masks_are_changed_as_their_images_in_training_alone():
    options = {"augmentation": Augmentation(flip=True), "keep": True}
    data = mask_data(**options)
    mirrored = 0
    for images, masks, index in data.train_dataloader():
        for image, mask, number in zip(images, masks, index.tolist(), strict=True):
            scene = Blobs()[number]
            flipped = not torch.equal(image, scene.image)
            true = masks_of(scene)
            assert torch.equal(mask, true.flip(-1) if flipped else true)
            mirrored += flipped
    assert 0 < mirrored < 12
    for _, masks, index in data.val_dataloader():
        wanted = [masks_of(Blobs()[number]) for number in index.tolist()]
        assert torch.equal(masks, torch.stack(wanted))


def test_the_scenes_own_pixels():
    scenes = DigitScenes(4)
    data = MaskData(scenes, scenes, preparation=PLAIN, batch_size=4)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for _, masks, index in loader:
            wanted = [scenes[number].label_map() for number in index.tolist()]
            assert torch.equal(masks, torch.stack(wanted))


def test_masks_of_some_alone():
    data = MaskData(DigitScenes(4), DigitScenes(2), masks=lambda index: torch.ones(64, 64).int())
    assert next(iter(data.train_dataloader()))[1].unique().tolist() == [1]
    assert len(next(iter(data.val_dataloader()))[1].unique()) > 1
    assert issubclass(MaskData, SceneData)


def test_scenes_of_several_sizes():
    def mask_of(index):
        return torch.zeros(8, 8 if index else 9, dtype=torch.int64)

    with pytest.raises(ValueError, match=r"'blob-0' to be of the image's size \(8, 8\), but got"):
        [*MaskData(Blobs(4), masks=mask_of, batch_size=4).train_dataloader()]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"val_masks": []}, ValueError, "val_masks to be None where val is, but got masks"),
        ({"masks": 3}, TypeError, "masks to be a function of the index"),
        ({"batch_size": 0}, ValueError, "batch_size to be an integer of at least 1"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        MaskData(Blobs(), **options)
