"""The references and the toy networks, against numbers from paper and against other libraries."""

import math
import random

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import laplacian
from sklearn.cluster import KMeans
from torch import nn
from torch.nn.functional import interpolate

from tests.helpers import nets
from tests.helpers import references as ref


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


class Sums(nn.Module):
    """Two labels with the sums of the left and of the right half of a one-channel image."""

    def forward(self, x):
        half = x.shape[-1] // 2
        return torch.stack([x[..., :half].sum((1, 2, 3)), x[..., half:].sum((1, 2, 3))], dim=1)


@pytest.fixture
def hand():
    net = nets.HandNet().double().eval()
    return net, net.image()[0], nets.HAND_MAPS


# Maps and masks


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("shape", "size"),
    [((2, 2), (4, 4)), ((3, 5), (8, 11)), ((7, 4), (7, 9)), ((1, 3), (5, 5)), ((5, 6), (3, 1))],
)
def test_up_is_bilinear_interpolation(shape, size, align_corners):
    a = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = interpolate(a[None, None], size=size, mode="bilinear", align_corners=align_corners)[
        0, 0
    ]
    np.testing.assert_allclose(ref.up(a, size, align_corners), expected.numpy(), atol=1e-14)


def test_up_by_hand():
    # centres of the 4 output pixels at 1/4, 3/4, 5/4, 7/4, of the 2 input pixels at 1/2, 3/2
    expected = [[8, 7, 5, 4], [6, 5.375, 4.125, 3.5], [2, 2.125, 2.375, 2.5], [0, 0.5, 1.5, 2]]
    np.testing.assert_array_equal(ref.up([[8, 4], [0, 2]], (4, 4)), expected)
    np.testing.assert_array_equal(
        ref.up([[8, 4], [0, 2]], (3, 3), align_corners=True), [[8, 6, 4], [4, 3.5, 3], [0, 1, 2]]
    )


def test_up_leaves_a_flat_map_exactly_flat():
    assert (ref.up(np.full((3, 2), 0.1), (13, 17)) == 0.1).all()


def test_minmax():
    np.testing.assert_array_equal(ref.minmax([[-2, 0], [2, 6]]), [[0, 0.25], [0.5, 1]])
    np.testing.assert_array_equal(ref.minmax([[3, 3]]), [[0, 0]])


def test_softmax_is_torchs():
    values = [0.3, -700.0, 710.0, 709.0]
    expected = torch.tensor(values, dtype=torch.float64).softmax(0)
    np.testing.assert_allclose(ref.softmax(values), expected.numpy(), rtol=1e-14)


# Scores


def test_read_on_several_labels():
    outputs = torch.tensor([1.0, -2.0, 30.0], dtype=torch.float64)
    for name, expected in [
        ("logit", outputs),
        ("probability", outputs.softmax(0)),
        ("sigmoid", outputs.sigmoid()),
        (lambda batch: batch.softmax(1) ** 2, outputs.softmax(0) ** 2),
    ]:
        torch.testing.assert_close(ref.read(outputs, name), expected, rtol=1e-14, atol=0)


def test_read_softmax_runs_over_the_labels_of_a_dense_output():
    outputs = nets.images(1, 3, (4, 5))[0]
    torch.testing.assert_close(ref.read(outputs, "probability"), outputs.softmax(0))


@pytest.mark.parametrize("shape", [(), (1,), (1, 2, 2)])
def test_read_probability_of_a_single_label_is_the_sigmoid(shape):
    outputs = torch.full(shape, -1.5, dtype=torch.float64)
    torch.testing.assert_close(ref.read(outputs, "probability"), outputs.sigmoid())


def test_read_refuses_other_names():
    with pytest.raises(ValueError, match="softmax"):
        ref.read(torch.zeros(2), "softmax")


def test_select():
    values = nets.images(1, 3, (4, 5))[0]
    assert ref.select(values, (2, 1, 4)) == float(values[2, 1, 4])
    assert ref.select(values[:, 0, 0], torch.tensor(1)) == float(values[1, 0, 0])
    assert ref.select(values[0, 0, :1], None) == float(values[0, 0, 0])
    assert ref.select(values[0, 0], lambda v: v.max()) == float(values[0, 0].max())


def test_masked_image():
    x = torch.tensor([[[2.0, 4.0]], [[6.0, 8.0]]])
    masked = ref.masked_image(x, [[0.5, 1.0]])
    torch.testing.assert_close(masked, torch.tensor([[[1.0, 4.0]], [[3.0, 8.0]]]))
    baseline = torch.tensor([[[10.0, 10.0]], [[20.0, 20.0]]])
    masked = ref.masked_image(x, [[0.5, 0.0]], baseline)
    torch.testing.assert_close(masked, torch.tensor([[[6.0, 10.0]], [[13.0, 20.0]]]))
    torch.testing.assert_close(ref.masked_image(x, [[0.0, 1.0]], 3.0)[0], torch.tensor([[3.0, 4]]))


def test_masked_score_is_one_pass_without_gradients():
    seen = []

    def model(batch):
        seen.append((tuple(batch.shape), torch.is_grad_enabled()))
        return batch.sum((2, 3))

    x = torch.ones(3, 2, 2, dtype=torch.float64)
    assert ref.masked_score(model, x, [[1, 0.5], [0, 0]], 1, "logit") == 1.5
    assert seen == [((1, 3, 2, 2), False)]


@pytest.mark.parametrize("net", [nets.OneLogitNet(), nets.ScalarNet()])
def test_masked_score_without_a_target(net):
    net = net.double().eval()
    x = nets.images(1)[0]
    with torch.no_grad():
        logit = float(net(x[None]))
    ones = np.ones((8, 8))
    assert ref.masked_score(net, x, ones, None, "logit") == logit
    assert ref.masked_score(net, x, ones, None, "probability") == pytest.approx(sigmoid(logit))


# HandNet: the numbers are derived in the docstring of nets.py


def test_hand_net_whole_image(hand):
    net, x, _ = hand
    captured = []
    handle = net.relu.register_forward_hook(lambda module, args, output: captured.append(output))
    logits = net(x[None])
    handle.remove()
    assert captured[0][0].tolist() == nets.HAND_MAPS
    assert logits.tolist() == [nets.HAND_LOGITS]
    assert net(torch.zeros_like(x)[None]).tolist() == [nets.HAND_BLACK_LOGITS]


def test_hand_net_first_mask(hand):
    _, _, maps = hand
    # u u' + u v' / 2 + v v' with u = (1, 3/4, 1/4, 0), v = 1 - u
    expected = [
        [1, 0.875, 0.625, 0.5],
        [0.75, 0.71875, 0.65625, 0.625],
        [0.25, 0.40625, 0.71875, 0.875],
        [0, 0.25, 0.75, 1],
    ]
    assert ref.score_cam_masks(maps, (4, 4))[0].tolist() == expected


@pytest.mark.parametrize("label", [0, 1])
def test_hand_net_masked_logits(hand, label):
    net, x, maps = hand
    masks = ref.score_cam_masks(maps, (4, 4))
    for mask, logits in zip(masks, nets.HAND_CHANNEL_LOGITS, strict=True):
        assert ref.masked_score(net, x, mask, label, "logit") == logits[label]
    assert (
        ref.masked_score(net, x, np.zeros((4, 4)), label, "logit")
        == (nets.HAND_BLACK_LOGITS[label])
    )


def test_score_cam_increase_by_hand(hand):
    # w = logits - 1/2 = (1.33203125, 0.1337890625, 1.58984375, -0.3046875)
    # top left: 4 (w_0 + w_1 + w_2); top right: 2 (w_0 + w_1 + w_2);
    # bottom right: 4 w_0 + 16 (w_1 + w_3)
    net, x, maps = hand
    assert ref.score_cam(net, x, maps, 0, weighting="increase").tolist() == nets.HAND_INCREASE


def test_score_cam_softmax_by_hand(hand):
    # exp of the logits 1.83203125, 0.6337890625, 2.08984375, 0.1953125
    e = [6.246562, 1.884738, 8.083652, 1.215691]
    w = [value / sum(e) for value in e]
    expected = [
        [4 * (w[0] + w[1] + w[2]), 2 * (w[0] + w[1] + w[2])],
        [0, 4 * w[0] + 16 * (w[1] + w[3])],
    ]
    net, x, maps = hand
    np.testing.assert_allclose(ref.score_cam(net, x, maps, 0), expected, rtol=1e-6)


def test_score_cam_probability_by_hand(hand):
    # sigmoid of logit_1 - logit_0 for each mask
    w = [sigmoid(1.31640625), sigmoid(1.4365234375), sigmoid(-1.14453125), sigmoid(1.5546875)]
    expected = [
        [4 * (w[0] + w[1] + w[2]), 2 * (w[0] + w[1] + w[2])],
        [0, 4 * w[0] + 16 * (w[1] + w[3])],
    ]
    net, x, maps = hand
    np.testing.assert_allclose(
        ref.score_cam(net, x, maps, 1, weighting="probability"), expected, rtol=1e-13
    )


def test_score_cam_with_aligned_corners_by_hand():
    # (0, 1) enlarged to 4 positions: 0, 1/3, 2/3, 1 with aligned corners, 0, 1/4, 3/4, 1 without.
    # The weight is the sum over the right half of an image of ones.
    x = torch.ones(1, 1, 4, dtype=torch.float64)
    maps = [[[0.0, 1.0]]]
    aligned = ref.score_cam(Sums(), x, maps, 1, weighting="increase", align_corners=True)
    np.testing.assert_allclose(aligned, [[0, 5 / 3]])
    np.testing.assert_allclose(ref.score_cam(Sums(), x, maps, 1, weighting="increase"), [[0, 1.75]])


def test_score_cam_baseline_by_hand():
    # image of ones, baseline 3, mask (0, 1/4, 3/4, 1): right half 3/4 + 3/4 + 1 + 0 = 2.5,
    # the baseline's right half 6, so the weight is -3.5
    x = torch.ones(1, 1, 4, dtype=torch.float64)
    out = ref.score_cam(Sums(), x, [[[0.0, 1.0]]], 1, weighting="increase", baseline=3.0)
    np.testing.assert_allclose(out, [[0, -3.5]])


def test_score_cam_of_flat_maps_weights_them_alike():
    net = nets.FlatNet().double().eval()
    x = nets.images(1)[0]
    maps = net.layer(x[None]).detach()[0]
    np.testing.assert_allclose(ref.score_cam(net, x, maps, 0), maps.mean(0).numpy(), rtol=1e-13)
    assert (ref.score_cam(net, x, maps, 0, weighting="increase") == 0).all()


# RISE


def test_rise_mask_by_hand():
    # s = 2 on 4x4: cells of 2, so 2x2 becomes 6x6; the share of the second grid row at the six
    # positions is 0, 0, 1/3, 2/3, 1, 1. Rows 1 to 4 and columns 0 to 3 of it:
    mask = ref.rise_mask([[0, 0], [0, 1]], (1, 0), (4, 4))
    np.testing.assert_allclose(mask, np.outer([0, 1 / 3, 2 / 3, 1], [0, 0, 1 / 3, 2 / 3]))


def test_rise_mask_rounds_the_cells_up():
    # 5 / 2 -> cells of 3 rows, 7 / 2 -> cells of 4 columns: 9x12 before the crop
    grid = [[1, 0], [0, 1]]
    large = interpolate(torch.tensor([[grid]], dtype=torch.float64), size=(9, 12), mode="bilinear")[
        0, 0
    ]
    np.testing.assert_allclose(
        ref.rise_mask(grid, (2, 3), (5, 7)), large[2:7, 3:10].numpy(), atol=1e-14
    )


def test_rise_by_hand():
    # ones 4x4, "logit" of the left half. A full grid: mask 1, score 8. A right column: the columns
    # of the mask at shift 0 are 0, 0, 1/3, 2/3: score 0; at shift 1 they are 0, 1/3, 2/3, 1 and the
    # score is 4/3. Sum / (3 * 0.5).
    x = torch.ones(1, 4, 4, dtype=torch.float64)
    right = [[0, 1], [0, 1]]
    grids, shifts = [[[1, 1], [1, 1]], right, right], [(1, 1), (0, 0), (0, 1)]
    row = (8 + 4 / 3 * np.array([0, 1 / 3, 2 / 3, 1])) / 1.5
    out = ref.rise(Sums(), x, grids, shifts, 0, score_function="logit")
    np.testing.assert_allclose(out, np.tile(row, (4, 1)))
    halved = ref.rise(Sums(), x, grids, shifts, 0, score_function="logit", probability=1.0)
    np.testing.assert_allclose(halved, out / 2)


def test_rise_reads_probabilities_by_default():
    x = torch.ones(1, 2, 2, dtype=torch.float64)
    out = ref.rise(lambda b: Sums()(b) * torch.tensor([2, 1]), x, [[[1]]], [(0, 0)], 0)
    np.testing.assert_allclose(out, np.full((2, 2), 2 * sigmoid(2)))  # logits 4 and 2


# Cluster-CAM


def test_cluster_means():
    means = ref.cluster_means(nets.HAND_MAPS, nets.HAND_CLUSTERS)
    assert means.tolist() == nets.HAND_MEANS
    swapped = ref.cluster_means(nets.HAND_MAPS, torch.tensor([7, 3, 7, 3]))
    assert swapped.tolist() == nets.HAND_MEANS[::-1]


def test_cluster_cam_by_hand(hand):
    # probabilities of label 0: sigmoid(1.9609375 - 2.046875), sigmoid(0.41455078125 - 1.91015625)
    net, x, maps = hand
    out = ref.cluster_cam(net, x, maps, nets.HAND_CLUSTERS, 0)
    np.testing.assert_allclose(out["scores"], [sigmoid(-0.0859375), sigmoid(-1.49560546875)])
    assert (out["base"], out["scissors"]) == (0, 1)
    assert out["weights"] == [0.5, -0.5]
    assert out["map"].tolist() == nets.HAND_CLUSTER_CAM
    assert out["means"].tolist() == nets.HAND_MEANS
    other = ref.cluster_cam(net, x, maps, nets.HAND_CLUSTERS, 1)
    assert (other["base"], other["scissors"]) == (1, 0)
    assert (other["map"] == -out["map"]).all()


@pytest.mark.parametrize("label", [0, 1])
def test_cluster_cam_by_the_logit(hand, label):
    net, x, maps = hand
    out = ref.cluster_cam(net, x, maps, nets.HAND_CLUSTERS, label, score_function="logit")
    assert out["scores"] == [logits[label] for logits in nets.HAND_CLUSTER_LOGITS]
    assert (out["base"], out["scissors"]) == (0, 1)  # for label 1, too


def test_cluster_cam_beta(hand):
    # 1/4 F_0 - 3/4 F_1 = [[1 - 1.5, 0.5 - 0.75], [0, 0.5 - 12]]
    net, x, maps = hand
    out = ref.cluster_cam(net, x, maps, nets.HAND_CLUSTERS, 0, beta=0.25)
    assert out["map"].tolist() == [[-0.5, -0.25], [0, -11.5]]


def test_cluster_cam_without_normalised_masks(hand):
    # without a bias before the head, a mask 4 times as large gives sums 4 times as large, and all
    # of a logit but its bias 1/2 with them; F_0 is 4 times its normalised mask
    net, x, maps = hand
    out = ref.cluster_cam(
        net, x, maps, nets.HAND_CLUSTERS, 0, normalize_masks=False, score_function="logit"
    )
    assert out["scores"][0] == 4 * (1.9609375 - 0.5) + 0.5
    assert out["scores"][1] == 16 * (0.41455078125 - 0.5) + 0.5  # F_1 = 16 times its mask


def test_cluster_cam_weighted_by_scores(hand):
    net, x, maps = hand
    out = ref.cluster_cam(net, x, maps, nets.HAND_CLUSTERS, 0, combine="score")
    assert out["scores"] == [1.9609375, 0.41455078125]
    w = sigmoid(1.9609375 - 0.41455078125)  # the softmax of two numbers
    expected = [[4 * w + 2 * (1 - w), 2 * w + (1 - w)], [0, 2 * w + 16 * (1 - w)]]
    np.testing.assert_allclose(out["map"], expected)


def test_cluster_cam_with_a_cluster_per_channel_is_score_cam(hand):
    net, x, maps = hand
    out = ref.cluster_cam(net, x, maps, [0, 1, 2, 3], 1, combine="score")
    assert (out["map"] == ref.score_cam(net, x, maps, 1)).all()


def test_cluster_cam_with_one_cluster(hand):
    # the mean of the four maps is [[3, 1.5], [0, 9]]
    net, x, maps = hand
    out = ref.cluster_cam(net, x, maps, [0, 0, 0, 0], 0, beta=0.25)
    assert out["map"].tolist() == [[0.75, 0.375], [0, 2.25]]
    assert (out["base"], out["scissors"], out["weights"]) == (0, 0, [0.25])


def test_cluster_cam_ties_go_to_the_lowest_index():
    x = nets.images(1)[0]
    maps = nets.images(1, 4, 2, seed=1)[0]

    def constant(batch):
        return torch.zeros(len(batch), 2, dtype=batch.dtype)

    out = ref.cluster_cam(constant, x, maps, [0, 1, 2, 1], 0, beta=0.75)
    assert (out["base"], out["scissors"]) == (0, 0)
    np.testing.assert_allclose(out["map"], 0.5 * maps[0].numpy())


def test_names_are_checked(hand):
    net, x, maps = hand
    with pytest.raises(ValueError, match="sum"):
        ref.cluster_cam(net, x, maps, [0, 1, 0, 1], 0, combine="sum")
    with pytest.raises(ValueError, match="none"):
        ref.score_cam(net, x, maps, 0, weighting="none")


# Clustering


def test_inertia_by_hand():
    # {0, 2}: both at distance 2 from their mean, {1, 3}: both at sqrt(5)
    assert ref.inertia(nets.HAND_MAPS, [0, 1, 0, 1]) == pytest.approx(4 + 4 + 5 + 5)


def test_the_clusters_of_the_hand_net_are_the_only_fixed_point():
    fixed = []
    for code in range(1, 8):  # the seven ways to split four maps in two
        labels = [0] + [code >> k & 1 for k in range(3)]
        if ref.lloyd_step_is_fixed_point(nets.HAND_MAPS, labels):
            fixed.append(labels)
    assert fixed == [nets.HAND_CLUSTERS]


@pytest.mark.parametrize("n_clusters", [1, 2, 5])
def test_k_means_ends_in_a_fixed_point(n_clusters):
    maps = nets.images(1, 20, (3, 2), seed=3)[0].numpy()
    fit = KMeans(n_clusters, n_init=1, tol=0, random_state=0).fit(maps.reshape(20, -1))
    assert ref.lloyd_step_is_fixed_point(maps, fit.labels_)
    assert ref.inertia(maps, fit.labels_) == pytest.approx(fit.inertia_)
    if n_clusters > 1:
        labels = fit.labels_.copy()
        far = np.abs(fit.transform(maps.reshape(20, -1))).argmax() // n_clusters
        labels[far] = (labels[far] + 1) % n_clusters
        assert ref.inertia(maps, labels) > fit.inertia_


def test_distances_by_hand():
    maps = [[[0.0]], [[1.0]], [[3.0]]]  # pairs 1, 2, 3
    np.testing.assert_array_equal(ref.distances(maps), [[0, 0.5, 1.5], [0.5, 0, 1], [1.5, 1, 0]])
    np.testing.assert_array_equal(ref.distances(maps, "none")[0], [0, 1, 3])
    assert ref.distances([[[0.0]], [[1.0]], [[3.0]], [[6.0]]])[0, 1] == 1 / 3  # 1 2 3 3 5 6


def test_distances_where_the_median_vanishes():
    maps = [[[1.0]]] * 4 + [[[3.0]]]  # six pairs at 0, four at 2
    assert set(np.unique(ref.distances(maps))) == {0.0, 1.0}
    assert (ref.distances([[[1.0]]] * 3) == 0).all()


def test_ssim_by_hand():
    a = [[0.0, 2.0]]
    assert ref.ssim(a, a, 2.0) == pytest.approx(1)
    # mirrored: means 1 and 1, variances 1 and 1, covariance -1; C2 = 0.06^2
    assert ref.ssim(a, [[2.0, 0.0]], 2.0) == pytest.approx((-2 + 0.0036) / (2 + 0.0036))
    # a constant 3: variance and covariance 0, C1 = 0.02^2
    expected = (6 + 0.0004) * 0.0036 / ((10 + 0.0004) * (1 + 0.0036))
    assert ref.ssim(a, [[3.0, 3.0]], 2.0) == pytest.approx(expected)


def test_spectral_graph_by_hand():
    maps = [[[0.0]], [[1.0]], [[3.0]]]  # d / median: 1/2 (0, 1), 1 (1, 2), 3/2 (0, 2)
    s01, s12, s02 = math.exp(-0.5), math.exp(-1), math.exp(-1.5)
    graph = ref.spectral_graph(maps, sigma=2.0)
    a01, a12, a02 = (math.exp(-(1 - s) / 2) for s in (s01, s12, s02))
    expected = [[0, a01, a02], [a01, 0, a12], [a02, a12, 0]]
    np.testing.assert_allclose(graph["adjacency"], expected)
    np.testing.assert_allclose(graph["degrees"], [a01 + a02, a01 + a12, a02 + a12])
    np.testing.assert_allclose(
        graph["laplacian"][0, 1], -a01 / math.sqrt((a01 + a02) * (a01 + a12))
    )
    gaussian = ref.spectral_graph(maps, adjacency="gaussian", sigma=2.0, theta=0.3)["adjacency"]
    g01, g12 = math.exp(-0.25 / 4), math.exp(-1 / 4)  # S_02 = 0.22 is cut
    np.testing.assert_allclose(gaussian, [[0, g01, 0], [g01, 0, g12], [0, g12, 0]])


@pytest.mark.parametrize("similarity", ["euclidean", "ssim"])
@pytest.mark.parametrize("adjacency", ["similarity", "gaussian"])
def test_spectral_embedding_solves_the_eigenproblem(similarity, adjacency):
    maps = nets.images(1, 9, (3, 4), seed=5)[0]
    options = {"similarity": similarity, "adjacency": adjacency, "theta": -1.0}
    graph = ref.spectral_graph(maps, **options)
    L = laplacian(graph["adjacency"], normed=True)
    np.testing.assert_allclose(graph["laplacian"], L, atol=1e-14)
    rows = ref.spectral_embedding(maps, n_eigenvectors=3, **options)
    assert rows.shape == (9, 3)
    values = np.linalg.eigvalsh(L)
    np.testing.assert_allclose(L @ rows, rows * values[1:4], atol=1e-12)
    np.testing.assert_allclose(rows.T @ rows, np.eye(3), atol=1e-12)
    # u_1 is the root of the degrees
    np.testing.assert_allclose(np.sqrt(graph["degrees"]) @ rows, np.zeros(3), atol=1e-12)


def test_spectral_embedding_with_an_isolated_vertex():
    # S = 0.61 (0, 1), 0.37 (1, 2), 0.22 (0, 2): above 1/2 only the first pair is joined. The
    # Laplacian [[1, -1, 0], [-1, 1, 0], [0, 0, 1]] has eigenvalues 0, 1, 2; u_2 lives on the
    # isolated vertex alone and is blanked, u_3 = (1, -1, 0) / sqrt 2 up to its sign.
    maps = [[[0.0]], [[1.0]], [[3.0]]]
    graph = ref.spectral_graph(maps, theta=0.5)
    assert graph["degrees"][2] == 0
    np.testing.assert_allclose(graph["laplacian"], [[1, -1, 0], [-1, 1, 0], [0, 0, 1]])
    rows = ref.spectral_embedding(maps, n_eigenvectors=2, theta=0.5)
    np.testing.assert_allclose(np.abs(rows), [[0, 0.5**0.5], [0, 0.5**0.5], [0, 0]], atol=1e-14)
    assert rows[0, 1] * rows[1, 1] < 0


def test_spectral_embedding_with_isolated_vertices_only():
    # unscaled distances of 1000 make exp(-d) vanish
    maps = np.arange(4.0).reshape(4, 1, 1) * 1000
    rows = ref.spectral_embedding(maps, n_eigenvectors=2, distance_scale="none")
    assert (rows == 0).all()


def test_spectral_embedding_separates_two_groups():
    noise = nets.images(1, 8, 3, seed=6)[0].numpy() * 0.05
    maps = noise + np.where(np.arange(8) % 2, 1.0, 0.0)[:, None, None]
    rows = ref.spectral_embedding(maps, n_eigenvectors=1)[:, 0]
    signs = np.sign(rows)
    assert (signs[::2] == signs[0]).all()
    assert (signs[1::2] == -signs[0]).all()


# The other networks

NETS = {
    "hand": (nets.HandNet, (1, 4, 4), (2,)),
    "small": (nets.SmallNet, (3, 8, 9), (5,)),
    "small in place": (lambda: nets.SmallNet(inplace=True), (3, 11, 8), (5,)),
    "reused": (nets.ReusedReLU, (3, 8, 8), (3,)),
    "tuple": (nets.TupleNet, (3, 8, 9), (3,)),
    "one logit": (nets.OneLogitNet, (3, 8, 8), (1,)),
    "scalar": (nets.ScalarNet, (3, 8, 8), ()),
    "dense": (nets.DenseNet2d, (3, 8, 9), (3, 8, 9)),
    "raising": (lambda: nets.RaisingNet(after=9), (3, 8, 8), (3,)),
    "nan": (nets.NaNNet, (3, 8, 8), (3,)),
    "wrapped": (lambda: nets.Wrapped(nets.SmallNet()), (3, 8, 8), (5,)),
    "flat": (nets.FlatNet, (3, 8, 8), (3,)),
    "token": (nets.TokenNet, (3, 8, 12), (3,)),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nets_run_and_repeat_themselves(name, dtype):
    build, shape, output_shape = NETS[name]
    x = nets.images(2, shape[0], shape[1:], dtype=dtype)
    first = build().to(dtype).eval()(x)
    assert first.dtype == dtype
    assert first.shape == (2, *output_shape)
    assert first.isfinite().all()
    second = build().to(dtype).eval()(x)
    assert torch.equal(first, second)
    alone = build().to(dtype).eval()(x[1:])
    torch.testing.assert_close(alone[0], first[1])


@pytest.mark.parametrize("name", NETS)
def test_nets_leave_the_global_random_state_alone(name):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    NETS[name][0]()
    nets.images(1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]


def test_seeds_differ():
    x = nets.images(1, dtype=torch.float32)
    assert not torch.equal(nets.SmallNet().eval()(x), nets.SmallNet(seed=1).eval()(x))
    assert not torch.equal(x, nets.images(1, seed=1, dtype=torch.float32))


def test_small_net_in_place_relu_overwrites_what_a_hook_was_given():
    x = nets.images(1)
    for inplace in (False, True):
        net = nets.SmallNet(inplace=inplace).double().eval()
        held = []
        net.conv2.register_forward_hook(lambda m, a, out, held=held: held.append(out))
        with torch.no_grad():
            net(x)
        assert held[0].shape == (1, 12, 2, 2)
        assert bool((held[0] >= 0).all()) is inplace


def test_small_net_is_random_in_training_mode_only():
    net = nets.SmallNet().double()
    x = nets.images(2)
    net.eval()
    assert torch.equal(net(x), net(x))
    net.train()
    with torch.random.fork_rng(devices=[]):
        assert not torch.equal(net(x), net(x))


def test_reused_relu_fires_twice():
    net = nets.ReusedReLU().double().eval()
    shapes = []
    net.relu.register_forward_hook(lambda m, a, out: shapes.append(tuple(out.shape)))
    net(nets.images(2))
    assert shapes == [(2, 4, 4, 4), (2, 6, 2, 2)]


def test_tuple_net_layer():
    first, second = nets.TupleNet().double().layer(nets.images(2))
    assert first.shape == second.shape == (2, 6, 4, 4)
    assert not torch.equal(first, second)


def test_raising_net_raises_once():
    net = nets.RaisingNet(after=2).double().eval()
    x = nets.images(1)
    net(x)
    with pytest.raises(RuntimeError, match="forward pass 2 fails"):
        net(x)
    assert net(x).isfinite().all()


def test_nan_net():
    net = nets.NaNNet().double().eval()
    x = nets.images(1)
    assert net(x).isfinite().all()
    assert net(x).isnan().all()
    assert net(x).isnan().all()


def test_flat_net_masks_are_zero():
    net = nets.FlatNet().double().eval()
    maps = net.layer(nets.images(1))[0].detach()
    assert maps.shape == (6, 3, 2)
    assert (ref.score_cam_masks(maps, (8, 8)) == 0).all()
    assert len(set(maps[:, 0, 0].tolist())) == 6


def test_token_net_reshapes_in_reading_order():
    net = nets.TokenNet().double().eval()
    tokens = torch.arange(2 * 7 * 6).reshape(2, 7, 6)
    maps = net.reshape_transform(tokens)
    assert maps.shape == (2, 6, 2, 3)
    assert maps[1, 4, 1, 2] == tokens[1, 1 + 1 * 3 + 2, 4]
    held = []
    net.block.register_forward_hook(lambda m, a, out: held.append(out))
    logits = net(nets.images(1, size=(8, 12)))
    gradient = torch.autograd.grad(logits[0, 0], held[0])[0]
    assert (gradient[:, 1:] != 0).any()


def test_args_net():
    net = nets.ArgsNet().double().eval()
    x, scale = nets.images(2), torch.tensor([[2.0], [3.0]], dtype=torch.float64)
    plain = net(x, torch.ones_like(scale))
    torch.testing.assert_close(net(x, scale), plain * scale)
    torch.testing.assert_close(net(x, scale, flag=False), plain + scale)
    bound = ref.masked_score(lambda b: net(b, scale[:1]), x[0], np.ones((8, 8)), 1, "logit")
    assert bound == pytest.approx(2 * plain[0, 1].item())
