"""Types shared by every room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from torch import Tensor

ScoreFunction: TypeAlias = Literal["logit", "probability", "sigmoid"] | Callable[[Tensor], Tensor]
"""How a model's output is read: raw, softmax over labels, sigmoid, or a function of the output."""

OutputTarget: TypeAlias = Callable[[Tensor], Tensor]
"""A function of ONE image's output that gives a scalar (pytorch-grad-cam's form of a target)."""

Target: TypeAlias = (
    int | tuple[int, ...] | Tensor | Sequence[int] | Sequence[tuple[int, ...]]
    | Sequence[OutputTarget] | OutputTarget | None
)  # fmt: skip
"""Every form of target that either host takes."""


class Masks(Protocol):
    """Masks of a batch of images that are rendered chunk by chunk, never all at once."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images ``N`` and of masks per image ``K``."""

    def passes(self) -> tuple[Tensor, Tensor]:
        """Return the masked passes that are needed.

        Returns:
            pairs: LongTensor (P,2), the (image, mask) of each pass, image by image.
            index: LongTensor (N,K), the pass that scores each mask; -1 where an image has fewer
                masks than ``K``. Masks that are equal by construction share a pass.
        """

    def render(self, images: Tensor, masks: Tensor, size: Sequence[int]) -> Tensor:
        """Return the masks (P,1,*size) in [0,1] of the pairs ``images`` (P,), ``masks`` (P,)."""


class Score(Protocol):
    """What a face gives to a method: the model, the batch, the targets are inside it."""

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width of the input images; length of signals; sides of volumes."""

    def __call__(self, masks: Masks) -> Tensor:
        """Return the scores (N,K,T) of the masked images; NaN where there is no mask."""

    def read_as(self, score_function: ScoreFunction) -> Score:
        """Return the same with another reading of the model's output."""


@dataclass(frozen=True, eq=False)
class CamResult:
    """What a method computed for a batch: the maps, and all that a figure needs to show why.

    Attributes:
        method: The method's id ("cluster-cam").
        maps: (N,T,h,w), signed, not normalised: one map for each image and target. Of signals
            (N,T,l), of volumes (N,T,d,h,w).
        weights: (N,T,C), the coefficient of each of the layer's maps, or None where the map is
            no linear combination of them (RISE, Collection-CAM).
    """

    method: str
    maps: Tensor
    weights: Tensor | None


@dataclass(frozen=True, eq=False)
class MaskedCamResult(CamResult):
    """The result of a method that scores masked images.

    Attributes:
        masks: The masks that were scored, rendered on demand at any size.
        scores: (N,K,T), what the model says of each masked image; NaN where there is no mask.
    """

    masks: Masks
    scores: Tensor

    def render_masks(self, image: int, size: Sequence[int]) -> Tensor:
        """Return the masks (K,*size) in [0,1] of one image of the batch; 0 where it has fewer."""
        pairs, index = self.masks.passes()
        numbers = index[image]
        chosen = pairs[numbers.clamp(min=0)]
        rendered = self.masks.render(chosen[:, 0], chosen[:, 1], size)[:, 0]
        return rendered * (numbers >= 0).to(rendered).reshape(-1, *(1,) * len(size))
