"""The connected CRF: algorithm 1 by loops, edges, ratios, the options, messages."""

import re

import numpy as np
import pytest
import torch

from captum_cluster.functional.weak.dense_crf import dense_crf
from tests.helpers import refinement_references as ref


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def slow(image, probabilities, iterations, gaussian, bilateral):
    """The CRF with the dictionary's lattice."""
    colours = (image * 255).round().numpy() / 255
    points = [
        (gaussian[1], ref.crf_points(colours, gaussian[0])),
        (bilateral[2], ref.crf_points(colours, *bilateral[:2])),
    ]
    kernels = []
    for weight, some in points:
        sums = ref.lattice_filter(some, np.ones((len(some), 1)))[:, 0]
        whole = ref.lattice_filter(some, np.eye(len(some)))
        # Transposed: the reference multiplies from the other side.
        kernels.append((weight, (whole / np.sqrt(np.outer(sums, sums))).T))
    return ref.mean_field(probabilities.numpy(), kernels, iterations)


@pytest.mark.parametrize("iterations", [0, 1, 5])
@pytest.mark.parametrize("labels", [2, 4])
@pytest.mark.parametrize(
    ("gaussian", "bilateral"), [((3.0, 3.0), (80.0, 13.0, 10.0)), ((1.7, 0.5), (4.3, 57.0, 2.0))]
)
def test_algorithm_1(iterations, labels, gaussian, bilateral):
    image, probabilities = draw(3, 5, 6), (3 * draw(labels, 5, 6, seed=1)).softmax(dim=0)
    options = {"iterations": iterations, "gaussian": gaussian, "bilateral": bilateral}
    found = dense_crf(image, probabilities, **options)
    expected = slow(image, probabilities, **options)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def two_regions(size=32):
    """A dark and a bright half, and scores that blur across their edge."""
    image = torch.full((3, size, size), 0.2)
    image[:, :, size // 2 + 3 :] = 0.8
    image += 0.02 * draw(3, size, size).float()
    ramp = torch.linspace(0.1, 0.9, size).expand(size, size)  # changes sides in the middle
    return image, torch.stack([1 - ramp, ramp]), torch.arange(size).expand(size, size) >= 19


def test_the_edge_of_two_regions_is_recovered():
    image, probabilities, truth = two_regions()
    before = (probabilities.argmax(dim=0) == truth).double().mean()
    after = (dense_crf(image, probabilities).argmax(dim=0) == truth).double().mean()
    assert before < 0.95
    assert after == 1


def test_an_image_of_one_colour_smooths_noise_away():
    probabilities = torch.full((2, 16, 16), 0.7)
    probabilities[1] = 0.3
    probabilities[:, 8, 8] = torch.tensor([0.2, 0.8])
    found = dense_crf(torch.full((3, 16, 16), 0.5), probabilities)
    assert (found.argmax(dim=0) == 0).all()


def test_an_object_of_one_pixel_that_is_sure_stays():
    image = torch.zeros(3, 9, 9)
    image[:, 4, 4] = 1.0
    probabilities = torch.stack([torch.full((9, 9), 0.99), torch.full((9, 9), 0.01)])
    probabilities[:, 4, 4] = torch.tensor([0.0, 1.0])
    found = dense_crf(image, probabilities).argmax(dim=0)
    assert found.sum() == found[4, 4] == 1


@pytest.mark.parametrize("label", [0, 1])
def test_one_label_everywhere_stays(label):
    probabilities = torch.zeros(2, 8, 8)
    probabilities[label] = 1.0
    found = dense_crf(draw(3, 8, 8).float(), probabilities)
    assert (found.argmax(dim=0) == label).all()


def test_probabilities_sum_to_1_and_only_ratios_count():
    image, probabilities = draw(3, 9, 7), 0.1 + 0.4 * draw(3, 9, 7, seed=1)
    found = dense_crf(image, probabilities)
    torch.testing.assert_close(found.sum(dim=0), torch.ones(9, 7).double())
    torch.testing.assert_close(dense_crf(image, 2 * probabilities), found)
    torch.testing.assert_close(dense_crf(image, probabilities.flip(0)), found.flip(0))


def test_without_steps_or_weights_the_probabilities_are_normalised():
    image, probabilities = draw(3, 9, 7), 0.1 + 0.9 * draw(3, 9, 7, seed=1)
    expected = probabilities / probabilities.sum(dim=0)
    torch.testing.assert_close(dense_crf(image, probabilities, iterations=0), expected)
    none = {"gaussian": (3.0, 0.0), "bilateral": (80.0, 13.0, 0.0)}
    torch.testing.assert_close(dense_crf(image, probabilities, **none), expected)


def test_a_grey_image_is_one_of_three_equal_channels():
    image, probabilities = draw(1, 6, 7), draw(2, 6, 7, seed=1)
    whole = dense_crf(image.expand(3, 6, 7), probabilities)
    assert torch.equal(dense_crf(image, probabilities), whole)


def test_half_precision_comes_back_and_inputs_are_not_modified():
    image, probabilities = draw(3, 6, 7).half(), draw(2, 6, 7, seed=1).half()
    kept = image.clone(), probabilities.clone()
    found = dense_crf(image, probabilities)
    assert found.dtype == torch.float16
    assert torch.equal(image, kept[0])
    assert torch.equal(probabilities, kept[1])
    expected = dense_crf(image.double(), probabilities.double())
    torch.testing.assert_close(found.double(), expected, atol=2e-3, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    image, probabilities, _ = two_regions()
    found = dense_crf(image.cuda(), probabilities.cuda())
    assert torch.equal(found, dense_crf(image.cuda(), probabilities.cuda()))
    torch.testing.assert_close(found.cpu(), dense_crf(image, probabilities), atol=1e-4, rtol=0)


IMAGE, HALF = torch.ones(3, 4, 5), torch.full((2, 4, 5), 0.5)
BAD = {
    "another size": (
        {"probabilities": HALF[..., 1:]},
        ValueError,
        "Expected image and probabilities to be of shapes (3,H,W) and (C,H,W), "
        "but got (3, 4, 5) and (2, 4, 4).",
    ),
    "two channels": (
        {"image": IMAGE[:2]},
        ValueError,
        "Expected image and probabilities to be of shapes (3,H,W) and (C,H,W), "
        "but got (2, 4, 5) and (2, 4, 5).",
    ),
    "an image in steps of 255": (
        {"image": 255 * IMAGE},
        ValueError,
        "Expected image to be numbers from 0 to 1, but got 255 to 255.",
    ),
    "logits": (
        {"probabilities": -HALF},
        ValueError,
        "Expected probabilities to be numbers from 0 to 1, but got -0.5 to -0.5.",
    ),
    "probabilities of NaN": (
        {"probabilities": HALF * torch.nan},
        ValueError,
        "Expected probabilities to be finite, but got NaN at index [0, 0, 0].",
    ),
    "half a step": (
        {"iterations": 0.5},
        TypeError,
        "Expected iterations to be an integer of at least 0, but got 0.5.",
    ),
    "a number for two": (
        {"gaussian": 3.0},
        TypeError,
        "Expected gaussian to be a sequence of 2 numbers, but got 3.0.",
    ),
    "two numbers for three": (
        {"bilateral": (80.0, 13.0)},
        ValueError,
        "Expected bilateral to be a sequence of 3 numbers, but got (80.0, 13.0).",
    ),
    "no width": (
        {"bilateral": (80.0, 0.0, 10.0)},
        ValueError,
        "Expected bilateral[1] to be a number above 0, but got 0.",
    ),
    "negative compatibility": (
        {"gaussian": (3.0, -1.0)},
        ValueError,
        "Expected gaussian[1] to be a number of at least 0, but got -1.",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case):
    changed, error, message = BAD[case]
    arguments = {"image": IMAGE, "probabilities": HALF} | changed
    with pytest.raises(error, match=re.escape(message)):
        dense_crf(**arguments)
