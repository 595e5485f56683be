"""The fusion of the levels' maps, and which labels are the rest."""

import numpy as np
import pytest
import torch

from captum_cluster.functional.attribution import fuse_levels, rest_labels, rest_maps
from tests.helpers import level_references as ref

GROUPS = [torch.tensor([0, 1, 0, 2, 1]), torch.tensor([0, 1, 0, 0, 1])]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_fusion_against_equation_5(levels):
    ungrouped, rest = draw(2, 3, 4, 5, seed=1), draw(2, 3, 4, 5, seed=2)
    grouped = draw(2, 3, levels, 4, 5, seed=3)
    found = fuse_levels(ungrouped, grouped, rest)
    for place in np.ndindex(2, 3):
        total = ref.by_maximum(ungrouped[place]) - ref.by_maximum(rest[place])
        for level in range(levels):
            total = total + ref.by_maximum(grouped[place][level]) / levels
        np.testing.assert_allclose(found[place], ref.by_maximum(total), rtol=1e-12, atol=1e-12)


def test_fusion_by_hand():
    ungrouped = torch.tensor([[[[4.0, 1.0, 0.0, -8.0]]]])  # (1, 1/4, 0, 0)
    grouped = torch.tensor([[[[[0.0, 2.0, 1.0, 0.0]], [[3.0, 0.0, 3.0, 0.0]]]]])
    rest = torch.tensor([[[[0.0, 5.0, 0.0, 5.0]]]])  # (0, 1, 0, 1)
    # The mean of (0, 1, 1/2, 0) and (1, 0, 1, 0) is (1/2, 1/2, 3/4, 0).
    expected = torch.tensor([[[[1.5, 0.0, 0.75, 0.0]]]]) / 1.5
    torch.testing.assert_close(fuse_levels(ungrouped, grouped, rest), expected)


def test_nothing_left_is_zero():
    ungrouped = torch.tensor([[[[1.0, 0.0]]]])
    maps = fuse_levels(ungrouped, torch.zeros(1, 1, 1, 1, 2), ungrouped)
    assert torch.equal(maps, torch.zeros(1, 1, 1, 2))


def test_only_the_shapes_of_the_maps_count():
    ungrouped, grouped, rest = draw(2, 3, 4, 5), draw(2, 3, 2, 4, 5, seed=1), draw(2, 3, 4, 5)
    rest = rest.flip(3)
    found = fuse_levels(ungrouped, grouped, rest)
    scale = torch.tensor([1.0, 1e3], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(fuse_levels(7 * ungrouped, scale * grouped, rest / 9), found)
    assert found.amax(dim=(2, 3)).unique().tolist() == [1.0]


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 1, 2, 2), (1, 1, 2, 2), (1, 1, 2, 2)],
        [(1, 1, 2, 2), (1, 2, 1, 2, 2), (1, 1, 2, 2)],
        [(1, 1, 2, 2), (1, 1, 3, 2, 2), (1, 1, 2, 3)],
        [(1, 1, 2, 2), (1, 1, 3, 2, 3), (1, 1, 2, 2)],
        [(1, 2, 2), (1, 1, 1, 2, 2), (1, 2, 2)],
    ],
)
def test_shapes_that_do_not_belong_together(shapes):
    what = r"^Expected ungrouped, grouped and rest to be of shapes \(N,T,h,w\), \(N,T,k,h,w\) and "
    with pytest.raises(ValueError, match=what):
        fuse_levels(*map(torch.zeros, shapes))


# The rest classes


@pytest.mark.parametrize("rest", ["present", "groupmates", "all"])
@pytest.mark.parametrize("groups", [[], GROUPS[:1], GROUPS, [torch.arange(5)]])
def test_rest_labels_against_the_reference(rest, groups):
    present = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    targets = torch.tensor([[0, 3], [1, 4], [2, 0]])
    found = rest_labels(targets, 5, rest=rest, present=present, groups=groups)
    assert found.dtype == torch.bool
    for n, row in enumerate(targets.tolist()):
        there = {label for label in range(5) if present[n, label]}
        for t, target in enumerate(row):
            marked = {label for label in range(5) if found[n, t, label]}
            assert marked == ref.rest_of(target, rest, 5, there, groups)
            assert target not in marked


def test_rest_labels_by_hand():
    targets = torch.tensor([[3]])
    assert rest_labels(targets, 5, rest="groupmates", groups=GROUPS[:1]).sum() == 0
    mates = rest_labels(targets, 5, rest="groupmates", groups=GROUPS)
    assert mates.int().tolist() == [[[1, 0, 1, 0, 0]]]
    assert rest_labels(targets, 5, rest="all").int().tolist() == [[[1, 1, 1, 0, 1]]]


def test_rest_labels_errors():
    with pytest.raises(ValueError, match=r"^Expected present to be given for rest='present', but"):
        rest_labels(torch.tensor([[0]]), 3)
    with pytest.raises(ValueError, match=r"^Expected rest to be one of 'present', 'groupmates'"):
        rest_labels(torch.tensor([[0]]), 3, rest="others")


def test_rest_maps_against_the_reference():
    maps, rest = draw(2, 4, 3, 5), draw(2, 3, 4, seed=1) > 0
    rest[1, 2] = False
    found = rest_maps(maps, rest)
    for n, t in np.ndindex(2, 3):
        expected = np.zeros((3, 5))
        for label in range(4):
            if rest[n, t, label]:
                expected = np.maximum(expected, ref.by_maximum(maps[n, label]))
        np.testing.assert_allclose(found[n, t], expected, rtol=1e-12)
    assert not found[1, 2].any()
