"""torchvision's classifiers by name; what files hold is tested with `evaluation.load_model`."""

import pytest
import torch

from captum_cluster.training.pretrained import (
    check_architecture,
    pretrained_classifier,
    untrained_classifier,
)
from captum_cluster.training.state_files import check_state, read_state


def fresh(name, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return untrained_classifier(name)


def test_a_fresh_network_is_torchvision_s():
    from torchvision.models import mobilenet_v3_small

    found = fresh("mobilenet_v3_small")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        host = mobilenet_v3_small()
    assert found.training
    for name, value in host.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)


def test_googlenet_is_initialised_and_without_auxiliary_heads():
    net = fresh("googlenet")
    assert net.aux1 is None
    assert net.transform_input
    # Its own start, a normal of deviation 0.01, and not that of nn.Linear.
    assert float(net.fc.weight.detach().std()) == pytest.approx(0.01, rel=0.02)


def test_a_state_dict_is_loaded_and_left_alone():
    state = fresh("squeezenet1_1").state_dict()
    state["classifier.1.weight"] = state["classifier.1.weight"][:7]
    state["classifier.1.bias"] = state["classifier.1.bias"][:7]
    wrapped = {f"module.{name}": value for name, value in state.items()}
    names, random = list(wrapped), torch.random.get_rng_state()
    model, classes = pretrained_classifier("squeezenet1_1", wrapped)
    assert classes == 7
    assert list(wrapped) == names
    assert torch.equal(torch.random.get_rng_state(), random)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("resnet17", ValueError, "backbone to be a classification model .*close: 'resnet18'"),
        ("xyz", ValueError, "such as 'resnet18', but got 'xyz'"),
        ("fcn_resnet50", ValueError, "but got 'fcn_resnet50'"),
        (18, TypeError, "backbone to be a classification model of torchvision, but got 18"),
    ],
)
def test_an_unknown_name(name, error, message):
    with pytest.raises(error, match=message):
        check_architecture(name, "backbone")
    for build in (untrained_classifier, pretrained_classifier):
        with pytest.raises(error, match="Expected name to be"):
            build(name)


def test_a_state_dict_in_a_file(tmp_path):
    state = {"weight": torch.ones(2), "bias": torch.zeros(1)}
    for number, content in enumerate([state, {"model": state}, {"model_state_dict": state}]):
        torch.save(content, tmp_path / f"{number}.pt")
        found = read_state(tmp_path / f"{number}.pt")
        assert list(found) == ["weight", "bias"]
        assert torch.equal(found["weight"], state["weight"])


@pytest.mark.parametrize("content", [None, {}, {1: torch.ones(1)}, {"weight": 1.0}])
def test_no_state_dict(content, tmp_path):
    with pytest.raises(
        ValueError, match=r"Expected weights to be a state dict \(tensors by name\)"
    ):
        check_state(content)
    torch.save(content, tmp_path / "other.pt")
    message = r"Expected weights to be a file with a state dict \(tensors by name\), but got '.*' w"
    with pytest.raises(ValueError, match=message):
        read_state(tmp_path / "other.pt")
