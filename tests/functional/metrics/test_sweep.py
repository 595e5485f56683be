"""The best background score, against each threshold alone."""

import numpy as np
import pytest
import torch

from captum_cluster.functional.metrics import (
    background_sweep_update,
    best_threshold,
    mean_iou_compute,
    segmentation_update,
)

SIZE = (6, 7)


def case(seed, images=3, labels=3, grid=SIZE):
    """Maps, presence and truth with ignored pixels; often without one of the classes."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(images, labels, *grid, dtype=torch.float64, generator=generator)
    present = torch.rand(images, labels, generator=generator) < 0.5
    truth = torch.randint(0, labels + 1, (images, *SIZE), generator=generator)
    truth[torch.rand(truth.shape, generator=generator) < 0.2] = 255
    return maps, present, truth.to(torch.uint8)


LEVELS = [0.0, 0.1, 0.15, 0.4, 0.8, 1.0]


def test_a_sweep_is_each_threshold_alone():
    several = [case(seed) for seed in range(3)]
    parts = [background_sweep_update(*one, LEVELS) for one in several]
    sums = {name: sum(part[name] for part in parts) for name in parts[0]}
    values = []
    for row, level in enumerate(LEVELS):
        alone = [segmentation_update(*one, background=level) for one in several]
        added = {name: sum(one[name] for one in alone) for name in alone[0]}
        for name, value in added.items():
            assert torch.equal(sums[name][row], value)
        values.append(float(mean_iou_compute(added)))
    best = int(np.argmax(values))
    assert best_threshold(sums, LEVELS) == (LEVELS[best], pytest.approx(values[best]))
    assert len(set(values)) > 3


def test_a_sweep_without_a_true_pixel():
    maps, present, truth = case(0)
    sums = background_sweep_update(maps, present, 0 * truth + 255, LEVELS)
    with pytest.raises(ValueError, match="^Expected sums") as raised:
        best_threshold(sums, LEVELS)
    assert str(raised.value) == "Expected sums to be of images with a true pixel, but got none."


@pytest.mark.parametrize(
    ("levels", "text"),
    [
        ([], "Expected thresholds to be at least one number from 0 to 1, but got none."),
        ([0.5, 2], "Expected thresholds to be a number from 0 to 1, but got 2."),
    ],
)
def test_wrong_thresholds(levels, text):
    with pytest.raises(ValueError, match="^Expected thresholds") as raised:
        background_sweep_update(*case(0), levels)
    assert str(raised.value) == text
