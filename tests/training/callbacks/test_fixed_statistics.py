"""Batch normalisation with the statistics that a network brings along."""

import pytest
import torch

from captum_cluster.training import LitCamClassifier, TrainingSettings, TwoBranch
from captum_cluster.training.modules import LitTwoBranch
from tests.helpers.trainings import LABELS, scene_data, tiny_network, trainer


def trained(module, data, epochs=3):
    before = {name: one.clone() for name, one in module.state_dict().items()}
    trainer(epochs).fit(module, data)
    after = module.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("head_epochs", [0, 1])
@pytest.mark.parametrize("val", [0, 5])
def test_the_statistics_stay_and_the_weights_learn(head_epochs, val):
    settings = TrainingSettings(fixed_statistics=True, head_epochs=head_epochs)
    module = LitCamClassifier(tiny_network(), settings)
    changed = trained(module, scene_data(val=val))
    assert not any("running" in name or "tracked" in name for name in changed)
    assert {"network.body.1.weight", "network.body.1.bias", "network.body.0.weight"} <= changed


def test_without_it_they_change():
    changed = trained(LitCamClassifier(tiny_network()), scene_data())
    assert {"network.body.1.running_mean", "network.body.1.running_var"} <= changed


def test_both_branches():
    network = TwoBranch(lambda: tiny_network().body, LABELS)
    module = LitTwoBranch(network, TrainingSettings(fixed_statistics=True))
    changed = trained(module, scene_data())
    assert changed
    assert not any("running" in name for name in changed)


def test_an_image_is_learned_from_as_it_is_explained():
    """Folded statistics (mean 0, variance 1): a batch's own would be of another network."""
    module = LitCamClassifier(tiny_network(dropout=0.0), TrainingSettings(fixed_statistics=True))
    images, labels, _ = next(iter(scene_data().train_dataloader()))
    explained = module.eval().loss_of(images, labels)
    losses = []
    module.loss_of = lambda *batch: losses.append(loss(*batch)) or losses[-1]
    loss = LitCamClassifier.loss_of.__get__(module)
    trainer(1, limit_train_batches=1).fit(module.train(), scene_data())
    torch.testing.assert_close(losses[0], explained)
