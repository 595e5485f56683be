"""A classifier's scores of crops, against one crop at a time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from captum_cluster.weak import classifier_scores


class Net(nn.Module):
    """Small, with batch normalisation and dropout: the mode shows in its output."""

    def __init__(self, labels=4):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(5, labels))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, x):
        return self.head(self.features(x).mean(dim=(2, 3)))


@pytest.fixture
def net():
    with torch.random.fork_rng(devices=[]):
        return Net()


def crops():
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(1))
    return [image, image[:, 3:9, 4:18], image[:, 5:6, 7:8], image[:, :, 2:5], image[:, 19:, :]]


def one_by_one(net, labels, size, read, mean=(0, 0, 0), std=(1, 1, 1)):
    net.eval()
    rows = []
    for crop in crops():
        large = F.interpolate(crop[None], size=size, mode="bilinear", antialias=True)
        channels = [(large[:, c] - mean[c]) / std[c] for c in range(3)]
        with torch.no_grad():
            rows.append(read(net(torch.stack(channels, dim=1)))[0, labels])
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("score_function", "read"),
    [
        ("probability", lambda y: y.exp() / y.exp().sum()),
        ("sigmoid", lambda y: 1 / (1 + (-y).exp())),
        ("logit", lambda y: y),
        (torch.tanh, torch.tanh),
    ],
    ids=["probability", "sigmoid", "logit", "function"],
)
def test_scores_are_those_of_single_crops(net, score_function, read):
    options = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
    score = classifier_scores(net, size=(8, 9), score_function=score_function, **options)
    found = score(crops(), [2, 0])
    expected = one_by_one(net, [2, 0], (8, 9), read, **options)
    torch.testing.assert_close(found, expected)


def test_batches_do_not_matter(net):
    whole = classifier_scores(net, size=8)(crops(), [0, 1, 3])
    for batch_size in (1, 2, 4):
        part = classifier_scores(net, size=8, batch_size=batch_size)(crops(), [0, 1, 3])
        torch.testing.assert_close(part, whole)


def test_the_default_is_imagenets(net):
    found = classifier_scores(net, size=8, score_function="logit")(crops(), [1])
    options = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    torch.testing.assert_close(found, one_by_one(net, [1], (8, 8), lambda y: y, **options))


def test_the_model_is_left_as_it_was(net):
    net.train()
    net.head.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    scores = classifier_scores(net, size=8)(crops(), [0])
    assert not scores.requires_grad
    assert net.training
    assert net.features.training
    assert not net.head.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_models_own_precision(net):
    found = classifier_scores(net.double(), size=8)(crops(), [0, 1])
    with torch.random.fork_rng(devices=[]):
        single = classifier_scores(Net(), size=8)(crops(), [0, 1])
    torch.testing.assert_close(found.float(), single)


def test_no_crops(net):
    assert classifier_scores(net)([], [1, 2]).shape == (0, 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(net):
    expected = classifier_scores(net, size=8)(crops(), [0, 1])
    found = classifier_scores(net.cuda(), size=8)([crop.cuda() for crop in crops()], [0, 1])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"size": 0}, ValueError, "Expected size to be an integer of at least 1, but got 0."),
        (
            {"batch_size": 0},
            ValueError,
            "Expected batch_size to be an integer of at least 1, but got 0.",
        ),
        ({"size": (8, 8, 3)}, ValueError, "Expected size to be one number or two, but got 3."),
        (
            {"size": 8.5},
            TypeError,
            "Expected size to be an integer of at least 1, but got 8.5.",
        ),
        ({"mean": (0.5,)}, ValueError, "Expected mean to be three numbers, but got 1."),
        ({"std": (1, 1, 0)}, ValueError, "Expected std to be a number above 0, but got 0."),
        (
            {"score_function": "softmax"},
            ValueError,
            "Expected score_function to be one of 'logit', 'probability', 'sigmoid', "
            "but got 'softmax'.",
        ),
    ],
    ids=["size", "batch_size", "sizes", "fraction", "mean", "std", "score_function"],
)
def test_wrong_options(net, options, error, text):
    with pytest.raises(error, match="^Expected") as raised:
        classifier_scores(net, **options)
    assert str(raised.value) == text


def test_what_is_no_classifier(net):
    with pytest.raises(TypeError, match="^Expected model to be a torch.nn.Module, but got 3.$"):
        classifier_scores(3)
    with pytest.raises(ValueError, match="^Expected labels") as raised:
        classifier_scores(net, size=8)(crops(), [1, 4])
    assert str(raised.value) == (
        "Expected labels to be below the model's number of labels (4), but got 4."
    )
    with pytest.raises(ValueError, match="^Expected the model") as raised:
        classifier_scores(nn.Conv2d(3, 2, 1), size=8)(crops(), [1])
    assert str(raised.value) == (
        "Expected the model to give one score for each crop and label (K,L), but got (5, 2, 8, 8)."
    )
