"""Areas under curves, by hand and against the trapezoid rule step by step."""

import numpy as np
import pytest
import torch

from captum_cluster.functional.metrics import (
    area_compute,
    area_update,
    overall_compute,
    overall_update,
    perturbation_area,
)
from tests.helpers import metric_references as ref

# The area


def test_area_by_hand():
    # steps of 2, 2 and 1 of 5: 2/5 (1 + 1/2)/2 + 2/5 (1/2 + 0)/2 + 1/5 (0 + 1)/2
    probabilities = torch.tensor([[1.0, 0.5, 0.0, 1.0], [0.25, 0.25, 0.25, 0.25]])
    np.testing.assert_allclose(perturbation_area(probabilities, [0, 2, 4, 5]), [0.5, 0.25])


@pytest.mark.parametrize("steps", [[0, 80, 160, 200], [0, 30], [0, 1, 2, 3, 4, 5]], ids=str)
def test_area_is_the_reference(steps):
    values = torch.rand(3, len(steps), generator=torch.Generator().manual_seed(0)).double()
    found = perturbation_area(values, steps)
    shares = [count / steps[-1] for count in steps]
    for row, one in zip(values.tolist(), found.tolist(), strict=True):
        assert one == pytest.approx(ref.area(shares, row), abs=1e-14)


@pytest.mark.parametrize("shape", [(3,), (1, 4), (1, 1, 3)])
def test_area_of_another_shape(shape):
    with pytest.raises(ValueError, match="probabilities") as raised:
        perturbation_area(torch.zeros(shape), [0, 1, 2])
    assert str(raised.value) == (
        f"Expected probabilities to be of shape (P,S) with S = 3 steps, but got {shape}."
    )


# Sums of areas


def test_sums_of_areas_add_up():
    values = torch.rand(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    steps = [0, 3, 6, 7]
    parts = [area_update(values[:2], steps=steps), area_update(values[2:], steps=steps)]
    sums = {name: sum(part[name] for part in parts) for name in parts[0]}
    expected = sum(ref.area([c / 7 for c in steps], row) for row in values.tolist()) / 5
    assert float(area_compute(sums)) == pytest.approx(expected, abs=1e-14)


def test_steps_of_one_size_need_not_be_said():
    values = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    even = perturbation_area(values, [0, 10, 20, 30, 40])
    torch.testing.assert_close(perturbation_area(values), even)


def test_overall_is_the_difference_of_the_areas():
    values = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    areas = [area_compute(area_update(curves, steps=[0, 3, 6, 7])) for curves in values]
    found = overall_compute(overall_update(*values, steps=[0, 3, 6, 7]))
    assert float(found) == pytest.approx(float(areas[1] - areas[0]), abs=1e-15)


@pytest.mark.parametrize("steps", [[1, 2, 3], [0, 2, 2], [0, 3, 1]])
def test_steps_that_do_not_rise(steps):
    with pytest.raises(ValueError, match="^Expected steps") as raised:
        perturbation_area(torch.zeros(1, 3), steps)
    assert str(raised.value) == (
        f"Expected steps to be two numbers or more that rise from 0, but got {steps}."
    )


@pytest.mark.parametrize("shape", [(), (3,), (1, 1, 3)])
def test_curves_of_another_shape(shape):
    with pytest.raises(ValueError, match="^Expected probabilities") as raised:
        area_update(torch.zeros(shape), steps=[0, 1, 2])
    what = "of shape (P,S) with S = 3 steps"
    assert str(raised.value) == f"Expected probabilities to be {what}, but got {shape}."


def test_curves_that_are_no_probabilities_or_no_pair():
    with pytest.raises(ValueError, match=r"^Expected curves to be probabilities in \[0,1\]"):
        area_update(torch.tensor([[0.5, 1.5]]), steps=[0, 1])
    with pytest.raises(ValueError, match="^Expected deletion and insertion") as raised:
        overall_update(torch.zeros(1, 3), torch.zeros(1, 4), steps=[0, 1, 2])
    assert str(raised.value) == (
        "Expected deletion and insertion to be of one shape (P,S), but got (1, 3) and (1, 4)."
    )
