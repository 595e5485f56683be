"""Which layer of a model belongs to which of its networks, and what does not fit."""

import pytest
import torch
from torch import nn

from captum_cluster._checks import LayerError
from captum_cluster.methods import Networks, check_groups_of, check_level, split_networks

GROUPS = [torch.tensor([0, 0, 1]), torch.tensor([0, 0, 0])]


class Part(nn.Module):
    """A network that names its layers."""

    def __init__(self, layers=1):
        super().__init__()
        self.bodies = nn.ModuleList(nn.ReLU() for _ in range(layers))

    @property
    def explained_layers(self):
        return list(self.bodies)


class Whole(nn.Module):
    """Several networks with groups."""

    def __init__(self, networks, groups):
        super().__init__()
        self.parts, self.groups = nn.ModuleList(networks), groups

    @property
    def networks(self):
        return list(self.parts)

    @property
    def explained_layers(self):
        return [layer for part in self.parts for layer in part.explained_layers]

    def forward(self, x):
        return x


def whole():
    return Whole([Part(2), Part(1), Part(2)], GROUPS)


def test_a_plain_model_is_one_network():
    layers = [nn.ReLU(), nn.ReLU()]
    assert split_networks(nn.Sequential(*layers), layers) == Networks(tuple(layers))
    assert split_networks(lambda x: x, layers) == Networks(tuple(layers))


@pytest.mark.parametrize("names", [("networks",), ("groups",)])
def test_one_of_the_two_attributes_alone_makes_no_levels(names):
    model = nn.Sequential(nn.ReLU())
    for name in names:
        setattr(model, name, [3])
    assert split_networks(model, [model[0]]) == Networks((model[0],))


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]])
def test_layers_in_any_order_go_to_their_networks(order):
    model = whole()
    layers = model.explained_layers
    found = split_networks(model, [layers[place] for place in order])
    assert set(found.base) == {layers[0], layers[1]}
    assert found.levels[0].layers == (layers[2],)
    assert set(found.levels[1].layers) == {layers[3], layers[4]}
    assert [level.network for level in found.levels] == model.networks[1:]
    assert found.groups == GROUPS


def test_a_bound_method_shows_its_model():
    model = whole()
    assert len(split_networks(model.forward, model.explained_layers).levels) == 2


def test_a_network_without_a_layer_is_explained_at_its_own():
    model = whole()
    layers = model.explained_layers
    found = split_networks(model, [layers[1]])
    assert found.base == (layers[1],), "a branch that is named alone is explained alone"
    assert [level.layers for level in found.levels] == [(layers[2],), (layers[3], layers[4])]


def test_a_body_that_networks_share_belongs_to_each():
    part = Part()
    model = Whole([part, part], GROUPS[:1])
    found = split_networks(model, model.explained_layers)
    assert (found.base, found.levels[0].layers) == ((part.bodies[0],), (part.bodies[0],))


def test_a_layer_of_none_of_the_networks():
    model = whole()
    model.other = nn.Sigmoid()
    with pytest.raises(LayerError) as caught:
        split_networks(model, [*model.explained_layers, model.other])
    assert str(caught.value) == (
        "Expected layer to be a module of one of the model's 3 networks, but got a Sigmoid of "
        "none of them."
    )


def test_a_network_that_names_no_layers():
    model = Whole([Part(), nn.Sequential(nn.ReLU())], GROUPS[:1])
    assert split_networks(model, [model.parts[0].bodies[0], model.parts[1][0]])
    with pytest.raises(LayerError) as caught:
        split_networks(model, [model.parts[0].bodies[0]])
    assert str(caught.value) == (
        "Expected the layers to hold a layer of each network of the model (or it to have "
        "explained_layers), but got none of network 1."
    )


@pytest.mark.parametrize(
    ("groups", "what", "got"),
    [
        (GROUPS[:1], "one LongTensor (L,) for each of its 2 networks of groups", "1 of them"),
        ([*GROUPS, GROUPS[0]], "one LongTensor (L,) for each of its 2 networks", "3 of them"),
        ([GROUPS[0], [0, 0, 1]], "LongTensors (L,) of numbers from 0", "[0, 0, 1] (list)"),
        ([GROUPS[0], torch.zeros(3)], "LongTensors (L,)", "shape (3,) and dtype torch.float32"),
        ([GROUPS[0], torch.zeros(1, 3).long()], "LongTensors (L,)", "shape (1, 3)"),
        ([GROUPS[0], torch.tensor([0, -1, 1])], "LongTensors (L,)", "shape (3,)"),
        ([GROUPS[0], torch.zeros(0).long()], "LongTensors (L,)", "shape (0,)"),
    ],
)
def test_groups_that_do_not_fit(groups, what, got):
    model = Whole([Part(), Part(), Part()], groups)
    with pytest.raises(ValueError, match="^Expected the model's groups to be ") as caught:
        split_networks(model, model.explained_layers)
    assert what in str(caught.value)
    assert got in str(caught.value)


def test_outputs_of_a_level():
    groups = torch.tensor([0, 2, 1])
    check_level(torch.zeros(2, 3), groups, 1)
    check_level(torch.zeros(2, 4), groups, 1)  # a group may have lost its labels
    for outputs in (torch.zeros(2, 2), torch.zeros(3), torch.zeros(2, 3, 1)):
        with pytest.raises(ValueError, match=r"^Expected the network of level 2 to give logits"):
            check_level(outputs, groups, 2)
    with pytest.raises(ValueError, match=r"^Expected the outputs of level 1 to be finite.*NaN"):
        check_level(torch.full((2, 3), torch.nan), groups, 1)


def test_groups_of_another_number_of_labels():
    check_groups_of(GROUPS, 3)
    with pytest.raises(ValueError, match="^Expected the groups of level 2 to hold") as caught:
        check_groups_of([GROUPS[0], torch.tensor([0, 0])], 3)
    assert str(caught.value) == (
        "Expected the groups of level 2 to hold one group for each of the model's 3 labels, "
        "but got 2."
    )
