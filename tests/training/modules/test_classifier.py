"""The classifier: its losses, its protocol."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from captum_cluster.training import TrainingSettings, gap_classifier
from captum_cluster.training.modules import LitCamClassifier
from tests.helpers.trainings import LABELS, scene_data, tiny_network, trainer


def test_the_loss_of_several_labels():
    module = LitCamClassifier(tiny_network(dropout=0.0))
    images, labels, _ = scene_data().train[[1, 2, 3]]
    probability = module(images).sigmoid()
    terms = labels * probability.log() + (1 - labels) * (1 - probability).log()
    torch.testing.assert_close(module.loss_of(images, labels), -terms.mean())
    weight = torch.tensor([0.0, 1.0, 2.0, 3.0])
    weighted = LitCamClassifier(module.network, class_weight=weight)
    torch.testing.assert_close(weighted.loss_of(images, labels), -(terms * weight).mean())


@pytest.mark.parametrize("numbers", [False, True], ids=["one-hot", "numbers"])
def test_the_loss_of_a_single_label(numbers):
    module = LitCamClassifier(tiny_network(dropout=0.0).eval(), multi_label=False)
    images, given = torch.rand(4, 3, 8, 8), torch.tensor([3, 0, 1, 1])
    labels = given if numbers else F.one_hot(given, LABELS)
    expected = -module(images).log_softmax(dim=1)[torch.arange(4), given].mean()
    module.log = lambda *_, **__: None
    torch.testing.assert_close(module.training_step((images, labels), 0), expected)


@pytest.mark.parametrize("step", ["training_step", "validation_step"])
@pytest.mark.parametrize(
    ("labels", "multi_label", "message"),
    [
        (torch.tensor([3, 0]), True,
         r"labels to be \(N,4\), one column for each label, but got a tensor of shape \(2,\) and "
         "dtype torch.int64. Numbers of classes go with multi_label=False."),
        (torch.zeros(2, 3), True, r"labels to be \(N,4\), .*got a tensor of shape \(2, 3\)"),
        (torch.zeros(2, 3), False, r"labels to be \(N,4\), .*, or numbers of classes \(N,\)"),
        (torch.tensor([0.0, 1.0]), False, r"or numbers of classes \(N,\), but got .*float32"),
    ],
    ids=["numbers", "three", "three-single", "floats"],
)  # fmt: skip
def test_labels_of_another_form(step, labels, multi_label, message):
    module = LitCamClassifier(tiny_network(), multi_label=multi_label)
    with pytest.raises(ValueError, match=message):
        getattr(module, step)((torch.rand(2, 3, 8, 8), labels), 0)


def test_the_protocol_is_that_of_the_network():
    network = tiny_network().eval()
    module = LitCamClassifier(network)
    images = torch.rand(2, 3, 8, 8)
    assert module.parent_head is network.parent_head
    assert torch.equal(module.features(images), network.features(images))
    assert torch.equal(module(images), network(images))
    assert module.num_labels == LABELS


def test_a_backbone_of_torchvision_learns():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = gap_classifier("squeezenet1_1", LABELS)
    settings = TrainingSettings(schedule="constant", lr=1e-3)
    module = LitCamClassifier(network, settings)
    losses = []
    module.on_train_epoch_end = lambda: losses.append(
        float(module.trainer.callback_metrics["train_loss"])
    )
    from captum_cluster.data import Preparation

    trainer(4).fit(module, scene_data(preparation=Preparation(32)))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "network", [nn.Linear(3, 3), "resnet18", None], ids=["linear", "name", "none"]
)
def test_other_networks(network):
    what = r"network to be a module with features\(x\) and parent_head, but got a "
    with pytest.raises(TypeError, match=what):
        LitCamClassifier(network)
