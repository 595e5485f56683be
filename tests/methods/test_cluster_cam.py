"""Cluster-CAM against the slow reference, numbers worked by hand, and the paper's identities."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from captum_cluster.attr import LayerClusterCam, LayerScoreCam
from captum_cluster.functional.attribution import MaskedScorer, select_each
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import CLUSTER_CAM, ClusterCamConfig, cluster_cam
from tests.helpers import nets
from tests.helpers import references as ref
from tests.helpers.method_cases import CASES, assert_close, case, maps_of, squared

OF_REFERENCE = ("beta", "combine", "normalize_masks", "score_function")


def check(name, *, baseline=None, n_clusters=3, **options):
    """Compare explanation and reference, given the clusters, for every image of a case."""
    options.setdefault("combine", "base_scissors")
    net, layer, images, targets = case(name)
    result = LayerClusterCam(net, layer).explain(
        images,
        [[target] for target in targets],
        baselines=baseline,
        n_clusters=n_clusters,
        **options,
    )
    maps = maps_of(net, layer, images)
    known = {key: options[key] for key in OF_REFERENCE if key in options}
    for n, target in enumerate(targets):
        b = baseline[n] if isinstance(baseline, torch.Tensor) else baseline
        labels = result.labels[n]
        expected = ref.cluster_cam(net, images[n], maps[n], labels, target, baseline=b, **known)
        k = len(expected["scores"])
        assert sorted(set(labels.tolist())) == list(range(k))
        assert_close(result.maps[n, 0], expected["map"])
        assert_close(result.cluster_maps[n, :k], expected["means"], rtol=1e-12)
        assert_close(result.scores[n, :k, 0], expected["scores"])
        assert result.scores[n, k:].isnan().all()
        assert int(result.base[n, 0]) == expected["base"]
        assert int(result.scissors[n, 0]) == (expected["scissors"] if k > 1 else -1)
        # the coefficients of the channels give the map, and those of a cluster its coefficient
        assert_close((result.weights[n, 0][:, None, None] * maps[n]).sum(dim=0), expected["map"])
        for q, weight in enumerate(expected["weights"]):
            assert_close(result.weights[n, 0][labels == q].sum(), weight)
    return result


# Against the reference


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("combine", ["base_scissors", "score"])
@pytest.mark.parametrize("clustering", ["kmeans", "spectral"])
def test_every_network(name, combine, clustering):
    check(name, combine=combine, clustering=clustering)


@pytest.mark.parametrize("n_clusters", [1, 2, 5, 12])
@pytest.mark.parametrize("clustering", ["kmeans", "spectral"])
def test_every_number_of_clusters(n_clusters, clustering):
    result = check("before the relu", n_clusters=n_clusters, clustering=clustering)
    assert result.scores.shape == (2, n_clusters, 1)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1, np.float64(0.8)])
def test_every_beta(beta):
    check("small", beta=beta)


@pytest.mark.parametrize("name", ["small", "dense", "one logit"])
@pytest.mark.parametrize("combine", ["base_scissors", "score"])
@pytest.mark.parametrize("score_function", ["logit", "probability", "sigmoid", squared])
def test_every_score_function(name, combine, score_function):
    check(name, combine=combine, score_function=score_function)


@pytest.mark.parametrize("name", ["small", "before the relu", "flat", "hand"])
@pytest.mark.parametrize("baseline", [None, 0.4])
def test_masks_to_the_letter(name, baseline):
    check(name, normalize_masks=False, baseline=baseline)


@pytest.mark.parametrize(
    "baseline", [-0.8, 2, nets.images(2, seed=6)], ids=["float", "int", "each"]
)
@pytest.mark.parametrize("combine", ["base_scissors", "score"])
def test_every_baseline(baseline, combine):
    check("before the relu", baseline=baseline, combine=combine)


CLUSTERINGS = [
    {"map_scale": "none"},
    {"n_init": 5},
    {"random_state": 11},
    {"clustering": "spectral", "map_scale": "none"},
    {"clustering": "spectral", "similarity": "ssim"},
    {"clustering": "spectral", "distance_scale": "none"},
    {"clustering": "spectral", "adjacency": "gaussian"},
    {"clustering": "spectral", "sigma": 0.3},
    {"clustering": "spectral", "adjacency": "gaussian", "sigma": 0.2},
    {"clustering": "spectral", "theta": 0.35},
    {"clustering": "spectral", "theta": 2.0},
    {"clustering": "spectral", "n_eigenvectors": 1},
    {"clustering": "spectral", "n_eigenvectors": 11},
    {"clustering": "spectral", "n_init": 5, "random_state": 2},
]


@pytest.mark.parametrize("options", CLUSTERINGS, ids=str)
def test_every_clustering_option(options):
    result = check("before the relu", **options)
    assert not result.maps.isnan().any()


def test_clustering_options_reach_the_clustering():
    net, layer, images, _ = case("before the relu")
    cam = LayerClusterCam(net, layer)

    def labels(**options):
        return cam.explain(images, [0], n_clusters=4, **options).labels.tolist()

    plain, spectral = labels(), labels(clustering="spectral")
    assert plain != spectral
    assert any(labels(random_state=seed) != plain for seed in range(1, 6))
    assert labels(map_scale="unit") != plain
    for options in (
        {"similarity": "ssim"},
        {"theta": 2.0},
        {"n_eigenvectors": 1},
        {"adjacency": "gaussian", "sigma": 0.2},
    ):
        assert labels(clustering="spectral", **options) != spectral
        # nothing of the sort matters to k-means
        assert labels(**options) == plain


def test_unit_scale_is_for_the_assignment_only():
    net, layer, images, _ = case("before the relu")
    result = LayerClusterCam(net, layer).explain(images, [0], n_clusters=4, map_scale="unit")
    for n, maps in enumerate(maps_of(net, layer, images)):
        unit = maps / maps.flatten(1).norm(dim=1)[:, None, None]
        assert ref.lloyd_step_is_fixed_point(unit, result.labels[n])
        assert_close(result.cluster_maps[n], ref.cluster_means(maps, result.labels[n]))


@pytest.mark.parametrize("n_clusters", [2, 4, 6])
def test_kmeans_is_a_lloyd_fixed_point(n_clusters):
    net = nets.SmallNet(channels=64).double().eval()
    images = nets.images(2, 3, 20)
    result = LayerClusterCam(net, net.relu2).explain(images, [0], n_clusters=n_clusters)
    for maps, labels in zip(maps_of(net, net.relu2, images), result.labels, strict=True):
        assert int(labels.max()) + 1 == n_clusters
        assert ref.lloyd_step_is_fixed_point(maps, labels)


# By hand


def explain_hand(targets=(0, 1), **options):
    net = nets.HandNet().double().eval()
    return LayerClusterCam(net, net.relu).explain(
        net.image(), list(targets), **{"n_clusters": 2, "combine": "base_scissors", **options}
    )


def hand_order(result):
    """The numbers of the two hand-worked clusters {0, 2} and {1, 3} in a result."""
    first, second = int(result.labels[0, 0]), int(result.labels[0, 1])
    assert result.labels[0].tolist() == [first, second, first, second]
    assert {first, second} == {0, 1}
    return [first, second]


def test_hand_worked_clusters_and_scores():
    result = explain_hand(score_function="logit")
    order = hand_order(result)
    assert_close(result.cluster_maps[0, order], nets.HAND_MEANS, rtol=1e-14)
    assert_close(result.scores[0, order], nets.HAND_CLUSTER_LOGITS, rtol=1e-13)


def test_hand_worked_probabilities():
    result = explain_hand()
    expected = [1 / (1 + math.exp(b - a)) for a, b in nets.HAND_CLUSTER_LOGITS]
    assert_close(result.scores[0, hand_order(result), 0], expected)


def test_hand_worked_map():
    result = explain_hand()
    first, second = hand_order(result)
    assert_close(result.maps[0, 0], nets.HAND_CLUSTER_CAM, rtol=1e-14)
    assert_close(result.maps[0, 1], -np.array(nets.HAND_CLUSTER_CAM), rtol=1e-14)
    assert result.base.tolist() == [[first, second]]
    assert result.scissors.tolist() == [[second, first]]
    assert_close(result.weights[0, 0], [0.25, -0.25, 0.25, -0.25])


def test_hand_worked_map_by_the_logit():
    # read as logits label 1 has the base that label 0 has
    result = explain_hand(score_function="logit")
    first, _ = hand_order(result)
    assert result.base.tolist() == [[first, first]]
    assert_close(result.maps[0, 1], nets.HAND_CLUSTER_CAM, rtol=1e-14)


@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0])
def test_hand_worked_map_of_another_beta(beta):
    first, second = np.array(nets.HAND_MEANS)
    assert_close(explain_hand(beta=beta).maps[0, 0], beta * first - (1 - beta) * second, rtol=1e-14)


def test_hand_worked_map_of_all_clusters():
    result = explain_hand(combine="score")
    first, second = np.array(nets.HAND_MEANS)
    for label in (0, 1):
        a, b = (math.exp(row[label]) for row in nets.HAND_CLUSTER_LOGITS)
        assert_close(result.maps[0, label], (a * first + b * second) / (a + b))


# Identities


@pytest.mark.parametrize("clustering", ["kmeans", "spectral"])
@pytest.mark.parametrize("score_function", [None, "probability"])
@pytest.mark.parametrize("name", ["small", "before the relu", "dense"])
def test_as_many_clusters_as_channels_is_score_cam(name, score_function, clustering):
    net, layer, images, targets = case(name)
    maps = maps_of(net, layer, images)
    channels = maps.shape[1]
    distinct = [len({tuple(a) for a in image.flatten(1).tolist()}) for image in maps]
    options = {"score_function": score_function}
    ours = LayerClusterCam(net, layer).explain(
        images,
        [[target] for target in targets],
        n_clusters=channels,
        combine="score",
        clustering=clustering,
        **options,
    )
    theirs = LayerScoreCam(net, layer).explain(images, [[target] for target in targets], **options)
    for n in range(len(images)):
        if distinct[n] == channels:
            assert_close(ours.maps[n], theirs.maps[n])
            assert_close(ours.weights[n], theirs.weights[n])
    assert channels in distinct


@pytest.mark.parametrize("clustering", ["kmeans", "spectral"])
@pytest.mark.parametrize("combine", ["base_scissors", "score"])
def test_the_order_of_channels_does_not_matter(clustering, combine):
    net, layer, images, targets = case("before the relu")
    maps = maps_of(net, layer, images)
    maps = torch.cat([maps, maps[:, [3, 3, 7]], torch.zeros_like(maps[:, :1])], dim=1)
    scorer = MaskedScorer(lambda b, _: net(b[0]), (images,), select_each(targets, images=2))
    config = ClusterCamConfig(n_clusters=5, clustering=clustering, combine=combine)
    plain = cluster_cam(maps, scorer, config)
    for seed in range(3):
        order = torch.randperm(16, generator=torch.Generator().manual_seed(seed))
        shuffled = cluster_cam(maps[:, order], scorer, config)
        assert torch.equal(shuffled.labels, plain.labels[:, order])
        assert_close(shuffled.maps, plain.maps)
        assert_close(shuffled.weights, plain.weights[..., order])


@pytest.mark.parametrize("clustering", ["kmeans", "spectral"])
def test_identical_maps_share_a_cluster(clustering):
    net, layer, images, targets = case("before the relu")
    maps = maps_of(net, layer, images)[:, [0, 1, 2, 3, 2, 1, 4, 5, 2, 0]]
    maps[:, 6] = 0.0
    scorer = MaskedScorer(lambda b, _: net(b[0]), (images,), select_each(targets, images=2))
    for n_clusters in range(1, 11):
        config = ClusterCamConfig(n_clusters=n_clusters, clustering=clustering)
        result = cluster_cam(maps, scorer, config)
        for labels in result.labels.tolist():
            assert labels[0] == labels[9]
            assert labels[1] == labels[5]
            assert labels[2] == labels[4] == labels[8]
            # maps 0, 1, 2, 3, 5 and the dead one, which takes part like any other
            assert len(set(labels)) == min(n_clusters, 6)
            if n_clusters >= 6:
                assert labels.count(labels[6]) == 1


@pytest.mark.parametrize("clustering", ["kmeans", "spectral"])
@pytest.mark.parametrize("combine", ["base_scissors", "score"])
def test_images_of_a_batch_may_differ_in_their_clusters(clustering, combine):
    net, layer, images, _ = case("before the relu")
    images = torch.cat([images, images[:1]])
    maps = maps_of(net, layer, images)
    maps[0] = maps[0, :1]
    maps[1, 2:] = maps[1, 1:2]
    config = ClusterCamConfig(n_clusters=4, clustering=clustering, combine=combine)
    scorer = MaskedScorer(lambda b, _: net(b[0]), (images,), select_each(2, images=3), config.reads)
    result = cluster_cam(maps, scorer, config)
    assert [len(set(labels)) for labels in result.labels.tolist()] == [1, 2, 4]
    assert (~result.scores[..., 0].isnan()).sum(dim=1).tolist() == [1, 2, 4]
    assert (result.render_masks(0, (8, 8))[1:] == 0).all()
    for n in range(3):
        expected = ref.cluster_cam(net, images[n], maps[n], result.labels[n], 2, combine=combine)
        assert_close(result.maps[n, 0], expected["map"])


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ["small", "hand", "dense"])
def test_a_single_cluster_is_beta_times_the_mean(name, beta):
    net, layer, images, targets = case(name)
    options = {"n_clusters": 1, "combine": "base_scissors", "beta": beta}
    result = LayerClusterCam(net, layer).explain(images, targets[:1], **options)
    assert_close(result.maps[:, 0], beta * maps_of(net, layer, images).mean(dim=1))
    assert (result.scissors == -1).all()


def test_flat_maps_share_one_pass():
    net, layer, images, _ = case("flat")
    with count_forwards(net) as count:
        result = LayerClusterCam(net, layer).explain(
            images, [1], n_clusters=3, combine="base_scissors", beta=0.75
        )
    assert count.images == 2 * (1 + 1)
    # all scores are those of the black image: ties go to the lowest cluster, base and scissors both
    assert (result.base == 0).all()
    assert (result.scissors == 0).all()
    assert_close(result.maps[:, 0], 0.5 * result.cluster_maps[:, 0])


class Steps(nn.Module):
    """Three maps of one pixel each; the score only asks how many pixels can be seen."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        x = self.layer(x)
        return torch.stack([(x > 0.5).sum((1, 2, 3)).to(x), torch.ones(len(x)).to(x)], dim=1)


def test_ties_go_to_the_lowest_cluster():
    net = Steps().eval()
    image = torch.ones(1, 3, 1, 4, dtype=torch.float64)
    maps = torch.zeros(1, 4, 1, 4, dtype=torch.float64)
    # two clusters show one pixel, two show two: lexicographic order numbers them
    maps[0, 0, 0, 3] = maps[0, 1, 0, 0] = 1.0
    maps[0, 2, 0, :2] = maps[0, 3, 0, 1:3] = 1.0
    scorer = MaskedScorer(lambda b, _: net(b[0]), (image,), select_each(0, images=1))
    result = cluster_cam(maps, scorer, ClusterCamConfig(n_clusters=4, combine="base_scissors"))
    assert result.labels.tolist() == [[0, 2, 3, 1]]
    assert result.scores[0, :, 0].tolist() == [3.0, 6.0, 3.0, 6.0]
    assert (result.base.item(), result.scissors.item()) == (1, 0)
    assert result.maps[0, 0].tolist() == [[0.0, 0.5, 0.5, -0.5]]


def test_several_targets_are_the_single_ones():
    net, layer, images, _ = case("small")
    cam = LayerClusterCam(net, layer)
    with count_forwards(net) as count:
        together = cam.explain(images, [3, 0, 4], n_clusters=4)
    assert count.images == 2 * (1 + 4)
    for t, target in enumerate([3, 0, 4]):
        alone = cam.explain(images, [target], n_clusters=4)
        assert_close(together.maps[:, t], alone.maps[:, 0], rtol=1e-12)
        assert_close(together.scores[..., t], alone.scores[..., 0], rtol=1e-12)
        assert torch.equal(together.labels, alone.labels)
        assert torch.equal(together.base[:, t], alone.base[:, 0])


@pytest.mark.parametrize("clustering", ["kmeans", "spectral"])
@pytest.mark.parametrize("combine", ["base_scissors", "score"])
def test_a_batch_is_its_images_one_by_one(clustering, combine):
    net, layer, images, targets = case("before the relu")
    cam = LayerClusterCam(net, layer)
    options = {"n_clusters": 4, "clustering": clustering, "combine": combine}
    whole = cam.explain(images, [[target] for target in targets], **options)
    for n, target in enumerate(targets):
        one = cam.explain(images[n : n + 1], [target], **options)
        assert torch.equal(whole.labels[n], one.labels[0])
        assert_close(whole.maps[n], one.maps[0], rtol=1e-12)


@pytest.mark.parametrize("n_clusters", [1, 2, 6, 12])
@pytest.mark.parametrize("clustering", ["kmeans", "spectral"])
@pytest.mark.parametrize("per_eval", [None, 1, 2])
def test_forwards_are_one_and_the_number_of_clusters(n_clusters, clustering, per_eval):
    net, layer, images, _ = case("before the relu")
    with count_forwards(net) as count:
        LayerClusterCam(net, layer).attribute_targets(
            images[:1],
            [0, 1],
            n_clusters=n_clusters,
            clustering=clustering,
            perturbations_per_eval=per_eval,
        )
    assert count.images == 1 + n_clusters


def test_result_shows_its_masks():
    net, layer, images, _ = case("small")
    result = LayerClusterCam(net, layer).explain(images, [0], n_clusters=4)
    assert result.method == "cluster-cam"
    for n in range(2):
        expected = ref.score_cam_masks(result.cluster_maps[n], (9, 12))
        assert_close(result.render_masks(n, (9, 12)), expected, atol=1e-10)


def test_float32_stays_float32():
    net = nets.SmallNet().eval()
    for combine in ("base_scissors", "score"):
        result = LayerClusterCam(net, net.relu2).explain(
            nets.images(1).float(), [0], n_clusters=3, combine=combine
        )
        assert result.maps.dtype == result.weights.dtype == torch.float32


# Options


def test_defaults():
    config = ClusterCamConfig()
    assert dataclasses.asdict(config) == {
        "n_clusters": 6,
        "clustering": "kmeans",
        "beta": 0.5,
        "combine": "score",
        "map_scale": "none",
        "normalize_masks": True,
        "n_init": 1,
        "score_function": None,
        "random_state": 0,
        "similarity": "euclidean",
        "distance_scale": "median",
        "adjacency": "similarity",
        "sigma": 1.0,
        "theta": 0.0,
        "n_eigenvectors": None,
    }
    assert config.reads == "logit"
    assert ClusterCamConfig(combine="base_scissors").reads == "probability"
    assert ClusterCamConfig(score_function="sigmoid").reads == "sigmoid"
    assert ClusterCamConfig(score_function=squared).reads is squared
    assert CLUSTER_CAM.id == "cluster-cam"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"n_clusters": 0},
            ValueError,
            "n_clusters to be an integer from 1 to the number of channels, but got 0.",
        ),
        (
            {"n_clusters": -2},
            ValueError,
            "n_clusters to be an integer from 1 to the number of channels, but got -2.",
        ),
        (
            {"n_clusters": True},
            TypeError,
            "n_clusters to be an integer from 1 to the number of channels, but got True.",
        ),
        (
            {"n_clusters": 3.0},
            TypeError,
            "n_clusters to be an integer from 1 to the number of channels, but got 3.0.",
        ),
        (
            {"clustering": "ward"},
            ValueError,
            "clustering to be one of 'kmeans', 'spectral', but got 'ward'.",
        ),
        (
            {"clustering": 1},
            TypeError,
            "clustering to be one of 'kmeans', 'spectral', but got 1.",
        ),
        ({"beta": -0.1}, ValueError, "beta to be a number from 0 to 1, but got -0.1."),
        ({"beta": 1.1}, ValueError, "beta to be a number from 0 to 1, but got 1.1."),
        ({"beta": math.nan}, ValueError, "beta to be a number from 0 to 1, but got nan."),
        ({"beta": math.inf}, ValueError, "beta to be a number from 0 to 1, but got inf."),
        ({"beta": "0.5"}, TypeError, "beta to be a number from 0 to 1, but got '0.5' (str)."),
        ({"beta": True}, TypeError, "beta to be a number from 0 to 1, but got True."),
        (
            {"combine": "mean"},
            ValueError,
            "combine to be one of 'base_scissors', 'score', but got 'mean'.",
        ),
        ({"map_scale": "max"}, ValueError, "map_scale to be one of 'unit', 'none', but got 'max'."),
        ({"normalize_masks": 1}, TypeError, "normalize_masks to be True or False, but got 1."),
        ({"n_init": 0}, ValueError, "n_init to be an integer of at least 1, but got 0."),
        (
            {"n_init": "auto"},
            TypeError,
            "n_init to be an integer of at least 1, but got 'auto' (str).",
        ),
        (
            {"score_function": "softmax"},
            ValueError,
            "score_function to be one of 'logit', 'probability', 'sigmoid', but got 'softmax'.",
        ),
        (
            {"random_state": -1},
            ValueError,
            "random_state to be an integer from 0 to 4294967295, but got -1.",
        ),
        (
            {"similarity": "cosine"},
            ValueError,
            "similarity to be one of 'euclidean', 'ssim', but got 'cosine'.",
        ),
        (
            {"distance_scale": "mean"},
            ValueError,
            "distance_scale to be one of 'median', 'none', but got 'mean'.",
        ),
        (
            {"adjacency": "knn"},
            ValueError,
            "adjacency to be one of 'similarity', 'gaussian', but got 'knn'.",
        ),
        ({"sigma": 0.0}, ValueError, "sigma to be a number above 0, but got 0."),
        ({"sigma": -1}, ValueError, "sigma to be a number above 0, but got -1."),
        ({"theta": math.nan}, ValueError, "theta to be a finite number, but got nan."),
        (
            {"n_eigenvectors": 0},
            ValueError,
            "n_eigenvectors to be an integer of at least 1, but got 0.",
        ),
        (
            {"k": 3},
            TypeError,
            "the options of cluster-cam to be among n_clusters, clustering, beta, combine, "
            "map_scale, normalize_masks, n_init, score_function, random_state, similarity, "
            "distance_scale, adjacency, sigma, theta, n_eigenvectors, but got 'k'.",
        ),
    ],
    ids=str,
)
def test_wrong_options(options, error, text):
    with pytest.raises(error) as raised:
        CLUSTER_CAM.configure(options)
    assert str(raised.value) == f"Expected {text}"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"n_clusters": 13},
            "Expected n_clusters to be an integer from 1 to the number of channels (12), "
            "but got 13.",
        ),
        (
            {"n_clusters": 3, "n_eigenvectors": 12, "clustering": "spectral"},
            "Expected n_eigenvectors to be an integer from 1 to the number of channels less one "
            "(11), but got 12.",
        ),
    ],
)
def test_options_above_the_number_of_channels(options, text):
    net, layer, images, _ = case("small")
    with pytest.raises(ValueError, match="the number of channels") as raised:
        LayerClusterCam(net, layer).attribute(images, 0, **options)
    assert str(raised.value) == text


@pytest.mark.parametrize("three", [np.int64(3), np.uint8(3)], ids=repr)
@pytest.mark.parametrize("clustering", ["kmeans", "spectral"])
def test_integers_of_other_kinds(three, clustering):
    net, layer, images, _ = case("before the relu")
    cam = LayerClusterCam(net, layer)
    names = ("n_clusters", "n_init", "random_state", "n_eigenvectors")
    plain = cam.attribute(images, 0, clustering=clustering, **dict.fromkeys(names, 3))
    same = cam.attribute(images, 0, clustering=clustering, **dict.fromkeys(names, three))
    assert torch.equal(same, plain)


def test_a_seed_that_no_library_takes():
    # scikit-learn's seeds end at 2^32 - 1
    assert ClusterCamConfig(random_state=2**32 - 1).random_state == 2**32 - 1
    with pytest.raises(ValueError, match=r"^Expected random_state to be an integer from 0 to"):
        ClusterCamConfig(random_state=2**32)


def test_a_layer_of_one_channel():
    net = nets.SmallNet(channels=1).double().eval()
    images = nets.images(1)
    for clustering in ("kmeans", "spectral"):
        result = LayerClusterCam(net, net.conv2).explain(
            images, [0], n_clusters=1, clustering=clustering
        )
        # its one cluster has all the weight
        assert_close(result.maps[0, 0], maps_of(net, net.conv2, images)[0, 0])


def test_scores_that_are_not_finite():
    net = nets.NaNNet().double().eval()
    with pytest.raises(ValueError, match="the model's scores to be finite"):
        LayerClusterCam(net, net.relu).attribute(nets.images(1), 0, n_clusters=2)
