"""What a model says of masked images: shared passes for all masks, images and targets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor
from tqdm.auto import tqdm

from captum_cluster._checks import all_finite, check_choice, describe, expected
from captum_cluster._types import Masks, ScoreFunction
from captum_cluster.functional.attribution.grids import images_of
from captum_cluster.functional.attribution.layout import Forward, layout_of
from captum_cluster.functional.attribution.outputs import (
    CALLABLES,
    ImageOutputs,
    Outputs,
    as_tensor,
)
from captum_cluster.functional.attribution.targets import TargetSelector

SCORE_FUNCTIONS = ("logit", "probability", "sigmoid")

_AS_IT_IS = f"{CALLABLES[:-1]}, and 'logit' as score_function (and sufficient_score)."

# On the CPU a pass of eight images of 3x224x224 is as fast as one of any size, or nearly: fewer do
# not pay for the layout of the weights. But what is above 32 MiB malloc maps anew each time: where
# the model's activations would be, six are faster.
_CPU_BYTES = 8 * 3 * 224 * 224 * 4
_FEWER_CPU_BYTES = 6 * 3 * 224 * 224 * 4
_MAPPED = 32 * 2**20
_MAX_ROWS_CPU = 128
# What one masked image of a forward pass is taken to need, in multiples of its input: the live
# activations of torchvision's classifiers at 224x224 are some 10 (ResNet-18) to 45 (VGG-16) times.
_ACTIVATION_FACTOR = 64
_MAX_ROWS_GPU = 512


def check_score_function(score_function: Any, name: str = "score_function") -> None:
    """Check that ``score_function`` is one of the names or a callable.

    Raises:
        TypeError: It is neither a string nor callable.
        ValueError: It is another string.
    """
    if not callable(score_function):
        check_choice(name, score_function, SCORE_FUNCTIONS)


@overload
def read_scores(outputs: Tensor, score_function: ScoreFunction) -> Tensor: ...


@overload
def read_scores(outputs: ImageOutputs, score_function: ScoreFunction) -> ImageOutputs: ...


def read_scores(outputs: Outputs, score_function: ScoreFunction) -> Outputs:
    """Return a model's outputs (P,...) as scores of the same shape.

    "logit" leaves them, "probability" is the softmax over the labels (dimension 1), "sigmoid"
    the sigmoid of each. A model with a single output has no other label to compare with: there
    "probability" is the sigmoid (the softmax would be 1 whatever the model says).

    Args:
        outputs: (P,L), (P,L,...) or (P,), as the model gives them; or what is no tensor, which
            "logit" alone can read.
        score_function: One of the names, or a function of the outputs. Half precision is
            widened to float32 first.

    Raises:
        TypeError: The function gave no tensor with one row for each output.
        TargetError: The outputs are no tensor, and the reading is not "logit".

    Example:
        >>> read_scores(torch.tensor([[0.0, 0.0]]), "probability")
        tensor([[0.5000, 0.5000]])
    """
    if isinstance(outputs, ImageOutputs) and score_function == "logit":
        return outputs.widened()
    outputs = as_tensor(outputs, otherwise=_AS_IT_IS)
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    if not isinstance(score_function, str):
        scores = score_function(outputs)
        if not isinstance(scores, Tensor) or scores.shape[:1] != outputs.shape[:1]:
            what = f"to give a tensor with {len(outputs)} rows"
            raise TypeError(expected("the score_function", what, describe(scores)))
        return scores
    if score_function == "logit":
        return outputs
    single = outputs.ndim == 1 or outputs.shape[1] == 1
    if score_function == "sigmoid" or single:
        return outputs.sigmoid()
    return outputs.softmax(dim=1)


def rows_per_pass(image: Tensor, expansion: float | None = None) -> int:
    """Return how many masked images to put into one forward pass.

    On the CPU as many as are fastest, on a GPU as many as a quarter of its free memory holds.

    Args:
        image: (N,c,H,W), one of the model's inputs; or signals, or volumes.
        expansion: How many times the bytes of an image the largest tensor has that the model
            makes of it; None where that is not known.

    Example:
        >>> rows_per_pass(torch.zeros(1, 3, 224, 224))
        6
        >>> rows_per_pass(torch.zeros(1, 3, 224, 224), 5.3)
        8
    """
    size = max(1, math.prod(image.shape[1:]) * image.element_size())
    if image.is_cuda:
        free = torch.cuda.mem_get_info(image.device)[0]
        return max(1, min(_MAX_ROWS_GPU, free // 4 // (size * _ACTIVATION_FACTOR)))
    small = expansion is not None and expansion * _CPU_BYTES < _MAPPED
    return max(1, min(_MAX_ROWS_CPU, (_CPU_BYTES if small else _FEWER_CPU_BYTES) // size))


@dataclass(frozen=True)
class MaskedScorer:
    """Scores masks: the model, the images, the targets and the size of a pass are inside.

    ``score(M)_k`` is what ``score_function`` reads of ``f(x * M_k + b * (1 - M_k))`` at the
    target. All masks of all images go through shared forward passes of at most ``rows`` masked
    images; each masked image is scored once, for all targets together.

    Attributes:
        forward: ``forward(inputs, rows)`` gives the outputs (P,...) for a tuple of inputs whose
            rows belong to the images ``rows`` (LongTensor (P,)).
        inputs: The batch, each (N,...). The images (N,c,H,W) are masked, or the volumes or
            signals, see ``grid_dimensions``; the others pass as they are.
        select: Targets, in one normal form.
        score_function: How the outputs are read before the target is selected.
        baselines: For each input the value b that a mask of 0 leaves: a number or a tensor that
            broadcasts to the input.
        rows: Masked images in one forward pass; None lets ``rows_per_pass`` choose.
        show_progress: Show a bar over the passes.
        session: Gives a context for all passes of one call.
        whole_size: Size of the images as they were given, (H,W), where ``inputs`` are smaller
            copies of them; None: that of ``inputs``.
        equal_passes: Give all passes the same number of rows, for a model that is made ready for
            one number of them: the last pass is filled with copies, whose scores are dropped.
        expansion: As for ``rows_per_pass``.

    Example:
        >>> from captum_cluster.functional.attribution import MapMasks, select_each
        >>> images = torch.ones(1, 1, 2, 2)
        >>> forward = lambda inputs, rows: inputs[0].flatten(1).sum(1, keepdim=True)
        >>> scorer = MaskedScorer(forward, (images,), select_each(0, images=1), "logit")
        >>> scorer(MapMasks(torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])))
        tensor([[[1.]]])
    """

    forward: Forward
    inputs: tuple[Tensor, ...]
    select: TargetSelector
    score_function: ScoreFunction = "logit"
    baselines: Sequence[float | Tensor] | None = None
    rows: int | None = None
    show_progress: bool = False
    session: Callable[[], AbstractContextManager[Any]] = nullcontext
    whole_size: tuple[int, ...] | None = None
    equal_passes: bool = False
    expansion: float | None = None

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width of the (first) image, as it was given; one length, or three."""
        if self.whole_size is not None:
            return self.whole_size
        return tuple(images_of(self.inputs)[0].shape[2:])

    def __call__(self, masks: Masks) -> Tensor:
        """Return the scores (N,K,T), in float32 or better; NaN where an image has no such mask.

        Raises:
            ValueError: The model gave NaN or infinite scores.
        """
        pairs, index = masks.passes()
        chunks = self._chunks(pairs)
        bar = tqdm(chunks, desc="masked passes", disable=not self.show_progress)
        with torch.no_grad(), self.session():
            scores = torch.cat([self._score(masks, chunk) for chunk in bar])[: len(pairs)]
        self._check(scores, pairs)
        index = index.to(scores.device)
        missing = torch.full((), torch.nan, dtype=scores.dtype, device=scores.device)
        return torch.where((index >= 0)[..., None], scores[index.clamp(min=0)], missing)

    def read_as(self, score_function: ScoreFunction) -> MaskedScorer:
        """Return the same with another reading of the model's output."""
        return dataclasses.replace(self, score_function=score_function)

    def knowing(self, widest: int) -> MaskedScorer:
        """Return the same with passes that fit the largest tensor that the model makes.

        Args:
            widest: Its bytes for one whole image; 0 where that is not known.
        """
        image = images_of(self.inputs)[0]
        whole = image.shape[1] * math.prod(self.size) * image.element_size()
        return dataclasses.replace(self, expansion=widest / whole or None)

    def _chunks(self, pairs: Tensor) -> tuple[Tensor, ...]:
        """Return the pairs (P,2) pass by pass."""
        images = images_of(self.inputs)
        step = self.rows or min(rows_per_pass(image, self.expansion) for image in images)
        if not self.equal_passes:
            return pairs.tensor_split(math.ceil(len(pairs) / step))  # even: a small one is slow
        if self.rows is None and any(tensor.is_cuda for tensor in self.inputs):
            # The free memory of a GPU is never the same: the power of two below it nearly is.
            step = 1 << (step.bit_length() - 1)
        # Fewer masks than a pass holds: a power of two, as their number differs between images.
        step = min(step, 1 << (len(pairs) - 1).bit_length())
        filling = pairs[-1:].expand(-len(pairs) % step, -1)
        return torch.cat([pairs, filling]).tensor_split(-(-len(pairs) // step))

    def _score(self, masks: Masks, pairs: Tensor) -> Tensor:
        """Return the scores (P,T) of one pass over the pairs (P,2)."""
        rows = pairs[:, 0]
        masked = tuple(self._mask(i, masks, pairs) for i in range(len(self.inputs)))
        outputs = self.forward(masked, rows)
        return self.select(read_scores(outputs, self.score_function), rows)

    def _mask(self, number: int, masks: Masks, pairs: Tensor) -> Tensor:
        """Return input ``number`` for the pairs (P,2), masked if it is an image."""
        whole = self.inputs[number]
        rows = pairs[:, 0]
        if whole.ndim != len(self.size) + 2:
            return whole[rows.to(whole.device)]
        mask = masks.render(rows, pairs[:, 1], whole.shape[2:]).to(whole)
        masked = torch.empty(
            (len(pairs), *whole.shape[1:]),
            dtype=whole.dtype,
            device=whole.device,
            memory_format=layout_of(whole),
        )
        baseline = 0.0 if self.baselines is None else self.baselines[number]
        # The rows of an image lie together: it is spread over them, not copied for each.
        starts = torch.unique_consecutive(rows, return_counts=True)
        place = 0
        for image, count in zip(*(part.tolist() for part in starts), strict=True):
            part = slice(place, place + count)
            _blend(whole[image], mask[part], _baseline_of(baseline, whole, image), masked[part])
            place += count
        return masked

    @staticmethod
    def _check(scores: Tensor, pairs: Tensor) -> None:
        if not all_finite(scores):
            good = torch.isfinite(scores).all(dim=1)
            image, mask = pairs[int((~good).nonzero()[0])].tolist()
            what = "finite for every masked image"
            got = f"NaN or infinity for mask {mask} of image {image}"
            raise ValueError(expected("the model's scores", what, got))


def _baseline_of(baseline: float | Tensor, whole: Tensor, image: int) -> float | Tensor:
    """Return the baseline of one image of a batch (N,c,*size)."""
    if not isinstance(baseline, Tensor):
        return baseline
    return baseline.to(whole).expand_as(whole)[image]


def _blend(image: Tensor, masks: Tensor, baseline: float | Tensor, out: Tensor) -> None:
    """Write ``b + M (x - b)`` (P,c,*size) of an image x (c,*size) and masks M (P,1,*size)."""
    if isinstance(baseline, Tensor) or baseline != 0:
        torch.mul(image - baseline, masks, out=out).add_(baseline)
    else:
        torch.mul(image, masks, out=out)
