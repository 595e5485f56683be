"""What the page says of each number is what the number is."""

import pytest
import torch

from captum_cluster.evaluation.reporting.meanings import MEANINGS
from captum_cluster.evaluation.running.measures import METRICS
from captum_cluster.functional.metrics import multi_label_confidence_update

VALUES = [value.name for metric in METRICS.values() for value in metric.values]


def test_every_value_has_a_meaning():
    assert sorted(VALUES) == sorted(MEANINGS)


@pytest.mark.parametrize("name", VALUES)
def test_meanings_are_sentences(name):
    text = MEANINGS[name]
    assert text.endswith(".")
    assert "  " not in text
    assert ".." not in text


def several():
    """Return the values of three pairs: two of label 0, one of them alone in its image, one of 1.

    By hand: label 0 loses 1/2 and 0, label 1 loses 1; of the others 1/2, none there, and 1/4.
    """
    present = torch.tensor([[True, True], [True, False], [True, True]])
    masked = torch.tensor([[0.4, 0.4], [0.8, 0.8], [0.6, 0.0]])
    whole = torch.full((3, 2), 0.8)
    sums = multi_label_confidence_update(whole, masked, masked, torch.tensor([0, 0, 1]), present)
    metric = METRICS["multi-label"]
    found = metric.compute({name: one[None] for name, one in sums.items()})
    return {value.name: float(one) for value, one in zip(metric.values, found, strict=True)}


def test_several_labels_mean_first_within_each_label():
    found = several()
    assert found["multi-label-ad"] == pytest.approx((1 / 4 + 1) / 2)  # and not (1/2 + 0 + 1) / 3
    for name in ("ic", "ad", "ado", "ar", "aro"):
        text = MEANINGS[f"multi-label-{name}"]
        assert "over all (image, label) pairs of the run, first within each label, then" in text


def test_a_label_alone_in_its_image_counts_nothing_of_others():
    found = several()
    assert found["multi-label-ado"] == pytest.approx(((1 / 2 + 0) / 2 + 1 / 4) / 2)
    for name in ("ic", "ad", "ado", "ar", "aro"):
        said = "has no other label counts 0" in MEANINGS[f"multi-label-{name}"]
        assert said == (name in ("ado", "aro"))


def test_harmonic_means_are_of_each_label():
    found = several()
    first, second = 1 / 4, 2 * 1 * 1 / 4 / (1 + 1 / 4)  # drop 1/4 and 1, of others 1/4 and 1/4
    assert found["multi-label-f1-minus"] == pytest.approx((first + second) / 2)
    assert "of each label, as a mean over the labels" in MEANINGS["multi-label-f1-minus"]
