"""RISE for pytorch-grad-cam."""

from captum_cluster.grad_cam._base import MaskedCAM
from captum_cluster.methods import RISE as _RISE


class RISE(MaskedCAM, algorithm=_RISE):
    """RISE: the mean of random masks, weighted by what the model says of the masked images.

    The target layers play no part but that of every other class here. 1 + ``n_masks`` forward
    passes for each image. Options: ``RiseConfig``.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Sequential(
        ...     nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(),
        ...     nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
        ... ).eval()
        >>> RISE(net, [net[1]], n_masks=20)(torch.rand(2, 3, 16, 16)).shape
        (2, 16, 16)

    References:
        Petsiuk, Das, Saenko 2018, "RISE", equation 6.
    """
