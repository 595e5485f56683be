"""RISE: the mean of random masks, weighted by what the model says of the masked images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster._checks import check_integer, check_number
from captum_cluster._types import MaskedCamResult, Masks, Score, ScoreFunction
from captum_cluster.functional.attribution.masks import GridMasks, random_grids
from captum_cluster.functional.attribution.scoring import check_score_function
from captum_cluster.methods.algorithm import Algorithm

_CHUNK = 64


@dataclass(frozen=True)
class RiseConfig:
    """Options of RISE.

    Attributes:
        n_masks: Number of random masks K.
        grid_size: Cells per side of the random grids.
        mask_probability: Chance of a cell to let the image through, above 0.
        score_function: "probability", "logit", "sigmoid" or a function of the model's output.
        random_state: Seed of the masks; every image of a batch sees the same ones.
    """

    n_masks: int = 4000
    grid_size: int = 8
    mask_probability: float = 0.5
    score_function: ScoreFunction = "probability"
    random_state: int = 0

    def __post_init__(self) -> None:
        check_integer("n_masks", self.n_masks, 1)
        check_integer("grid_size", self.grid_size, 1)
        check_number("mask_probability", self.mask_probability, 0.0, 1.0, open_low=True)
        check_score_function(self.score_function)
        check_integer("random_state", self.random_state, 0, 2**32 - 1)

    @property
    def reads(self) -> ScoreFunction:
        """How the model's output is read."""
        return self.score_function


def rise(maps: Tensor, score: Score, config: RiseConfig) -> MaskedCamResult:
    """Return RISE's result: ``sum_k s_k M_k / (K p)``, at the size of the input.

    The layer's maps play no part; they tell the number of images, the device and the precision.

    Args:
        maps: (N,C,h,w), the layer's maps.
        score: Scores masks.
        config: Options.

    References:
        Petsiuk, Das, Saenko 2018, "RISE", equation 6.
    """
    grids, shifts = random_grids(
        config.n_masks,
        config.grid_size,
        config.mask_probability,
        random_state=config.random_state,
        dims=len(score.size),
    )
    masks = GridMasks(len(maps), grids.to(maps.device), shifts, maps.dtype)
    scores = score(masks)
    total = _weighted_sum(masks, scores, score.size)
    mean = total / (config.n_masks * config.mask_probability)
    return MaskedCamResult("rise", mean, None, masks, scores)


def _weighted_sum(masks: Masks, scores: Tensor, size: Sequence[int]) -> Tensor:
    """Return ``sum_k s_k M_k`` (N,T,*size) of scores (N,K,T), a chunk of masks at a time."""
    count = masks.shape[1]
    total: Tensor | None = None
    for start in range(0, count, _CHUNK):
        numbers = torch.arange(start, min(start + _CHUNK, count))
        rendered = masks.render(torch.zeros_like(numbers), numbers, size)[:, 0]
        # Autocast would round the product to half precision.
        with torch.autocast(rendered.device.type, enabled=False):
            part = torch.einsum("nkt,k...->nt...", scores[:, numbers].to(rendered), rendered)
        total = part if total is None else total + part
    assert total is not None  # n_masks is at least 1
    return total


RISE = Algorithm(
    "rise", RiseConfig, rise, paper="Petsiuk et al. 2018", passes="1 + masks", linear=False
)
