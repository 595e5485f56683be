"""RISE for pytorch-grad-cam."""

from captum_cluster.grad_cam._masked import MaskedCAM
from captum_cluster.methods import RISE as _RISE


class RISE(MaskedCAM, algorithm=_RISE):
    """RISE: the mean of random masks, weighted by what the model says of the masked images.

    The target layers play no part but that of every other class here. 1 + ``n_masks`` forward
    passes for each image. Options: ``RiseConfig``.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> RISE(model, [model.layer4], n_masks=20)(torch.rand(2, 3, 64, 64)).shape
        (2, 64, 64)

    References:
        Petsiuk, Das, Saenko 2018, "RISE", equation 6.
    """
