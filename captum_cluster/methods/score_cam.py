"""Score-CAM: every feature map of a layer is a mask, and its score is its weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_flag, expected
from captum_cluster._types import MaskedCamResult, Score, ScoreFunction
from captum_cluster.functional.attribution.masks import MapMasks
from captum_cluster.functional.attribution.scoring import check_score_function
from captum_cluster.functional.attribution.weights import fuse, softmax_weights
from captum_cluster.methods.algorithm import Algorithm


@dataclass(frozen=True)
class ScoreCamConfig:
    """Options of Score-CAM.

    Attributes:
        weighting: "softmax" of the scores over the channels (as Captum's and pytorch-grad-cam's
            users know it), "increase" of the score over that of the baseline image (the paper's
            equation), or "probability" (its authors' code: the probability itself).
        score_function: "logit", "probability", "sigmoid" or a function of the model's output.
            None: "probability" for ``weighting="probability"``, else "logit".
        align_corners: How masks are upsampled; pytorch-grad-cam's ScoreCAM uses True.
    """

    weighting: str = "softmax"
    score_function: ScoreFunction | None = None
    align_corners: bool = False

    def __post_init__(self) -> None:
        check_choice("weighting", self.weighting, ("softmax", "increase", "probability"))
        check_flag("align_corners", self.align_corners)
        if self.score_function is not None:
            check_score_function(self.score_function)
        if self.weighting == "probability" and self.score_function == "logit":
            what = "one that gives probabilities for weighting='probability'"
            raise ValueError(expected("score_function", what, "'logit'"))

    @property
    def reads(self) -> ScoreFunction:
        """How the model's output is read."""
        if self.score_function is not None:
            return self.score_function
        return "probability" if self.weighting == "probability" else "logit"


def score_cam(maps: Tensor, score: Score, config: ScoreCamConfig) -> MaskedCamResult:
    """Return Score-CAM's result: ``sum_k w_k A_k``, signed.

    Channels whose map is flat make a mask of 0 and share one pass.

    Args:
        maps: (N,C,h,w), the layer's maps A.
        score: Scores masks.
        config: Options.

    References:
        Wang et al. 2020, "Score-CAM", equation 6; Feng et al. 2023, equations 8 and 9; Ha and
        Youn, "Collection-CAM", equations 1 to 3.
    """
    channels = maps.shape[1]
    scored = maps
    if config.weighting == "increase":
        # One more mask of 0 gives the baseline's score; flat channels share its pass.
        scored = torch.cat([maps, torch.zeros_like(maps[:, :1])], dim=1)
    # Of a model over several devices the scores may come from another one than the maps.
    masked = MapMasks(scored, align_corners=config.align_corners)
    scores = score(masked).to(maps.device)
    if config.weighting == "increase":
        scores, baseline = scores[:, :channels], scores[:, channels:]
        weights = scores - baseline
    else:
        weights = softmax_weights(scores) if config.weighting == "softmax" else scores
    weights = weights.transpose(1, 2)
    masks = MapMasks(maps, align_corners=config.align_corners)
    return MaskedCamResult("score-cam", fuse(weights, maps), weights, masks, scores)


SCORE_CAM = Algorithm(
    "score-cam", ScoreCamConfig, score_cam, paper="Wang et al. 2020", passes="1 + C"
)
