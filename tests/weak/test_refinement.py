"""The connected CRF of an image: both backends alike, absent labels, options, messages."""

import importlib
import importlib.util
import json
import platform
import re
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from captum_cluster.functional.weak import (
    dense_crf,
    permutohedral_lattice,
)
from captum_cluster.weak import refinement
from captum_cluster.weak.refinement import DenseCRF, crf
from tests.helpers.refinement_cases import picture, smooth, two_regions

needs_binding = pytest.mark.skipif(
    importlib.util.find_spec("pydensecrf") is None, reason="pydensecrf is not installed"
)
# What pydensecrf made of three small images, each with its options.
STORED = json.loads(Path(__file__).with_name("pydensecrf_outputs.json").read_text())


@pytest.mark.parametrize("backend", ["torch", pytest.param("pydensecrf", marks=needs_binding)])
@pytest.mark.parametrize("case", STORED, ids=range(len(STORED)))
def test_both_backends_give_what_the_binding_gave(case, backend):
    image = torch.tensor(case["image"]).reshape(3, *case["size"]) / 255
    scores = torch.tensor(case["scores"]).reshape(-1, *case["size"])
    refined = torch.tensor(case["refined"]).reshape(scores.shape)
    assert (refined - scores).abs().mean() > 0.2
    result = crf(image, scores, backend=backend, **case["options"])
    torch.testing.assert_close(result, refined, atol=1e-4, rtol=0)


class Padded:
    """The binding's lattice: on Intel, black points at the origin make their number one of 4s."""

    def __init__(self, features):
        self.count = len(features)
        self.more = (0, 0, 0, -self.count % 4)
        self.lattice = permutohedral_lattice(F.pad(features, self.more))

    def filter(self, values):
        return self.lattice.filter(F.pad(values, self.more))[: self.count]


@needs_binding
@pytest.mark.parametrize("size", [(32, 40), (25, 31), (26, 31)])
@pytest.mark.parametrize("labels", [1, 2, 5])
@pytest.mark.parametrize("iterations", [1, 10])
def test_both_backends_give_the_same(size, labels, iterations, monkeypatch):
    module = importlib.import_module("captum_cluster.functional.weak.dense_crf")
    if platform.machine() == "x86_64":
        monkeypatch.setattr(module, "permutohedral_lattice", Padded)
    image, probabilities = picture(*size), smooth(labels, *size)
    bound, ours = (
        crf(image, probabilities, backend=backend, iterations=iterations)
        for backend in ("pydensecrf", "torch")
    )
    torch.testing.assert_close(ours, bound, atol=1e-4, rtol=0)
    sure = (bound.topk(min(2, labels), dim=0).values.diff(dim=0).abs() > 2e-4).all(dim=0)
    assert torch.equal(ours.argmax(dim=0)[sure], bound.argmax(dim=0)[sure])


@needs_binding
def test_without_the_padding_the_labels_are_the_same_where_they_are_sure():
    image, probabilities = picture(25, 31), smooth(4, 25, 31)
    bound, ours = (crf(image, probabilities, backend=b) for b in ("pydensecrf", "torch"))
    assert (ours - bound).abs().mean() < 0.005
    sure = bound.amax(dim=0) > 0.6
    assert sure.double().mean() > 0.5
    assert torch.equal(ours.argmax(dim=0)[sure], bound.argmax(dim=0)[sure])


@needs_binding
@pytest.mark.parametrize(
    "options",
    [
        {"gaussian": (1.0, 5.0), "bilateral": (5.0, 40.0, 4.0)},
        {"gaussian": (3.0, 0.0)},
        {"bilateral": (80.0, 13.0, 0.0)},
        {"iterations": 0},
    ],
)
def test_both_backends_read_the_options_alike(options):
    image, probabilities = picture(24, 20), smooth(3, 24, 20)
    probabilities[0, :4] = 0.0  # raised to 1e-5 by both
    bound, ours = (crf(image, probabilities, backend=b, **options) for b in ("pydensecrf", "torch"))
    torch.testing.assert_close(ours, bound, atol=1e-4, rtol=0)


@needs_binding
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_binding_gives_the_probabilities_type_back(dtype):
    image, probabilities = picture(8, 8).to(dtype), smooth(2, 8, 8).to(dtype)
    kept = image.clone(), probabilities.clone()
    assert crf(image, probabilities, backend="pydensecrf").dtype == dtype
    assert torch.equal(image, kept[0])
    assert torch.equal(probabilities, kept[1])


@needs_binding
@pytest.mark.parametrize("backend", ["pydensecrf", "torch"])
def test_a_grey_image(backend):
    image, probabilities = picture(8, 8)[:1], smooth(2, 8, 8)
    found = crf(image, probabilities, backend=backend)
    assert torch.equal(found, crf(image.expand(3, 8, 8), probabilities, backend=backend))


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_a_batch_is_its_images(backend):
    images = torch.stack([picture(9, 8, seed=seed) for seed in range(3)])
    probabilities = torch.stack([smooth(2, 9, 8, seed=seed) for seed in range(3, 6)])
    found = crf(images, probabilities, backend=backend)
    for number in range(3):
        alone = crf(images[number], probabilities[number], backend=backend)
        assert torch.equal(found[number], alone)


def test_auto_takes_what_is_there(monkeypatch):
    image, probabilities = picture(6, 6), smooth(2, 6, 6)
    used = []
    monkeypatch.setattr(refinement, "_bound_crf", lambda *_, **__: used.append("bound"))
    monkeypatch.setattr(refinement, "dense_crf", lambda *_, **__: used.append("torch"))
    for there in (True, False):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, found=there: found or None)
        crf(image, probabilities)
    assert used == ["bound", "torch"]


def test_a_missing_binding_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    message = (
        "Expected pydensecrf to be installed, but it is not: pip install 'captum-cluster[crf]'."
    )
    with pytest.raises(ImportError, match=re.escape(message)):
        crf(picture(6, 6), smooth(2, 6, 6), backend="pydensecrf")


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_crf_recovers_the_edge(backend):
    image, scores, truth = two_regions()
    found = DenseCRF(backend=backend).refine(image, scores).argmax(dim=0)
    assert (scores.argmax(dim=0) == truth).double().mean() < 0.95
    assert torch.equal(found, truth.long())


def test_crf_keeps_absent_labels_absent():
    image, scores = picture(9, 8), smooth(3, 9, 8)
    padded = torch.zeros(6, 9, 8)
    padded[[0, 2, 5]] = scores
    found = DenseCRF(backend="torch").refine(image, padded)
    assert torch.equal(found[[0, 2, 5]], dense_crf(image, scores))
    assert not found[[1, 3, 4]].any()


def test_crf_of_no_scores_and_of_background_alone():
    image, scores = picture(9, 8), torch.zeros(3, 9, 8)
    assert not DenseCRF().refine(image, scores).any()
    scores[0] = 0.15
    found = DenseCRF().refine(image, scores)
    torch.testing.assert_close(found[0], torch.ones(9, 8))
    assert not found[1:].any()


def test_crf_of_scores_at_another_size():
    image, scores = picture(9, 8), smooth(2, 3, 4)
    large = F.interpolate(scores[None], size=(9, 8), mode="bilinear")[0]
    assert torch.equal(DenseCRF().refine(image, scores), DenseCRF().refine(image, large))


def test_crf_of_options_from_a_file():
    config = DenseCRF(gaussian=[3.0, 3.0], bilateral=[80.0, 13.0, 10.0])
    assert config == DenseCRF()
    assert hash(config) == hash(DenseCRF())


IMAGE, HALF = torch.full((3, 4, 4), 0.5), torch.full((2, 4, 4), 0.5)
BAD = {
    "no backend of that name": (
        lambda: crf(IMAGE, HALF, backend="cuda"),
        ValueError,
        "Expected backend to be one of 'auto', 'pydensecrf', 'torch', but got 'cuda'.",
    ),
    "no backend of the config": (
        lambda: DenseCRF(backend=1),
        TypeError,
        "Expected backend to be one of 'auto', 'pydensecrf', 'torch', but got 1.",
    ),
    "a batch and one image": (
        lambda: crf(IMAGE[None], HALF),
        ValueError,
        "Expected images and probabilities to be of shapes (N,3,H,W) and (N,C,H,W), "
        "but got (1, 3, 4, 4) and (2, 4, 4).",
    ),
    "two numbers of images": (
        lambda: crf(IMAGE[None], HALF.expand(2, 2, 4, 4)),
        ValueError,
        "Expected images and probabilities to be of shapes (N,3,H,W) and (N,C,H,W), "
        "but got (1, 3, 4, 4) and (2, 2, 4, 4).",
    ),
    "negative iterations": (
        lambda: DenseCRF(iterations=-1),
        ValueError,
        "Expected iterations to be an integer of at least 0, but got -1.",
    ),
    "scores above 1": (
        lambda: DenseCRF().refine(IMAGE, 3 * HALF),
        ValueError,
        "Expected probabilities to be numbers from 0 to 1, but got 1.5 to 1.5.",
    ),
    "scores of a batch": (
        lambda: DenseCRF().refine(IMAGE, HALF[None]),
        ValueError,
        "Expected scores to be of shape (C,h,w), but got (1, 2, 4, 4).",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=re.escape(message)):
        call()
