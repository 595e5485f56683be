"""MinMax-Grad-CAM against the slow reference, Captum's Grad-CAM and the identities of its paper."""

import dataclasses
import math
from unittest import mock

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from captum_cluster._checks import TargetError
from captum_cluster.attr import LayerMinMaxCam, LayerMinMaxGradCam
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import MINMAX_GRAD_CAM, MinMaxGradCamConfig, minmax_grad_cam
from tests.helpers import collection_references as cref
from tests.helpers import minmax_references as ref
from tests.helpers import nets
from tests.helpers.method_cases import assert_close, margin

IMAGES = nets.images(3, 3, (9, 12))
# network, its layer, the images
NETS = {
    "small": (nets.SmallNet(), "relu2", IMAGES),
    "before the relu": (nets.SmallNet(seed=4), "conv2", IMAGES),
    "early": (nets.SmallNet(), "bn1", IMAGES),
    "in place": (nets.SmallNet(inplace=True), "conv2", IMAGES),
    "reused": (nets.ReusedReLU(), "relu", IMAGES),
    "flat": (nets.FlatNet(), "layer", IMAGES),
    "hand": (nets.HandNet(), "relu", nets.HandNet.image()),
    "tokens": (nets.TokenNet(), "block", nets.images(2, 3, (8, 12))),
}
# The labels of each image, with and without the target
LABELS = [[0, 1, 2], [1], []]
FORMS = [
    {},
    {"decomposed": True},
    {"decomposed": True, "contrast": "sum_positive"},
    {"reduction": "sum"},
    {"decomposed": True, "reduction": "sum"},
]
EVERY_FORM = pytest.mark.parametrize("options", FORMS, ids=str)
# A target that is not among the labels counts as present, with a warning that is tested below
pytestmark = pytest.mark.filterwarnings("ignore:Target . of image")


def the_case(name):
    net, layer, images = NETS[name]
    net = net.double().eval()
    return net, getattr(net, layer), images


def seen(net, layer, x, labels):
    """Maps and {label: gradients} of one image."""
    maps = cref.activations(net, layer, x)
    gradients = {label: cref.gradients(net, layer, x, label) for label in labels}
    if isinstance(net, nets.TokenNet):

        def fold(tokens):
            return net.reshape_transform(torch.from_numpy(tokens)[None])[0].numpy()

        return fold(maps), {label: fold(g) for label, g in gradients.items()}
    return maps, gradients


def explainer(net, layer):
    transform = net.reshape_transform if isinstance(net, nets.TokenNet) else None
    return LayerMinMaxGradCam(net, layer, reshape_transform=transform)


# Against the reference


@pytest.mark.parametrize("name", NETS)
@EVERY_FORM
def test_every_network(name, options):
    net, layer, images = the_case(name)
    count = net(images).shape[1]
    labels = [[label for label in row if label < count] for row in LABELS[: len(images)]]
    result = explainer(net, layer).explain(images, [0, 1], labels=labels, **options)
    prefix = "d-" if options.get("decomposed") else ""
    assert result.method == prefix + "minmax-grad-cam"
    assert result.targets.tolist() == [[0, 1]] * len(images)
    for n, row in enumerate(labels):
        assert set(result.present[n].nonzero()[:, 0].tolist()) == set(row)
        maps, gradients = seen(net, layer, images[n], {0, 1, *row})
        for target in (0, 1):
            expected = ref.minmax_grad_cam(maps, gradients, target, row, **options)
            assert_close(result.maps[n, target], expected)
            weights = result.weights[n, target].numpy()[:, None, None]
            assert_close((weights * maps).sum(axis=0), expected)


@EVERY_FORM
def test_predicted_labels(options):
    net, layer, images = the_case("early")
    with torch.no_grad():
        outputs = net(images)
    for threshold in (0.5, 0.3):
        found = LayerMinMaxGradCam(net, layer).explain(
            images, [2], label_threshold=threshold, **options
        )
        for n, row in enumerate(outputs):
            present = ref.present(row, threshold=threshold)
            assert set(found.present[n].nonzero()[:, 0].tolist()) == present
            maps, gradients = seen(net, layer, images[n], {2, *present})
            assert_close(
                found.maps[n, 0], ref.minmax_grad_cam(maps, gradients, 2, present, **options)
            )
    assert len({len(ref.present(row)) for row in outputs}) > 1


def test_every_form_of_labels_is_the_same():
    net, layer, images = the_case("early")
    cam = LayerMinMaxGradCam(net, layer)
    multi_hot = torch.zeros(3, 5)
    for n, row in enumerate(LABELS):
        multi_hot[n, row] = 1
    plain = cam.attribute(images, [0, 3, 2], labels=LABELS)
    for labels in (multi_hot, multi_hot.bool(), multi_hot.long(), tuple(map(tuple, LABELS))):
        assert torch.equal(cam.attribute(images, [0, 3, 2], labels=labels), plain)


def test_a_layer_that_gives_a_tuple():
    net = nets.TupleNet().double().eval()
    images = nets.images(2)
    results = LayerMinMaxGradCam(net, net.layer).explain(images, [2], labels=[[0, 2], [0, 1, 2]])
    with torch.no_grad():
        parts = net.layer(images)
    assert len(results) == 2
    for number, (maps, result) in enumerate(zip(parts, results, strict=True)):
        weights = net.fc.weight[:, 6 * number : 6 * number + 6]
        for n, row in enumerate([[0, 2], [0, 1, 2]]):
            expected = ref.minmax_cam(maps[n], weights, 2, row) / maps[0, 0].numel()
            assert_close(result.maps[n, 0], expected)


# By hand

MAPS = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]], dtype=torch.float64)
GRADIENTS = torch.tensor(
    [
        [[[2.0, -1.0]], [[0.0, 4.0]]],
        [[[1.0, 1.0]], [[-2.0, 2.0]]],
        [[[-3.0, 1.0]], [[1.0, -6.0]]],
        [[[90.0, 90.0]], [[90.0, 90.0]]],  # absent
    ],
    dtype=torch.float64,
)


def by_hand(coefficients):
    return torch.einsum("nl,lchw->nchw", coefficients, GRADIENTS)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # dJ/dA: 3 and -2, 1/2 and 6: [1 2] / 2 + [3 -1] 13/4
        ({}, [[10.25, -2.25]]),
        ({"reduction": "sum"}, [[20.5, -4.5]]),
        # 2 and -1, -1/3 and 4: [1 2] / 2 + [3 -1] 11/6
        ({"decomposed": True}, [[6.0, -5 / 6]]),
        # 3/2 and -1, -5/6 and 3: [1 2] / 4 + [3 -1] 13/12
        ({"decomposed": True, "contrast": "sum_positive"}, [[3.5, -7 / 12]]),
        ({"contrast": "sum_positive"}, [[10.25, -2.25]]),  # of D-MinMax alone
    ],
    ids=str,
)
@pytest.mark.parametrize("marked", [False, True])
def test_hand_worked_maps(options, expected, marked):
    # see tests/helpers/test_minmax_references.py for the arithmetic
    present = torch.tensor([[marked, True, True, False]])
    result = minmax_grad_cam(
        MAPS, by_hand, torch.tensor([[0]]), present, MinMaxGradCamConfig(**options)
    )
    assert_close(result.maps[0, 0], expected)


def test_hand_worked_map_of_a_network():
    # HandNet has flat gradients (1, 0, 1, -1/2) / 4 and (0, 1/2, 0, 1/2) / 4
    net = nets.HandNet().double().eval()
    cam = LayerMinMaxGradCam(net, net.relu)
    # A_0 - A_1 / 2 + A_2 - A_3, over 4
    found = cam.attribute(nets.HandNet.image(), 0, labels=[[0, 1]])
    assert_close(found[0, 0] * 4, [[8 - 2, 4 - 1], [0, 4 - 8 - 16]])
    # max(0, g_0) - max(0, g_1) + min(0, g_0 + g_1) / 2: 1, -1/2, 1, -1/2 (over 4)
    found = cam.attribute(nets.HandNet.image(), 0, labels=[[0, 1]], decomposed=True)
    assert_close(found[0, 0] * 4, [[8 - 2, 4 - 1], [0, 4 - 8 - 8]])


# Identities


@pytest.mark.parametrize("name", ["small", "before the relu", "early", "in place", "flat"])
@pytest.mark.parametrize("labels", [[[]] * 3, [[2]] * 3], ids=str)
@pytest.mark.parametrize("options", FORMS[:3], ids=str)
def test_no_other_label_is_captums_grad_cam(name, labels, options):
    net, layer, images = the_case(name)
    found = LayerMinMaxGradCam(net, layer).attribute(images, 2, labels=labels, **options)
    assert_close(found, LayerGradCam(net, layer).attribute(images, 2))


@pytest.mark.parametrize("name", ["small", "before the relu", "early", "flat"])
def test_minmax_is_a_difference_of_captums_grad_cams(name):
    net, layer, images = the_case(name)
    zero, one, two = (LayerGradCam(net, layer).attribute(images, t) for t in (0, 1, 2))
    found = LayerMinMaxGradCam(net, layer).attribute(images, 1, labels=[[0, 1, 2]] * 3)
    assert_close(found, one - (zero + two) / 2)


@pytest.mark.parametrize("name", ["small", "before the relu", "early", "reused"])
def test_two_labels_give_opposite_maps(name):
    net, layer, images = the_case(name)
    found = LayerMinMaxGradCam(net, layer).attribute_targets(images, [1, 2], labels=[[1, 2]] * 3)
    assert found.abs().max() > 1e-3
    assert_close(found[:, 0], -found[:, 1])


@pytest.mark.parametrize("name", ["small", "reused", "hand"])
@EVERY_FORM
def test_gradient_form_is_the_closed_form_over_the_pixels(name, options):
    net, layer, images = the_case(name)
    labels = [[0, 1]] * len(images)
    found = LayerMinMaxGradCam(net, layer).attribute_targets(
        images, [0, 1], labels=labels, **options
    )
    closed = {key: value for key, value in options.items() if key != "reduction"}
    expected = LayerMinMaxCam(net, layer).attribute_targets(images, [0, 1], labels=labels, **closed)
    cells = 1 if "reduction" in options else found[0, 0].numel()
    assert_close(found, expected / cells)


@EVERY_FORM
def test_several_targets_are_the_single_ones(options):
    net, layer, images = the_case("early")
    cam = LayerMinMaxGradCam(net, layer)
    targets = [[3, 0, 4], [1, 1, 2], [4, 2, 0]]
    together = cam.attribute_targets(images, targets, labels=LABELS, **options)
    for t in range(3):
        alone = cam.attribute(images, [row[t] for row in targets], labels=LABELS, **options)
        assert_close(together[:, t], alone[:, 0], rtol=1e-12)


@EVERY_FORM
def test_a_batch_is_its_images_one_by_one(options):
    net, layer, images = the_case("early")
    cam = LayerMinMaxGradCam(net, layer)
    whole = cam.attribute(images, [0, 3, 2], labels=LABELS, **options)
    predicted = cam.attribute(images, [0, 3, 2], **options)
    for n, target in enumerate([0, 3, 2]):
        one = cam.attribute(images[n : n + 1], target, labels=LABELS[n : n + 1], **options)
        assert_close(whole[n], one[0], rtol=1e-12)
        assert_close(
            predicted[n], cam.attribute(images[n : n + 1], target, **options)[0], rtol=1e-12
        )


@pytest.mark.parametrize(
    ("options", "targets", "passes"),
    [
        ({}, [3], 1),
        ({}, [3, 0, 1, 2], 4),
        ({"decomposed": True}, [3], 2),
        ({"decomposed": True}, [3, 0, 1, 2], 5),
    ],
    ids=str,
)
def test_one_forward_and_as_few_backward_passes(options, targets, passes):
    net, layer, images = the_case("early")
    plain, calls = torch.autograd.grad, []

    def counted(*args, **kwargs):
        calls.append(args)
        return plain(*args, **kwargs)

    with mock.patch("torch.autograd.grad", counted), count_forwards(net) as count:
        LayerMinMaxGradCam(net, layer).attribute_targets(
            images, targets, labels=[[0, 1, 2, 3]] * 3, **options
        )
    assert count.images == 3
    assert len(calls) == passes


def test_relu_attributions():
    net, layer, images = the_case("early")
    cam = LayerMinMaxGradCam(net, layer)
    plain = cam.attribute(images, 1, labels=LABELS)
    assert (plain < 0).any()
    rectified = cam.attribute(images, 1, labels=LABELS, relu_attributions=True)
    assert torch.equal(rectified, plain.relu())


def test_the_model_is_left_as_it_was():
    net, layer, images = the_case("early")
    images = images.clone().requires_grad_()
    found = LayerMinMaxGradCam(net, layer).attribute(images, 1, labels=LABELS, decomposed=True)
    assert not found.requires_grad
    assert images.grad is None
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not layer._forward_hooks


def test_float32_stays_float32():
    net = nets.SmallNet().eval()
    images = IMAGES.float()
    for options in FORMS:
        result = LayerMinMaxGradCam(net, net.bn1).explain(images, [1], labels=LABELS, **options)
        assert result.maps.dtype == result.weights.dtype == torch.float32
        double = nets.SmallNet().double().eval()
        expected = LayerMinMaxGradCam(double, double.bn1).explain(
            IMAGES, [1], labels=LABELS, **options
        )
        assert_close(result.maps, expected.maps, rtol=1e-3, atol=1e-5)


def test_sum_is_the_mean_times_the_cells():
    net, layer, images = the_case("early")
    cam = LayerMinMaxGradCam(net, layer)
    mean = cam.attribute(images, 0, labels=LABELS)
    total = cam.attribute(images, 0, labels=LABELS, reduction="sum")
    assert_close(total, mean * mean[0, 0].numel())


# Targets and labels


@pytest.mark.filterwarnings("ignore:The model's outputs lie")
@pytest.mark.parametrize("net", [nets.OneLogitNet(), nets.ScalarNet()], ids=["(N,1)", "(N,)"])
@pytest.mark.parametrize("options", FORMS[:3], ids=str)
def test_one_logit_is_grad_cam(net, options):
    net = net.double().eval()
    target = None if isinstance(net, nets.ScalarNet) else 0
    found = LayerMinMaxGradCam(net, net.relu).attribute(IMAGES, target, **options)
    assert_close(found, LayerGradCam(net, net.relu).attribute(IMAGES, target))


def test_negative_targets_count_from_the_end():
    net, layer, images = the_case("early")
    cam = LayerMinMaxGradCam(net, layer)
    found = cam.explain(images, [-1], labels=[[4, 0]] * 3)
    assert found.targets.tolist() == [[4]] * 3
    assert torch.equal(found.maps, cam.explain(images, [4], labels=[[4, 0]] * 3).maps)


@pytest.mark.filterwarnings("default:Target . of image")
def test_a_target_that_is_absent_counts_as_present():
    net, layer, images = the_case("early")
    cam = LayerMinMaxGradCam(net, layer)
    for options in FORMS:
        with pytest.warns(UserWarning, match="is not in its labels") as caught:
            found = cam.attribute(images, [0, 1, 3], labels=[[0], [1, 2], [1, 2]], **options)
        assert [str(warning.message) for warning in caught] == [
            "Target 3 of image 2 is not in its labels. It counts as present."
        ]
        assert caught[0].filename == __file__
        marked = cam.attribute(images, [0, 1, 3], labels=[[0], [1, 2], [1, 2, 3]], **options)
        assert_close(found, marked, rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_target_that_is_not_predicted_does_not_warn():
    net, layer, images = the_case("early")
    LayerMinMaxGradCam(net, layer).attribute_targets(images, [0, 1, 2, 3, 4])


class Ending(nn.Module):
    """SmallNet with another step behind it."""

    def __init__(self, end, **kwargs):
        super().__init__()
        self.net, self.end = nets.SmallNet(**kwargs), end

    def forward(self, x):
        return self.end(self.net(x))


@pytest.mark.parametrize("end", [nn.Sigmoid(), nn.Softmax(dim=1)], ids=["sigmoid", "softmax"])
@pytest.mark.parametrize("labels", [None, [[0, 1]] * 3], ids=["predicted", "given"])
def test_a_model_that_ends_in_probabilities_warns(end, labels):
    net = Ending(end).double().eval()
    with pytest.warns(UserWarning, match="as if it ended in a sigmoid or softmax"):
        found = LayerMinMaxGradCam(net, net.net.bn1).explain(IMAGES, [0], labels=labels)
    with torch.no_grad():
        outputs = net(IMAGES)
    for n in range(3):
        present = ref.present(outputs[n], labels and labels[n])
        assert set(found.present[n].nonzero()[:, 0].tolist()) == present
        maps, gradients = seen(net, net.net.bn1, IMAGES[n], {0, *present})
        assert_close(found.maps[n, 0], ref.minmax_grad_cam(maps, gradients, 0, present))


def test_a_softmax_classifier_needs_labels():
    # logits of a softmax classifier may be moved by any number: here all are positive
    net = Ending(nn.Hardtanh(0.1, 50), num_classes=40).double().eval()
    cam = LayerMinMaxGradCam(net, net.net.bn1)
    with pytest.raises(ValueError, match="max_predicted") as raised:
        cam.attribute(IMAGES, 0, max_predicted=39)
    assert str(raised.value) == (
        "Expected the model to predict at most 39 labels of an image (max_predicted), but got 40 "
        "for image 0. A softmax classifier does not tell which labels are present: pass labels=."
    )
    assert cam.explain(IMAGES, [0], max_predicted=40).present.all()
    with pytest.raises(ValueError, match="at most 20 labels"):
        cam.attribute(IMAGES, 0)
    assert cam.attribute(IMAGES, 0, labels=[[0, 1]] * 3).abs().max() > 0


# Options


def test_defaults():
    assert dataclasses.asdict(MinMaxGradCamConfig()) == {
        "decomposed": False,
        "contrast": "positive_sum",
        "label_threshold": 0.5,
        "max_predicted": 20,
        "reduction": "mean",
    }
    assert MINMAX_GRAD_CAM.id == "minmax-grad-cam"
    assert MINMAX_GRAD_CAM.gradient
    assert MINMAX_GRAD_CAM.contrasts_labels


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"decomposed": 1}, TypeError, "decomposed to be True or False, but got 1."),
        (
            {"contrast": "mean"},
            ValueError,
            "contrast to be one of 'positive_sum', 'sum_positive', but got 'mean'.",
        ),
        (
            {"label_threshold": 1.5},
            ValueError,
            "label_threshold to be a number from 0 to 1, but got 1.5.",
        ),
        (
            {"label_threshold": math.nan},
            ValueError,
            "label_threshold to be a number from 0 to 1, but got nan.",
        ),
        (
            {"max_predicted": 0},
            ValueError,
            "max_predicted to be an integer of at least 1, but got 0.",
        ),
        (
            {"max_predicted": 2.0},
            TypeError,
            "max_predicted to be an integer of at least 1, but got 2.0.",
        ),
        ({"reduction": "max"}, ValueError, "reduction to be one of 'mean', 'sum', but got 'max'."),
        (
            {"threshold": 0.4},
            TypeError,
            "the options of minmax-grad-cam to be among decomposed, contrast, label_threshold, "
            "max_predicted, reduction, but got 'threshold'.",
        ),
    ],
    ids=str,
)
def test_wrong_options(options, error, text):
    with pytest.raises(error) as raised:
        MINMAX_GRAD_CAM.configure(options)
    assert str(raised.value) == f"Expected {text}"


@pytest.mark.parametrize(
    ("target", "labels", "error", "text"),
    [
        (margin, LABELS, TargetError, "Expected target to be a class index, but got a callable."),
        (5, LABELS, TargetError, "Expected target to be a class index from 0 to 4, but got 5."),
        (
            0,
            [[0], [5], []],
            ValueError,
            "Expected labels to be lists of class indices from 0 to 4, but got 5.",
        ),
        (
            0,
            [[0]],
            ValueError,
            "Expected labels to be one list of class indices for each of 3 images, but got 1 of "
            "them.",
        ),
        (
            0,
            torch.ones(3, 4),
            ValueError,
            "Expected labels to be a multi-hot tensor (N,L), or a list with one list of class "
            "indices for each image, here of shape (3, 5), but got a tensor of shape (3, 4) and "
            "dtype torch.float32.",
        ),
    ],
    ids=["callable", "no class", "label", "too few", "shape"],
)
def test_wrong_targets_and_labels(target, labels, error, text):
    net, layer, images = the_case("early")
    target = [target] * 3 if callable(target) else target
    with pytest.raises(error) as raised:
        LayerMinMaxGradCam(net, layer).attribute(images, target, labels=labels)
    assert str(raised.value) == text


def test_outputs_of_more_dimensions():
    net = nets.DenseNet2d().double().eval()
    with pytest.raises(ValueError, match="one row of logits") as raised:
        LayerMinMaxGradCam(net, net.relu).attribute(nets.images(2), (0, 1, 1))
    assert str(raised.value) == (
        "Expected the model to give one row of logits (N,L) for each image, but got outputs of "
        "shape (2, 3, 8, 8)."
    )
