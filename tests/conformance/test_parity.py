"""Both faces give the same maps, and those of the hosts' own classes where there are such."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import pytorch_grad_cam
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchvision.models import resnet18

from captum_cluster import (
    ClusterCAM,
    LayerClassActivationMap,
    LayerClusterCam,
    LayerCollectionCam,
    LayerMinMaxCam,
    LayerMinMaxGradCam,
    MinMaxGradCAM,
    MinMaxTarget,
    ScoreCAM,
)
from captum_cluster.functional.attribution import upsample
from tests.conformance.cases import CASES, each, rows
from tests.conformance.nets import HAND_MAPS, HandNet, SmallNet, TokenNet, images

LABELS = [3, 0, 2]
PRESENT = [[3, 1], [0, 1, 4], [2]]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}

every_case = each()
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)

# `labels_of` knows no targets.
pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")


def targets(labels):
    return [ClassifierOutputTarget(label) for label in labels]


def assert_close(actual, expected, atol=1e-12):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


EXPLAINABLE = {"dropout": ["relu2", "dropout"], "relu1": ["bn1", "conv2", "relu2"]}
EXPLAINED = [
    pytest.param(case, layer, id=f"{case.name}-{layer}")
    for case in CASES
    for layer in EXPLAINABLE[case.earlier]
]


@pytest.mark.parametrize(("case", "layer"), EXPLAINED)
@every_dtype
def test_both_faces_give_the_same_maps(case, dtype, layer):
    model = SmallNet().eval().to(dtype)
    x = images(3, size=(16, 24), dtype=dtype)
    module = getattr(model, layer)
    maps = case.attribute(model, module, x, LABELS)
    cam = case.cam(model, [module])
    cam(x, case.targets(LABELS, x))
    theirs = cam.results[0].maps
    assert theirs.dtype == maps.dtype == dtype
    assert_close(theirs, maps, TOLERANCE[dtype])
    assert maps.std() > 0


def both_results(case, dtype):
    """The results of the two faces for the same images, targets and labels."""
    model = SmallNet().eval().to(dtype)
    x = images(3, size=(16, 24), dtype=dtype)
    ours = case.explain(model, model.relu2, x, [[label] for label in LABELS])
    cam = case.cam(model, [model.relu2])
    cam(x, case.targets(LABELS, x))
    return ours, cam.results[0]


@each(masked=True)
@every_dtype
def test_both_faces_give_the_same_masks_and_scores(case, dtype):
    ours, theirs = both_results(case, dtype)
    close = {"rtol": 0, "atol": TOLERANCE[dtype], "equal_nan": True}
    torch.testing.assert_close(theirs.scores, ours.scores, **close)
    for i in range(3):
        masks = ours.render_masks(i, (16, 24))
        assert masks.amax() > 0
        torch.testing.assert_close(theirs.render_masks(i, (16, 24)), masks, **close)


@each(weighted=True)
@every_dtype
def test_both_faces_give_the_same_weights(case, dtype):
    ours, theirs = both_results(case, dtype)
    assert_close(theirs.weights, ours.weights, TOLERANCE[dtype])


@each(labelled=True)
def test_both_faces_see_the_same_labels(case):
    ours, theirs = both_results(case, torch.float64)
    assert torch.equal(theirs.targets, ours.targets)
    assert torch.equal(theirs.present, ours.present)
    assert ours.targets.tolist() == [[3], [0], [2]]


@each(closed_form=False)
def test_both_faces_give_the_same_maps_of_tokens(case):
    model = TokenNet().eval().double()
    x = images(2, size=(8, 12))
    transform = model.reshape_transform
    result = case.explain(model, model.block, x, [[0], [1]], reshape_transform=transform)
    cam = case.cam(model, [model.block], transform)
    cam(x, case.targets([0, 1], x))
    assert_close(cam.results[0].maps, result.maps)


@each(masked=True)
def test_both_faces_give_the_same_maps_with_a_baseline(case):
    model = TokenNet().eval().double()
    x = images(2, size=(8, 12))
    captum = case.captum(model, model.block, reshape_transform=model.reshape_transform)
    maps = captum.attribute(x, [0, 1], baselines=0.3, **case.options)
    cam = case.cam(model, [model.block], model.reshape_transform, baselines=0.3)
    cam(x, case.targets([0, 1], x))
    assert_close(cam.results[0].maps, maps)
    plain = captum.attribute(x, [0, 1], **case.options)
    assert not torch.allclose(plain, maps)


@each(together=True)
@every_dtype
def test_both_faces_give_the_same_map_of_several_layers(case, dtype):
    model = SmallNet().eval().to(dtype)
    x = images(3, size=(16, 24), dtype=dtype)
    layers = [model.bn1, model.relu1, model.relu2]
    result = case.explain(model, layers, x, [[label] for label in LABELS])
    cam = case.cam(model, layers)
    cam(x, case.targets(LABELS, x))
    theirs = cam.results[0]
    assert_close(theirs.maps, result.maps, TOLERANCE[dtype])
    if case.method == "collection-cam":
        for ours, other in zip(result.layers, theirs.layers, strict=True):
            assert torch.equal(ours.labels, other.labels)
            assert torch.equal(ours.sizes, other.sizes)
    last = upsample(case.attribute(model, model.relu2, x, LABELS), result.maps.shape[2:])
    assert not torch.allclose(last, result.maps, atol=1e-3)


@each(together=True)
def test_several_layers_in_a_batch_and_one_by_one_for_several_targets(case):
    model = SmallNet().eval().double()
    x = images(3, size=(16, 24))
    layers = [model.relu1, model.relu2]
    together = case.attribute_targets(model, layers, x, [3, 0])
    for i in range(3):
        for t, target in enumerate([3, 0]):
            alone = case.attribute(model, layers, x[i : i + 1], target)
            assert_close(together[i, t], alone[0, 0], 1e-10)


def test_a_list_of_one_layer_is_that_layer():
    model, x = SmallNet().eval().double(), images(2)
    alone = LayerCollectionCam(model, model.relu2).attribute(x, 1)
    assert torch.equal(LayerCollectionCam(model, [model.relu2]).attribute(x, 1), alone)
    assert torch.equal(LayerCollectionCam(model, (model.relu2,)).attribute(x, 1), alone)


@pytest.mark.parametrize("quantile", [0.0, 0.1, 0.6])
def test_collection_cam_of_one_collection_is_captums_grad_cam_without_noise(quantile):
    model, x = SmallNet().eval().double(), images(3, size=(16, 24))
    cam = LayerCollectionCam(model, model.relu2)
    maps = cam.attribute(x, LABELS, partition_sizes=[1], denoise_quantile=quantile)
    stock = LayerGradCam(model, model.relu2)
    coarse = stock.attribute(x, LABELS, relu_attributions=True).detach()
    large = stock.interpolate(coarse, (16, 24), "bilinear")
    threshold = large.flatten(1).quantile(quantile, dim=1)[:, None, None, None]
    kept = torch.where(large > threshold, large, torch.zeros_like(large))
    assert_close(maps, kept / kept.amax(dim=(1, 2, 3), keepdim=True))


# The MinMax family and the hosts' Grad-CAM


def grad_cam(model, layer, x, label):
    """Captum's map of one label for all images, before its ReLU."""
    return LayerGradCam(model, layer).attribute(x, label).detach()


@pytest.mark.parametrize("layer", ["bn1", "conv2", "relu2"])
def test_minmax_grad_cam_is_captums_grad_cam_less_the_mean_of_the_others(layer):
    model, x = SmallNet().eval().double(), images(3, size=(16, 24))
    module = getattr(model, layer)
    maps = LayerMinMaxGradCam(model, module).attribute(x, LABELS, labels=PRESENT)
    for i, (target, labels) in enumerate(zip(LABELS, PRESENT, strict=True)):
        one = x[i : i + 1]
        expected = grad_cam(model, module, one, target)
        others = [grad_cam(model, module, one, label) for label in labels if label != target]
        if others:
            expected = expected - sum(others) / len(others)
        assert expected.abs().max() > 1e-3
        assert_close(maps[i : i + 1], expected)


@pytest.mark.parametrize("layer", ["bn1", "conv2", "relu2"])
def test_minmax_target_makes_the_hosts_grad_cam_minmax_grad_cam(layer):
    model, x = SmallNet().eval().double(), images(3, size=(16, 24))
    own = [MinMaxTarget(*pair) for pair in zip(LABELS, PRESENT, strict=True)]
    module = [getattr(model, layer)]
    stock = torch.tensor(pytorch_grad_cam.GradCAM(model, module)(x, own))
    ours = torch.tensor(MinMaxGradCAM(model, module)(x, own))
    assert stock.amax(dim=(1, 2)).min() > 0.99
    assert_close(ours, stock, 1e-6)
    plain = torch.tensor(pytorch_grad_cam.GradCAM(model, module)(x, targets(LABELS)))
    assert not torch.allclose(plain, stock, atol=0.05)


def test_minmax_target_with_predicted_labels_is_that_of_the_method():
    model, x = SmallNet().eval().double(), images(3, size=(16, 24))
    assert ((model(x) > 0).sum(dim=1) > 1).all(), "no contrast: the test shows nothing"
    stock = pytorch_grad_cam.GradCAM(model, [model.relu2])
    expected = torch.tensor(stock(x, [MinMaxTarget(label) for label in LABELS]))
    ours = torch.tensor(MinMaxGradCAM(model, [model.relu2])(x, targets(LABELS)))
    assert_close(ours, expected, 1e-6)


@pytest.mark.parametrize("name", ["HiResCAM", "LayerCAM", "XGradCAM", "GradCAMPlusPlus"])
def test_minmax_target_with_other_gradient_methods_of_the_host(name):
    model, x = SmallNet().eval().double(), images(1, size=(16, 24))
    method = getattr(pytorch_grad_cam, name)(model, [model.relu2])
    shown = method(x, [MinMaxTarget(3, labels=[3, 1, 4])])

    def objective(output):
        return output[3] - (output[1] + output[4]) / 2

    assert_close(torch.tensor(shown), torch.tensor(method(x, [objective])), 1e-6)
    assert abs(shown - method(x, targets([3]))).max() > 0.05


def test_minmax_target_of_a_batch_of_outputs():
    outputs = torch.tensor([[5.0, 1.0, 2.0, 9.0], [0.0, 4.0, 4.0, 0.0]])
    expected = torch.tensor([3.5, -4.0])
    assert torch.equal(MinMaxTarget(0, labels=[0, 1, 2])(outputs), expected)
    assert torch.equal(MinMaxTarget(0, labels=torch.tensor([1, 1, 1, 0]))(outputs), expected)
    assert MinMaxTarget(-4, labels=[1, 2])(outputs[1]) == -4


@pytest.mark.parametrize("decomposed", [False, True])
def test_two_labels_have_opposite_maps_unless_decomposed(decomposed):
    model, x = SmallNet().eval().double(), images(1, size=(16, 24))
    options = {"labels": [[3, 1]], "decomposed": decomposed}
    maps = LayerMinMaxGradCam(model, model.relu2).attribute_targets(x, [3, 1], **options)
    opposite = torch.allclose(maps[:, 0], -maps[:, 1], rtol=0, atol=1e-12)
    assert opposite is not decomposed


@each(labelled=True, scaled=False)
def test_without_other_labels_the_family_is_grad_cam(case):
    model, x = SmallNet().eval().double(), images(3, size=(16, 24))
    alone = [[label] for label in LABELS]
    maps = case.attribute(model, model.relu2, x, LABELS, labels=alone)
    stock = LayerGradCam(model, model.relu2).attribute(x, LABELS).detach()
    assert_close(maps, stock * (4 * 6 if case.closed_form else 1))


@pytest.mark.parametrize("contrast", ["positive_sum", "sum_positive"])
@pytest.mark.parametrize("decomposed", [False, True])
@every_dtype
def test_the_closed_form_is_the_gradient_form_times_the_cells_of_the_grid(
    decomposed, contrast, dtype
):
    model, x = SmallNet().eval().to(dtype), images(3, size=(16, 24), dtype=dtype)
    options = {"labels": PRESENT, "decomposed": decomposed, "contrast": contrast}
    closed = LayerMinMaxCam(model, model.relu2).attribute(x, LABELS, **options)
    gradient = LayerMinMaxGradCam(model, model.relu2).attribute(x, LABELS, **options)
    assert closed.abs().max() > 0.1
    assert_close(closed, 4 * 6 * gradient, 10 * TOLERANCE[dtype])
    by_sum = LayerMinMaxGradCam(model, model.relu2)
    summed = by_sum.attribute(x, LABELS, reduction="sum", **options)
    assert_close(closed, summed, 10 * TOLERANCE[dtype])


def test_cam_is_captums_grad_cam_times_the_cells_of_the_grid():
    model, x = SmallNet().eval().double(), images(3, size=(16, 24))
    maps = LayerClassActivationMap(model, model.relu2).attribute(x, LABELS)
    stock = LayerGradCam(model, model.relu2).attribute(x, LABELS).detach()
    assert maps.abs().max() > 0.1
    assert_close(maps, 4 * 6 * stock)


def test_numbers_that_can_be_checked_on_paper():
    model, x = HandNet().eval().double(), HandNet.image()
    a = torch.tensor(HAND_MAPS, dtype=torch.float64)
    first, second = a[0] + a[2] - a[3] / 2, (a[1] + a[3]) / 2  # the two labels' CAMs
    cam = LayerClassActivationMap(model, model.relu).attribute_targets(x, [0, 1])
    assert_close(cam[0], torch.stack([first, second]))
    options = {"labels": [[0, 1]]}
    minmax = LayerMinMaxCam(model, model.relu).attribute_targets(x, [0, 1], **options)
    assert_close(minmax[0], torch.stack([first - second, second - first]))
    gradient = LayerMinMaxGradCam(model, model.relu).attribute_targets(x, [0, 1], **options)
    assert_close(gradient, minmax / 4)
    # D-MinMax, label 0: max(0, w_0) - max(0, w_1) + min(0, w_0 + w_1)/2 of the weights
    # (1, 0, 1, -1/2) and (0, 1/2, 0, 1/2) is (1, -1/2, 1, -1/2); label 1: (-1, 1/2, -1, 1/2).
    options = {"labels": [[0, 1]], "decomposed": True}
    decomposed = LayerMinMaxCam(model, model.relu).attribute_targets(x, [0, 1], **options)
    own = a[0] - a[1] / 2 + a[2] - a[3] / 2
    assert_close(decomposed[0], torch.stack([own, -own]))


# Backward passes


@pytest.fixture
def backward_passes(monkeypatch):
    """The calls of ``torch.autograd.grad`` while the test runs."""
    calls, stock = [], torch.autograd.grad

    def counted(*args, **kwargs):
        calls.append(args)
        return stock(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    return calls


MINMAX_BACKWARD = [
    pytest.param(case, 2 if case.options else 1, id=case.name)
    for case in rows(labelled=True, gradient=True, together=False)
]


@pytest.mark.parametrize(("case", "amount"), MINMAX_BACKWARD)
def test_one_forward_and_one_or_two_backward_passes(case, amount, backward_passes):
    model, x = SmallNet().eval().double(), images(3, size=(16, 24))
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    case.attribute(model, model.relu2, x, LABELS)
    assert (len(calls), len(backward_passes)) == (1, amount)
    case.cam(model, [model.relu2])(x, case.targets(LABELS, x))
    assert (len(calls), len(backward_passes)) == (2, 2 * amount)
    handle.remove()


@pytest.mark.parametrize(("case", "amount"), MINMAX_BACKWARD)
def test_all_targets_from_one_forward_and_at_most_one_backward_more(case, amount, backward_passes):
    model, x = SmallNet(num_classes=10).eval().double(), images(3, size=(16, 24))
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    case.attribute_targets(model, model.relu2, x, list(range(7)))
    handle.remove()
    assert (len(calls), len(backward_passes)) == (1, 7 + amount - 1)


@each(closed_form=True)
def test_a_closed_form_makes_no_backward_pass(case, backward_passes):
    model, x = SmallNet().eval().double(), images(3, size=(16, 24))
    case.attribute(model, model.relu2, x, LABELS)
    case.cam(model, [model.relu2])(x, case.targets(LABELS, x))
    assert not backward_passes


@each(together=True, labelled=False)
def test_one_backward_pass_for_each_of_several_layers_and_each_target(case, backward_passes):
    model, x = SmallNet().eval().double(), images(3, size=(16, 24))
    case.attribute(model, model.relu2, x, LABELS)
    assert len(backward_passes) == 1
    case.attribute_targets(model, [model.relu1, model.relu2], x, [3, 0, 2])
    assert len(backward_passes) <= 1 + 2 * 3


# Score-CAM and the rest


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("layer", ["relu1", "conv2", "relu2"])
def test_score_cam_is_that_of_pytorch_grad_cam(seed, layer, capsys):
    model = SmallNet(seed=seed).eval()
    x = images(3, size=(16, 24), dtype=torch.float32, seed=seed)
    module = [getattr(model, layer)]
    stock = pytorch_grad_cam.ScoreCAM(model, module)(x, targets(LABELS))
    ours = ScoreCAM(model, module, align_corners=True)(x, targets(LABELS))
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(stock), rtol=0, atol=1e-5)
    other = ScoreCAM(model, module)(x, targets(LABELS))
    assert not torch.allclose(torch.tensor(other), torch.tensor(stock), rtol=0, atol=1e-5)
    capsys.readouterr()


def test_score_cam_is_that_of_pytorch_grad_cam_on_a_resnet(capsys):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = resnet18(weights=None).eval()
    x = images(1, size=64, dtype=torch.float32)
    with torch.no_grad():
        label = int(model(x).argmax())
    stock = pytorch_grad_cam.ScoreCAM(model, [model.layer3])
    stock.batch_size = 128
    expected = torch.tensor(stock(x, targets([label])))
    ours = ScoreCAM(model, [model.layer3], align_corners=True)
    torch.testing.assert_close(torch.tensor(ours(x, targets([label]))), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01
    capsys.readouterr()


class Parts(torch.nn.Module):
    """Gives its maps in a tuple or in a dictionary."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        return {"maps": x} if self.kind is dict else (x, x.sum(dim=1))


@pytest.mark.parametrize(("kind", "key"), [(dict, "maps"), (tuple, 0)])
def test_reshape_transform_takes_what_the_layer_gives_in_both_faces(kind, key):
    small = SmallNet().double().eval()
    parts = Parts(kind)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.small, self.parts = small, parts

        def forward(self, x):
            found = self.parts(small.relu1(small.bn1(small.conv1(x))))[key]
            return small.fc(small.pool(small.relu2(small.conv2(found))).flatten(1))

    model, x = Net().eval(), images(2)
    cam = ClusterCAM(model, [parts], lambda found: found[key], n_clusters=3)
    cam(x, [ClassifierOutputTarget(1)] * 2)
    ours = LayerClusterCam(model, parts, reshape_transform=lambda found: found[key])
    maps = ours.attribute(x, 1, n_clusters=3)
    assert torch.allclose(cam.results[0].maps, maps, atol=1e-12)
    assert torch.allclose(
        maps, LayerClusterCam(model, small.relu1).attribute(x, 1, n_clusters=3), atol=1e-12
    )


def test_the_classes_can_be_subclassed():
    class Captum(LayerClusterCam):
        def attribute(self, *args, **kwargs):
            return 2 * super().attribute(*args, **kwargs)

    class Cam(ClusterCAM):
        pass

    model, x = SmallNet().double().eval(), images(2)
    once = LayerClusterCam(model, model.relu2).attribute(x, 1)
    assert torch.equal(Captum(model, model.relu2).attribute(x, 1), 2 * once)
    targets = [ClassifierOutputTarget(1)] * 2
    assert (
        Cam(model, [model.relu2])(x, targets) == ClusterCAM(model, [model.relu2])(x, targets)
    ).all()


def test_threads_do_not_disturb_each_other():
    model = SmallNet().double().eval()
    inputs = [images(1, seed=seed) for seed in range(6)]
    cam = LayerClusterCam(model, model.relu2)
    alone = [cam.attribute(x, 1) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: cam.attribute(x, 1), inputs * 5))
    assert all(torch.equal(maps, alone[i % 6]) for i, maps in enumerate(together))
