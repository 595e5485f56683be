"""Score-CAM against the slow reference, numbers worked by hand, and the equations' identities."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from captum_cluster.attr import LayerScoreCam
from captum_cluster.functional.attribution import MaskedScorer, select_each, select_shared
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import SCORE_CAM, ScoreCamConfig, score_cam
from tests.helpers import nets
from tests.helpers import references as ref
from tests.helpers.method_cases import CASES, assert_close, case, maps_of, squared


def check(name, *, baseline=None, **options):
    """Compare explanation and reference for every image of a case."""
    net, layer, images, targets = case(name)
    result = LayerScoreCam(net, layer).explain(
        images, [[target] for target in targets], baselines=baseline, **options
    )
    maps = maps_of(net, layer, images)
    for n, target in enumerate(targets):
        b = baseline
        if isinstance(baseline, torch.Tensor) and baseline.ndim == 4:
            b = baseline[n] if len(baseline) > 1 else baseline[0]
        expected = ref.score_cam(net, images[n], maps[n], target, baseline=b, **options)
        assert_close(result.maps[n, 0], expected)
        # the coefficients give the map
        weighted = (result.weights[n, 0][:, None, None] * maps[n]).sum(dim=0)
        assert_close(weighted, expected)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("weighting", ["softmax", "increase", "probability"])
def test_every_weighting_on_every_network(name, weighting):
    check(name, weighting=weighting)


READINGS = [
    (weighting, score_function)
    for weighting in ("softmax", "increase", "probability")
    for score_function in ("logit", "probability", "sigmoid", squared)
    if (weighting, score_function) != ("probability", "logit")
]


@pytest.mark.parametrize("name", ["small", "dense", "one logit"])
@pytest.mark.parametrize(("weighting", "score_function"), READINGS)
def test_every_score_function(name, weighting, score_function):
    check(name, weighting=weighting, score_function=score_function)


@pytest.mark.parametrize("weighting", ["softmax", "increase"])
@pytest.mark.parametrize("name", ["small", "flat"])
def test_aligned_corners(name, weighting):
    check(name, weighting=weighting, align_corners=True)


@pytest.mark.parametrize(
    "baseline",
    [0.0, -0.8, 2, nets.images(1, seed=5), nets.images(2, seed=6), torch.ones(3, 1, 1)],
    ids=["zero", "float", "int", "image", "each", "colour"],
)
@pytest.mark.parametrize("weighting", ["softmax", "increase", "probability"])
def test_every_baseline(baseline, weighting):
    check("before the relu", baseline=baseline, weighting=weighting)


# By hand


def explain_hand(targets=(0, 1), **options):
    net = nets.HandNet().double().eval()
    return LayerScoreCam(net, net.relu).explain(net.image(), list(targets), **options)


def test_hand_worked_scores():
    assert_close(explain_hand().scores[0], nets.HAND_CHANNEL_LOGITS, rtol=1e-14)


def test_hand_worked_increase():
    result = explain_hand(weighting="increase")
    assert_close(result.maps[0, 0], nets.HAND_INCREASE, rtol=1e-14)
    logits, black = np.array(nets.HAND_CHANNEL_LOGITS), np.array(nets.HAND_BLACK_LOGITS)
    assert_close(result.weights[0], (logits - black).T, rtol=1e-14)


def test_hand_worked_softmax():
    result = explain_hand()
    for label in (0, 1):
        powers = [math.exp(row[label]) for row in nets.HAND_CHANNEL_LOGITS]
        assert_close(result.weights[0, label], [power / sum(powers) for power in powers])


def test_hand_worked_probability():
    result = explain_hand(weighting="probability")
    expected = [1 / (1 + math.exp(b - a)) for a, b in nets.HAND_CHANNEL_LOGITS]
    assert_close(result.weights[0, 0], expected)
    assert_close(result.weights[0, 1], [1 - p for p in expected])
    total = sum(p * np.array(a) for p, a in zip(expected, nets.HAND_MAPS, strict=True))
    assert_close(result.maps[0, 0], total)


# Identities


def test_several_targets_are_the_single_ones():
    net, layer, images, _ = case("small")
    cam = LayerScoreCam(net, layer)
    with count_forwards(net) as count:
        together = cam.attribute_targets(images, [3, 0, 4])
    assert count.images == 2 * (1 + 12)
    for t, target in enumerate([3, 0, 4]):
        assert_close(together[:, t], cam.attribute(images, target)[:, 0], rtol=1e-12)


@pytest.mark.parametrize("weighting", ["softmax", "increase", "probability"])
def test_a_batch_is_its_images_one_by_one(weighting):
    net, layer, images, targets = case("small")
    cam = LayerScoreCam(net, layer)
    whole = cam.attribute(images, targets, weighting=weighting)
    for n, target in enumerate(targets):
        one = cam.attribute(images[n : n + 1], target, weighting=weighting)
        assert_close(whole[n], one[0], rtol=1e-12)


@pytest.mark.parametrize("weighting", ["softmax", "increase"])
def test_the_order_of_channels_does_not_matter(weighting):
    net, layer, images, targets = case("small")
    maps = maps_of(net, layer, images)
    scorer = MaskedScorer(lambda b, _: net(b[0]), (images,), select_each(targets, images=2))
    config = ScoreCamConfig(weighting=weighting)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    plain, shuffled = score_cam(maps, scorer, config), score_cam(maps[:, order], scorer, config)
    assert_close(shuffled.maps, plain.maps)
    assert_close(shuffled.weights, plain.weights[..., order])


def test_softmax_weights_sum_to_one():
    net, layer, images, _ = case("small")
    weights = LayerScoreCam(net, layer).explain(images, [0, 1, 2]).weights
    assert weights.shape == (2, 3, 12)
    assert_close(weights.sum(dim=2), np.ones((2, 3)))


@pytest.mark.parametrize(("weighting", "passes"), [("softmax", 12), ("increase", 13)])
def test_one_pass_for_each_channel(weighting, passes):
    # "increase" needs the baseline image once more; none of the 12 maps of this image is flat
    net, layer, images, _ = case("before the relu")
    with count_forwards(net) as count:
        LayerScoreCam(net, layer).attribute(images[:1], 0, weighting=weighting)
    assert count.images == 1 + passes


@pytest.mark.parametrize("weighting", ["softmax", "increase"])
def test_flat_channels_share_one_pass(weighting):
    net, layer, images, _ = case("flat")
    with count_forwards(net) as count:
        result = LayerScoreCam(net, layer).explain(images, [1], weighting=weighting)
    assert count.images == 2 * (1 + 1)
    # every mask is 0, so every score is that of the black image
    black = net(torch.zeros(1, 3, 8, 8, dtype=torch.float64))[0, 1].item()
    assert_close(result.scores, np.full((2, 6, 1), black))
    assert_close(result.weights, np.full((2, 1, 6), 1 / 6 if weighting == "softmax" else 0.0))


def test_result_shows_its_masks():
    net, layer, images, _ = case("small")
    result = LayerScoreCam(net, layer).explain(images, [0], weighting="increase")
    assert result.method == "score-cam"
    assert result.scores.shape == (2, 12, 1)
    maps = maps_of(net, layer, images)
    for n in range(2):
        assert_close(
            result.render_masks(n, (9, 12)), ref.score_cam_masks(maps[n], (9, 12)), atol=1e-10
        )


class TwoLabels(nn.Module):
    """Its only layer gives what it takes; the logits are sums of halves of the image."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        x = self.layer(x)
        return torch.stack([x[..., :2].sum((1, 2, 3)), x[..., 2:].sum((1, 2, 3))], dim=1)


def test_masks_at_full_resolution_by_hand():
    # one channel, mask = the image over its maximum 2: label 0 scores 2 * 1, label 1 scores 1 * 1/2
    image = torch.tensor([[[[2.0, 0.0, 0.0, 1.0]]]], dtype=torch.float64)
    net = TwoLabels().eval()
    result = LayerScoreCam(net, net.layer).explain(image, [0, 1], weighting="increase")
    assert result.scores[0, 0].tolist() == [2.0, 0.5]
    assert result.maps[0].tolist() == [[[4.0, 0.0, 0.0, 2.0]], [[1.0, 0.0, 0.0, 0.5]]]


def test_float32_stays_float32():
    net = nets.SmallNet().eval()
    maps = LayerScoreCam(net, net.relu2).attribute(nets.images(1).float(), 0)
    assert maps.dtype == torch.float32


# Options


def test_defaults():
    config = ScoreCamConfig()
    assert (config.weighting, config.score_function, config.align_corners) == (
        "softmax",
        None,
        False,
    )
    assert SCORE_CAM.id == "score-cam"


@pytest.mark.parametrize(
    ("options", "reads"),
    [
        ({}, "logit"),
        ({"weighting": "increase"}, "logit"),
        ({"weighting": "probability"}, "probability"),
        ({"weighting": "probability", "score_function": "sigmoid"}, "sigmoid"),
        ({"score_function": "probability"}, "probability"),
        ({"score_function": squared}, squared),
    ],
)
def test_how_the_output_is_read(options, reads):
    assert ScoreCamConfig(**options).reads == reads


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"weighting": "mean"},
            ValueError,
            "Expected weighting to be one of 'softmax', 'increase', 'probability', but got 'mean'.",
        ),
        (
            {"weighting": None},
            TypeError,
            "Expected weighting to be one of 'softmax', 'increase', 'probability', "
            "but got None (NoneType).",
        ),
        (
            {"align_corners": 1},
            TypeError,
            "Expected align_corners to be True or False, but got 1.",
        ),
        (
            {"score_function": "softmax"},
            ValueError,
            "Expected score_function to be one of 'logit', 'probability', 'sigmoid', "
            "but got 'softmax'.",
        ),
        (
            {"score_function": 3},
            TypeError,
            "Expected score_function to be one of 'logit', 'probability', 'sigmoid', but got 3.",
        ),
        (
            {"weighting": "probability", "score_function": "logit"},
            ValueError,
            "Expected score_function to be one that gives probabilities for "
            "weighting='probability', but got 'logit'.",
        ),
        (
            {"n_clusters": 3},
            TypeError,
            "Expected the options of score-cam to be among weighting, score_function, "
            "align_corners, but got 'n_clusters'.",
        ),
    ],
    ids=str,
)
def test_wrong_options(options, error, text):
    with pytest.raises(error) as raised:
        SCORE_CAM.configure(options)
    assert str(raised.value) == text
    net, layer, images, _ = case("small")
    with pytest.raises(error):
        LayerScoreCam(net, layer).attribute(images, 0, **options)


def test_scores_that_are_not_finite():
    net = nets.NaNNet().double().eval()
    with pytest.raises(ValueError, match="the model's scores to be finite"):
        LayerScoreCam(net, net.relu).attribute(nets.images(1), 0)


def test_a_scorer_without_a_face():
    net, layer, images, targets = case("dense")
    scorer = MaskedScorer(
        lambda batch, _: net(batch[0]), (images,), select_shared([targets[0]], images=2)
    )
    result = score_cam(maps_of(net, layer, images), scorer, ScoreCamConfig())
    face = LayerScoreCam(net, layer).attribute(images, targets[0])
    assert_close(result.maps, face, rtol=1e-13)
