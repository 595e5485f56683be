"""The metrics of a run: what each needs of an image, its sums, and how its values read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captum_cluster._checks import describe, expected
from captum_cluster.data import Scene
from captum_cluster.evaluation.running.passes import COMPLEMENT, CURVES, MASKED, Answers
from captum_cluster.functional import metrics as maths

Sums = Mapping[str, Tensor]


@dataclass(frozen=True)
class Case:
    """All that is known of the maps of one method for one image, ready to be measured.

    Attributes:
        scene: The image and its ground truth, at the size the model saw.
        saliency: (P,H,W) in [0,1], one for each label explained.
        targets: LongTensor (P,), the labels explained.
        present: (L,) bool, the labels the image is taken to have.
        whole: (L,), the model's probabilities of the image.
        answers: What the model says behind the saliency maps.
        steps: The numbers of changed pixels of deletion and insertion.
    """

    scene: Scene
    saliency: Tensor
    targets: Tensor
    present: Tensor
    whole: Tensor
    answers: Answers
    steps: Sequence[int]

    @property
    def before(self) -> Tensor:
        """The targets' probabilities (P,) for the whole image."""
        return self.whole[self.targets]

    @property
    def after(self) -> Tensor:
        """The targets' probabilities (P,) for the image times the saliency maps."""
        assert self.answers.masked is not None
        return self.answers.masked.gather(1, self.targets[:, None])[:, 0]


@dataclass(frozen=True)
class Value:
    """One number of a report.

    Attributes:
        name: Its id ("average-drop").
        title: As a person reads it.
        higher: Whether more is better.
    """

    name: str
    title: str
    higher: bool


@dataclass(frozen=True)
class Metric:
    """One metric, which may give several numbers.

    Attributes:
        values: What it gives, in the order in which ``compute`` gives it.
        update: The sums of one case; None where the case lacks the ground truth for it.
        compute: From sums with a leading axis (B,...) the values, each (B,).
        wants: The answers of the model that it needs.
    """

    values: tuple[Value, ...]
    update: Callable[[Case], Sums | None]
    compute: Callable[[Sums], Sequence[Tensor]]
    wants: frozenset[str] = frozenset()


def _drop(case: Case, *, signed: bool) -> Sums:
    return maths.average_drop_update(case.before, case.after, signed=signed)


def _increase(case: Case) -> Sums:
    return maths.increase_update(case.before, case.after)


def _deletion(case: Case) -> Sums:
    return maths.area_update(_curves(case)[0], steps=case.steps)


def _insertion(case: Case) -> Sums:
    return maths.area_update(_curves(case)[1], steps=case.steps)


def _overall(case: Case) -> Sums:
    return maths.overall_update(*_curves(case), steps=case.steps)


def _curves(case: Case) -> tuple[Tensor, Tensor]:
    assert case.answers.deletion is not None
    assert case.answers.insertion is not None
    return case.answers.deletion, case.answers.insertion


def _multi_label(case: Case) -> Sums:
    answers = case.answers
    assert answers.masked is not None
    assert answers.complement is not None
    whole, present = (one.expand_as(answers.masked) for one in (case.whole, case.present))
    return maths.multi_label_confidence_update(
        whole, answers.masked, answers.complement, case.targets, present
    )


def _shares_labels(case: Case) -> bool:
    """Return whether the scene's labels are the model's; else a number means two things."""
    return len(case.scene.labels) == len(case.whole)


def _regions(case: Case) -> tuple[Tensor, Tensor] | None:
    """Return maps (P,H,W) and regions (P,H,W) of the labels whose place is known."""
    if not _shares_labels(case):
        return None
    found = [case.scene.region(label) for label in case.targets.tolist()]
    known = [place for place, region in enumerate(found) if region is not None]
    if not known:
        return None
    return case.saliency[known], torch.stack([one for one in found if one is not None])


def _energy(case: Case) -> Sums | None:
    found = _regions(case)
    return None if found is None else maths.energy_update(found[0], masks=found[1])


def _pointing(case: Case) -> Sums | None:
    found = _regions(case)
    return None if found is None else maths.pointing_update(found[0], masks=found[1])


def _localization(case: Case) -> Sums | None:
    if not _shares_labels(case):
        return None
    boxes = [case.scene.boxes_of(label) for label in case.targets.tolist()]
    if not any(boxes):
        return None
    return maths.localization_update(
        case.saliency, case.targets, boxes, num_classes=len(case.whole)
    )


def _object_iou(case: Case) -> Sums | None:
    if not _shares_labels(case):
        return None
    masks = torch.stack([case.scene.mask(label) for label in case.targets.tolist()])
    known = masks.flatten(1).any(dim=1)
    if not bool(known.any()):
        return None
    return maths.object_iou_update(
        case.saliency[known], case.targets[known], masks[known], num_classes=len(case.whole)
    )


def _segmentation(case: Case) -> Sums | None:
    scene, count = case.scene, len(case.whole)
    if scene.masks is None or not _shares_labels(case):
        return None
    # The model's labels are many, those of one image few: only these are compared.
    labels = torch.tensor(sorted({*case.targets.tolist(), *scene.present}))
    explained = labels[:, None] == case.targets
    maps = torch.zeros(1, len(labels), *scene.size)
    maps[0, explained.any(dim=1)] = case.saliency[case.targets.argsort()]
    truth = scene.label_map(_IGNORED)
    numbered = torch.where(truth > 0, torch.searchsorted(labels, truth - 1) + 1, truth)
    sums = maths.segmentation_update(
        maps, explained.any(dim=1)[None], numbered[None], ignore_index=_IGNORED
    )
    places = torch.cat([torch.tensor([0]), labels + 1])
    zeros = torch.zeros(count + 1, dtype=torch.int64)
    return {name: zeros.index_copy(0, places, value) for name, value in sums.items()}


def _best_object(case: Case) -> Sums | None:
    things = case.scene.things()
    if not len(things):
        return None
    found = [maths.best_object(one, things) for one in case.saliency]
    matches = [match for match in found if match is not None]
    if not matches:
        return None
    return {
        "iou": torch.tensor(sum(match.iou for match in matches), dtype=torch.float64),
        "energy": torch.tensor(sum(match.energy for match in matches), dtype=torch.float64),
        "pairs": torch.tensor(len(matches)),
    }


def _best_object_values(sums: Sums) -> list[Tensor]:
    return [sums[name] / sums["pairs"] for name in ("iou", "energy")]


def _multi_label_values(sums: Sums) -> list[Tensor]:
    found = maths.multi_label_confidence_compute(sums)
    return [found[name] for name in _MULTI_LABEL]


def _alone(compute: Callable[[Sums], Tensor], sums: Sums) -> list[Tensor]:
    return [compute(sums)]


def _one(
    name: str,
    title: str,
    update: Callable[[Case], Sums | None],
    compute: Callable[[Sums], Tensor],
    *wants: str,
    higher: bool = True,
) -> tuple[str, Metric]:
    """Return a metric that gives one number, under its name."""
    value = Value(name, title, higher)
    return name, Metric((value,), update, functools.partial(_alone, compute), frozenset(wants))


_IGNORED = -1
_MULTI_LABEL = {
    "ic": Value("multi-label-ic", "Increase in Confidence, several labels", True),
    "ad": Value("multi-label-ad", "Average Drop, several labels", False),
    "ado": Value("multi-label-ado", "Average Drop of Others", True),
    "ar": Value("multi-label-ar", "Average Retention", True),
    "aro": Value("multi-label-aro", "Average Retention of Others", False),
    "f1_minus": Value("multi-label-f1-minus", "F1-", False),
    "f1_plus": Value("multi-label-f1-plus", "F1+", True),
}
_BEST_OBJECT = (
    Value("best-object-iou", "IoU with the best object", True),
    Value("best-object-energy", "Energy in the best object", True),
)

METRICS: dict[str, Metric] = dict(
    [
        _one(
            "average-drop",
            "Average Drop",
            functools.partial(_drop, signed=False),
            maths.average_drop_compute,
            MASKED,
            higher=False,
        ),
        _one("increase", "Increase in Confidence", _increase, maths.increase_compute, MASKED),
        _one(
            "confidence-drop",
            "Confidence Drop",
            functools.partial(_drop, signed=True),
            maths.average_drop_compute,
            MASKED,
            higher=False,
        ),
        _one("deletion", "Deletion", _deletion, maths.area_compute, CURVES, higher=False),
        _one("insertion", "Insertion", _insertion, maths.area_compute, CURVES),
        _one("overall", "Insertion - Deletion", _overall, maths.overall_compute, CURVES),
        _one("energy", "Proportion", _energy, maths.energy_compute),
        _one("pointing-game", "Pointing Game", _pointing, maths.pointing_compute),
        _one(
            "localization-error",
            "mLEV",
            _localization,
            maths.localization_compute,
            higher=False,
        ),
        _one("object-iou", "Object IoU", _object_iou, maths.object_iou_compute),
        _one("mean-iou", "mIoU", _segmentation, maths.mean_iou_compute),
        _one("pixel-f-score", "Pixel F-score", _segmentation, maths.pixel_f_score_compute),
        (
            "multi-label",
            Metric(
                tuple(_MULTI_LABEL.values()),
                _multi_label,
                _multi_label_values,
                frozenset({MASKED, COMPLEMENT}),
            ),
        ),
        ("best-object", Metric(_BEST_OBJECT, _best_object, _best_object_values)),
    ]
)
"""Of each name the metric, by the definitions of ``captum_cluster.functional.metrics``."""


def choose_metrics(metrics: Sequence[str] | str) -> dict[str, Metric]:
    """Return metrics by name; "all" is every one.

    Raises:
        TypeError: They are no names.
        ValueError: There is none, or one is unknown.

    Example:
        >>> list(choose_metrics(["deletion", "energy"]))
        ['deletion', 'energy']
    """
    if isinstance(metrics, str):
        names: Sequence[str] = list(METRICS) if metrics == "all" else [metrics]
    else:
        names = metrics
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(expected("metrics", "a list of names", describe(metrics)))
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        got = repr(unknown[0]) if unknown else "none"
        raise ValueError(expected("metrics", f"'all' or among {', '.join(METRICS)}", got))
    return {name: METRICS[name] for name in METRICS if name in names}


def encode_sums(sums: Sums) -> dict[str, Any]:
    """Return sums as JSON holds them: scalars as numbers, vectors by their entries that are not 0.

    Example:
        >>> encode_sums({"pairs": torch.tensor(2), "errors": torch.tensor([0.0, 1.0, 0.0])})
        {'pairs': 2, 'errors': {'size': 3, 'at': [1], 'values': [1.0]}}
    """
    return {name: _encode(value) for name, value in sums.items()}


def _encode(value: Tensor) -> Any:
    if not value.ndim:
        return value.item()
    at = value.nonzero().flatten()
    return {"size": len(value), "at": at.tolist(), "values": value[at].tolist()}
