"""Score-CAM for Captum."""

from captum_cluster.attr._masked import LayerMaskedCam
from captum_cluster.methods import SCORE_CAM


class LayerScoreCam(LayerMaskedCam, algorithm=SCORE_CAM):
    """Score-CAM: each map of the layer is a mask, and the masked image's score is its weight.

    1 + C forward passes for each image (all flat maps share one), whatever the number of
    targets. The map is signed; pass ``relu_attributions=True`` for the paper's ReLU. Options:
    ``ScoreCamConfig``.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> LayerScoreCam(model, model.layer1).attribute(torch.rand(2, 3, 64, 64), target=3).shape
        torch.Size([2, 1, 16, 16])

    References:
        Wang et al. 2020, "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
        Networks", equation 6.
    """
