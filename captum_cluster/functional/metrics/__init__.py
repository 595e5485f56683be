"""The maths of the metrics."""

from captum_cluster.functional.metrics.faithfulness import (
    average_drop,
    average_increase,
    perturb,
    perturbation_area,
    perturbation_steps,
    saliency_ranks,
)
from captum_cluster.functional.metrics.localization import energy_inside

__all__ = [
    "average_drop",
    "average_increase",
    "energy_inside",
    "perturb",
    "perturbation_area",
    "perturbation_steps",
    "saliency_ranks",
]
