"""Ablation-CAM: a map weighs what the score loses without it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from captum_cluster._checks import check_choice
from captum_cluster._types import CamResult, ScoreFunction
from captum_cluster.functional.attribution.ablation import FILLS, ablation_weights
from captum_cluster.functional.attribution.scoring import check_score_function
from captum_cluster.functional.attribution.weights import fuse
from captum_cluster.methods.ablating import Ablate
from captum_cluster.methods.algorithm import Algorithm


@dataclass(frozen=True)
class AblationCamConfig:
    """Options of Ablation-CAM.

    Attributes:
        fill: What takes the place of an ablated map: "zero" (the paper's); or "low", 1e7 below
            the smallest value of the image's maps where that is not 0 (what pytorch-grad-cam's
            AblationCAM with ``batch_size=1`` does; in a larger batch it goes lower with each row).
        score_function: "logit", "probability", "sigmoid" or a function of the model's output.
        way: "auto" takes the closed form where global average pooling and a linear classifier
            follow, "logit" is read and the targets are class indices, if that gives the model's
            own output to 1e-5 (float64: 1e-10; half precision: eight roundings), of the images
            and of those without the maps that matter most; else it runs what is behind the layer,
            and where that cannot be told apart the whole model. The map is the same but for
            rounding. "tail" does without the closed form, "full" always runs the whole model.
            "closed" insists on the closed form, and looks at the outputs of whole images alone:
            for networks that are known to end so.
    """

    fill: str = "zero"
    score_function: ScoreFunction = "logit"
    way: str = "auto"

    def __post_init__(self) -> None:
        check_choice("fill", self.fill, FILLS)
        check_score_function(self.score_function)
        check_choice("way", self.way, ("auto", "closed", "tail", "full"))

    @property
    def replays(self) -> bool:
        """Whether what comes before the layer may be given again."""
        return self.way in ("auto", "tail")


@dataclass(frozen=True, eq=False)
class AblationCamResult(CamResult):
    """The result of Ablation-CAM.

    Attributes:
        scores: (N,C,T), what the model says of each image without each map.
        whole: (N,T), what it says of the whole images.
        way: How the scores were computed: "closed", "shared", "copied", "full" or "none"; see
            ``Ablated``.
    """

    scores: Tensor
    whole: Tensor
    way: str


def ablation_cam(maps: Tensor, ablate: Ablate, config: AblationCamConfig) -> AblationCamResult:
    """Return Ablation-CAM's result: ``sum_k w_k A_k`` with ``w_k = (y - y_k) / y``, signed.

    Where y is 0 the weights are ``y - y_k``; see ``ablation_weights``.

    Args:
        maps: (N,C,h,w), the layer's maps A.
        ablate: Scores the images without each of them.
        config: Options.

    References:
        Desai and Ramaswamy 2020, "Ablation-CAM: Visual Explanations for Deep Convolutional
        Network via Gradient-free Localization", equations 3 and 4 (without the ReLU).
    """
    found = ablate(maps, fill=config.fill, score_function=config.score_function, way=config.way)
    weights = ablation_weights(found.whole, found.scores)
    cams = fuse(weights, maps)
    return AblationCamResult("ablation-cam", cams, weights, found.scores, found.whole, found.way)


ABLATION_CAM = Algorithm(
    "ablation-cam",
    AblationCamConfig,
    ablation_cam,
    paper="Desai and Ramaswamy 2020",
    passes="1 + C tails",
)
