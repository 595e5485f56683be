"""The maths of the metrics."""

from captum_cluster.functional.metrics.localization import energy_inside

__all__ = ["energy_inside"]
