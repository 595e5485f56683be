"""The mask of one image, from the maps of its labels."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captum_cluster._checks import check_choice, check_integer, describe, expected
from captum_cluster.data import Scene
from captum_cluster.evaluation.running.fingerprint import plain, state_digest
from captum_cluster.functional.metrics.segmentation import confusion
from captum_cluster.functional.metrics.sums import Sums
from captum_cluster.weak import DenseCRF, Refinement, pseudo_masks
from captum_cluster.weak.background_sweep import swept_masks
from captum_cluster.weak.cases import cases
from captum_cluster.weak.pseudo_masks import (
    Background,
    Step,
    default_background,
    refinements,
    second_background,
)

UNCERTAIN = -1
"""The number of uncertain pixels, whatever they become in a file."""

WALK_FEATURES = ("none", "layer")
FeaturesOf: TypeAlias = Callable[[Tensor], Tensor]
"""A function of a picture (3,H,W) in [0,1] that gives features (D,h,w) of its pixels."""

WalkFeatures: TypeAlias = str | FeaturesOf
"""One of ``WALK_FEATURES``, or such a function."""

LONGEST = 512
"""The longest side, in pixels, at which pictures are refined: the refinements' widths, such as a
stride of 8, are for photographs of this size, and their cost grows with the pixels."""


@dataclass(frozen=True)
class MaskSettings:
    """How maps become a mask; see ``make_masks``.

    Raises:
        TypeError: A value of another type.
        ValueError: A value outside its range.
    """

    background: float | None = None
    power: float | None = None
    uncertain: float | None = None
    refine: Sequence[Step] | Step = ()
    walk_features: WalkFeatures = "none"
    longest: int | None = None
    steps: tuple[Refinement, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(refinements(self.refine)))
        if self.background is None and self.power is None:
            level = default_background(self.steps)
        else:
            level = Background(self.background, self.power)
        object.__setattr__(self, "background", level.score)
        object.__setattr__(self, "power", level.power)
        if self.uncertain is not None:
            second_background(level, self.uncertain)
        if not callable(self.walk_features):
            check_choice("walk_features", self.walk_features, WALK_FEATURES)
        if self.walk_features != "none" and not self.steps:
            what = "'none' where nothing is refined (refine)"
            raise ValueError(expected("walk_features", what, describe(self.walk_features)))
        if self.longest is not None:
            check_integer("longest", self.longest, 1)

    def facts(self) -> dict[str, Any]:
        """Return all that masks depend on beside the maps."""
        return {
            "background": self.background,
            "power": self.power,
            "uncertain": self.uncertain,
            "refine": [plain(step) for step in self.steps],
            "walk_features": _features_facts(self.walk_features),
            "longest": self.longest,
        }

    def on(self, device: torch.device) -> MaskSettings:
        """Return the settings with the CRF's backend that is in use for tensors of a device."""
        return replace(self, refine=[_in_use(step, device) for step in self.steps])

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return height and width at which the mask of a picture of (H,W) pixels is made."""
        longest = self.longest or (LONGEST if self.steps else None)
        return size if longest is None else limited(size, longest)


def _features_facts(features: WalkFeatures) -> Any:
    """Return what tells features from others: of a function also the networks that it uses."""
    if isinstance(features, str):
        return features
    states = [state_digest(network) for network in _networks(features)]
    return {"function": plain(features), "networks": states}


def _networks(function: Any) -> list[nn.Module]:
    """Return the networks that a function is, is of, or refers to."""
    if isinstance(function, nn.Module):
        return [function]
    if isinstance(function, types.MethodType):
        return _networks(function.__self__)
    if isinstance(function, functools.partial):
        parts = (function.func, *function.args, *function.keywords.values())
        return [network for part in parts for network in _networks(part)]
    if isinstance(function, types.FunctionType):
        names = inspect.getclosurevars(function)
        seen = [*names.nonlocals.values(), *names.globals.values()]
        return [one for one in seen if isinstance(one, nn.Module)]
    return []


def _in_use(step: Refinement, device: torch.device) -> Refinement:
    """Return a refinement whose backend does not depend on what is installed later."""
    if not isinstance(step, DenseCRF) or step.backend != "auto":
        return step
    bound = device.type == "cpu" and find_spec("pydensecrf") is not None
    return replace(step, backend="pydensecrf" if bound else "torch")


def limited(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return a size of the same proportions whose longer side is at most ``longest``.

    Example:
        >>> limited((3000, 4000), 512), limited((300, 400), 512)
        ((384, 512), (300, 400))
    """
    share = min(1.0, longest / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return an image (3,H,W) in [0,1] at another size, smoothed where it gets smaller."""
    if image.shape[1:] == size:
        return image
    found = F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    return found.clamp(0.0, 1.0)


def label_mask(
    scene: Scene,
    maps: Tensor,
    targets: Tensor,
    settings: MaskSettings,
    features: Tensor | FeaturesOf | None = None,
) -> Tensor:
    """Return the mask (H,W) int64 of a scene: 0, label l as l + 1, or ``UNCERTAIN``.

    Args:
        scene: The picture at its own size.
        maps: (P,h,w), of the whole picture.
        targets: LongTensor (P,), the maps' labels.
        settings: How.
        features: (D,h,w) for the refinements, or a function that gives them of the picture.

    Example:
        >>> maps = torch.tensor([[[0.0, 1.0, 4.0]]])
        >>> scene = Scene(torch.zeros(3, 1, 3), torch.zeros(9, dtype=torch.bool))
        >>> label_mask(scene, maps, torch.tensor([7]), MaskSettings(uncertain=0.3))
        tensor([[ 0, -1,  8]])
    """
    if not len(targets):
        return torch.zeros(scene.size, dtype=torch.int64)
    found = pseudo_masks(
        *_inputs(scene, maps, settings),
        background=settings.background,
        power=settings.power,
        refine=settings.steps,
        features=[features] if isinstance(features, Tensor) else features,
        uncertain=settings.uncertain,
        ignore_index=UNCERTAIN,
    ).labels[0]
    return _whole(found, scene.size, targets)


def swept_label_masks(
    scene: Scene,
    maps: Tensor,
    targets: Tensor,
    settings: MaskSettings,
    levels: Sequence[Background],
    features: Tensor | FeaturesOf | None = None,
) -> list[Tensor]:
    """Return the mask (H,W) of a scene with each background in place of that of the settings.

    Args:
        scene: As in ``label_mask``, as are the others.
        maps: (P,h,w).
        targets: (P,).
        settings: How, but for the background.
        levels: The backgrounds.
        features: For the refinements.

    Example:
        >>> maps = torch.tensor([[[0.0, 1.0, 4.0]]])
        >>> scene = Scene(torch.zeros(3, 1, 3), torch.zeros(9, dtype=torch.bool))
        >>> levels = [Background(0.1), Background(0.9)]
        >>> swept_label_masks(scene, maps, torch.tensor([7]), MaskSettings(), levels)
        [tensor([[0, 8, 8]]), tensor([[0, 0, 8]])]
    """
    if not len(targets):
        return [torch.zeros(scene.size, dtype=torch.int64) for _ in levels]
    given = [features] if isinstance(features, Tensor) else features
    (case,) = cases(*_inputs(scene, maps, settings), given)
    masks = swept_masks(case, levels, settings.steps)
    return [_whole(found, scene.size, targets) for found in masks]


def _inputs(
    scene: Scene, maps: Tensor, settings: MaskSettings
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Return image, maps and present labels as ``pseudo_masks`` takes them.

    Only the labels explained, so that a thousand others take no memory.
    """
    image = resized(scene.image, settings.size(scene.size))
    return [image], [maps], torch.ones(1, len(maps), dtype=torch.bool)


def _whole(found: Tensor, size: tuple[int, int], targets: Tensor) -> Tensor:
    """Return a mask of the labels explained at the picture's size, with all labels' numbers."""
    if found.shape != size:
        shown = found[None, None].float()
        found = F.interpolate(shown, size=size, mode="nearest-exact")[0, 0].long()
    # UNCERTAIN, which is -1, takes the last of the numbers.
    numbers = torch.cat([torch.zeros(1).long(), targets.cpu() + 1, torch.tensor([UNCERTAIN])])
    return numbers[found.cpu()]


def has_truth(scene: Scene, n_labels: int) -> bool:
    """Return whether the true masks of a model's labels are known."""
    return scene.masks is not None and len(scene.labels) == n_labels


def mask_sums(scene: Scene, masks: Sequence[Tensor], n_labels: int) -> list[Sums]:
    """Return the counts of each mask's classes (L+1,); none where the true pixels are not known.

    Pixels that the truth ignores count nowhere. An uncertain pixel of the mask is missed by its
    true class, and predicted as none: to abstain is no way to a better number.
    """
    if not has_truth(scene, n_labels):
        return []
    truth = scene.label_map(UNCERTAIN)
    known = truth != UNCERTAIN
    counts: list[Sums] = []
    for mask in masks:
        # A class of their own, which is then left out.
        found = mask.masked_fill(mask == UNCERTAIN, n_labels + 1)
        each = confusion(found, truth, known, n_labels + 2)
        counts.append({name: count[:-1] for name, count in each.items()})
    return counts
