"""Cluster-CAM for pytorch-grad-cam."""

from captum_cluster.grad_cam._masked import MaskedCAM
from captum_cluster.methods import CLUSTER_CAM


class ClusterCAM(MaskedCAM, algorithm=CLUSTER_CAM):
    """Cluster-CAM: the layer's maps are clustered, and a handful of cluster maps is scored.

    1 + Q forward passes for each image and layer. Options: ``ClusterCamConfig``.

    A target is applied to what ``score_function`` reads: logits, or with
    ``combine="base_scissors"`` probabilities, where a target that takes a softmax of its own
    (``ClassifierOutputSoftmaxTarget``) needs ``score_function="logit"``.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = ClusterCAM(model, [model.layer4], n_clusters=4)
        >>> cam(torch.rand(2, 3, 64, 64)).shape
        (2, 64, 64)
        >>> cam.results[0].base.shape
        torch.Size([2, 1])

    References:
        Feng et al. 2023, "Cluster-CAM", https://arxiv.org/abs/2302.01642, equations 9 to 22.
    """
