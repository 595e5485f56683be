"""The maths of Ablation-CAM, against numbers worked by hand."""

import pytest
import torch

from captum_cluster.functional.attribution.ablation import (
    ablation_weights,
    changed_maps,
    closed_form_scores,
    fill_values,
    rows_per_tail,
)

MAPS = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]], [[[-1.0, 3.0]], [[4.0, 4.0]]]]).double()


def test_what_takes_the_place_of_a_map():
    assert fill_values(MAPS, "zero").tolist() == [0, 0]
    assert fill_values(MAPS, "low").tolist() == [0, -1 - 1e7]
    assert fill_values(MAPS + 2, "low").tolist() == [2 - 1e7, 1 - 1e7]
    assert fill_values(MAPS.float(), "low").dtype == torch.float32
    with pytest.raises(ValueError, match="^Expected fill to be one of 'zero', 'low', but got 'm"):
        fill_values(MAPS, "mean")


def test_which_maps_change():
    assert changed_maps(MAPS, torch.zeros(2).double()).tolist() == [[True, False], [True, True]]
    fills = torch.tensor([0.0, 4.0]).double()
    assert changed_maps(MAPS, fills).tolist() == [[True, False], [True, False]]


def test_weights_by_hand():
    whole = torch.tensor([[2.0, -4.0]])
    scores = torch.tensor([[[1.0, -1.0], [3.0, -4.0], [2.0, -8.0]]])
    expected = torch.tensor([[[0.5, -0.5, 0.0], [0.75, 0.0, -1.0]]])
    assert torch.equal(ablation_weights(whole, scores), expected)


@pytest.mark.parametrize("whole", [0.0, -0.0, 1e-45, -1e-40])
def test_weights_of_a_score_of_0_are_what_is_lost(whole):
    scores = torch.tensor([[[1.0], [-2.0], [0.0]]])
    found = ablation_weights(torch.tensor([[whole]]), scores)
    assert torch.allclose(found, torch.tensor([[[-1.0, 2.0, 0.0]]]))


def test_a_score_of_0_of_one_target_leaves_the_others_alone():
    whole = torch.tensor([[0.0, 2.0], [4.0, 0.0]])
    scores = torch.tensor([[[3.0, 1.0]], [[2.0, 5.0]]])
    found = ablation_weights(whole, scores)
    assert torch.equal(found, torch.tensor([[[-3.0], [0.5]], [[0.5], [-5.0]]]))


@pytest.mark.parametrize("fill", ["zero", "low"])
def test_the_closed_form_is_the_classifier_of_changed_means(fill):
    weight = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]]).double()
    targets = torch.tensor([[2, 0], [1, 1]])
    fills = fill_values(MAPS, fill)
    whole = (MAPS.mean(dim=(2, 3)) @ weight.T + 7).gather(1, targets)
    found = closed_form_scores(MAPS, weight, targets, whole, fills)
    for image in range(2):
        for channel in range(2):
            changed = MAPS[image].clone()
            changed[channel] = fills[image]
            logits = weight @ changed.mean(dim=(1, 2)) + 7
            expected = logits[targets[image]]
            assert torch.allclose(found[image, channel], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("widest", "rows"), [(1, 128), (2**19, 128), (2**20, 64), (2**25, 2), (2**40, 1), (0, 128)]
)
def test_rows_within_the_budget(widest, rows):
    assert rows_per_tail(widest, torch.device("cpu")) == rows
