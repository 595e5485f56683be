"""Every method that can be named, run, timed and counted."""

import copy

import pytest
import torch
from captum.attr import LayerGradCam, Saliency
from pytorch_grad_cam import GradCAM

from captum_cluster.attr import LayerClusterCam, LayerMinMaxGradCam, LayerScoreCam
from captum_cluster.evaluation.registry import (
    check_method,
    method_names,
    methods,
    run_method,
    warm_up,
)
from captum_cluster.functional.attribution import Views
from captum_cluster.grad_cam import ClusterCAM
from captum_cluster.training import MultiLevelNetwork, gap_classifier
from tests.conformance.nets import SmallNet, TokenNet, images


@pytest.fixture
def net():
    return SmallNet().float().eval()


@pytest.mark.parametrize("name", method_names())
def test_every_method_gives_a_map_and_leaves_the_model_alone(name, net):
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = copy.deepcopy(net.state_dict())
    options = {"n_masks": 10} if name == "rise" else {}
    torch.manual_seed(3)
    expected_draw = torch.rand(2)
    torch.manual_seed(3)
    image = images(1, size=16, dtype=torch.float32)
    run = run_method(name, net, net.relu2, image, 2, labels=[2, 4], **options)
    assert torch.equal(torch.rand(2), expected_draw)
    assert run.maps.shape[:2] == (1, 1)
    assert torch.isfinite(run.maps).all()
    assert run.seconds > 0
    assert run.forwards >= 1
    assert all((parameter.grad == 1).all() for parameter in net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not net.training


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"resolution": 0.5}])
def test_options_of_masked_passes_reach_the_method(options, net):
    image = images(1, size=16, dtype=torch.float32)
    run = run_method("score-cam", net, net.relu2, image, 2, **options)
    expected = LayerScoreCam(net, net.relu2).attribute(image, 2, **options)
    assert torch.equal(run.maps, expected)
    assert not torch.equal(run.maps, run_method("score-cam", net, net.relu2, image, 2).maps)
    assert run.forwards == 13


def test_passes_of_a_compiled_model_are_counted_and_it_is_compiled_once(net):
    image, graphs = images(1, size=16, dtype=torch.float32), []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    options = {"compile": {"backend": backend}, "perturbations_per_eval": 1}
    assert run_method("score-cam", net, net.relu2, image, 2, **options).forwards == 13
    assert len(graphs) == 1


@pytest.mark.parametrize(
    ("name", "forwards"), [("cluster-cam", 7), ("score-cam", 13), ("grad-cam", 1), ("scorecam", 13)]
)
def test_forward_passes_are_counted(name, forwards, net):
    image = images(1, size=16, dtype=torch.float32)
    assert run_method(name, net, net.relu2, image, 0).forwards == forwards


def test_stock_grad_cam_of_both_hosts_agree(net):
    image = images(1, size=16, dtype=torch.float32)
    captum = run_method("grad-cam", net, net.relu2, image, 1).maps.relu()
    host = run_method("gradcam", net, net.relu2, image, 1).maps
    up = torch.nn.functional.interpolate(captum, size=(16, 16), mode="bilinear")
    assert torch.corrcoef(torch.stack([up.flatten(), host.flatten()]))[0, 1] > 0.99


def test_errors(net):
    with pytest.raises(ValueError, match=r"Expected method .*close: .*'clustercam'"):
        check_method("clustercam")
    with pytest.raises(TypeError, match="Expected method to be the name of a method"):
        check_method(3)
    image = images(1, size=16, dtype=torch.float32)
    with pytest.raises(TypeError, match="Expected options to be empty for the stock method"):
        run_method("gradcam", net, net.relu2, image, 0, n_clusters=3)
    with pytest.raises(TypeError, match="among n_clusters, clustering"):
        run_method("cluster-cam", net, net.relu2, image, 0, clusters=3)


def test_warm_up_leaves_random_state_alone():
    torch.manual_seed(1)
    draw = torch.rand(3)
    torch.manual_seed(1)
    warm_up("cluster-cam")
    assert torch.equal(torch.rand(3), draw)


class Later(torch.nn.Module):
    """A network whose second pass raises."""

    def __init__(self, net):
        super().__init__()
        self.net, self.calls = net, 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 1:
            raise IndexError("second pass")
        return self.net(x)


@pytest.mark.parametrize("name", ["ablationcam", "scorecam", "score-cam"])
def test_a_method_that_fails_leaves_the_model_alone(name, net):
    model = Later(net).eval()
    before = [type(module) for module in model.modules()]
    image = images(1, size=16, dtype=torch.float32)
    with pytest.raises((RuntimeError, IndexError), match="second pass"):
        run_method(name, model, net.relu2, image, 0)
    assert [type(module) for module in model.modules()] == before
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["grad-cam", "gradcam", "gradcam++", "layercam", "eigengradcam"])
def test_stock_methods_explain_frozen_models_and_in_inference_mode(name, net):
    image = images(1, size=16, dtype=torch.float32)
    free = run_method(name, net, net.relu2, image, 0).maps
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    assert torch.allclose(run_method(name, net, net.relu2, image, 0).maps, free, atol=1e-6)
    with torch.inference_mode():
        assert torch.allclose(run_method(name, net, net.relu2, image, 0).maps, free, atol=1e-6)


def test_the_list_of_methods_tells_the_truth(net):
    """Passes and gradients are counted on a network of 12 channels."""
    image = images(1, size=16, dtype=torch.float32)
    counted = {"1": 1, "1 + Q": 7, "1 + C": 13, "2 + C": 14, "1 + masks": 11}
    assert [one.name for one in methods()] == method_names()
    for one in methods():
        options = {"n_masks": 10} if one.name == "rise" else {}
        with count_gradients() as gradients:
            run = run_method(one.name, net, net.relu2, image, 1, labels=[1, 2], **options)
        assert one.gradient == (gradients.calls > 0), one.name
        if one.passes in counted:
            assert run.forwards == counted[one.passes], one.name
        assert one.paper


def test_passes_of_collection_cam(net):
    image = images(1, size=16, dtype=torch.float32)
    run = run_method("collection-cam", net, [net.relu1, net.relu2], image, 1)
    collections = sum(int(layer.sizes.sum()) for layer in run.result.layers)
    assert run.forwards == 1 + collections
    run = run_method("sufficient-collection-cam", net, [net.relu1, net.relu2], image, 1)
    assert run.forwards == 2 + collections + 6


class count_gradients:  # noqa: N801
    """Count the backward passes inside the context."""

    def __enter__(self):
        self.calls, self.before = 0, (torch.autograd.grad, torch.autograd.backward)

        def counted(function):
            def call(*args, **kwargs):
                self.calls += 1
                return function(*args, **kwargs)

            return call

        torch.autograd.grad, torch.autograd.backward = map(counted, self.before)
        return self

    def __exit__(self, *_):
        torch.autograd.grad, torch.autograd.backward = self.before


@pytest.mark.parametrize(
    ("name", "plain"),
    [("d-minmax-grad-cam", "minmax-grad-cam"), ("d-minmax-cam", "minmax-cam")],
)
def test_a_name_may_stand_for_options(name, plain, net):
    image = images(1, size=16, dtype=torch.float32)
    named = run_method(name, net, net.relu2, image, 1, labels=[1, 3, 4]).maps
    same = run_method(plain, net, net.relu2, image, 1, labels=[1, 3, 4], decomposed=True).maps
    other = run_method(plain, net, net.relu2, image, 1, labels=[1, 3, 4]).maps
    assert torch.equal(named, same)
    assert not torch.allclose(named, other)


def test_of_several_layers_most_methods_explain_the_last(net):
    image = images(1, size=16, dtype=torch.float32)
    several = run_method("cluster-cam", net, [net.relu1, net.relu2], image, 1).maps
    assert torch.equal(several, run_method("cluster-cam", net, net.relu2, image, 1).maps)


# Several labels at once

LABELS = [3, 0, 4]


def one_by_one(method, net, layer, image, **options):
    """The maps (1,T,h,w) of a run for each label."""
    maps = [
        run_method(method, net, layer, image, target, labels=LABELS, **options).maps
        for target in LABELS
    ]
    return torch.cat(maps, dim=1)


@pytest.mark.parametrize("name", method_names())
def test_several_targets_are_single_ones_one_by_one(name, net):
    options = {"n_masks": 10} if name == "rise" else {}
    image = images(1, size=(16, 12), dtype=torch.float32)
    run = run_method(name, net, net.relu2, image, LABELS, labels=LABELS, **options)
    expected = one_by_one(name, net, net.relu2, image, **options)
    assert run.maps.shape == expected.shape
    assert run.maps.shape[1] == 3
    assert torch.allclose(run.maps, expected, atol=1e-5)
    turned = run_method(name, net, net.relu2, image, LABELS[::-1], labels=LABELS, **options).maps
    assert torch.allclose(turned, run.maps.flip(1), atol=1e-5)


def brightest(model, layer, image, target, labels=(), scale=1.0):
    """A function: a map that tells its target and its labels."""
    return image.amax(dim=1) * scale + target + 10 * len(labels)


CALLABLES = {
    "captum": (LayerGradCam, {}),
    "input": (Saliency, {}),
    "ours": (LayerClusterCam, {"n_clusters": 3}),
    "contrast": (LayerMinMaxGradCam, {}),
    "host": (GradCAM, {}),
    "our host": (ClusterCAM, {"n_clusters": 3}),
    "function": (brightest, {"scale": 2.0}),
}


@pytest.mark.parametrize(("method", "options"), CALLABLES.values(), ids=CALLABLES.keys())
def test_several_targets_of_a_callable(method, options, net):
    image = images(1, size=(16, 12), dtype=torch.float32)
    run = run_method(method, net, net.relu2, image, LABELS, labels=LABELS, **options)
    assert run.maps.shape[:2] == (1, 3)
    assert run.result is None
    assert torch.allclose(run.maps, one_by_one(method, net, net.relu2, image, **options), atol=1e-5)
    assert not torch.allclose(run.maps[:, 0], run.maps[:, 1])


@pytest.mark.parametrize(
    ("method", "forwards"),
    [
        ("cluster-cam", 1 + 6),
        ("score-cam", 1 + 12),
        ("minmax-grad-cam", 1),
        ("minmax-cam", 1),
        ("grad-cam", 3),
        ("gradcam", 3),
        ("scorecam", 3 * 13),
        (LayerGradCam, 3),
        (ClusterCAM, 3 * 7),
        (brightest, 0),
    ],
)
def test_methods_that_can_share_passes_between_labels_do_so(method, forwards, net):
    image = images(1, size=16, dtype=torch.float32)
    assert run_method(method, net, net.relu2, image, LABELS, labels=LABELS).forwards == forwards


def test_results_of_our_methods_hold_all_targets(net):
    image = images(1, size=16, dtype=torch.float32)
    run = run_method("cluster-cam", net, net.relu2, image, (3, 0))
    assert torch.equal(run.result.maps, run.maps)
    single = run_method("cluster-cam", net, net.relu2, image, [3])
    assert torch.equal(single.maps, run_method("cluster-cam", net, net.relu2, image, 3).maps)


def function(model, layer, image, target):
    return image[0, 0]


@pytest.mark.parametrize("method", [function, LayerGradCam])
def test_what_takes_no_reshape_transform(net, method):
    image = images(1, size=16, dtype=torch.float32)
    with pytest.raises(ValueError, match="reshape_transform") as raised:
        run_method(method, net, net.relu2, image, 0, reshape_transform=torch.relu)
    assert str(raised.value) == (
        "Expected reshape_transform to be None for a method that does not take one, which can "
        "have its own, but got a function."
    )


@pytest.mark.parametrize("method", [GradCAM, LayerMinMaxGradCam])
def test_a_class_that_takes_a_reshape_transform(method):
    net, image = TokenNet().float().eval(), images(1, size=(8, 12), dtype=torch.float32)
    run = run_method(method, net, net.block, image, 0, reshape_transform=net.reshape_transform)
    name = "gradcam" if method is GradCAM else "minmax-grad-cam"
    named = run_method(name, net, net.block, image, 0, reshape_transform=net.reshape_transform)
    assert torch.equal(run.maps, named.maps.float())


def test_captums_grad_cam_at_tokens_is_the_formula():
    net, image = TokenNet().float().eval(), images(1, size=(8, 12), dtype=torch.float32)
    run = run_method("grad-cam", net, net.block, image, 2, reshape_transform=net.reshape_transform)
    tokens = []
    handle = net.block.register_forward_hook(lambda *call: tokens.append(call[2]))
    logit = net(image)[0, 2]
    handle.remove()
    gradient = torch.autograd.grad(logit, tokens[0])[0][0, 1:]  # (T,C), without the class token
    expected = (tokens[0][0, 1:] * gradient.mean(dim=0)).sum(dim=1).reshape(2, 3)
    torch.testing.assert_close(run.maps[0, 0], expected.detach())
    assert run.forwards == 1


def test_captums_grad_cam_with_a_transform_is_captums(net):
    image = images(1, size=16, dtype=torch.float32)
    own = run_method("grad-cam", net, net.relu2, image, 1, reshape_transform=lambda maps: maps)
    torch.testing.assert_close(own.maps, run_method("grad-cam", net, net.relu2, image, 1).maps)


def test_a_callable_gets_the_layers_as_they_are_given(net):
    image = images(1, size=16, dtype=torch.float32)
    given = []

    def method(model, layer, image, target):
        given.append(layer)
        return image[0, 0]

    for layers in (net.relu1, [net.relu1], [net.relu1, net.relu2]):
        run_method(method, net, layers, image, 0)
    assert given == [net.relu1, net.relu1, [net.relu1, net.relu2]]


def test_a_stock_method_that_fails_for_one_label_is_named(net):
    image = images(1, size=16, dtype=torch.float32)
    with pytest.raises(RuntimeError, match="Expected the stock method gradcam to run here"):
        run_method("gradcam", net, net.relu2, image, [0, 99])


# Views


@pytest.mark.parametrize("name", method_names())
def test_every_method_sees_the_views_of_an_image(name, net):
    options = {"n_masks": 10} if name == "rise" else {}
    image = images(1, size=16, dtype=torch.float32)
    views = Views((1.0, 1.5), flip=True)
    run = run_method(name, net, net.relu2, image, 2, labels=[2, 4], views=views, **options)
    assert run.maps.shape == (1, 1, 16, 16)
    assert run.result is None
    total = torch.zeros(1, 1, 16, 16)
    forwards = 0
    for size in (16, 24):
        seen = torch.nn.functional.interpolate(image, (size, size), mode="bilinear")
        for mirrored in (False, True):
            alone = run_method(
                name, net, net.relu2, seen.flip(3) if mirrored else seen, 2, labels=[2, 4],
                **options,
            )  # fmt: skip
            maps = alone.maps.relu().float()
            maps = maps.flip(3) if mirrored else maps
            total += torch.nn.functional.interpolate(maps, (16, 16), mode="bilinear")
            forwards += alone.forwards
    highest = total.amax()
    assert run.forwards == forwards
    torch.testing.assert_close(
        run.maps, total / (highest if highest > 0 else 1.0), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("method", [LayerGradCam, Saliency, GradCAM, LayerClusterCam])
def test_classes_see_the_views_of_an_image(method, net):
    image = images(1, size=16, dtype=torch.float32)
    views = Views((0.5, 1.0))
    maps = run_method(method, net, net.relu2, image, [2, 4], views=views).maps
    assert maps.shape == (1, 2, 16, 16)
    assert maps.amax(dim=(2, 3)).tolist() == [[1.0, 1.0]]
    plain = run_method(method, net, net.relu2, image, [2, 4]).maps
    assert plain.shape[:2] == (1, 2)


def test_a_function_is_handed_each_view(net):
    sizes = []

    def mine(model, layer, image, target):
        sizes.append(tuple(image.shape))
        return image.mean(dim=1)

    image = images(1, size=(16, 10), dtype=torch.float32)
    run_method(mine, net, net.relu2, image, 0, views=Views((0.5, 2.0), flip=False))
    assert sizes == [(1, 3, 8, 5), (1, 3, 32, 20)]


# Models of several networks


def test_the_passes_of_all_networks_are_counted():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
        networks = [gap_classifier(copy.deepcopy(body), labels) for labels in (3, 2)]
    model = MultiLevelNetwork(networks[0], networks[1:], [torch.tensor([0, 0, 1])]).eval()
    image = images(1, size=9, dtype=torch.float32)
    layers = model.explained_layers
    run = run_method("multi-level-cam", model, layers, image, [0, 2], labels=[0, 2])
    assert run.forwards == 2
    assert run.maps.shape == (1, 2, 7, 7)
    assert run.result.grouped.shape == (1, 2, 1, 7, 7)
    assert run_method("grad-cam", model, layers[0], image, 0).forwards == 1
