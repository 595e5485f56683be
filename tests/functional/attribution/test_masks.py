"""Masks against bilinear interpolation done one pixel at a time, and who shares a pass."""

import dataclasses

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from captum_cluster.functional.attribution.collections import collection_maps
from captum_cluster.functional.attribution.masks import (
    GridMasks,
    JoinedMasks,
    KeptMasks,
    MapMasks,
    minmax,
    quantile_denoise,
    random_grids,
    saliency,
    unit_masks,
    upsample,
)
from captum_cluster.functional.attribution.sufficiency import PowerMasks
from tests.helpers import collection_references, nets
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
    """What each mask looks like after its pass is looked up: (N,K,H,W)."""
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


# Masks without their faintest pixels


@pytest.mark.parametrize("quantile", [0.0, 0.1, 0.4, 0.77, 1.0])
@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("shape", "size"), [((3, 4), (7, 9)), ((2, 2), (5, 3)), ((4, 4), (4, 4))])
def test_denoised_masks_are_the_reference(quantile, final, after, shape, size):
    channels, gradients = random_maps(6, *shape), random_maps(6, *shape, seed=1)
    labels = torch.tensor([0, 1, 0, 2, 1, 0])
    maps = collection_maps(channels, gradients, labels, final=final)
    masks = MapMasks((maps if after else maps.relu())[None], denoise_quantile=quantile)
    rendered = render_all(masks, size)[0]
    for number in range(3):
        members = (labels == number).nonzero()[:, 0].tolist()
        expected = collection_references.mask(
            channels, gradients, members, size, final, quantile, relu_after_upsampling=after
        )
        assert_close(rendered[number], expected)


@pytest.mark.parametrize("name", ["relu1", "conv2", "relu2"])
@pytest.mark.parametrize("final", [False, True])
def test_denoised_masks_of_a_network_are_the_reference(name, final):
    net, x = nets.SmallNet().double().eval(), nets.images(1, 3, (9, 12))[0]
    layer = getattr(net, name)
    channels = collection_references.activations(net, layer, x)
    gradients = collection_references.gradients(net, layer, x, 2)
    labels = torch.arange(len(channels)) % 2
    maps = collection_maps(
        torch.from_numpy(channels), torch.from_numpy(gradients), labels, final=final
    )
    rendered = render_all(MapMasks(maps.relu()[None], denoise_quantile=0.35), (9, 12))[0]
    for number in range(2):
        members = range(number, len(channels), 2)
        expected = collection_references.mask(
            channels, gradients, list(members), (9, 12), final, 0.35
        )
        assert_close(rendered[number], expected)


def test_denoised_masks_by_hand():
    # rectified 0 2 4 0 6, median 2: what is not above it is 0, the rest is divided by 6
    maps = torch.tensor([[[[-1.0, 2.0, 4.0, -3.0, 6.0]]]])
    rendered = render_all(MapMasks(maps, denoise_quantile=0.5), (1, 5))
    assert_close(rendered[0, 0, 0], [0.0, 0.0, 4 / 6, 0.0, 1.0], atol=1e-7)


def test_denoised_masks_keep_nothing_of_flat_and_of_negative_maps():
    maps = torch.cat([torch.full((1, 1, 3, 7), 0.1), -random_maps(1, 1, 3, 7).abs()], dim=1)
    maps = torch.cat([maps, torch.zeros(1, 1, 3, 7), random_maps(1, 1, 3, 7)], dim=1)
    masks = MapMasks(maps, denoise_quantile=0.0)
    pairs, index = masks.passes()
    # they share the pass of a mask of zeros
    assert pairs.tolist() == [[0, 0], [0, 3]]
    assert index.tolist() == [[0, 0, 0, 1]]
    # exactly 0, though the flat map is not flat to the last bit once it is enlarged
    every = torch.arange(4)
    rendered = masks.render(torch.zeros(4, dtype=torch.long), every, (13, 17))
    assert rendered[:3].abs().max() == 0
    assert rendered[3].max() == 1


def test_denoising_depends_on_each_mask_alone():
    maps = random_maps(2, 3, 3, 3) * torch.tensor([1.0, 100.0, 1e-4])[:, None, None]
    whole = render_all(MapMasks(maps, denoise_quantile=0.3), (6, 6))
    for n in range(2):
        for k in range(3):
            alone = MapMasks(maps[n : n + 1, k : k + 1], denoise_quantile=0.3)
            assert torch.equal(render_all(alone, (6, 6))[0, 0], whole[n, k])


# Masks of several kinds


def test_joined_masks_by_hand():
    first = MapMasks(torch.tensor([[[[0.0, 1.0]], [[3.0, 3.0]]], [[[1.0, 0.0]], [[0.0, 4.0]]]]))
    valid = torch.tensor([[True, True], [False, True]])
    maps = torch.tensor([[[[0.0], [2.0]], [[5.0], [5.0]]], [[[9.0], [9.0]], [[8.0], [8.0]]]])
    joined = JoinedMasks((first, MapMasks(maps, valid)))
    assert joined.shape == (2, 4)
    pairs, index = joined.passes()
    # image by image; in each the parts in order, and each part shares its own zeros
    assert pairs.tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0], [1, 1], [1, 3]]
    assert index.tolist() == [[0, 1, 2, 3], [4, 5, -1, 6]]
    rendered = joined.render(pairs[:, 0], pairs[:, 1], (2, 2))[:, 0]
    assert rendered.tolist() == [
        [[0.0, 1.0], [0.0, 1.0]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[0.0, 0.0], [1.0, 1.0]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[1.0, 0.0], [1.0, 0.0]],
        [[0.0, 1.0], [0.0, 1.0]],
        [[0.0, 0.0], [0.0, 0.0]],
    ]


def test_joined_masks_of_one_part_are_that_part():
    maps = random_maps(3, 4, 2, 2)
    maps[1, 2] = maps[1, 0] = 1.0
    part = MapMasks(maps, torch.arange(4) < torch.tensor([4, 3, 2])[:, None])
    joined = JoinedMasks((part,))
    for ours, theirs in zip(joined.passes(), part.passes(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(render_all(joined, (5, 5)), render_all(part, (5, 5)))


def mixed_parts():
    """Parts of different kinds and grids, for the same three images."""
    maps = random_maps(3, 2, 2, 3)
    maps[0, 0] = maps[2] = 0.5
    return (
        MapMasks(maps),
        PowerMasks(minmax(random_maps(3, 5, 4, seed=1)), (2.0, 0.5)),
        MapMasks(random_maps(3, 3, 4, 1, seed=2), denoise_quantile=0.3),
        GridMasks(3, *random_grids(2, 3, 0.5, random_state=0), torch.float64),
        JoinedMasks((MapMasks(random_maps(3, 1, 1, 2)), MapMasks(random_maps(3, 1, 3, 3)))),
    )


@pytest.mark.parametrize("size", [(5, 4), (8, 9)])
def test_joined_masks_render_mixed_kinds_and_grids(size):
    parts = mixed_parts()
    joined = JoinedMasks(parts)
    assert joined.shape == (3, 11)
    expected = torch.cat([render_all(part, size) for part in parts], dim=1)
    assert torch.equal(render_all(joined, size), expected)
    # any pairs in any order, with and without some of the parts
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        pairs = torch.tensor([[n, k] for n in range(3) for k in range(11)])
        pairs = pairs[torch.randperm(33, generator=generator)][: 1 + 4 * seed]
        rendered = joined.render(pairs[:, 0], pairs[:, 1], size)
        assert rendered.shape == (1 + 4 * seed, 1, *size)
        assert torch.equal(rendered[:, 0], expected[pairs[:, 0], pairs[:, 1]])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_passes_of_any_joined_batch(data):
    maps, valid, normalize = data.draw(map_batches())
    parts = [MapMasks(maps, valid, normalize)]
    for number in range(data.draw(st.integers(0, 2))):
        if data.draw(st.booleans()):
            parts.append(MapMasks(maps.flip(1), valid.flip(1), denoise_quantile=0.2))
        else:
            parts.append(PowerMasks(maps[:, 0].abs(), (1.0,) * (number + 1)))
    assume(any(len(part.passes()[0]) for part in parts))
    pairs, index = JoinedMasks(tuple(parts)).passes()

    listed = [tuple(pair) for pair in pairs.tolist()]
    assert listed == sorted(set(listed))
    # each stands for itself, and every part shares as it does alone
    assert [int(index[pair]) for pair in listed] == list(range(len(pairs)))
    start = 0
    for part in parts:
        own, places = part.passes()
        count = part.shape[1]
        found = index[:, start : start + count]
        assert torch.equal(found == -1, places == -1)
        for n, k in (places >= 0).nonzero().tolist():
            image, number = own[places[n, k]].tolist()
            assert listed[int(found[n, k])] == (image, start + number)
        start += count
    assert len(listed) == sum(len(part.passes()[0]) for part in parts)


# Masks that are kept


class Counted:
    """Masks that count how many of them are rendered."""

    def __init__(self, masks):
        self.masks, self.shape, self.passes, self.rendered = masks, masks.shape, masks.passes, 0

    def render(self, images, masks, size):
        self.rendered += len(images)
        return self.masks.render(images, masks, size)


@pytest.mark.parametrize(
    ("limit", "kept"), [(0, 0), (3 * 16 * 8, 3), (3 * 16 * 8 + 127, 3), (10**6, 6)]
)
def test_kept_masks_are_rendered_once_as_far_as_the_limit_goes(limit, kept):
    masks = MapMasks(random_maps(2, 3, 2, 2))
    counted = Counted(masks)
    found = KeptMasks(counted, limit)
    pairs, _ = found.passes()
    assert found.shape == (2, 3)
    for number in range(2):
        for pair in pairs:
            rendered = found.render(pair[:1], pair[1:], (4, 4))
            assert torch.equal(rendered, masks.render(pair[:1], pair[1:], (4, 4)))
        assert counted.rendered == (6 if number == 0 else 12 - kept)


def test_kept_masks_of_one_size_are_not_those_of_another():
    masks = MapMasks(random_maps(1, 2, 2, 2))
    found, (pairs, _) = KeptMasks(masks, 10**6), masks.passes()
    for size in ((4, 4), (4, 6), (4, 4)):
        rendered = found.render(pairs[:, 0], pairs[:, 1], size)
        assert torch.equal(rendered, masks.render(pairs[:, 0], pairs[:, 1], size))
