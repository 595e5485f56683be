"""Weights that lie channels-last for some passes, and then as before."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from captum_cluster import LayerScoreCam
from captum_cluster.hooks import weights_channels_last

LAST = torch.channels_last


def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten())


def places(model):
    return [(id(p), p.data_ptr(), p.stride(), p._version) for p in model.parameters()]


def lie_last(model):
    return [p.is_contiguous(memory_format=LAST) for p in model.parameters() if p.ndim == 4]


def test_the_weights_are_moved_and_put_back():
    model = net()
    before, values = places(model), [p.clone() for p in model.parameters()]
    with weights_channels_last(model, 4):
        assert lie_last(model) == [True, True]
        assert all(map(torch.equal, model.parameters(), values))
        assert [place[0] for place in places(model)] == [place[0] for place in before]
    assert places(model) == before


def test_they_are_put_back_after_an_error():
    model = net()
    before = places(model)
    with pytest.raises(KeyboardInterrupt), weights_channels_last(model, 4):
        raise KeyboardInterrupt
    assert places(model) == before


def test_a_bound_method_tells_its_model():
    model = net()
    with weights_channels_last(model.forward, 4):
        assert lie_last(model) == [True, True]


def test_what_was_moved_by_an_outer_context_stays_to_its_end():
    model = net()
    with weights_channels_last(model, 4):
        with weights_channels_last(model, 4):
            pass
        assert lie_last(model) == [True, True]
    assert lie_last(model) == [False, False]


def few():
    return net(), 3


def double():
    return net().double(), 9


def computed():
    return nn.Sequential(weight_norm(nn.Conv2d(3, 8, 3))), 9


def scripted():
    return torch.jit.script(net()), 9


def compiled():
    return torch.compile(net(), backend="eager"), 9


def of_a_flat_buffer():
    model = net()
    flat = torch.cat([p.data.flatten() for p in model.parameters()])
    start = 0
    for parameter in model.parameters():
        parameter.data = flat[start : start + parameter.numel()].view(parameter.shape)
        start += parameter.numel()
    return model, 9


def made_for_inference():
    with torch.inference_mode():
        return net(), 9


@pytest.mark.parametrize(
    "case", [few, double, computed, scripted, compiled, of_a_flat_buffer, made_for_inference]
)
def test_what_is_left_alone(case):
    model, passes = case()
    before = places(model) if case is not made_for_inference else lie_last(model)
    with weights_channels_last(model, passes):
        now = places(model) if case is not made_for_inference else lie_last(model)
        assert now == before


def test_another_callable_is_left_alone():
    model = net()
    with weights_channels_last(lambda x: model(x), 9):
        assert lie_last(model) == [False, False]


def test_a_shared_weight_is_moved_once():
    first, second = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    before = places(model)
    with weights_channels_last(model, 4):
        assert second.weight.is_contiguous(memory_format=LAST)
    assert places(model) == before


def test_masked_passes_move_them_and_the_model_is_left_as_it_was():
    model = net().eval()
    seen = []
    model[2].register_forward_hook(lambda *_: seen.append(lie_last(model)[1]))
    before = places(model)
    LayerScoreCam(model, model[0]).attribute(torch.rand(1, 3, 9, 9), 0, perturbations_per_eval=2)
    # One pass over the whole image, then four over the eight masked ones.
    assert seen == [False, True, True, True, True]
    assert places(model) == before
