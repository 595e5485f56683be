"""Explainers behind the interface of torchcam's extractors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from captum_cluster._checks import describe, expected
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.metrics.adapters.explainers import run_explainer
from captum_cluster.metrics.adapters.maps import Channels, maps_of


class _Watched(nn.Module):
    """A model that remembers the images it took last."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.watched = model
        self.training = model.training
        self.images: Tensor | None = None
        self.on = True

    def forward(self, images: Tensor) -> Any:
        if self.on:
            self.images = images.detach()
        return self.watched(images)


class TorchcamExtractor:
    """An explainer as ``ClassificationMetric`` and its relatives in torchcam take one.

    torchcam runs the model and then asks for the maps of the classes. So the images go through
    ``extractor.model``, which remembers them; torchcam's metrics do that by themselves.

    Args:
        model: The model, on whose modules nothing is changed.
        explainer: As for ``run_explainer``: an object of Captum's kind or pytorch-grad-cam's, or
            a function ``explain(inputs, target=...)``.
        channels: As for ``maps_of``.
        **options: Passed to the explainer.

    Attributes:
        model: The model, which remembers the images it takes.

    Raises:
        TypeError: ``model`` is no module.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> extractor = TorchcamExtractor(net, lambda inputs, target: inputs.mean(dim=1))
        >>> scores = extractor.model(torch.rand(2, 3, 8, 8))
        >>> [maps.shape for maps in extractor([0, 2], scores)]
        [torch.Size([2, 8, 8])]
    """

    def __init__(
        self, model: nn.Module, explainer: Any, *, channels: Channels | None = None, **options: Any
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(expected("model", "an nn.Module", describe(model)))
        self.model = _Watched(model)
        self._explainer = explainer
        self._channels = channels
        self._options = options

    def __call__(
        self,
        class_idx: int | list[int] | None = None,
        scores: Any = None,
        normalized: bool = True,
        *,
        targets: Any = None,
        **options: Any,
    ) -> list[Tensor]:
        """Return the maps of the images that ``model`` took last: a list of one tensor.

        Args:
            class_idx: One label for all images, or one for each.
            scores: Not used; torchcam passes the model's outputs.
            normalized: Give saliency maps (N,H,W) in [0,1], made as everywhere in this package
                (ReLU, enlarge, min-max); else the maps (N,h,w) as the explainer gives them.
            targets: A callable of one image's output, or one for each image, instead.
            **options: Passed to the explainer.

        Raises:
            ValueError: Both or neither of ``class_idx`` and ``targets``; no images yet.
        """
        if (class_idx is None) == (targets is None):
            raise ValueError(expected("one of class_idx and targets", "given", "both or neither"))
        images = self.model.images
        if images is None:
            what = "called before the maps are asked for"
            raise ValueError(expected("the extractor's model", what, "no images yet"))
        target = class_idx if targets is None else targets
        found = run_explainer(self._explainer, images, target, **{**self._options, **options})
        maps = maps_of(found, channels=self._channels)
        return [saliency(maps, images.shape[-2:]) if normalized else maps]

    def fuse_cams(self, cams: list[Tensor]) -> Tensor:
        """Return the one map that there is for each image, as torchcam asks it to."""
        return maps_of(cams)

    @contextmanager
    def _hooks_off(self) -> Iterator[None]:
        """Do not remember the images of masked passes, as torchcam asks it to."""
        before, self.model.on = self.model.on, False
        try:
            yield
        finally:
            self.model.on = before
