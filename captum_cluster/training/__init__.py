"""What is trained: classifier heads with regularised weights."""

from captum_cluster.training.heads import KernelUsageConv2d, KernelUsageLinear

__all__ = ["KernelUsageConv2d", "KernelUsageLinear"]
