"""F1, F2 and average precision against torchmetrics and scikit-learn."""

import math

import pytest
import torch
from sklearn.metrics import average_precision_score, fbeta_score

from captum_cluster.training.modules.scores import LabelScores


def drawn(n, labels, seed):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(n, labels, generator=generator)
    return probabilities, (torch.rand(n, labels, generator=generator) < 0.3).long()


@pytest.mark.parametrize("seed", range(3))
def test_several_labels_in_batches(seed):
    probabilities, labels = drawn(40, 5, seed)
    scores = LabelScores()
    for part in (slice(0, 17), slice(17, 40)):
        scores.update(probabilities[part], labels[part])
    found = scores.compute()
    predicted = (probabilities > 0.5).long().numpy()
    for name, beta in (("f1", 1), ("f2", 2)):
        expected = fbeta_score(labels.numpy(), predicted, beta=beta, average="macro")
        assert float(found[name]) == pytest.approx(expected, abs=1e-6)
    expected = average_precision_score(labels.numpy(), probabilities.numpy(), average="macro")
    assert float(found["map"]) == pytest.approx(expected, abs=1e-6)


def test_one_of_several_labels():
    probabilities, _ = drawn(30, 4, 0)
    numbers = torch.arange(30) % 4
    scores = LabelScores(multi_label=False)
    scores.update(probabilities, torch.nn.functional.one_hot(numbers, 4))
    predicted = probabilities.argmax(dim=1).numpy()
    expected = fbeta_score(numbers.numpy(), predicted, beta=2, average="macro")
    assert float(scores.compute()["f2"]) == pytest.approx(expected, abs=1e-6)


def test_labels_without_images():
    scores = LabelScores()
    scores.update(torch.tensor([[0.9, 0.1, 0.8]]), torch.tensor([[1, 0, 0]]))
    found = scores.compute()
    # of the labels without an image, the first is not predicted and the second is
    assert float(found["f1"]) == pytest.approx(1 / 2)
    assert float(found["map"]) == 1


def test_an_image_of_no_class():
    scores = LabelScores(multi_label=False)
    scores.update(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([[1, 0], [0, 0]]))
    found = scores.compute()
    # the second image is said to be of the first class, and is not
    assert float(found["f1"]) == pytest.approx(2 / 3)
    assert float(found["map"]) == 1


def test_one_label_and_none_at_all():
    scores = LabelScores()
    scores.update(torch.tensor([[0.9], [0.6]]), torch.tensor([[1], [0]]))
    assert float(scores.compute()["f1"]) == pytest.approx(2 / 3)
    scores.reset()
    scores.update(torch.tensor([[0.1]]), torch.tensor([[0]]))
    assert all(math.isnan(float(value)) for value in scores.compute().values())
