"""Scores of masked images against one forward pass for each image and mask."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from captum_cluster.functional.attribution.masks import GridMasks, MapMasks, random_grids
from captum_cluster.functional.attribution.scoring import (
    MaskedScorer,
    check_score_function,
    read_scores,
    rows_per_pass,
)
from captum_cluster.functional.attribution.targets import select_each, select_shared
from tests.helpers import nets
from tests.helpers import references as ref

# Reading the output


def squared_margin(outputs):
    """A score_function of the whole batch of outputs that keeps their shape."""
    return (outputs - outputs.flip(1)) ** 2


@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (4,), (2, 3, 4, 5), (2, 1, 4, 5)])
@pytest.mark.parametrize("score_function", ["logit", "probability", "sigmoid"])
def test_read_scores(shape, score_function):
    outputs = 3 * torch.randn(shape, dtype=torch.float64, generator=torch.manual_seed(0))
    expected = torch.stack([ref.read(one, score_function) for one in outputs])
    torch.testing.assert_close(read_scores(outputs, score_function), expected, rtol=1e-13, atol=0)


def test_read_scores_by_hand():
    outputs = torch.tensor([[math.log(1.0), math.log(3.0)]], dtype=torch.float64)
    np.testing.assert_allclose(read_scores(outputs, "probability"), [[0.25, 0.75]], rtol=1e-15)
    np.testing.assert_allclose(read_scores(outputs, "sigmoid"), [[0.5, 0.75]], rtol=1e-15)
    np.testing.assert_allclose(read_scores(outputs[:, 1:], "probability"), [[0.75]], rtol=1e-15)


def test_read_scores_with_a_function():
    outputs = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    assert read_scores(outputs, squared_margin).tolist() == [[4.0, 4.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
@pytest.mark.parametrize(
    ("score_function", "expected"),
    [("logit", 2), ("probability", 1 / (1 + math.exp(-2))), (torch.exp, math.exp(2))],
)
def test_read_scores_widens_to_float32(dtype, score_function, expected):
    scores = read_scores(torch.tensor([[0, 2]], dtype=dtype), score_function)
    assert scores.dtype == torch.float32
    assert scores[0, 1].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda outputs: outputs[:1], "a tensor of shape (1, 3) and dtype torch.float32"),
        (lambda outputs: 3.0, "3.0"),
    ],
)
def test_read_scores_with_a_function_that_gives_something_else(function, got):
    with pytest.raises(TypeError) as raised:
        read_scores(torch.zeros(2, 3), function)
    assert str(raised.value) == (
        f"Expected the score_function to give a tensor with 2 rows, but got {got}."
    )


def test_check_score_function():
    for name in ("logit", "probability", "sigmoid", torch.exp):
        check_score_function(name)
    choices = "Expected score_function to be one of 'logit', 'probability', 'sigmoid', but got "
    with pytest.raises(ValueError, match=f"^{choices}'softmax'\\.$"):
        check_score_function("softmax")
    with pytest.raises(TypeError, match=f"^{choices}3\\.$"):
        check_score_function(3)


# Size of a pass


@pytest.mark.parametrize(
    ("shape", "dtype", "rows"),
    [
        # As many as hold the bytes of six images of 3x224x224 in float32
        ((1, 3, 224, 224), torch.float32, 6),
        ((9, 3, 224, 224), torch.float32, 6),
        ((1, 3, 224, 224), torch.float64, 3),
        ((1, 3, 112, 112), torch.float32, 24),
        ((1, 1, 8, 8), torch.float32, 128),
        ((1, 3, 4000, 4000), torch.float32, 1),
    ],
)
def test_rows_per_pass(shape, dtype, rows):
    assert rows_per_pass(torch.empty(shape, dtype=dtype, device="cpu")) == rows


@pytest.mark.parametrize(
    ("shape", "expansion", "rows"),
    [
        # Of eight images of 3x224x224 the largest activations are below 32 MiB, or above
        ((1, 3, 224, 224), 6.9, 8),
        ((1, 3, 224, 224), 7.0, 6),
        ((1, 3, 112, 112), 6.9, 32),
        ((1, 3, 112, 112), 7.0, 24),
    ],
)
def test_rows_per_pass_of_a_model_whose_activations_are_known(shape, expansion, rows):
    assert rows_per_pass(torch.empty(shape, device="cpu"), expansion) == rows


# Masked scores


def forward_of(net, sizes=None):
    """``forward(inputs, rows)`` of a network; ``sizes`` collects the rows of each pass."""

    def forward(batch, rows):
        assert all(len(part) == len(rows) for part in batch)
        if sizes is not None:
            sizes.append(len(rows))
        return net(*batch)

    return forward


@pytest.fixture
def small():
    return nets.SmallNet(channels=5).double().eval()


def maps_of(n, k, seed=3):
    """Random maps (n,k,3,4), the first and the third of each image flat."""
    maps = nets.images(n, k, (3, 4), seed=seed)
    maps[:, 0], maps[:, 2:3] = 1.5, 0.0
    return maps


BASELINES = {
    "none": None,
    "number": 0.7,
    "image": nets.images(1, 3, 8, seed=9),
    "each": nets.images(2, 3, 8, seed=10),
    "colour": torch.tensor([0.1, -0.4, 2.0], dtype=torch.float64)[:, None, None],
}


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("score_function", ["logit", "probability", "sigmoid", squared_margin])
def test_scores_are_those_of_single_passes(small, baseline, score_function):
    images, maps, b = nets.images(2), maps_of(2, 4), BASELINES[baseline]
    scorer = MaskedScorer(
        forward_of(small),
        (images,),
        select_each([3, 1], images=2),
        score_function,
        None if b is None else (b,),
    )
    scores = scorer(MapMasks(maps))
    assert scores.shape == (2, 4, 1)
    assert scores.dtype == torch.float64
    for n, target in enumerate([3, 1]):
        own = b[n] if baseline == "each" else b[0] if baseline == "image" else b
        for k, mask in enumerate(ref.score_cam_masks(maps[n], (8, 8))):
            expected = ref.masked_score(small, images[n], mask, target, score_function, own)
            assert scores[n, k, 0].item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("rows", [None, 1, 2, 3, 5, 100])
def test_any_chunk_size_gives_the_same(small, rows):
    sizes = []
    images, masks = nets.images(3), MapMasks(maps_of(3, 4))
    select = select_shared([0, 4], images=3)
    whole = MaskedScorer(forward_of(small), (images,), select, "probability")(masks)
    scorer = MaskedScorer(forward_of(small, sizes), (images,), select, "probability", rows=rows)
    torch.testing.assert_close(scorer(masks), whole, rtol=1e-13, atol=1e-15)
    # two of the four masks of each image share a pass
    assert sum(sizes) == 9
    assert max(sizes) == min(9, rows or 128)


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        (None, [16]),  # the power of two above the 9 pairs
        (1, [1] * 9),
        (2, [2] * 5),
        (5, [5, 5]),
        (9, [9]),
        (12, [12]),
        (100, [16]),
    ],
)
def test_equal_passes_are_filled_and_score_the_same(small, rows, sizes):
    seen, images, masks = [], nets.images(3), MapMasks(maps_of(3, 4))
    select = select_shared([0, 4], images=3)
    exact = MaskedScorer(forward_of(small), (images,), select, "probability")(masks)
    scorer = MaskedScorer(
        forward_of(small, seen), (images,), select, "probability", rows=rows, equal_passes=True
    )
    torch.testing.assert_close(scorer(masks), exact, rtol=1e-13, atol=1e-15)
    assert seen == sizes


def test_what_fills_a_pass_does_not_make_an_error(small):
    """A copy in the last pass is none of the pairs that the message counts."""
    images, masks = nets.images(1), MapMasks(maps_of(1, 4)[:, 1:])
    broken = lambda inputs, rows: small(inputs[0]) * math.nan  # noqa: E731
    scorer = MaskedScorer(broken, (images,), select_each(0, images=1), rows=2, equal_passes=True)
    with pytest.raises(ValueError, match="infinity for mask 0 of image 0"):
        scorer(masks)


def test_the_size_is_that_of_the_images_unless_another_is_given(small):
    images = nets.images(1, size=(8, 10))
    scorer = MaskedScorer(forward_of(small), (images,), select_each(0, images=1))
    assert scorer.size == (8, 10)
    whole = dataclasses.replace(scorer, whole_size=(16, 20))
    assert whole.size == whole.read_as("sigmoid").size == (16, 20)
    masks = MapMasks(maps_of(1, 4))
    assert torch.equal(whole(masks), scorer(masks))


def test_several_targets_cost_one_set_of_passes(small):
    sizes, images, masks = [], nets.images(2), MapMasks(maps_of(2, 4))
    select = select_shared([[0, 4, 2], [1, 1, 3]], images=2)
    scores = MaskedScorer(forward_of(small, sizes), (images,), select, "probability")(masks)
    assert sizes == [6]
    assert scores.shape == (2, 4, 3)
    for t, target in enumerate([[0, 1], [4, 1], [2, 3]]):
        one = MaskedScorer(
            forward_of(small), (images,), select_each(target, images=2), "probability"
        )
        torch.testing.assert_close(scores[:, :, t : t + 1], one(masks), rtol=1e-13, atol=0)


def test_nan_where_an_image_has_fewer_masks(small):
    valid = torch.tensor([[True, True, True, True], [True, False, True, False]])
    maps, images = maps_of(2, 4), nets.images(2)
    scorer = MaskedScorer(forward_of(small), (images,), select_each(0, images=2))
    scores = scorer(MapMasks(maps, valid))[..., 0]
    assert torch.equal(scores.isnan(), ~valid)
    all_there = scorer(MapMasks(maps))[..., 0]
    torch.testing.assert_close(scores[valid], all_there[valid], rtol=1e-13, atol=0)


def test_only_images_are_masked():
    net = nets.ArgsNet().double().eval()
    images, scale = nets.images(2), torch.tensor([[2.0], [-3.0]], dtype=torch.float64)
    maps = maps_of(2, 3)
    scorer = MaskedScorer(
        forward_of(net), (images, scale), select_each(1, images=2), "logit", (0.5, 0.0)
    )
    scores = scorer(MapMasks(maps))
    for n in range(2):
        for k, mask in enumerate(ref.score_cam_masks(maps[n], (8, 8))):
            expected = ref.masked_score(
                lambda x, n=n: net(x, scale[n : n + 1]), images[n], mask, 1, "logit", 0.5
            )
            assert scores[n, k, 0].item() == pytest.approx(expected, rel=1e-10)


def test_images_of_two_sizes_are_masked_each_at_its_own():
    images = nets.images(1, 2, (6, 4)), nets.images(1, 1, (3, 5), seed=1)
    maps = nets.images(1, 2, (2, 2), seed=2)
    scorer = MaskedScorer(
        lambda batch, rows: torch.stack([part.sum(dim=(1, 2, 3)) for part in batch], dim=1),
        images,
        select_shared([0, 1], images=1),
    )
    assert scorer.size == (6, 4)
    scores = scorer(MapMasks(maps))
    for k in range(2):
        for t, image in enumerate(images):
            mask = torch.from_numpy(ref.score_cam_masks(maps[0], image.shape[2:])[k])
            assert scores[0, k, t].item() == pytest.approx(float((image[0] * mask).sum()))


def test_masks_of_random_grids(small):
    grids, shifts = random_grids(5, 2, 0.5, random_state=0)
    images = nets.images(2)
    scorer = MaskedScorer(forward_of(small), (images,), select_each(2, images=2), "probability")
    scores = scorer(GridMasks(2, grids, shifts, torch.float64))
    for n in range(2):
        for k in range(5):
            mask = ref.rise_mask(grids[k], (shifts[k] * 4).long(), (8, 8))
            expected = ref.masked_score(small, images[n], mask, 2, "probability")
            assert scores[n, k, 0].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("net", "outputs"), [(nets.ScalarNet(), (4,)), (nets.OneLogitNet(), (4, 1))]
)
def test_a_model_with_one_output(net, outputs):
    net, images, maps = net.double().eval(), nets.images(1), maps_of(1, 4)
    assert net(nets.images(4)).shape == outputs
    scorer = MaskedScorer(forward_of(net), (images,), select_each(None, images=1), "probability")
    scores = scorer(MapMasks(maps))
    for k, mask in enumerate(ref.score_cam_masks(maps[0], (8, 8))):
        expected = ref.masked_score(net, images[0], mask, None, "probability")
        assert scores[0, k, 0].item() == pytest.approx(expected, rel=1e-12)


def test_targets_in_a_dense_output():
    net, images, maps = nets.DenseNet2d().double().eval(), nets.images(2), maps_of(2, 3)
    scorer = MaskedScorer(
        forward_of(net), (images,), select_each([(2, 1, 7), (0, 3, 3)], images=2), "probability"
    )
    scores = scorer(MapMasks(maps))
    for n, target in enumerate([(2, 1, 7), (0, 3, 3)]):
        for k, mask in enumerate(ref.score_cam_masks(maps[n], (8, 8))):
            expected = ref.masked_score(net, images[n], mask, target, "probability")
            assert scores[n, k, 0].item() == pytest.approx(expected, rel=1e-10)


def test_a_callable_target(small):
    def target(output):
        return output[0] - output[4]

    images, maps = nets.images(1), maps_of(1, 3)
    scorer = MaskedScorer(forward_of(small), (images,), select_each(target, images=1))
    for k, mask in enumerate(ref.score_cam_masks(maps[0], (8, 8))):
        expected = ref.masked_score(small, images[0], mask, target, "logit")
        assert scorer(MapMasks(maps))[0, k, 0].item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("baselines", [None, (0.5,), (torch.ones(3, 1, 1),)])
def test_inputs_masks_and_baselines_are_left_alone(small, baselines):
    images, maps = nets.images(2), maps_of(2, 3)
    before, maps_before = images.clone(), maps.clone()
    MaskedScorer(forward_of(small), (images,), select_each(0, images=2), baselines=baselines)(
        MapMasks(maps)
    )
    assert torch.equal(images, before)
    assert torch.equal(maps, maps_before)


def test_no_graph_is_kept(small):
    images = nets.images(1).requires_grad_()
    scores = MaskedScorer(forward_of(small), (images,), select_each(0, images=1))(
        MapMasks(maps_of(1, 2))
    )
    assert not scores.requires_grad


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_not_finite(bad):
    images = torch.ones(2, 1, 4, 4, dtype=torch.float64)
    maps = nets.images(2, 3, 4)

    def forward(batch, rows):
        outputs = batch[0].flatten(1)
        outputs[(rows == 1)] = bad
        return outputs

    scorer = MaskedScorer(forward, (images,), select_each(0, images=2))
    with pytest.raises(ValueError, match="the model's scores") as raised:
        scorer(MapMasks(maps))
    assert str(raised.value) == (
        "Expected the model's scores to be finite for every masked image, but got "
        "NaN or infinity for mask 0 of image 1."
    )


def test_the_progress_bar(small, capsys):
    arguments = forward_of(small), (nets.images(1),), select_each(0, images=1)
    MaskedScorer(*arguments)(MapMasks(maps_of(1, 2)))
    assert capsys.readouterr().err == ""
    MaskedScorer(*arguments, rows=1, show_progress=True)(MapMasks(maps_of(1, 2)))
    assert "masked passes" in capsys.readouterr().err
