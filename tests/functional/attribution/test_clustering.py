"""Clusters: k-means is a fixed point, the graph is the equations', and nothing else matters."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.attribution.clustering import (
    cluster_means,
    kmeans_labels,
    spectral_embedding,
    spectral_labels,
)
from tests.helpers import nets
from tests.helpers import references as ref

LABELS = {"kmeans": kmeans_labels, "spectral": spectral_labels}
BOTH = pytest.mark.parametrize("labels_of", LABELS.values(), ids=LABELS.keys())


def random_maps(c, size=3, seed=0):
    return nets.images(1, c, size, seed=seed)[0]


def blobs(groups, members, seed=0):
    """Maps around ``groups`` far centres, shuffled, and the group of each."""
    generator = torch.Generator().manual_seed(seed)
    centres = 10 * torch.randn(groups, 3, 3, generator=generator, dtype=torch.float64)
    truth = torch.arange(groups).repeat_interleave(members)
    truth = truth[torch.randperm(len(truth), generator=generator)]
    noise = 0.1 * torch.randn(len(truth), 3, 3, generator=generator, dtype=torch.float64)
    return centres[truth] + noise, truth


def partition(labels):
    """The clusters as a set of sets of channels, whatever their numbers."""
    groups = {}
    for channel, label in enumerate(labels.tolist()):
        groups.setdefault(label, set()).add(channel)
    return {frozenset(group) for group in groups.values()}


def distinct(maps):
    return len({tuple(row) for row in (maps.flatten(1) + 0.0).tolist()})


def check_labels(labels, maps, n_clusters):
    """What holds of any clustering."""
    assert labels.dtype == torch.int64
    assert labels.shape == (len(maps),)
    # numbered without gaps
    assert sorted(set(labels.tolist())) == list(range(int(labels.max()) + 1))
    assert int(labels.max()) + 1 <= min(n_clusters, distinct(maps))
    for i in range(len(maps)):
        for j in range(i):
            if torch.equal(maps[i], maps[j]):
                assert labels[i] == labels[j]


# What both find


@BOTH
@pytest.mark.parametrize("seed", range(3))
def test_far_groups_are_found(labels_of, seed):
    maps, truth = blobs(4, 6, seed)
    labels = labels_of(maps, 4, n_init=5)
    check_labels(labels, maps, 4)
    assert partition(labels) == partition(truth)


@BOTH
@pytest.mark.parametrize("n_clusters", [1, 2, 5, 11, 12])
def test_as_many_clusters_as_wanted(labels_of, n_clusters):
    maps = random_maps(12)
    labels = labels_of(maps, n_clusters)
    check_labels(labels, maps, n_clusters)
    assert int(labels.max()) + 1 == n_clusters


@BOTH
def test_as_many_clusters_as_distinct_maps(labels_of):
    maps = random_maps(3)[[0, 1, 0, 2, 2, 1, 0]]
    assert partition(labels_of(maps, 5)) == {
        frozenset({0, 2, 6}),
        frozenset({1, 5}),
        frozenset({3, 4}),
    }


@BOTH
def test_clusters_of_few_distinct_maps_are_numbered_in_lexicographic_order(labels_of):
    maps = torch.tensor([[[2.0, 1.0]], [[-1.0, 5.0]], [[2.0, 0.0]], [[-1.0, 5.0]]])
    assert labels_of(maps, 3).tolist() == [2, 0, 1, 0]


@BOTH
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_maps_that_are_all_the_same(labels_of, value):
    assert labels_of(torch.full((5, 2, 2), value), 3).tolist() == [0] * 5


@BOTH
def test_one_map(labels_of):
    assert labels_of(random_maps(1), 1).tolist() == [0]


@BOTH
def test_negative_zero_is_zero(labels_of):
    maps = torch.zeros(2, 2, 2)
    maps[1] = -0.0
    assert labels_of(maps, 2).tolist() == [0, 0]


@BOTH
def test_the_order_of_channels_does_not_matter(labels_of):
    maps = torch.cat([random_maps(20), random_maps(20)[:7]])
    for seed in range(3):
        order = torch.randperm(27, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(labels_of(maps[order], 5), labels_of(maps, 5)[order])


@BOTH
def test_seeded_and_without_the_global_state(labels_of):
    maps, torch_state = random_maps(30), torch.get_rng_state()
    numpy_state = np.random.get_state()
    labels = labels_of(maps, 6, random_state=3)
    assert torch.equal(labels_of(maps, 6, random_state=3), labels)
    assert any(not torch.equal(labels_of(maps, 6, random_state=s), labels) for s in range(6))
    assert torch.equal(torch.get_rng_state(), torch_state)
    after = np.random.get_state()
    for now, before in zip(after, numpy_state, strict=True):
        np.testing.assert_array_equal(now, before)


@BOTH
def test_maps_are_left_alone(labels_of):
    maps = random_maps(8).requires_grad_()
    before = maps.detach().clone()
    labels = labels_of(maps, 3, map_scale="unit")
    assert torch.equal(maps, before)
    assert not labels.requires_grad


@BOTH
def test_unit_scale_lets_shape_count_and_not_strength(labels_of):
    shapes = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]])
    # powers of two, so that the scaled maps are the same to the last bit
    maps = torch.cat([2.0**k * shapes for k in (0, 3, 10)])
    assert partition(labels_of(maps, 2, map_scale="unit")) == {
        frozenset({0, 2, 4}),
        frozenset({1, 3, 5}),
    }
    assert partition(labels_of(maps, 2)) != partition(labels_of(maps, 2, map_scale="unit"))


@BOTH
def test_unit_scale_is_the_division_by_the_norm(labels_of):
    maps = random_maps(15)
    maps[4] = 0.0
    norms = torch.tensor([float((a**2).sum()) ** 0.5 or 1.0 for a in maps], dtype=torch.float64)
    by_hand = labels_of(maps / norms[:, None, None], 4)
    assert partition(labels_of(maps, 4, map_scale="unit")) == partition(by_hand)


@BOTH
def test_unit_scale_keeps_a_zero_map(labels_of):
    maps = torch.cat([random_maps(2), torch.zeros(1, 3, 3)])
    assert sorted(labels_of(maps, 3, map_scale="unit").tolist()) == [0, 1, 2]


# k-means


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("n_clusters", [2, 6])
def test_kmeans_is_a_lloyd_fixed_point(n_clusters, seed):
    maps = torch.cat([random_maps(60, 4, seed), random_maps(60, 4, seed)[:20].relu()])
    labels = kmeans_labels(maps, n_clusters, random_state=seed)
    check_labels(labels, maps, n_clusters)
    assert ref.lloyd_step_is_fixed_point(maps, labels)


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_kmeans_is_a_lloyd_fixed_point_of_many_maps(seed):
    # many points without groups: where stopping before the last step shows
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(1500, 1, 2, generator=generator, dtype=torch.float64)
    labels = kmeans_labels(maps, 6, random_state=seed)
    assert ref.lloyd_step_is_fixed_point(maps, labels)


def test_copies_of_a_map_weigh_as_much():
    # {0, 1} | {2.2} is best for one copy of 0, {0} | {1, 2.2} for twenty
    values = torch.tensor([0.0] * 20 + [1.0, 2.2]).reshape(-1, 1, 1)
    labels = kmeans_labels(values, 2, n_init=10)
    assert partition(labels) == {frozenset(range(20)), frozenset({20, 21})}
    assert partition(kmeans_labels(values[19:], 2, n_init=10)) == {
        frozenset({0, 1}),
        frozenset({2}),
    }


def test_more_runs_are_not_worse():
    maps = random_maps(60)
    one = [ref.inertia(maps, kmeans_labels(maps, 8, random_state=s)) for s in range(5)]
    many = [ref.inertia(maps, kmeans_labels(maps, 8, n_init=10, random_state=s)) for s in range(5)]
    assert sum(many) < sum(one)
    assert max(many) <= min(one) * 1.05


def test_kmeans_of_two_clusters_by_hand():
    maps = torch.tensor(nets.HAND_MAPS)
    for seed in range(5):
        labels = kmeans_labels(maps, 2, random_state=seed)
        assert partition(labels) == partition(torch.tensor(nets.HAND_CLUSTERS))


# Spectral clustering

GRAPHS = [
    {},
    {"distance_scale": "none"},
    {"similarity": "ssim"},
    {"adjacency": "gaussian"},
    {"adjacency": "gaussian", "similarity": "ssim", "theta": 0.1},
    {"sigma": 0.3},
    {"adjacency": "gaussian", "sigma": 2.0},
    {"theta": 0.3},
    {"theta": 0.45, "distance_scale": "median", "sigma": 0.5},
    {"similarity": "ssim", "theta": -1.0},
]


def row_distances(rows):
    return ((rows[:, None] - rows[None]) ** 2).sum(axis=2) ** 0.5


@pytest.mark.parametrize("options", GRAPHS, ids=str)
@pytest.mark.parametrize("m", [1, 3, 8])
def test_embedding_consists_of_the_right_eigenvectors(options, m):
    maps = random_maps(9)
    rows = spectral_embedding(maps.flatten(1).numpy(), n_eigenvectors=m, **options)
    assert rows.shape == (9, m)
    graph = ref.spectral_graph(maps, **options)
    values = np.linalg.eigvalsh(graph["laplacian"])[1 : m + 1]
    isolated = graph["degrees"] == 0
    assert (rows[isolated] == 0).all()
    if not isolated.any():
        for u, value in zip(rows.T, values, strict=True):
            np.testing.assert_allclose(graph["laplacian"] @ u, value * u, atol=1e-10)
        np.testing.assert_allclose(rows.T @ rows, np.eye(m), atol=1e-10)


@pytest.mark.parametrize("options", GRAPHS, ids=str)
def test_embedding_has_the_distances_of_the_reference(options):
    maps = random_maps(9, seed=1)
    graph = ref.spectral_graph(maps, **options)
    values = np.linalg.eigvalsh(graph["laplacian"])
    # where the next eigenvalue is another one, the distances between rows are unique
    m = next(m for m in range(3, 9) if m == 8 or values[m + 1] - values[m] > 1e-6)
    rows = spectral_embedding(maps.flatten(1).numpy(), n_eigenvectors=m, **options)
    expected = ref.spectral_embedding(maps, n_eigenvectors=m, **options)
    if values[1] - values[0] > 1e-6:
        np.testing.assert_allclose(row_distances(rows), row_distances(expected), atol=1e-8)


def test_the_graphs_above_have_isolated_vertices_too():
    maps = random_maps(9, seed=1)
    assert (ref.spectral_graph(maps, theta=0.45)["degrees"] == 0).any()
    assert (ref.spectral_graph(maps, theta=0.3)["degrees"] > 0).any()


@pytest.mark.parametrize("similarity", ["euclidean", "ssim"])
@pytest.mark.parametrize("adjacency", ["similarity", "gaussian"])
def test_an_isolated_map_has_an_embedding_of_zeros(similarity, adjacency):
    maps = random_maps(7)
    maps[3] = -1000 * maps[0]
    options = {"similarity": similarity, "adjacency": adjacency, "theta": 0.05}
    graph = ref.spectral_graph(maps, **options)
    assert graph["degrees"][3] == 0
    rows = spectral_embedding(maps.flatten(1).numpy(), n_eigenvectors=4, **options)
    assert (rows[3] == 0).all()
    assert np.isfinite(rows).all()
    check_labels(spectral_labels(maps, 3, **options), maps, 3)


@pytest.mark.parametrize("maps", [random_maps(6), torch.ones(6, 2, 2)], ids=["random", "equal"])
def test_nothing_but_isolated_maps(maps):
    rows = spectral_embedding(maps.flatten(1).numpy(), n_eigenvectors=3, theta=2.0)
    assert (rows == 0).all()
    assert spectral_labels(maps, 3, theta=2.0).tolist() == [0] * 6


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sigma", [1e-3, 1e-8])
@pytest.mark.parametrize("adjacency", ["similarity", "gaussian"])
def test_a_narrow_adjacency_isolates_without_nan(adjacency, sigma):
    maps = random_maps(6)
    options = {"sigma": sigma, "adjacency": adjacency}
    rows = spectral_embedding(maps.flatten(1).numpy(), n_eigenvectors=3, **options)
    assert np.isfinite(rows).all()
    check_labels(spectral_labels(maps, 3, **options), maps, 3)


def test_a_median_distance_of_zero():
    # 7 of 8 maps are the same: the median of all distances is 0, that of the positive ones is not
    maps = torch.zeros(8, 1, 2, dtype=torch.float64)
    maps[5, 0, 0] = 4.0
    rows = spectral_embedding(maps.flatten(1).numpy(), n_eigenvectors=1)
    expected = ref.spectral_embedding(maps, n_eigenvectors=1)
    np.testing.assert_allclose(row_distances(rows), row_distances(expected), atol=1e-10)
    assert partition(spectral_labels(maps, 2)) == {frozenset({5}), frozenset({0, 1, 2, 3, 4, 6, 7})}


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_median_takes_the_scale_away(scale):
    maps = random_maps(10)
    assert torch.equal(spectral_labels(scale * maps, 3), spectral_labels(maps, 3))


@pytest.mark.parametrize("options", GRAPHS[:6], ids=str)
def test_spectral_labels_are_kmeans_on_the_embedding(options):
    maps, _ = blobs(3, 5)
    labels = spectral_labels(maps, 3, n_init=5, **options)
    order = sorted(range(len(maps)), key=lambda c: maps[c].flatten().tolist())
    rows = spectral_embedding(maps[order].flatten(1).numpy(), n_eigenvectors=3, **options)
    assert ref.lloyd_step_is_fixed_point(rows, labels[order])


def test_the_number_of_eigenvectors():
    maps = random_maps(14)
    by_default = spectral_labels(maps, 4)
    assert torch.equal(spectral_labels(maps, 4, n_eigenvectors=4), by_default)
    assert any(
        partition(spectral_labels(maps, 4, n_eigenvectors=m)) != partition(by_default)
        for m in (1, 2, 13)
    )
    # more than there are: all of them
    everything = spectral_labels(maps, 4, n_eigenvectors=13)
    assert torch.equal(spectral_labels(maps, 4, n_eigenvectors=50), everything)


# Means


def test_cluster_means():
    maps = torch.stack([random_maps(7), random_maps(7, seed=1)])
    labels = torch.tensor([[0, 2, 1, 1, 0, 2, 2], [1, 1, 1, 0, 0, 1, 1]])
    means = cluster_means(maps, labels, 3)
    assert means.shape == (2, 3, 3, 3)
    np.testing.assert_allclose(means[0], ref.cluster_means(maps[0], labels[0]), atol=1e-15)
    np.testing.assert_allclose(means[1, :2], ref.cluster_means(maps[1], labels[1]), atol=1e-15)
    # a cluster without members
    assert (means[1, 2] == 0).all()


def test_cluster_means_by_hand():
    maps = torch.tensor([nets.HAND_MAPS])
    means = cluster_means(maps, torch.tensor([nets.HAND_CLUSTERS]), 2)
    assert means[0].tolist() == nets.HAND_MEANS


# Any maps at all


@st.composite
def map_stacks(draw):
    """Maps (C,h,w) of any scale, with copies, constants, zeros and near-copies among them."""
    c = draw(st.integers(1, 12))
    scale = 10.0 ** draw(st.integers(-6, 6))
    maps = scale * random_maps(c, (2, 3), seed=draw(st.integers(0, 10_000)))
    for k in range(c):
        kind = draw(st.sampled_from(["own", "own", "copy", "constant", "zero", "near"]))
        other = draw(st.integers(0, c - 1))
        if kind == "copy":
            maps[k] = maps[other]
        elif kind == "constant":
            maps[k] = scale * draw(st.integers(-2, 2))
        elif kind == "zero":
            maps[k] = 0.0
        elif kind == "near":
            maps[k] = maps[other] * (1 + 1e-9)
    return maps


ANY_MAPS = settings(max_examples=60, deadline=None, derandomize=True)
# scikit-learn warns where maps that differ in their last bits end up as one
NO_WARNING = pytest.mark.filterwarnings("error", "ignore:Number of distinct clusters")


@NO_WARNING
@ANY_MAPS
@given(map_stacks(), st.integers(1, 15), st.sampled_from(["none", "unit"]), st.integers(0, 99))
def test_kmeans_of_any_maps(maps, n_clusters, map_scale, seed):
    options = {"map_scale": map_scale, "random_state": seed}
    labels = kmeans_labels(maps, n_clusters, **options)
    check_labels(labels, maps, n_clusters)
    if map_scale == "none":
        assert ref.lloyd_step_is_fixed_point(maps, labels, tol=1e-9)
        if distinct(maps) <= n_clusters:
            assert int(labels.max()) + 1 == distinct(maps)
    order = torch.randperm(len(maps), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(kmeans_labels(maps[order], n_clusters, **options), labels[order])


@NO_WARNING
@ANY_MAPS
@given(
    map_stacks(),
    st.integers(1, 15),
    st.sampled_from(GRAPHS),
    st.sampled_from(["none", "unit"]),
    st.integers(0, 99),
)
def test_spectral_clustering_of_any_maps(maps, n_clusters, graph, map_scale, seed):
    options = {**graph, "map_scale": map_scale, "random_state": seed}
    labels = spectral_labels(maps, n_clusters, **options)
    check_labels(labels, maps, n_clusters)
    if map_scale == "none" and distinct(maps) <= n_clusters:
        assert int(labels.max()) + 1 == distinct(maps)
    order = torch.randperm(len(maps), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(spectral_labels(maps[order], n_clusters, **options), labels[order])


@NO_WARNING
@ANY_MAPS
@given(map_stacks(), st.integers(1, 6))
def test_doubling_every_map_changes_nothing(maps, n_clusters):
    twice = torch.cat([maps, maps])
    labels = kmeans_labels(twice, n_clusters)
    assert torch.equal(labels[: len(maps)], labels[len(maps) :])
    # powers of two are exact: the same clusters at 1000 times the scale and at 1/1000
    for scale in (2.0**10, 2.0**-10):
        scaled = kmeans_labels(scale * maps, n_clusters)
        assert torch.equal(scaled, kmeans_labels(maps, n_clusters))


@BOTH
@ANY_MAPS
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.integers(0, 9), st.randoms())
def test_more_clusters_than_distinct_maps(labels_of, kinds, more, random):
    # copies of at most seven maps, the constant ones 0, 1 and -1 among them
    originals = torch.cat(
        [random_maps(4), torch.arange(-1.0, 2).double()[:, None, None].expand(3, 3, 3)]
    )
    maps = originals[torch.tensor(kinds) + 3]
    labels = labels_of(maps, len(set(kinds)) + more)
    # a cluster for each distinct map, numbered in lexicographic order of the maps
    rows = [tuple(row) for row in maps.flatten(1).tolist()]
    numbers = {row: number for number, row in enumerate(sorted(set(rows)))}
    assert labels.tolist() == [numbers[row] for row in rows]
    order = list(range(len(kinds)))
    random.shuffle(order)
    assert torch.equal(labels_of(maps[order], len(set(kinds)) + more), labels[order])


@NO_WARNING
@BOTH
@ANY_MAPS
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=12), st.integers(1, 6))
def test_constant_maps_are_clustered_by_their_value(labels_of, values, n_clusters):
    maps = torch.tensor(values).double()[:, None, None].expand(-1, 2, 2)
    labels = labels_of(maps, n_clusters)
    check_labels(labels, maps, n_clusters)
    # exact, as the distances of 2x2 maps are those of the numbers times 2
    assert partition(labels) == partition(labels_of(maps[:, :1, :1], n_clusters))
    if labels_of is kmeans_labels:
        # the nearest mean on a line: each cluster is an interval
        runs = [label for _, label in sorted(zip(values, labels.tolist(), strict=True))]
        changes = sum(one != other for one, other in itertools.pairwise(runs))
        assert changes == int(labels.max())


@BOTH
@ANY_MAPS
@given(map_stacks(), st.integers(1, 6), st.integers(2, 4), st.randoms())
def test_copies_follow_their_map(labels_of, maps, n_clusters, times, random):
    # every channel several times, in any order
    places = list(range(len(maps))) * times
    random.shuffle(places)
    labels = labels_of(maps[places], n_clusters)
    check_labels(labels, maps[places], n_clusters)
    groups = [set(labels[[k for k, p in enumerate(places) if p == place]].tolist())
              for place in range(len(maps))]  # fmt: skip
    assert all(len(group) == 1 for group in groups)


@pytest.mark.parametrize("similarity", ["euclidean", "ssim"])
@ANY_MAPS
@given(map_stacks())
def test_embedding_of_any_maps_is_finite(similarity, maps):
    if len(maps) < 2:
        return
    rows = spectral_embedding(
        maps.flatten(1).numpy(), n_eigenvectors=len(maps) - 1, similarity=similarity
    )
    assert np.isfinite(rows).all()
    isolated = ref.spectral_graph(maps, similarity=similarity)["degrees"] == 0
    assert (rows[isolated] == 0).all()
