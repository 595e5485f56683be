"""Callbacks of Lightning that watch the maps of a network while it is trained."""

from captum_cluster.evaluation.monitoring.images import CamImageCallback
from captum_cluster.evaluation.monitoring.metrics import CamMetricsCallback

__all__ = ["CamImageCallback", "CamMetricsCallback"]
