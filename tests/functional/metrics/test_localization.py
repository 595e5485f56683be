"""Proportion (the energy pointing game), by hand and against the reference's upsampling."""

import pytest
import torch

from captum_cluster.functional.metrics import energy_inside
from tests.helpers import references as ref


def region(*rows):
    return torch.tensor(rows, dtype=torch.bool)[None]


def test_energy_by_hand():
    maps = torch.tensor([[[3.0, 0.0], [1.0, 0.0]]])
    assert energy_inside(maps, region([1, 0], [0, 0])).tolist() == [0.75]
    assert energy_inside(maps, region([1, 0], [1, 0])).tolist() == [1.0]
    assert energy_inside(maps, region([0, 1], [0, 1])).tolist() == [0.0]
    assert energy_inside(maps, region([1, 1], [1, 1])).tolist() == [1.0]
    assert energy_inside(maps, region([0, 0], [0, 0])).tolist() == [0.0]


def test_negative_values_count_nothing():
    maps = torch.tensor([[[3.0, -50.0], [1.0, -7.0]]])
    assert energy_inside(maps, region([1, 1], [0, 1])).tolist() == [0.75]


def test_the_minimum_of_a_positive_map_is_taken_away():
    # 5, 4, 3, 2 becomes 1, 2/3, 1/3, 0
    maps = torch.tensor([[[5.0, 4.0], [3.0, 2.0]]])
    assert energy_inside(maps, region([1, 0], [0, 1])).tolist() == [pytest.approx(0.5)]


@pytest.mark.parametrize("value", [0.0, -2.0, 4.0])
def test_a_map_without_energy(value):
    share = energy_inside(torch.full((1, 3, 3), value), torch.ones(1, 7, 7, dtype=torch.bool))
    assert share.tolist() == [0.0]


@pytest.mark.parametrize(("grid", "size"), [((3, 4), (8, 9)), ((8, 9), (8, 9)), ((5, 5), (3, 2))])
def test_energy_of_upsampled_maps(grid, size):
    generator = torch.manual_seed(0)
    maps = torch.randn(4, *grid, dtype=torch.float64, generator=generator)
    regions = torch.rand(4, *size, generator=generator) < 0.4
    shares = energy_inside(maps, regions)
    for a, inside, share in zip(maps, regions, shares, strict=True):
        energy = ref.minmax(ref.up(a.relu(), size))
        assert share.item() == pytest.approx(energy[inside.numpy()].sum() / energy.sum(), rel=1e-10)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_a_map_does_not_matter(scale):
    maps = torch.randn(2, 4, 4, dtype=torch.float64, generator=torch.manual_seed(0))
    regions = torch.zeros(2, 8, 8, dtype=torch.bool)
    regions[:, 2:5, 1:6] = True
    torch.testing.assert_close(energy_inside(scale * maps, regions), energy_inside(maps, regions))


@pytest.mark.parametrize(
    ("maps", "regions"), [((2, 3, 3), (1, 6, 6)), ((3, 3), (1, 6, 6)), ((1, 3, 3), (1, 1, 6, 6))]
)
def test_shapes_that_do_not_belong_together(maps, regions):
    with pytest.raises(ValueError, match="maps and regions") as raised:
        energy_inside(torch.ones(maps), torch.ones(regions, dtype=torch.bool))
    assert str(raised.value) == (
        "Expected maps and regions to be of shapes (P,h,w) and (P,H,W), but got "
        f"maps {maps} and regions {regions}."
    )
