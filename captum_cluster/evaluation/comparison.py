"""Several methods on one image, side by side, with what each cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from captum_cluster._checks import describe, expected
from captum_cluster.evaluation.explanation import (
    Explanation,
    ImageLike,
    LayerLike,
    Subject,
    Transform,
    check_class,
    loaded,
    prepare,
    run_on,
)
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.output import staged
from captum_cluster.evaluation.registry import check_method, warm_up
from captum_cluster.functional.attribution import present_labels
from captum_cluster.hooks import untouched
from captum_cluster.visualization import Panel, save_figure, side_by_side

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_MOST_COLUMNS = 6


@dataclass(frozen=True)
class Comparison:
    """Explanations of one image by several methods, for one label or for several.

    Attributes:
        subjects: The image and the layer, with each label explained.
        explanations: One for each label and method: all methods of the first label, in the order
            asked for, then those of the next.
    """

    subjects: tuple[Subject, ...]
    explanations: tuple[Explanation, ...]

    @property
    def subject(self) -> Subject:
        """The image, the layer and the first label explained."""
        return self.subjects[0]

    def figure(self) -> Figure:
        """Return the picture and each method's overlay, with time and forward passes.

        With several labels each has a row.
        """
        title = f"{self.subject.name}, layer {self.subject.layer_name}"
        if len(self.subjects) == 1:
            panels = [_picture(self.subject, self.subject.title), *map(_panel, self.explanations)]
            return side_by_side(panels, title=title, rows=-(-len(panels) // _MOST_COLUMNS))
        panels = []
        for subject in self.subjects:
            panels.append(_picture(subject, ""))
            panels += [_panel(one) for one in self.explanations if one.subject is subject]
        return side_by_side(panels, title=title, rows=[one.named for one in self.subjects])

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write the figure as ``<image>-comparison.png`` and return its path.

        Args:
            directory: Made if it is not there.

        Raises:
            NotADirectoryError: ``directory`` is a file.
            OSError: It cannot be written to.
        """
        name = f"{self.subject.name}-comparison.png"
        with staged(directory) as stage:
            save_figure(self.figure(), stage / name)
        return Path(directory) / name


def _picture(subject: Subject, caption: str) -> Panel:
    return Panel(subject.picture, title="input", caption=caption)


def _panel(one: Explanation) -> Panel:
    positive = bool((one.maps > 0).any())
    caption = one.cost if positive else f"{one.cost}\nno positive part"
    return Panel(one.overlay(), title=one.method, caption=caption)


def compare(
    model: nn.Module | LoadedModel,
    image: ImageLike,
    methods: Sequence[str] = ("grad-cam", "score-cam", "cluster-cam"),
    target: int | None = None,
    layer: LayerLike | Sequence[LayerLike] | None = None,
    *,
    labels: Sequence[int] | str | None = None,
    transform: Transform | None = None,
    categories: Sequence[str] | None = None,
    reshape_transform: Callable[[Tensor], Tensor] | None = None,
) -> Comparison:
    """Explain one image by several methods, each with its defaults.

    Each method runs once on a tiny network first, so that its time holds no imports.

    Args:
        model: As for ``explain``, and so for the arguments not named here.
        image: As for ``explain``.
        methods: Names of methods.
        target: As for ``explain``. Not with ``labels``.
        layer: As for ``explain``.
        labels: The labels present in an image that has several: each is explained, and methods
            that contrast labels are told all of them. "predicted": those that a multi-label
            model gives a sigmoid above 0.5.
        transform: As for ``explain``.
        categories: As for ``explain``.
        reshape_transform: As for ``explain``.

    Raises:
        ValueError: No method, or an unknown one; a target and labels; no labels, or none that is
            predicted; and the errors of ``explain``.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> both = compare(resnet18().eval(), torch.rand(3, 64, 64), ["grad-cam", "cluster-cam"])
        >>> [(one.method, one.forwards) for one in both.explanations]
        [('grad-cam', 1), ('cluster-cam', 7)]
        >>> several = compare(
        ...     resnet18().eval(), torch.rand(3, 64, 64), ["cam", "minmax-cam"], labels=[3, 7]
        ... )
        >>> [(one.target, one.method) for one in several.explanations]
        [(3, 'cam'), (3, 'minmax-cam'), (7, 'cam'), (7, 'minmax-cam')]
    """
    if isinstance(methods, str) or not methods:
        raise ValueError(expected("methods", "a list of names", describe(methods)))
    if target is not None and labels is not None:
        raise ValueError(expected("target", "None where labels are given", target))
    for method in methods:
        check_method(method)
    net, transform, categories = loaded(model, transform, categories)
    with untouched(net):
        prepared = prepare(net, image, layer, transform, reshape_transform)
        present = _labels(labels, prepared.logits)
        targets = [target] if present is None else present
        subjects = [prepared.at(one, present, categories) for one in targets]
        for method in methods:
            warm_up(method)
        explanations = [
            run_on(subject, method, net, {}) for subject in subjects for method in methods
        ]
    return Comparison(tuple(subjects), tuple(explanations))


def _labels(labels: Sequence[int] | str | None, logits: Tensor) -> list[int] | None:
    """Return the labels that are explained, or None for the one target."""
    if labels is None:
        return None
    if isinstance(labels, str):
        if labels != "predicted":
            raise ValueError(expected("labels", "class indices or 'predicted'", repr(labels)))
        found: list[int] = present_labels(logits[None])[0].nonzero().flatten().tolist()
        if not found:
            what = "to predict a label with a sigmoid above 0.5"
            raise ValueError(expected("the model", what, f"{float(logits.sigmoid().max()):.2g}"))
        return found
    if not isinstance(labels, (list, tuple)) or not labels:
        raise ValueError(expected("labels", "a list of class indices", describe(labels)))
    return [check_class(label, len(logits), "labels") for label in dict.fromkeys(labels)]
