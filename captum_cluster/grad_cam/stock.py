"""pytorch-grad-cam's own methods, under the names of its command line."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_grad_cam.ablation_cam import AblationCAM
from pytorch_grad_cam.ablation_layer import AblationLayerVit
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from captum_cluster.functional.attribution import TokensToMaps, channels_last_to_maps
from captum_cluster.grad_cam.targets import MinMaxTarget


@dataclass(frozen=True)
class StockMethod:
    """One of the host's methods.

    Attributes:
        class_name: The host's class.
        paper: Where it comes from.
        gradient: Whether it takes a gradient.
        passes: Forward passes for one image, as a person reads them.
        layers: "one", or "all" where it looks at every layer, whichever is named.
    """

    class_name: str
    paper: str
    gradient: bool = True
    passes: str = "1"
    layers: str = "one"


STOCK = {
    "gradcam": StockMethod("GradCAM", "Selvaraju et al. 2017"),
    "gradcam++": StockMethod("GradCAMPlusPlus", "Chattopadhay et al. 2018"),
    "hirescam": StockMethod("HiResCAM", "Draelos and Carin 2020"),
    "gradcamelementwise": StockMethod("GradCAMElementWise", "pytorch-grad-cam"),
    "xgradcam": StockMethod("XGradCAM", "Fu et al. 2020"),
    "layercam": StockMethod("LayerCAM", "Jiang et al. 2021"),
    "eigencam": StockMethod("EigenCAM", "Muhammad and Yeasin 2020", gradient=False),
    "eigengradcam": StockMethod("EigenGradCAM", "pytorch-grad-cam"),
    "fullgrad": StockMethod("FullGrad", "Srinivas and Fleuret 2019", layers="all"),
    "fem": StockMethod("FEM", "Fuad et al. 2020", gradient=False),
    "kpcacam": StockMethod("KPCA_CAM", "Karmani et al. 2024", gradient=False),
    "shapleycam": StockMethod("ShapleyCAM", "Cai 2025"),
    "finercam": StockMethod("FinerCAM", "Zhang et al. 2025"),
    "scorecam": StockMethod("ScoreCAM", "Wang et al. 2020", gradient=False, passes="1 + C"),
    "ablationcam": StockMethod(
        "AblationCAM", "Desai and Ramaswamy 2020", gradient=False, passes="2 + C"
    ),
}
"""Of each name the method."""


def stock_map(
    method: str,
    model: nn.Module,
    layer: nn.Module,
    images: Tensor,
    target: int,
    reshape_transform: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the saliency maps (N,1,H,W) in [0,1] of one of pytorch-grad-cam's methods.

    The host leaves gradients, hooks and even exchanged submodules on the model: wrap the call in
    ``untouched``, ``grads_kept`` and ``structure_kept``. FullGrad looks at all layers.

    Args:
        method: One of ``STOCK``.
        model: The model.
        layer: Its layer, with feature maps (N,C,h,w).
        images: (N,c,H,W).
        target: The label explained.
        reshape_transform: Turns what the layer gives into maps (N,C,h,w).

    Raises:
        ImportError: The installed pytorch-grad-cam does not have the method.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> stock_map("gradcam", net.eval(), net[0], torch.rand(1, 3, 8, 8), 2).shape
        torch.Size([1, 1, 8, 8])
    """
    name = STOCK[method].class_name
    host = importlib.import_module("pytorch_grad_cam")
    if not hasattr(host, name):
        raise ImportError(
            f"Expected pytorch-grad-cam to have {name}, but got a version without it: "
            "pip install --upgrade grad-cam."
        )
    cam = getattr(host, name)
    return cam_map(cam, model, [layer], images, target, reshape_transform=reshape_transform)


def is_cam(method: object) -> bool:
    """Return whether a method is a class of pytorch-grad-cam's kind.

    Example:
        >>> is_cam(importlib.import_module("pytorch_grad_cam").GradCAM), is_cam(torch.relu)
        (True, False)
    """
    return isinstance(method, type) and issubclass(method, BaseCAM)


def cam_map(
    method: Any,
    model: nn.Module,
    layers: Sequence[nn.Module],
    images: Tensor,
    target: int,
    *,
    labels: Sequence[int] | None = None,
    **options: Any,
) -> Tensor:
    """Return the saliency maps (N,1,H,W) in [0,1] of a class of pytorch-grad-cam's kind.

    Args:
        method: The class.
        model: The model.
        layers: Its layers.
        images: (N,c,H,W).
        target: The label explained.
        labels: The labels present, for a class that contrasts them; None: those predicted.
        **options: Of the constructor.

    Example:
        >>> from pytorch_grad_cam import GradCAM
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> cam_map(GradCAM, net.eval(), [net[0]], torch.rand(1, 3, 8, 8), 2).shape
        torch.Size([1, 1, 8, 8])
    """
    wanted: Any = ClassifierOutputTarget(target)
    if labels is not None:
        wanted = MinMaxTarget(target, list(labels))
    if issubclass(method, AblationCAM) and _by_last_axis(options.get("reshape_transform")):
        # The default exchanges places for channels where these come last.
        options = {"ablation_layer": AblationLayerVit(), **options}
    with torch.inference_mode(False), torch.enable_grad():
        # The images take part in the graph, so that a frozen model is explained too.
        images = images.detach().clone().requires_grad_()
        # Not as a context manager: the host's would hide an IndexError.
        cam = method(model, list(layers), **options)
        maps = cam(images, [wanted] * len(images))
    return torch.from_numpy(maps)[:, None]


def _by_last_axis(reshape_transform: object) -> bool:
    """Return whether maps are made of what has its channels at the last axis."""
    return reshape_transform is channels_last_to_maps or isinstance(reshape_transform, TokensToMaps)
