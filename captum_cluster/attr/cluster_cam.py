"""Cluster-CAM for Captum."""

from captum_cluster.attr._masked import LayerMaskedCam
from captum_cluster.methods import CLUSTER_CAM


class LayerClusterCam(LayerMaskedCam, algorithm=CLUSTER_CAM):
    """Cluster-CAM: the layer's maps are clustered, and a handful of cluster maps is scored.

    The mean maps of the clusters, each weighed by the softmax of its score; or, with
    ``combine="base_scissors"``, the letter of the paper: ``beta * F_base - (1 - beta) *
    F_scissors``, the clusters whose masks keep the highest and the lowest score. 1 + Q forward
    passes for each image, whatever the number of targets. Options: ``ClusterCamConfig``.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = LayerClusterCam(model, model.layer4)
        >>> images = torch.rand(2, 3, 64, 64)
        >>> cam.attribute(images, target=3).shape
        torch.Size([2, 1, 2, 2])
        >>> cam.attribute_targets(images, [0, 3], n_clusters=4).shape
        torch.Size([2, 2, 2, 2])

    References:
        Feng et al. 2023, "Cluster-CAM", https://arxiv.org/abs/2302.01642, equations 9 to 22.
        Where we depart from it (``combine``), where it is silent (beta, the min-max of masks) or
        cannot be taken literally (the scale of distances in spectral clustering), the option
        names both readings.
    """
