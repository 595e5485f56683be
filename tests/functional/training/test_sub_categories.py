"""Sub-categories: k-means by brute force, labels and loss from the equations, edges, messages."""

import itertools
import math

import pytest
import torch

from captum_cluster.functional.training import (
    sub_category_assignments,
    sub_category_labels,
    sub_category_loss,
    sub_category_maximum,
)


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def blobs(sizes, *, seed=0, distance=20.0):
    """Points (N,3) around centres far from each other, and the centre of each, shuffled."""
    owner = torch.tensor([blob for blob, size in enumerate(sizes) for _ in range(size)])
    owner = owner[torch.randperm(len(owner), generator=torch.Generator().manual_seed(seed))]
    centres = distance * torch.eye(len(sizes), 3, dtype=torch.float64)
    return centres[owner] + draw(len(owner), 3, seed=seed), owner


def partition(numbers):
    """The parts, as a set of sets of places."""
    return {
        frozenset(place for place, value in enumerate(numbers) if value == number)
        for number in set(numbers)
    }


def spread(points, numbers):
    """Equation 2: the sum of the squared distances to the mean of the own cluster."""
    total = 0.0
    for part in partition(numbers):
        members = points[sorted(part)]
        total += float(((members - members.mean(dim=0)) ** 2).sum())
    return total


# --- assignments ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("clusters", [2, 3])
def test_the_best_partition_of_all(clusters, seed):
    points = draw(7, 2, seed=seed)
    found = sub_category_assignments(points, torch.ones(7, 1), clusters)[:, 0].tolist()
    best = min(itertools.product(range(clusters), repeat=7), key=lambda n: spread(points, n))
    assert spread(points, found) == pytest.approx(spread(points, best), rel=1e-9)
    assert partition(found) == partition(best)


def test_each_label_is_clustered_by_its_own_images():
    features, owner = blobs([4, 5, 3])
    labels = torch.stack([torch.ones(12), owner != 1, owner == 1], dim=1).bool()
    found = sub_category_assignments(features, labels, 2)
    # Label 1 has blobs 0 and 2 alone: its two sub-categories.
    inside = owner != 1
    assert partition(found[inside, 1].tolist()) == partition(owner[inside].tolist())
    assert torch.equal(found == -1, ~labels)
    alone = sub_category_assignments(features[~inside], torch.ones(5, 1), 2)
    assert torch.equal(found[~inside, 2], alone[:, 0])


def test_numbers_follow_the_first_images():
    features, owner = blobs([4, 5, 3])
    found = sub_category_assignments(features, torch.ones(12, 1), 3)[:, 0].tolist()
    order = list(dict.fromkeys(owner.tolist()))
    assert found == [order.index(blob) for blob in owner.tolist()]


@pytest.mark.parametrize("clusters", [2, 4])
def test_the_order_of_the_images_does_not_matter(clusters):
    features, labels = draw(40, 5), torch.ones(40, 1)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    there = sub_category_assignments(features, labels, clusters)[:, 0]
    back = sub_category_assignments(features[order], labels, clusters)[:, 0]
    assert partition(there[order].tolist()) == partition(back.tolist())


def test_a_label_with_fewer_images_than_sub_categories():
    features = draw(6, 3)
    labels = torch.zeros(6, 3)
    labels[[1, 4, 5], 0] = 1
    labels[2, 1] = 1
    found = sub_category_assignments(features, labels, 10)
    expected = [[-1, -1, -1], [0, -1, -1], [-1, 0, -1], [-1, -1, -1], [1, -1, -1], [2, -1, -1]]
    assert found.tolist() == expected


def test_equal_images_share_a_sub_category():
    features = draw(3, 4)[[0, 1, 0, 2, 1]]
    found = sub_category_assignments(features, torch.ones(5, 1), 4)
    assert found[:, 0].tolist() == [0, 1, 0, 2, 1]


def test_one_sub_category_for_all():
    labels = torch.tensor([[True, False], [True, True], [False, False]])
    found = sub_category_assignments(draw(3, 2), labels, 1)
    assert found.tolist() == [[0, -1], [0, 0], [-1, -1]]


def test_no_image_and_no_label():
    assert sub_category_assignments(torch.zeros(0, 3), torch.zeros(0, 2), 4).shape == (0, 2)
    assert sub_category_assignments(torch.zeros(4, 3), torch.zeros(4, 0), 4).shape == (4, 0)


def test_the_seed_decides_and_nothing_else_changes():
    features, labels = draw(60, 4), torch.ones(60, 1)
    kept, state = features.clone(), torch.random.get_rng_state()
    found = [sub_category_assignments(features, labels, 7, seed=seed) for seed in (0, 0)]
    assert torch.equal(found[0], found[1])
    others = [sub_category_assignments(features, labels, 7, seed=seed) for seed in range(1, 6)]
    assert any(not torch.equal(found[0], other) for other in others)
    assert torch.equal(features, kept)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32, torch.float64])
def test_any_type_of_labels(dtype):
    labels = torch.tensor([[1, 0], [1, 1], [0, 1]]).to(dtype)
    found = sub_category_assignments(draw(3, 2), labels, 2)
    assert found.dtype == torch.long
    assert found.tolist() == [[0, -1], [1, 0], [-1, 1]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision(dtype):
    features, owner = blobs([4, 5, 3])
    found = sub_category_assignments(features.to(dtype), torch.ones(12, 1), 3)
    assert partition(found[:, 0].tolist()) == partition(owner.tolist())


def test_features_of_a_graph_are_detached():
    features = draw(4, 2).requires_grad_()
    found = sub_category_assignments(features, torch.ones(4, 1), 2)
    assert not found.requires_grad


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, torch.ones(2, 1)), TypeError, r"features to be a floating-point tensor \(N,D\)"),
        ((torch.ones(2, 1).long(), torch.ones(2, 1)), TypeError, "floating-point"),
        ((torch.ones(2), torch.ones(2, 1)), ValueError, r"features .* shape \(2,\)"),
        ((torch.ones(2, 3), [[1], [0]]), TypeError, r"labels to be a tensor \(2,L\) of 0 and 1"),
        ((torch.ones(2, 3), torch.ones(3, 1)), ValueError, r"labels .* shape \(3, 1\)"),
        ((torch.ones(2, 3), torch.ones(2)), ValueError, r"labels .* shape \(2,\)"),
        ((torch.ones(2, 3), torch.full((2, 1), 0.5)), ValueError, "but got other numbers"),
        ((torch.ones(2, 3) / 0, torch.ones(2, 1)), ValueError, "finite, but got an infinite"),
        ((torch.ones(2, 3), torch.ones(2, 1), 0), ValueError, "of at least 1, but got 0"),
        ((torch.ones(2, 3), torch.ones(2, 1), 2.0), TypeError, "n_sub_categories"),
    ],
    ids=["none", "long", "flat", "list", "rows", "column", "half", "infinite", "number", "float"],
)
def test_bad_assignments(arguments, error, message):
    with pytest.raises(error, match=message):
        sub_category_assignments(*arguments)


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**32, ValueError), (1.5, TypeError)]
)
def test_bad_seed(seed, error):
    with pytest.raises(error, match="Expected seed to be an integer from 0"):
        sub_category_assignments(torch.ones(2, 3), torch.ones(2, 1), seed=seed)


# --- pseudo labels ----------------------------------------------------------------------------


@pytest.mark.parametrize("clusters", [3, 10])
def test_one_column_for_each_sub_category(clusters):
    generator = torch.Generator().manual_seed(0)
    assignments = torch.randint(-1, 3, (6, 4), generator=generator)
    found = sub_category_labels(assignments, clusters)
    assert found.shape == (6, 4 * clusters)
    assert found.dtype == torch.float32
    for image, label, number in itertools.product(range(6), range(4), range(clusters)):
        wanted = float(assignments[image, label] == number)
        assert found[image, label * clusters + number] == wanted


def test_an_absent_label_has_none_and_a_present_one_has_one():
    found = sub_category_labels(torch.tensor([[2, -1], [-1, -1]]), 3)
    assert found.reshape(2, 2, 3).sum(dim=2).tolist() == [[1, 0], [0, 0]]
    assert sub_category_labels(torch.zeros(0, 2, dtype=torch.long), 3).shape == (0, 6)


@pytest.mark.parametrize(
    ("assignments", "clusters", "error", "message"),
    [
        ([[0]], 2, TypeError, r"assignments to be a LongTensor \(N,L\)"),
        (torch.zeros(2, 2), 2, TypeError, r"assignments to be a LongTensor \(N,L\)"),
        (torch.zeros(2, dtype=torch.long), 2, ValueError, r"LongTensor \(N,L\)"),
        (torch.tensor([[0, 2]]), 2, ValueError, "from -1 to 1, but got 0 to 2"),
        (torch.tensor([[-2, 1]]), 2, ValueError, "from -1 to 1, but got -2 to 1"),
        (torch.tensor([[0]]), 0, ValueError, "n_sub_categories"),
    ],
    ids=["list", "float", "shape", "high", "low", "number"],
)
def test_bad_pseudo_labels(assignments, clusters, error, message):
    with pytest.raises(error, match=message):
        sub_category_labels(assignments, clusters)


# --- loss -------------------------------------------------------------------------------------


def soft_margin(logits, labels):
    """Binary cross-entropy of each logit by its formula, averaged."""
    total = 0.0
    for logit, label in zip(logits.flatten().tolist(), labels.flatten().tolist(), strict=True):
        probability = 1 / (1 + math.exp(-logit))
        total -= label * math.log(probability) + (1 - label) * math.log(1 - probability)
    return total / logits.numel()


@pytest.mark.parametrize("weight", [0.0, 1.0, 5.0])
def test_the_loss_of_equation_3(weight):
    parent, sub = draw(4, 3), draw(4, 12, seed=1)
    labels, sub_labels = (draw(4, 3, seed=2) > 0), (draw(4, 12, seed=3) > 0)
    found = sub_category_loss(parent, sub, labels, sub_labels.long(), weight=weight)
    expected = soft_margin(parent, labels) + weight * soft_margin(sub, sub_labels)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_the_weight_of_the_authors():
    parent, sub = draw(4, 3), draw(4, 6, seed=1)
    labels, sub_labels = torch.zeros(4, 3), torch.zeros(4, 6)
    expected = soft_margin(parent, labels) + 5 * soft_margin(sub, sub_labels)
    assert float(sub_category_loss(parent, sub, labels, sub_labels)) == pytest.approx(expected)


def test_gradients_of_the_loss():
    parent, sub = draw(2, 3).requires_grad_(), draw(2, 6, seed=1).requires_grad_()
    labels, sub_labels = torch.tensor([[1, 0, 1], [0, 0, 0]]), torch.zeros(2, 6)
    assert torch.autograd.gradcheck(
        lambda p, s: sub_category_loss(p, s, labels, sub_labels), (parent, sub)
    )


@pytest.mark.parametrize(
    ("place", "value", "error", "message"),
    [
        (0, None, TypeError, "parent_logits to be a floating-point tensor"),
        (0, torch.zeros(2), ValueError, "parent_logits"),
        (1, torch.zeros(2, 6).long(), TypeError, "sub_logits to be a floating-point tensor"),
        (2, [[1]], TypeError, r"labels to be a tensor \(2, 3\) like parent_logits"),
        (2, torch.zeros(2, 4), ValueError, r"labels to be a tensor \(2, 3\) like parent_logits"),
        (3, torch.zeros(2, 3), ValueError, r"sub_labels to be a tensor \(2, 6\) like sub_logits"),
    ],
    ids=["none", "flat", "integers", "list", "labels", "sub-labels"],
)
def test_bad_loss(place, value, error, message):
    arguments = [torch.zeros(2, 3), torch.zeros(2, 6), torch.zeros(2, 3), torch.zeros(2, 6)]
    arguments[place] = value
    with pytest.raises(error, match=message):
        sub_category_loss(*arguments)


@pytest.mark.parametrize(("weight", "error"), [(-1, ValueError), ("5", TypeError)])
def test_bad_weight(weight, error):
    zeros = torch.zeros(2, 3)
    with pytest.raises(error, match="Expected weight to be a number of at least 0"):
        sub_category_loss(zeros, zeros, zeros, zeros, weight=weight)


# --- maximum ----------------------------------------------------------------------------------


def test_the_maximum_of_the_sub_categories():
    maps = draw(2, 12, 3, 4)
    found = sub_category_maximum(maps, 4)
    assert found.shape == (2, 3, 3, 4)
    for image, label, row, column in itertools.product(range(2), range(3), range(3), range(4)):
        own = maps[image, label * 4 : label * 4 + 4, row, column]
        assert found[image, label, row, column] == max(own.tolist())
    assert torch.equal(sub_category_maximum(maps, 1), maps)


@pytest.mark.parametrize(
    ("maps", "error"),
    [(None, TypeError), (torch.zeros(2, 5, 3, 3), ValueError), (torch.zeros(2, 4), ValueError)],
    ids=["none", "no-multiple", "flat"],
)
def test_bad_maximum(maps, error):
    with pytest.raises(error, match=r"Expected maps to be a tensor \(N, L\*2, h, w\), but got "):
        sub_category_maximum(maps, 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_of_the_features():
    features, labels = draw(40, 5), draw(40, 3, seed=1) > 0
    expected = sub_category_assignments(features, labels, 4)
    for given in (labels, labels.cuda()):
        found = sub_category_assignments(features.cuda(), given, 4)
        assert found.device.type == "cuda"
        assert torch.equal(found.cpu(), expected)
    assert sub_category_labels(found, 4).device == found.device
