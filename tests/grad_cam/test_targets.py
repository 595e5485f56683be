"""MinMaxTarget: the objective as a target for pytorch-grad-cam's methods."""

import math
import warnings

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus

from captum_cluster._checks import TargetError
from captum_cluster.attr import LayerMinMaxGradCam
from captum_cluster.grad_cam import MinMaxTarget
from tests.helpers import minmax_references as ref
from tests.helpers import nets
from tests.helpers.method_cases import assert_close

OUTPUT = torch.tensor([5.0, 1.0, -2.0, 9.0], dtype=torch.float64)
BATCH = torch.tensor([[5.0, 1.0, -2.0, 9.0], [-1.0, 2.0, 0.5, -3.0]], dtype=torch.float64)


def objective(output, category, labels=None, threshold=0.5):
    """J_c of one image's output, label by label."""
    rest = sorted(ref.present(output, labels, threshold) - {category})
    contrast = sum(float(output[j]) for j in rest) / len(rest) if rest else 0.0
    return float(output[category]) - contrast


# The value


@pytest.mark.parametrize(
    ("category", "labels", "expected"),
    [
        (0, [0, 1, 3], 5 - (1 + 9) / 2),
        (0, [1, 3], 5 - (1 + 9) / 2),  # the category counts as present
        (2, [0, 1, 2, 3], -2 - 15 / 3),
        (2, [2], -2.0),
        (2, [], -2.0),
        (3, (0,), 9 - 5.0),
        (0, [1, 1, 3], 5 - (1 + 9) / 2),
        (0, [np.int64(1)], 5 - 1.0),
        (0, torch.tensor([1, 1, 0, 1]), 5 - (1 + 9) / 2),
        (0, torch.tensor([0.0, 1.0, 0.0, 1.0]), 5 - (1 + 9) / 2),
        (0, torch.tensor([True, False, False, False]), 5.0),
    ],
    ids=str,
)
def test_value_by_hand(category, labels, expected):
    value = MinMaxTarget(category, labels)(OUTPUT)
    assert value.shape == ()
    assert float(value) == expected


def test_predicted_labels_by_hand():
    # sigmoid above 1/2: 0, 1, 3; above 0.9 (logit 2.2): 0 and 3
    assert float(MinMaxTarget(0)(OUTPUT)) == 5 - (1 + 9) / 2
    assert float(MinMaxTarget(0, threshold=0.9)(OUTPUT)) == 5 - 9
    assert float(MinMaxTarget(2, threshold=0)(OUTPUT)) == -2 - 15 / 3
    assert float(MinMaxTarget(2, threshold=1)(OUTPUT)) == -2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_value_is_the_reference(seed, threshold):
    outputs = 2 * nets.images(1, 3, (4, 6), seed=seed)[0, 0]
    for category in range(6):
        for labels in (None, [0, 3, 5], [category]):
            target = MinMaxTarget(category, labels, threshold)
            rows = [objective(row, category, labels, threshold) for row in outputs]
            assert_close(torch.stack([target(row) for row in outputs]), rows)
            # a batch of outputs has one value for each row
            assert_close(target(outputs), rows)


def test_a_batch_of_outputs():
    values = MinMaxTarget(1)(BATCH)
    # 0, 1, 3 are predicted, and 1, 2
    assert values.tolist() == [1 - (5 + 9) / 2, 2 - 0.5]
    assert MinMaxTarget(1, [1, 3])(BATCH).tolist() == [1 - 9.0, 2 + 3.0]
    one_row = torch.tensor([0, 1, 0, 1])
    assert MinMaxTarget(1, one_row)(BATCH).tolist() == [1 - 9.0, 2 + 3.0]


def test_a_negative_category_counts_from_the_end():
    assert float(MinMaxTarget(-1, [0])(OUTPUT)) == 9 - 5
    assert float(MinMaxTarget(-4, [0, 3])(OUTPUT)) == 5 - 9


# The gradient


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1, 3], [1, -1 / 2, 0, -1 / 2]),
        ([1, 2, 3], [1, -1 / 3, -1 / 3, -1 / 3]),
        ([], [1, 0, 0, 0]),
        (None, [1, -1 / 2, 0, -1 / 2]),
    ],
    ids=str,
)
def test_the_gradient_is_the_coefficients(labels, expected):
    output = OUTPUT.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(MinMaxTarget(0, labels)(output), output)
    assert_close(gradient, expected)
    rows = OUTPUT.repeat(3, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(MinMaxTarget(0, labels)(rows).sum(), rows)
    assert_close(gradient, [expected] * 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_value_keeps_the_precision(dtype):
    assert MinMaxTarget(0)(OUTPUT.to(dtype)).dtype == dtype


def test_inference_mode():
    with torch.inference_mode():
        assert float(MinMaxTarget(0)(OUTPUT)) == 0.0


# With the stock methods


def weighted_sum(cam, images, targets):
    """The map of a stock method before its ReLU and scaling."""
    cam(images, targets)
    seen = cam.activations_and_grads
    maps, gradients = seen.activations[0].numpy(), seen.gradients[0].numpy()
    weights = cam.get_cam_weights(images, cam.target_layers[0], targets, maps, gradients)
    return (weights[:, :, None, None] * maps).sum(axis=1)


@pytest.mark.parametrize("layer", ["relu2", "conv2", "bn1"])
@pytest.mark.parametrize("labels", [None, [[0, 1, 2], [4, 1], []]], ids=["predicted", "given"])
def test_grad_cam_of_the_target_is_minmax_grad_cam(layer, labels):
    net = nets.SmallNet().double().eval()
    images, categories = nets.images(3), [1, 4, 0]
    targets = [
        MinMaxTarget(category, None if labels is None else labels[n])
        for n, category in enumerate(categories)
    ]
    with GradCAM(net, [getattr(net, layer)]) as cam:
        found = weighted_sum(cam, images, targets)
    rows = labels and [[*row, category] for row, category in zip(labels, categories, strict=True)]
    expected = LayerMinMaxGradCam(net, getattr(net, layer)).attribute(
        images, categories, labels=rows
    )
    assert_close(found, expected[:, 0])


def test_any_gradient_method_takes_the_target():
    net = nets.SmallNet().double().eval()
    images = nets.images(2)
    targets = [MinMaxTarget(0, [0, 1]), MinMaxTarget(2, [2, 3])]

    class Contrast:
        """The same, written out."""

        def __init__(self, category, other):
            self.category, self.other = category, other

        def __call__(self, output):
            return output[self.category] - output[self.other]

    with GradCAMPlusPlus(net, [net.bn1]) as cam:
        found = cam(images, targets)
    with GradCAMPlusPlus(net, [net.bn1]) as cam:
        expected = cam(images, [Contrast(0, 1), Contrast(2, 3)])
    assert_close(found, expected)
    assert np.abs(found).max() > 0


# Errors


def test_a_softmax_classifier_raises():
    with pytest.raises(ValueError, match="max_predicted") as raised:
        MinMaxTarget(0)(torch.full((1000,), 0.3) + torch.arange(1000) / 500)
    assert str(raised.value) == (
        "Expected the model to predict at most 20 labels of an image (max_predicted), but got "
        "1000 for image 0. A softmax classifier does not tell which labels are present: pass "
        "labels=."
    )
    value = MinMaxTarget(0, [1])(torch.arange(1000.0))
    assert float(value) == -1.0


def test_probabilities_warn():
    with pytest.warns(UserWarning, match="as if it ended in a sigmoid or softmax") as caught:
        value = MinMaxTarget(0)(torch.tensor([0.9, 0.6, 0.4], requires_grad=True))
    # thresholded as they are
    assert value.item() == pytest.approx(0.9 - 0.6)
    assert caught[0].filename == __file__
    # methods that mask images read probabilities, of which there is nothing to say
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MinMaxTarget(0)(torch.tensor([0.9, 0.6, 0.4]))


FORMS = "class indices, or a multi-hot tensor (L,)"


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("cat",), TypeError, "Expected category to be a class index, but got 'cat' (str)."),
        ((1.0,), TypeError, "Expected category to be a class index, but got 1.0."),
        ((True,), TypeError, "Expected category to be a class index, but got True."),
        (
            (torch.tensor(1),),
            TypeError,
            "Expected category to be a class index, but got a tensor of shape () and dtype "
            "torch.int64.",
        ),
        ((None,), TypeError, "Expected category to be a class index, but got None (NoneType)."),
        ((0, "cat"), TypeError, f"Expected labels to be {FORMS}, but got 'cat' (str)."),
        ((0, 3), TypeError, f"Expected labels to be {FORMS}, but got 3."),
        ((0, {1}), TypeError, f"Expected labels to be {FORMS}, but got {{1}} (set)."),
        (
            (0, torch.ones(2, 4)),
            ValueError,
            f"Expected labels to be {FORMS}, but got a tensor of shape (2, 4) and dtype "
            "torch.float32.",
        ),
        (
            (0, None, 1.1),
            ValueError,
            "Expected threshold to be a number from 0 to 1, but got 1.1.",
        ),
        (
            (0, None, math.nan),
            ValueError,
            "Expected threshold to be a number from 0 to 1, but got nan.",
        ),
        (
            (0, None, "0.5"),
            TypeError,
            "Expected threshold to be a number from 0 to 1, but got '0.5' (str).",
        ),
    ],
    ids=str,
)
def test_wrong_arguments(arguments, error, text):
    with pytest.raises(error) as raised:
        MinMaxTarget(*arguments)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            (4,),
            TargetError,
            "Expected category to be a class index from 0 to 3 of an output (L,), but got 4 for "
            "an output of shape (4,).",
        ),
        (
            (-5,),
            TargetError,
            "Expected category to be a class index from 0 to 3 of an output (L,), but got -5 for "
            "an output of shape (4,).",
        ),
        (
            (0, [4]),
            ValueError,
            "Expected labels to be lists of class indices from 0 to 3, but got 4.",
        ),
        (
            (0, [-1]),
            ValueError,
            "Expected labels to be lists of class indices from 0 to 3, but got -1.",
        ),
        ((0, [1.0]), TypeError, "Expected labels to be lists of integers, but got 1.0."),
        (
            (0, torch.tensor([1, 1, 0, 2])),
            ValueError,
            "Expected labels to be a multi-hot tensor of 0 and 1, but got other values.",
        ),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_the_output(arguments, error, text):
    target = MinMaxTarget(*arguments)
    with pytest.raises(error) as raised:
        target(OUTPUT)
    assert str(raised.value) == text


@pytest.mark.parametrize("labels", [torch.ones(3), torch.tensor([0, 1])], ids=str)
def test_a_multi_hot_tensor_of_another_shape(labels):
    with pytest.raises(ValueError, match=r"here of shape \(1, 4\), but got a tensor of shape"):
        MinMaxTarget(0, labels)(OUTPUT)


def test_a_single_output():
    assert float(MinMaxTarget(0)(torch.tensor(3.0))) == 3.0
    assert float(MinMaxTarget(0, [0])(torch.tensor([3.0]))) == 3.0


def test_outputs_of_other_dimensions():
    output = torch.ones(2, 3, 4)
    with pytest.raises(TargetError, match="^Expected category to be a class index") as raised:
        MinMaxTarget(0, [0])(output)
    assert f"for an output of shape {tuple(output.shape)}." in str(raised.value)
