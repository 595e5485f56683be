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
    Subject,
    Transform,
    explained,
    loaded,
    prepare,
)
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.output import staged
from captum_cluster.evaluation.registry import check_method, run_method, warm_up
from captum_cluster.hooks import untouched
from captum_cluster.visualization import Panel, save_figure, side_by_side

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_MOST_COLUMNS = 6


@dataclass(frozen=True)
class Comparison:
    """Explanations of one image and target by several methods.

    Attributes:
        subject: The image, the layer and the target.
        explanations: One for each method, in the order asked for.
    """

    subject: Subject
    explanations: tuple[Explanation, ...]

    def figure(self) -> Figure:
        """Return the picture and each method's overlay, with time and forward passes."""
        panels = [Panel(self.subject.picture, title="input", caption=self.subject.title)]
        panels += [
            Panel(one.overlay(), title=one.method, caption=one.cost) for one in self.explanations
        ]
        title = f"{self.subject.name}, layer {self.subject.layer_name}"
        return side_by_side(panels, title=title, rows=-(-len(panels) // _MOST_COLUMNS))

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


def compare(
    model: nn.Module | LoadedModel,
    image: ImageLike,
    methods: Sequence[str] = ("grad-cam", "score-cam", "cluster-cam"),
    target: int | None = None,
    layer: nn.Module | str | None = None,
    *,
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
        target: As for ``explain``.
        layer: As for ``explain``.
        transform: As for ``explain``.
        categories: As for ``explain``.
        reshape_transform: As for ``explain``.

    Raises:
        ValueError: No method, or an unknown one; and the errors of ``explain``.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> both = compare(resnet18().eval(), torch.rand(3, 64, 64), ["grad-cam", "cluster-cam"])
        >>> [(one.method, one.forwards) for one in both.explanations]
        [('grad-cam', 1), ('cluster-cam', 7)]
    """
    if isinstance(methods, str) or not methods:
        raise ValueError(expected("methods", "a list of names", describe(methods)))
    for method in methods:
        check_method(method)
    net, transform, categories = loaded(model, transform, categories)
    explanations = []
    with untouched(net):
        subject = prepare(net, image, target, layer, transform, categories, reshape_transform)
        at = (subject.layer, subject.inputs, subject.target)
        for method in methods:
            warm_up(method)
            run = run_method(method, net, *at, reshape_transform=reshape_transform)
            explanations.append(explained(method, subject, run))
    return Comparison(subject, tuple(explanations))
