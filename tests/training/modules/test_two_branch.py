"""Two branches: the loss of the paper, and that the constraint does what it says."""

import pytest
import torch
import torch.nn.functional as F

from captum_cluster.training import TrainingSettings, TwoBranch
from captum_cluster.training.callbacks import EpochSeed
from captum_cluster.training.modules import LitTwoBranch
from tests.helpers.trainings import (
    LABELS,
    StopAfter,
    StoppedError,
    same,
    scene_data,
    tiny_network,
    trainer,
)


def branches(seed=0):
    seeds = iter((seed, seed + 1))
    return TwoBranch(lambda: tiny_network(seed=next(seeds), dropout=0.0), LABELS)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_that_of_the_paper(reduction):
    module = LitTwoBranch(branches().eval(), orthogonality=0.3, reduction=reduction)
    module.log = lambda *_, **__: None
    images, labels, _ = scene_data().train[[1, 2, 3]]
    first, second = module.network.branches
    expected = 0.3 * (F.relu(first.maps(images)) * F.relu(second.maps(images))).sum()
    expected = expected / (3 if reduction == "mean" else 1)
    for branch in (first, second):
        expected = expected + F.binary_cross_entropy_with_logits(branch(images), labels)
    torch.testing.assert_close(module.loss_of(images, labels), expected)


def test_the_constraint_makes_branches_differ():
    found = []
    for strength in (0.0, 1.0):
        settings = TrainingSettings(schedule="constant", weight_decay=0.0)
        module = LitTwoBranch(branches(), settings, orthogonality=strength)
        made = trainer(4)
        made.fit(module, scene_data())
        found.append(float(made.callback_metrics["train_orthogonality"]))
    assert found[1] < 0.5 * found[0]


def test_validation_is_that_of_the_mean():
    module = LitTwoBranch(branches())
    made = trainer(1)
    made.fit(module, scene_data())
    images, labels, _ = scene_data().val[[*range(5)]]
    module.eval()
    loss = F.binary_cross_entropy_with_logits(module(images), labels)
    assert float(made.callback_metrics["val_loss"]) == pytest.approx(loss.item(), abs=1e-6)
    assert {"val_f1", "val_f2", "val_map"} <= {*made.callback_metrics}


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_resumed_training_equals_an_uninterrupted_one(epoch, tmp_path):
    """With dropout, running statistics, a head that is trained first and the best put back."""

    def run(*callbacks, **options):
        seeds = iter((0, 1))
        network = TwoBranch(lambda: tiny_network(seed=next(seeds)), LABELS)
        settings = TrainingSettings(
            lr=0.05, epochs=4, head_epochs=1, top_share=0.5, restore_best=True, patience=1
        )
        module = LitTwoBranch(network, settings, orthogonality=0.1)
        made = trainer(4, EpochSeed(3), *callbacks, folder=options.pop("folder", None))
        made.fit(module, scene_data(), **options)
        return module.state_dict()

    whole = run()
    with pytest.raises(StoppedError):
        run(StopAfter(epoch), folder=tmp_path)
    torch.rand(7)  # what happened meanwhile must not matter
    assert same(run(ckpt_path=tmp_path / f"epoch={epoch}.ckpt"), whole)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"network": tiny_network()}, TypeError, "network to be a TwoBranch"),
        ({"orthogonality": -1}, ValueError, "orthogonality to be a number of at least 0"),
        ({"reduction": "max"}, ValueError, "reduction to be one of 'mean', 'sum'"),
    ],
    ids=["network", "strength", "reduction"],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        LitTwoBranch(**{"network": branches(), **options})
