"""Proportion and the pointing game, by hand and against the slow derivations."""

import pytest
import torch

from captum_cluster.functional.metrics import (
    energy_compute,
    energy_inside,
    energy_update,
    pointing_compute,
    pointing_hits,
    pointing_update,
)
from tests.helpers import localization_references as slow
from tests.helpers import metric_references
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


# The pointing game


def test_the_maximum_by_hand():
    maps = torch.tensor([[[1.0, 5.0], [5.0, 0.0]], [[-1.0, -5.0], [-2.0, -3.0]]])
    upper, lower = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    upper[:, 0], lower[:, 1] = True, True
    # the first of the equal maxima is above; the other map is all zero
    assert pointing_hits(maps, upper).tolist() == [True, False]
    assert pointing_hits(maps, lower).tolist() == [False, False]
    assert pointing_hits(maps, lower, tolerance=1).tolist() == [True, False]


def test_the_tolerance_is_a_circle():
    maps, region = torch.zeros(1, 9, 9), torch.zeros(1, 9, 9, dtype=torch.bool)
    maps[0, 4, 4], region[0, 7, 8] = 1, True  # 3 down, 4 to the right
    assert not pointing_hits(maps, region, tolerance=4.9)
    assert pointing_hits(maps, region, tolerance=5)


@pytest.mark.parametrize("tolerance", [0, 1, 2.5])
@pytest.mark.parametrize("grid", [(3, 4), (7, 6)])
def test_hits_are_the_reference(grid, tolerance):
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(12, *grid, dtype=torch.float64, generator=generator)
    regions = torch.rand(12, 7, 6, generator=generator) < 0.15
    found = pointing_hits(maps, regions, tolerance=tolerance)
    expected = [
        slow.pointing(a, inside, tolerance) for a, inside in zip(maps, regions, strict=True)
    ]
    assert found.tolist() == expected
    assert 0 < sum(expected) < 12


def test_wrong_tolerance():
    maps, region = torch.zeros(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="^Expected tolerance") as raised:
        pointing_hits(maps, region, tolerance=-1)
    assert str(raised.value) == "Expected tolerance to be a number of at least 0, but got -1."
    with pytest.raises(ValueError, match="^Expected maps and regions to be of shapes"):
        pointing_hits(maps, region[0])


# Sums


def some_maps(count=6, seed=2):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(count, 5, 6, dtype=torch.float64, generator=generator)
    regions = torch.rand(count, 5, 6, generator=generator) < 0.4
    regions[1] = False  # no ground truth
    return maps, regions


def test_sums_of_energy_and_hits_skip_and_count_pairs_without_ground_truth():
    maps, regions = some_maps()
    kept = [0, 2, 3, 4, 5]
    sums = energy_update(maps, masks=regions)
    assert (int(sums["pairs"]), int(sums["skipped"])) == (5, 1)
    expected = [metric_references.proportion(maps[n], regions[n]) for n in kept]
    assert float(energy_compute(sums)) == pytest.approx(sum(expected) / 5, abs=1e-12)
    sums = pointing_update(maps, masks=regions, tolerance=1)
    assert (int(sums["pairs"]), int(sums["skipped"])) == (5, 1)
    expected = [slow.pointing(maps[n], regions[n], 1) for n in kept]
    assert float(pointing_compute(sums)) == sum(expected) / 5


def test_boxes_are_their_pixels():
    maps, _ = some_maps(3)
    boxes = [[(0, 0, 2, 3), (1, 1, 4, 4)], [(90, 90, 99, 99)], [(-4, 2, 3.5, 80)]]
    masks = torch.stack(
        [torch.from_numpy(metric_references.boxes_mask(some, (5, 6))) for some in boxes]
    )
    for update in (energy_update, pointing_update):
        by_boxes, by_masks = update(maps, boxes=boxes), update(maps, masks=masks)
        assert int(by_boxes["skipped"]) == 1
        for name, value in by_masks.items():
            assert torch.equal(by_boxes[name], value)


def test_perfect_and_worst():
    _, regions = some_maps()
    for update, compute in ((energy_update, energy_compute), (pointing_update, pointing_compute)):
        assert compute(update(regions.float(), masks=regions)) == 1
        assert compute(update((~regions).float(), masks=regions)) == 0
        assert compute(update(0 * regions.float(), masks=regions)) == 0
        assert compute(update(regions[:0].float(), masks=regions[:0])).isnan()
