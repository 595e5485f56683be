"""What a model says of an image without one of a layer's maps, by the shortest way there is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm.auto import tqdm

from captum_cluster._checks import LayerError, check_finite, expected
from captum_cluster._types import ScoreFunction
from captum_cluster.functional.attribution.ablation import (
    changed_maps,
    closed_form_scores,
    fill_values,
)
from captum_cluster.functional.attribution.outputs import Outputs, as_tensor
from captum_cluster.functional.attribution.scoring import read_scores
from captum_cluster.functional.attribution.targets import TargetSelector, class_indices
from captum_cluster.methods.ablated_rows import Places, check_places, find_places
from captum_cluster.methods.ablation_ways import WAYS, Way, WholePass, rounding
from captum_cluster.methods.classifier import closed_form_weight, find_classifier


@dataclass(frozen=True)
class Ablated:
    """The scores of images without each of the layer's maps.

    Attributes:
        scores: (N,C,T).
        whole: (N,T), the scores of the whole images.
        way: "closed" (from the classifier's weights), "shared" or "copied" (only what is behind
            the layer ran; what is before it was given as one row, or as one for each map), "full"
            (the whole model ran), or "none" (no map differs from what takes its place). Of a
            batch the longest way.
    """

    scores: Tensor
    whole: Tensor
    way: str


class Ablate(Protocol):
    """What a face gives to Ablation-CAM: the model, the batch, the targets are inside it."""

    def __call__(
        self, maps: Tensor, *, fill: str, score_function: ScoreFunction, way: str
    ) -> Ablated:
        """Return the scores without each of the maps (N,C,h,w)."""


@dataclass(frozen=True)
class Ablator:
    """Scores images without each of a layer's maps.

    What comes before the layer is the same with and without a map, so only what is behind it
    runs again. Whether that gives the model's own output for the image as it is, is looked at
    for each image; where it does not, the next longer way is taken.

    Attributes:
        model: The model, or a function of its inputs.
        seen: The unmasked pass.
        select: The targets.
        show_progress: Show a bar over the maps.
    """

    model: object
    seen: WholePass
    select: TargetSelector
    show_progress: bool = False

    def __call__(
        self, maps: Tensor, *, fill: str, score_function: ScoreFunction, way: str
    ) -> Ablated:
        """Return the scores without each of the maps (N,C,h,w).

        Args:
            maps: Of the unmasked pass.
            fill: See ``fill_values``.
            score_function: How the outputs are read before the target is selected.
            way: "auto"; "closed": the closed form; "tail": not the closed form; "full": whole
                passes.

        Raises:
            TargetError: The targets do not fit the outputs.
            LayerError: ``way`` is "closed", and there is no closed form; or the transform
                is no rearrangement.
            ValueError: The model gave NaN or infinite scores.
        """
        outputs = read_scores(self.seen.outputs, score_function)
        # The outputs may be on another device than the maps.
        whole = self.select(outputs, torch.arange(len(maps))).to(maps.device)
        check_finite("the model's scores", whole)
        fills = fill_values(maps, fill)
        changed = changed_maps(maps, fills)
        if way in ("auto", "closed"):
            try:
                weight, labels = self._linear_head(maps, score_function)
            except ValueError as error:
                if way == "closed":
                    raise _no_closed_form(error) from error
            else:
                scores = closed_form_scores(maps, weight, labels, whole, fills)
                if way == "closed" or self._holds(scores, whole, maps, fills, changed):
                    return Ablated(scores, whole, "closed")
        read = functools.partial(_read, self.select, score_function)
        return self._by_passes(maps, fills, changed, read, whole, full=way == "full")

    def _holds(
        self, scores: Tensor, whole: Tensor, maps: Tensor, fills: Tensor, changed: Tensor
    ) -> bool:
        """Return whether the closed form's scores of the maps that matter most are the model's.

        The outputs of whole images may agree with it where those of ablated ones do not: a bound
        on values behind the layer, or on the outputs, may be reached without a map alone.
        """
        drops = (whole[:, None] - scores).masked_fill(~changed[..., None], 0.0)
        extremes = torch.cat([drops.argmax(dim=1), drops.argmin(dim=1)], dim=1)
        probed = torch.zeros_like(changed).scatter_(1, extremes, True) & changed
        read = functools.partial(_read, self.select, "logit")
        found = self._by_passes(maps, fills, probed, read, whole, full=False).scores
        scale = torch.maximum(whole.abs(), scores.abs().amax(dim=1))[:, None]
        near = (found - scores).abs() <= rounding(as_tensor(self.seen.outputs)) * scale
        return bool(near[probed].all())

    def _linear_head(self, maps: Tensor, score_function: ScoreFunction) -> tuple[Tensor, Tensor]:
        """Return the weights (L,C) behind pooled maps, and the targets (N,T) as labels."""
        if score_function != "logit":
            raise LayerError(expected("score_function", "'logit'", repr(score_function)))
        outputs = as_tensor(self.seen.outputs)
        labels = class_indices(self.select, outputs)
        classifier = find_classifier(self.model)
        weight = closed_form_weight(classifier, maps, outputs, tolerance=rounding(outputs))
        return weight, labels.to(weight.device)

    def _by_passes(
        self,
        maps: Tensor,
        fills: Tensor,
        changed: Tensor,
        read: Callable[[int, Any], Tensor],
        whole: Tensor,
        *,
        full: bool,
    ) -> Ablated:
        """Return the scores from one row of a pass for each map that is ``changed`` (N,C)."""
        recorded = self.seen.recorded
        places = find_places(recorded.value, self.seen.part, self.seen.transform)
        check_places(places, recorded.value, maps)
        scores = whole[:, None].repeat(1, maps.shape[1], 1)
        name, number = "none", len(WAYS) - 1 if full or not recorded.replayable else 0
        bar = tqdm(total=int(changed.sum()), desc="ablated maps", disable=not self.show_progress)
        with bar, torch.no_grad():
            for image in changed.any(dim=1).nonzero()[:, 0].tolist():
                # What did not do for one image is not tried for the next.
                number, way = self._way(number, image, places)
                name = WAYS[number][0]
                for channels in torch.split(changed[image].nonzero()[:, 0], way.rows):
                    outputs = way.run(channels, fills[image], functools.partial(read, image))
                    found = _finite(outputs, image, channels)
                    scores[image, channels] = found.to(scores.device)
                    bar.update(len(channels))
        return Ablated(scores, whole, name)

    def _way(self, number: int, image: int, places: Places) -> tuple[int, Way]:
        """Return the number of the first way from ``number`` on that does for an image, and it."""
        way = WAYS[number][1](self.seen, image, places)
        return (number, way) if way.usable() else self._way(number + 1, image, places)


def _read(
    select: TargetSelector, score_function: ScoreFunction, image: int, outputs: Outputs
) -> Tensor:
    """Return the scores (P,T) of outputs (P,...) of one image."""
    rows = torch.full((len(outputs),), image)
    return select(read_scores(outputs, score_function), rows)


def _no_closed_form(error: ValueError) -> LayerError:
    what = (
        "defined by pooling and a linear classifier behind the layer, class indices as targets "
        "and score_function='logit'"
    )
    reason = str(error).split(". ")[0].rstrip(".")
    return LayerError(expected("way='closed'", what, f"another case: {reason}"))


def _finite(scores: Tensor, image: int, channels: Tensor) -> Tensor:
    """Return the scores (P,T) of an image if all are finite."""
    good = scores.isfinite().all(dim=1)
    if not bool(good.all()):
        number = int(channels[int((~good).nonzero()[0])])
        got = f"NaN or infinity for image {image} without map {number}"
        raise ValueError(expected("the model's scores", "finite for every ablated image", got))
    return scores
