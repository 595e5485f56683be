"""Any CAM at several scales and mirrored, for pytorch-grad-cam."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pytorch_grad_cam.base_cam import BaseCAM
from torch import Tensor

from captum_cluster._checks import check_flag, describe, expected
from captum_cluster._types import OutputTarget
from captum_cluster.functional.attribution.views import Views, sum_views
from captum_cluster.grad_cam._base import Array, ScopedCAM, check_targets, top_classes
from captum_cluster.hooks import untouched
from captum_cluster.methods import check_outputs, check_pictures


class MultiScaleCAM:
    """The sum of a CAM's maps of the image at several sizes, and mirrored.

    Called as the CAM itself. Each view's map is rectified, mirrored back, enlarged to the image,
    and added to the others; the sum is divided by its maximum. Of this package's classes at one
    layer (or where several make one map) it is the map as the method gives it, so that a view in
    which the label stands out counts for more; of the host's own, which keep that to themselves,
    it is the map that they show, from 0 to 1.

    Args:
        cam: An object of any class of this package or of the host.
        scales: Of height and width, each above 0.
        flip: See the image mirrored too, at each scale.

    Raises:
        TypeError: ``cam`` is no such object, ``scales`` is no list of numbers, or ``flip`` no
            bool.
        ValueError: There is no scale, or one that is not above 0.

    Example:
        >>> from pytorch_grad_cam import GradCAM
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = MultiScaleCAM(GradCAM(model, [model.layer4]), scales=(1.0, 2.0))
        >>> cam(torch.rand(2, 3, 64, 64)).shape
        (2, 64, 64)

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        the authors' code.
    """

    def __init__(
        self, cam: BaseCAM, scales: Sequence[float] = (0.5, 1.0, 1.5, 2.0), flip: bool = True
    ) -> None:
        if not isinstance(cam, BaseCAM):
            raise TypeError(expected("cam", "an object of a BaseCAM class", describe(cam)))
        self.cam = cam
        self.views = Views(scales, flip)

    def __call__(
        self,
        input_tensor: Tensor,
        targets: Sequence[OutputTarget] | None = None,
        aug_smooth: bool = False,
        eigen_smooth: bool = False,
    ) -> Array:
        """Return the maps (N,H,W), float32, each from 0 to 1.

        Args:
            input_tensor: The images (N,c,H,W).
            targets: One callable of one image's output for each image, the same for every view;
                None: the top class of the image as it is.
            aug_smooth: As the CAM takes it.
            eigen_smooth: As the CAM takes it.

        Raises:
            TargetError: Not one target for each image.
            Exception: As the CAM raises, for instance of a size that the model does not take.
        """
        smooth = check_flag("aug_smooth", aug_smooth) | check_flag("eigen_smooth", eigen_smooth)
        size, count = check_pictures((input_tensor,), "input_tensor"), len(input_tensor)
        wanted = self._top(input_tensor) if targets is None else check_targets(targets, count)
        maps = []
        for view in self.views.at(size):
            shown = self.cam(view.of(input_tensor.detach()), wanted, aug_smooth, eigen_smooth)
            maps.append(view.back(self._raw(shown, smooth), size))
        result: Array = sum_views(maps)[:, 0].float().cpu().numpy()
        return result

    def _top(self, images: Tensor) -> list[OutputTarget]:
        """Return the top class of each image as a target."""
        with torch.no_grad(), untouched(self.cam.model):
            outputs = self.cam.model(images.to(self.cam.device))
        if isinstance(self.cam, ScopedCAM):
            outputs = self.cam.output_selector(outputs)
        return top_classes(check_outputs(outputs, len(images)))

    def _raw(self, shown: Array, smooth: bool) -> Tensor:
        """Return the maps (N,1,h,w) of the last call: as the method gave them, or as shown."""
        if not smooth and isinstance(self.cam, ScopedCAM) and len(self.cam.results) == 1:
            return self.cam.results[0].maps
        return torch.from_numpy(shown)[:, None]
