"""Collection-CAM: collections of the feature maps of several layers are scored as masks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captum_cluster._checks import (
    LayerError,
    check_flag,
    check_integer,
    check_number,
    describe,
    expected,
)
from captum_cluster._types import MaskedCamResult, Masks, Score, ScoreFunction
from captum_cluster.functional.attribution.collections import (
    Partition,
    choose_partition,
    collection_maps,
    map_statistics,
)
from captum_cluster.functional.attribution.grids import over_grid
from captum_cluster.functional.attribution.masks import JoinedMasks, KeptMasks, MapMasks, minmax
from captum_cluster.functional.attribution.scoring import check_score_function
from captum_cluster.functional.attribution.sufficiency import PowerMasks, sharpest_sufficient
from captum_cluster.functional.attribution.weights import softmax_weights
from captum_cluster.methods.algorithm import Algorithm

_CHUNK = 8
_KEPT = 16 * 2**20


@dataclass(frozen=True)
class CollectionCamConfig:
    """Options of Collection-CAM.

    Attributes:
        partition_sizes: Numbers of collections to choose from, for each layer, each at least 1.
            Those above a layer's number of distinct maps are left out for that layer. The paper
            does not say which; 2 and 3 keep four layers below 14 passes and measured as well as
            2 to 10.
        denoise_quantile: Values of a mask that are not above this quantile of it, from 0 to 1,
            become 0. The paper's is 0.1 (its theta-th percentile, read as a quantile), which
            measured better in Average Drop and Increase and worse in where the map lies; 0.4 is
            the compromise between them.
        standardize: Scale the four statistics that the maps are clustered by to mean 0 and
            deviation 1; False is the paper's.
        relu_after_upsampling: Rectify masks after the upsampling (the paper's Algorithm 1)
            instead of before it (its equations 18 and 19).
        increase: Score the baseline image too, one more pass, so that the result holds the
            increase of each mask (MIC, equation 23). It does not change the map.
        score_function: "logit", "probability", "sigmoid" or a function of the model's output.
            Gradients are those of the output as the model gives it.
        sufficient: Beyond the paper, Sufficient Collection-CAM: raise the fused map (scaled to
            [0,1]) to the largest of ``exponents`` at which the image behind it keeps the score
            of the whole image, or, where none does, to the one of the highest score. One pass
            for each exponent, and one for the whole image. The order of the pixels stays. Note
            that Average Drop and Increase measure what is chosen here; Insertion and Deletion,
            which know the order alone, do not.
        exponents: Of ``sufficient``: powers to try, each above 0; above 1 they sharpen the map.
        sufficient_score: Of ``sufficient``: the score that is kept, as ``score_function``;
            "sigmoid" for a multi-label model.
    """

    partition_sizes: Sequence[int] = (2, 3)
    denoise_quantile: float = 0.4
    standardize: bool = False
    relu_after_upsampling: bool = False
    increase: bool = False
    score_function: ScoreFunction = "logit"
    sufficient: bool = False
    exponents: Sequence[float] = (3.0, 2.0, 1.5, 1.0, 0.7, 0.4)
    sufficient_score: ScoreFunction = "probability"

    def __post_init__(self) -> None:
        for size in _listed("partition_sizes", self.partition_sizes, "integer"):
            check_integer("each of partition_sizes", size, 1)
        check_number("denoise_quantile", self.denoise_quantile, 0.0, 1.0)
        check_flag("standardize", self.standardize)
        check_flag("relu_after_upsampling", self.relu_after_upsampling)
        check_flag("increase", self.increase)
        check_score_function(self.score_function)
        check_flag("sufficient", self.sufficient)
        for exponent in _listed("exponents", self.exponents, "number"):
            check_number("each of exponents", exponent, 0.0, open_low=True)
        check_score_function(self.sufficient_score, "sufficient_score")

    @property
    def reads(self) -> ScoreFunction:
        """How the model's output is read."""
        return self.score_function


def _listed(name: str, values: Any, kind: str) -> Sequence[Any]:
    """Return an option that is a list of at least one number."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise TypeError(expected(name, f"a list of {kind}s", describe(values)))
    if not len(values):
        raise ValueError(expected(name, f"a list of at least one {kind}", "an empty one"))
    return values


@dataclass(frozen=True, eq=False)
class MapsAndGradients:
    """What Collection-CAM sees of one layer.

    Attributes:
        maps: (N,C,h,w), the layer's maps A.
        gradients: (N,T,C,h,w), dS_t/dA for each of T targets.
    """

    maps: Tensor
    gradients: Tensor


@dataclass(frozen=True, eq=False)
class LayerCollections:
    """The collections of one layer.

    Attributes:
        labels: LongTensor (N,T,C), the collection of each channel.
        sizes: LongTensor (N,T), the partition size that was chosen.
        partition_sizes: The sizes that were tried, in ascending order.
        validity: (N,T,P), the index DSRA of each of them; NaN where the layer has too few
            distinct maps for it.
        maps: (N,T,k,h,w), each collection's map before upsampling; 0 beyond an image's own k.
        masks: The layer's masks in the result's K: ``scores[:, masks]``.
    """

    labels: Tensor
    sizes: Tensor
    partition_sizes: tuple[int, ...]
    validity: Tensor
    maps: Tensor
    masks: slice


@dataclass(frozen=True, eq=False)
class CollectionCamResult(MaskedCamResult):
    """Collection-CAM's result. Each target has masks of its own, K for all layers together.

    ``scores`` (N,K,T) are those of each target's own masks at that target; ``masks`` holds T*K
    masks for each image, target by target.

    Attributes:
        mask_weights: (N,K,T), the coefficient of each mask; 0 where there is none.
        layers: The collections of each layer, shallow to final.
        increase: (N,K,T), the increase of the score over the baseline image's (MIC), or None
            where it was not asked for.
        exponents: (N,T), the power to which the fused map was raised, or None without
            ``sufficient``.
    """

    mask_weights: Tensor
    layers: tuple[LayerCollections, ...]
    increase: Tensor | None
    exponents: Tensor | None

    def render_masks(self, image: int, size: Sequence[int], target: int = 0) -> Tensor:
        """Return the masks (K,*size) in [0,1] of one image and of its target number ``target``."""
        count = self.scores.shape[1]
        return super().render_masks(image, size)[target * count : (target + 1) * count]


def collection_cam(
    layers: Sequence[MapsAndGradients], score: Score, config: CollectionCamConfig
) -> CollectionCamResult:
    """Return Collection-CAM's result: ``sum_k alpha_k M_k``, at the size of the input.

    Each target has masks of its own, since they depend on its gradient.

    Args:
        layers: Shallow to final, at least one; the last one is the final layer.
        score: Scores masks.
        config: Options.

    Raises:
        LayerError: The layers' grids grow from one to the next.
        ValueError: No partition size is left for a layer.

    References:
        Ha and Youn, "Collection-CAM: A Faster Region-Based Saliency Method Using Collection-Wise
        Mask Over Pyramidal Features", equations 5 to 25 and Algorithm 1.
    """
    _check_order(layers)
    found: list[LayerCollections] = []
    for number, layer in enumerate(layers):
        start = found[-1].masks.stop if found else 0
        found.append(_collections(layer, number == len(layers) - 1, start, config))
    masks = _masks(found, config)
    # Needed for the scores and, these known, for the map.
    rendered = KeptMasks(masks, _KEPT)
    scores, baseline = _scores(rendered, score, config, layers[0].maps)
    weights = softmax_weights(scores)
    maps = _weighted_sum(rendered, weights, score.size, layers[-1].maps)
    increase = None if baseline is None else scores - baseline
    name, exponents = "collection-cam", None
    if config.sufficient:
        name = "sufficient-collection-cam"
        maps, exponents = _sufficient(maps, score, config)
    return CollectionCamResult(
        name, maps, None, masks, scores, weights, tuple(found), increase, exponents
    )


def _check_order(layers: Sequence[MapsAndGradients]) -> None:
    sizes = [layer.maps.shape[2:] for layer in layers]
    cells = [math.prod(size) for size in sizes]
    if any(first < second for first, second in itertools.pairwise(cells)):
        grids = ", ".join("x".join(map(str, size)) for size in sizes)
        what = "ordered from shallow to final, so that no grid is larger than the one before"
        raise LayerError(expected("the layers", what, f"grids of {grids}"))


def _collections(
    layer: MapsAndGradients, final: bool, start: int, config: CollectionCamConfig
) -> LayerCollections:
    """Return the collections of one layer, whose masks begin with number ``start``."""
    images, targets = layer.gradients.shape[:2]
    pairs = [(image, target) for image in range(images) for target in range(targets)]
    partitions: list[Partition] = []
    maps: list[Tensor] = []
    for image, target in pairs:
        own, gradients = layer.maps[image], layer.gradients[image, target]
        points = map_statistics(own, gradients, standardize=config.standardize)
        partition = choose_partition(points, config.partition_sizes)
        partitions.append(partition)
        maps.append(collection_maps(own, gradients, partition.labels, final=final))
    tried = tuple(sorted(set(config.partition_sizes)))
    validity = [[one.validity.get(size, torch.nan) for size in tried] for one in partitions]
    sizes = torch.tensor([one.size for one in partitions]).reshape(images, targets)
    padded = pad_sequence(maps, batch_first=True)
    return LayerCollections(
        torch.stack([one.labels for one in partitions]).reshape(images, targets, -1),
        sizes,
        tried,
        torch.tensor(validity, dtype=torch.float64).reshape(images, targets, -1),
        padded.reshape(images, targets, *padded.shape[1:]),
        slice(start, start + int(sizes.max())),
    )


def _masks(layers: Sequence[LayerCollections], config: CollectionCamConfig) -> Masks:
    """Return the masks (N,T*K), target by target, and in each layer by layer."""
    parts = []
    for target in range(layers[0].sizes.shape[1]):
        for layer in layers:
            maps = layer.maps[:, target]
            maps = maps if config.relu_after_upsampling else maps.relu()
            valid = torch.arange(maps.shape[1]) < layer.sizes[:, target, None]
            parts.append(MapMasks(maps, valid, denoise_quantile=config.denoise_quantile))
    return JoinedMasks(tuple(parts))


def _scores(
    masks: Masks, score: Score, config: CollectionCamConfig, maps: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Return each target's scores (N,K,T) of its own masks, and of the baseline image (N,1,T)."""
    count = masks.shape[1]
    scored = masks
    if config.increase:
        scored = JoinedMasks((masks, MapMasks(torch.zeros_like(maps[:, :1]))))
    every = score(scored)
    baseline = every[:, count:] if config.increase else None
    return _own_scores(every[:, :count]), baseline


def _own_scores(scores: Tensor) -> Tensor:
    """Return each target's scores (N,K,T) of its own masks, of all scores (N,T*K,T)."""
    images, masks, targets = scores.shape
    by_target = scores.reshape(images, targets, masks // targets, targets)
    return by_target.diagonal(dim1=1, dim2=3)


def _sufficient(maps: Tensor, score: Score, config: CollectionCamConfig) -> tuple[Tensor, Tensor]:
    """Return maps (N,T,H,W) raised to the sharpest sufficient power, and the powers (N,T)."""
    dims = maps.ndim - 2
    scaled = minmax(maps, dims=dims)
    tried = [float(exponent) for exponent in config.exponents]
    powers = [PowerMasks(scaled[:, target], [*tried, 0.0]) for target in range(maps.shape[1])]
    read = score.read_as(config.sufficient_score)
    scores = _own_scores(read(JoinedMasks(tuple(powers))).to(maps.device))
    chosen = sharpest_sufficient(scores[:, :-1], scores[:, -1:], tried)
    exponents = torch.tensor(tried, dtype=maps.dtype, device=maps.device)[chosen]
    return scaled ** over_grid(exponents, dims), exponents


def _weighted_sum(masks: Masks, weights: Tensor, size: Sequence[int], like: Tensor) -> Tensor:
    """Return ``sum_k weights_k M_k`` (N,T,*size), a chunk of masks at a time."""
    images, count, targets = weights.shape
    total = like.new_zeros(images * targets, *size)
    places, _ = masks.passes()
    flat = weights.transpose(1, 2).flatten(1)
    for start in range(0, len(places), _CHUNK):
        image, number = places[start : start + _CHUNK].unbind(dim=1)
        own = flat[image.to(flat.device), number.to(flat.device)]
        rendered = masks.render(image, number, size)[:, 0].to(total)
        rows = (image * targets + number // count).to(total.device)
        total.index_add_(0, rows, rendered * over_grid(own.to(total), len(size)))
    return total.reshape(images, targets, *size)


COLLECTION_CAM = Algorithm(
    "collection-cam",
    CollectionCamConfig,
    collection_cam,
    paper="Ha and Youn",
    passes="1 + collections",
    linear=False,
    gradient=True,
    several_layers=True,
)
