"""Which labels are present, and the contrast between them."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_cluster.functional.attribution.labels import (
    contrast_coefficients,
    decomposed_contrast,
    other_labels,
    present_labels,
    warn_of_probabilities,
)
from tests.helpers import minmax_references as ref
from tests.helpers import nets

FORMS = "a multi-hot tensor (N,L), or a list with one list of class indices for each image"
# The only warning that these functions give is about probabilities
pytestmark = pytest.mark.filterwarnings("error")
WARNING = "^The model's outputs lie in "


def random_outputs(images=3, labels=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(images, labels, generator=generator, dtype=torch.float64)


def sets(present):
    """The labels present in each image."""
    assert present.dtype == torch.bool
    return [set(row.nonzero()[:, 0].tolist()) for row in present]


# Predicted labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.9, 0.0, 1.0])
def test_predicted_labels_are_the_reference(seed, threshold):
    outputs = random_outputs(seed=seed)
    found = present_labels(outputs, threshold=threshold)
    assert sets(found) == [ref.present(row, threshold=threshold) for row in outputs]


@pytest.mark.parametrize(
    "net", [nets.SmallNet(), nets.HandNet(), nets.OneLogitNet(), nets.TupleNet(seed=2)]
)
def test_predicted_labels_of_networks(net):
    net = net.double().eval()
    images = nets.HandNet.image() if isinstance(net, nets.HandNet) else nets.images(4, size=8)
    with torch.no_grad():
        outputs = 4 * net(images)
    assert sets(present_labels(outputs)) == [ref.present(row) for row in outputs]


def test_predicted_labels_by_hand():
    outputs = torch.tensor([[2.0, -1.0, 0.5, 0.0], [-1.0, -2.0, -3.0, -4.0]])
    # sigmoid(0) is not above 0.5; sigmoid(0.5) = 0.62, sigmoid(2) = 0.88
    assert sets(present_labels(outputs)) == [{0, 2}, set()]
    assert sets(present_labels(outputs, threshold=0.7)) == [{0}, set()]
    assert sets(present_labels(outputs, threshold=0.01)) == [{0, 1, 2, 3}, {0, 1, 2, 3}]


def test_probabilities_are_thresholded_as_they_are():
    outputs = torch.tensor([[0.1, 0.5, 0.51, 1.0], [0.1, 0.5, 0.51, 1.01], [0.0, 0.0, 0.0, 0.0]])
    # the second image has a number above 1, so its outputs are logits
    assert sets(present_labels(outputs)) == [{2, 3}, {0, 1, 2, 3}, set()]
    with pytest.warns(UserWarning, match=WARNING) as caught:
        warn_of_probabilities(outputs)
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "The model's outputs lie in [0,1], as if it ended in a sigmoid or softmax. Labels "
        "are contrasted by their logits: pass the model without that last step."
    )
    assert caught[0].filename == __file__


def test_logits_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_probabilities(torch.tensor([[0.2, 1.8], [-0.1, 0.5]]))
        # of a single output nothing can be told
        warn_of_probabilities(torch.tensor([[0.2], [0.7]]))


def test_labels_in_an_array():
    outputs = torch.zeros(2, 3) - 4.0
    assert sets(present_labels(outputs, np.array([[1, 0, 1], [0, 0, 0]]))) == [{0, 2}, set()]


def test_too_many_predicted_labels():
    outputs = -torch.ones(3, 30)
    outputs[0, :2] = outputs[1, :21] = 1.0
    with pytest.raises(ValueError, match="max_predicted") as raised:
        present_labels(outputs)
    assert str(raised.value) == (
        "Expected the model to predict at most 20 labels of an image (max_predicted), but got 21 "
        "for image 1. A softmax classifier does not tell which labels are present: pass labels=."
    )
    # the message may count images from another number on
    with pytest.raises(ValueError, match="but got 21 for image 8"):
        present_labels(outputs, first=7)
    assert present_labels(outputs, max_predicted=21).sum(dim=1).tolist() == [2, 21, 0]
    with pytest.raises(ValueError, match="at most 1 labels of an image"):
        present_labels(outputs[:1], max_predicted=1)
    # labels that are given need no prediction
    assert present_labels(outputs, [[0], [1], []], max_predicted=1).sum(dim=1).tolist() == [1, 1, 0]
    everything = torch.ones(3, 30)
    assert present_labels(outputs, everything, max_predicted=1).all()


# Labels that are given


@pytest.mark.parametrize(
    "labels",
    [
        [[0, 2], [], [5]],
        ((0, 2), (), (5,)),
        [(2, 0), [], [5, 5]],
        [[np.int64(0), np.uint8(2)], [], [5]],
        torch.tensor([[1, 0, 1, 0, 0, 0], [0] * 6, [0, 0, 0, 0, 0, 1]]),
        torch.tensor([[1, 0, 1, 0, 0, 0], [0] * 6, [0, 0, 0, 0, 0, 1]], dtype=torch.float32),
        torch.tensor([[1, 0, 1, 0, 0, 0], [0] * 6, [0, 0, 0, 0, 0, 1]], dtype=torch.bool),
    ],
    ids=str,
)
def test_every_form_of_labels(labels):
    assert sets(present_labels(random_outputs(), labels)) == [{0, 2}, set(), {5}]


def test_labels_that_are_given_are_left_alone():
    rows, multi_hot = [[0, 2], [], [5]], torch.eye(6)[:3]
    present_labels(random_outputs(), rows)
    other_labels(present_labels(random_outputs(), multi_hot), torch.tensor([[0], [1], [2]]))
    assert rows == [[0, 2], [], [5]]
    assert torch.equal(multi_hot, torch.eye(6)[:3])


INDICES = "Expected labels to be lists of class indices from 0 to 5, but got "


@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        (
            torch.zeros(6),
            ValueError,
            f"Expected labels to be {FORMS}, here of shape (3, 6), but got a tensor of shape (6,) "
            "and dtype torch.float32.",
        ),
        (
            torch.zeros(3, 5, dtype=torch.long),
            ValueError,
            f"Expected labels to be {FORMS}, here of shape (3, 6), but got a tensor of shape "
            "(3, 5) and dtype torch.int64.",
        ),
        (
            torch.full((3, 6), 2),
            ValueError,
            "Expected labels to be a multi-hot tensor of 0 and 1, but got other values.",
        ),
        (
            torch.full((3, 6), torch.nan),
            ValueError,
            "Expected labels to be a multi-hot tensor of 0 and 1, but got other values.",
        ),
        ([0, 2, 5], TypeError, f"Expected labels to be {FORMS}, but got [0, 2, 5] (list)."),
        ([[0], 2, [5]], TypeError, f"Expected labels to be {FORMS}, but got [[0], 2, [5]] (list)."),
        ("dog", TypeError, f"Expected labels to be {FORMS}, but got 'dog' (str)."),
        (3, TypeError, f"Expected labels to be {FORMS}, but got 3."),
        ({0: [1]}, TypeError, f"Expected labels to be {FORMS}, but got {{0: [1]}} (dict)."),
        (
            [[0], [1]],
            ValueError,
            "Expected labels to be one list of class indices for each of 3 images, but got 2 of "
            "them.",
        ),
        (
            [],
            ValueError,
            "Expected labels to be one list of class indices for each of 3 images, but got 0 of "
            "them.",
        ),
        ([[0], [6], []], ValueError, INDICES + "6."),
        ([[0], [], [-1]], ValueError, INDICES + "-1."),
        ([[0.0], [], []], TypeError, "Expected labels to be lists of integers, but got 0.0."),
        ([[True], [], []], TypeError, "Expected labels to be lists of integers, but got True."),
        (
            [["dog"], [], []],
            TypeError,
            "Expected labels to be lists of integers, but got 'dog' (str).",
        ),
    ],
    ids=str,
)
def test_wrong_labels(labels, error, text):
    with pytest.raises(error) as raised:
        present_labels(random_outputs(), labels)
    assert str(raised.value) == text


# The others


def test_other_labels_by_hand():
    present = torch.tensor([[True, True, False, True], [False, False, True, False]])
    targets = torch.tensor([[0, 3, 2], [2, 2, 0]])
    # present or not, the target is not among them
    assert sets(other_labels(present, targets).flatten(0, 1)) == [
        {1, 3}, {0, 1}, {0, 1, 3}, set(), set(), {2},
    ]  # fmt: skip
    assert present.tolist() == [[True, True, False, True], [False, False, True, False]]


def test_contrast_coefficients_by_hand():
    others = torch.tensor([[[False, True, True, False]], [[False, False, False, False]]])
    found = contrast_coefficients(torch.tensor([[0], [2]]), others)
    assert found.dtype == torch.float64
    assert found.tolist() == [[[1.0, -0.5, -0.5, 0.0]], [[0.0, 0.0, 1.0, 0.0]]]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.data())
def test_objective_of_any_labels(count, data):
    images = data.draw(st.integers(1, 3))
    bits = data.draw(st.lists(st.booleans(), min_size=images * count, max_size=images * count))
    present = torch.tensor(bits).reshape(images, count)
    targets = torch.tensor(
        data.draw(st.lists(st.integers(0, count - 1), min_size=2 * images, max_size=2 * images))
    ).reshape(images, 2)
    outputs = random_outputs(images, count)
    rows = contrast_coefficients(targets, other_labels(present, targets))
    for n in range(images):
        for t in range(2):
            target = int(targets[n, t])
            rest = [j for j in range(count) if present[n, j] and j != target]
            expected = float(outputs[n, target])
            if rest:
                expected -= sum(float(outputs[n, j]) for j in rest) / len(rest)
            assert float(rows[n, t] @ outputs[n]) == pytest.approx(expected, abs=1e-12)
            assert float(rows[n, t].sum()) == pytest.approx(0.0 if rest else 1.0, abs=1e-12)


# The decomposed contrast


def unit_maps(count):
    """Maps whose weighted sum is the list of the weights."""
    return np.eye(count)[:, None, :]


@pytest.mark.parametrize("contrast", ["positive_sum", "sum_positive"])
@pytest.mark.parametrize("labels", [[0], [0, 3], [1, 2, 4], [0, 1, 2, 3, 4], []], ids=str)
def test_decomposed_contrast_is_the_reference(contrast, labels):
    weights = random_outputs(5, 40)  # (L,C)
    rest = [j for j in labels if j != 0]
    others = weights[rest].sum(dim=0)
    positive = weights[rest].clamp(min=0).sum(dim=0)
    positive = others.clamp(min=0) if contrast == "positive_sum" else positive
    found = decomposed_contrast(
        weights[None, 0], others[None], positive[None], torch.tensor([len(rest)])
    )
    expected = ref.minmax_cam(unit_maps(40), weights, 0, labels, decomposed=True, contrast=contrast)
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_decomposed_contrast_by_hand():
    # own, others: 2 and -6 of two: 2 - 0 - 4/3; -1 and 3 of two: 0 - 3/2 + 0;
    # -1 and 1/2 of two: 0 - 1/4 - 1/6
    own, others = torch.tensor([[2.0, -1.0, -1.0]]), torch.tensor([[-6.0, 3.0, 0.5]])
    found = decomposed_contrast(own, others, others.clamp(min=0), torch.tensor([2]))
    np.testing.assert_allclose(found, [[2 / 3, -1.5, -5 / 12]], rtol=1e-6)


def test_decomposed_contrast_of_each_image_has_its_own_number():
    own = random_outputs(3, 8).reshape(3, 2, 2, 2)
    others = random_outputs(3, 8, seed=1).reshape(3, 2, 2, 2)
    counts = torch.tensor([2, 0, 1])
    others[1] = 0.0
    found = decomposed_contrast(own, others, others.clamp(min=0), counts)
    for n in range(3):
        alone = decomposed_contrast(
            own[n : n + 1], others[n : n + 1], others[n : n + 1].clamp(min=0), counts[n : n + 1]
        )
        assert torch.equal(found[n], alone[0])
    # without other labels it is the gradient, negative values too
    assert torch.equal(found[1], own[1])
    assert (own[1] < 0).any()


def test_decomposed_contrast_without_others_ignores_what_is_passed_for_them():
    own = random_outputs(1, 4)
    rubbish = torch.full_like(own, 7.0)
    assert torch.equal(decomposed_contrast(own, rubbish, rubbish, torch.tensor([0])), own)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decomposed_contrast_keeps_the_precision(dtype):
    own = random_outputs(2, 3).to(dtype)
    assert decomposed_contrast(own, own, own, torch.tensor([1, 3])).dtype == dtype
