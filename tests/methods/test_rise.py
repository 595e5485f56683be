"""RISE against the slow reference and numbers worked by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from captum_cluster.attr import LayerRise
from captum_cluster.functional.attribution import random_grids
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import RISE, RiseConfig
from tests.helpers import nets
from tests.helpers import references as ref
from tests.helpers.method_cases import assert_close, case, squared

CASES = ["small", "callable", "one logit", "dense", "hand"]


def check(name, *, baseline=None, n_masks=9, grid_size=3, p=0.5, seed=0, **options):
    """Compare explanation and reference for every image of a case."""
    net, layer, images, targets = case(name)
    result = LayerRise(net, layer).explain(
        images,
        [[target] for target in targets],
        baselines=baseline,
        n_masks=n_masks,
        grid_size=grid_size,
        mask_probability=p,
        random_state=seed,
        **options,
    )
    size = images.shape[2:]
    assert result.maps.shape == (len(images), 1, *size)
    assert result.weights is None
    grids, shifts = random_grids(n_masks, grid_size, p, random_state=seed)
    cell = torch.tensor([-(-length // grid_size) for length in size])
    for n, target in enumerate(targets):
        b = baseline[n] if isinstance(baseline, torch.Tensor) else baseline
        expected = ref.rise(
            net,
            images[n],
            grids,
            (shifts * cell).long(),
            target,
            probability=p,
            baseline=b,
            **options,
        )
        assert_close(result.maps[n, 0], expected)


@pytest.mark.parametrize("name", CASES)
def test_every_network(name):
    check(name)


@pytest.mark.parametrize("score_function", ["logit", "probability", "sigmoid", squared])
@pytest.mark.parametrize("name", ["small", "one logit"])
def test_every_score_function(name, score_function):
    check(name, score_function=score_function)


@pytest.mark.parametrize("n_masks", [1, 64, 65, 130])
def test_every_number_of_masks(n_masks):
    check("hand", n_masks=n_masks)


@pytest.mark.parametrize("grid_size", [1, 2, 4, 7, 20])
def test_every_grid(grid_size):
    check("small", n_masks=4, grid_size=grid_size)


@pytest.mark.parametrize("p", [0.05, 0.3, 1.0])
def test_every_probability(p):
    check("small", p=p)


@pytest.mark.parametrize("baseline", [0.7, nets.images(2, 3, (9, 12), seed=5)], ids=["f", "image"])
def test_every_baseline(baseline):
    check("small", baseline=baseline)


def test_seeded():
    check("small", seed=7)
    net, layer, images, _ = case("small")
    cam, state = LayerRise(net, layer), torch.get_rng_state()
    first = cam.attribute(images, 0, n_masks=10)
    assert torch.equal(cam.attribute(images, 0, n_masks=10), first)
    assert not torch.equal(cam.attribute(images, 0, n_masks=10, random_state=1), first)
    assert torch.equal(torch.get_rng_state(), state)


# Identities


def test_every_mask_is_one_at_probability_one():
    # each of the K masks scores the whole image: the map is that score everywhere
    net, layer, images, _ = case("small")
    maps = LayerRise(net, layer).attribute(
        images, 2, n_masks=5, mask_probability=1.0, score_function="logit"
    )
    expected = net(images)[:, 2].detach()[:, None, None, None].expand(2, 1, 9, 12)
    assert_close(maps, expected)


def test_hand_worked_at_probability_one():
    net = nets.HandNet().double().eval()
    maps = LayerRise(net, net.relu).attribute(
        net.image(), 1, n_masks=3, mask_probability=1.0, score_function="logit"
    )
    assert_close(maps, np.full((1, 1, 4, 4), nets.HAND_LOGITS[1]))


class Constant(nn.Module):
    """Says 3 whatever it sees."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        return torch.full_like(self.layer(x)[:, :, 0, 0], 3.0)


def test_of_a_constant_model_it_is_the_mean_mask():
    net = Constant().eval()
    image = torch.ones(1, 1, 16, 16, dtype=torch.float64)
    maps = LayerRise(net, net.layer).attribute(
        image, 0, n_masks=2000, grid_size=4, mask_probability=0.25, score_function="logit"
    )
    # the mean of a mask is its probability; 2000 masks leave some 4 % of chance
    assert abs(float(maps.mean()) - 3.0) < 0.05
    assert (maps - 3.0).abs().max() < 0.5


class Pixel(nn.Module):
    """Says what the pixel (1, 2) holds."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        return self.layer(x)[:, :, 1, 2]


def test_the_pixel_that_matters_is_found():
    net = Pixel().eval()
    image = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    maps = LayerRise(net, net.layer).attribute(
        image, 0, n_masks=1500, grid_size=8, score_function="logit"
    )
    assert divmod(int(maps.argmax()), 8) == (1, 2)


def test_several_targets_are_the_single_ones():
    net, layer, images, _ = case("small")
    cam = LayerRise(net, layer)
    with count_forwards(net) as count:
        together = cam.attribute_targets(images, [3, 0], n_masks=10)
    assert count.images == 2 * (1 + 10)
    for t, target in enumerate([3, 0]):
        assert_close(together[:, t], cam.attribute(images, target, n_masks=10)[:, 0], rtol=1e-12)


def test_a_batch_is_its_images_one_by_one():
    net, layer, images, targets = case("small")
    cam = LayerRise(net, layer)
    whole = cam.attribute(images, targets, n_masks=10)
    for n, target in enumerate(targets):
        one = cam.attribute(images[n : n + 1], target, n_masks=10)
        assert_close(whole[n], one[0], rtol=1e-12)


def test_result_shows_its_masks():
    net, layer, images, _ = case("small")
    result = LayerRise(net, layer).explain(images, [0, 1], n_masks=6, grid_size=3)
    assert result.method == "rise"
    assert result.scores.shape == (2, 6, 2)
    grids, shifts = random_grids(6, 3, 0.5, random_state=0)
    masks = result.render_masks(1, (9, 12))
    for k in range(6):
        shift = int(shifts[k, 0] * 3), int(shifts[k, 1] * 4)
        assert_close(masks[k], ref.rise_mask(grids[k], shift, (9, 12)))


def test_float32_stays_float32():
    net = nets.SmallNet().eval()
    maps = LayerRise(net, net.relu2).attribute(nets.images(1).float(), 0, n_masks=3)
    assert maps.dtype == torch.float32


# Options


def test_defaults():
    config = RiseConfig()
    assert (config.n_masks, config.mask_probability, config.reads) == (4000, 0.5, "probability")
    assert (config.grid_size, config.random_state) == (8, 0)
    assert RISE.id == "rise"
    assert RiseConfig(score_function=squared).reads is squared


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"n_masks": 0},
            ValueError,
            "Expected n_masks to be an integer of at least 1, but got 0.",
        ),
        (
            {"n_masks": 10.0},
            TypeError,
            "Expected n_masks to be an integer of at least 1, but got 10.0.",
        ),
        (
            {"grid_size": 0},
            ValueError,
            "Expected grid_size to be an integer of at least 1, but got 0.",
        ),
        (
            {"grid_size": True},
            TypeError,
            "Expected grid_size to be an integer of at least 1, but got True.",
        ),
        (
            {"mask_probability": 0},
            ValueError,
            "Expected mask_probability to be a number above 0 and at most 1, but got 0.",
        ),
        (
            {"mask_probability": 1.5},
            ValueError,
            "Expected mask_probability to be a number above 0 and at most 1, but got 1.5.",
        ),
        (
            {"mask_probability": float("nan")},
            ValueError,
            "Expected mask_probability to be a number above 0 and at most 1, but got nan.",
        ),
        (
            {"score_function": "softmax"},
            ValueError,
            "Expected score_function to be one of 'logit', 'probability', 'sigmoid', "
            "but got 'softmax'.",
        ),
        (
            {"random_state": -1},
            ValueError,
            "Expected random_state to be an integer from 0 to 4294967295, but got -1.",
        ),
        (
            {"random_state": None},
            TypeError,
            "Expected random_state to be an integer from 0 to 4294967295, but got None (NoneType).",
        ),
        (
            {"beta": 0.5},
            TypeError,
            "Expected the options of rise to be among n_masks, grid_size, mask_probability, "
            "score_function, random_state, but got 'beta'.",
        ),
    ],
    ids=str,
)
def test_wrong_options(options, error, text):
    with pytest.raises(error) as raised:
        RISE.configure(options)
    assert str(raised.value) == text


def test_scores_that_are_not_finite():
    net = nets.NaNNet().double().eval()
    with pytest.raises(ValueError, match="the model's scores to be finite"):
        LayerRise(net, net.relu).attribute(nets.images(1), 0, n_masks=3)
