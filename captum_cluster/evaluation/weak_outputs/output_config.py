"""What the configurations of ``captum-cluster masks`` and ``captum-cluster proposals`` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from captum_cluster._checks import (
    check_choice,
    check_flag,
    check_integer,
    describe,
    expected,
)
from captum_cluster.evaluation.config_file import FileConfig
from captum_cluster.evaluation.running.entries import MethodLike, method_entries
from captum_cluster.evaluation.running.map_making import EXPLAINED, PROBABILITIES
from captum_cluster.evaluation.weak_outputs.explaining import Explaining, explaining
from captum_cluster.evaluation.weak_outputs.opening import open_run

PARTS = ("train", "test")


@dataclass(frozen=True)
class OutputConfig(FileConfig):
    """Which images are explained, and how, in words and numbers alone.

    Attributes:
        paths: Pictures, and folders of pictures; or
        data: what ``open_dataset`` takes ("voc:DIR,image_set=train"). With neither the images are
            those of the training of ``network``.
        network: The directory of a training (``captum-cluster train``).
        network_name: Of its networks: "network", "baseline", "round-1", ...
        part: Of the training's images: "train", those that the network was trained with, the
            default; or "test".
        model: A torchvision classifier, or "digit-net", the demo's network. None: that of
            ``network``, or "resnet18".
        weights: Of ``model``: "DEFAULT", or a file with a state dict.
        method: As for ``evaluate``: a name, or a mapping that also gives options.
        layer: As for ``evaluate``.
        scales: The sizes at which the method sees an image, as shares of its size; the maps are
            summed.
        flip: Whether it also sees each mirrored.
        labels: As for ``make_masks``.
        probability: "probability" (softmax) or "sigmoid". None: by the network's training;
            "sigmoid" for "digit-net", else "probability".
        size: Height and width of what the model sees. None: the model's, or the training's.
        longest: As for ``make_masks``.
        limit: Number of images, evenly spread.
        figures: As for ``make_masks`` and ``make_proposals``.
        strict: Stop at an image that cannot be read.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", ...
    """

    needed: ClassVar[str | None] = None

    paths: Sequence[str] = field(default_factory=list)
    data: str | None = None
    network: str | None = None
    network_name: str = "network"
    part: str | None = None
    model: str | None = None
    weights: str = "DEFAULT"
    method: Any = "grad-cam"
    layer: str | Sequence[str] | None = None
    scales: Sequence[float] | None = None
    flip: bool = False
    labels: str | None = None
    probability: str | None = None
    size: int | None = None
    longest: int | None = None
    limit: int | None = None
    figures: int = 0
    strict: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_images(self)
        _check_model(self)
        method_entries([self.entry()])
        for name, choices in (("labels", EXPLAINED), ("probability", PROBABILITIES)):
            if getattr(self, name) is not None:
                check_choice(name, getattr(self, name), choices)
        for name in ("size", "longest", "limit"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 1)
        check_integer("figures", self.figures, 0)
        for name in ("flip", "strict"):
            check_flag(name, getattr(self, name))

    def entry(self) -> MethodLike:
        """Return the method as ``evaluate`` takes it, with the sizes at which it sees images."""
        check_flag("flip", self.flip)
        if self.scales is None and not self.flip:
            return self.method  # type: ignore[no-any-return]
        plain = self.method if isinstance(self.method, Mapping) else {"method": self.method}
        return {**plain, "scales": self.scales, "flip": self.flip}

    def explaining(self) -> Explaining:
        """Return what is explained, all opened and checked."""
        opened = open_run(self)
        return explaining(
            opened.model,
            self.layer,
            opened.images,
            self.entry(),
            labels=self.labels,
            classes=opened.classes,
            probability=self.probability or opened.probability,
            preparation=opened.preparation,
            limit=self.limit,
            reshape_transform=None,
            strict=self.strict,
        )


def _check_images(config: OutputConfig) -> None:
    """Check that images are named once."""
    if isinstance(config.paths, str) or not isinstance(config.paths, Sequence):
        raise TypeError(expected("paths", "a list of files and folders", describe(config.paths)))
    for name in ("data", "network", "model"):
        if getattr(config, name) is not None and not isinstance(getattr(config, name), str):
            raise TypeError(expected(name, "text", describe(getattr(config, name))))
    if config.paths and config.data is not None:
        raise ValueError(expected("the images", "given as paths or as data", "both"))
    if not config.paths and config.data is None and config.network is None:
        what = "given: as paths, as data, or as those of the training of network"
        raise ValueError(expected("the images", what, "neither"))
    if config.part is not None:
        check_choice("part", config.part, PARTS)
        if config.paths or config.data is not None:
            what = "left out where paths or data are given: it is of a training's images"
            raise ValueError(expected("part", what, repr(config.part)))
    if config.paths and config.labels == "truth":
        what = "'predicted' or 'top' for pictures whose labels are not known"
        raise ValueError(expected("labels", what, "'truth'"))


def _check_model(config: OutputConfig) -> None:
    """Check that there is one classifier."""
    for name in ("network_name", "weights", "device"):
        if not isinstance(getattr(config, name), str):
            raise TypeError(expected(name, "text", describe(getattr(config, name))))
    if config.network is None:
        if config.network_name != "network":
            what = "given with network alone"
            raise ValueError(expected("network_name", what, repr(config.network_name)))
        return
    if config.model is not None or config.weights != "DEFAULT":
        given = "model" if config.model is not None else "weights"
        what = "left out where network is given"
        raise ValueError(expected(given, what, repr(getattr(config, given))))
