"""Multi-level CAM against the second derivation, and on numbers from paper, in both faces."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from captum_cluster import (
    LayerClassActivationMap,
    LayerMultiBranchCam,
    LayerMultiLevelCam,
    MinMaxTarget,
    MultiLevelCAM,
)
from captum_cluster._checks import LayerError
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import MultiLevelCamConfig, NetworkLayers, multi_level_cam
from captum_cluster.training import MultiLevelNetwork, TwoBranch, gap_classifier
from tests.conformance.cases import assert_same_state, state_of
from tests.helpers import level_references as ref
from tests.helpers import nets
from tests.helpers.collection_references import activations, gradients
from tests.helpers.method_cases import assert_close

GROUPS = [torch.tensor([0, 1, 0, 2, 1]), torch.tensor([0, 1, 0, 0, 1])]
LABELS = [[0, 2, 3], [1], [4, 0]]

# Some targets are not among an image's labels, and count as present.
pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")

READINGS = ["present", "groupmates", "all"]


def body(stride=2, channels=6):
    return nn.Sequential(nn.Conv2d(3, channels, 3, stride=stride), nn.ReLU())


def two(outputs, stride=2):
    return TwoBranch(lambda: body(stride), outputs)


def make(levels=2, build=two, seed=0):
    """Five labels and ``levels`` levels of groups."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        groups = GROUPS[:levels]
        grouped = [build(int(group.max()) + 1) for group in groups]
        return MultiLevelNetwork(build(5), grouped, groups).double().eval()


def of_grids(outputs):
    """The network of the labels sees the coarsest grid."""
    return two(outputs, stride=3 if outputs == 5 else 2)


def single(outputs):
    return gap_classifier(body(), outputs)


NETWORKS = {
    "two branches": lambda: make(),
    "one branch": lambda: make(build=single),
    "one level": lambda: make(1),
    "several grids": lambda: make(build=of_grids),
}


def batch(n=3):
    return nets.images(n, size=(9, 12), seed=2)


def seen(network, image):
    """The maps of each branch, and the gradients of each output of the branch alone."""
    branches = network.branches if hasattr(network, "branches") else [network]
    return [
        (
            activations(branch, branch.body, image),
            [gradients(branch, branch.body, image, out) for out in range(network.num_labels)],
        )
        for branch in branches
    ]


# Against the reference


@pytest.mark.parametrize("rest", READINGS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_and_reading(name, rest):
    network, images = NETWORKS[name](), batch()
    cam = LayerMultiLevelCam(network, network.explained_layers)
    result = cam.explain(images, [0, 4], labels=LABELS, rest=rest)
    assert result.method == "multi-level-cam"
    assert result.weights is None
    assert result.grouped.shape[2] == len(network.groups)
    for n, (image, present) in enumerate(zip(images, LABELS, strict=True)):
        networks = [seen(one, image) for one in network.networks]
        for t, target in enumerate([0, 4]):
            found = {label for label, there in enumerate(result.rest[n, t].tolist()) if there}
            assert found == ref.rest_of(target, rest, 5, present, network.groups)
            expected = ref.multi_level_cam(
                networks, network.groups, target, rest, n_labels=5, present=present
            )
            assert_close(result.maps[n, t], expected)
    assert result.maps.amax(dim=(2, 3)).max() == 1
    assert result.maps.amin() >= 0


def test_a_plain_network_has_no_levels():
    net, images = nets.SmallNet().double().eval(), batch()
    maps = LayerMultiLevelCam(net, net.relu2).attribute(images, [0, 1, 4], labels=LABELS)
    for n, target in enumerate([0, 1, 4]):
        slopes = [gradients(net, net.relu2, images[n], label) for label in range(5)]
        branch = (activations(net, net.relu2, images[n]), slopes)
        expected = ref.multi_level_cam([[branch]], [], target, n_labels=5, present=LABELS[n])
        assert_close(maps[n, 0], expected)


@pytest.mark.parametrize("rest", READINGS)
@pytest.mark.parametrize("name", NETWORKS)
def test_both_faces_give_the_same(name, rest):
    network, images = NETWORKS[name](), batch()
    layers, targets = network.explained_layers, [0, 1, 4]
    options = {"labels": LABELS, "rest": rest}
    ours = LayerMultiLevelCam(network, layers).explain(
        images, [[target] for target in targets], **options
    )
    face = MultiLevelCAM(network, layers, rest=rest)
    shown = face(images, [MinMaxTarget(*pair) for pair in zip(targets, LABELS, strict=True)])
    assert shown.shape == (3, 9, 12)
    [theirs] = face.results
    for field in ("maps", "targets", "rest", "ungrouped", "grouped", "rest_maps"):
        found, expected = getattr(theirs, field), getattr(ours, field)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert theirs.maps.shape[2:] == ours.grouped.shape[3:]


def test_a_batch_equals_its_images_one_by_one():
    network, images = make(build=of_grids), batch()
    cam = LayerMultiLevelCam(network, network.explained_layers)
    together = cam.attribute_targets(images, [3, 0, 2], labels=LABELS)
    for n in range(3):
        one, labels = images[n : n + 1], LABELS[n : n + 1]
        for t, target in enumerate([3, 0, 2]):
            alone = cam.attribute(one, target, labels=[[*labels[0], target]])
            torch.testing.assert_close(together[n, t], alone[0, 0], rtol=0, atol=1e-10)


# Identities


def test_the_order_of_the_layers_does_not_matter():
    network, images = make(), batch()
    layers = network.explained_layers
    maps = LayerMultiLevelCam(network, layers).attribute(images, 0, labels=LABELS)
    mixed = LayerMultiLevelCam(network, layers[::-1]).attribute(images, 0, labels=LABELS)
    torch.testing.assert_close(mixed, maps, rtol=0, atol=1e-12)
    # A network without any of the layers is explained at its own.
    part = LayerMultiLevelCam(network, layers[:2]).attribute(images, 0, labels=LABELS)
    torch.testing.assert_close(part, maps, rtol=0, atol=1e-12)
    one = LayerMultiLevelCam(network, layers[0]).attribute(images, 0, labels=LABELS)
    assert not torch.allclose(one, maps, atol=0.05)


def test_without_rest_classes_and_with_a_level_of_every_label_it_is_the_labels_own_map():
    network, images = make(1), batch()
    level = MultiLevelNetwork(network.base, [network.base], [torch.arange(5)]).double().eval()
    alone = [[0], [1], [4]]
    maps = LayerMultiLevelCam(level, level.explained_layers).attribute(
        images, [0, 1, 4], labels=alone
    )
    own = LayerMultiBranchCam(network.base, network.base.explained_layers).attribute(
        images, [0, 1, 4]
    )
    torch.testing.assert_close(maps, own / own.amax(dim=(2, 3), keepdim=True))


def test_a_level_of_one_group():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = MultiLevelNetwork(two(3), [two(1)], [torch.zeros(3).long()]).double().eval()
    cam = LayerMultiLevelCam(network, network.explained_layers)
    result = cam.explain(batch(), [0, 2], labels=[[0, 2]] * 3)
    torch.testing.assert_close(result.grouped[:, 0], result.grouped[:, 1])
    assert torch.equal(
        cam.explain(batch(), [0, 2], rest="groupmates").rest,
        cam.explain(batch(), [0, 2], rest="all").rest,
    )


def test_other_readings_need_no_labels():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        many = MultiLevelNetwork(single(60), [single(2)], [torch.arange(60) % 2]).double().eval()
    images = batch()
    assert ((many(images) > 0).sum(dim=1) > 20).any(), "the test shows nothing"
    cam = LayerMultiLevelCam(many, many.explained_layers)
    with pytest.raises(ValueError, match="max_predicted"):
        cam.attribute(images, 3)
    result = cam.explain(images, [3], rest="groupmates")
    assert result.present is None
    assert result.rest.sum(dim=2).unique().tolist() == [29]
    given = cam.explain(images, [3], rest="groupmates", labels=[[3]] * 3)
    assert torch.equal(given.maps, result.maps)
    assert given.present.sum() == 3
    face = MultiLevelCAM(many, many.explained_layers, rest="all")
    face(images, [MinMaxTarget(3)] * 3)
    assert face.results[0].rest.sum() == 3 * 59


# By hand

BASE = torch.tensor([[[[4.0, 0.0]], [[0.0, 2.0]], [[1.0, 1.0]]]])
LEVEL = torch.tensor([[[[2.0, 4.0]], [[3.0, 0.0]]]])


def own_maps(maps):
    """A network whose Grad-CAM of output j is its map number j."""

    def slopes(coefficients):
        return coefficients[:, :, None, None].to(maps).expand_as(maps)

    return NetworkLayers(maps.shape[1], [maps], [slopes])


def test_numbers_by_hand():
    present = torch.tensor([[True, True, False]])
    groups = [torch.tensor([0, 0, 1])]
    result = multi_level_cam(
        own_maps(BASE),
        iter([own_maps(LEVEL)]),
        torch.tensor([[0, 1, 2]]),
        present,
        groups,
        MultiLevelCamConfig(),
    )
    torch.testing.assert_close(result.ungrouped[0, :, 0], torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
    level = torch.tensor([[0.5, 1.0], [0.5, 1.0], [1.0, 0.0]])
    torch.testing.assert_close(result.grouped[0, :, 0, 0], level)
    rest = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])  # label 1, label 0, both of them
    torch.testing.assert_close(result.rest_maps[0, :, 0], rest)
    # (1, 0) + (1/2, 1) - (0, 1) = (3/2, 0); (0, 1) + (1/2, 1) - (1, 0) = (-1/2, 2)
    # (1, 1) + (1, 0) - (1, 1) = (1, 0)
    torch.testing.assert_close(result.maps[0, :, 0], torch.tensor([[1.0, 0], [0, 1], [1, 0]]))


def test_two_levels_by_hand():
    second = torch.tensor([[[[0.0, 5.0]]]])
    result = multi_level_cam(
        own_maps(BASE),
        [own_maps(LEVEL), own_maps(second)],
        torch.tensor([[0]]),
        None,
        [torch.tensor([0, 0, 1]), torch.tensor([0, 0, 0])],
        MultiLevelCamConfig(rest="groupmates"),
    )
    # Rest: labels 1 (0, 1) and 2 (1, 1): (1, 1).  (1, 0) + (1/4, 1) - (1, 1) = (1/4, 0)
    assert result.rest.tolist() == [[[False, True, True]]]
    torch.testing.assert_close(result.maps[0, 0], torch.tensor([[1.0, 0.0]]))


def test_the_networks_are_looked_at_one_after_the_other():
    order = []

    def levels():
        for number in range(2):
            order.append(f"level {number}")
            yield own_maps(LEVEL)

    def slopes(coefficients):
        order.append("base")
        return coefficients[:, :, None, None].to(BASE).expand_as(BASE)

    groups = [torch.tensor([0, 0, 1])] * 2
    base, config = NetworkLayers(3, [BASE], [slopes]), MultiLevelCamConfig(rest="all")
    multi_level_cam(base, levels(), torch.tensor([[0]]), None, groups, config)
    assert order == ["base"] * 3 + ["level 0", "level 1"]


# Passes


def test_one_forward_pass_of_each_network_and_a_backward_pass_of_each_map(monkeypatch):
    network, images = make(), batch()
    calls, stock = [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: calls.append(1) or stock(*a, **k))
    cam = LayerMultiLevelCam(network, network.explained_layers)
    with count_forwards(network) as whole, count_forwards(network.levels[1]) as level:
        cam.attribute(images, 0, labels=[[0, 2]] * 3)
    assert (whole.images, level.images) == (3, 3)
    assert len(calls) == 2 * (2 + 1 + 1)  # two branches: two labels, and a group of each level


# Devices


class Dtypes(TorchDispatchMode):
    """Notes the dtypes of all tensors that are made."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.seen |= {one.dtype for one in tree_leaves(made) if isinstance(one, torch.Tensor)}
        return made


@pytest.mark.parametrize("rest", READINGS)
def test_no_double_precision_which_apples_gpus_have_not(rest):
    network, images = make().float(), batch().float()
    cam = LayerMultiLevelCam(network, network.explained_layers)
    with Dtypes() as dtypes:
        cam.attribute(images, 0, labels=LABELS, rest=rest)
        MultiLevelCAM(network, network.explained_layers, rest=rest)(
            images, [MinMaxTarget(0, labels) for labels in LABELS]
        )
    assert torch.float32 in dtypes.seen
    assert torch.float64 not in dtypes.seen


# What is left behind


@pytest.mark.parametrize("face", ["captum", "grad_cam"])
def test_everything_is_as_it_was(face):
    network, images = make(), batch()
    network(images).sum().backward()
    for level in network.levels:
        level.branches[0].body[0].bias.requires_grad_(False)
    network.levels[0].train()
    before = state_of(network, images)
    if face == "captum":
        cam = LayerMultiLevelCam(network, network.explained_layers)
        maps = cam.attribute(images, [0, 1, 4], labels=LABELS)
        network.levels[0].eval()
        assert torch.equal(cam.attribute(images, [0, 1, 4], labels=LABELS), maps)
        network.levels[0].train()
    else:
        cam = MultiLevelCAM(network, network.explained_layers)
        cam(images, [MinMaxTarget(0, [0, 1])] * 3)
    assert_same_state(before, state_of(network, images))


def test_frozen_networks_without_gradients():
    network, images = make(), batch()
    cam = LayerMultiLevelCam(network, network.explained_layers)
    expected = cam.attribute(images, 0, labels=LABELS)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    with torch.inference_mode():
        maps = cam.attribute(images, 0, labels=LABELS)
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-12)
    again = copy.deepcopy(cam)
    assert again.forward_func is not network
    assert torch.equal(again.attribute(images, 0, labels=LABELS), maps)


def test_a_function_hides_the_levels():
    network, images = make(), batch()
    plain = LayerMultiLevelCam(network.base, network.base.explained_layers)
    hidden = LayerMultiLevelCam(lambda x: network(x), network.base.explained_layers)
    options = {"labels": LABELS}
    assert torch.equal(
        hidden.attribute(images, 0, **options), plain.attribute(images, 0, **options)
    )
    with pytest.raises(LayerError, match="that the forward pass calls"):
        LayerMultiLevelCam(lambda x: network(x), network.explained_layers).attribute(images, 0)
    bound = LayerMultiLevelCam(network.forward, network.explained_layers)
    assert len(bound.explain(images, [0], **options).grouped[0, 0]) == 2


class Factor(nn.Module):
    """A network that needs a second argument."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, factor):
        return self.net(x * factor)


class Wrapper(nn.Module):
    """A multi-level model of somebody else's, with its attributes alone."""

    def __init__(self, networks, groups):
        super().__init__()
        self.networks, self.groups = nn.ModuleList(networks), groups

    def forward(self, *inputs):
        return self.networks[0](*inputs)


def test_additional_arguments_go_to_every_network():
    network, images = make(build=single), batch()
    factors = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)[:, None, None, None]
    model = Wrapper([Factor(net) for net in network.networks], network.groups).eval()
    layers = [net.net.body for net in model.networks]
    maps = LayerMultiLevelCam(model, layers).attribute(images, 0, factors, labels=LABELS)
    cam = LayerMultiLevelCam(network, network.explained_layers)
    expected = cam.attribute(images * factors, 0, labels=LABELS)
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-12)
    assert not torch.allclose(maps, cam.attribute(images, 0, labels=LABELS), atol=0.05)


def test_the_closed_form_reads_the_classifier_of_the_network_that_the_forward_pass_runs():
    network, images = make(build=single), batch()
    layers = network.base.explained_layers
    maps = LayerClassActivationMap(network, layers[0]).attribute(images, [0, 1, 4])
    own = LayerClassActivationMap(network.base, layers[0]).attribute(images, [0, 1, 4])
    assert torch.equal(maps, own)
    assert maps.abs().max() > 0


# Errors


@pytest.mark.parametrize("face", [LayerMultiLevelCam, MultiLevelCAM])
def test_networks_that_do_not_fit_their_groups(face):
    network = make(build=single)

    def explain(model):
        layers = [net.body for net in network.networks]
        if face is MultiLevelCAM:
            face(model, layers, rest="all")(batch(), [MinMaxTarget(0)] * 3)
        else:
            face(model, layers).attribute(batch(), 0, rest="all")

    explain(Wrapper(network.networks, GROUPS).eval())
    with pytest.raises(ValueError, match="the network of level 1 to give logits .* 5 groups"):
        explain(Wrapper(network.networks, [torch.arange(5), GROUPS[1]]).eval())
    with pytest.raises(ValueError, match="the groups of level 2 to hold one group for each .* 5"):
        explain(Wrapper(network.networks, [GROUPS[0], torch.tensor([0, 1])]).eval())
    with pytest.raises(ValueError, match="groups to be one LongTensor"):
        explain(Wrapper(network.networks, GROUPS[:1]).eval())
    with torch.no_grad():
        network.levels[1].parent_head.bias[0] = torch.nan
    with pytest.raises(ValueError, match="the outputs of level 2 to be finite, but got NaN"):
        explain(Wrapper(network.networks, GROUPS).eval())


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"rest": "others"}, ValueError, "rest to be one of 'present', 'groupmates', 'all'"),
        ({"rest": None}, TypeError, "rest to be one of"),
        ({"label_threshold": 1.5}, ValueError, "label_threshold to be a number from 0 to 1"),
        ({"max_predicted": 0}, ValueError, "max_predicted to be an integer of at least 1"),
    ],
)
def test_options_outside_their_range(options, error, match):
    with pytest.raises(error, match=f"^Expected {match}"):
        MultiLevelCamConfig(**options)
