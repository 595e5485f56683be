"""Score-CAM for pytorch-grad-cam, with shared passes and no side effects."""

from captum_cluster.grad_cam._masked import MaskedCAM
from captum_cluster.methods import SCORE_CAM


class ScoreCAM(MaskedCAM, algorithm=SCORE_CAM):
    """Score-CAM: each map of the layer is a mask, and the masked image's score is its weight.

    1 + C forward passes for each image and layer; all flat maps share one. With
    ``align_corners=True`` the masks are those of the host's own ScoreCAM. Options:
    ``ScoreCamConfig``.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> ScoreCAM(model, [model.layer1])(torch.rand(2, 3, 64, 64)).shape
        (2, 64, 64)

    References:
        Wang et al. 2020, "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
        Networks", equation 6.
    """
