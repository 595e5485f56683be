"""The closed forms: MinMax-CAM against the slow reference, and the classifier that they read."""

import dataclasses

import pytest
import torch
from torch import nn

from captum_cluster._checks import LayerError
from captum_cluster.attr import LayerMinMaxCam, LayerMinMaxGradCam
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import (
    MINMAX_CAM,
    MinMaxCamConfig,
    closed_form_weight,
    find_classifier,
    minmax_cam,
)
from captum_cluster.training import KernelUsageLinear
from tests.helpers import minmax_references as ref
from tests.helpers import nets
from tests.helpers.method_cases import assert_close, maps_of

IMAGES = nets.images(3, 3, (9, 12))
LABELS = [[0, 1, 2], [1], []]
FORMS = [{}, {"decomposed": True}, {"decomposed": True, "contrast": "sum_positive"}]
EVERY_FORM = pytest.mark.parametrize("options", FORMS, ids=str)
pytestmark = pytest.mark.filterwarnings("ignore:Target . of image")


class ConvHead(nn.Module):
    """A 1x1 convolution as classifier, before the pooling or behind it."""

    def __init__(self, pool_first, bias=True):
        super().__init__()
        body = nets.SmallNet()
        self.body = nn.Sequential(body.conv1, body.bn1, body.relu1, body.conv2, body.relu2)
        self.head = nn.Conv2d(12, 5, 1, bias=bias)
        self.pool_first = pool_first
        with torch.no_grad():
            self.head.weight.copy_(body.fc.weight[:, :, None, None])

    def forward(self, x):
        maps = self.body(x)
        if self.pool_first:
            maps = maps.mean(dim=(2, 3), keepdim=True)
        return self.head(maps).mean(dim=(2, 3))


def with_kernel_usage(magnitude=False):
    net = nets.SmallNet()
    net.fc = KernelUsageLinear.from_linear(net.fc, magnitude=magnitude)
    return net


def without_bias():
    net = nets.SmallNet(seed=8)
    net.fc.bias = None
    return net


# network, its layer, the images, the weights (L,C) that give the logits
NETS = {
    "small": (nets.SmallNet(), "relu2", IMAGES, lambda net: net.fc.weight),
    "other": (nets.SmallNet(seed=3, channels=7), "relu2", IMAGES, lambda net: net.fc.weight),
    "reused": (nets.ReusedReLU(), "relu", IMAGES, lambda net: net.fc.weight),
    "flat": (nets.FlatNet(), "layer", IMAGES, lambda net: net.fc.weight),
    "hand": (nets.HandNet(), "relu", nets.HandNet.image(), lambda net: net.fc.weight),
    "no bias": (without_bias(), "relu2", IMAGES, lambda net: net.fc.weight),
    "conv": (ConvHead(False), "body", IMAGES, lambda net: net.head.weight[:, :, 0, 0]),
    "conv of pooled": (
        ConvHead(True, bias=False), "body", IMAGES, lambda net: net.head.weight[:, :, 0, 0],
    ),
    "kernel usage": (
        with_kernel_usage(), "relu2", IMAGES, lambda net: ref.kernel_usage(net.fc.weight),
    ),
    "of magnitudes": (
        with_kernel_usage(True), "relu2", IMAGES, lambda net: ref.kernel_usage(net.fc.weight, True),
    ),
}  # fmt: skip


def the_case(name):
    net, layer, images, weight = NETS[name]
    net = net.double().eval()
    return net, getattr(net, layer), images, weight(net)


# Against the reference


@pytest.mark.parametrize("name", NETS)
@EVERY_FORM
def test_every_network(name, options):
    net, layer, images, weight = the_case(name)
    labels = [[label for label in row if label < len(weight)] for row in LABELS[: len(images)]]
    result = LayerMinMaxCam(net, layer).explain(images, [0, 1], labels=labels, **options)
    prefix = "d-" if options.get("decomposed") else ""
    assert result.method == prefix + "minmax-cam"
    assert result.targets.tolist() == [[0, 1]] * len(images)
    for n, (maps, row) in enumerate(zip(maps_of(net, layer, images), labels, strict=True)):
        assert set(result.present[n].nonzero()[:, 0].tolist()) == set(row)
        for target in (0, 1):
            expected = ref.minmax_cam(maps, weight, target, row, **options)
            assert_close(result.maps[n, target], expected)
            weights = result.weights[n, target][:, None, None]
            assert_close((weights * maps).sum(dim=0), expected)


@EVERY_FORM
def test_predicted_labels(options):
    net, layer, images, weight = the_case("small")
    with torch.no_grad():
        outputs = net(images)
    found = LayerMinMaxCam(net, layer).explain(images, [3], label_threshold=0.4, **options)
    for n, row in enumerate(outputs):
        present = ref.present(row, threshold=0.4)
        assert set(found.present[n].nonzero()[:, 0].tolist()) == present
        maps = maps_of(net, layer, images)[n]
        assert_close(found.maps[n, 0], ref.minmax_cam(maps, weight, 3, present, **options))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # 2 - (1 - 3)/2 = 3 and 0 - (-2 + 1)/2 = 1/2: 3 [1 2] + 1/2 [3 -1]
        ({}, [[4.5, 5.5]]),
        # 2 - 0 + 0 and 0 - 0 - 1/3
        ({"decomposed": True}, [[1.0, 13 / 3]]),
        # 2 - 1/2 + 0 and 0 - 1/2 - 1/3
        ({"decomposed": True, "contrast": "sum_positive"}, [[-1.0, 23 / 6]]),
    ],
    ids=str,
)
def test_hand_worked_maps(options, expected):
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]], dtype=torch.float64)
    weight = torch.tensor([[2.0, 0.0], [1.0, -2.0], [-3.0, 1.0], [90.0, 90.0]]).double()
    for marked in (False, True):
        present = torch.tensor([[marked, True, True, False]])
        result = minmax_cam(maps, weight, torch.tensor([[0]]), present, MinMaxCamConfig(**options))
        assert_close(result.maps[0, 0], expected)


# Identities


@pytest.mark.parametrize("name", NETS)
@EVERY_FORM
def test_closed_form_is_the_gradient_form_times_the_pixels(name, options):
    net, layer, images, _ = the_case(name)
    labels = [[0, 1]] * len(images)
    closed = LayerMinMaxCam(net, layer).attribute_targets(images, [0, 1], labels=labels, **options)
    gradient = LayerMinMaxGradCam(net, layer).attribute_targets(
        images, [0, 1], labels=labels, **options
    )
    assert_close(closed, gradient * closed[0, 0].numel())


@pytest.mark.parametrize("name", NETS)
def test_two_labels_give_opposite_maps(name):
    net, layer, images, _ = the_case(name)
    labels = [[0, 1]] * len(images)
    found = LayerMinMaxCam(net, layer).attribute_targets(images, [0, 1], labels=labels)
    assert_close(found[:, 0], -found[:, 1])
    assert found.abs().max() > 1e-3


@pytest.mark.parametrize("name", NETS)
@EVERY_FORM
def test_no_other_label_is_cam(name, options):
    net, layer, images, weight = the_case(name)
    labels = [[1]] * len(images)
    found = LayerMinMaxCam(net, layer).attribute(images, 1, labels=labels, **options)
    for n, maps in enumerate(maps_of(net, layer, images)):
        assert_close(found[n, 0], ref.cam(maps, weight, 1))


@EVERY_FORM
def test_several_targets_and_images_are_the_single_ones(options):
    net, layer, images, _ = the_case("small")
    cam = LayerMinMaxCam(net, layer)
    targets = [[3, 0, 4], [1, 1, 2], [4, 2, 0]]
    together = cam.attribute_targets(images, targets, labels=LABELS, **options)
    for t in range(3):
        alone = cam.attribute(images, [row[t] for row in targets], labels=LABELS, **options)
        assert_close(together[:, t], alone[:, 0], rtol=1e-12)
    for n in range(3):
        one = cam.attribute_targets(
            images[n : n + 1], targets[n], labels=LABELS[n : n + 1], **options
        )
        assert_close(together[n], one[0], rtol=1e-12)


def test_one_forward_and_no_backward_pass():
    net, layer, images, _ = the_case("small")
    net.requires_grad_(False)
    with count_forwards(net) as count, torch.inference_mode():
        LayerMinMaxCam(net, layer).attribute_targets(images, [0, 1, 2], decomposed=True)
    net.requires_grad_(True)
    assert count.images == 3


def test_a_target_that_is_absent_counts_as_present():
    net, layer, images, _ = the_case("small")
    cam = LayerMinMaxCam(net, layer)
    for options in FORMS:
        with pytest.warns(UserWarning, match="^Target 4 of image 1 is not in its labels"):
            found = cam.attribute(images, [0, 4, 0], labels=[[0], [1, 2], [0]], **options)
        assert_close(found, cam.attribute(images, [0, 4, 0], labels=[[0], [1, 2, 4], [0]],
                                          **options), rtol=1e-12)  # fmt: skip


# The classifier


def test_the_last_classifier_is_found():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 2)),
                        nn.ReLU(), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1, groups=2))  # fmt: skip
    assert find_classifier(net) is net[2][0]
    assert find_classifier(net[:1]) is net[0]
    assert find_classifier(net, net[1]) is net[1]
    head = with_kernel_usage()
    assert find_classifier(head) is head.fc


class Effective(nn.Module):
    """A classifier that is none of torch's: it only tells its weights."""

    def __init__(self, weight):
        super().__init__()
        self.effective_weight = weight

    def forward(self, x):
        return x @ self.effective_weight.flatten(1).T


@pytest.mark.parametrize("shape", [(5, 12), (5, 12, 1, 1)], ids=str)
def test_a_classifier_with_an_effective_weight(shape):
    net = nets.SmallNet().double().eval()
    weight = net.fc.weight.detach().clone()
    net.fc = Effective(weight.reshape(shape))
    assert find_classifier(net) is net.fc
    found = LayerMinMaxCam(net, net.relu2).attribute(IMAGES, 0, labels=LABELS)
    for n, maps in enumerate(maps_of(net, net.relu2, IMAGES)):
        assert_close(found[n, 0], ref.minmax_cam(maps, weight, 0, LABELS[n]))


def test_a_method_of_a_model_knows_its_classifier():
    net = nets.SmallNet().double().eval()
    found = LayerMinMaxCam(net.forward, net.relu2).attribute(IMAGES, 0, labels=LABELS)
    assert torch.equal(found, LayerMinMaxCam(net, net.relu2).attribute(IMAGES, 0, labels=LABELS))


def test_a_function_needs_the_classifier():
    net = nets.SmallNet().double().eval()
    with pytest.raises(LayerError) as raised:
        LayerMinMaxCam(lambda x: net(x), net.relu2)
    assert str(raised.value) == (
        "Expected classifier to be given for a function that hides its model, but got None."
    )
    cam = LayerMinMaxCam(lambda x: net(x), net.relu2, classifier=net.fc)
    plain = LayerMinMaxCam(net, net.relu2)
    assert torch.equal(
        cam.attribute(IMAGES, 0, labels=LABELS), plain.attribute(IMAGES, 0, labels=LABELS)
    )


KINDS = "an nn.Linear or a 1x1 nn.Conv2d, or a module with an effective_weight"
ADVICE = (
    " Pass classifier= if another module is the classifier, or use the gradient form, which takes "
    "any model: minmax-grad-cam (LayerMinMaxGradCam, MinMaxGradCAM) for minmax-cam, grad-cam for "
    "cam."
)


def test_a_model_without_classifier():
    with pytest.raises(LayerError) as raised:
        find_classifier(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    assert str(raised.value) == f"Expected the model to hold {KINDS}, but got Sequential.{ADVICE}"


@pytest.mark.parametrize(
    ("classifier", "got"),
    [
        (nn.ReLU(), "ReLU() (ReLU)"),
        ("fc", "'fc' (str)"),
        (torch.ones(5, 12), "a tensor of shape (5, 12) and dtype torch.float32"),
        (nn.Conv2d(2, 2, 3), "Conv2d(2, 2, kernel_size=(3, 3), stride=(1, 1)) (Conv2d)"),
    ],
    ids=["relu", "name", "tensor", "3x3"],
)
def test_what_is_no_classifier(classifier, got):
    net = nets.SmallNet()
    with pytest.raises(TypeError) as raised:
        LayerMinMaxCam(net, net.relu2, classifier=classifier)
    assert str(raised.value) == f"Expected classifier to be {KINDS}, but got {got}."


HEAD = (
    "Expected the model to be global average pooling and a linear classifier behind the layer, so "
    "that pool(A) W^T + b gives the logits, but got "
)


def test_a_layer_of_another_number_of_maps():
    net = nets.SmallNet().double().eval()
    with pytest.raises(LayerError) as raised:
        LayerMinMaxCam(net, net.relu1).attribute(IMAGES, 0, labels=LABELS)
    got = "8 maps, weights (5, 12) and outputs (3, 5)."
    assert str(raised.value) == HEAD + got + ADVICE


class Doubled(nets.SmallNet):
    def forward(self, x):
        return 2 * super().forward(x)


class MaxPooled(nets.SmallNet):
    def forward(self, x):
        x = self.relu2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.fc(x.amax(dim=(2, 3)))


@pytest.mark.parametrize(
    ("net", "layer"),
    [
        (nets.SmallNet(), "conv2"),  # the ReLU is between
        (Doubled(), "relu2"),
        (MaxPooled(), "relu2"),
        (nets.SmallNet(channels=8), "relu1"),  # as many maps by chance
    ],
    ids=["before the relu", "doubled", "max", "early"],
)
def test_a_head_that_is_not_pooling_and_linear(net, layer):
    net = net.double().eval()
    cam = LayerMinMaxCam(net, getattr(net, layer))
    with pytest.raises(LayerError) as raised:
        cam.attribute(IMAGES, 0, labels=LABELS)
    assert str(raised.value).startswith(HEAD + "a relative difference of ")
    assert str(raised.value).endswith("." + ADVICE)


def test_the_relative_difference_by_hand():
    net = Doubled().double().eval()
    with pytest.raises(LayerError, match="a relative difference of 0.5"):
        LayerMinMaxCam(net, net.relu2).attribute(IMAGES, 0, labels=LABELS)


def test_a_model_in_training_mode_is_explained_in_eval_mode():
    # its dropout would keep the pooled maps from giving the logits
    net = nets.SmallNet(dropout=0.5).double()
    with pytest.warns(UserWarning, match="The model is in training mode"):
        found = LayerMinMaxCam(net, net.relu2).attribute(IMAGES, 0, labels=LABELS)
    assert net.training
    expected = LayerMinMaxCam(net.eval(), net.relu2).attribute(IMAGES, 0, labels=LABELS)
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        (torch.float64, 0.9e-3, 1.1e-3),
        (torch.float32, 0.9e-3, 1.1e-3),
        (torch.float16, 6e-3, 1.2e-2),  # eight roundings: 7.8e-3
        (torch.bfloat16, 4e-2, 9e-2),  # 6.25e-2
    ],
    ids=str,
)
def test_the_tolerance_is_that_of_the_precision(dtype, good, bad):
    fc = nn.Linear(1, 2, bias=False).double()
    fc.weight.data = torch.tensor([[1.0], [-2.0]], dtype=torch.float64)
    maps = torch.tensor([[[[1.0, 3.0]]]], dtype=torch.float64)  # mean 2: logits 2, -4
    for error in (0.0, good, -good):
        outputs = torch.tensor([[2.0, -4.0 * (1 + error)]], dtype=torch.float64).to(dtype)
        assert torch.equal(closed_form_weight(fc, maps, outputs), fc.weight.data)
    for error in (bad, -bad):
        outputs = torch.tensor([[2.0, -4.0 * (1 + error)]], dtype=torch.float64).to(dtype)
        with pytest.raises(LayerError, match="a relative difference of"):
            closed_form_weight(fc, maps, outputs)


@pytest.mark.parametrize(
    ("value", "got"), [(torch.nan, "NaN"), (torch.inf, "an infinite value")], ids=str
)
def test_logits_that_are_not_finite_are_not_explained(value, got):
    fc = nn.Linear(2, 2)
    outputs = torch.tensor([[1.0, value]])
    with pytest.raises(ValueError, match="finite") as raised:
        closed_form_weight(fc, torch.ones(1, 2, 3, 3), outputs)
    text = f"Expected the model's outputs to be finite, but got {got} at index [0, 1]."
    assert str(raised.value) == text


def test_weights_that_are_not_finite_are_not_explained():
    fc = nn.Linear(2, 2)
    with torch.no_grad():
        fc.weight[0, 0] = torch.nan
    with pytest.raises(LayerError, match="a relative difference of nan"):
        closed_form_weight(fc, torch.ones(1, 2, 3, 3), torch.ones(1, 2))


def test_logits_of_zero():
    fc = nn.Linear(2, 2, bias=False)
    maps = torch.zeros(1, 2, 3, 3)
    weight = closed_form_weight(fc, maps, torch.zeros(1, 2))
    assert torch.equal(weight, fc.weight.detach())
    assert not weight.requires_grad


@pytest.mark.filterwarnings("ignore:The model's outputs lie")
@pytest.mark.parametrize("net", [nets.OneLogitNet(), nets.ScalarNet()], ids=["(N,1)", "(N,)"])
@EVERY_FORM
def test_one_logit_is_cam(net, options):
    net = net.double().eval()
    target = None if isinstance(net, nets.ScalarNet) else 0
    found = LayerMinMaxCam(net, net.relu).attribute(IMAGES, target, **options)
    for n, maps in enumerate(maps_of(net, net.relu, IMAGES)):
        assert_close(found[n, 0], ref.cam(maps, net.fc.weight, 0))


def test_half_precision():
    net = nets.SmallNet().to(torch.bfloat16).eval()
    found = LayerMinMaxCam(net, net.relu2).attribute(IMAGES.bfloat16(), 0, labels=LABELS)
    assert found.dtype == torch.float32
    double = nets.SmallNet().double().eval()
    expected = LayerMinMaxCam(double, double.relu2).attribute(IMAGES, 0, labels=LABELS)
    assert_close(found, expected, rtol=0.05, atol=0.05)


def test_autocast():
    net = nets.SmallNet().eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = LayerMinMaxCam(net, net.relu2).attribute(IMAGES.float(), 0, labels=LABELS)
    expected = LayerMinMaxCam(net, net.relu2).attribute(IMAGES.float(), 0, labels=LABELS)
    assert found.dtype == torch.float32
    assert_close(found, expected, rtol=0.05, atol=0.05)


# Options


def test_defaults():
    assert dataclasses.asdict(MinMaxCamConfig()) == {
        "decomposed": False,
        "contrast": "positive_sum",
        "label_threshold": 0.5,
        "max_predicted": 20,
    }
    assert MINMAX_CAM.id == "minmax-cam"
    assert not MINMAX_CAM.gradient
    assert MINMAX_CAM.contrasts_labels


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"decomposed": None}, TypeError, "decomposed to be True or False, but got None"),
        ({"contrast": "sum"}, ValueError, "contrast to be one of 'positive_sum', 'sum_positive'"),
        ({"label_threshold": -0.1}, ValueError, "label_threshold to be a number from 0 to 1"),
        ({"max_predicted": -1}, ValueError, "max_predicted to be an integer of at least 1"),
        (
            {"reduction": "sum"},
            TypeError,
            "the options of minmax-cam to be among decomposed, contrast, label_threshold, "
            "max_predicted, but got 'reduction'.",
        ),
    ],
    ids=str,
)
def test_wrong_options(options, error, text):
    with pytest.raises(error) as raised:
        MINMAX_CAM.configure(options)
    assert str(raised.value).startswith(f"Expected {text}")


def test_max_predicted():
    net, layer, images, _ = the_case("small")
    with torch.no_grad():
        most = max(len(ref.present(row)) for row in net(images))
    assert most > 1
    cam = LayerMinMaxCam(net, layer)
    cam.attribute(images, 0, max_predicted=most)
    with pytest.raises(ValueError, match=f"at most {most - 1} labels .* but got {most} for image"):
        cam.attribute(images, 0, max_predicted=most - 1)
