"""The networks of the recipes, and their files."""

import pytest
import torch
from torch import nn

from captum_cluster.attr import LayerClassActivationMap, LayerSubCategoryCam
from captum_cluster.evaluation.recipes import TrainingConfig, load_network
from captum_cluster.evaluation.recipes.networks import Builder, add_sub_head, save_network
from captum_cluster.evaluation.recipes.pictures import head_weight
from captum_cluster.training import GapClassifier, KernelUsageLinear, SubCategoryHead


def test_equal_seeds_give_equal_networks_and_leave_the_random_state():
    builder = Builder(TrainingConfig("baseline"))
    before = torch.get_rng_state()
    first, again, other = (builder.classifier(4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.body[0][0].weight, again.body[0][0].weight)
    assert not torch.equal(first.body[0][0].weight, other.body[0][0].weight)
    assert first.num_labels == 4


def test_heads_are_as_the_run_says():
    builder = Builder(TrainingConfig("kernel-usage"), dropout=0.25, bias=False)
    regularised, plain = (builder.classifier(4, seed=0, kernel_usage=one) for one in (None, False))
    assert isinstance(regularised.parent_head, KernelUsageLinear)
    assert type(plain.parent_head) is nn.Linear
    assert plain.parent_head.bias is None
    assert plain.dropout.p == 0.25


@pytest.mark.parametrize(("branches", "count"), [(1, 1), (2, 2)])
def test_branches(branches, count):
    config = TrainingConfig("class-grouping", branches=branches)
    network = Builder(config).branched(3, seed=0)
    assert len(network.explained_layers) == count
    bodies = [layer[0][0].weight for layer in network.explained_layers]
    assert len({float(one.detach().sum()) for one in bodies}) == count


def test_a_torchvision_backbone_with_random_weights():
    config = TrainingConfig("baseline", backbone="squeezenet1_1", weights="none")
    network = Builder(config).classifier(3, seed=0)
    assert tuple(network(torch.rand(1, 3, 64, 64)).shape) == (1, 3)


def test_a_backbone_with_the_weights_of_a_file(tmp_path):
    from torchvision.models import squeezenet1_1

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        source = squeezenet1_1(num_classes=5)
    torch.save(source.state_dict(), tmp_path / "five.pt")
    config = TrainingConfig(
        "baseline", "voc:x", backbone="squeezenet1_1", weights=str(tmp_path / "five.pt")
    )
    first = next(Builder(config).classifier(3, seed=0).body.parameters())
    assert torch.equal(first, source.features[0].weight)
    fresh = next(Builder(config, trained=False).classifier(3, seed=0).body.parameters())
    assert not torch.equal(fresh, first)


def test_the_further_head_changes_no_output_and_no_map():
    network = Builder(TrainingConfig("sub-category")).classifier(4, seed=0).eval()
    image = torch.rand(1, 3, 64, 64)
    before = network(image)
    cam = LayerClassActivationMap(network, network.body).attribute(image, 1)
    state = SubCategoryHead(64, 4, 3).state_dict()
    add_sub_head(network, state, 3)
    assert torch.equal(network(image), before)
    assert torch.equal(network.sub_category_head.weight, state["weight"])
    found = LayerClassActivationMap(network, network.body).attribute(image, 1)
    assert torch.equal(found, cam)


def saved(folder, recipe="baseline", name="baseline"):
    config = TrainingConfig(recipe)
    network = Builder(config).classifier(4, seed=0)
    config.save(folder)
    save_network(network, folder / f"{name}.pt")
    return network


def test_a_network_survives_its_file(tmp_path):
    network = saved(tmp_path).eval()
    found = load_network(tmp_path, "baseline")
    assert isinstance(found, GapClassifier)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(found(image), network(image))
    assert not list(tmp_path.glob(".*"))


def test_files_that_are_no_network(tmp_path):
    saved(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"network\.pt"):
        load_network(tmp_path)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "network.pt")
    with pytest.raises(ValueError, match="the network to have a parent_head, but got none"):
        load_network(tmp_path)
    torch.save({"parent_head.weight": torch.zeros(4, 64)}, tmp_path / "network.pt")
    with pytest.raises(ValueError, match=r"network\.pt.* to be the tensors of the network that"):
        load_network(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"config\.yaml"):
        load_network(tmp_path / "elsewhere")


@pytest.mark.parametrize("regularised", [False, True])
def test_the_further_head_is_regularised_as_it_was_trained(tmp_path, regularised):
    config = TrainingConfig("sub-category", kernel_usage=regularised)
    network = Builder(config).classifier(4, seed=0).eval()
    trained = SubCategoryHead(64, 4, 3, kernel_usage=regularised)
    trained.reset(0)
    add_sub_head(network, trained.state_dict(), 3)
    config.save(tmp_path)
    save_network(network, tmp_path / "network.pt")
    features = torch.rand(2, 64)
    for one in (network, load_network(tmp_path)):
        assert torch.equal(one.sub_category_head(features), trained(features))
        assert torch.equal(head_weight(one.sub_category_head), trained.effective_weight)
        maps, rows = one.maps(torch.ones(1, 3, 64, 64)), trained.effective_weight[3:6]
        slow = torch.stack([sum(w * m for w, m in zip(row, maps[0], strict=True)) for row in rows])
        found = LayerSubCategoryCam(one, one.body).attribute(torch.ones(1, 3, 64, 64), 1)
        torch.testing.assert_close(found[0, 0], slow.relu().amax(dim=0), rtol=1e-4, atol=1e-6)


def test_branches_are_known_by_their_tensors(tmp_path):
    config = TrainingConfig("class-grouping")
    network = Builder(config).branched(4, seed=0).eval()
    config.save(tmp_path)
    save_network(network, tmp_path / "any-name.pt")
    found = load_network(tmp_path, "any-name")
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(found(image), network(image))
