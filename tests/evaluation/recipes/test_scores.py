"""How well a network tells labels, against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from captum_cluster.data import Preparation, Scene, SceneDataset
from captum_cluster.evaluation.recipes.scores import classifier_scores

PLAIN = Preparation(1, mode="none", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Told(SceneDataset):
    """Scenes of one pixel that say by their colour what the network answers."""

    def __init__(self, answers, labels):
        self.answers = torch.tensor(answers)
        self.truth = torch.tensor(labels).bool()
        self.classes = ["a", "b", "c"]

    def __len__(self):
        return len(self.answers)

    def _scene(self, index):
        return Scene(self.answers[index][:, None, None], self.truth[index], name=str(index))


class Answer(nn.Module):
    """Logits from the colours: above 0.5 is yes."""

    def forward(self, images):
        return 10 * (images.flatten(1) - 0.5)


def test_several_labels():
    # Label a: found 1 of 2, nothing wrong: P = 1, R = 1/2. Label b: 2 of 2 and one wrong: P = 2/3,
    # R = 1. Label c: in no image, and never said to be: left out.
    found = classifier_scores(
        Answer(),
        Told(
            [[0.9, 0.9, 0.1], [0.2, 0.8, 0.1], [0.1, 0.7, 0.1]], [[1, 1, 0], [1, 0, 0], [0, 1, 0]]
        ),
        PLAIN,
        several=True,
    )
    assert found.f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    f2 = [5 * p * r / (4 * p + r) for p, r in ((1, 1 / 2), (2 / 3, 1))]
    assert found.f2 == pytest.approx(sum(f2) / 2)
    # a: ranked 0.9, 0.2, 0.1, right ones first: 1. b: 0.9 right, 0.8 wrong, 0.7 right.
    assert found.average_precision == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)


def test_one_label_in_each_image():
    found = classifier_scores(
        Answer(),
        Told(
            [[0.9, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]], [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
        ),
        PLAIN,
        several=False,
    )
    assert found.f1 == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found.to_dict()["f2"] == pytest.approx((5 / 6 + 5 / 9) / 2)


def test_an_image_without_its_label_is_no_image_of_the_first():
    # Said to be "a" and of no class: wrong for "a", which no image has, and nothing for others.
    found = classifier_scores(
        Answer(),
        Told([[0.9, 0.1, 0.1], [0.1, 0.8, 0.1]], [[0, 0, 0], [0, 1, 0]]),
        PLAIN,
        several=False,
    )
    assert found.to_dict() == {"f1": 0.5, "f2": 0.5, "average_precision": 1.0}


@pytest.mark.parametrize("several", [True, False])
def test_one_label(several):
    class One(Told):
        def __init__(self):
            super().__init__([[0.9, 0, 0], [0.8, 0, 0]], [[1], [1]])
            self.classes = ["a"]

    network = nn.Sequential(Answer(), nn.Linear(3, 1, bias=False))
    nn.init.constant_(network[1].weight, 0)
    with torch.no_grad():
        network[1].weight[0, 0] = 1
    found = classifier_scores(network, One(), PLAIN, several=several)
    assert found.to_dict() == {"f1": 1, "f2": 1, "average_precision": 1}


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Dropout(0.9), Answer()).train()
    told = Told([[0.9, 0.1, 0.1]] * 40, [[1, 0, 0]] * 40)
    found = classifier_scores(network, told, PLAIN, several=True)
    assert found.f1 == 1
    assert network.training
    assert network[0].training
