"""The tensors that a module takes."""

import pytest
import torch
from torch import nn

from captum_cluster.hooks import inputs_of


def net():
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))


def test_each_call_gives_the_tensor_itself():
    model, images = net(), torch.rand(4, 3)
    with inputs_of(model[2]) as taken:
        model(images)
        model[2](weight := torch.rand(1, 2))
    assert taken[1] is weight
    torch.testing.assert_close(taken[0], model[:2](images))
    taken[0].sum().backward()
    assert model[0].weight.grad is not None


class Named(nn.Module):
    def forward(self, number, *, x=None):
        return number


def test_keywords_count_and_calls_without_a_tensor_do_not():
    model, x = Named(), torch.ones(1)
    with inputs_of(model) as taken:
        model(3, x=x)
        model(3)
    assert len(taken) == 1
    assert taken[0] is x


def test_nothing_is_left_behind_after_an_error():
    model = net()
    with pytest.raises(RuntimeError), inputs_of(model[2]) as taken:
        model(torch.rand(4, 7))
    assert taken == []
    assert not model[2]._forward_pre_hooks
    assert not model[2]._forward_pre_hooks_with_kwargs
