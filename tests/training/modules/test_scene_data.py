"""Batches of scenes: their order, their changes, their processes."""

from itertools import chain
from types import SimpleNamespace

import pytest
import torch

from captum_cluster.data import Preparation
from captum_cluster.training import Augmentation
from captum_cluster.training.modules import SceneData
from tests.helpers.trainings import PLAIN, Blobs, UsersModule, scene_data, trainer


def test_batches_hold_images_labels_and_numbers():
    data = SceneData(Blobs(), Blobs(5), batch_size=4)
    batches = [*data.train_dataloader()]
    assert len(batches) == 3
    normalize = Preparation().normalize
    for images, labels, index in batches:
        for image, own, number in zip(images, labels, index.tolist(), strict=True):
            scene = Blobs()[number]
            assert torch.equal(image, normalize(scene.image))
            assert torch.equal(own, scene.labels.float())
    assert sorted(torch.cat([index for _, _, index in batches]).tolist()) == [*range(12)]


def test_what_is_left_waits_and_few_scenes_are_one_batch():
    sizes = [len(index) for _, _, index in scene_data(11).train_dataloader()]
    assert sizes == [4, 4]
    assert [len(index) for _, _, index in scene_data(3).train_dataloader()] == [3]


def test_validation_is_in_order_and_complete():
    indices = [index.tolist() for _, _, index in scene_data().val_dataloader()]
    assert indices == [[0, 1, 2], [3, 4]]
    assert SceneData(Blobs()).val_dataloader() == []


def orders(epochs, **options):
    module = UsersModule()
    trainer(epochs).fit(module, scene_data(**options))
    return [step[1] for step in module.steps]


def test_each_epoch_has_an_order_of_its_own_that_only_the_seed_decides():
    first = orders(2)
    torch.rand(5)
    assert orders(2) == first
    assert orders(2, seed=1) != first
    assert sorted(chain(*first[:3])) == sorted(chain(*first[3:])) == [*range(12)]
    assert first[:3] != first[3:]


def test_workers_change_nothing_also_after_a_resume(tmp_path):
    changes = Augmentation(flip=True, scale=(0.5, 1), jitter=0.1)

    def steps(workers, checkpoint=None):
        module = UsersModule()
        data = scene_data(num_workers=workers, augmentation=changes)
        folder = None if checkpoint else tmp_path
        trainer(3, folder=folder).fit(module, data, ckpt_path=checkpoint)
        return module.steps

    whole = steps(0)
    assert steps(1) == whole
    assert steps(1, tmp_path / "epoch=0.ckpt") == whole[3:]


def test_training_images_are_changed_and_others_not():
    data = scene_data(augmentation=Augmentation(flip=True, jitter=0.5))
    images, _, index = next(iter(data.train_dataloader()))
    assert any(
        not torch.equal(image, Blobs()[n].image)
        for image, n in zip(images, index.tolist(), strict=True)
    )
    images, _, index = next(iter(data.val_dataloader()))
    assert torch.equal(images, torch.stack([Blobs()[n].image for n in index.tolist()]))


def test_images_are_kept_where_asked():
    data = scene_data(keep=True)
    trainer(3).fit(UsersModule(), data)
    assert sorted(data.train.scenes.asked) == [*range(12)]


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    [*scene_data(augmentation=Augmentation(flip=True)).train_dataloader()]
    [*scene_data().val_dataloader()]
    assert torch.equal(torch.get_rng_state(), before)


class Processes:
    """What a data module asks its trainer for."""

    def __init__(self, rank, processes, device="cpu"):
        self.global_rank, self.world_size = rank, processes
        self.strategy = SimpleNamespace(root_device=torch.device(device))
        current = type("Progress", (), {"processed": 2})
        self.fit_loop = type("Loop", (), {"epoch_progress": type("Epochs", (), {})})
        self.fit_loop.epoch_progress.current = current


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True), ("mps", False)])
def test_memory_is_pinned_for_cuda_alone(device, pinned):
    data = scene_data()
    data.trainer = Processes(0, 1, device)
    assert data.train_dataloader().pin_memory is pinned
    assert data.val_dataloader().pin_memory is pinned
    assert not scene_data().train_dataloader().pin_memory


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(("workers", "val"), [(0, 0), (1, 1), (2, 2), (7, 2)])
def test_the_validation_has_fewer_workers(workers, val):
    data = scene_data(num_workers=workers)
    loaders = data.train_dataloader(), data.val_dataloader()
    assert [loader.num_workers for loader in loaders] == [workers, val]
    assert [loader.persistent_workers for loader in loaders] == [workers > 0] * 2


@pytest.mark.parametrize("length", [12, 13])
def test_processes_together_show_the_batches_of_one(length):
    found = []
    for processes in (1, 2):
        shares = []
        for rank in range(processes):
            data = scene_data(length)
            data.trainer = Processes(rank, processes)
            shares.append([index.tolist() for _, _, index in data.train_dataloader()])
        found.append([sorted(chain(*parts)) for parts in zip(*shares, strict=True)])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size to be an integer of at least 1"),
        ({"seed": -1}, ValueError, "seed to be an integer of at least 0"),
        ({"num_workers": -1}, ValueError, "num_workers to be an integer of at least 0"),
        ({"keep": 1}, TypeError, "keep to be True or False"),
        ({"keep": True, "num_workers": 1}, ValueError, "num_workers to be 0 where images are kept"),
        ({"train": Blobs(0)}, ValueError, "Expected train to be scenes, but got none."),
    ],
    ids=["batch", "seed", "workers", "keep", "both", "none"],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        SceneData(**{"train": Blobs(), "preparation": PLAIN, **options})


def test_a_batch_that_does_not_divide():
    data = scene_data(batch_size=5)
    data.trainer = Processes(0, 2)
    with pytest.raises(ValueError, match=r"a multiple of the number of processes \(2\), but got 5"):
        data.train_dataloader()
