"""Rounds of sub-categories after an interruption, and their checkpoints."""

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from captum_cluster.training import Augmentation, TrainingSettings
from captum_cluster.training.callbacks import EpochSeed, add_sub_category_head
from captum_cluster.training.modules import LitCamClassifier
from tests.helpers.trainings import (
    StopAfter,
    StoppedError,
    UsersModule,
    discovery,
    loader,
    same,
    scene_data,
    tiny_network,
    trainer,
)


def parts(restart, directory=None):
    """A training in which order, changes, dropout and running statistics take part."""
    module = LitCamClassifier(tiny_network(), TrainingSettings(lr=0.05))
    changes = Augmentation(flip=True, scale=(0.5, 1), jitter=0.2)
    return module, discovery(restart=restart, directory=directory), scene_data(augmentation=changes)


@pytest.fixture(scope="module", params=[True, False], ids=["restart", "warm"])
def whole(request, tmp_path_factory):
    """An uninterrupted training, and the checkpoints of its epochs."""
    folder = tmp_path_factory.mktemp("whole")
    module, callback, data = parts(request.param)
    trainer(6, EpochSeed(1), callback, folder=folder).fit(module, data)
    return request.param, module, callback, folder


def resume(whole, checkpoint, directory=None):
    """Go on from a checkpoint, and compare with the uninterrupted training to the last bit."""
    restart, module, callback, _ = whole
    torch.rand(7)  # what happened meanwhile must not matter
    resumed, second, data = parts(restart, directory)
    trainer(6, EpochSeed(1), second).fit(resumed, data, ckpt_path=checkpoint)
    assert same(resumed.state_dict(), module.state_dict())
    for number in (1, 2):
        found = second.round_assignments(number)
        assert torch.equal(found, callback.round_assignments(number))
    for number in range(3):
        assert same(second.round_state(number), callback.round_state(number))


@pytest.mark.parametrize("epoch", range(6))
def test_a_resumed_training_equals_an_uninterrupted_one(whole, epoch):
    resume(whole, whole[-1] / f"epoch={epoch}.ckpt")


@pytest.mark.parametrize("epoch", [1, 2], ids=["between-rounds", "within-a-round"])
def test_so_does_one_that_was_broken_off(whole, epoch, tmp_path):
    module, callback, data = parts(whole[0], tmp_path / "rounds")
    stopped = trainer(6, EpochSeed(1), callback, StopAfter(epoch), folder=tmp_path)
    with pytest.raises(StoppedError):
        stopped.fit(module, data)
    resume(whole, tmp_path / f"epoch={epoch}.ckpt", tmp_path / "rounds")


def test_without_seeds_of_epochs_a_resumed_training_differs(whole):
    """The comparison sees chance: it would not pass for any two trainings."""
    restart, module, _, folder = whole
    resumed, second, data = parts(restart)
    trainer(6, second).fit(resumed, data, ckpt_path=folder / "epoch=2.ckpt")
    assert not same(resumed.state_dict(), module.state_dict())


def test_a_users_module_and_loader_are_resumed_too(tmp_path):
    whole, resumed = UsersModule(), UsersModule()
    trainer(6, EpochSeed(1), discovery(), folder=tmp_path).fit(whole, loader())
    torch.rand(3)
    checkpoint = tmp_path / "epoch=3.ckpt"
    trainer(6, EpochSeed(1), discovery()).fit(resumed, loader(), ckpt_path=checkpoint)
    assert same(resumed.state_dict(), whole.state_dict())


def test_a_callback_can_be_used_again():
    callback, states = discovery(), []
    for _ in range(2):
        trainer(6, EpochSeed(1), callback).fit(module := UsersModule(), loader())
        states.append(module.state_dict())
    assert same(*states)


def test_a_trained_module_can_be_trained_and_validated_again(tmp_path):
    class Module(UsersModule):
        def validation_step(self, batch, batch_idx):
            self.log("val_loss", self(batch[0]).sum())

    module = Module()
    trainer(6, discovery(), folder=tmp_path).fit(module, loader())
    state = {name: value.clone() for name, value in module.state_dict().items()}
    fresh = Module()
    tester = trainer(6, discovery())
    tester.validate(fresh, loader(), ckpt_path=tmp_path / "epoch=5.ckpt", verbose=False)
    assert same(fresh.state_dict(), state)
    trainer(6, discovery()).validate(module, loader(), verbose=False)
    assert same(module.state_dict(), state)
    trainer(6, again := discovery()).fit(module, loader())
    assert again.round == 2


# The checkpoint itself


class Plain(UsersModule):
    """A class that knows nothing of sub-categories."""

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self(batch[0]).sum())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained module and the checkpoint of its last epoch."""
    folder = tmp_path_factory.mktemp("trained")
    trainer(6, EpochSeed(1), discovery(), folder=folder).fit(module := Plain(), loader())
    return module, folder / "epoch=5.ckpt"


def test_the_plain_class_loads_a_checkpoint(trained):
    module, path = trained
    loaded = Plain.load_from_checkpoint(path)
    state = {k: v for k, v in module.state_dict().items() if "sub_category_head" not in k}
    assert same(loaded.state_dict(), state)
    trainer(6).validate(Plain(), loader(), ckpt_path=path, verbose=False)


def test_the_head_of_a_checkpoint_comes_back(trained):
    module, path = trained
    held = torch.load(path, weights_only=True)["sub_category_head"]
    assert same(held, module.sub_category_head.state_dict())
    loaded = Plain.load_from_checkpoint(path)
    add_sub_category_head(loaded, 3).load_state_dict(held)
    assert same(loaded.state_dict(), module.state_dict())


def test_a_checkpoint_written_after_the_training_is_the_same(trained, tmp_path):
    module, path = trained
    done = trainer(6, EpochSeed(1), discovery())
    done.fit(again := Plain(), loader())
    done.save_checkpoint(tmp_path / "later.ckpt")
    assert same(Plain.load_from_checkpoint(tmp_path / "later.ckpt").state_dict(),
                Plain.load_from_checkpoint(path).state_dict())  # fmt: skip
    assert same(again.state_dict(), module.state_dict())
    assert not {"on_save_checkpoint", "on_load_checkpoint"} & {*vars(again)}


def test_a_modules_own_part_of_a_checkpoint_is_kept(tmp_path):
    class Owning(Plain):
        def on_save_checkpoint(self, checkpoint):
            checkpoint["mine"] = 3

        def on_load_checkpoint(self, checkpoint):
            self.found = checkpoint["mine"]

    trainer(6, discovery(), folder=tmp_path).fit(Owning(), loader())
    path = tmp_path / "epoch=3.ckpt"
    trainer(6, discovery()).fit(resumed := Owning(), loader(), ckpt_path=path)
    assert resumed.found == Owning.load_from_checkpoint(path).found == 3


def test_checkpoints_of_weights_alone_are_loaded_too(tmp_path):
    keep = ModelCheckpoint(tmp_path, "weights", save_weights_only=True, every_n_epochs=2)
    trainer(6, discovery(), keep, folder=tmp_path).fit(module := Plain(), loader())
    loaded = Plain.load_from_checkpoint(tmp_path / "weights.ckpt")
    assert torch.equal(loaded.parent_head.weight, module.parent_head.weight)


def test_sub_categories_are_small_in_a_checkpoint(trained):
    content = torch.load(trained[1], weights_only=True)
    (state,) = [one for one in content["callbacks"].values() if "found" in one]
    assert {found.dtype for found in state["found"].values()} == {torch.int16}
