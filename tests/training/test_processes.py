"""Trainings on two processes: each image once, the same clusters, the same weights."""

import pytest
import torch

from captum_cluster.functional.training import sub_category_assignments
from tests.helpers.trainings import same, scene_data, tiny_network
from tests.helpers.two_processes import LENGTH


def found(folder, kind="sub_categories"):
    return [torch.load(folder / f"{kind}-{rank}.pt") for rank in (0, 1)]


@pytest.fixture(scope="module")
def two(two_processes):
    return found(two_processes)


def test_both_have_the_same_clusters_and_weights(two):
    first, second = two
    assert torch.equal(first["assignments"], second["assignments"])
    assert same(first["state"], second["state"])
    for mine, others in zip(first["rounds"], second["rounds"], strict=True):
        assert same(mine, others)


def test_the_clusters_are_those_of_one_process(two):
    state = two[0]["rounds"][0]
    network = tiny_network().eval()
    prefix = "network."
    network.load_state_dict(
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    )
    images, labels, _ = scene_data(LENGTH).train[[*range(LENGTH)]]
    with torch.no_grad():
        expected = sub_category_assignments(network.features(images), labels, 3)
    assert torch.equal(two[0]["assignments"], expected)


def test_each_image_is_taken_once(two):
    shares = [one["trained"] for one in two]
    # an epoch of training (12 images in batches of 4), the clustering (all 13), another epoch
    for (first, second), count in zip(
        [(slice(0, 6), slice(0, 6)), (slice(6, 13), slice(6, 12)), (slice(13, 19), slice(12, 18))],
        [12, LENGTH, 12],
        strict=True,
    ):
        taken = shares[0][first] + shares[1][second]
        assert len(taken) == len({*taken}) == count
    assert [len(share) for share in shares] == [19, 18]


def test_each_image_is_validated_once(two_processes):
    first, second = found(two_processes, "head_first")
    assert sorted(first["validated"] + second["validated"]) == sorted([*range(5)] * 2)


@pytest.mark.parametrize("kind", ["sub_categories", "head_first"])
def test_both_log_the_same_numbers(two_processes, kind):
    first, second = found(two_processes, kind)
    assert first["metrics"] == second["metrics"]
    names = {"sub_category_loss"} if kind == "sub_categories" else {"val_loss", "val_map"}
    assert names <= {*first["metrics"]}


def test_a_resumed_training_equals_an_uninterrupted_one(two, two_processes):
    resumed = found(two_processes, "resumed")
    assert len(resumed[0]["trained"]) < len(two[0]["trained"]), "it began anew"
    assert same(resumed[0]["state"], two[0]["state"])
    assert torch.equal(resumed[1]["assignments"], two[0]["assignments"])


def test_layers_that_are_trained_later_are_trained_together(two_processes):
    first, second = found(two_processes, "head_first")
    names = [name for name in first["state"] if "num_batches" not in name]
    assert all(torch.equal(first["state"][name], second["state"][name]) for name in names)
    fresh = tiny_network().state_dict()
    assert not torch.equal(first["state"]["network.body.3.weight"], fresh["body.3.weight"])
    assert torch.equal(first["state"]["network.body.0.weight"], fresh["body.0.weight"])
