"""Views of an image: their sizes, what is seen, and the way back."""

import numpy as np
import pytest
import torch

from captum_cluster.functional.attribution import View, Views, sum_views
from tests.helpers import references


def draw(*shape, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(
        dtype
    )


def test_the_defaults_are_those_of_the_specification():
    assert Views() == Views((0.5, 1.0, 1.5, 2.0), flip=True)


def test_views_of_a_size():
    found = Views([0.5, 1, 1.5], flip=False).at((9, 14))
    assert found == [View((4, 7)), View((9, 14)), View((14, 21))]
    assert Views([1e-3], flip=True).at((9, 14)) == [View((1, 1)), View((1, 1), True)]


def test_a_list_and_a_tuple_are_the_same_views():
    assert Views([0.5, 1]) == Views((0.5, 1.0))
    assert hash(Views([1])) == hash(Views((1.0,)))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_larger_view_is_interpolated(mirrored):
    images = draw(2, 3, 4, 5)
    seen = View((6, 10), mirrored).of(images)
    for n, c in np.ndindex(2, 3):
        expected = references.up(images[n, c], (6, 10))
        expected = expected[:, ::-1] if mirrored else expected
        np.testing.assert_allclose(seen[n, c], expected, rtol=1e-12)


def test_a_smaller_view_averages_what_it_leaves_out():
    stripes = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(16, 6)[None, None]
    seen = View((4, 6)).of(stripes)  # single samples would fall on the zeros alone
    torch.testing.assert_close(seen[..., 1:-1], torch.full((1, 1, 4, 4), 0.25), rtol=0, atol=0.05)
    flat = View((3, 5)).of(torch.full((1, 1, 7, 9), 0.3, dtype=torch.float64))
    torch.testing.assert_close(flat, torch.full((1, 1, 3, 5), 0.3, dtype=torch.float64))


def test_the_image_as_it_is_is_not_touched():
    images = draw(2, 3, 4, 5)
    before = images.clone()
    assert View((4, 5)).of(images) is images
    assert torch.equal(View((4, 5), True).of(images), images.flip(3))
    View((9, 9)).of(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(2, 3), (8, 10)])
def test_every_dtype(dtype, size):
    images = draw(1, 3, 4, 5, dtype=dtype)
    seen = View(size).of(images)
    assert seen.dtype == dtype
    exact = View(size).of(images.double())
    torch.testing.assert_close(seen.double(), exact, rtol=0, atol=0.01)


def test_the_way_back():
    maps = torch.tensor([[[[1.0, -2.0, 3.0]]]])
    assert View((1, 3)).back(maps, (1, 3)).tolist() == [[[[1.0, 0.0, 3.0]]]]
    assert View((1, 3), True).back(maps, (1, 3)).tolist() == [[[[3.0, 0.0, 1.0]]]]
    large = View((2, 6), True).back(draw(2, 4, 3, 5) - 0.5, (7, 9))
    expected = (draw(2, 4, 3, 5) - 0.5).relu()
    for n, t in np.ndindex(2, 4):
        np.testing.assert_allclose(
            large[n, t], references.up(expected[n, t], (7, 9))[:, ::-1], rtol=1e-12, atol=1e-15
        )


def test_the_sum():
    first, second = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[2.0, 1.0]]]])
    torch.testing.assert_close(sum_views([first, second]), torch.tensor([[[[1.0, 1 / 3]]]]))
    assert not sum_views([torch.zeros(2, 3)]).any()
    each = sum_views([torch.stack([first, 5 * second])])
    assert each.amax(dim=(-2, -1)).unique().tolist() == [1.0], "each map by its own maximum"


@pytest.mark.parametrize(
    ("scales", "flip", "error", "match"),
    [
        ([], True, ValueError, "scales to be a list of at least one number"),
        ([1.0, 0.0], True, ValueError, "each of scales to be a number above 0, but got 0"),
        ([-1], True, ValueError, "each of scales to be a number above 0"),
        ([float("inf")], True, ValueError, "each of scales to be a number above 0"),
        (2.0, True, TypeError, "scales to be a list of numbers, but got 2"),
        ("12", True, TypeError, "scales to be a list of numbers, but got '12'"),
        ({1.0}, True, TypeError, "scales to be a list of numbers"),
        (["1"], True, TypeError, "each of scales to be a number above 0"),
        ([1.0], 1, TypeError, "flip to be True or False, but got 1"),
    ],
)
def test_views_that_are_none(scales, flip, error, match):
    with pytest.raises(error, match=f"^Expected {match}"):
        Views(scales, flip)


@pytest.mark.parametrize(
    ("maps", "got"),
    [([], "none"), ([torch.zeros(1, 2), torch.zeros(2, 1)], r"\(1, 2\), \(2, 1\)")],
)
def test_a_sum_of_maps_that_do_not_fit(maps, got):
    with pytest.raises(ValueError, match=rf"^Expected maps to be of one shape.* but got {got}\.$"):
        sum_views(maps)
