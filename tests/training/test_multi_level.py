"""The networks of all levels as one: what comes out, buffers, files, messages."""

import copy
import io

import pytest
import torch
from torch import nn

from captum_cluster._checks import LayerError
from captum_cluster.training import (
    ClassHierarchy,
    MultiLevelNetwork,
    TwoBranch,
    gap_classifier,
)
from tests.helpers.nets import images

GROUPS = [torch.tensor([0, 1, 0, 1, 2]), torch.tensor([0, 1, 0, 1, 1])]


def body():
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU()).double()


def network(labels, branches=1):
    return gap_classifier(body(), labels) if branches == 1 else TwoBranch(body, labels)


def net_of(groups=GROUPS, branches=1, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base, *levels = (network(labels, branches) for labels in (5, 3, 2))
        return MultiLevelNetwork(base, levels, groups).eval()


@pytest.mark.parametrize("branches", [1, 2])
def test_the_output_is_the_ungrouped_one(branches):
    net, x = net_of(branches=branches), images(2)
    assert torch.equal(net(x), net.base(x))
    assert net(x).shape == (2, 5)
    assert net.networks == [net.base, net.levels[0], net.levels[1]]
    assert [tuple(part(x).shape) for part in net.networks] == [(2, 5), (2, 3), (2, 2)]
    assert net.num_labels == 5


def test_the_layers_of_all_networks_one_after_the_other():
    net = net_of(branches=2)
    expected = [branch.body for part in net.networks for branch in part.branches]
    assert net.explained_layers == expected
    assert len({id(layer) for layer in expected}) == 6


def test_a_hierarchy_or_its_tensors():
    net = net_of(ClassHierarchy(GROUPS))
    for mine, given in zip(net.groups, GROUPS, strict=True):
        assert torch.equal(mine, given)
        assert mine is not given
    assert all(torch.equal(*pair) for pair in zip(net_of().groups, net.groups, strict=True))


@pytest.mark.parametrize("form", [list, ClassHierarchy])
def test_the_groups_are_copies(form):
    given = form([level.clone() for level in GROUPS])
    net = net_of(given)
    for level in given.groups if form is ClassHierarchy else given:
        level.zero_()
    assert [level.tolist() for level in net.groups] == [level.tolist() for level in GROUPS]


def test_groups_that_are_not_nested():
    groups = [GROUPS[0], torch.tensor([0, 0, 1, 1, 1])]
    assert torch.equal(net_of(groups).groups[1], groups[1])


def test_the_groups_are_kept_in_the_state():
    net, other, x = net_of(), net_of([GROUPS[0].flip(0), GROUPS[1].flip(0)], seed=1), images(2)
    assert not torch.equal(other.groups[0], GROUPS[0])
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.groups[0], GROUPS[0])
    assert torch.equal(other.groups[1], GROUPS[1])
    for mine, its in zip(net.networks, other.networks, strict=True):
        assert torch.equal(mine(x), its(x))
    assert torch.equal(net_of().groups[0], GROUPS[0])


def test_copies_and_files():
    net, x = net_of(branches=2), images(2)
    stream = io.BytesIO()
    torch.save(net, stream)
    stream.seek(0)
    for twin in (copy.deepcopy(net), torch.load(stream, weights_only=False)):
        assert torch.equal(twin.levels[1](x), net.levels[1](x))
        assert [level.tolist() for level in twin.groups] == [level.tolist() for level in GROUPS]
        assert twin.explained_layers[-1] is twin.levels[1].branches[1].body


def test_groups_keep_their_type_when_the_module_is_converted():
    net = net_of().float()
    assert all(level.dtype == torch.long for level in net.groups)
    assert not any(parameter.dtype == torch.long for parameter in net.parameters())
    assert [level.device.type for level in net.to("meta").groups] == ["meta", "meta"]


class Plain(nn.Module):
    """A network of someone else, without the names of this package."""

    def __init__(self, labels):
        super().__init__()
        self.fc = nn.Linear(3, labels)

    def forward(self, x):
        return self.fc(x.mean(dim=(2, 3)))


def test_networks_of_someone_else():
    net = MultiLevelNetwork(Plain(5), [Plain(3)], GROUPS[:1])
    assert net(images(2, dtype=torch.float32)).shape == (2, 5)
    with pytest.raises(LayerError, match="Expected each network to have explained_layers, .*Plain"):
        _ = net.explained_layers


@pytest.mark.parametrize(
    ("base", "levels", "groups", "error", "message"),
    [
        (None, [Plain(3)], GROUPS[:1], TypeError, "base to be an nn.Module, but got None"),
        (Plain(5), Plain(3), GROUPS[:1], TypeError, "levels to be a sequence of nn.Modules"),
        (Plain(5), ["net"], GROUPS[:1], TypeError, "levels to be a sequence of nn.Modules, but g"),
        (Plain(5), [Plain(3)], GROUPS, ValueError, "levels to be 2 networks, one for each level"),
        (Plain(5), [], [], ValueError, "groups to be a ClassHierarchy or a sequence .* got none"),
        (Plain(5), [Plain(3)], GROUPS[0], TypeError, "groups to be a ClassHierarchy or a sequence"),
        (Plain(5), [Plain(3)], [[0, 1]], TypeError, r"groups\[0\] to be a LongTensor \(L,\)"),
        (
            Plain(5),
            [Plain(3), Plain(2)],
            [GROUPS[0], GROUPS[1][:4]],
            ValueError,
            r"groups\[1\] to be a LongTensor \(5,\)",
        ),
        (
            gap_classifier(nn.ReLU(), 4),
            [Plain(3)],
            GROUPS[:1],
            ValueError,
            "base to be a network with 5 outputs, but got one with 4",
        ),
        (
            Plain(5),
            [Plain(3), gap_classifier(nn.ReLU(), 3)],
            GROUPS,
            ValueError,
            r"levels\[1\] to be a network with 2 outputs, but got one with 3",
        ),
    ],
    ids=["base", "level", "name", "few", "none", "tensor", "list", "length", "labels", "groups"],
)
def test_bad_arguments(base, levels, groups, error, message):
    with pytest.raises(error, match=message):
        MultiLevelNetwork(base, levels, groups)
