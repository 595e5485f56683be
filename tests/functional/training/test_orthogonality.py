"""The orthogonality loss: by loops, of orthogonal and of equal features, gradients, messages."""

import itertools

import pytest
import torch

from captum_cluster.functional.training import orthogonality_loss


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).relu().to(dtype)


def slow(first, second):
    """Equation 3, element by element, of one image."""
    axes = (range(size) for size in first.shape)
    return sum(float(first[place] * second[place]) for place in itertools.product(*axes))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 4, 5), (4, 2, 3, 3)])
def test_equation_3(shape):
    first, second = draw(*shape), draw(*shape, seed=1)
    each = [slow(*pair) for pair in zip(first, second, strict=True)]
    assert float(orthogonality_loss(first, second)) == pytest.approx(sum(each) / len(each))
    found = orthogonality_loss(first, second, reduction="sum")
    assert float(found) == pytest.approx(sum(each))


def test_orthogonal_features_give_nothing():
    first, second = torch.zeros(2, 4, 3, 3), torch.zeros(2, 4, 3, 3)
    first[:, :2], second[:, 2:] = 5.0, 7.0  # other channels
    assert orthogonality_loss(first, second) == 0
    first[:], second[:] = 0.0, 0.0
    first[..., 0], second[..., 1:] = 5.0, 7.0  # other places
    assert orthogonality_loss(first, second) == 0


def test_equal_features_give_their_squares():
    features = draw(3, 4, 5, 5)
    found = orthogonality_loss(features, features)
    assert float(found) == pytest.approx(float(features.square().sum()) / 3)
    # Among features of one length equal ones give most (Cauchy-Schwarz).
    other = draw(3, 4, 5, 5, seed=1)
    other = other * features.norm() / other.norm()
    assert orthogonality_loss(features, other) < found


def test_symmetric_and_not_below_0():
    first, second = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1)
    loss = orthogonality_loss(first, second)
    assert loss > 0
    assert loss == orthogonality_loss(second, first)


def test_the_mean_does_not_depend_on_copies_of_the_batch():
    first, second = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1)
    twice = orthogonality_loss(first.repeat(2, 1, 1, 1), second.repeat(2, 1, 1, 1))
    torch.testing.assert_close(twice, orthogonality_loss(first, second))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_added_up_in_single(dtype, reduction):
    first = torch.full((2, 64, 7, 7), 300.0, dtype=dtype).requires_grad_()
    found = orthogonality_loss(first, first, reduction=reduction)  # float16 ends at 65504
    assert found.dtype == torch.float32
    own = float(first.detach()[0, 0, 0, 0])
    assert float(found.detach()) == pytest.approx(
        own**2 * 64 * 49 * (1 if reduction == "mean" else 2)
    )
    found.backward()
    assert first.grad.dtype == dtype
    assert torch.isfinite(first.grad).all()


def test_the_dtype_of_the_result():
    single, double = draw(1, 2, 3, 3, dtype=torch.float32), draw(1, 2, 3, 3)
    assert orthogonality_loss(single, single).dtype == torch.float32
    assert orthogonality_loss(double, double).dtype == torch.float64
    assert orthogonality_loss(single.half(), double).dtype == torch.float64


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradients(reduction):
    first = draw(2, 2, 3, 3).requires_grad_()
    second = draw(2, 2, 3, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: orthogonality_loss(a, b, reduction=reduction), (first, second)
    )
    orthogonality_loss(first, second, reduction=reduction).backward()
    torch.testing.assert_close(first.grad, second.detach() / (2 if reduction == "mean" else 1))


@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        (None, torch.ones(1, 2, 3, 3), TypeError, "first to be a floating-point tensor"),
        (torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 3).long(), TypeError, "second to be a fl"),
        (torch.ones(2, 3), torch.ones(2, 3), ValueError, r"first .* \(N,C,h,w\), but got "),
        (torch.ones(0, 2, 3, 3), torch.ones(0, 2, 3, 3), ValueError, r"shape \(0, 2, 3, 3\)"),
        (
            torch.ones(1, 2, 3, 3),
            torch.ones(1, 2, 3, 1),
            ValueError,
            r"first and second to be of one shape, but got \(1, 2, 3, 3\) and \(1, 2, 3, 1\)",
        ),
    ],
    ids=["none", "long", "flat", "empty", "shapes"],
)
def test_bad_features(first, second, error, message):
    with pytest.raises(error, match=message):
        orthogonality_loss(first, second)


@pytest.mark.parametrize(("reduction", "error"), [("none", ValueError), (None, TypeError)])
def test_bad_reduction(reduction, error):
    ones = torch.ones(1, 2, 3, 3)
    with pytest.raises(error, match="Expected reduction to be one of 'mean', 'sum'"):
        orthogonality_loss(ones, ones, reduction=reduction)
