"""Statistics of a classifier's kernels: NumPy's correlation, sets of kernels, edges, messages."""

import numpy as np
import pytest
import torch

from captum_cluster.functional.training import (
    kernel_usage_weight,
    label_correlation,
    negative_shares,
    shared_kernels,
)


def draw(*shape, seed=0, scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype)


# --- correlation ------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (5, 12), (20, 64)])
def test_the_correlation_of_numpy(shape, scale):
    weight = draw(*shape, scale=scale)
    expected = np.atleast_2d(np.corrcoef(weight.numpy()))
    np.testing.assert_allclose(label_correlation(weight).numpy(), expected, atol=1e-12)


def test_by_hand():
    weight = torch.tensor([[1.0, 2.0, 3.0], [20.0, 40.0, 60.0], [1.0, 0.0, -1.0], [1.0, 0.0, 1.0]])
    expected = [[1, 1, -1, 0], [1, 1, -1, 0], [-1, -1, 1, 0], [0, 0, 0, 1]]
    torch.testing.assert_close(label_correlation(weight), torch.tensor(expected).float())


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30])
def test_equal_weights_correlate_with_none(value):
    weight = draw(3, 7, dtype=torch.float32)
    weight[1] = value
    found = label_correlation(weight)
    assert found[1].tolist() == [0, 1, 0]
    assert found[:, 1].tolist() == [0, 1, 0]
    assert abs(float(found[0, 2])) > 0


def test_the_range_and_symmetry_in_single_precision():
    weight = draw(6, 3, dtype=torch.float32)
    weight[4] = 3 * weight[2]
    found = label_correlation(weight)
    assert torch.equal(found, found.T)
    assert float(found.abs().max()) <= 1
    assert found.diagonal().tolist() == [1] * 6
    assert found.dtype == torch.float32


def test_the_regularisation_lowers_the_correlation_of_like_labels():
    common = draw(1, 64)
    weight = common + 0.3 * draw(5, 64, seed=1)
    before, after = label_correlation(weight), label_correlation(kernel_usage_weight(30 * weight))
    apart = ~torch.eye(5, dtype=torch.bool)
    assert after[apart].mean() < before[apart].mean() - 0.2


# --- shared kernels ---------------------------------------------------------------------------


@pytest.mark.parametrize("top", [1, 3, 10, 12])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_share_by_sets(top, seed):
    weight = draw(5, 12, seed=seed)
    tops = [set(np.argsort(-row, kind="stable")[:top].tolist()) for row in weight.numpy()]
    expected = [[len(one & other) / top for other in tops] for one in tops]
    found = shared_kernels(weight, top)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert torch.equal(found, found.T)


def test_the_sign_counts():
    weight = torch.tensor([[9.0, 1.0, -50.0], [-50.0, 1.0, 9.0]])
    assert shared_kernels(weight, 1).tolist() == [[1, 0], [0, 1]]
    assert shared_kernels(weight, 2).tolist() == [[1, 0.5], [0.5, 1]]


def test_the_extremes_and_ties():
    weight = draw(3, 20)
    assert shared_kernels(weight, 20).tolist() == [[1.0] * 3] * 3
    assert shared_kernels(weight[[0, 0]]).tolist() == [[1.0, 1.0]] * 2
    assert shared_kernels(torch.zeros(2, 20)).tolist() == [[1.0, 1.0]] * 2
    apart = torch.zeros(2, 20)
    apart[0, :10], apart[1, 10:] = 1.0, 1.0
    assert shared_kernels(apart).tolist() == [[1.0, 0.0], [0.0, 1.0]]


# --- both -------------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", [label_correlation, shared_kernels])
def test_the_convolution_form_and_the_input(statistic):
    weight = draw(4, 12).requires_grad_()
    kept = weight.detach().clone()
    found = statistic(weight)
    assert not found.requires_grad
    assert torch.equal(statistic(weight[:, :, None, None]), found)
    assert torch.equal(weight, kept)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("statistic", [label_correlation, shared_kernels])
def test_half_precision(statistic, dtype):
    weight = draw(4, 12).to(dtype)
    found = statistic(weight)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), statistic(weight.double()), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("statistic", [label_correlation, shared_kernels])
@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        ([[1.0]], TypeError, r"weight to be a floating-point tensor \(L,C\) or \(L,C,1,1\)"),
        (torch.ones(2, 12).long(), TypeError, "weight to be a floating-point tensor"),
        (torch.ones(12), ValueError, r"shape \(12,\)"),
        (torch.ones(2, 12, 3, 3), ValueError, r"shape \(2, 12, 3, 3\)"),
        (torch.ones(0, 12), ValueError, r"shape \(0, 12\)"),
        (torch.ones(2, 0), ValueError, r"shape \(2, 0\)"),
        (torch.full((2, 12), torch.inf), ValueError, "weight to be finite"),
    ],
    ids=["list", "long", "flat", "kernel", "labels", "channels", "infinite"],
)
def test_bad_weight(statistic, weight, error, message):
    with pytest.raises(error, match=message):
        statistic(weight)


def test_one_kernel_has_no_correlation():
    with pytest.raises(ValueError, match="with C of at least 2, but got"):
        label_correlation(torch.ones(3, 1))
    assert shared_kernels(torch.ones(3, 1), 1).shape == (3, 3)


@pytest.mark.parametrize(("top", "error"), [(0, ValueError), (13, ValueError), (2.0, TypeError)])
def test_bad_top(top, error):
    message = r"Expected top to be an integer from 1 to the number of kernels \(12\), but got "
    with pytest.raises(error, match=message):
        shared_kernels(torch.ones(2, 12), top)


class OnApplesGpu(torch.Tensor):
    """A tensor that has no float64 until it is on the CPU."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        found = super().__torch_function__(func, types, args, kwargs)
        if isinstance(found, torch.Tensor) and found.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return found


@pytest.mark.parametrize("statistic", [label_correlation, shared_kernels, negative_shares])
def test_devices_without_double_precision(statistic):
    weight = draw(4, 12, dtype=torch.float32)
    there = weight.as_subclass(OnApplesGpu)
    with pytest.raises(TypeError, match="MPS"):
        there.double()
    found, expected = statistic(there), statistic(weight)
    assert found == expected if statistic is negative_shares else torch.equal(found, expected)


@pytest.mark.parametrize(
    ("weight", "shares"),
    [
        ([[-6.0, -2.0], [0.0, 0.0]], (0.5, 1.0)),
        ([[-1.0, 1.0], [2.0, 4.0]], (0.25, 0.125)),
        ([[0.0, 0.0]], (0.0, 0.0)),
    ],
)
def test_negative_shares(weight, shares):
    assert negative_shares(torch.tensor(weight)) == shares
