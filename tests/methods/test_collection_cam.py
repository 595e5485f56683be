"""Collection-CAM against the slow reference, and the identities of its paper."""

import dataclasses
import math
from unittest import mock

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from captum_cluster._checks import LayerError
from captum_cluster.attr import LayerCollectionCam
from captum_cluster.functional.attribution import MaskedScorer, select_shared
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import (
    COLLECTION_CAM,
    CollectionCamConfig,
    MapsAndGradients,
    collection_cam,
)
from tests.helpers import collection_references as cref
from tests.helpers import nets
from tests.helpers import references as ref
from tests.helpers.method_cases import CASES, assert_close, case, margin, squared

SIZE = (11, 13)

# network, its layers from shallow to final, the images, a target for each image
LAYERS = {
    name: (net, [layer], nets.images(len(images), 3, SIZE), targets)
    for name, (net, layer, images, targets) in CASES.items()
    if name != "hand"
} | {
    "hand": (nets.HandNet(), ["relu"], nets.HandNet.image(), [0]),
    "two layers": (nets.SmallNet(), ["relu1", "relu2"], nets.images(2, 3, SIZE), [4, 1]),
    "three layers": (
        nets.SmallNet(seed=5), ["conv1", "bn1", "conv2"], nets.images(2, 3, SIZE), [3, 0],
    ),
    "of one function": (nets.SmallNet(), ["bn1", "conv2"], nets.images(1, 3, SIZE), [margin]),
    "one logit of two": (nets.OneLogitNet(), ["conv", "relu"], nets.images(2, 3, SIZE), [0, 0]),
    "dense of two": (nets.DenseNet2d(), ["conv", "relu"], nets.images(1, 3, SIZE), [(1, 5, 2)]),
}  # fmt: skip
OPTIONS = {"partition_sizes": (2, 3, 4), "denoise_quantile": 0.3}


def layers_of(name):
    net, names, images, targets = LAYERS[name]
    net = net.double().eval()
    return net, [getattr(net, layer) for layer in names], images, targets


def seen(net, layers, x, target):
    """Maps and gradients of one image, layer by layer."""
    return [(cref.activations(net, a, x), cref.gradients(net, a, x, target)) for a in layers]


def reference(net, x, layers, target, result, n, t, **options):
    """The reference's dictionary for one image and one target, from ``layers`` (maps, gradients).

    An enlarged map has plateaus at its border, whose values are equal but for rounding. Where the
    quantile falls onto one, rounding says which of them are above it; there, and only there, the
    reference takes the pixels that ``result`` has.
    """
    size = tuple(x.shape[-2:])
    rendered = ref.array(result.render_masks(n, size, t))
    numbers = iter(
        [
            number
            for layer in result.layers
            for number in range(layer.masks.start, layer.masks.start + int(layer.sizes[n, t]))
        ]
    )
    plain = cref.denoise

    def settled(a, q):
        out, threshold = plain(a, q), cref.quantile(a, q)
        mask = rendered[next(numbers, 0)]
        for position in np.ndindex(out.shape):
            if abs(a[position] - threshold) <= 1e-9 * np.abs(a).max():
                out[position] = a[position] if mask[position] > 0 else 0.0
        return out

    with mock.patch.object(cref, "denoise", settled):
        return cref.collection_cam(net, x, layers, target, **options)


def check_one(expected, result, n, t, size):
    """Compare one image and one target of a result with the reference's dictionary."""
    assert_close(result.maps[n, t], expected["map"])
    masks, offset = result.render_masks(n, size, t), 0
    for number, layer in enumerate(result.layers):
        k = expected["sizes"][number]
        assert int(layer.sizes[n, t]) == k
        for tried, value in zip(layer.partition_sizes, layer.validity[n, t].tolist(), strict=True):
            wanted = expected["index"][number].get(tried, math.nan)
            assert value == pytest.approx(wanted, abs=1e-9, nan_ok=True)
        labels = layer.labels[n, t]
        members = [(labels == label).nonzero()[:, 0].tolist() for label in range(k)]
        assert members == expected["members"][number]
        assert int(labels.max()) == k - 1
        own = range(layer.masks.start, layer.masks.start + k)
        for place, mask in enumerate(own):
            assert_close(masks[mask], expected["masks"][offset + place], atol=1e-10)
            assert_close(result.scores[n, mask, t], expected["scores"][offset + place])
            assert_close(result.mask_weights[n, mask, t], expected["weights"][offset + place])
        # beyond an image's own number there is nothing
        beyond = slice(layer.masks.start + k, layer.masks.stop)
        assert result.scores[n, beyond, t].isnan().all()
        assert (result.mask_weights[n, beyond, t] == 0).all()
        assert (masks[beyond] == 0).all()
        assert (layer.maps[n, t, k:] == 0).all()
        offset += k
    assert float(result.mask_weights[n, :, t].sum()) == pytest.approx(1)
    assert result.layers[-1].masks.stop == result.scores.shape[1]


def check(name, *, increase=False, baseline=None, **options):
    """Compare explanation and reference for every image of a case."""
    net, layers, images, targets = layers_of(name)
    options = {**OPTIONS, **options}
    result = LayerCollectionCam(net, layers).explain(
        images,
        [[target] for target in targets],
        baselines=baseline,
        increase=increase,
        **options,
    )
    size = tuple(images.shape[2:])
    assert result.maps.shape == (len(images), 1, *size)
    for n, (x, target) in enumerate(zip(images, targets, strict=True)):
        b = baseline[n] if isinstance(baseline, torch.Tensor) else baseline
        parts = seen(net, layers, x, target)
        expected = reference(net, x, parts, target, result, n, 0, baseline=b, **options)
        check_one(expected, result, n, 0, size)
        if increase:
            mic = result.increase[n, ~result.scores[n, :, 0].isnan(), 0]
            assert_close(mic, expected["mic_of"]())
    return result


# Against the reference


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("standardize", [False, True])
def test_every_network(name, standardize):
    result = check(name, standardize=standardize)
    assert result.method == "collection-cam"
    assert result.weights is None
    assert result.increase is None
    assert result.exponents is None


@pytest.mark.parametrize("name", ["small", "hand", "three layers"])
@pytest.mark.parametrize("partition_sizes", [[1], [2], [4, 1, 2], range(1, 20)], ids=str)
def test_every_partition_size(name, partition_sizes):
    result = check(name, partition_sizes=partition_sizes)
    for layer in result.layers:
        assert layer.partition_sizes == tuple(sorted(set(partition_sizes)))


@pytest.mark.parametrize("name", ["before the relu", "two layers", "dense of two"])
@pytest.mark.parametrize("relu_after_upsampling", [False, True])
@pytest.mark.parametrize("quantile", [0.0, 0.1, 0.5, 0.9, 1])
def test_every_quantile_and_place_of_the_relu(name, relu_after_upsampling, quantile):
    check(name, denoise_quantile=quantile, relu_after_upsampling=relu_after_upsampling)


def test_the_place_of_the_relu_matters_in_the_final_layer():
    net, layers, images, targets = layers_of("before the relu")
    cam = LayerCollectionCam(net, layers)
    before = cam.attribute(images, targets, **OPTIONS)
    after = cam.attribute(images, targets, relu_after_upsampling=True, **OPTIONS)
    assert (before - after).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["small", "two layers", "one logit", "dense"])
@pytest.mark.parametrize("score_function", ["logit", "probability", "sigmoid", squared])
def test_every_score_function(name, score_function):
    check(name, score_function=score_function)


@pytest.mark.parametrize(
    "baseline", [-0.8, 2, nets.images(2, 3, SIZE, seed=6)], ids=["float", "int", "each"]
)
@pytest.mark.parametrize("name", ["before the relu", "three layers"])
def test_every_baseline(name, baseline):
    check(name, baseline=baseline, increase=True)


@pytest.mark.parametrize("name", LAYERS)
def test_increase_is_the_papers_and_changes_no_map(name):
    result = check(name, increase=True)
    net, layers, images, targets = layers_of(name)
    plain = LayerCollectionCam(net, layers).explain(images, [[t] for t in targets], **OPTIONS)
    assert_close(result.maps, plain.maps, rtol=1e-12)
    assert_close(result.mask_weights, plain.mask_weights, rtol=1e-12)
    assert result.scores.shape == plain.scores.shape == result.increase.shape


def test_a_layer_that_gives_a_tuple():
    net = nets.TupleNet().double().eval()
    images = nets.images(2, 3, SIZE)
    results = LayerCollectionCam(net, net.layer).explain(images, [2], **OPTIONS)
    assert len(results) == 2
    with torch.no_grad():
        parts = net.layer(images)
    for number, (maps, result) in enumerate(zip(parts, results, strict=True)):
        # mean pooling and a linear layer: the gradient is flat
        weight = net.fc.weight[2, 6 * number : 6 * number + 6].detach() / maps[0, 0].numel()
        gradients = weight[:, None, None].expand_as(maps[0])
        for n in range(2):
            parts = [(maps[n], gradients)]
            expected = reference(net, images[n], parts, 2, result, n, 0, **OPTIONS)
            check_one(expected, result, n, 0, SIZE)


def test_reshape_transform():
    net = nets.TokenNet().double().eval()
    images = nets.images(2, 3, (8, 12))
    result = LayerCollectionCam(net, [net.block], reshape_transform=net.reshape_transform).explain(
        images, [1], **OPTIONS
    )

    def folded(tokens):
        return net.reshape_transform(torch.from_numpy(tokens)[None])[0]

    for n in range(2):
        a, g = seen(net, [net.block], images[n], 1)[0]
        parts = [(folded(a), folded(g))]
        expected = reference(net, images[n], parts, 1, result, n, 0, **OPTIONS)
        check_one(expected, result, n, 0, (8, 12))


def test_what_a_layer_takes_is_what_the_one_before_gives():
    net, _, images, targets = layers_of("small")
    options = {**OPTIONS, "relu_attributions": True}
    of_input = LayerCollectionCam(net, net.relu2).attribute(
        images, targets, attribute_to_layer_input=True, **options
    )
    of_output = LayerCollectionCam(net, net.conv2).attribute(images, targets, **options)
    assert_close(of_input, of_output, rtol=1e-12)


# Identities


@pytest.mark.parametrize("name", ["small", "before the relu", "early", "hand", "callable"])
@pytest.mark.parametrize("quantile", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("standardize", [False, True])
def test_one_collection_is_the_denoised_grad_cam(name, quantile, standardize):
    net, layers, images, targets = layers_of(name)
    found = LayerCollectionCam(net, layers).attribute_targets(
        images,
        [[target] for target in targets],
        partition_sizes=[1],
        denoise_quantile=quantile,
        standardize=standardize,
    )
    for n, target in enumerate(targets):
        if callable(target):
            maps, gradients = seen(net, layers, images[n], target)[0]
            grad_cam = (gradients.mean(axis=(1, 2))[:, None, None] * maps).sum(axis=0)
        else:
            grad_cam = LayerGradCam(net, layers[0]).attribute(images[n : n + 1], target)[0, 0]
        enlarged = ref.up(np.maximum(ref.array(grad_cam), 0), tuple(images.shape[2:]))
        assert_close(found[n, 0], ref.minmax(cref.denoise(enlarged, quantile)))
        assert found[n].max() == 1


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("layers", [["relu2"], ["relu1", "conv2"]], ids=str)
def test_the_order_of_channels_does_not_matter(layers, standardize):
    net = nets.SmallNet().double().eval()
    images = nets.images(2)
    parts = []
    for name in layers:
        found = [seen(net, [getattr(net, name)], x, 3)[0] for x in images]
        maps = torch.from_numpy(np.stack([a for a, _ in found]))
        gradients = torch.from_numpy(np.stack([g for _, g in found]))[:, None]
        # copies and a dead channel among them
        zero = torch.zeros_like(maps[:, :1])
        parts.append(
            MapsAndGradients(
                torch.cat([maps, maps[:, [2, 2, 5]], zero], dim=1),
                torch.cat([gradients, gradients[:, :, [2, 2, 5]], zero[:, None]], dim=2),
            )
        )
    scorer = MaskedScorer(lambda b, _: net(b[0]), (images,), select_shared([3], images=2))
    config = CollectionCamConfig(partition_sizes=(2, 3, 5), standardize=standardize)
    plain = collection_cam(parts, scorer, config)
    for seed in range(3):
        orders = [
            torch.randperm(part.maps.shape[1], generator=torch.Generator().manual_seed(seed))
            for part in parts
        ]
        moved = [
            MapsAndGradients(part.maps[:, order], part.gradients[:, :, order])
            for part, order in zip(parts, orders, strict=True)
        ]
        shuffled = collection_cam(moved, scorer, config)
        assert_close(shuffled.maps, plain.maps)
        for ours, theirs, order in zip(shuffled.layers, plain.layers, orders, strict=True):
            assert torch.equal(ours.sizes, theirs.sizes)
            assert_close(ours.validity, theirs.validity)
            for n in range(2):
                mine = ours.labels[n, 0].tolist()
                pairs = set(zip(mine, theirs.labels[n, 0, order].tolist(), strict=True))
                # the same collections, numbered anew
                assert len(pairs) == int(ours.sizes[n, 0])


def test_sizes_above_the_distinct_maps_of_an_image_are_dropped_for_it():
    net, layer, images, _ = case("before the relu")
    found = [seen(net, [layer], x, 2)[0] for x in images]
    maps = torch.from_numpy(np.stack([a for a, _ in found]))
    gradients = torch.from_numpy(np.stack([g for _, g in found]))[:, None]
    # three different channels in the first image
    maps[0], gradients[0] = maps[0, torch.arange(12) % 3], gradients[0, :, torch.arange(12) % 3]
    scorer = MaskedScorer(lambda b, _: net(b[0]), (images,), select_shared([2], images=2))
    config = CollectionCamConfig(partition_sizes=(2, 3, 4, 12, 13))
    result = collection_cam([MapsAndGradients(maps, gradients)], scorer, config)
    validity = result.layers[0].validity[:, 0].isnan().tolist()
    assert validity == [[False, False, True, True, True], [False, False, False, False, True]]
    # singletons (or copies alone) have no dispersion: index 1, the largest
    assert result.layers[0].sizes[:, 0].tolist() == [3, 12]
    assert result.layers[0].validity[0, 0, 1] == result.layers[0].validity[1, 0, 3] == 1
    assert (~result.scores[..., 0].isnan()).sum(dim=1).tolist() == [3, 12]
    for n in range(2):
        parts = [(maps[n], gradients[n, 0])]
        options = {
            "partition_sizes": config.partition_sizes,
            "denoise_quantile": config.denoise_quantile,
        }
        expected = reference(net, images[n], parts, 2, result, n, 0, **options)
        check_one(expected, result, n, 0, (8, 8))


@pytest.mark.parametrize("layers", [["relu2"], ["relu1", "relu2"]], ids=str)
def test_several_targets_are_the_single_ones(layers):
    net = nets.SmallNet().double().eval()
    cam = LayerCollectionCam(net, [getattr(net, name) for name in layers])
    images = nets.images(2, 3, SIZE)
    options = {**OPTIONS, "partition_sizes": (1, 2, 3, 5), "increase": True}
    targets = [[3, 0, 4], [1, 1, 2]]
    together = cam.explain(images, targets, **options)
    maps = cam.attribute_targets(images, torch.tensor(targets), **options)
    assert torch.equal(maps, together.maps)
    for t in range(3):
        alone = cam.explain(images, [[row[t]] for row in targets], **options)
        assert_close(together.maps[:, t], alone.maps[:, 0], rtol=1e-12)
        for ours, theirs in zip(together.layers, alone.layers, strict=True):
            assert torch.equal(ours.sizes[:, t], theirs.sizes[:, 0])
            assert torch.equal(ours.labels[:, t], theirs.labels[:, 0])
            assert_close(ours.validity[:, t], theirs.validity[:, 0], rtol=1e-12)
            # a target may have fewer collections than another, whose scores then end in NaN
            k = theirs.masks.stop - theirs.masks.start
            mine = slice(ours.masks.start, ours.masks.start + k)
            for field in ("scores", "mask_weights", "increase"):
                assert_close(
                    getattr(together, field)[:, mine, t],
                    getattr(alone, field)[:, theirs.masks, 0],
                    rtol=1e-12,
                )
            for n in range(2):
                assert_close(
                    together.render_masks(n, SIZE, t)[mine],
                    alone.render_masks(n, SIZE)[theirs.masks],
                    rtol=1e-12,
                )


@pytest.mark.parametrize("name", ["small", "two layers"])
def test_several_targets_are_the_reference(name):
    net, layers, images, _ = layers_of(name)
    options = {**OPTIONS, "partition_sizes": (2, 3, 5), "standardize": True}
    result = LayerCollectionCam(net, layers).explain(images, [0, 1, 2, 3, 4], **options)
    # masks of different targets differ, each being scored at its own
    for n, x in enumerate(images):
        for t in range(5):
            parts = seen(net, layers, x, t)
            check_one(reference(net, x, parts, t, result, n, t, **options), result, n, t, SIZE)
    assert len({tuple(row) for row in result.layers[-1].labels[0].tolist()}) > 1


def test_a_batch_is_its_images_one_by_one():
    net, layers, _, _ = layers_of("two layers")
    images, targets = nets.images(3, seed=9), [[0, 1], [4, 4], [2, 3]]
    cam = LayerCollectionCam(net, layers)
    options = {**OPTIONS, "partition_sizes": (2, 3, 4, 6)}
    whole = cam.explain(images, targets, **options)
    for n in range(3):
        one = cam.explain(images[n : n + 1], targets[n], **options)
        assert_close(whole.maps[n], one.maps[0], rtol=1e-12)
        for ours, theirs in zip(whole.layers, one.layers, strict=True):
            assert torch.equal(ours.labels[n], theirs.labels[0])
            assert torch.equal(ours.sizes[n], theirs.sizes[0])


@pytest.mark.parametrize("per_eval", [1, 2, 5, 100])
def test_the_size_of_a_pass_does_not_matter(per_eval):
    net, layers, images, targets = layers_of("two layers")
    cam = LayerCollectionCam(net, layers)
    options = {**OPTIONS, "sufficient": True, "increase": True}
    plain = cam.explain(images, [[t, 0] for t in targets], **options)
    other = cam.explain(
        images, [[t, 0] for t in targets], perturbations_per_eval=per_eval, **options
    )
    assert_close(other.maps, plain.maps, rtol=1e-12)
    assert_close(other.increase, plain.increase, rtol=1e-12)


@pytest.mark.parametrize("per_eval", [None, 1, 3])
@pytest.mark.parametrize("increase", [False, True])
@pytest.mark.parametrize("layers", [["conv2"], ["bn1", "conv2"]], ids=str)
def test_forwards_are_one_and_the_number_of_collections(layers, increase, per_eval):
    net = nets.SmallNet().double().eval()
    cam = LayerCollectionCam(net, [getattr(net, name) for name in layers])
    with count_forwards(net) as count:
        result = cam.explain(
            nets.images(2),
            [0, 3],
            increase=increase,
            perturbations_per_eval=per_eval,
            **OPTIONS,
        )
    collections = sum(int(layer.sizes.sum()) for layer in result.layers)
    assert collections >= 2 * 2 * 2 * len(layers)
    # of one image and one target: 1 + collections; the unmasked pass serves all targets
    assert count.images == 2 + collections + (2 if increase else 0)


def test_flat_maps_share_one_pass():
    net, layer, images, _ = case("flat")
    with count_forwards(net) as count:
        result = LayerCollectionCam(net, layer).explain(images, [1], **OPTIONS)
    assert count.images == 2 * (1 + 1)
    assert (result.maps == 0).all()
    assert_close(result.mask_weights.sum(dim=1), [[1], [1]])
    # every mask has the score of the black image
    for n in range(2):
        black = ref.masked_score(net, images[n], np.zeros((8, 8)), 1, "logit")
        assert_close(result.scores[n][~result.scores[n].isnan()], black)


def test_gradients_are_those_of_the_output_whatever_is_scored():
    net, layers, images, targets = layers_of("small")
    cam = LayerCollectionCam(net, layers)
    by_logit = cam.explain(images, [[t] for t in targets], **OPTIONS)
    by_probability = cam.explain(
        images, [[t] for t in targets], score_function="probability", **OPTIONS
    )
    assert torch.equal(by_logit.layers[0].labels, by_probability.layers[0].labels)
    assert_close(by_logit.layers[0].maps, by_probability.layers[0].maps, rtol=1e-12)


def test_float32_stays_float32():
    net = nets.SmallNet().float().eval()
    cam = LayerCollectionCam(net, [net.relu1, net.relu2])
    for sufficient in (False, True):
        result = cam.explain(nets.images(1).float(), [0, 1], sufficient=sufficient, **OPTIONS)
        assert result.maps.dtype == result.mask_weights.dtype == torch.float32
        double = LayerCollectionCam(net.double(), [net.relu1, net.relu2]).explain(
            nets.images(1), [0, 1], sufficient=sufficient, **OPTIONS
        )
        net.float()
        assert_close(result.maps, double.maps, rtol=1e-3, atol=1e-4)


def test_the_model_is_left_as_it_was():
    net = nets.SmallNet().double().eval()
    images = nets.images(1).requires_grad_()
    result = LayerCollectionCam(net, [net.relu1, net.relu2]).attribute(images, 0, **OPTIONS)
    assert not result.requires_grad
    assert images.grad is None
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


# Sufficient Collection-CAM


def brute_force(net, x, plain, target, exponents, score_function, baseline=None):
    """The exponent of one image, each power scored alone, and the powered map."""
    scaled = ref.minmax(plain)

    def score(mask):
        return ref.masked_score(net, x, mask, target, score_function, baseline)

    whole = score(np.ones_like(scaled))
    scores = {exponent: score(scaled**exponent) for exponent in exponents}
    kept = [exponent for exponent, value in scores.items() if value >= whole]
    if kept:
        chosen = max(kept)
    else:
        best = max(scores.values())
        chosen = max(exponent for exponent, value in scores.items() if value == best)
    return chosen, scaled**chosen, bool(kept)


SUFFICIENT = ["small", "before the relu", "callable", "one logit", "dense", "two layers", "hand"]
EXPONENTS = (1.0, 4.0, 0.3, 2.0, 1.5, 0.6)


@pytest.mark.parametrize("name", SUFFICIENT)
@pytest.mark.parametrize("score_function", ["probability", "logit", "sigmoid", squared])
@pytest.mark.parametrize("baseline", [None, 0.5])
def test_the_exponent_by_brute_force(name, score_function, baseline):
    net, layers, images, targets = layers_of(name)
    cam = LayerCollectionCam(net, layers)
    each = [[target] for target in targets]
    plain = cam.explain(images, each, baselines=baseline, **OPTIONS)
    result = cam.explain(
        images,
        each,
        baselines=baseline,
        sufficient=True,
        exponents=EXPONENTS,
        sufficient_score=score_function,
        **OPTIONS,
    )
    for n, target in enumerate(targets):
        exponent, expected, _ = brute_force(
            net, images[n], plain.maps[n, 0], target, EXPONENTS, score_function, baseline
        )
        assert float(result.exponents[n, 0]) == exponent
        assert_close(result.maps[n, 0], expected)
        # whatever the exponent, more salient stays more salient
        order = plain.maps[n, 0].flatten().argsort()
        assert (result.maps[n, 0].flatten()[order].diff() > -1e-12).all()
        assert result.maps[n].min() == 0
        assert result.maps[n].max() == 1
    # what led to the fused map is the same
    assert_close(result.scores, plain.scores, rtol=1e-12)
    assert_close(result.mask_weights, plain.mask_weights, rtol=1e-12)


def test_every_exponent_can_be_chosen_and_some_maps_keep_no_score():
    net = nets.SmallNet(seed=5).double().eval()
    cam, images = LayerCollectionCam(net, net.conv2), nets.images(4, 3, SIZE, seed=1)
    plain = cam.attribute_targets(images, [0, 1, 2, 3, 4], baselines=0.5, **OPTIONS)
    result = cam.explain(
        images, [0, 1, 2, 3, 4], baselines=0.5, sufficient=True, exponents=EXPONENTS, **OPTIONS
    )
    kept = set()
    for n in range(4):
        for t in range(5):
            exponent, expected, found = brute_force(
                net, images[n], plain[n, t], t, EXPONENTS, "probability", 0.5
            )
            kept.add(found)
            assert float(result.exponents[n, t]) == exponent
            assert_close(result.maps[n, t], expected)
    assert kept == {False, True}
    assert len(result.exponents.unique()) >= 4


@pytest.mark.parametrize("exponents", [(1.0,), (2.0, 1.0, 0.5), range(1, 6)], ids=str)
def test_forwards_of_the_exponents(exponents):
    net, layers, images, _ = layers_of("two layers")
    cam = LayerCollectionCam(net, layers)
    with count_forwards(net) as plain:
        cam.attribute_targets(images, [0, 1], **OPTIONS)
    with count_forwards(net) as count:
        cam.attribute_targets(images, [0, 1], sufficient=True, exponents=exponents, **OPTIONS)
    # for each image and target one pass for each exponent, and one for the whole image
    assert count.images == plain.images + 2 * 2 * (len(exponents) + 1)


def test_several_targets_have_exponents_of_their_own():
    net, layers, images, _ = layers_of("two layers")
    cam = LayerCollectionCam(net, layers)
    options = {**OPTIONS, "sufficient": True, "exponents": EXPONENTS}
    together = cam.explain(images, [0, 1, 2, 3, 4], **options)
    assert len(together.exponents.unique()) > 1
    for t in range(5):
        alone = cam.explain(images, [t], **options)
        assert torch.equal(together.exponents[:, t], alone.exponents[:, 0])
        assert_close(together.maps[:, t], alone.maps[:, 0], rtol=1e-12)


def test_a_fused_map_of_zeros_stays_finite():
    net, layer, images, _ = case("flat")
    result = LayerCollectionCam(net, layer).explain(images, [0, 1], sufficient=True, **OPTIONS)
    assert (result.maps == 0).all()
    # each power of it is the black image, so that the sharpest is as good as any
    assert (result.exponents == max(CollectionCamConfig().exponents)).all()


def test_the_same_exponents_without_sufficient_change_nothing():
    net, layers, images, targets = layers_of("small")
    cam = LayerCollectionCam(net, layers)
    assert torch.equal(
        cam.attribute(images, targets, exponents=(5.0,), sufficient_score="logit", **OPTIONS),
        cam.attribute(images, targets, **OPTIONS),
    )


# By hand


def test_hand_worked_masks():
    net, image = nets.HandNet().double().eval(), nets.HandNet.image()
    result = LayerCollectionCam(net, net.relu).explain(
        image, [0], partition_sizes=[1], denoise_quantile=0.0, increase=True
    )
    # w = (1, 0, 1, -1/2) / 4, as pooling is over 4 cells: the sum is [8 4; 0 4 - 8] / 4
    assert_close(result.layers[0].maps[0, 0] * 4, [[[8, 4], [0, -4]]], rtol=1e-14)
    # that is the mask M_2 of the tables in nets.py: its logit is 2.08984375, the black one's 1/2
    assert_close(result.scores[0, :, 0], nets.HAND_CHANNEL_LOGITS[2][:1], rtol=1e-14)
    assert_close(result.increase[0, :, 0], [2.08984375 - 0.5], rtol=1e-14)
    assert_close(result.maps[0, 0], ref.up([[1, 0.5], [0, 0]], (4, 4)), rtol=1e-14)


def test_hand_worked_collections():
    net, image = nets.HandNet().double().eval(), nets.HandNet.image()
    result = LayerCollectionCam(net, net.relu).explain(image, [0], partition_sizes=[3, 2])
    layer = result.layers[0]
    # the maps have means 2.5 5.5 1.5 4 and variances 2.75 38.75 2.75 48, the flat gradients are
    # 1/4 0 1/4 -1/8. Squared distances: A_0 to A_2 1; A_1 to A_3 (3/2)^2 + 0.70^2 + (1/8)^2 = 2.76
    assert layer.validity.shape == (1, 1, 2)
    apart = (math.sqrt(48) - math.sqrt(38.75)) ** 2 + 1.5**2 + 0.125**2
    root = math.sqrt(2.75)
    # two collections: centroids (2, 1.66, 1/4) and (4.75, 6.58, -1/16), DIC 1/4 and apart / 4
    middle = (math.sqrt(48) + math.sqrt(38.75)) / 2
    sic = 2.75**2 + (middle - root) ** 2 + 0.3125**2
    two = ((sic - 0.25) / (sic + 0.25) + (sic - apart / 4) / (sic + apart / 4)) / 2
    # three: A_1 and A_3 alone, without dispersion; A_3 is nearer to {0, 2}
    sic = min(
        (4 - 2) ** 2 + (math.sqrt(48) - root) ** 2 + 0.375**2,
        (5.5 - 2) ** 2 + (math.sqrt(38.75) - root) ** 2 + 0.25**2,
    )
    three = ((sic - 0.25) / (sic + 0.25) + 1 + 1) / 3
    assert layer.partition_sizes == (2, 3)
    assert_close(layer.validity[0, 0], [two, three])
    assert three > two
    assert layer.labels.tolist() == [[[0, 1, 0, 2]]]
    # final layer: the sums of w_k A_k, w = (1, 0, 1, -1/2) / 4 over 4 cells
    assert_close(layer.maps[0, 0] * 4, [[[8, 4], [0, 4]], [[0, 0], [0, 0]], [[0, 0], [0, -8]]])


# Options


def test_defaults():
    assert dataclasses.asdict(CollectionCamConfig()) == {
        "partition_sizes": (2, 3),
        "denoise_quantile": 0.4,
        "standardize": False,
        "relu_after_upsampling": False,
        "increase": False,
        "score_function": "logit",
        "sufficient": False,
        "exponents": (3.0, 2.0, 1.5, 1.0, 0.7, 0.4),
        "sufficient_score": "probability",
    }
    assert CollectionCamConfig(score_function=squared).reads is squared
    assert COLLECTION_CAM.id == "collection-cam"
    assert COLLECTION_CAM.several_layers
    assert COLLECTION_CAM.gradient
    assert not COLLECTION_CAM.linear


SCORES = "to be one of 'logit', 'probability', 'sigmoid', but got 'softmax'."


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"partition_sizes": []},
            ValueError,
            "partition_sizes to be a list of at least one integer, but got an empty one.",
        ),
        (
            {"partition_sizes": [2, 0]},
            ValueError,
            "each of partition_sizes to be an integer of at least 1, but got 0.",
        ),
        (
            {"partition_sizes": [2.0]},
            TypeError,
            "each of partition_sizes to be an integer of at least 1, but got 2.0.",
        ),
        (
            {"partition_sizes": 3},
            TypeError,
            "partition_sizes to be a list of integers, but got 3.",
        ),
        (
            {"partition_sizes": "23"},
            TypeError,
            "partition_sizes to be a list of integers, but got '23' (str).",
        ),
        (
            {"denoise_quantile": 1.1},
            ValueError,
            "denoise_quantile to be a number from 0 to 1, but got 1.1.",
        ),
        (
            {"denoise_quantile": math.nan},
            ValueError,
            "denoise_quantile to be a number from 0 to 1, but got nan.",
        ),
        ({"standardize": 1}, TypeError, "standardize to be True or False, but got 1."),
        (
            {"relu_after_upsampling": None},
            TypeError,
            "relu_after_upsampling to be True or False, but got None (NoneType).",
        ),
        ({"increase": "yes"}, TypeError, "increase to be True or False, but got 'yes' (str)."),
        ({"score_function": "softmax"}, ValueError, "score_function " + SCORES),
        ({"sufficient_score": "softmax"}, ValueError, "sufficient_score " + SCORES),
        ({"sufficient": 1}, TypeError, "sufficient to be True or False, but got 1."),
        (
            {"exponents": ()},
            ValueError,
            "exponents to be a list of at least one number, but got an empty one.",
        ),
        ({"exponents": 2.0}, TypeError, "exponents to be a list of numbers, but got 2.0."),
        (
            {"exponents": [1.0, 0]},
            ValueError,
            "each of exponents to be a number above 0, but got 0.",
        ),
        (
            {"exponents": [math.inf]},
            ValueError,
            "each of exponents to be a number above 0, but got inf.",
        ),
        (
            {"exponents": ["1"]},
            TypeError,
            "each of exponents to be a number above 0, but got '1' (str).",
        ),
        (
            {"sizes": [2]},
            TypeError,
            "the options of collection-cam to be among partition_sizes, denoise_quantile, "
            "standardize, relu_after_upsampling, increase, score_function, sufficient, exponents, "
            "sufficient_score, but got 'sizes'.",
        ),
    ],
    ids=str,
)
def test_wrong_options(options, error, text):
    with pytest.raises(error) as raised:
        COLLECTION_CAM.configure(options)
    assert str(raised.value) == f"Expected {text}"


def test_no_size_left_for_a_layer():
    net, layers, images, targets = layers_of("two layers")
    # 12 maps in the second layer, 8 in the first
    with pytest.raises(ValueError, match="partition_sizes") as raised:
        LayerCollectionCam(net, layers).attribute(images, targets, partition_sizes=[11, 9])
    assert str(raised.value) == (
        "Expected partition_sizes to hold a size that a layer with 8 distinct feature maps can "
        "have, but got 9, 11."
    )


def test_layers_in_the_wrong_order():
    net, layers, images, targets = layers_of("two layers")
    with pytest.raises(LayerError) as raised:
        LayerCollectionCam(net, layers[::-1]).attribute(images, targets)
    assert str(raised.value) == (
        "Expected the layers to be ordered from shallow to final, so that no grid is larger than "
        "the one before, but got grids of 3x4, 6x7."
    )


def test_layers_of_one_grid_may_come_in_any_order():
    net, _, images, targets = layers_of("two layers")
    one = LayerCollectionCam(net, [net.conv2, net.relu2]).attribute(images, targets, **OPTIONS)
    other = LayerCollectionCam(net, [net.relu2, net.conv2]).attribute(images, targets, **OPTIONS)
    # the last is the final one: its masks are made differently
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("layer", "error", "text"),
    [
        ([], ValueError, "Expected layer to be a list of at least one module, but got an empty"),
        ("relu2", TypeError, "Expected layer to be a module or a list of modules, but got 'relu2'"),
        (None, TypeError, "Expected layer to be a module or a list of modules, but got None"),
    ],
)
def test_wrong_layers(layer, error, text):
    with pytest.raises(error) as raised:
        LayerCollectionCam(nets.SmallNet(), layer)
    assert str(raised.value).startswith(text)


def test_scores_that_are_not_finite():
    net = nets.NaNNet().double().eval()
    with pytest.raises(ValueError, match="the model's scores to be finite"):
        LayerCollectionCam(net, net.relu).attribute(nets.images(1), 0)


def test_a_layer_of_one_channel():
    net = nets.SmallNet(channels=1).double().eval()
    images = nets.images(1)
    result = LayerCollectionCam(net, net.conv2).explain(images, [0], partition_sizes=[1, 2])
    assert result.layers[0].labels.tolist() == [[[0]]]
    assert result.layers[0].validity.isnan().tolist() == [[[False, True]]]
