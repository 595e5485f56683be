"""Cluster-CAM for pytorch-grad-cam."""

from captum_cluster.grad_cam._base import MaskedCAM
from captum_cluster.methods import CLUSTER_CAM


class ClusterCAM(MaskedCAM, algorithm=CLUSTER_CAM):
    """Cluster-CAM: the layer's maps are clustered, and a handful of cluster maps is scored.

    1 + Q forward passes for each image and layer. Options: ``ClusterCamConfig``.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Sequential(
        ...     nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(),
        ...     nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
        ... ).eval()
        >>> cam = ClusterCAM(net, [net[1]], n_clusters=4)
        >>> cam(torch.rand(2, 3, 16, 16)).shape
        (2, 16, 16)
        >>> cam.results[0].base.shape
        torch.Size([2, 1])

    References:
        Feng et al. 2023, "Cluster-CAM", https://arxiv.org/abs/2302.01642, equations 9 to 22.
    """
