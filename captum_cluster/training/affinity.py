"""Features of pixels by which neighbours are compared, learned on top of a classifier's maps."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import LayerError, check_flag, check_integer, describe, expected
from captum_cluster.data.preparation import IMAGENET_MEAN, IMAGENET_STD, Preparation
from captum_cluster.functional.weak import on_grid
from captum_cluster.hooks import capture, check_layer, trace_shapes
from captum_cluster.training.backbones import seen_in_black

STAGES = 3
"""The most layers that are taken where none are named."""


class AffinityHead(nn.Module):
    """Maps of several layers, projected each by itself, on one grid, joined and mixed.

    Of each layer ``ELU(norm(W_k x_k))``, on the grid ``size``; of all together ``ELU(W z + b)``.
    The projections are normalised over their channels and pixels (group normalisation of one
    group), as the scales of a network's layers differ; what is mixed is not, so that affinities
    find their own scale.

    Args:
        channels: C_k of each layer, at least one.
        num_features: D, at least 2, of each projection and of the result.

    Example:
        >>> head = AffinityHead([8, 16], 4)
        >>> head([torch.rand(2, 8, 6, 6), torch.rand(2, 16, 3, 3)], (6, 6)).shape
        torch.Size([2, 4, 6, 6])
    """

    def __init__(self, channels: Sequence[int], num_features: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(count, num_features, 1, bias=False),
                nn.GroupNorm(1, num_features),
                nn.ELU(),
            )
            for count in channels
        )
        joined = num_features * len(channels)
        self.mix = nn.Sequential(nn.Conv2d(joined, num_features, 1), nn.ELU())

    def forward(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return the features (N,D,h,w) of maps (N,C_k,h_k,w_k) on the grid ``size``."""
        parts = [
            on_grid(projection(one), size)
            for projection, one in zip(self.projections, maps, strict=True)
        ]
        features: Tensor = self.mix(torch.cat(parts, dim=1))
        return features


class AffinityNet(nn.Module):
    """A network from images to features by which neighbouring pixels are compared.

    The maps of several layers of a classifier go through an ``AffinityHead``; two pixels belong
    together as far as ``exp(-mean_d |f_id - f_jd|)`` is near 1 (``pair_affinities``). It is trained
    by ``LitAffinity``, or with ``affinity_loss`` by a loop of your own. Its ``features_of`` is what
    ``pseudo_masks`` takes as ``features=``, with
    ``refine=RandomWalk(stride, colour=0, position=0, layer=None)`` of the same stride.

    The classifier is copied, so that the one whose maps are explained stays as it is. The copy is
    frozen by default: a step needs no backward pass of it, and what is learned are
    affinities of the classifier's own features. The authors train all but the first stages too:
    ``train_backbone=True`` trains all that the maps come from. In either case the copy stays in
    evaluation mode, also after ``train()``, so that small batches do not change its statistics.

    What differs from the authors' network: any classifier in place of a ResNet-38 of stride 8; the
    projections are normalised, and as wide as each other (64, 128 and 256 there, 448 features).

    Args:
        classifier: A ``GapClassifier``, or any module from images (N,c,H,W); it runs as a whole.
        layers: Modules of the classifier that give maps (N,C,h,w), or their names, as in
            ``named_modules()``. None: of the part whose modules give maps of the most sizes, the
            last module of each of the last three sizes: for a ResNet its stages 2 to 4.
        num_features: D, at least 2.
        stride: Pixels of the image per pixel of the grid, along each axis; at least 1. None: the
            grid is that of the first layer: stride 8 for a ResNet or a DenseNet of torchvision.
        train_backbone: Whether the copy of the classifier is trained too. Its own head gets no
            gradient then: several processes need ``ddp_find_unused_parameters_true``.
        mean: Of each channel, for ``features_of``.
        std: Of each channel, above 0, for ``features_of``.

    Raises:
        LayerError: A layer is not one of the classifier, or gives no maps (N,C,h,w).
        TypeError: An argument is of another type.
        ValueError: A number is outside its range, no layer is named, or the classifier takes no
            images of 64 or 224 pixels, or has no maps.

    Shape:
        Input (N,c,H,W), normalised; output (N,D,h,w).

    Example:
        >>> from captum_cluster.training import gap_classifier
        >>> network = AffinityNet(gap_classifier("resnet18", 20), num_features=32)
        >>> network.layers
        ('body.layer2', 'body.layer3', 'body.layer4')
        >>> network(torch.rand(2, 3, 64, 96)).shape
        torch.Size([2, 32, 8, 12])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity"; used by Chang et al. 2020,
        "Sub-category exploration", section 4.
    """

    def __init__(
        self,
        classifier: nn.Module,
        layers: Sequence[str | nn.Module] | None = None,
        *,
        num_features: int = 128,
        stride: int | None = None,
        train_backbone: bool = False,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        if not isinstance(classifier, nn.Module):
            raise TypeError(expected("classifier", "an nn.Module", describe(classifier)))
        self.num_features = check_integer("num_features", num_features, 2)
        self.stride = None if stride is None else check_integer("stride", stride, 1)
        self.train_backbone = check_flag("train_backbone", train_backbone)
        self.preparation = Preparation(mode="none", mean=mean, std=std)  # type: ignore[arg-type]
        shapes = _shapes(classifier)
        self.layers = _stages(shapes) if layers is None else _names(classifier, layers)
        head = AffinityHead([_channels(name, shapes) for name in self.layers], self.num_features)
        self.classifier = copy.deepcopy(classifier).requires_grad_(self.train_backbone)
        like = next((p for p in classifier.parameters() if p.is_floating_point()), torch.empty(0))
        self.affinity_head = head.to(like)
        self.train()

    def train(self, mode: bool = True) -> AffinityNet:
        """Put the head into training mode; the classifier stays in evaluation mode."""
        super().train(mode)
        self.classifier.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (N,D,h,w) of images (N,c,H,W)."""
        maps = self._maps(images)
        height, width = images.shape[-2:]
        size: Sequence[int] = maps[0].shape[-2:]
        if self.stride is not None:
            size = (-(-height // self.stride), -(-width // self.stride))
        features: Tensor = self.affinity_head(maps, size)
        return features

    @torch.no_grad()
    def features_of(self, image: Tensor) -> Tensor:
        """Return the features (D,h,w) of an image (3,H,W) in [0,1], without gradients.

        The image is normalised, on the network's device and in its precision.

        Raises:
            ValueError: It is of another shape.
        """
        if image.ndim != 3:
            raise ValueError(expected("image", "of shape (3,H,W)", f"{tuple(image.shape)}"))
        like = next(self.affinity_head.parameters())
        features: Tensor = self(self.preparation.normalize(image.to(like))[None])
        return features[0]

    def _maps(self, images: Tensor) -> list[Tensor]:
        """Return the maps of each layer, in the graph where the classifier is trained."""
        modules = [self.classifier.get_submodule(name) for name in self.layers]
        numbers = range(len(modules))
        if not (self.train_backbone and torch.is_grad_enabled()):
            with torch.no_grad(), capture(modules) as captured:
                self.classifier(images)
            return [captured.activations(number)[0] for number in numbers]
        with capture(modules, gradients=True) as captured:
            self.classifier(images)
        return [captured.nodes[number][0] for number in numbers]


def _shapes(classifier: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of what each module gives, in the order in which they finish."""

    def look(image: Tensor) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, _, shape in trace_shapes(classifier, image)}

    return seen_in_black(classifier, look, "classifier")


def _stages(shapes: dict[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Return the names of the last modules at each of the last grids of a network's trunk."""
    trunks: dict[str, dict[tuple[int, ...], str]] = {}
    for name, shape in shapes.items():
        # One pixel is what a pooling leaves: of the image, or within a block. The network itself
        # counts where it has no modules.
        if len(shape) == 4 and shape[2:] != (1, 1) and (name or len(shapes) == 1):
            trunk = trunks.setdefault(name.rpartition(".")[0], {})
            trunk.pop(shape[2:], None)
            trunk[shape[2:]] = name
    if not trunks:
        what = "a module with maps (N,C,h,w) of more than one pixel"
        raise ValueError(expected("classifier", what, "one without"))
    # A block's modules have two grids at most, those of the trunk all that there are; of as many
    # the trunk's are those that finish last.
    order = list(shapes)
    found = [list(trunk.values()) for trunk in trunks.values()]
    best = max(found, key=lambda names: (len(names), order.index(names[-1])))
    return tuple(best[-STAGES:])


def _names(classifier: nn.Module, layers: Any) -> tuple[str, ...]:
    """Return the names of layers that are named or given."""
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        what = "a list of modules of the classifier or of their names"
        raise TypeError(expected("layers", what, describe(layers)))
    if not layers:
        raise ValueError(expected("layers", "at least one", "none"))
    return tuple(_name(classifier, layer) for layer in layers)


def _name(classifier: nn.Module, layer: str | nn.Module) -> str:
    modules: dict[str, nn.Module] = dict(classifier.named_modules())
    if not isinstance(layer, str):
        check_layer(classifier, layer, "layers")
        return next(name for name, module in modules.items() if module is layer)
    if layer not in modules:
        what = f"names of modules of the classifier ({type(classifier).__name__})"
        raise LayerError(expected("layers", what, repr(layer)))
    return layer


def _channels(name: str, shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the channels of a layer's maps."""
    shape = shapes.get(name, ())
    if len(shape) != 4:
        got = f"{name!r}, which gives {shape}" if shape else f"{name!r}, which gives no tensor"
        raise LayerError(expected("layers", "modules that give maps (N,C,h,w)", got))
    return shape[1]
