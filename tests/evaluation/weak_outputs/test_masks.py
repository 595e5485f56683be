"""Masks of many images: their values."""

import dataclasses

import numpy as np
import pytest
import torch

from captum_cluster.data import Preparation, open_dataset
from captum_cluster.evaluation import read_masks
from captum_cluster.evaluation.weak_outputs.label_masks import resized
from captum_cluster.training import AffinityNet
from captum_cluster.weak import RandomWalk, pseudo_masks
from tests.evaluation.weak_outputs.tiny import (
    NAMES,
    SMALL,
    files,
    maps_by_hand,
    masks,
    net,
    scene,
    scenes,
)
from tests.helpers.trees import write_mask, write_picture


def by_hand(one, **options):
    """The mask of a scene with the public functions alone."""
    if not one.present:
        return torch.zeros(one.size, dtype=torch.int64)
    found = maps_by_hand(one)
    maps = torch.zeros(1, 5, *found.shape[1:])
    maps[0, one.present] = found
    return pseudo_masks([one.image], maps, one.labels[None], **options).labels[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"background": 0.4},
        {"power": 4.0},
        {"uncertain": 0.5},
        {"power": 4.0, "uncertain": 16.0},
        {"refine": [RandomWalk(stride=2)]},
        {"refine": ["random-walk", "crf"], "power": 16},
    ],
    ids=str,
)
def test_the_masks_are_those_of_the_functions(tmp_path, options):
    run = masks(tmp_path, **options)
    found = read_masks(tmp_path)
    assert (run.images, run.empty, run.failed, run.path) == (3, 1, (), tmp_path / "masks")
    assert found.names() == ["a", "c", "folder/b"]
    made, truths = [], []
    for one in scenes():
        mask = by_hand(one, **options)
        assert torch.equal(found.mask_of(one.name), mask)
        made += mask.flatten().tolist()
        truths += one.label_map(-1).flatten().tolist()
    assert run.mean_iou == pytest.approx(iou_by_hand(made, truths))
    assert run.uncertain == made.count(255) / len(made)


def iou_by_hand(made, truths):
    """The mean IoU of the classes that there are; what is 255 is right for none of them."""
    pairs, ious = list(zip(made, truths, strict=True)), []
    for number in set(truths):
        both = sum(pair == (number, number) for pair in pairs)
        ious.append(both / sum(number in pair for pair in pairs))
    return sum(ious) / len(ious)


def test_to_abstain_makes_no_better_masks(tmp_path):
    sure = masks(tmp_path / "sure")
    unsure = masks(tmp_path / "unsure", uncertain=0.9)
    assert sure.uncertain == 0.0
    assert 0.1 < unsure.uncertain < 1.0
    assert unsure.mean_iou < sure.mean_iou


def test_features_of_the_layer_guide_the_walk(tmp_path):
    walk = RandomWalk(stride=1, colour=0, position=0, layer=2.0)
    one = scene("a", [0, 3])
    model = net()
    prepared = SMALL.normalize(SMALL.prepare(one).image)[None]
    with torch.no_grad():
        layers = model.relu2(model.conv2(model.relu1(model.bn1(model.conv1(prepared)))))
    masks(tmp_path, [one], refine=[walk], walk_features="layer")
    mask = by_hand(one, refine=[walk], features=layers)
    assert torch.equal(read_masks(tmp_path).mask_of("a"), mask)
    assert not torch.equal(mask, by_hand(one, refine=[walk]))


def test_learned_features_guide_the_walk(tmp_path):
    walk = RandomWalk(stride=2, log_steps=2, colour=0, position=0, layer=None)
    learned = affinity(0)
    images = [scene("a", [0, 3], 1), scene("b", [4], 3, size=(40, 60)), scene("c", [])]
    options = {"refine": [walk], "longest": 30}
    masks(tmp_path, images, walk_features=learned.features_of, **options)
    found, (one, large, _) = read_masks(tmp_path), images
    features = [learned.features_of(one.image)]
    assert torch.equal(found.mask_of("a"), by_hand(one, refine=[walk], features=features))
    other = [affinity(1).features_of(one.image)]
    assert not torch.equal(found.mask_of("a"), by_hand(one, refine=[walk], features=other))
    small = dataclasses.replace(large, image=resized(large.image, (20, 30)), masks=None)
    maps = torch.zeros(1, 5, *maps_by_hand(large).shape[1:])
    maps[0, 4] = maps_by_hand(large)
    made = pseudo_masks(
        [small.image], maps, large.labels[None], refine=[walk], features=learned.features_of
    )
    assert torch.equal(found.mask_of("b")[::2, ::2], made.labels[0])


def affinity(seed):
    """A network with features of its own, not trained."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = AffinityNet(net(), ["relu1", "relu2"], num_features=4, stride=2)
        found.affinity_head.mix[0].weight.data.mul_(10)  # sharp, as after a training
        return found


def test_large_pictures_are_refined_smaller(tmp_path):
    one = scene("a", [0, 3], size=(40, 60))
    masks(tmp_path, [one], refine=[RandomWalk(stride=2)], longest=30)
    found = read_masks(tmp_path).mask_of("a")
    assert found.shape == (40, 60)
    blocks = found.reshape(20, 2, 30, 2)
    assert torch.equal(blocks[:, :1, :, :1].expand_as(blocks), blocks)
    assert len(found.unique()) > 1


@pytest.mark.parametrize("labels", ["top", "predicted"])
def test_labels_by_the_model(tmp_path, labels):
    masks(tmp_path, labels=labels, probability="sigmoid", method="cam", classes=NAMES)
    model, found = net(), read_masks(tmp_path)
    for one in scenes():
        with torch.no_grad():
            whole = model(SMALL.normalize(SMALL.prepare(one).image)[None]).sigmoid()[0]
        wanted = [int(whole.argmax())] if labels == "top" else (whole > 0.5).nonzero().flatten()
        shown = set(found.mask_of(one.name).unique().tolist()) - {0}
        assert shown <= {int(label) + 1 for label in wanted}
        assert shown or not len(wanted)


def test_an_image_of_which_nothing_is_predicted_is_all_background(tmp_path):
    flat = net()
    with torch.no_grad():
        flat.fc.weight.zero_()
        flat.fc.bias.zero_()
    run = masks(tmp_path, model=flat, labels="predicted")
    assert (run.images, run.empty) == (3, 3)
    found = read_masks(tmp_path)
    assert all(not found.mask_of(name).any() for name in found.names())


def mean(model, layer, image, target):
    """A method of somebody else."""
    return layer(image).mean(dim=1) * (1 + target)


def test_methods_of_every_kind(tmp_path):
    from captum.attr import LayerGradCam
    from pytorch_grad_cam import GradCAM

    wide = {"method": "cluster-cam", "options": {"n_clusters": 3}, "scales": [0.5, 1.0]}
    methods = {"g": LayerGradCam, "p": GradCAM, "h": "gradcam++", "f": mean, "o": wide}
    for name, method in methods.items():
        run = masks(tmp_path / name, [scene("a", [0, 3])], method=method)
        assert run.images == 1
        assert read_masks(tmp_path / name).mask_of("a").shape == (20, 30)
    one, other = (read_masks(tmp_path / name).mask_of("a") for name in "gp")
    assert (one == other).float().mean() > 0.98  # the hosts enlarge maps in their own ways


def test_a_preparation_that_cuts_is_taken_whole(tmp_path):
    masks(tmp_path / "cut", preparation=Preparation(32, mode="center-crop", resize=40))
    masks(tmp_path / "whole", preparation=Preparation(32, resize=40))
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_masks_that_are_known_are_those_of_the_labels(tmp_path):
    numbers = np.zeros((6, 8))
    numbers[:, 4:] = 1
    write_picture(tmp_path / "images/a.png", (6, 8))
    write_mask(tmp_path / "masks/a.png", numbers)
    dataset = open_dataset(f"masks:{tmp_path / 'images'},{tmp_path / 'masks'}")
    run = masks(tmp_path / "out", dataset, model=net(1), classes=None, background=1.0)
    assert run.mean_iou == pytest.approx(24 / 48 / 2)  # half is background, of which all is found
