"""Maps of several layers as one, by hand and against the slow reference."""

import numpy as np
import pytest
import torch

from captum_cluster.functional.attribution import merge_branches, to_largest_grid, unit_positive
from tests.helpers import level_references as ref
from tests.helpers import references

NAN = float("nan")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_unit_positive_against_the_reference():
    maps = draw(3, 4, 5, 6)
    found = unit_positive(maps)
    for place in np.ndindex(3, 4):
        np.testing.assert_allclose(found[place], ref.by_maximum(maps[place]), rtol=1e-12)
    assert found.amax(dim=(2, 3)).unique().tolist() == [1.0]


def test_unit_positive_keeps_shares_unlike_min_max():
    maps = torch.tensor([[1.0, 2.0, 4.0]])
    assert unit_positive(maps).tolist() == [[0.25, 0.5, 1.0]]
    assert torch.equal(unit_positive(10 * maps), unit_positive(maps))
    assert unit_positive(maps - 2).tolist() == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_unit_positive_of_a_map_without_positive_values(value):
    maps = torch.full((2, 1, 3, 3), value)
    assert torch.equal(unit_positive(maps), torch.zeros(2, 1, 3, 3))


def test_unit_positive_of_a_tiny_map_and_of_nan():
    assert unit_positive(torch.tensor([[1e-40, 5e-41]])).amax() == 1
    assert unit_positive(torch.tensor([[NAN, 1.0]])).isnan().any(), "NaN must not be hidden"


def test_inputs_are_not_changed():
    maps = draw(2, 3, 4)
    before = maps.clone()
    unit_positive(maps)
    merge_branches([maps, maps])
    assert torch.equal(maps, before)


def test_to_largest_grid():
    maps = [draw(2, 3, 4, seed=1), draw(2, 5, 2, seed=2), draw(2, 5, 4, seed=3)]
    found = to_largest_grid(maps)
    assert [part.shape for part in found] == [(2, 5, 4)] * 3
    assert found[2] is maps[2]
    for part, own in zip(found[:2], maps, strict=False):
        for large, small in zip(part, own, strict=True):
            np.testing.assert_allclose(large, references.up(small, (5, 4)), rtol=1e-12, atol=1e-12)


def test_merge_branches_against_the_reference():
    maps = [draw(2, 3, 4, 6, seed=1), draw(2, 3, 2, 3, seed=2), draw(2, 3, 4, 6, seed=3)]
    found = merge_branches(maps)
    for place in np.ndindex(2, 3):
        # A map is its own Grad-CAM where its gradient is 1 throughout.
        pairs = [(part[place][None], np.ones((1, *part[place].shape))) for part in maps]
        np.testing.assert_allclose(found[place], ref.multi_branch_cam(pairs), atol=1e-12)
    assert found.amin() >= 0
    assert found.amax() <= 1


def test_one_branch_is_rectified_and_divided():
    maps = draw(2, 3, 4)
    assert torch.equal(merge_branches([maps]), unit_positive(maps))


def test_errors():
    for function in (to_largest_grid, merge_branches):
        with pytest.raises(ValueError, match=r"^Expected maps to be those of .* but got none\.$"):
            function([])
