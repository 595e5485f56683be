"""Trainings of segmentation networks: the loss, the scores, what is trained, and resuming."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from captum_cluster.training import (
    Augmentation,
    LitSegmentation,
    SegmentationNetwork,
    TrainingSettings,
    segmentation_network,
)
from captum_cluster.training.modules.segmentation import PixelScores, segmentation_loss
from tests.helpers.trainings import LABELS, StopAfter, StoppedError, mask_data, same, trainer


def tiny(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        return segmentation_network(body, LABELS, atrous_rates=(2,), channels=6)


def logged(settings=None, *, data=None, epochs=1):
    module = LitSegmentation(tiny(), settings)
    run = trainer(epochs)
    run.fit(module, data or mask_data())
    return module, run.callback_metrics


DRAWN = torch.Generator().manual_seed(0)
LOGITS = torch.randn(2, LABELS + 1, 4, 5, generator=DRAWN)
MASKS = torch.randint(0, LABELS + 1, (2, 4, 5), generator=DRAWN)


def test_the_loss_is_the_mean_over_certain_pixels():
    masks = MASKS.clone()
    masks[0, :2] = 255
    log_p = LOGITS.log_softmax(dim=1)
    picked = [
        -log_p[n, masks[n, y, x], y, x]
        for n in range(2)
        for y in range(4)
        for x in range(5)
        if masks[n, y, x] != 255
    ]
    assert len(picked) == 30
    torch.testing.assert_close(segmentation_loss(LOGITS, masks), torch.stack(picked).mean())
    torch.testing.assert_close(segmentation_loss(LOGITS, MASKS), F.cross_entropy(LOGITS, MASKS))


def test_uncertain_pixels_have_no_gradient():
    logits, masks = LOGITS.clone().requires_grad_(), MASKS.clone()
    masks[:, :, 2] = 255
    segmentation_loss(logits, masks).backward()
    assert not logits.grad[..., 2].any()
    assert logits.grad[..., [0, 1, 3, 4]].abs().amax(dim=1).min() > 0


def test_a_batch_of_uncertain_pixels_is_without_loss_and_gradient():
    module = LitSegmentation(tiny())
    images = torch.rand(2, 3, 8, 8)
    loss = module.training_step((images, torch.full((2, 8, 8), 255)), 0)
    loss.backward()
    assert loss == 0
    assert all(not one.grad.any() for one in module.parameters())


def test_masks_of_background_alone():
    module = LitSegmentation(tiny())
    loss = module.training_step((torch.rand(2, 3, 8, 8), torch.zeros(2, 8, 8).long()), 0)
    loss.backward()
    assert loss > 0
    scores = PixelScores(3)
    scores.update(torch.zeros(1, 2, 2).long(), torch.zeros(1, 2, 2).long())
    assert scores.compute() == 1


def test_the_scores_of_the_validation_are_those_of_all_its_pixels():
    data = mask_data()
    module, metrics = logged(data=data)
    found, true = [], []
    with torch.no_grad():
        for images, masks, _ in data.val_dataloader():
            found.append(module.eval()(images).argmax(dim=1))
            true.append(masks)
    found, true = torch.cat(found).flatten(), torch.cat(true).flatten()
    found, true = found[true != 255], true[true != 255]
    ious = [
        ((found == label) & (true == label)).sum() / ((found == label) | (true == label)).sum()
        for label in true.unique()
    ]
    torch.testing.assert_close(metrics["val_miou"], torch.stack(ious).mean())
    assert {"train_loss", "val_loss", "val_miou"} <= set(metrics)


def test_a_network_learns():
    settings = TrainingSettings(schedule="poly", lr=0.02)
    first = logged(settings, epochs=1)[1]
    last = logged(settings, epochs=12)[1]
    assert last["train_loss"] < 0.6 * first["train_loss"]
    assert last["val_miou"] > first["val_miou"]


def test_without_validation_nothing_is_said_of_it():
    assert set(logged(data=mask_data(val=0))[1]) == {"train_loss"}


def test_the_rates_are_the_settings():
    settings = TrainingSettings(
        optimizer="sgd", lr=0.1, momentum=0.9, schedule="constant", head_lr_factor=10.0
    )
    module = LitSegmentation(tiny(), settings)
    optimizer = module.configure_optimizers()
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in module.network.body.parameters()} == {0.1}
    assert {rates[id(p)] for p in module.network.parent_head.parameters()} == {1.0}


def test_the_head_alone():
    settings = TrainingSettings(head_epochs=1, top_share=0.0, epochs=1)
    before = {name: one.clone() for name, one in tiny().state_dict().items()}
    module = logged(settings)[0]
    after = module.network.state_dict()
    changed = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"parent_head"}


def test_a_resumed_training_equals_one_that_was_not_interrupted(tmp_path):
    from captum_cluster.training import EpochSeed

    settings = TrainingSettings(schedule="poly")
    changes = Augmentation(flip=True, scale=(0.5, 1.0), jitter=0.2)

    def fit(*callbacks, checkpoint=None, **options):
        module = LitSegmentation(tiny(), settings)
        run = trainer(3, EpochSeed(), *callbacks, **options)
        run.fit(module, mask_data(augmentation=changes), ckpt_path=checkpoint)
        return module.state_dict()

    whole = fit()
    with pytest.raises(StoppedError):
        fit(StopAfter(0), folder=tmp_path)
    assert same(fit(checkpoint=tmp_path / "epoch=0.ckpt"), whole)


def test_batches_of_one_image_are_refused_and_validated():
    with pytest.raises(ValueError, match="images to be at least 2 in training, but got 1"):
        logged(data=mask_data(batch_size=1))
    module = LitSegmentation(tiny())
    found = trainer(1).validate(module, DataLoader(mask_data().val, 1), verbose=False)
    assert 0 <= found[0]["val_miou"] <= 1


@pytest.mark.parametrize(
    ("network", "got"), [(nn.Conv2d(3, 2, 1), "a Conv2d without"), (3, "an int|a int without")]
)
def test_networks_that_are_none(network, got):
    with pytest.raises(TypeError, match=f"a number of labels num_labels, but got ({got})"):
        LitSegmentation(network)


def test_networks_of_which_a_label_would_be_taken_for_uncertain():
    assert LitSegmentation(segmentation_network(nn.Conv2d(3, 8, 3), 254, channels=8))
    text = "network to be of at most 254 labels, as 255 is for uncertain pixels, but got 255"
    with pytest.raises(ValueError, match=text):
        LitSegmentation(segmentation_network(nn.Conv2d(3, 8, 3), 255, channels=8))


def test_settings_that_are_none():
    with pytest.raises(TypeError, match="settings to be TrainingSettings"):
        LitSegmentation(tiny(), 3)


@pytest.mark.parametrize("masks", [torch.zeros(2, 8, 8), torch.zeros(2, 1, 8, 8).long()])
def test_masks_that_are_none(masks):
    with pytest.raises(ValueError, match=r"masks to be integers \(N,H,W\)"):
        LitSegmentation(tiny()).training_step((torch.rand(2, 3, 8, 8), masks), 0)


@pytest.mark.parametrize("number", [-1, LABELS + 1, 254, 256])
@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.int16])
def test_numbers_of_no_label(number, kind):
    module, images = LitSegmentation(tiny()), torch.rand(2, 3, 8, 8)
    masks = torch.full((2, 8, 8), LABELS, dtype=kind)
    masks[0, 0, 0] = 255
    assert module.loss_of(images, masks) > 0
    masks[1, 2, 3] = number
    for step in (
        lambda: module.loss_of(images, masks),
        lambda: module.training_step((images, masks), 0),
        lambda: module.validation_step((images, masks), 0),
    ):
        with pytest.raises(ValueError, match="^Expected masks") as raised:
            step()
        text = f"masks to be numbers from 0 to the number of labels ({LABELS}), or 255, but got"
        assert str(raised.value) == f"Expected {text} {number}."


def test_masks_of_another_size_than_the_images():
    module, images = LitSegmentation(tiny()), torch.rand(2, 3, 8, 8)
    for size in ((2, 8, 7), (2, 4, 4), (1, 8, 8)):
        for step in (module.training_step, module.validation_step):
            with pytest.raises(ValueError, match="^Expected masks") as raised:
                step((images, torch.zeros(size).long()), 0)
            text = f"Expected masks to be of the images' size (2, 8, 8), but got {size}."
            assert str(raised.value) == text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_outlives_a_number_of_no_label():
    module, images = LitSegmentation(tiny()).cuda(), torch.rand(2, 3, 8, 8).cuda()
    masks = torch.full((2, 8, 8), LABELS + 1).cuda()
    with pytest.raises(ValueError, match="^Expected masks to be numbers from 0"):
        module.loss_of(images, masks)
    assert module.loss_of(images, masks - 1) > 0


def test_a_network_of_ones_own():
    class Own(nn.Module):
        num_labels = 1

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, images):
            return self.conv(images)

    masks = torch.ones(2, 8, 8).long()
    assert LitSegmentation(Own()).training_step((torch.rand(2, 3, 8, 8), masks), 0) > 0
    assert SegmentationNetwork(nn.Identity(), nn.Conv2d(3, 7, 1)).num_labels == 6
