"""Settings become optimizers, schedules and callbacks."""

import math
from collections import OrderedDict

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from captum_cluster.training import TrainingSettings
from captum_cluster.training.callbacks import EarlyStoppingAfterHead, HeadFirst, RestoreBest
from captum_cluster.training.modules import LitCamClassifier
from captum_cluster.training.modules.settings_module import SettingsModule
from tests.helpers.trainings import (
    StopAfter,
    StoppedError,
    same,
    scene_data,
    tiny_network,
    trainer,
)


class Rates(Callback):
    """Notes the learning rate of each step, and the losses of the validation."""

    def __init__(self):
        self.rates, self.losses = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_end(self, trainer, pl_module):
        self.losses.append(float(trainer.callback_metrics["val_loss"]))


def run(epochs, *callbacks, fit=None, folder=None, every=1, **settings):
    settings = TrainingSettings(**{"epochs": epochs, **settings})
    module = LitCamClassifier(tiny_network(dropout=0.0), settings)
    noted = Rates()
    made = trainer(epochs, *callbacks, noted, folder=folder, check_val_every_n_epoch=every)
    made.fit(module, scene_data(), ckpt_path=fit)
    return module, noted, made


def optimizer_of(**settings):
    module = LitCamClassifier(tiny_network(), TrainingSettings(schedule="constant", **settings))
    return module, module.configure_optimizers()


@pytest.mark.parametrize(
    ("settings", "kind", "expected"),
    [
        ({"optimizer": "sgd", "momentum": 0.9, "nesterov": True}, torch.optim.SGD,
         {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        ({"optimizer": "adam", "lr": 0.5}, torch.optim.Adam, {"lr": 0.5, "weight_decay": 0.01}),
        ({"weight_decay": 0.1}, torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    ],
    ids=["sgd", "adam", "adamw"],
)  # fmt: skip
def test_optimizers(settings, kind, expected):
    module, optimizer = optimizer_of(**settings)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert {name: group[name] for name in expected} == expected
    assert len(group["params"]) == len([*module.parameters()])


def test_heads_and_biases_have_rates_of_their_own():
    module, optimizer = optimizer_of(lr=0.1, head_lr_factor=10.0, bias_lr_factor=2.0)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    rates = {
        names[id(parameter)]: group["lr"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(rates) == len(names)
    for name, rate in rates.items():
        expected = 0.1 * (10 if "parent_head" in name else 1) * (2 if "bias" in name else 1)
        assert rate == pytest.approx(expected), name


def test_a_constant_rate():
    assert {*run(2, schedule="constant")[1].rates} == {0.01}


def test_poly_falls_to_nothing_over_all_steps():
    _, noted, _ = run(2, schedule="poly", power=0.9)
    expected = [0.01 * (1 - step / 6) ** 0.9 for step in range(6)]
    assert noted.rates == pytest.approx(expected)


def one_cycle(rate, steps):
    """The rates of torch's own schedule."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return expected


def test_one_cycle_spans_all_steps():
    _, noted, _ = run(2, schedule="one-cycle")
    assert noted.rates == pytest.approx(one_cycle(0.01, 6))


def test_steps_of_epochs():
    _, noted, _ = run(5, schedule="step", step_epochs=2, factor=0.1)
    assert noted.rates == pytest.approx([0.01] * 6 + [0.001] * 6 + [0.0001] * 3)


def test_plateaus():
    _, noted, _ = run(12, schedule="plateau", patience=1, factor=0.5, optimizer="sgd", lr=3.0)
    rate, best, expected = 3.0, math.inf, []
    for loss in noted.losses:
        expected += [rate] * 3
        rate *= 1.0 if loss < best else 0.5
        best = min(best, loss)
    assert noted.rates == pytest.approx(expected)
    assert len({*noted.rates}) > 2


@pytest.mark.parametrize("head_epochs", [0, 1, 3])
def test_plateaus_of_epochs_with_a_validation(head_epochs):
    """Also where the schedule begins anew between two validations."""
    _, noted, _ = run(
        12, every=2, schedule="plateau", patience=1, factor=0.5, optimizer="sgd", lr=0.5,
        head_epochs=head_epochs, threshold=0.3,
    )  # fmt: skip
    rate, best, expected = 0.5, math.inf, []
    assert len(noted.losses) == 6
    for epoch in range(12):
        if epoch == head_epochs:
            rate, best = 0.5, math.inf
        expected += [rate] * 3
        if epoch % 2:
            loss = noted.losses[epoch // 2]
            fallen = loss < best * 0.7
            rate, best = (rate, loss) if fallen else (rate * 0.5, best)
    assert noted.rates == pytest.approx(expected)
    assert len({*noted.rates}) > 2


def test_a_resumed_training_with_rare_validations(tmp_path):
    options = {"schedule": "plateau", "patience": 1, "restore_best": True, "every": 2, "lr": 0.5}
    options |= {"optimizer": "sgd", "threshold": 0.3}
    whole = run(8, **options)
    for stop in (3, 4):
        with pytest.raises(StoppedError):
            run(8, StopAfter(stop), folder=tmp_path, **options)
        resumed = run(8, fit=tmp_path / f"epoch={stop}.ckpt", **options)
        assert same(resumed[0].state_dict(), whole[0].state_dict())
        assert resumed[1].rates == whole[1].rates[3 * (stop + 1) :]
    assert len({*whole[1].rates}) > 1


def test_plateaus_need_a_validation():
    module = LitCamClassifier(tiny_network(), TrainingSettings(schedule="plateau"))
    what = 'to have validation data for the schedule "plateau", but got none'
    with pytest.raises(ValueError, match=f"^Expected the trainer {what}.$"):
        trainer(2).fit(module, scene_data(val=0))
    with pytest.raises(ValueError, match=what):
        trainer(2, limit_val_batches=0).fit(module, scene_data())
    with pytest.raises(ValueError, match=what):
        trainer(2).fit(module, scene_data().train_dataloader())
    what = 'a number of epochs for the schedule "plateau", but got None'
    with pytest.raises(ValueError, match=what):
        options = {"check_val_every_n_epoch": None, "val_check_interval": 5}
        trainer(2, **options).fit(module, scene_data())


def test_schedules_of_the_two_parts():
    _, noted, _ = run(5, schedule="poly", power=1.0, head_epochs=2, head_lr=0.5)
    head = [0.5 * (1 - step / 6) for step in range(6)]
    assert noted.rates == pytest.approx(head + [0.01 * (1 - step / 9) for step in range(9)])


SCHEDULES = {
    "one-cycle": one_cycle,
    "poly": lambda rate, steps: [rate * (1 - step / steps) for step in range(steps)],
    "constant": lambda rate, steps: [rate] * steps,
}


@pytest.mark.parametrize("top_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_second_part_is_another_also_where_it_trains_the_head_too(schedule, top_share):
    _, noted, _ = run(
        5, schedule=schedule, power=1.0, head_epochs=2, head_lr=0.5, top_share=top_share
    )
    rates = SCHEDULES[schedule]
    assert noted.rates == pytest.approx(rates(0.5, 6) + rates(0.01, 9))


def test_a_resumed_second_part_of_the_head(tmp_path):
    options = {"schedule": "one-cycle", "head_epochs": 2, "head_lr": 0.5, "top_share": 0.0}
    whole = run(4, folder=tmp_path, **options)
    for epoch in (0, 1, 2):
        resumed = run(4, fit=tmp_path / f"epoch={epoch}.ckpt", **options)
        assert same(resumed[0].state_dict(), whole[0].state_dict())
        assert resumed[1].rates == whole[1].rates[3 * (epoch + 1) :]


def test_a_users_callback_divides_the_schedule_too():
    _, noted, _ = run(3, HeadFirst(1), schedule="poly", power=1.0)
    poly = SCHEDULES["poly"]
    assert noted.rates == pytest.approx(poly(0.01, 3) + poly(0.01, 6))


def test_the_head_alone_to_the_end():
    _, noted, _ = run(2, schedule="poly", power=1.0, head_epochs=2, top_share=0.0)
    assert noted.rates == pytest.approx([0.01 * (1 - step / 6) for step in range(6)])


@pytest.mark.parametrize("schedule", ["one-cycle", "poly", "plateau", "step"])
def test_a_resumed_training_equals_an_uninterrupted_one(schedule, tmp_path):
    options = {"schedule": schedule, "patience": 1, "step_epochs": 2, "restore_best": True}
    whole = run(4, **options)
    with pytest.raises(StoppedError):
        run(4, StopAfter(1), folder=tmp_path, **options)
    resumed = run(4, fit=tmp_path / "epoch=1.ckpt", **options)
    assert same(resumed[0].state_dict(), whole[0].state_dict())
    assert resumed[1].rates == whole[1].rates[6:]


def test_callbacks_as_the_settings_ask():
    def callbacks(**settings):
        module = LitCamClassifier(tiny_network(), TrainingSettings(epochs=9, **settings))
        return module.configure_callbacks()

    assert callbacks() == []
    head, stop = callbacks(head_epochs=2, top_share=0.4, early_stop=7)
    assert isinstance(head, HeadFirst)
    assert (head.head_epochs, head.top_share) == (2, 0.4)
    assert isinstance(stop, EarlyStoppingAfterHead)
    assert (stop.start, stop.patience, stop.monitor) == (2, 7, "val_loss")
    (best,) = callbacks(restore_best=True, patience=4, threshold=0.1)
    assert isinstance(best, RestoreBest)
    assert (best.patience, best.threshold, best.monitor) == (4, 0.1, "val_loss")


def test_early_stopping_ends_a_training():
    _, _, made = run(30, schedule="constant", optimizer="sgd", lr=5.0, early_stop=1)
    assert made.current_epoch < 30


def test_a_schedule_without_an_end():
    module = LitCamClassifier(tiny_network(), TrainingSettings())
    with pytest.raises(ValueError, match="max_epochs of the trainer to be at least 1 for this"):
        trainer(-1, max_steps=3).fit(module, scene_data())


def test_bad_settings():
    with pytest.raises(TypeError, match="settings to be TrainingSettings, but got 'small'"):
        LitCamClassifier(tiny_network(), "small")


class Autoencoder(SettingsModule):
    """No classifier: its labels are maps, and its head has a name of its own."""

    head_names = ("decoder",)

    def __init__(self, settings=None):
        parts = {"encoder": nn.Conv2d(3, 2, 1), "decoder": nn.Conv2d(2, 1, 1)}
        super().__init__(nn.Sequential(OrderedDict(parts)), settings)

    def loss_of(self, images, labels):
        apart = (self(images) - labels).abs()
        self.log_mean("largest", apart.amax(), images)
        return apart.mean()

    def checked_labels(self, labels):
        return labels[:, None]


def test_a_network_that_is_no_classifier():
    images = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(images, images.sum(dim=1))
    module = Autoencoder()
    with torch.no_grad():
        before = float(module.loss_of(images, images.sum(dim=1, keepdim=True)))
    made = trainer(3)
    made.fit(module, DataLoader(data, 2), DataLoader(data, 4))
    names = {"train_loss", "train_largest", "val_loss", "val_largest"}
    assert {*made.callback_metrics} == names
    with torch.no_grad():
        loss = float(module.loss_of(images, images.sum(dim=1, keepdim=True)))
    assert float(made.callback_metrics["val_loss"]) == pytest.approx(loss, rel=1e-5)
    assert loss < before


def test_a_head_of_another_name():
    settings = TrainingSettings(lr=0.1, head_lr_factor=10.0, schedule="constant")
    module = Autoencoder(settings)
    slow, fast = module.configure_optimizers().param_groups
    assert (slow["lr"], slow["params"]) == (0.1, [*module.network.encoder.parameters()])
    assert (fast["lr"], fast["params"]) == (1.0, [*module.network.decoder.parameters()])


@pytest.mark.parametrize("parts", [{"head_epochs": 2}, {"top_share": 0.5}])
def test_parts_are_for_modules_that_train_parts(parts):
    values = {"head_epochs": 0, "top_share": 1, **parts}
    what = r"settings to train all from the first epoch on \(head_epochs 0 and top_share 1\)"
    got = f"head_epochs {values['head_epochs']}, top_share {values['top_share']}"
    with pytest.raises(ValueError, match=f"^Expected {what}, but got {got}.$"):
        Autoencoder(TrainingSettings(**parts))
