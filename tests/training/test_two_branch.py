"""Two branches: the mean of the logits, no shared parameters, training apart, messages."""

import copy

import pytest
import torch
from torch import nn

from captum_cluster.functional.training import orthogonality_loss
from captum_cluster.training import GapClassifier, KernelUsageLinear, TwoBranch, gap_classifier
from tests.helpers.nets import images


def body():
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU()).double()


def net_of(backbone=body, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TwoBranch(backbone, 4, **options).eval()


def test_the_logits_are_the_mean_of_the_branches():
    net, x = net_of(), images(3)
    pairs = net.forward_branches(x)
    assert len(pairs) == 2
    for branch, (logits, maps) in zip(net.branches, pairs, strict=True):
        assert torch.equal(maps, branch.body(x))
        torch.testing.assert_close(logits, branch.parent_head(maps.mean(dim=(2, 3))))
    torch.testing.assert_close(net(x), (pairs[0][0] + pairs[1][0]) / 2)
    assert not torch.allclose(pairs[0][0], pairs[1][0])


def test_no_parameter_is_shared():
    net = net_of()
    first, second = ({id(p) for p in branch.parameters()} for branch in net.branches)
    assert len(first) == len(second) == 4
    assert not first & second
    net.train().branches[0](images(2)).sum().backward()
    assert all(p.grad is None for p in net.branches[1].parameters())


def test_the_layers_to_explain():
    net = net_of()
    assert net.explained_layers == [net.branches[0].body, net.branches[1].body]
    assert net.num_labels == 4


@pytest.mark.parametrize("form", ["body", "classifier"])
def test_bodies_and_classifiers(form):
    def backbone():
        return body() if form == "body" else gap_classifier(body(), 4)

    net = net_of(backbone)
    assert all(isinstance(branch, GapClassifier) for branch in net.branches)
    assert net(images(2)).shape == (2, 4)


def test_a_torchvision_network():
    from torchvision.models import squeezenet1_1

    net = net_of(squeezenet1_1)
    assert net(images(2, size=64, dtype=torch.float32)).shape == (2, 4)


def test_options_reach_both_heads():
    net = net_of(kernel_usage=True, dropout=0.25, bias=False)
    for branch in net.branches:
        assert isinstance(branch.parent_head, KernelUsageLinear)
        assert branch.parent_head.bias is None
        assert branch.dropout.p == 0.25


def test_the_constraint_drives_the_branches_apart():
    net, x = net_of().train(), images(4)
    # The same weights at first, and so the same features.
    net.branches[1].load_state_dict(copy.deepcopy(net.branches[0].state_dict()))
    with torch.no_grad():
        net.branches[1].body[0].weight.add_(0.01 * torch.randn(6, 3, 3, 3, generator=_generator()))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        (_, first), (_, second) = net.forward_branches(x)
        loss = orthogonality_loss(first, second)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def _generator():
    return torch.Generator().manual_seed(0)


def test_copies_and_state_dicts():
    net, other, x = net_of(), TwoBranch(body, 4).eval(), images(2)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), net(x))
    twin = copy.deepcopy(net)
    assert twin.explained_layers[1] is twin.branches[1].body
    assert torch.equal(twin(x), net(x))


SHARED = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())


@pytest.mark.parametrize(
    ("backbone", "labels", "error", "message"),
    [
        (body(), 4, TypeError, "backbone_fn to be a function that gives a new backbone each time"),
        (None, 4, TypeError, "backbone_fn to be a function that gives a new backbone each time"),
        (lambda: "resnet18", 4, TypeError, "to give a GapClassifier or a module that gives maps"),
        (lambda: SHARED, 4, ValueError, "to give a new backbone each time, but got two that share"),
        (
            lambda: gap_classifier(body(), 3),
            4,
            ValueError,
            "backbone_fn to give a classifier of 4 labels, but got one of 3",
        ),
        (nn.Flatten, 4, ValueError, r"backbone to be a module that gives maps \(N,C,h,w\)"),
        (body, 0, ValueError, "num_classes to be an integer of at least 1, but got 0"),
    ],
    ids=["module", "none", "name", "shared", "labels", "flat", "zero"],
)
def test_bad_arguments(backbone, labels, error, message):
    with pytest.raises(error, match=message):
        TwoBranch(backbone, labels)
