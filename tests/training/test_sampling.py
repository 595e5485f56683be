"""Orders and shares: each sample once, and the same whatever the number of processes."""

import pytest
import torch
from torch.utils.data import DataLoader

from captum_cluster.data import Preparation
from captum_cluster.training import Augmentation
from captum_cluster.training.sampling import (
    EpochOrder,
    EvenBatches,
    SceneSamples,
    collate_samples,
)
from tests.helpers.trainings import PLAIN, Blobs


def orders(length, processes, epoch=0, seed=0):
    return [
        list(EpochOrder(range(length), lambda: epoch, rank, processes, seed))
        for rank in range(processes)
    ]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_together_show_what_one_would(processes):
    whole = orders(12, 1, epoch=4)[0]
    shares = orders(12, processes, epoch=4)
    assert [one for step in zip(*shares, strict=True) for one in step] == whole
    assert sorted(whole) == [(4, index) for index in range(12)]


def test_the_order_depends_on_seed_and_epoch():
    first = [index for _, index in orders(20, 1, 0, 0)[0]]
    assert [index for _, index in orders(20, 1, 0, 0)[0]] == first
    assert [index for _, index in orders(20, 1, 1, 0)[0]] != first
    assert [index for _, index in orders(20, 1, 0, 1)[0]] != first


def test_samples_left_over_wait():
    shares = orders(13, 2)
    assert [len(share) for share in shares] == [6, 6]
    assert len({one for share in shares for one in share}) == 12
    assert [len(share) for share in orders(1, 2)] == [1, 1]  # nothing else to show


def test_the_epoch_is_asked_for_when_the_order_is_needed():
    epoch = 0
    order = EpochOrder(range(4), lambda: epoch, 0, 1)
    epoch = 3
    assert {one for one, _ in order} == {3}


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("length", [3, 7, 12])
def test_batches_are_even_and_hold_each_sample_once(length, batch_size, processes):
    found = [list(EvenBatches(length, batch_size, rank, processes)) for rank in range(processes)]
    assert sorted(one for share in found for batch in share for one in batch) == [*range(length)]
    assert len({len(share) for share in found}) == 1
    sizes = [len(batch) for share in found for batch in share]
    assert min(sizes) >= 1
    assert max(sizes) <= batch_size + (batch_size == 1)
    assert len(EvenBatches(length, batch_size, 0, processes)) == len(found[0])


def test_fewer_samples_than_processes():
    with pytest.raises(ValueError, match="at least one for each of the 3 processes, but got 2"):
        EvenBatches(2, 1, 0, 3)


def test_samples_are_prepared_and_normalised():
    scenes = Blobs()
    samples = SceneSamples(scenes, Preparation(4))
    image, labels, index = samples[1]
    scene = Preparation(4).prepare(scenes[1])
    assert torch.equal(image, Preparation(4).normalize(scene.image))
    assert torch.equal(labels, scene.labels.float())
    assert index == 1


def test_changes_belong_to_sample_and_epoch():
    changes = Augmentation(flip=True, scale=(0.3, 0.9), jitter=0.3)
    samples = SceneSamples(Blobs(), PLAIN, changes, seed=2)
    plain = samples[3][0]
    found = [samples[epoch, 3][0] for epoch in range(4)]
    assert torch.equal(plain, Blobs()[3].image)
    assert all(not torch.equal(one, plain) for one in found)
    assert len({one.sum().item() for one in found}) == 4
    again = SceneSamples(Blobs(), PLAIN, changes, seed=2)
    assert torch.equal(again[2, 3][0], found[2])
    other = SceneSamples(Blobs(), PLAIN, changes, seed=3)
    assert not torch.equal(other[2, 3][0], found[2])


def test_a_list_gives_a_batch():
    samples = SceneSamples(Blobs(), PLAIN)
    images, labels, index = samples[[4, 2]]
    assert torch.equal(images, torch.stack([samples[4][0], samples[2][0]]))
    assert labels.shape == (2, 4)
    assert index.tolist() == [4, 2]


def test_kept_images_are_asked_for_once_and_stay_as_they_are():
    scenes = Blobs(3)
    samples = SceneSamples(scenes, PLAIN, Augmentation(flip=True), keep=True)
    loader = DataLoader(samples, 2, sampler=[(0, 0), (0, 1)], collate_fn=collate_samples)
    first = next(iter(loader))[0]
    first.zero_()
    assert torch.equal(samples[1][0], scenes._scene(1).image)
    assert scenes.asked == [0, 1, 1]  # the last by this test
    without = SceneSamples(Blobs(3), PLAIN)
    without[1], without[1]
    assert without.scenes.asked == [1, 1]


def test_images_of_several_sizes():
    sample = torch.zeros(3, 4, 4), torch.zeros(2), 0
    other = torch.zeros(3, 4, 5), torch.zeros(2), 1
    with pytest.raises(ValueError, match=r"to one size, but got sizes \(4, 4\), \(4, 5\)"):
        collate_samples([sample, other])
