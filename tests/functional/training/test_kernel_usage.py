"""Kernel usage regularisation: by hand, against the reference, and its two facts."""

import math

import pytest
import torch

from captum_cluster.functional.training import kernel_usage_weight
from tests.helpers.minmax_references import kernel_usage

LOG3 = math.log(3.0)


def draw(*shape, scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize(
    ("column", "magnitude", "expected"),
    [
        # shares 3/4 and 1/4
        ([LOG3, 0.0], False, [0.75 * LOG3, 0.0]),
        ([LOG3, 0.0], True, [0.75 * LOG3, 0.0]),
        # shares 1/4 and 3/4; with |W| 3/4 and 1/4
        ([-LOG3, 0.0], False, [-0.25 * LOG3, 0.0]),
        ([-LOG3, 0.0], True, [-0.75 * LOG3, 0.0]),
        # exp gives 3 and 1/3: shares 9/10 and 1/10; with |W| one half each
        ([LOG3, -LOG3], False, [0.9 * LOG3, -0.1 * LOG3]),
        ([LOG3, -LOG3], True, [0.5 * LOG3, -0.5 * LOG3]),
        # one label has all of every feature
        ([-7.0], False, [-7.0]),
        ([-7.0], True, [-7.0]),
    ],
)
def test_by_hand(column, magnitude, expected):
    weight = torch.tensor(column, dtype=torch.float64)[:, None]
    found = kernel_usage_weight(weight, magnitude=magnitude)[:, 0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_the_softmax_goes_over_the_labels_and_not_over_the_features():
    weight = torch.tensor([[LOG3, 1.0, 0.0], [0.0, 1.0, LOG3]], dtype=torch.float64)
    expected = [[0.75 * LOG3, 0.5, 0.0], [0.0, 0.5, 0.75 * LOG3]]
    torch.testing.assert_close(
        kernel_usage_weight(weight), torch.tensor(expected, dtype=torch.float64)
    )


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (5, 12), (3, 2)])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_the_reference(shape, scale, magnitude):
    weight = draw(*shape, scale=scale)
    found = kernel_usage_weight(weight, magnitude=magnitude)
    expected = torch.from_numpy(kernel_usage(weight, magnitude))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("magnitude", [False, True])
def test_the_shares_of_a_feature_sum_to_one(magnitude):
    weight = draw(5, 12)
    shares = kernel_usage_weight(weight, magnitude=magnitude) / weight
    torch.testing.assert_close(shares.sum(dim=0), torch.ones(12, dtype=torch.float64))
    assert bool((shares > 0).all())


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("value", [-2.0, 0.0, 0.5, 1e4])
def test_equal_weights_are_divided_by_the_number_of_labels(value, magnitude):
    weight = torch.full((8, 3), value)
    torch.testing.assert_close(kernel_usage_weight(weight, magnitude=magnitude), weight / 8)


def test_one_large_weight_stays_and_the_others_vanish():
    weight = torch.tensor([[50.0], [3.0], [-50.0]], dtype=torch.float64)
    expected = torch.tensor([[50.0], [0.0], [0.0]], dtype=torch.float64)
    torch.testing.assert_close(kernel_usage_weight(weight), expected)
    both = torch.tensor([[25.0], [0.0], [-25.0]], dtype=torch.float64)
    torch.testing.assert_close(kernel_usage_weight(weight, magnitude=True), both)


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_large_weights_stay_finite(scale):
    weight = draw(5, 12, scale=scale, dtype=torch.float32)
    assert bool(kernel_usage_weight(weight).isfinite().all())


def test_magnitude_changes_nothing_for_weights_that_are_not_negative():
    weight = draw(5, 12).abs()
    assert torch.equal(kernel_usage_weight(weight, magnitude=True), kernel_usage_weight(weight))


@pytest.mark.parametrize("magnitude", [False, True])
def test_the_convolution_form(magnitude):
    weight = draw(5, 12)
    found = kernel_usage_weight(weight[:, :, None, None], magnitude=magnitude)
    assert found.shape == (5, 12, 1, 1)
    assert torch.equal(found[..., 0, 0], kernel_usage_weight(weight, magnitude=magnitude))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_type_stays_and_the_input_is_not_changed(dtype):
    weight = draw(5, 12, dtype=dtype)
    before = weight.clone()
    found = kernel_usage_weight(weight)
    assert found.dtype == dtype
    assert torch.equal(weight, before)
    torch.testing.assert_close(
        found.double(), kernel_usage_weight(weight.double()), **_close(dtype)
    )


def _close(dtype):
    eps = torch.finfo(dtype).eps
    return {"rtol": 4 * eps, "atol": eps}


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1, 1)])
def test_gradients(shape, magnitude):
    weight = draw(*shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: kernel_usage_weight(w, magnitude=magnitude), weight)


@pytest.mark.parametrize("weight", [None, [[1.0]], torch.ones(2, 3, dtype=torch.long), "weight"])
def test_no_floating_point_tensor(weight):
    message = r"Expected weight to be a floating-point tensor \(L,C\) or \(L,C,1,1\), but got "
    with pytest.raises(TypeError, match=message):
        kernel_usage_weight(weight)


@pytest.mark.parametrize(
    "shape", [(), (3,), (2, 3, 1), (2, 3, 3, 3), (2, 3, 1, 2), (2, 3, 1, 1, 1)]
)
def test_another_shape(shape):
    message = r"Expected weight to be .* \(L,C,1,1\), but got a tensor of shape \("
    with pytest.raises(ValueError, match=message):
        kernel_usage_weight(torch.zeros(shape))


def test_magnitude_is_no_bool():
    with pytest.raises(TypeError, match=r"Expected magnitude to be True or False, but got 1\."):
        kernel_usage_weight(torch.zeros(2, 3), magnitude=1)
