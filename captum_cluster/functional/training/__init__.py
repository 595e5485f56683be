"""The maths of training: regularised weights."""

from captum_cluster.functional.training.kernel_usage import kernel_usage_weight

__all__ = ["kernel_usage_weight"]
