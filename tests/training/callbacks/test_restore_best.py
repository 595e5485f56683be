"""The best weights: when they are kept, and when they come back."""

import math

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from captum_cluster.training.callbacks import RestoreBest
from tests.helpers.trainings import BATCHES, Counting, StopAfter, StoppedError, trainer


class Weights(Callback):
    """Notes the weight when an epoch begins."""

    def __init__(self):
        self.noted = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.noted.append(pl_module.weight.item())


def run(losses, callback, *more, **options):
    module, weights = Counting(losses), Weights()
    fit = options.pop("fit", {})
    trainer(len(losses), callback, weights, *more, **options).fit(module, BATCHES, BATCHES, **fit)
    return weights.noted, module.weight.item()


def test_the_best_come_back_on_a_plateau_and_at_the_end():
    losses = [5.0, 3.0, 4.0, 3.5, 2.0, 2.5]
    noted, last = run(losses, RestoreBest(patience=2))
    # after epoch 3 (the second without a smaller loss) those of epoch 1, the weight 2
    assert noted == [0, 1, 2, 3, 2, 3]
    assert last == 3  # those of epoch 4


def test_a_plateau_is_that_of_torchs_schedule():
    generator = torch.Generator().manual_seed(0)
    losses = (5 + torch.randn(25, generator=generator) - torch.arange(25) / 15).tolist()
    for patience, threshold in [(1, 0.0), (3, 0.0), (2, 0.05)]:
        noted, _ = run(losses, RestoreBest(patience=patience, threshold=threshold))
        restored = [n for n in range(1, 25) if noted[n] != noted[n - 1] + 1]
        parameter = nn.Parameter(torch.zeros(1))
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            torch.optim.SGD([parameter], 1.0), patience=patience - 1, threshold=threshold, eps=0
        )
        lowered = []
        for epoch, loss in enumerate(losses):
            before = schedule.optimizer.param_groups[0]["lr"]
            schedule.step(loss)
            if schedule.optimizer.param_groups[0]["lr"] < before:
                lowered.append(epoch + 1)
        assert restored == [epoch for epoch in lowered if epoch < 25]
        assert restored


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path):
    losses = [5.0, 3.0, 4.0, 3.5, 2.0, 2.5]
    expected = run(losses, RestoreBest(patience=2))
    for stop in (1, 2, 3, 4):
        with pytest.raises(StoppedError):
            run(losses, RestoreBest(patience=2), StopAfter(stop), folder=tmp_path)
        path = tmp_path / f"epoch={stop}.ckpt"
        found = run(losses, RestoreBest(patience=2), fit={"ckpt_path": path})
        assert found == (expected[0][stop + 1 :], expected[1])


def test_a_finished_training_is_resumed_with_its_best_weights(tmp_path):
    losses = [5.0, 3.0, 4.0]
    assert run(losses, RestoreBest(patience=9), folder=tmp_path)[1] == 2
    found = run(losses, RestoreBest(patience=9), fit={"ckpt_path": tmp_path / "epoch=2.ckpt"})
    assert found == ([], 2)


def test_a_new_stage_begins_with_the_best_and_forgets_them():
    callback = RestoreBest(patience=9)
    run([5.0, 3.0, 4.0], callback)
    assert callback.best == 3.0
    module = Counting([])
    callback.begin_stage(module)
    assert module.weight.item() == 2
    assert (callback.best, callback.weights) == (math.inf, None)


def test_an_earlier_training_is_forgotten():
    callback = RestoreBest(patience=9)
    run([1.0], callback)
    _, last = run([5.0, 6.0], callback)
    assert last == 1


def test_a_loss_that_is_never_a_number_restores_nothing():
    _, last = run([math.nan] * 3, RestoreBest(patience=1))
    assert last == 3


def test_epochs_without_a_validation_do_not_count():
    every = [5.0, 3.0, 4.0, 3.5]
    noted, last = run(every, RestoreBest(patience=2))
    losses = [loss for loss in every for _ in range(2)]
    sparse, end = run(losses, RestoreBest(patience=2), check_val_every_n_epoch=2)
    # twice the epochs: as with a validation in each, of the weights after two epochs
    assert noted == [0, 1, 2, 3]
    assert sparse == [0, 1, 2, 3, 4, 5, 6, 7]
    assert (last, end) == (2, 4)
    again, end = run(losses, RestoreBest(patience=1), check_val_every_n_epoch=2)
    assert again == [0, 1, 2, 3, 4, 5, 4, 5]
    assert end == 4


def test_validations_that_do_not_follow_the_epochs():
    options = {"check_val_every_n_epoch": None, "val_check_interval": 2}  # of batches, one an epoch
    noted, end = run([9.0, 5.0, 9.0, 6.0, 9.0], RestoreBest(patience=1), **options)
    assert noted == [0, 1, 2, 3, 2]
    assert end == 2


def test_a_training_loss_is_compared_where_nothing_is_validated():
    class Training(Counting):
        def training_step(self, batch, batch_idx):
            self.log("train_loss", torch.tensor(self.losses[self.current_epoch]))
            return self.weight * 1.0

    module = Training([5.0, 3.0, 4.0])
    trainer(3, RestoreBest("train_loss"), check_val_every_n_epoch=2).fit(module, BATCHES)
    assert module.weight.item() == 2


def test_nothing_logged():
    with pytest.raises(RuntimeError, match="monitor to be the name .*'loss' where val_loss is"):
        run([1.0], RestoreBest("loss"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience to be an integer of at least 1"),
        ({"patience": 1.5}, TypeError, "patience to be an integer of at least 1"),
        ({"threshold": 2}, ValueError, "threshold to be a number from 0 to 1"),
    ],
    ids=["zero", "half", "threshold"],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        RestoreBest(**options)
