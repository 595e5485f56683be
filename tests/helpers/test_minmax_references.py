"""The second derivation of the MinMax family, against numbers from paper and against Captum."""

import math

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from tests.helpers import minmax_references as ref
from tests.helpers import nets
from tests.helpers.collection_references import activations, gradients

FORMS = [(False, "positive_sum"), (True, "positive_sum"), (True, "sum_positive")]

# Two channels of a grid 1x2, three labels; the target is 0 in what follows
MAPS = [[[1, 2]], [[3, -1]]]
GRADIENTS = {
    0: [[[2, -1]], [[0, 4]]],
    1: [[[1, 1]], [[-2, 2]]],
    2: [[[-3, 1]], [[1, -6]]],
    3: [[[90, 90]], [[90, 90]]],  # absent
}
WEIGHTS = [[2, 0], [1, -2], [-3, 1], [90, 90]]


@pytest.fixture
def small():
    net = nets.SmallNet().double().eval()
    x = nets.images(1, size=(12, 9))[0]
    maps = activations(net, net.relu2, x)
    g = {label: gradients(net, net.relu2, x, label) for label in range(5)}
    return net, x, maps, g


# Labels


def test_present_by_hand():
    logits = [0.1, -0.1, 0.0, 3.0]
    assert ref.present(logits) == {0, 3}
    # sigmoid(3) = 0.953, sigmoid(0.1) = 0.525
    assert ref.present(logits, threshold=0.525) == {3}
    assert ref.present([0.1, 0.5, 0.51, 1.0]) == {2, 3}  # taken for probabilities
    assert ref.present([0.1, 0.5, 0.51, 1.01]) == {0, 1, 2, 3}  # logits
    assert ref.present(torch.tensor([0.0, 0.0])) == set()


def test_present_with_labels():
    assert ref.present([0.0, 9.0, 9.0], [0, 2]) == {0, 2}
    assert ref.present([0.0, 9.0, 9.0], []) == set()
    for multi_hot in ([True, False, True], torch.tensor([1, 0, 1]), np.array([1.0, 0.0, 1.0])):
        assert ref.present([0.0, 9.0, 9.0], multi_hot) == {0, 2}


# By hand


def test_minmax_grad_cam_by_hand():
    # dJ/dA, n = 2:  channel 0: 2 - (1 - 3)/2 = 3,   -1 - (1 + 1)/2 = -2    sum 1
    #                channel 1: 0 - (-2 + 1)/2 = 1/2, 4 - (2 - 6)/2 = 6      sum 13/2
    # [1 2] / 2 + [3 -1] 13/4
    expected = np.array([[10.25, -2.25]])
    for labels in ([0, 1, 2], [1, 2], {2, 1}):  # the target counts as present
        np.testing.assert_allclose(ref.minmax_grad_cam(MAPS, GRADIENTS, 0, labels), expected)
    summed = ref.minmax_grad_cam(MAPS, GRADIENTS, 0, [1, 2], reduction="sum")
    np.testing.assert_allclose(summed, 2 * expected)


def test_d_minmax_grad_cam_by_hand():
    #                own   sum N   sum C     max(0, own) - max(0, sum N)/2 + min(0, sum C)/3
    # channel 0       2     -2      0         2
    #                -1      2      1        -1                       sum 1, mean 1/2
    # channel 1       0     -1     -1        -1/3
    #                 4     -4      0         4                       sum 11/3, mean 11/6
    # [1 2] / 2 + [3 -1] 11/6
    out = ref.minmax_grad_cam(MAPS, GRADIENTS, 0, [0, 1, 2], decomposed=True)
    np.testing.assert_allclose(out, [[6, -5 / 6]])


def test_d_minmax_grad_cam_with_the_maximum_inside_the_sum():
    # own, others     sum C     max(0, own) - sum of max(0, other)/2 + min(0, sum C)/3
    #  2   1 -3         0       2 - 1/2       =  3/2
    # -1   1  1         1       0 - 2/2       = -1       sum 1/2, mean 1/4
    #  0  -2  1        -1       0 - 1/2 - 1/3 = -5/6
    #  4   2 -6         0       4 - 2/2       =  3       sum 13/6, mean 13/12
    # [1 2] / 4 + [3 -1] 13/12
    out = ref.minmax_grad_cam(
        MAPS, GRADIENTS, 0, [0, 1, 2], decomposed=True, contrast="sum_positive"
    )
    np.testing.assert_allclose(out, [[3.5, -7 / 12]])


def test_the_maximum_comes_before_the_reduction():
    # own gradient 2 and -2: their mean is 0, but max(0, g) gives 1 and, with one label 1 and 0,
    # -max(0, 1)/1 -> -1/2 on average; min(0, 2 + 1) = 0 and min(0, -2)/2 -> -1/2
    out = ref.minmax_grad_cam(
        [[[1, 1]]], {0: [[[2, -2]]], 1: [[[1, 0]]]}, 0, [0, 1], decomposed=True
    )
    np.testing.assert_allclose(out, [[0, 0]], atol=1e-15)
    plain = ref.minmax_grad_cam([[[1, 1]]], {0: [[[2, -2]]], 1: [[[1, 0]]]}, 0, [0, 1])
    np.testing.assert_allclose(plain, [[-0.5, -0.5]])


def test_closed_forms_by_hand():
    # plain: 2 - (1 - 3)/2 = 3 and 0 - (-2 + 1)/2 = 1/2: 3 [1 2] + 1/2 [3 -1]
    np.testing.assert_allclose(ref.minmax_cam(MAPS, WEIGHTS, 0, [0, 1, 2]), [[4.5, 5.5]])
    # decomposed: 2 and -1/3, as the first column of the gradients above
    out = ref.minmax_cam(MAPS, WEIGHTS, 0, [0, 1, 2], decomposed=True)
    np.testing.assert_allclose(out, [[1, 13 / 3]])
    # the other order: 3/2 and -5/6, as the first column there
    out = ref.minmax_cam(MAPS, WEIGHTS, 0, [1, 2], decomposed=True, contrast="sum_positive")
    np.testing.assert_allclose(out, [[1.5 - 2.5, 3 + 5 / 6]])
    np.testing.assert_allclose(ref.cam(MAPS, WEIGHTS, 1), [[1 - 6, 2 + 2]])


def test_names_are_checked():
    with pytest.raises(ValueError, match="max"):
        ref.minmax_grad_cam(MAPS, GRADIENTS, 0, [1], reduction="max")
    with pytest.raises(ValueError, match="other"):
        ref.minmax_cam(MAPS, WEIGHTS, 0, [1], decomposed=True, contrast="other")


# Identities


@pytest.mark.parametrize(("decomposed", "contrast"), FORMS)
def test_gradient_form_is_the_closed_form_over_the_pixels(small, decomposed, contrast):
    net, _, maps, g = small
    options = {"decomposed": decomposed, "contrast": contrast}
    closed = ref.minmax_cam(maps, net.fc.weight, 3, [0, 3, 4], **options)
    mean = ref.minmax_grad_cam(maps, g, 3, [0, 3, 4], **options)
    total = ref.minmax_grad_cam(maps, g, 3, [0, 3, 4], reduction="sum", **options)
    np.testing.assert_allclose(mean, closed / closed.size, atol=1e-14)
    np.testing.assert_allclose(total, closed, atol=1e-14)


def test_two_labels_give_opposite_maps(small):
    net, _, maps, g = small
    first = ref.minmax_grad_cam(maps, g, 1, [1, 4])
    np.testing.assert_allclose(first, -ref.minmax_grad_cam(maps, g, 4, [1, 4]), atol=1e-15)
    first = ref.minmax_cam(maps, net.fc.weight, 1, [1, 4])
    np.testing.assert_allclose(first, -ref.minmax_cam(maps, net.fc.weight, 4, [1, 4]), atol=1e-15)


@pytest.mark.parametrize("layer", ["relu1", "conv2", "relu2"])
def test_no_other_label_is_captums_grad_cam(layer):
    net = nets.SmallNet().double().eval()
    x = nets.images(1)[0]
    layer = net.get_submodule(layer)
    maps, g = activations(net, layer, x), gradients(net, layer, x, 2)
    expected = LayerGradCam(net, layer).attribute(x[None], target=2)[0, 0].detach().numpy()
    for labels in ([], [2]):
        for decomposed, contrast in FORMS:
            out = ref.minmax_grad_cam(
                maps, {2: g}, 2, labels, decomposed=decomposed, contrast=contrast
            )
            np.testing.assert_allclose(out, expected, atol=1e-14)


@pytest.mark.parametrize(("decomposed", "contrast"), FORMS)
def test_no_other_label_is_cam(small, decomposed, contrast):
    net, _, maps, _ = small
    out = ref.minmax_cam(maps, net.fc.weight, 2, [2], decomposed=decomposed, contrast=contrast)
    np.testing.assert_allclose(out, ref.cam(maps, net.fc.weight, 2), atol=1e-14)


def test_minmax_is_a_difference_of_captums_grad_cams():
    net = nets.SmallNet().double().eval()
    x = nets.images(1)[0]
    layer = net.bn1
    grad_cam = LayerGradCam(net, layer)
    one, two, four = (
        grad_cam.attribute(x[None], target=t)[0, 0].detach().numpy() for t in (1, 2, 4)
    )
    g = {label: gradients(net, layer, x, label) for label in (1, 2, 4)}
    out = ref.minmax_grad_cam(activations(net, layer, x), g, 1, [1, 2, 4])
    np.testing.assert_allclose(out, one - (two + four) / 2, atol=1e-14)


def test_cam_is_the_logit_without_its_bias(small):
    net, x, maps, _ = small
    logit = net(x[None])[0, 3].item() - net.fc.bias[3].item()
    assert ref.cam(maps, net.fc.weight, 3).mean() == pytest.approx(logit)


# Kernel usage


def test_kernel_usage_by_hand():
    # column 0: 0 and ln 3, softmax 1/4 and 3/4; column 1: -ln 3 and 0, the same; of the
    # magnitudes 3/4 and 1/4
    t = math.log(3)
    out = ref.kernel_usage([[0, -t], [t, 0]])
    np.testing.assert_allclose(out, [[0, -t / 4], [0.75 * t, 0]])
    out = ref.kernel_usage([[0, -t], [t, 0]], magnitude=True)
    np.testing.assert_allclose(out, [[0, -0.75 * t], [0.75 * t, 0]])


def test_kernel_usage_is_the_softmax_over_the_labels():
    weight = nets.SmallNet().fc.weight.detach().double()
    np.testing.assert_allclose(ref.kernel_usage(weight), weight * weight.softmax(0), rtol=1e-14)
    np.testing.assert_allclose(ref.kernel_usage(np.full((5, 2), 3.0)), np.full((5, 2), 3 / 5))
