"""RISE for Captum."""

from captum_cluster.attr._masked import LayerMaskedCam
from captum_cluster.methods import RISE


class LayerRise(LayerMaskedCam, algorithm=RISE):
    """RISE: the mean of random masks, weighted by what the model says of the masked images.

    It asks the model alone: the layer only takes the place it has in every other class here, and
    the maps come out at the size of the input, (N,T,H,W). 1 + ``n_masks`` forward passes for
    each image. Options: ``RiseConfig``.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = LayerRise(model, model.layer4)
        >>> cam.attribute(torch.rand(2, 3, 64, 64), target=3, n_masks=20).shape
        torch.Size([2, 1, 64, 64])

    References:
        Petsiuk, Das, Saenko 2018, "RISE: Randomized Input Sampling for Explanation of Black-box
        Models", equation 6. The baseline of Ha and Youn, "Collection-CAM".
    """
