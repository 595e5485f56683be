"""Features of pixels: layers, grids, the frozen classifier, and the walk that they guide."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from captum_cluster._checks import LayerError
from captum_cluster.functional.weak import on_grid
from captum_cluster.training import AffinityNet, TwoBranch, gap_classifier
from captum_cluster.weak import RandomWalk, pseudo_masks
from tests.helpers import refinement_references as ref
from tests.helpers.affinity_cases import SCALE, affinity_net, classifier, coloured
from tests.helpers.trainings import same


def normalized(images):
    return (images - 0.5) / 0.3


def parts(network):
    """The network's modules one by one: body, projections, mixing."""
    body, head = network.classifier.body, network.affinity_head
    return body, head.projections, head.mix[0]


def by_hand(network, images, size):
    """Normalised projections of both stages, resized, joined and mixed: the formula."""
    body, projections, mix = parts(network)
    stages = [body[:3](images), body(images)]
    found = []
    for stage, (weight, norm, _) in zip(stages, projections, strict=True):
        x = torch.einsum("dc,nchw->ndhw", weight.weight[:, :, 0, 0], stage)
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        x = (x - mean) / (x.var(dim=(1, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        x = x * norm.weight[:, None, None] + norm.bias[:, None, None]
        found.append(on_grid(torch.where(x > 0, x, x.exp() - 1), size))
    x = torch.einsum("dc,nchw->ndhw", mix.weight[:, :, 0, 0], torch.cat(found, dim=1))
    x = x + mix.bias[:, None, None]
    return torch.where(x > 0, x, x.exp() - 1)


@pytest.mark.parametrize(
    ("stride", "grid"), [(None, (16, 16)), (1, (16, 16)), (2, (8, 8)), (3, (6, 6)), (8, (2, 2))]
)
def test_the_formula(stride, grid):
    network, images = affinity_net(stride=stride), coloured(2)[0]
    for parameter in network.affinity_head.parameters():  # also the norms are not 1 and 0
        parameter.data += 0.1 * torch.rand(parameter.shape)
    assert network.layers == ("body.2", "body.4")
    found = network(images)
    assert found.shape == (2, 8, *grid)
    torch.testing.assert_close(found, by_hand(network, images, grid), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "layers", "grid"),
    [
        ("resnet18", ("body.layer2", "body.layer3", "body.layer4"), (8, 10)),
        ("squeezenet1_1", ("body.4", "body.7", "body.12"), (15, 19)),
        ("shufflenet_v2_x0_5", ("body.stage2", "body.stage3", "body.conv5"), (8, 10)),
    ],
)
def test_the_last_stages_of_networks(name, layers, grid):
    network = AffinityNet(gap_classifier(name, 5), num_features=4)
    assert network.layers == layers
    assert network(torch.rand(1, 3, 64, 80)).shape == (1, 4, *grid)


def test_networks_of_other_forms():
    net = torchvision.models.resnet18()
    assert AffinityNet(net).layers == ("layer2", "layer3", "layer4")
    alike = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()))
    assert AffinityNet(alike).layers == ("1",)
    assert AffinityNet(nn.Conv2d(3, 4, 1))(torch.rand(2, 3, 4, 5)).shape == (2, 128, 4, 5)
    branches = AffinityNet(TwoBranch(lambda: classifier().body, 3))
    assert all(name.startswith("branches.1.") for name in branches.layers)


def test_layers_by_name_or_as_modules():
    net = classifier()
    named = AffinityNet(net, ["body.4", "body.0"], num_features=4)
    given = AffinityNet(net, (net.body[4], net.body[0]), num_features=4)
    assert named.layers == given.layers == ("body.4", "body.0")
    given.load_state_dict(named.state_dict())
    images = coloured(2)[0]
    assert torch.equal(named(images), given(images))
    assert named(images).shape == (2, 4, 8, 8)  # the grid of the first one named


def test_the_users_classifier_stays_as_it_is():
    net = classifier()
    net.body[1].eval()
    before = copy.deepcopy(net.state_dict())
    modes = [module.training for module in net.modules()]
    for backbone in (False, True):
        network = AffinityNet(net, train_backbone=backbone, num_features=4)
        network(coloured(2)[0]).sum().backward()
    assert same(net.state_dict(), before)
    assert [module.training for module in net.modules()] == modes
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not any(module._forward_hooks for module in (*net.modules(), *network.modules()))


def step(network):
    """One step with a large rate; the names of what changed."""
    before = copy.deepcopy(network.state_dict())
    network.train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.5)
    network(coloured(2)[0]).square().sum().backward()
    optimizer.step()
    return {name for name, value in network.state_dict().items() if (value != before[name]).any()}


def test_a_frozen_classifier_stays_frozen_and_in_evaluation_mode():
    network = affinity_net()
    assert {name.split(".")[0] for name in step(network)} == {"affinity_head"}
    assert network.training
    assert network.affinity_head.training
    assert not any(module.training for module in network.classifier.modules())
    assert not any(p.requires_grad for p in network.classifier.parameters())
    assert not network.eval().affinity_head.training


def test_a_classifier_that_is_trained_too():
    network = affinity_net(train_backbone=True)
    changed = step(network)
    assert "classifier.body.0.weight" in changed
    assert "classifier.body.3.weight" in changed
    # Neither its own head nor its running statistics.
    assert not {name for name in changed if "parent_head" in name or "running" in name}
    assert not any(module.training for module in network.classifier.modules())


def test_gradients_of_the_trained_classifier_are_those_of_the_formula():
    network, images = affinity_net(train_backbone=True), coloured(2)[0]
    weights = [*network.classifier.body.parameters()]
    found = torch.autograd.grad(network(images).square().mean(), weights)
    expected = torch.autograd.grad(by_hand(network, images, (16, 16)).square().mean(), weights)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients(context):
    for backbone in (False, True):
        network = affinity_net(train_backbone=backbone)
        expected = network(coloured(2)[0])
        with context():
            found = network(coloured(2)[0])
        assert not found.requires_grad
        assert torch.equal(found, expected)


def test_a_grid_of_one_pixel():
    network = affinity_net(layers=["body.4"])
    assert torch.isfinite(network(torch.rand(1, 3, 2, 2))).all()
    assert network.features_of(torch.rand(3, 2, 2)).shape == (8, 1, 1)


def test_features_of_an_image_are_those_of_the_normalised_one():
    network, image = affinity_net().double(), coloured(1)[0][0]
    found = network.features_of(image)
    assert found.dtype == torch.float64
    assert not found.requires_grad
    torch.testing.assert_close(found, network(normalized(image).double()[None])[0])
    usual = AffinityNet(classifier(), num_features=4)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = usual(((image - mean[:, None, None]) / std[:, None, None])[None])[0]
    torch.testing.assert_close(usual.features_of(image), expected)


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_walk_compares_the_learned_features_as_they_are(stride):
    """Against dense matrices of ``exp(-mean_d |f_id - f_jd|)`` on the network's own grid."""
    network, images = affinity_net(stride=stride), coloured(2)[0]
    walk = RandomWalk(stride, radius=3, power=4, log_steps=3, colour=0, position=0, layer=None)
    maps = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    found = pseudo_masks(
        images, maps, torch.ones(2, 1, dtype=torch.bool), power=16, refine=walk,
        features=network.features_of, scores=True,
    ).scores  # fmt: skip
    for image, one, scores in zip(images, maps, found, strict=True):
        features = network(normalized(image)[None])[0].detach().double()
        label = (one - one.min()) / (one.max() - one.min())
        start = torch.cat([(1 - label) ** 16, label])
        grid = on_grid(start, features.shape[1:]).double()
        walked = ref.walk(grid.numpy(), features.numpy(), radius=3, power=4, log_steps=3)
        expected = nn.functional.interpolate(
            torch.from_numpy(walked)[None], size=(16, 16), mode="bilinear"
        )
        np.testing.assert_allclose(scores.numpy(), expected[0].numpy(), atol=1e-5)


def test_a_saved_network(tmp_path):
    network, images = affinity_net(), coloured(2)[0]
    expected = network(images)
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        assert torch.equal(other(images), expected)
        assert torch.equal(other.features_of(images[0]), network.features_of(images[0]))
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    loaded = affinity_net(seed=5)
    assert not torch.equal(loaded(images), expected)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(loaded(images), expected)


def test_the_type_of_the_classifier():
    network = AffinityNet(classifier().double(), num_features=4, **SCALE)
    assert network(coloured(1)[0].double()).dtype == torch.float64


NET = classifier()
BAD = {
    "classifier": (
        lambda: AffinityNet("resnet18"),
        TypeError,
        r"^Expected classifier to be an nn.Module, but got 'resnet18' \(str\).$",
    ),
    "one layer": (
        lambda: AffinityNet(NET, "body"),
        TypeError,
        "Expected layers to be a list of modules of the classifier or of their names, but got 'bo",
    ),
    "no layer": (
        lambda: AffinityNet(NET, []),
        ValueError,
        "^Expected layers to be at least one, but got none.$",
    ),
    "unknown name": (
        lambda: AffinityNet(NET, ["body.9"]),
        LayerError,
        r"^Expected layers to be names of modules of the classifier \(GapClassifier\), but",
    ),
    "another network's": (
        lambda: AffinityNet(NET, [nn.Conv2d(3, 3, 1)]),
        LayerError,
        r"^Expected layers to be a module of the model \(GapClassifier\), but got a Conv2d that is",
    ),
    "a number": (
        lambda: AffinityNet(NET, [3]),
        TypeError,
        "^Expected layers to be an nn.Module of the model, but got int.$",
    ),
    "without maps": (
        lambda: AffinityNet(NET, ["body", "parent_head"]),
        LayerError,
        r"^Expected layers to be modules that give maps \(N,C,h,w\), but got 'parent_head', which "
        r"gives \(1, 2\).$",
    ),
    "nothing but vectors": (
        lambda: AffinityNet(nn.Flatten()),
        ValueError,
        r"^Expected classifier to be a module with maps \(N,C,h,w\) of more than one pixel, but",
    ),
    "images of another size": (
        lambda: AffinityNet(nn.Sequential(nn.Flatten(), nn.Linear(5, 2))),
        ValueError,
        r"^Expected classifier to be a module that gives maps \(N,C,h,w\) of images of 64 or 224",
    ),
    "one feature": (
        lambda: AffinityNet(NET, num_features=1),
        ValueError,
        "^Expected num_features to be an integer of at least 2, but got 1.$",
    ),
    "stride": (
        lambda: AffinityNet(NET, stride=0),
        ValueError,
        "^Expected stride to be an integer of at least 1, but got 0.$",
    ),
    "flag": (
        lambda: AffinityNet(NET, train_backbone=1),
        TypeError,
        "^Expected train_backbone to be True or False, but got 1.$",
    ),
    "deviation": (
        lambda: AffinityNet(NET, std=(1, 1, 0)),
        ValueError,
        "^Expected std to be a number above 0, but got 0.$",
    ),
    "mean": (
        lambda: AffinityNet(NET, mean=0.5),
        TypeError,
        "^Expected mean to be three numbers, but got 0.5.$",
    ),
    "a batch": (
        lambda: affinity_net().features_of(torch.rand(2, 3, 4, 4)),
        ValueError,
        r"^Expected image to be of shape \(3,H,W\), but got \(2, 3, 4, 4\).$",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()
