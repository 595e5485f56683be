"""The second derivation of Collection-CAM, against numbers from paper and against SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage

from tests.helpers import collection_references as ref
from tests.helpers import nets
from tests.helpers.references import minmax, up

# The gradients of label 0 of `HandNet` with respect to its maps: the weight over 4 pixels.
HAND_GRADIENTS = np.array([0.25, 0.0, 0.25, -0.125])[:, None, None] * np.ones((4, 2, 2))


@pytest.fixture
def hand():
    net = nets.HandNet().double().eval()
    return net, net.image()[0], (np.array(nets.HAND_MAPS), HAND_GRADIENTS)


def layers_of(net, x, target, names):
    return [
        (
            ref.activations(net, net.get_submodule(name), x),
            ref.gradients(net, net.get_submodule(name), x, target),
        )
        for name in names
    ]


def as_sets(labels):
    return {frozenset(np.flatnonzero(np.array(labels) == q).tolist()) for q in set(labels)}


# Representation vectors


def test_statistics_by_hand():
    # squared deviations: A_0 of 5/2: 9/4 1/4 25/4 9/4, A_1 of 11/2: 9/4 49/4 121/4 441/4,
    # A_2 of 3/2: 25/4 1/4 9/4 9/4, A_3 of 4: 16 16 16 144
    g = HAND_GRADIENTS.copy()
    g[1] = [[3, -1], [-1, -1]]  # mean 0, squares 9 1 1 1
    expected = [
        [2.5, math.sqrt(11 / 4), 0.25, 0],
        [5.5, math.sqrt(155 / 4), 0, math.sqrt(3)],
        [1.5, math.sqrt(11 / 4), 0.25, 0],
        [4, math.sqrt(48), -0.125, 0],
    ]
    np.testing.assert_allclose(ref.statistics(nets.HAND_MAPS, g), expected, rtol=1e-15)


def test_statistics_are_the_population_moments():
    maps, g = nets.images(2, 5, (3, 4)).numpy()
    expected = [maps.mean((1, 2)), maps.std((1, 2)), g.mean((1, 2)), g.std((1, 2))]
    np.testing.assert_allclose(ref.statistics(maps, g), np.stack(expected, 1), atol=1e-15)


def test_statistics_of_a_flat_map_are_exact():
    flat = np.full((1, 7, 3), 0.1)
    assert ref.statistics(flat, -flat).tolist() == [[0.1, 0, -0.1, 0]]


def test_standardized():
    # column 0: mean 2, deviations -1 -1 2, variance 2; column 1 is constant
    points = [[1, 0.1], [1, 0.1], [4, 0.1]]
    root = math.sqrt(2)
    expected = [[-1 / root, 0], [-1 / root, 0], [2 / root, 0]]
    np.testing.assert_allclose(ref.standardized(points), expected)


# Ward


def test_squared_error_sum_by_hand():
    # {0, 1, 5}: mean 2, squares 4 1 9
    points = [[0.0], [1.0], [5.0], [7.0]]
    assert ref.squared_error_sum(points, [0, 1, 2]) == 14
    assert ref.squared_error_sum(points, [3]) == 0


def test_ward_by_hand():
    # 0 1 5 7: {0, 1} for 1/2, {5, 7} for 2, then all
    points = [[5.0], [0.0], [7.0], [1.0]]
    assert ref.ward(points, [1, 2, 3, 4]) == {
        4: [0, 1, 2, 3],
        3: [0, 1, 2, 1],
        2: [0, 1, 0, 1],
        1: [0, 0, 0, 0],
    }


def test_ward_counts_the_members():
    # 0 1 3 5.7: after {0, 1} with centroid 1/2, 3 is nearer to it (2.5) than to 5.7 (2.7), but
    # 2 * 1 / 3 * 2.5^2 = 4.17 is more than 1 * 1 / 2 * 2.7^2 = 3.645
    assert ref.ward([[0.0], [1.0], [3.0], [5.7]], [2]) == {2: [0, 0, 1, 1]}


@pytest.mark.parametrize("seed", range(5))
def test_ward_is_scipys(seed):
    points = nets.images(1, 1, (14, 4), seed=seed)[0, 0].numpy()
    tree = linkage(points, "ward")
    for k, labels in ref.ward(points, range(1, 15)).items():
        assert as_sets(labels) == as_sets(fcluster(tree, k, "maxclust").tolist())
        assert list(dict.fromkeys(labels)) == list(range(k))  # numbered by smallest channel


def test_ward_increments_are_scipys_heights():
    # SciPy's height of a merger is the root of twice the increment of the error sum
    points = nets.images(1, 1, (9, 4), seed=9)[0, 0].numpy()
    heights = linkage(points, "ward")[:, 2]
    partitions = ref.ward(points, range(1, 10))
    errors = {
        k: sum(ref.squared_error_sum(points, members) for members in ref.collections_of(labels))
        for k, labels in partitions.items()
    }
    for step, height in enumerate(heights):
        assert errors[8 - step] - errors[9 - step] == pytest.approx(height**2 / 2)


def test_ward_refuses_impossible_sizes():
    for sizes in ([0], [1, 3]):
        with pytest.raises(ValueError, match="2 vectors"):
            ref.ward([[0.0], [1.0]], sizes)


# The index


def test_dsra_by_hand():
    points = [[0.0], [1.0], [5.0]]
    # {0, 1}: DIC 1/4, SIC 4.5^2 = 81/4, DSR 80/82; {5}: DIC 0, DSR 1
    assert ref.dsra(points, [0, 0, 1]) == pytest.approx((40 / 41 + 1) / 2)
    assert ref.dsra(points, [0, 1, 2]) == 1
    assert ref.dsra(points, [0, 0, 0]) == -1  # SIC 0
    # {0, 5}: centroid 5/2, DIC 25/4, SIC 9/4, DSR -16/34; {1}: 1
    assert ref.dsra(points, [0, 1, 0]) == pytest.approx((1 - 8 / 17) / 2)


def test_dsra_takes_the_nearest_other_centroid():
    # {0, 2} (1), {4}, {10}: DIC 1, SIC 9 -> 8/10; 1; 1
    assert ref.dsra([[0.0], [2.0], [4.0], [10.0]], [0, 0, 1, 2]) == pytest.approx(2.8 / 3)


def test_dsra_of_equal_vectors():
    same = [[0.1, 0.2]] * 3
    assert ref.dsra(same, [0, 0, 0]) == 0
    assert ref.dsra(same, [0, 1, 0]) == 0


def test_choose():
    # 0 1 5 7: k = 1: -1; k = 2: {0, 1} DIC 1/4, {5, 7} DIC 1, SIC 30.25 both; k = 3: {0, 1} with
    # SIC 20.25, twice 1; k = 4: 1
    points = [[0.0], [1.0], [5.0], [7.0]]
    two = (30 / 30.5 + 29.25 / 31.25) / 2
    three = (20 / 20.5 + 2) / 3
    k, index = ref.choose(points, [2, 3, 1])
    assert k == 3
    assert index == pytest.approx({1: -1, 2: two, 3: three})
    assert list(index) == [1, 2, 3]
    assert ref.choose(points, range(2, 11))[0] == 4  # 5 to 10 are dropped
    assert list(ref.choose(points, range(2, 11))[1]) == [2, 3, 4]


def test_choose_counts_distinct_vectors():
    points = [[0.0], [0.0], [3.0], [0.0], [3.0]]
    assert ref.choose(points, [1, 2, 3]) == (2, {1: -1, 2: 1})
    assert ref.choose([[0.1]] * 3, [1, 2]) == (1, {1: 0})


def test_choose_takes_the_smallest_on_ties(monkeypatch):
    values = {2: 0.25, 3: 0.5, 4: 0.5}
    monkeypatch.setattr(ref, "dsra", lambda points, labels: values[len(set(labels))])
    assert ref.choose([[0.0], [1.0], [5.0], [7.0]], [4, 2, 3]) == (3, values)


def test_choose_refuses():
    with pytest.raises(ValueError, match="1 distinct"):
        ref.choose([[1.0], [1.0]], range(2, 11))
    with pytest.raises(ValueError, match="size 0"):
        ref.choose([[1.0], [2.0]], [0, 2])


# Masks


@pytest.mark.parametrize("q", [0, 0.1, 0.25, 0.5, 0.937, 1])
@pytest.mark.parametrize("n", [1, 2, 16, 35])
def test_quantile_is_numpys(q, n):
    values = nets.images(1, 1, (1, n), seed=n).numpy().ravel()
    assert ref.quantile(values, q) == pytest.approx(np.quantile(values, q), rel=1e-14)


def test_denoise_by_hand():
    # sorted 0 1 2 4: position 0.5 * 3 = 1.5, the quantile is 1.5; at 1/3 it is the value 1 itself
    assert ref.denoise([[4, 1], [0, 2]], 0.5).tolist() == [[4, 0], [0, 2]]
    assert ref.denoise([[4, 1], [0, 2]], 1 / 3).tolist() == [[4, 0], [0, 2]]
    assert ref.denoise([[4, 1], [0, 2]], 0.25).tolist() == [[4, 1], [0, 2]]
    assert ref.denoise([[3, 3]], 0.1).tolist() == [[0, 0]]


# Collection {0, 2} of the hand net: 1/4 [8 4; 0 4] = [2 1; 0 1], enlarged
#   2    1.75   1.25   1
#   1.5  1.375  1.125  1        sorted 0 1/4 1/2 ...: the 0.1-quantile of the 16 values, at
#   0.5  0.625  0.875  1        position 1.5, is 3/8: the 0 and the 1/4 go; then half of the rest
#   0    0.25   0.75   1
HAND_MASK = [
    [1, 0.875, 0.625, 0.5],
    [0.75, 0.6875, 0.5625, 0.5],
    [0.25, 0.3125, 0.4375, 0.5],
    [0, 0, 0.375, 0.5],
]


def test_final_masks_by_hand(hand):
    _, _, (maps, g) = hand
    mask = ref.mask(maps, g, [0, 2], (4, 4), True, 0.1)
    np.testing.assert_allclose(mask, HAND_MASK, rtol=1e-15)
    # {1, 3}: -1/8 of a positive map, rectified away
    assert (ref.mask(maps, g, [1, 3], (4, 4), True, 0.1) == 0).all()


def test_shallow_masks_by_hand():
    maps = [[[4, 2], [0, 4]], [[-3, 8], [6, -1]]]
    g = [[[1, -1], [1, 0]], [[1, 2], [0, 3]]]
    # [4 0; 0 0] + [-3 8; 0 -1] = [1 8; 0 -1]; rectified [1 8; 0 0]; at the same size the quantile
    # 1/2 of 0 0 1 8 is 1/2
    mask = ref.mask(maps, g, [0, 1], (2, 2), False, 0.5)
    np.testing.assert_allclose(mask, [[1 / 8, 1], [0, 0]])
    assert ref.mask(maps, g, [0], (2, 2), False, 0.5).tolist() == [[1, 0], [0, 0]]


def test_relu_before_or_after_the_upsampling():
    maps, g = [[[4.0, -4.0]]], [[[1.0, 1.0]]]
    # before: Up [4 0] = 4 3 1 0; after: Up [4 -4] = 4 2 -2 -4, rectified 4 2 0 0. The quantile 0
    # is 0 in both.
    for final in (True, False):
        before = ref.mask(maps, g, [0], (1, 4), final, 0.0)
        after = ref.mask(maps, g, [0], (1, 4), final, 0.0, relu_after_upsampling=True)
        assert before.tolist() == [[1, 0.75, 0.25, 0]]
        assert after.tolist() == [[1, 0.5, 0, 0]]


# The method


def test_collection_cam_by_hand(hand):
    # Between channels 0 and 2 only the mean differs, by 1: increment 1/2, the smallest; then
    # {1, 3} with (1.5^2 + (sqrt(38.75) - sqrt(48))^2 + 1/8^2) / 2 = 1.38. HAND_MASK leaves of the
    # image what the mask of the cluster mean F_0 leaves (they differ where the image is 0), so the
    # score is that of F_0; the mask of {1, 3} is 0 and leaves a black image.
    net, x, layer = hand
    out = ref.collection_cam(net, x, [layer], 0, partition_sizes=[2])
    assert out["members"] == [[[0, 2], [1, 3]]]
    assert out["sizes"] == [2]
    assert out["scores"] == pytest.approx([nets.HAND_CLUSTER_LOGITS[0][0], 0.5])
    weight = 1 / (1 + math.exp(0.5 - 1.9609375))
    assert out["weights"] == pytest.approx([weight, 1 - weight])
    np.testing.assert_allclose(out["map"], weight * np.array(HAND_MASK))
    assert out["mic_of"]() == pytest.approx([1.4609375, 0])


def test_collection_cam_index_by_hand(hand):
    # k = 2: DIC 1/4 for {0, 2} and d/4 for {1, 3}, d their squared distance; k = 4: 1
    net, x, layer = hand
    s0, s1, s3 = math.sqrt(11 / 4), math.sqrt(155 / 4), math.sqrt(48)
    d = 1.5**2 + (s1 - s3) ** 2 + 0.125**2
    sic = (4.75 - 2) ** 2 + ((s1 + s3) / 2 - s0) ** 2 + (0.25 + 0.0625) ** 2
    two = ((sic - 0.25) / (sic + 0.25) + (sic - d / 4) / (sic + d / 4)) / 2
    out = ref.collection_cam(net, x, [layer], 0)
    assert out["index"][0][2] == pytest.approx(two)
    assert out["index"][0][4] == 1
    assert out["sizes"] == [4]
    assert len(out["masks"]) == 4


def test_collection_cam_of_two_layers():
    net = nets.SmallNet().double().eval()
    x = nets.images(1, size=(8, 9))[0]
    layers = layers_of(net, x, 3, ["relu1", "relu2"])
    for standardize in (False, True):
        out = ref.collection_cam(
            net, x, layers, 3, partition_sizes=range(2, 6), standardize=standardize
        )
        assert len(out["masks"]) == sum(out["sizes"]) == len(out["scores"])
        for (maps, _), members in zip(layers, out["members"], strict=True):
            assert sorted(k for c in members for k in c) == list(range(len(maps)))
            assert [c[0] for c in members] == sorted(min(c) for c in members)
        assert sum(out["weights"]) == pytest.approx(1)
        assert out["map"].shape == (8, 9)
        assert 0 <= out["map"].min() < out["map"].max() <= 1
        # the first masks are of the shallow layer, the last ones of the final layer
        first, last = out["members"][0][0], out["members"][1][-1]
        shallow = ref.mask(*layers[0], first, (8, 9), False, 0.1)
        np.testing.assert_array_equal(out["masks"][0], shallow)
        np.testing.assert_array_equal(
            out["masks"][-1], ref.mask(*layers[1], last, (8, 9), True, 0.1)
        )


def test_one_collection_is_grad_cam():
    net = nets.SmallNet().double().eval()
    x = nets.images(1, size=(9, 8))[0]
    (maps, g) = layers_of(net, x, 1, ["relu2"])[0]
    grad_cam = np.maximum((g.mean((1, 2))[:, None, None] * maps).sum(0), 0)
    assert (grad_cam > 0).any()
    enlarged = up(grad_cam, (9, 8))
    enlarged[enlarged <= np.quantile(enlarged, 0.3)] = 0
    out = ref.collection_cam(net, x, [(maps, g)], 1, partition_sizes=[1], denoise_quantile=0.3)
    np.testing.assert_allclose(out["map"], minmax(enlarged), atol=1e-14)


def test_order_of_channels_and_baseline():
    net = nets.SmallNet().double().eval()
    x = nets.images(1)[0]
    (maps, g) = layers_of(net, x, 0, ["relu2"])[0]
    plain = ref.collection_cam(net, x, [(maps, g)], 0, partition_sizes=[3])
    turned = ref.collection_cam(net, x, [(maps[::-1], g[::-1])], 0, partition_sizes=[3])
    np.testing.assert_allclose(plain["map"], turned["map"], atol=1e-14)
    other = ref.collection_cam(net, x, [(maps, g)], 0, partition_sizes=[3], baseline=x)
    # with the image itself for a baseline no mask changes anything
    assert other["weights"] == pytest.approx([1 / 3] * 3)
    assert other["mic_of"]() == pytest.approx([0] * 3, abs=1e-14)


# Gradients


def test_gradients_of_the_hand_net():
    net = nets.HandNet().double().eval()
    x = net.image()[0]
    np.testing.assert_array_equal(ref.activations(net, net.relu, x), nets.HAND_MAPS)
    np.testing.assert_array_equal(ref.gradients(net, net.relu, x, 0), HAND_GRADIENTS)


def replaced_score(net, layer, x, a, target):
    """S_c of the network in which ``layer`` gives ``a`` instead."""
    handle = layer.register_forward_hook(lambda m, i, o: torch.as_tensor(a, dtype=o.dtype)[None])
    with torch.no_grad():
        score = net(x[None])[0, target]
    handle.remove()
    return score


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("name", ["conv1", "bn1", "conv2", "relu2"])
def test_gradients_are_numeric_gradients(name, inplace):
    net = nets.SmallNet(inplace=inplace).double().eval()
    layer = net.get_submodule(name)
    x = nets.images(1)[0]
    a = ref.activations(net, layer, x)
    if name == "conv2":
        assert (a < 0).any()  # not overwritten by the ReLU that follows
    numeric = ref.numeric_gradient(lambda b: replaced_score(net, layer, x, b, 2), a)
    np.testing.assert_allclose(ref.gradients(net, layer, x, 2), numeric, atol=1e-8)


def test_numeric_gradient_by_hand():
    # d/da (a_0^2 a_1) = (2 a_0 a_1, a_0^2)
    gradient = ref.numeric_gradient(lambda a: a[0] ** 2 * a[1], [3.0, 5.0])
    np.testing.assert_allclose(gradient, [30, 9], rtol=1e-8)


def test_gradients_of_other_targets():
    scalar = nets.ScalarNet().double().eval()
    one = nets.OneLogitNet().double().eval()
    x = nets.images(1)[0]
    assert np.array_equal(
        ref.gradients(scalar, scalar.relu, x, None), ref.gradients(one, one.relu, x, None)
    )
    dense = nets.DenseNet2d().double().eval()
    np.testing.assert_array_equal(
        ref.gradients(dense, dense.relu, x, (1, 2, 3)),
        ref.gradients(dense, dense.relu, x, lambda outputs: outputs[1, 2, 3]),
    )
