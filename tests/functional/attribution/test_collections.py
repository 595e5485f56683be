"""Collections of maps against slow sums, numbers worked by hand, and what must not matter."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.attribution.collections import (
    Partition,
    choose_partition,
    collection_maps,
    dispersion_separation,
    map_statistics,
    ward_partitions,
)
from tests.helpers import collection_references as ref
from tests.helpers import nets

NETS = {
    "small": (nets.SmallNet(), "relu2"),
    "before the relu": (nets.SmallNet(), "conv2"),
    "early": (nets.SmallNet(channels=7, seed=3), "relu1"),
    "flat": (nets.FlatNet(), "layer"),
    "hand": (nets.SmallNet(channels=5, num_classes=3, seed=1), "bn1"),
}


def maps_and_gradients(name, target=1):
    """The maps and gradients (C,h,w) of one image in the layer of a network."""
    net, layer = NETS[name]
    net = net.double().eval()
    layer, x = getattr(net, layer), nets.images(1, 3, (9, 12))[0]
    maps, gradients = ref.activations(net, layer, x), ref.gradients(net, layer, x, target)
    return torch.from_numpy(maps), torch.from_numpy(gradients)


def random_points(count, seed=0, features=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, features, generator=generator, dtype=torch.float64)


def partition(labels):
    """The collections as a set of sets of channels, whatever their numbers."""
    return {frozenset(members) for members in ref.collections_of(labels.tolist())}


def distinct(points):
    return len({tuple(point) for point in (points + 0.0).tolist()})


# Statistics


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("standardize", [False, True])
def test_statistics_are_the_reference(name, standardize):
    maps, gradients = maps_and_gradients(name)
    expected = ref.statistics(maps, gradients)
    if standardize:
        expected = ref.standardized(expected)
    points = map_statistics(maps, gradients, standardize=standardize)
    assert points.dtype == torch.float64
    np.testing.assert_allclose(points, expected, atol=1e-13)


def test_statistics_by_hand():
    # deviations from 3: -3, -1, 1, 3, variance 5; from 2: three times -1 and 3, variance 3
    maps = torch.tensor([[[0.0, 2.0], [4.0, 6.0]]])
    gradients = torch.tensor([[[1.0, 1.0], [1.0, 5.0]]])
    np.testing.assert_allclose(
        map_statistics(maps, gradients), [[3.0, math.sqrt(5), 2.0, math.sqrt(3)]], rtol=1e-15
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("standardize", [False, True])
def test_a_flat_gradient_has_deviation_zero(dtype, standardize):
    # the mean of 9 copies of 0.1 or 0.7 is not that number to the last bit
    maps = random_points(3 * 9).to(dtype)[:, 0].reshape(3, 3, 3)
    gradients = torch.tensor([0.1, 0.7, -1.3], dtype=dtype)[:, None, None].expand(3, 3, 3)
    assert torch.full((9,), 0.7, dtype=torch.float64).mean() != 0.7
    points = map_statistics(maps, gradients, standardize=standardize)
    assert points[:, 3].tolist() == [0.0, 0.0, 0.0]
    if not standardize:
        assert points[:, 2].tolist() == gradients[:, 0, 0].double().tolist()


def test_standardizing_gives_every_statistic_the_same_say():
    maps, gradients = maps_and_gradients("early")
    points = map_statistics(maps, gradients, standardize=True)
    np.testing.assert_allclose(points.mean(dim=0), 0, atol=1e-14)
    np.testing.assert_allclose(points.std(dim=0, correction=0), 1, rtol=1e-13)
    # scale and offset of the maps, and scale of the gradients, no longer matter
    other = map_statistics(1000 * maps + 7, gradients / 1000, standardize=True)
    np.testing.assert_allclose(other, points, atol=1e-11)


def test_standardizing_a_statistic_that_all_channels_share():
    # 0.1 nine times: its mean differs from it in the last bit, and must not be blown up
    maps = torch.full((9, 2, 2), 0.1, dtype=torch.float64)
    assert torch.full((9,), 0.1, dtype=torch.float64).mean() != 0.1
    gradients = random_points(36)[:, 0].reshape(9, 2, 2)
    points = map_statistics(maps, gradients, standardize=True)
    assert points[:, :2].abs().max() == 0
    assert points[:, 2:].abs().min() > 0


def test_one_channel_standardized_is_zero():
    points = map_statistics(torch.rand(1, 2, 2), torch.rand(1, 2, 2), standardize=True)
    assert points.tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_statistics_take_no_part_in_a_graph():
    maps = torch.rand(2, 3, 3, requires_grad=True)
    assert not map_statistics(maps, maps).requires_grad


# Ward's hierarchy


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("standardize", [False, True])
def test_partitions_of_a_network_are_the_reference(name, standardize):
    points = map_statistics(*maps_and_gradients(name), standardize=standardize)
    sizes = range(1, distinct(points) + 1)
    expected = ref.ward(points, sizes)
    found = ward_partitions(points, sizes)
    assert {size: labels.tolist() for size, labels in found.items()} == expected


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("features", [1, 4])
def test_partitions_of_random_points_are_the_reference(features, seed):
    points = random_points(14, seed, features)
    points[5] = points[9] = points[0]
    found = ward_partitions(points, range(1, 15))
    assert list(found) == list(range(1, 13))  # the rest has more collections than points
    expected = ref.ward(points, range(1, 13))
    assert {size: labels.tolist() for size, labels in found.items()} == expected


def test_partitions_by_hand():
    # 0 and 1 first (increase 1/2), then 9 and 11 (2); 4 is at 3.5 from {0, 1} (2/3 3.5^2 = 8.2)
    # and at 6 from {9, 11} (2/3 6^2 = 24)
    points = torch.tensor([[11.0], [1.0], [4.0], [9.0], [0.0]], dtype=torch.float64)
    found = ward_partitions(points, [5, 1, 3, 4, 2])
    assert {size: labels.tolist() for size, labels in found.items()} == {
        5: [0, 1, 2, 3, 4],
        4: [0, 1, 2, 3, 1],
        3: [0, 1, 2, 0, 1],
        2: [0, 1, 1, 0, 1],
        1: [0, 0, 0, 0, 0],
    }


def test_ward_is_not_single_linkage():
    # the gaps are 3, 2, 3: the singletons' nearest pair goes first, and what is left is nearer to
    # that pair (3) than to each other, but Ward merges by sums of squares
    points = torch.tensor([[0.0], [1.0], [2.5], [4.5]], dtype=torch.float64)
    # {0, 1} with 2.5: 2/3 * 2^2 = 8/3; 2.5 with 4.5: 1/2 * 2^2 = 2
    assert ward_partitions(points, [2])[2].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("scale", [2.0**900, 2.0**-900], ids=["huge", "tiny"])
@pytest.mark.parametrize("standardize", [False, True])
def test_a_power_of_two_changes_no_partition(scale, standardize):
    # Squares of such values overflow, or vanish.
    generator = torch.Generator().manual_seed(3)
    maps, gradients = torch.randn(2, 9, 4, 5, generator=generator, dtype=torch.float64)
    points = map_statistics(maps, gradients, standardize=standardize)
    scaled = map_statistics(maps * scale, gradients * scale, standardize=standardize)
    assert torch.equal(scaled, points * (1.0 if standardize else scale))
    plain, found = choose_partition(points, [2, 3, 4]), choose_partition(scaled, [2, 3, 4])
    assert torch.equal(found.labels, plain.labels)
    assert found.validity == plain.validity


def test_sizes_above_the_number_of_distinct_points_are_dropped():
    points = random_points(3)[[0, 1, 0, 2, 2, 1, 0]]
    found = ward_partitions(points, [2, 3, 4, 7])
    assert list(found) == [2, 3]
    assert found[3].tolist() == [0, 1, 0, 2, 2, 1, 0]
    assert ward_partitions(points, [4, 5]) == {}
    assert ward_partitions(points, []) == {}


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_points_that_are_all_the_same(value):
    found = ward_partitions(torch.full((5, 4), value, dtype=torch.float64), [1, 2, 5])
    assert {size: labels.tolist() for size, labels in found.items()} == {1: [0] * 5}


def test_one_point():
    assert ward_partitions(random_points(1), [1, 2])[1].tolist() == [0]
    assert list(ward_partitions(random_points(1), [1, 2])) == [1]


@pytest.mark.filterwarnings("error")
def test_four_channels_are_no_distance_matrix():
    # SciPy warns of square, symmetric, non-negative points with a zero diagonal: four dead maps
    # have such statistics
    points = map_statistics(torch.zeros(4, 2, 2), torch.zeros(4, 2, 2))
    assert ward_partitions(points, [1, 2])[1].tolist() == [0, 0, 0, 0]


def test_negative_zero_is_zero():
    points = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    found = ward_partitions(points, [2, 3])
    assert {size: labels.tolist() for size, labels in found.items()} == {2: [0, 0, 1]}


# The validity index


@pytest.mark.parametrize("seed", range(6))
def test_validity_is_the_reference_for_any_labels(seed):
    points = random_points(12, seed)
    generator = torch.Generator().manual_seed(seed)
    for size in (1, 2, 5, 12):
        labels = torch.arange(12) % size
        labels = labels[torch.randperm(12, generator=generator)]
        value = dispersion_separation(points, labels)
        assert value == pytest.approx(ref.dsra(points, labels), abs=1e-12)


def test_validity_by_hand():
    # {0, 2}: DIC 1, {6, 10}: DIC 4, {19}: DIC 0; centroids 1, 8, 19: SIC 49, 49, 121
    points = torch.tensor([[0.0], [6.0], [2.0], [10.0], [19.0]], dtype=torch.float64)
    value = dispersion_separation(points, torch.tensor([0, 1, 0, 1, 2]))
    assert value == pytest.approx((48 / 50 + 45 / 53 + 1) / 3, abs=1e-15)


def test_validity_of_collections_without_extent_or_distance():
    points = torch.tensor([[1.0], [1.0], [3.0], [-1.0]], dtype=torch.float64)
    # one collection: SIC is 0, so -1, and 0 where it has no extent either
    assert dispersion_separation(points, torch.tensor([0, 0, 0, 0])) == -1
    assert dispersion_separation(points[:2], torch.tensor([0, 0])) == 0
    # the same centroid twice: 0/0 for the one without extent, -1 for the other
    assert dispersion_separation(points[[0, 2, 3]], torch.tensor([0, 1, 1])) == -0.5
    assert dispersion_separation(points[:2], torch.tensor([0, 1])) == 0
    # singletons have no dispersion
    assert dispersion_separation(points[1:], torch.tensor([2, 1, 0])) == 1


# The choice


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("sizes", [[2, 3], [2, 3, 4, 5], [4], [1], [50, 3, 1, 2]], ids=str)
def test_choice_of_a_network_is_the_reference(name, standardize, sizes):
    points = map_statistics(*maps_and_gradients(name), standardize=standardize)
    size, validity = ref.choose(points, sizes)
    chosen = choose_partition(points, sizes)
    assert chosen.size == size
    assert list(chosen.validity) == list(validity)
    for tried, value in validity.items():
        assert chosen.validity[tried] == pytest.approx(value, abs=1e-12)
    assert chosen.labels.tolist() == ref.ward(points, [size])[size]


def test_ties_go_to_the_smallest_size():
    # the first two are so near that (1 - d) / (1 + d) is 1 to the last bit, as for singletons
    points = torch.tensor([[1.0], [1e-9], [2.0], [0.0]], dtype=torch.float64)
    for sizes in ([3, 4], [4, 3], [4, 2, 3, 3]):
        chosen = choose_partition(points, sizes)
        assert chosen.validity[3] == chosen.validity[4] == 1.0
        assert chosen.size == 3
        assert chosen.labels.tolist() == [0, 1, 2, 1]
    assert choose_partition(points, [4]).size == 4


def test_constant_maps():
    # values alone tell flat maps apart
    values = torch.tensor([5.0, 0.1, 5.0, 0.2, 9.0, 0.1], dtype=torch.float64)
    maps = values[:, None, None].expand(6, 2, 3)
    chosen = choose_partition(map_statistics(maps, torch.ones_like(maps)), [2, 3, 4, 5])
    assert list(chosen.validity) == [2, 3, 4]
    assert partition(ward_partitions(map_statistics(maps, maps), [3])[3]) == {
        frozenset({0, 2}),
        frozenset({1, 3, 5}),
        frozenset({4}),
    }
    # all the same in maps and gradients: only one collection is left
    same = torch.full((6, 2, 3), 0.3)
    for standardize in (False, True):
        points = map_statistics(same, same, standardize=standardize)
        assert choose_partition(points, [1, 2]).validity == {1: 0.0}


@pytest.mark.parametrize(
    ("points", "sizes", "text"),
    [
        (random_points(2)[[0, 1, 1]], [4, 3], "2 distinct feature maps can have, but got 3, 4."),
        (torch.zeros(3, 4), [2], "1 distinct feature maps can have, but got 2."),
        (torch.tensor([[0.0], [-0.0]]), [2], "1 distinct feature maps can have, but got 2."),
    ],
    ids=["copies", "zeros", "negative zero"],
)
def test_no_size_left(points, sizes, text):
    with pytest.raises(ValueError, match="partition_sizes") as raised:
        choose_partition(points, sizes)
    start = "Expected partition_sizes to hold a size that a layer with "
    assert str(raised.value) == start + text


def test_the_size_of_a_partition():
    assert Partition(torch.tensor([0, 2, 1, 2]), {}).size == 3


# Maps of collections


def expected_maps(maps, gradients, labels, final):
    """One channel, one pixel at a time."""
    maps, gradients = ref.array(maps), ref.array(gradients)
    out = np.zeros((max(labels) + 1, *maps.shape[1:]))
    for k, label in enumerate(labels):
        weight = sum(gradients[k].ravel()) / gradients[k].size
        for i, j in np.ndindex(maps.shape[1:]):
            if final:
                out[label, i, j] += weight * maps[k, i, j]
            elif gradients[k, i, j] > 0:
                out[label, i, j] += maps[k, i, j]
    return out


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_collection_maps_of_a_network(name, final, size):
    maps, gradients = maps_and_gradients(name)
    labels = torch.arange(len(maps)) % size
    found = collection_maps(maps, gradients, labels, final=final)
    np.testing.assert_allclose(
        found, expected_maps(maps, gradients, labels.tolist(), final), atol=1e-13
    )


def test_collection_maps_by_hand():
    maps = torch.tensor([[[1.0, 2.0]], [[3.0, -4.0]], [[10.0, 20.0]]])
    gradients = torch.tensor([[[0.0, 3.0]], [[2.0, 4.0]], [[1.0, -5.0]]])
    labels = torch.tensor([1, 1, 0])
    # no gradient is no positive gradient; the sum is not rectified here
    shallow = collection_maps(maps, gradients, labels, final=False)
    assert shallow.tolist() == [[[10.0, 0.0]], [[3.0, -2.0]]]
    # weights 3/2, 3 and -2
    final = collection_maps(maps, gradients, labels, final=True)
    assert final.tolist() == [[[-20.0, -40.0]], [[10.5, -9.0]]]


def test_collection_maps_of_one_collection_are_grad_cam():
    maps, gradients = maps_and_gradients("before the relu")
    found = collection_maps(maps, gradients, torch.zeros(len(maps), dtype=torch.long), final=True)
    np.testing.assert_allclose(
        found[0], (gradients.mean(dim=(1, 2))[:, None, None] * maps).sum(dim=0), atol=1e-13
    )


@pytest.mark.parametrize("final", [False, True])
def test_collections_add_up_whatever_the_partition(final):
    maps, gradients = maps_and_gradients("early")
    found = [
        collection_maps(maps, gradients, torch.arange(len(maps)) % size, final=final).sum(dim=0)
        for size in (1, 3, 8)
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-13)
    np.testing.assert_allclose(found[2], found[0], atol=1e-13)


# Any maps at all


@st.composite
def channels(draw):
    """Maps and gradients (C,h,w) with copies, constants and zeros among them."""
    c, seed = draw(st.integers(1, 10)), draw(st.integers(0, 10_000))
    scale = 10.0 ** draw(st.integers(-4, 4))
    maps = scale * nets.images(1, c, (2, 3), seed=seed)[0]
    gradients = nets.images(1, c, (2, 3), seed=seed + 1)[0]
    for k in range(c):
        kind = draw(st.sampled_from(["own", "own", "copy", "constant", "zero"]))
        other = draw(st.integers(0, c - 1))
        if kind == "copy":
            maps[k], gradients[k] = maps[other], gradients[other]
        elif kind == "constant":
            maps[k] = scale * draw(st.integers(-2, 2))
            gradients[k] = draw(st.integers(-2, 2)) / 10
        elif kind == "zero":
            maps[k] = gradients[k] = 0.0
    return maps, gradients


ANY = settings(max_examples=80, deadline=None, derandomize=True)


@pytest.mark.filterwarnings("error", "ignore:The symmetric non-negative hollow")
@ANY
@given(channels(), st.booleans())
def test_partitions_of_any_channels(drawn, standardize):
    points = map_statistics(*drawn, standardize=standardize)
    assert torch.isfinite(points).all()
    found = ward_partitions(points, range(1, len(points) + 2))
    assert list(found) == list(range(1, distinct(points) + 1))
    finer = None
    for size in reversed(found):
        labels = found[size].tolist()
        # numbered by their first channels, without gaps
        firsts = [labels.index(label) for label in range(size)]
        assert firsts == sorted(firsts)
        assert max(labels) == size - 1
        # copies share a collection, as no size is above the number of distinct vectors
        groups = {}
        for point, label in zip((points + 0.0).tolist(), labels, strict=True):
            groups.setdefault(tuple(point), set()).add(label)
        assert all(len(group) == 1 for group in groups.values())
        # one hierarchy: two collections of the finer partition became one
        coarser = partition(found[size])
        assert finer is None or len(coarser - finer) == 1
        finer = coarser
        value = dispersion_separation(points, found[size])
        assert value == pytest.approx(ref.dsra(points, labels), abs=1e-6)
        assert -1 <= value <= 1


@pytest.mark.filterwarnings("ignore:The symmetric non-negative hollow")
@ANY
@given(channels(), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_channels_does_not_matter(drawn, standardize, final, random):
    maps, gradients = drawn
    order = list(range(len(maps)))
    random.shuffle(order)
    # the same numbers in another order: the sums over channels that standardize round differently
    points = map_statistics(maps, gradients, standardize=standardize)
    sizes = range(1, distinct(points) + 1)
    plain = choose_partition(points, sizes)
    shuffled = choose_partition(points[order], sizes)
    found, moved = ward_partitions(points, sizes), ward_partitions(points[order], sizes)
    for size, labels in found.items():
        assert partition(moved[size]) == partition(labels[order])
        assert shuffled.validity[size] == pytest.approx(plain.validity[size], abs=1e-9)
    # and so for the maps, whose numbers follow their first channel
    size = min(3, max(sizes))
    one = collection_maps(maps, gradients, found[size], final=final)
    other = collection_maps(maps[order], gradients[order], moved[size], final=final)
    places = [int(moved[size][order.index(found[size].tolist().index(k))]) for k in range(size)]
    scale = float(maps.abs().max()) or 1.0
    np.testing.assert_allclose(other[places] / scale, one / scale, atol=1e-12)


@pytest.mark.filterwarnings("ignore:The symmetric non-negative hollow")
@ANY
@given(channels(), st.integers(1, 9))
def test_choice_of_any_channels_is_the_reference(drawn, largest):
    points = map_statistics(*drawn)
    sizes = range(1, largest + 1)
    expected, validity = ref.choose(points, sizes)
    chosen = choose_partition(points, sizes)
    assert list(chosen.validity) == list(validity)
    assert chosen.size in validity
    # in the hierarchy two increments may be equal but for rounding
    if partition(chosen.labels) == partition(torch.tensor(ref.ward(points, [expected])[expected])):
        assert chosen.validity[expected] == pytest.approx(validity[expected], abs=1e-6)
    else:
        assert chosen.validity[chosen.size] == pytest.approx(validity[expected], abs=1e-6)
