"""The head first, then the last layers: what is trained when, and after an interruption."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from captum_cluster.training import GapClassifier, TrainingSettings, TwoBranch
from captum_cluster.training.callbacks import HeadFirst
from captum_cluster.training.modules import LitCamClassifier, LitTwoBranch
from tests.helpers.trainings import (
    LABELS,
    StopAfter,
    StoppedError,
    UsersModule,
    loader,
    same,
    scene_data,
    tiny_network,
    trainer,
)


class Epochs(Callback):
    """Notes the weights when an epoch begins, after all that is put back or frozen."""

    def __init__(self):
        self.states, self.rates, self.modes = [], [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 0:
            self.states.append({k: v.clone() for k, v in pl_module.state_dict().items()})
            groups = trainer.optimizers[0].param_groups
            self.rates.append([group["lr"] for group in groups])
            self.modes.append({n: m.training for n, m in pl_module.named_modules()})


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


SETTINGS = {"optimizer": "sgd", "lr": 0.05, "weight_decay": 0.0, "schedule": "constant"}


def run(epochs, *callbacks, fit=None, module=None, **settings):
    settings = TrainingSettings(**SETTINGS, epochs=epochs, **settings)
    if module is None:
        module = LitCamClassifier(tiny_network(dropout=0.0), settings)
    noted = Epochs()
    folder = callbacks[-1] if callbacks and not isinstance(callbacks[-1], Callback) else None
    callbacks = [one for one in callbacks if isinstance(one, Callback)]
    made = trainer(epochs, *callbacks, noted, folder=folder)
    made.fit(module, scene_data(), ckpt_path=fit)
    return module, noted


def test_the_head_alone_then_the_top_of_the_body():
    module, noted = run(3, head_epochs=2, head_lr=0.5, top_share=0.5)
    first, second, third = noted.states
    head = {"network.parent_head.weight", "network.parent_head.bias"}
    assert changed(first, second) == changed(second, third) == head
    # of two layers the last one; the batch normalisation belongs to the first
    last = {"network.body.3.weight", "network.body.3.bias"}
    assert changed(third, module.state_dict()) == head | last
    assert noted.rates == [[0.5], [0.5], [0.05]]


def test_frozen_layers_are_in_evaluation_mode():
    _, noted = run(2, head_epochs=1)
    frozen, trained = noted.modes
    assert not any(frozen[f"network.body.{place}"] for place in (0, 1, 3))
    assert frozen["network.parent_head"]
    assert frozen["network.dropout"]
    assert all(trained.values())


def test_all_of_the_body_after_the_head():
    module, noted = run(2, head_epochs=1, top_share=1.0)
    everything = {name for name, _ in module.named_parameters()}
    statistics = {f"network.body.1.{name}" for name in ("running_mean", "running_var")}
    found = changed(noted.states[1], module.state_dict())
    statistics |= {"network.body.1.num_batches_tracked"}
    # batch normalisation takes a constant away, so the bias before it has no gradient
    assert found - {"network.body.0.bias"} == everything - {"network.body.0.bias"} | statistics


@pytest.mark.parametrize(
    ("share", "trained"), [(0.0, 0), (0.2, 1), (0.25, 1), (0.5, 2), (0.6, 3), (0.75, 3), (1.0, 4)]
)
def test_the_share_is_rounded_up(share, trained):
    body = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(4)), nn.ReLU())
    settings = TrainingSettings(**SETTINGS, top_share=share)
    module = LitCamClassifier(GapClassifier(body, nn.Linear(3, LABELS)), settings)
    trainer(1).fit(module, scene_data())
    free = [layer.weight.requires_grad for layer in body[:4]]
    assert free == [False] * (4 - trained) + [True] * trained
    assert module.parent_head.weight.requires_grad


def test_each_branch_has_its_own_top():
    network = TwoBranch(lambda: tiny_network(dropout=0.0), LABELS)
    settings = TrainingSettings(**SETTINGS, epochs=2, head_epochs=1, top_share=0.5)
    module, noted = run(2, module=LitTwoBranch(network, settings))
    found = {name.split(".", 3)[-1] for name in changed(noted.states[0], noted.states[1])}
    assert found == {"parent_head.weight", "parent_head.bias"}
    later = changed(noted.states[1], module.state_dict())
    assert {name for name in later if "body" in name} == {
        f"network.branches.{branch}.body.3.{kind}"
        for branch in (0, 1)
        for kind in ("weight", "bias")
    }


def test_a_users_module_is_a_network_itself():
    module = UsersModule()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    trainer(1, HeadFirst(1)).fit(module, loader())
    assert changed(before, module.state_dict()) == {"parent_head.weight", "parent_head.bias"}


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_a_resumed_training_equals_an_uninterrupted_one(stop, tmp_path):
    options = {"head_epochs": 2, "head_lr": 0.5, "top_share": 0.5, "momentum": 0.9}
    options |= {"restore_best": True, "patience": 1, "early_stop": 3}
    whole, _ = run(4, **options)
    if stop < 3:
        with pytest.raises(StoppedError):
            run(4, StopAfter(stop), tmp_path, **options)
    else:
        run(4, tmp_path, **options)
    resumed, _ = run(4, fit=tmp_path / f"epoch={stop}.ckpt", **options)
    assert same(resumed.state_dict(), whole.state_dict())


class Ends(Callback):
    """Notes losses and weights when an epoch ends, before anything is put back."""

    def __init__(self):
        self.losses, self.states = [], []

    def on_train_epoch_end(self, trainer, pl_module):
        self.losses.append(float(trainer.callback_metrics["val_loss"]))
        self.states.append({k: v.clone() for k, v in pl_module.state_dict().items()})


def test_the_best_weights_are_put_back_between_the_parts_and_at_the_end():
    ends = Ends()
    module, noted = run(4, ends, head_epochs=2, head_lr=200.0, restore_best=True)
    assert ends.losses[0] < ends.losses[1]  # so large a rate makes the later epoch worse
    assert same(noted.states[2], ends.states[0])
    last = min((2, 3), key=ends.losses.__getitem__)
    assert same(module.state_dict(), ends.states[last])


@pytest.mark.parametrize("function", ["validate", "test", "predict"])
def test_what_comes_after_a_training_freezes_nothing(function):
    class Module(LitCamClassifier):
        def test_step(self, batch, batch_idx):
            self.validation_step(batch, batch_idx)

        def predict_step(self, batch, batch_idx):
            return self(batch[0])

    settings = TrainingSettings(**SETTINGS, epochs=2, head_epochs=1)
    module, _ = run(2, module=Module(tiny_network(dropout=0.0), settings))
    free = [parameter.requires_grad for parameter in module.parameters()]
    assert all(free)
    getattr(trainer(2), function)(module, scene_data().val_dataloader())
    assert [parameter.requires_grad for parameter in module.parameters()] == free


def test_modules_without_a_head():
    class Plain(UsersModule):
        def networks(self):
            return [self.stem]

    with pytest.raises(TypeError, match="to have a module parent_head, but got a Sequential"):
        trainer(1, HeadFirst(1)).fit(Plain(), loader())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"head_epochs": -1}, ValueError, "head_epochs to be an integer of at least 0"),
        ({"top_share": 2}, ValueError, "top_share to be a number from 0 to 1"),
        ({"top_share": "all"}, TypeError, "top_share to be a number from 0 to 1"),
    ],
    ids=["epochs", "share", "word"],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        HeadFirst(**options)
