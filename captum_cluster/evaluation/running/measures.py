"""The metrics of a run: what each needs of an image, its sums, and how its values read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from captum_cluster._checks import describe, expected
from captum_cluster.evaluation.running import cases
from captum_cluster.evaluation.running.cases import Case, Sums
from captum_cluster.evaluation.running.passes import COMPLEMENT, CURVES, MASKED
from captum_cluster.functional import metrics as maths


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
        of_update: Names of the options of ``update``.
        of_compute: Names of the options of ``compute``.
        options: Those that were chosen.
    """

    values: tuple[Value, ...]
    update: Callable[..., Sums | None]
    compute: Callable[..., Sequence[Tensor]]
    wants: frozenset[str] = frozenset()
    of_update: tuple[str, ...] = ()
    of_compute: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def choose(self, options: Mapping[str, Any]) -> Metric:
        """Return the metric with some options, as its class in ``captum_cluster.metrics`` has them.

        Raises:
            ValueError: It has no such option.
        """
        known = (*self.of_update, *self.of_compute)
        unknown = [name for name in options if name not in known]
        if unknown:
            what = f"among {', '.join(known)}" if known else "none"
            title = f"the options of {self.values[0].title}"
            raise ValueError(expected(title, what, repr(unknown[0])))
        update = {name: value for name, value in options.items() if name in self.of_update}
        compute = {name: value for name, value in options.items() if name in self.of_compute}
        return dataclasses.replace(
            self,
            update=functools.partial(self.update, **update) if update else self.update,
            compute=functools.partial(self.compute, **compute) if compute else self.compute,
            options=dict(options),
        )


def _segmentation_values(sums: Sums) -> list[Tensor]:
    return [maths.mean_iou_compute(sums), maths.pixel_f_score_compute(sums)]


def _best_object_values(sums: Sums) -> list[Tensor]:
    return [sums[name] / sums["pairs"] for name in ("iou", "energy")]


def _multi_label_values(
    sums: Sums, *, average: str = "macro", single_label: str = "zero"
) -> list[Tensor]:
    found = maths.multi_label_confidence_compute(sums, average=average, single_label=single_label)
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
    options: tuple[str, ...] = (),
) -> tuple[str, Metric]:
    """Return a metric that gives one number, under its name."""
    value = Value(name, title, higher)
    return name, Metric(
        (value,), update, functools.partial(_alone, compute), frozenset(wants), options
    )


_MULTI_LABEL = {
    "ic": Value("multi-label-ic", "Increase in Confidence, several labels", True),
    "ad": Value("multi-label-ad", "Average Drop, several labels", False),
    "ado": Value("multi-label-ado", "Average Drop of Others", True),
    "ar": Value("multi-label-ar", "Average Retention", True),
    "aro": Value("multi-label-aro", "Average Retention of Others", False),
    "f1_minus": Value("multi-label-f1-minus", "F1-", False),
    "f1_plus": Value("multi-label-f1-plus", "F1+", True),
}
_SEGMENTATION = (
    Value("mean-iou", "mIoU", True),
    Value("pixel-f-score", "Pixel F-score", True),
)
_BEST_OBJECT = (
    Value("best-object-iou", "IoU with the best object", True),
    Value("best-object-energy", "Energy in the best object", True),
)

METRICS: dict[str, Metric] = dict(
    [
        _one(
            "average-drop",
            "Average Drop",
            functools.partial(cases.drop_sums, signed=False),
            maths.average_drop_compute,
            MASKED,
            higher=False,
        ),
        _one(
            "increase",
            "Increase in Confidence",
            cases.increase_sums,
            maths.increase_compute,
            MASKED,
        ),
        _one(
            "confidence-drop",
            "Confidence Drop",
            functools.partial(cases.drop_sums, signed=True),
            maths.average_drop_compute,
            MASKED,
            higher=False,
        ),
        _one("deletion", "Deletion", cases.deletion_sums, maths.area_compute, CURVES, higher=False),
        _one("insertion", "Insertion", cases.insertion_sums, maths.area_compute, CURVES),
        _one("overall", "Insertion - Deletion", cases.overall_sums, maths.overall_compute, CURVES),
        _one("energy", "Proportion", cases.energy_sums, maths.energy_compute),
        _one(
            "pointing-game",
            "Pointing Game",
            cases.pointing_sums,
            maths.pointing_compute,
            options=("tolerance",),
        ),
        _one(
            "localization-error",
            "mLEV",
            cases.localization_sums,
            maths.localization_compute,
            higher=False,
            options=("threshold", "iou"),
        ),
        _one(
            "object-iou",
            "Object IoU",
            functools.partial(cases.object_sums, update=maths.object_iou_update),
            maths.object_iou_compute,
            options=("threshold",),
        ),
        _one(
            "object-recall",
            "Object recall",
            functools.partial(cases.object_sums, update=maths.object_recall_update),
            maths.object_recall_compute,
            options=("threshold",),
        ),
        _one(
            "object-precision",
            "Object precision",
            functools.partial(cases.object_sums, update=maths.object_precision_update),
            maths.object_precision_compute,
            options=("threshold",),
        ),
        (
            "segmentation",
            Metric(
                _SEGMENTATION,
                cases.segmentation_sums,
                _segmentation_values,
                of_update=("background",),
            ),
        ),
        (
            "multi-label",
            Metric(
                tuple(_MULTI_LABEL.values()),
                cases.multi_label_sums,
                _multi_label_values,
                frozenset({MASKED, COMPLEMENT}),
                of_compute=("average", "single_label"),
            ),
        ),
        (
            "best-object",
            Metric(
                _BEST_OBJECT, cases.best_object_sums, _best_object_values, of_update=("threshold",)
            ),
        ),
    ]
)
"""Of each name the metric, by the definitions of ``captum_cluster.functional.metrics``."""


def choose_metrics(metrics: Sequence[str | Mapping[str, Any]] | str) -> dict[str, Metric]:
    """Return metrics by name; "all" is every one.

    Args:
        metrics: Names, or mappings with "metric" and "options": those of the metric's class in
            ``captum_cluster.metrics``.

    Raises:
        TypeError: They are neither.
        ValueError: There is none, one is unknown, has no such option, or is there with others.

    Example:
        >>> near = {"metric": "pointing-game", "options": {"tolerance": 15}}
        >>> list(choose_metrics(["deletion", near]))
        ['deletion', 'pointing-game']
    """
    if isinstance(metrics, str):
        metrics = list(METRICS) if metrics == "all" else [metrics]
    if isinstance(metrics, Mapping) or not isinstance(metrics, Sequence):
        raise TypeError(expected("metrics", "a list of names", describe(metrics)))
    given = [_named(metric) for metric in metrics]
    names = [name for name, _ in given]
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        got = repr(unknown[0]) if unknown else "none"
        raise ValueError(expected("metrics", f"'all' or among {', '.join(METRICS)}", got))
    chosen: dict[str, Metric] = {}
    for name, options in given:
        metric = METRICS[name].choose(options) if options else METRICS[name]
        if name in chosen and chosen[name].options != metric.options:
            got = f"{name} with different options"
            raise ValueError(expected("metrics", "different ones", got))
        chosen[name] = metric
    return {name: chosen[name] for name in METRICS if name in chosen}


def plain_metrics(metrics: Mapping[str, Metric]) -> list[Any]:
    """Return metrics in the form that ``choose_metrics`` takes.

    Example:
        >>> plain_metrics(choose_metrics(["energy"]))
        ['energy']
    """
    return [
        {"metric": name, "options": dict(metric.options)} if metric.options else name
        for name, metric in metrics.items()
    ]


def _named(metric: Any) -> tuple[str, Mapping[str, Any]]:
    """Return a metric's name and options."""
    if isinstance(metric, str):
        return metric, {}
    what = "a list of names, or of mappings with 'metric' and 'options'"
    if not isinstance(metric, Mapping) or not isinstance(metric.get("metric"), str):
        raise TypeError(expected("metrics", what, f"one with {describe(metric)}"))
    options = metric.get("options") or {}
    if not isinstance(options, Mapping) or set(metric) - {"metric", "options"}:
        raise TypeError(expected("metrics", what, f"one with {describe(metric)}"))
    return metric["metric"], options
