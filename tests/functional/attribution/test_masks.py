"""Masks against bilinear interpolation done one pixel at a time, and who shares a pass."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.attribution.masks import (
    GridMasks,
    MapMasks,
    minmax,
    quantile_denoise,
    random_grids,
    saliency,
    unit_masks,
    upsample,
)
from tests.helpers import references as ref


def random_maps(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def assert_close(actual, expected, atol=1e-12):
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


SIZES = [((2, 2), (4, 4)), ((3, 5), (8, 11)), ((7, 4), (7, 9)), ((1, 3), (5, 5)), ((5, 6), (3, 1))]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_upsample(shape, size, align_corners):
    maps = random_maps(2, 3, *shape)
    expected = [[ref.up(a, size, align_corners).tolist() for a in image] for image in maps]
    assert_close(upsample(maps, size, align_corners=align_corners), expected)


def test_upsample_takes_any_leading_dimensions():
    maps = random_maps(2, 3, 4, 5, 6)
    assert upsample(maps, (7, 8)).shape == (2, 3, 4, 7, 8)
    assert upsample(maps[0, 0, 0], (7, 8)).shape == (7, 8)
    assert_close(upsample(maps, (7, 8))[1, 2, 3], ref.up(maps[1, 2, 3], (7, 8)))


def test_minmax_is_per_map():
    maps = torch.tensor([[[-2.0, 0.0], [2.0, 6.0]], [[3.0, 3.0], [3.0, 3.0]]])
    assert minmax(maps).tolist() == [[[0.0, 0.25], [0.5, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]


def test_minmax_leaves_its_input_alone():
    maps = random_maps(2, 3, 3)
    before = maps.clone()
    minmax(maps), unit_masks(maps, (5, 5)), saliency(maps, (5, 5)), quantile_denoise(maps, 0.5)
    assert torch.equal(maps, before)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_unit_masks(shape, size, align_corners):
    maps = random_maps(4, *shape)
    expected = ref.score_cam_masks(maps, size, align_corners)
    assert_close(unit_masks(maps, size, align_corners=align_corners), expected, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e-30, 1e6 + 0.1])
def test_unit_masks_of_flat_maps_are_exactly_zero(value, dtype):
    flat = torch.full((1, 3, 7), value, dtype=dtype)
    assert unit_masks(flat, (13, 17)).abs().max() == 0


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_unit_masks_do_not_depend_on_scale_and_offset(scale):
    maps = random_maps(3, 4, 4)
    assert_close(unit_masks(scale * maps + 5 * scale, (9, 9)), unit_masks(maps, (9, 9)), atol=1e-9)


def test_saliency_is_relu_then_upsampling_then_minmax():
    maps = random_maps(4, 3, 5)
    expected = [ref.minmax(ref.up(a.relu(), (9, 8))).tolist() for a in maps]
    assert_close(saliency(maps, (9, 8)), expected, atol=1e-10)


def test_saliency_by_hand():
    assert saliency(torch.tensor([[-5.0, 2.0, 1.0]]), (1, 3)).tolist() == [[0.0, 1.0, 0.5]]
    # the minimum of a positive map goes to 0
    assert saliency(torch.tensor([[1.0, 2.0, 3.0]]), (1, 3)).tolist() == [[0.0, 0.5, 1.0]]
    assert saliency(-torch.ones(2, 2), (4, 4)).abs().max() == 0


# Denoising


def test_quantile_denoise_by_hand():
    maps = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]], [[50.0, 40.0, 30.0, 20.0, 10.0]]])
    expected = [[[0.0, 0.0, 0.0, 4.0, 5.0]], [[50.0, 40.0, 0.0, 0.0, 0.0]]]
    assert quantile_denoise(maps, 0.5).tolist() == expected
    # the quantile 0.3 of 1..5 is 2.2: between two values
    assert quantile_denoise(maps, 0.3)[0].tolist() == [[0.0, 0.0, 3.0, 4.0, 5.0]]


def test_quantile_denoise_at_the_ends():
    maps = torch.tensor([[1.0, 2.0, 3.0]])
    assert quantile_denoise(maps, 0.0).tolist() == [[0.0, 2.0, 3.0]]
    assert quantile_denoise(maps, 1.0).tolist() == [[0.0, 0.0, 0.0]]


def test_quantile_denoise_of_half_precision():
    maps = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]], dtype=torch.float16)
    result = quantile_denoise(maps, 0.5)
    assert result.dtype == torch.float16
    assert result.tolist() == [[0.0, 0.0, 0.0, 4.0, 5.0]]


@pytest.mark.parametrize("quantile", [-0.1, 1.1, float("nan")])
def test_quantile_denoise_outside_the_range(quantile):
    with pytest.raises(ValueError, match=r"Expected quantile to be a number from 0 to 1, but got"):
        quantile_denoise(torch.ones(2, 2), quantile)


# Masks of feature maps


def render_all(masks, size):
    """What each mask of ``MapMasks`` looks like after its pass is looked up: (N,K,H,W)."""
    pairs, index = masks.passes()
    rendered = masks.render(pairs[:, 0], pairs[:, 1], size)[:, 0]
    return rendered[index.clamp(min=0)]


@pytest.mark.parametrize("align_corners", [False, True])
def test_map_masks_render_the_reference(align_corners):
    maps = random_maps(2, 4, 3, 3)
    maps[0, 1] = maps[0, 3] = 0.7
    masks = MapMasks(maps, align_corners=align_corners)
    assert masks.shape == (2, 4)
    for number, image in enumerate(maps):
        expected = ref.score_cam_masks(image, (8, 10), align_corners)
        assert_close(render_all(masks, (8, 10))[number], expected, atol=1e-10)


def test_map_masks_without_minmax_keep_their_values():
    maps = random_maps(1, 3, 2, 2)
    maps[0, 0] = 0.25
    rendered = render_all(MapMasks(maps, normalize=False), (5, 4))
    for k in range(3):
        assert_close(rendered[0, k], ref.up(maps[0, k], (5, 4)))


def test_map_masks_share_the_pass_of_flat_maps():
    maps = random_maps(2, 4, 2, 2)
    maps[0, 1], maps[0, 3], maps[1, 0] = 0.0, 5.0, -1.0
    pairs, index = MapMasks(maps).passes()
    assert pairs.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [1, 3]]
    assert index.tolist() == [[0, 1, 2, 1], [3, 4, 5, 6]]


def test_map_masks_without_minmax_share_the_pass_of_zero_maps_only():
    maps = random_maps(1, 4, 2, 2)
    maps[0, 0], maps[0, 1], maps[0, 2] = 0.0, 5.0, 0.0
    pairs, index = MapMasks(maps, normalize=False).passes()
    assert pairs.tolist() == [[0, 0], [0, 1], [0, 3]]
    assert index.tolist() == [[0, 1, 0, 2]]


def test_map_masks_leave_out_invalid_ones():
    maps = random_maps(2, 3, 2, 2)
    maps[1, 1:] = 0.0
    valid = torch.tensor([[True, True, True], [True, False, True]])
    pairs, index = MapMasks(maps, valid).passes()
    assert pairs.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 2]]
    assert index.tolist() == [[0, 1, 2], [3, -1, 4]]


@st.composite
def map_batches(draw):
    """Maps (N,K,h,w) some of which are flat, which of them are valid, and ``normalize``."""
    n, k = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    kinds = draw(st.lists(st.sampled_from("rcz"), min_size=n * k, max_size=n * k))
    valid = draw(st.lists(st.booleans(), min_size=n * k, max_size=n * k))
    maps = random_maps(n * k, 2, 3, seed=draw(st.integers(0, 1000)))
    for number, kind in enumerate(kinds):
        if kind != "r":
            maps[number] = 0.0 if kind == "z" else maps[number, 0, 0].item()
    grid = torch.tensor(valid).reshape(n, k)
    return maps.reshape(n, k, 2, 3), grid, draw(st.booleans())


@settings(max_examples=100, deadline=None, derandomize=True)
@given(map_batches())
def test_passes_of_any_batch(batch):
    maps, valid, normalize = batch
    pairs, index = MapMasks(maps, valid, normalize).passes()

    # -1 exactly where there is no mask, and no pass is made for nothing
    assert torch.equal(index == -1, ~valid)
    assert sorted({int(i) for i in index[valid]}) == list(range(len(pairs)))
    # pairs are unique, image by image, and stand for themselves
    listed = [tuple(pair) for pair in pairs.tolist()]
    assert listed == sorted(set(listed))
    assert [int(index[pair]) for pair in listed] == list(range(len(pairs)))
    for n, row in enumerate(maps):
        zeros = [
            k
            for k, a in enumerate(row)
            if valid[n, k] and (bool((a == a[0, 0]).all()) if normalize else not a.any())
        ]
        # the flat ones of one image share a pass, every other mask has its own
        assert len({int(index[n, k]) for k in zeros}) <= 1
        others = [k for k in range(len(row)) if valid[n, k] and k not in zeros]
        assert len({int(index[n, k]) for k in others} | {-2}) == len(others) + 1
        assert all(listed[int(index[n, k])] == (n, k) for k in others)
        assert all(listed[int(index[n, k])] == (n, zeros[0]) for k in zeros)


# Masks of random grids


def test_random_grids_are_seeded_and_leave_the_global_state_alone():
    state = torch.random.get_rng_state()
    grids, shifts = random_grids(200, 5, 0.3, random_state=4)
    assert torch.equal(torch.random.get_rng_state(), state)
    again, shifts_again = random_grids(200, 5, 0.3, random_state=4)
    other, _ = random_grids(200, 5, 0.3, random_state=5)
    assert torch.equal(grids, again)
    assert torch.equal(shifts, shifts_again)
    assert not torch.equal(grids, other)


def test_random_grids_hold_cells_and_shifts():
    grids, shifts = random_grids(400, 5, 0.3, random_state=0)
    assert grids.shape == (400, 5, 5)
    assert set(grids.unique().tolist()) == {0.0, 1.0}
    # 10000 cells: the standard error of the share is 0.0046
    assert abs(float(grids.mean()) - 0.3) < 0.02
    assert shifts.shape == (400, 2)
    assert 0 <= shifts.min() < 0.02
    assert 0.98 < shifts.max() < 1


@pytest.mark.parametrize(("probability", "value"), [(1.0, 1.0), (0.0, 0.0)])
def test_random_grids_at_the_ends(probability, value):
    grids, _ = random_grids(5, 3, probability, random_state=0)
    assert (grids == value).all()


@pytest.mark.parametrize(
    ("grid_size", "size"), [(2, (8, 8)), (3, (8, 11)), (7, (5, 13)), (1, (4, 4))]
)
def test_grid_masks_are_the_reference(grid_size, size):
    grids, shifts = random_grids(6, grid_size, 0.5, random_state=1)
    masks = GridMasks(2, grids, shifts, torch.float64)
    numbers = torch.tensor([0, 5, 3])
    rendered = masks.render(torch.zeros_like(numbers), numbers, size)
    assert rendered.shape == (3, 1, *size)
    cell = [-(-length // grid_size) for length in size]
    for mask, k in zip(rendered[:, 0], numbers.tolist(), strict=True):
        shift = [int(s * c) for s, c in zip(shifts[k].tolist(), cell, strict=True)]
        assert_close(mask, ref.rise_mask(grids[k], shift, size))


@pytest.mark.parametrize("length", [1, 7, 28, 32, 224])
def test_grid_masks_at_the_largest_shift(length):
    below_one = torch.full((1, 2), 1 - 2.0**-24)
    grids = torch.arange(4.0).reshape(1, 2, 2)
    masks = GridMasks(1, grids, below_one, torch.float64)
    zero = torch.zeros(1, dtype=torch.long)
    rendered = masks.render(zero, zero, (2 * length, 2 * length))[0, 0]
    assert_close(
        rendered, ref.rise_mask(grids[0], (length - 1, length - 1), (2 * length, 2 * length))
    )


def test_grid_masks_make_every_pass():
    masks = GridMasks(2, *random_grids(3, 2, 0.5, random_state=0))
    assert masks.shape == (2, 3)
    pairs, index = masks.passes()
    assert pairs.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert index.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "masks",
    [MapMasks(torch.ones(1, 1, 2, 2)), GridMasks(1, torch.ones(1, 2, 2), torch.zeros(1, 2))],
)
def test_masks_are_frozen(masks):
    with pytest.raises(dataclasses.FrozenInstanceError):
        masks.maps = torch.zeros(1, 1, 2, 2)
