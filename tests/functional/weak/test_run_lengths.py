"""Run lengths as numbers and as text, against pycocotools."""

import numpy as np
import pytest
import torch

from captum_cluster.functional.weak.run_lengths import run_lengths, run_text

HAND = [
    ([[0, 0], [0, 0]], [4]),
    ([[1, 1], [1, 1]], [0, 4]),
    ([[1, 0], [0, 0]], [0, 1, 3]),
    ([[0, 1], [0, 1]], [2, 2]),
    ([[0, 1, 0], [1, 1, 0]], [1, 3, 2]),
    ([[0, 0, 0, 0, 1]], [4, 1]),
]


@pytest.mark.parametrize(("rows", "runs"), HAND)
def test_runs_by_hand(rows, runs):
    assert run_lengths(torch.tensor(rows, dtype=torch.bool)) == runs


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (123, 45)])
def test_runs_and_text_are_those_of_pycocotools(share, size):
    coco = pytest.importorskip("pycocotools.mask")
    drawn = torch.rand(size, generator=torch.Generator().manual_seed(1)) < share
    drawn[size[0] // 2 :, size[1] // 3 :] ^= True  # long runs as well as short ones
    encoded = coco.encode(np.asfortranarray(drawn.numpy().astype(np.uint8)))
    assert run_text(run_lengths(drawn)) == encoded["counts"].decode("ascii")


def test_the_text_of_long_and_shrinking_runs_is_read_back():
    coco = pytest.importorskip("pycocotools.mask")
    runs = [0, 1, 100_000, 3, 2, 70_000, 1, 5, 29_988]
    size = [400, 500]
    same = coco.frPyObjects({"size": size, "counts": runs}, *size)
    assert sum(runs) == 200_000
    assert run_text(runs) == same["counts"].decode("ascii")


@pytest.mark.parametrize(
    ("mask", "kind", "text"),
    [
        (torch.zeros(2, 2), TypeError, "Expected mask to be a boolean tensor (H,W), but got a "),
        (
            [[True]],
            TypeError,
            "Expected mask to be a boolean tensor (H,W), but got [[True]] (list)",
        ),
        (torch.zeros(4).bool(), ValueError, "Expected mask to be of shape (H,W), but got (4,)."),
    ],
    ids=["floats", "list", "flat"],
)
def test_wrong_masks(mask, kind, text):
    with pytest.raises(kind, match="^Expected mask") as raised:
        run_lengths(mask)
    assert str(raised.value).startswith(text)


def test_wrong_runs():
    text = "Expected lengths to be an integer of at least 0, but got -1."
    with pytest.raises(ValueError, match="^Expected lengths") as raised:
        run_text([3, -1])
    assert str(raised.value) == text
    with pytest.raises(TypeError, match=r"but got 1\.5"):
        run_text([1.5])
