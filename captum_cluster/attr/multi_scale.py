"""Any attribution at several scales and mirrored, for Captum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from captum.attr import Attribution
from captum.log import log_usage
from torch import Tensor

from captum_cluster._checks import describe, expected
from captum_cluster.functional.attribution.views import View, Views, sum_views
from captum_cluster.methods import check_pictures


class MultiScale(Attribution):  # type: ignore[misc]
    """The sum of an attribution's maps of the image at several sizes, and mirrored.

    Each view's map is rectified, mirrored back, enlarged to the image, and added to the others;
    the sum is divided by its maximum. Used as Captum's ``NoiseTunnel``, around an object of any
    class of this package or of Captum.

    Args:
        attribution_method: The object, with an ``attribute`` that gives maps (N,C,h,w) on any
            grid; those of several channels are summed over them.
        scales: Of height and width, each above 0.
        flip: See the image mirrored too, at each scale.

    Raises:
        TypeError: It has no ``attribute``, ``scales`` is no list of numbers, or ``flip`` no bool.
        ValueError: There is no scale, or one that is not above 0.

    Example:
        >>> import torch
        >>> from captum.attr import LayerGradCam
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> cam = MultiScale(LayerGradCam(model, model.layer4), scales=(1.0, 2.0))
        >>> cam.attribute(torch.rand(2, 3, 64, 64), target=3).shape
        torch.Size([2, 1, 64, 64])

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        the authors' code.
    """

    def __init__(
        self,
        attribution_method: Any,
        scales: Sequence[float] = (0.5, 1.0, 1.5, 2.0),
        flip: bool = True,
    ) -> None:
        if not callable(getattr(attribution_method, "attribute", None)):
            what = "an object with a method attribute"
            raise TypeError(expected("attribution_method", what, describe(attribution_method)))
        self.attribution_method = attribution_method
        self.views = Views(scales, flip)
        super().__init__(getattr(attribution_method, "forward_func", attribution_method.attribute))

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self, inputs: Tensor | tuple[Tensor, ...], target: Any = None, **kwargs: Any
    ) -> Tensor:
        """Return the maps (N,1,H,W) from 0 to 1, at the size of the images.

        Args:
            inputs: The images (N,c,H,W), or a tuple of inputs, of which those of four dimensions
                are seen at several sizes.
            target: As the method takes it.
            **kwargs: For the method's ``attribute``, the same for every view: a baseline must
                broadcast to every size, and labels had better be given than predicted.

        Raises:
            TypeError: The method gives several maps, or none.
            Exception: As the method raises, for instance of a size that the model does not take.
        """
        # NoiseTunnel takes the target by name alone, a LayerActivation takes none.
        given = {} if target is None else {"target": target}
        return self._summed("attribute", inputs, {**given, **kwargs})

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute_targets(
        self, inputs: Tensor | tuple[Tensor, ...], targets: Any, **kwargs: Any
    ) -> Tensor:
        """Return the maps (N,T,H,W) of several targets, around a class of this package.

        Args:
            inputs: As for ``attribute``.
            targets: As for the ``attribute_targets`` of this package's classes.
            **kwargs: As for ``attribute``.

        Raises:
            TypeError: As for ``attribute``; or the method has no ``attribute_targets``.
        """
        return self._summed("attribute_targets", inputs, {"targets": targets, **kwargs})

    def _summed(self, name: str, inputs: Any, kwargs: dict[str, Any]) -> Tensor:
        """Return the sum of the views' maps, divided by its maximum."""
        method = getattr(self.attribution_method, name, None)
        if method is None:
            what = f"to have {name}, as this package's classes"
            got = type(self.attribution_method).__name__
            raise TypeError(expected("attribution_method", what, got))
        batch = inputs if isinstance(inputs, tuple) else (inputs,)
        size = check_pictures(batch)
        maps = []
        for view in self.views.at(size):
            seen = tuple(_seen(tensor, view) for tensor in batch)
            found = method(seen if isinstance(inputs, tuple) else seen[0], **kwargs)
            maps.append(view.back(_one(found, name == "attribute"), size))
        return sum_views(maps)


def _seen(tensor: Tensor, view: View) -> Tensor:
    """Return an input as it is seen: a leaf that needs a gradient if it did before."""
    if tensor.ndim != 4:
        return tensor
    return view.of(tensor.detach()).requires_grad_(tensor.requires_grad)


def _one(found: Any, whole: bool) -> Tensor:
    """Return the maps of an attribution, its channels summed where they make ``whole`` one map."""
    if isinstance(found, tuple) and len(found) == 1:
        found = found[0]
    if not isinstance(found, Tensor) or found.ndim != 4:
        raise TypeError(expected("the attribution", "one tensor (N,C,h,w)", describe(found)))
    maps = found.detach()
    return maps.sum(dim=1, keepdim=True) if whole else maps
