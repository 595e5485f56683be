"""Which pixels are deleted and inserted at each step, and the images that are made of that."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.metrics import (
    perturb,
    perturbation_plan,
    perturbation_steps,
    saliency_ranks,
)
from captum_cluster.functional.metrics.perturbed_images import PerturbedImages, saliency_order
from tests.helpers import metric_references as ref
from tests.helpers import nets

# The order of the pixels


def expected_ranks(saliency):
    ranks = np.zeros(tuple(saliency.shape), dtype=int)
    for place, position in enumerate(ref.pixel_order(saliency)):
        ranks[position] = place
    return ranks


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), st.integers(0, 99)
)
def test_ranks_are_the_reference_and_ties_go_by_position(images, h, w, values, seed):
    generator = torch.Generator().manual_seed(seed)
    saliency = torch.randint(-1, values, (images, h, w), generator=generator).float()
    ranks = saliency_ranks(saliency)
    assert ranks.dtype == torch.int64
    for one, found in zip(saliency, ranks, strict=True):
        np.testing.assert_array_equal(found, expected_ranks(one))


def test_ranks_of_a_large_map_with_ties():
    # sorting algorithms that are not stable show it on many equal values
    saliency = (nets.images(1, 1, (60, 70))[:, 0] * 2).round().clamp(min=0)
    np.testing.assert_array_equal(saliency_ranks(saliency)[0], expected_ranks(saliency[0]))


def test_ranks_by_hand():
    saliency = torch.tensor([[[0.5, 1.0], [0.0, 1.0]], [[0.0, -0.0], [0.0, 0.0]]])
    assert saliency_ranks(saliency).tolist() == [[[2, 0], [3, 1]], [[0, 1], [2, 3]]]


@pytest.mark.parametrize("shape", [(2, 2), (1, 1, 2, 2)])
def test_ranks_of_another_shape(shape):
    with pytest.raises(ValueError, match="saliency") as raised:
        saliency_ranks(torch.zeros(shape))
    assert str(raised.value) == f"Expected saliency to be of shape (P,H,W), but got {shape}."


# Steps


@pytest.mark.parametrize("size", [(224, 224), (20, 10), (16, 5), (7, 9), (1, 1), (9, 4), (448, 3)])
def test_steps_are_the_reference(size):
    assert perturbation_steps(*size) == ref.steps(size)


def test_steps_by_hand():
    steps = perturbation_steps(224, 224)
    assert len(steps) == 28 + 1
    assert steps[:2] == [0, 1792]
    assert steps[-1] == 224 * 224
    # a last, smaller step
    assert perturbation_steps(20, 10) == [0, 80, 160, 200]
    assert perturbation_steps(3, 10) == [0, 30]


# Insertion and deletion


@pytest.mark.parametrize("insert", [False, True])
def test_perturbed_images_by_hand(insert):
    images = torch.tensor([[[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]])
    ranks = saliency_ranks(torch.tensor([[[0.1, 0.9, 0.5]]]))
    found = perturb(images, ranks, 2, -1.0, insert=insert)
    expected = [[-1.0, 2.0, 3.0], [-1.0, 5.0, 6.0]] if insert else [[1.0, -1, -1], [4.0, -1, -1]]
    assert found[0, :, 0].tolist() == expected
    assert images[0, 0, 0].tolist() == [1.0, 2.0, 3.0]


BASELINES = {
    "number": 0.3,
    "integer": 2,
    "per channel": nets.images(1, 3, 1)[0],
    "one image": nets.images(1, 3, (5, 4)),
    "each": nets.images(2, 3, (5, 4), seed=5),
    "float32": nets.images(2, 3, (5, 4), seed=5).float(),
}


@pytest.mark.parametrize("baselines", BASELINES.values(), ids=BASELINES.keys())
@pytest.mark.parametrize("insert", [False, True])
def test_every_baseline(baselines, insert):
    images = nets.images(2, 3, (5, 4), seed=1)
    saliency = nets.images(2, 1, (5, 4), seed=2)[:, 0]
    ranks = saliency_ranks(saliency)
    fill = (torch.zeros_like(images) + baselines).to(images)
    for count in (0, 1, 7, 20):
        found = perturb(images, ranks, count, baselines, insert=insert)
        start, end = (fill, images) if insert else (images, fill)
        for n in range(2):
            expected = start[n].clone()
            for i, j in ref.pixel_order(saliency[n])[:count]:
                expected[:, i, j] = end[n, :, i, j]
            assert torch.equal(found[n], expected)
        assert found.dtype == images.dtype


def test_insertion_and_deletion_share_the_pixels():
    images = nets.images(2, 3, (6, 5))
    ranks = saliency_ranks(nets.images(2, 1, (6, 5), seed=2)[:, 0])
    for count in perturbation_steps(6, 5):
        inserted = perturb(images, ranks, count, insert=True)
        deleted = perturb(images, ranks, count, insert=False)
        assert torch.equal(inserted + deleted, images)


# Drawn step by step, against each image made anew

SIZE = (7, 5)
STEPS = perturbation_steps(*SIZE, step=6)
PLAN = range(2 * (len(STEPS) - 1))


def case(channels=3, dtype=torch.float32):
    """An image, a baseline of its size, and a map with ties."""
    image, fill = nets.images(2, channels, SIZE).to(dtype)
    return image, fill, (nets.images(1, 1, SIZE, seed=2)[:, 0] * 2).round()


def expected(image, fill, saliency):
    """All images of the plan, each made from the whole one."""
    counts, insert = perturbation_plan(STEPS)
    return perturb(image[None], saliency_ranks(saliency), counts, fill[None], insert=insert)


def drawn(images, like, places):
    """Images of the plan, from one place to the last of another, in one batch of a layout."""
    rows = torch.full_like(like[: len(places)], torch.nan)
    images.draw(rows, places[0])
    return rows


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("rows", [1, 2, 5, 100])
def test_every_batch_is_that_of_the_plan(channels, dtype, layout, rows):
    image, fill, saliency = case(channels, dtype)
    before = image.clone(), fill.clone()
    whole = expected(image, fill, saliency)
    like = whole.contiguous(memory_format=layout)
    assert torch.full_like(like[:1], 0).is_contiguous(memory_format=layout)
    images = PerturbedImages(image, saliency_order(saliency)[0], fill, STEPS)
    found = [drawn(images, like, places) for places in (PLAN[k : k + rows] for k in PLAN[::rows])]
    assert torch.equal(torch.cat(found), whole)
    assert torch.equal(image, before[0])
    assert torch.equal(fill, before[1])


def test_places_may_come_in_any_order_and_again():
    image, fill, saliency = case()
    whole = expected(image, fill, saliency)
    images = PerturbedImages(image, saliency_order(saliency)[0], fill, STEPS)
    last = len(PLAN)
    for places in ([5, 6], [2], [4, 5], [4, 5], [last - 1], [0, 1], [last - 3, last - 2], [3, 4]):
        assert torch.equal(drawn(images, whole, places), whole[places])


def test_both_ways_to_draw_agree():
    """The one of many small operations, and that of devices which like few large ones."""
    image, fill, saliency = case()
    images = PerturbedImages(image, saliency_order(saliency)[0], fill, STEPS)
    whole = expected(image, fill, saliency)
    for first in (0, 4):
        rows = torch.full_like(whole[first:], torch.nan)
        images._draw_at_once(rows, first)
        assert torch.equal(rows, whole[first:])


def test_the_order_is_that_of_the_ranks():
    saliency = (nets.images(2, 1, (9, 8))[:, 0] * 2).round()
    order, ranks = saliency_order(saliency), saliency_ranks(saliency).flatten(1)
    assert torch.equal(ranks.gather(1, order), torch.arange(72).expand(2, -1))
