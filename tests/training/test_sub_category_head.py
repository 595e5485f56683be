"""The head of the sub-categories: its columns, its reset, kernel usage, copies, messages."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from captum_cluster.functional.training import kernel_usage_weight
from captum_cluster.methods import find_classifier
from captum_cluster.training import KernelUsageConv2d, KernelUsageLinear, SubCategoryHead

C, L, K = 6, 3, 4


def head_of(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SubCategoryHead(C, L, K, **options)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bias", [True, False])
def test_the_column_of_a_sub_category(bias):
    head, features = head_of(bias=bias), draw(5, C)
    logits = head(features)
    assert logits.shape == (5, L * K)
    for label in range(L):
        for number in range(K):
            column = label * K + number
            expected = features @ head.weight[column]
            if bias:
                expected = expected + head.bias[column]
            torch.testing.assert_close(logits[:, column], expected)


def test_it_is_a_linear_layer_with_a_fresh_one_s_weights():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = nn.Linear(C, L * K)
    head = head_of()
    assert isinstance(head, nn.Linear)
    assert list(head.state_dict()) == list(plain.state_dict())
    assert torch.equal(head.weight, plain.weight)
    assert head.effective_weight is head.weight
    assert find_classifier(nn.Sequential(nn.Linear(2, 2), head)) is head


def test_kernel_usage_over_all_sub_categories():
    head, features = head_of(kernel_usage=True), draw(5, C)
    assert torch.equal(head.effective_weight, kernel_usage_weight(head.weight))
    regular = KernelUsageLinear(C, L * K)
    regular.load_state_dict(head.state_dict())
    assert torch.equal(head(features), regular(features))
    assert not torch.allclose(head(features), head_of()(features))


def test_kernel_usage_by_magnitude():
    head = head_of(kernel_usage=True, magnitude=True)
    slow = kernel_usage_weight(head.weight, magnitude=True)
    assert torch.equal(head.effective_weight, slow)
    assert not torch.allclose(slow, kernel_usage_weight(head.weight))
    with pytest.raises(ValueError, match="magnitude to be False without kernel_usage, but got T"):
        head_of(magnitude=True)


@pytest.mark.parametrize(
    ("parent", "options"),
    [
        (nn.Linear(C, L), (True, False, False)),
        (nn.Linear(C, L, bias=False), (False, False, False)),
        (nn.Conv2d(C, L, 1), (True, False, False)),
        (KernelUsageLinear(C, L), (True, True, False)),
        (KernelUsageLinear(C, L, magnitude=True), (True, True, True)),
        (KernelUsageConv2d(C, L, bias=False), (False, True, False)),
        (KernelUsageConv2d(C, L, magnitude=True), (True, True, True)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
def test_a_head_beside_another_is_of_its_kind(parent, options):
    state = torch.random.get_rng_state()
    head = SubCategoryHead.beside(parent.to(torch.bfloat16), K)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (head.bias is not None, head.kernel_usage, head.magnitude) == options
    assert (head.in_features, head.num_labels, head.n_sub_categories) == (C, L, K)
    assert head.weight.dtype == torch.bfloat16


# --- reset ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_a_reset_depends_on_the_seed_alone(bias):
    first, second = head_of(bias=bias), SubCategoryHead(C, L, K, bias)
    for head in (first, second):
        head.reset(7)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    second.reset(8)
    assert not torch.equal(first.weight, second.weight)


def test_a_reset_leaves_the_global_random_state_and_the_parameters_in_place():
    head = head_of()
    weight, state = head.weight, torch.random.get_rng_state()
    head(draw(2, C)).sum().backward()
    head.reset(0)
    assert head.weight is weight
    assert weight.requires_grad
    assert weight.is_leaf
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_reset_draws_from_a_fresh_layer_s_distribution():
    head = SubCategoryHead(100, 20, 10)
    head.reset(0)
    for values in (head.weight, head.bias):
        assert float(values.detach().abs().max()) <= 0.1
    # Uniform within 0.1: the deviation is 0.1 / sqrt(3), the mean 0.
    weight = head.weight.detach()
    assert float(weight.std()) == pytest.approx(0.1 / math.sqrt(3), rel=0.02)
    assert float(weight.mean()) == pytest.approx(0, abs=0.002)
    assert not torch.equal(weight[:, 0], head.bias)


def test_a_reset_keeps_the_type():
    head = head_of(dtype=torch.bfloat16)
    head.reset(3)
    twin = head_of()
    twin.reset(3)
    assert head.weight.dtype == torch.bfloat16
    assert torch.equal(head.weight, twin.weight.to(torch.bfloat16))


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (None, TypeError)])
def test_bad_seed(seed, error):
    with pytest.raises(error, match="Expected seed to be an integer of at least 0, but got "):
        head_of().reset(seed)


# --- the rest ---------------------------------------------------------------------------------


def test_copies_and_repr():
    head = head_of(kernel_usage=True)
    for twin in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert (twin.num_labels, twin.n_sub_categories, twin.kernel_usage) == (L, K, True)
        assert torch.equal(twin(draw(2, C)), head(draw(2, C)))
    assert repr(head) == (
        "SubCategoryHead(in_features=6, num_labels=3, n_sub_categories=4, bias=True, "
        "kernel_usage=True, magnitude=False)"
    )


@pytest.mark.parametrize("kernel_usage", [False, True])
def test_gradients(kernel_usage):
    head = head_of(kernel_usage=kernel_usage, dtype=torch.float64)
    features = draw(2, C).double().requires_grad_()

    def logits(features, weight, bias):
        return torch.func.functional_call(head, {"weight": weight, "bias": bias}, (features,))

    assert torch.autograd.gradcheck(logits, (features, head.weight, head.bias))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, L, K), {}, ValueError, "in_features to be an integer of at least 1, but got 0"),
        ((C, 0, K), {}, ValueError, "num_labels to be an integer of at least 1, but got 0"),
        ((C, L, 0), {}, ValueError, "n_sub_categories to be an integer of at least 1, but got 0"),
        ((C, L, 1.5), {}, TypeError, "n_sub_categories to be an integer"),
        ((C, L, K, 1), {}, TypeError, "bias to be True or False, but got 1"),
        ((C, L, K), {"kernel_usage": 1}, TypeError, "kernel_usage to be True or False"),
    ],
)
def test_bad_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        SubCategoryHead(*arguments, **options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_reset_is_the_same_on_a_gpu():
    head, other = head_of(), head_of().cuda()
    head.reset(3)
    other.reset(3)
    assert torch.equal(head.weight, other.weight.cpu())
