"""pytorch-grad-cam's own methods, under the names of its command line."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

STOCK = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "gradcamelementwise": "GradCAMElementWise",
    "xgradcam": "XGradCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "eigengradcam": "EigenGradCAM",
    "fullgrad": "FullGrad",
    "fem": "FEM",
    "kpcacam": "KPCA_CAM",
    "shapleycam": "ShapleyCAM",
    "finercam": "FinerCAM",
    "scorecam": "ScoreCAM",
    "ablationcam": "AblationCAM",
}
"""Of each name the class."""


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
    name = STOCK[method]
    host = importlib.import_module("pytorch_grad_cam")
    if not hasattr(host, name):
        raise ImportError(
            f"Expected pytorch-grad-cam to have {name}, but got a version without it: "
            "pip install --upgrade grad-cam."
        )
    with torch.inference_mode(False), torch.enable_grad():
        # The images take part in the graph, so that a frozen model is explained too.
        images = images.detach().clone().requires_grad_()
        # Not as a context manager: the host's would hide an IndexError.
        cam = getattr(host, name)(model, [layer], reshape_transform)
        maps = cam(images, [ClassifierOutputTarget(target)] * len(images))
    return torch.from_numpy(maps)[:, None]
